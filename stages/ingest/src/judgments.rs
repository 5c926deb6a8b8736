//! Graded queries and documents, from files or from clicks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use pipeline::BadInput;
use pipeline::config::JudgmentFormat;
use records::{Delimited, Field, Layout, RawFile, Reason, Values};

use crate::documents::Documents;
use crate::input::{RecordCounts, RejectLimits, Source};
use crate::pairs::Pair;
use crate::query::Queries;
use crate::value;

/// How relevant a document is to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgment {
    pub(crate) query: u32,
    pub(crate) document: u32,
    pub(crate) grade: i32,
}

/// Query numbers by the judgments' query ids.
pub(crate) type QueryIds = HashMap<String, u32>;

/// Reads the query texts that judgments refer to.
///
/// # Errors
/// As [`Source::read`]; any malformed or repeated query is one.
pub(crate) fn read_queries(files: Vec<RawFile>, queries: &mut Queries) -> Result<(QueryIds, RecordCounts)> {
    let fields = ["_id", "text"].map(Field::required).to_vec();
    let source = Source { what: "judged queries", files, layout: Layout::Jsonl, fields };
    let mut ids = QueryIds::new();
    let counts = source.read(RejectLimits::STRICT, |_, _, values| {
        let [Some(id), Some(text)] = &values[..] else {
            return Err("_id or text is missing".into());
        };
        let query = queries.number(text).ok_or(Reason::from("the query text is empty"))?;
        match ids.insert(id.to_string(), query) {
            None => Ok(()),
            Some(_) => Err("query id given twice".into()),
        }
    })?;
    Ok((ids, counts))
}

/// The judgment files, and their fields by format.
pub(crate) fn source(files: Vec<RawFile>, format: JudgmentFormat) -> Source {
    let tsv = Layout::Delimited { kind: Delimited::Tsv, header: true };
    let trec = Layout::Delimited { kind: Delimited::Space, header: false };
    let (layout, names): (_, &[&str]) = match format {
        JudgmentFormat::Beir => (tsv, &["query-id", "corpus-id", "score"]),
        JudgmentFormat::Trec => (trec, &["query", "iteration", "document", "grade"]),
        JudgmentFormat::Parquet | JudgmentFormat::Clicks => (Layout::Parquet, &["query_id", "doc_id", "grade"]),
    };
    let fields = names.iter().map(|name| Field::required(name)).collect();
    Source { what: "judgments", files, layout, fields }
}

/// A judgment as a record gave it.
struct Given {
    judgment: Judgment,
    file: usize,
    line: u64,
}

/// Reads judgments. Where several judged ids have one text, a document's highest grade is kept and the other records are
/// rejected.
///
/// # Errors
/// [`BadInput`] on any malformed record, a grade out of range, a query id `ids` does not know (with `complete`), a query
/// and document judged twice, and where no judgment is left.
pub(crate) fn read(
    source: &Source,
    ids: &QueryIds,
    complete: bool,
    documents: &Documents,
) -> Result<(Vec<Judgment>, RecordCounts)> {
    let mut given: Vec<Given> = Vec::new();
    let mut seen = HashSet::new();
    let trec = source.layout == Layout::Delimited { kind: Delimited::Space, header: false };
    let mut counts = source.read(RejectLimits::STRICT, |file, line, values| {
        let (query, document, grade) = fields(values, trec)?;
        let grade = value::grade(grade).map_err(|reason| Reason::Malformed(reason.into()))?;
        if !seen.insert((query.to_string(), document.to_string())) {
            return Err("query and document judged twice, keep one of the lines".into());
        }
        let Some(&query) = ids.get(query) else {
            return Err(if complete {
                "the query id is not in ingest.judgments.queries".into()
            } else {
                Reason::LeftOut("query not in the log")
            });
        };
        let unknown = Reason::LeftOut("document not in the document table");
        let document = documents.ids.find(document).ok_or(unknown)?;
        given.push(Given { judgment: Judgment { query, document, grade }, file, line });
        Ok(())
    })?;
    given.sort_by_key(|given| {
        let Judgment { query, document, grade } = given.judgment;
        (query, document, Reverse(grade), given.file, given.line)
    });
    let judgments = merge(source, given, &mut counts)?;
    if judgments.is_empty() {
        let problem = "expected judgments of the log's documents, found none; correct ingest.judgments";
        Err(BadInput(format!("judgments: {problem}")))?;
    }
    Ok((judgments, counts))
}

