//! Sets of test queries that are measured apart, by columns of the table `queries`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pipeline::BadInput;
use pipeline::config::WORDS;
use tables::{ColumnType, Columns, Schema, StageDir};

use crate::input::{Attribute, TestQuery};

/// The slice of all queries.
pub(crate) const ALL: &str = "all";

/// Most slices of a text.
const MOST_VALUES: usize = 20;

/// A set of test queries.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) name: String,
    /// Indices of its queries.
    pub(crate) queries: Vec<usize>,
}

/// Reads what `queries` are parted by: their values of these columns.
///
/// # Errors
/// [`tables::Error`].
pub(crate) fn read(ingest: &StageDir, columns: &[String], queries: &mut [TestQuery]) -> anyhow::Result<()> {
    let table = ingest.table("queries")?;
    let ids = table.strings("query_id")?;
    let rows: HashMap<&str, usize> = (0..table.rows()).map(|row| (ids.value(row), row)).collect();
    for column in columns {
        let values = values(&table, column)?;
        for query in queries.iter_mut() {
            let row = rows.get(query.query_id.as_str());
            let attribute = match (&values, row) {
                (Values::Words, _) => Attribute::Number(query.query.split_whitespace().count() as f64),
                (Values::Column(values), Some(&row)) => values[row].clone(),
                (Values::Column(_), None) => Attribute::Text(String::new()),
            };
            query.attributes.push(attribute);
        }
    }
    Ok(())
}

enum Values {
    Words,
    Column(Vec<Attribute>),
}

fn values(table: &Columns, name: &str) -> tables::Result<Values> {
    if name == WORDS {
        return Ok(Values::Words);
    }
    let schema = Schema::named("queries")?;
    let kind = schema.columns.iter().find(|column| column.name == name).map(|column| column.kind);
    let numbers = |values: Vec<f64>| values.into_iter().map(Attribute::Number).collect();
    Ok(Values::Column(match kind {
        Some(ColumnType::Int32) => numbers(table.int32s(name)?.values().iter().map(|&value| value.into()).collect()),
        Some(ColumnType::Int64) => numbers(table.int64s(name)?.values().iter().map(|&value| value as f64).collect()),
        Some(ColumnType::Float64) => numbers(table.float64s(name)?.values().to_vec()),
        _ => {
            let values = table.strings(name)?;
            (0..table.rows()).map(|row| Attribute::Text(values.value(row).to_string())).collect()
        }
    }))
}

/// All queries, and the parts of each of `columns`.
///
/// # Errors
/// [`BadInput`] for a text of too many values.
pub(crate) fn slices(queries: &[TestQuery], columns: &[String]) -> anyhow::Result<Vec<Slice>> {
    let mut slices = vec![Slice { name: ALL.into(), queries: (0..queries.len()).collect() }];
    for (place, column) in columns.iter().enumerate() {
        let mut numbers = Vec::new();
        let mut texts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, query) in queries.iter().enumerate() {
            match query.attributes.get(place) {
                Some(Attribute::Number(number)) => numbers.push((i, *number)),
                Some(Attribute::Text(text)) => texts.entry(text).or_default().push(i),
                None => {}
            }
        }
        if texts.len() > MOST_VALUES {
            Err(BadInput(format!(
                "evaluate.slices: expected at most {MOST_VALUES} values of a text, found {} of {column}; leave it out",
                texts.len()
            )))?;
        }
        if !numbers.is_empty() {
            slices.extend(halves(column, &numbers));
        }
        slices.extend(texts.into_iter().map(|(text, queries)| Slice { name: format!("{column} = {text}"), queries }));
    }
    let names: BTreeSet<&str> = slices.iter().map(|slice| slice.name.as_str()).collect();
    debug_assert_eq!(names.len(), slices.len());
    Ok(slices)
}

/// The queries above the median of a number, and the rest; of searches the head and the tail of the log.
fn halves(column: &str, numbers: &[(usize, f64)]) -> [Slice; 2] {
    let mut sorted: Vec<f64> = numbers.iter().map(|&(_, number)| number).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    // The lower of two middle values, so that half of distinct counts lie above it.
    let median = sorted[(sorted.len() - 1) / 2];
    let of = |name, keep: fn(f64, f64) -> bool| Slice {
        name,
        queries: numbers.iter().filter(|&&(_, number)| keep(number, median)).map(|&(i, _)| i).collect(),
    };
    let (above, below) = match column {
        "searches" => ("head".into(), "tail".into()),
        _ => (format!("{column} > {median}"), format!("{column} <= {median}")),
    };
    [of(above, |number, median| number > median), of(below, |number, median| number <= median)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::queries;

    fn parted(columns: &[&str], attributes: &[&[Attribute]]) -> anyhow::Result<Vec<(String, Vec<usize>)>> {
        let mut queries = queries(attributes.len());
        for (query, attributes) in queries.iter_mut().zip(attributes) {
            query.attributes = attributes.to_vec();
        }
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        Ok(slices(&queries, &columns)?.into_iter().map(|slice| (slice.name, slice.queries)).collect())
    }

    #[test]
    fn head_and_tail_part_the_queries_at_the_median() {
        let numbers = [5.0, 1.0, 3.0, 9.0, 3.0].map(|number| [Attribute::Number(number)]);
        let found = parted(&["searches"], &numbers.each_ref().map(|number| &number[..])).unwrap();
        let expected = [("all", vec![0, 1, 2, 3, 4]), ("head", vec![0, 3]), ("tail", vec![1, 2, 4])];
        assert_eq!(found, expected.map(|(name, queries)| (name.to_string(), queries)));
    }

    #[test]
    fn numbers_and_texts_of_other_columns_name_their_slices() {
        let row = |number, text: &str| [Attribute::Number(number), Attribute::Text(text.into())];
        let rows = [row(2.0, "b"), row(1.0, "a"), row(3.0, "b")];
        let found = parted(&["words", "language"], &rows.each_ref().map(|row| &row[..])).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["all", "words > 2", "words <= 2", "language = a", "language = b"]);
        assert_eq!(found[4].1, [0, 2]);
    }

    #[test]
    fn a_text_of_many_values_is_refused() {
        let rows: Vec<[Attribute; 1]> = (0..21).map(|i| [Attribute::Text(format!("value {i}"))]).collect();
        let rows: Vec<&[Attribute]> = rows.iter().map(|row| &row[..]).collect();
        let error = parted(&["language"], &rows).unwrap_err().to_string();
        assert!(
            error.starts_with("evaluate.slices: expected at most 20 values of a text, found 21 of language"),
            "{error}"
        );
    }
}