fn fields<'a>(values: &'a Values, trec: bool) -> Result<(&'a str, &'a str, &'a str), Reason> {
    // A TREC line is query, iteration, document, grade; the iteration is unused.
    let places = if trec { [0, 2, 3] } else { [0, 1, 2] };
    let at = |place: usize| values.get(place).and_then(|value| value.as_deref());
    match places.map(at) {
        [Some(query), Some(document), Some(grade)] => Ok((query, document, grade)),
        _ => Err("a field is missing".into()),
    }
}

/// Keeps the first of the records of each query and document.
fn merge(source: &Source, sorted: Vec<Given>, counts: &mut RecordCounts) -> Result<Vec<Judgment>> {
    let mut kept: Vec<Judgment> = Vec::new();
    let mut merged = BTreeMap::new();
    for Given { judgment, file, line } in sorted {
        let same = |last: &Judgment| (last.query, last.document) == (judgment.query, judgment.document);
        if kept.last().is_some_and(same) {
            merged.insert((file, line), MERGED);
        } else {
            kept.push(judgment);
        }
    }
    counts.reject_rows(source, &merged)?;
    Ok(kept)
}

const MERGED: &str = "judged as high or higher under another id of the same query text";

/// Lowest ratio to the query's best debiased click-through rate for grades 1, 2, 3 and 4.
pub(crate) const GRADE_SHARES: [f64; 4] = [0.1, 0.25, 0.5, 0.8];

/// Grades from clicks, for pairs shown at least `min_impressions` times: by [`GRADE_SHARES`], and 0 without a click.
pub(crate) fn from_clicks(pairs: &[Pair], min_impressions: usize) -> Vec<Judgment> {
    let enough = |pair: &&Pair| pair.impressions >= min_impressions as u64;
    let mut best: HashMap<u32, f64> = HashMap::new();
    for pair in pairs.iter().filter(enough) {
        let best = best.entry(pair.query).or_default();
        *best = best.max(pair.debiased_ctr);
    }
    let judgment = |pair: &Pair| {
        let share = pair.debiased_ctr / best.get(&pair.query).copied().unwrap_or(f64::INFINITY);
        let grade = GRADE_SHARES.iter().filter(|&&least| share >= least).count() as i32;
        Judgment { query: pair.query, document: pair.document, grade: if pair.clicks == 0 { 0 } else { grade } }
    };
    pairs.iter().filter(enough).map(judgment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(query: u32, document: u32, impressions: u64, clicks: u64, debiased_ctr: f64) -> Pair {
        Pair {
            query,
            document,
            impressions,
            clicks,
            satisfied_clicks: 0,
            debiased_ctr,
            first_seen: None,
            last_seen: None,
        }
    }

    #[test]
    fn grades_are_shares_of_the_best() {
        let rates = [0.5, 0.4, 0.25, 0.13, 0.05, 0.04];
        let mut pairs: Vec<Pair> = (0..6).map(|i| pair(0, i, 10, 1, rates[i as usize])).collect();
        // Too few impressions to be judged, or to be the best.
        pairs.push(pair(0, 6, 9, 9, 1.0));
        pairs.push(pair(1, 0, 10, 0, 0.2));
        let grades: Vec<i32> = from_clicks(&pairs, 10).iter().map(|judgment| judgment.grade).collect();
        assert_eq!(grades, [4, 4, 3, 2, 1, 0, 0]);
    }
}
