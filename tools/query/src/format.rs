//! How answers are written.

use std::io::{self, Write};

use clap::ValueEnum;
use pipeline::counted;

use crate::answer::{Answer, Cells, Column, Kind};
use crate::grid::Grid;

/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: the first 40 rows and the number of all, as wide as the terminal, floats shortened
    #[default]
    Table,
    /// RFC 4180 with a header; a missing value is empty, an empty text is `""`
    Csv,
    /// An array of one object per row
    Json,
    /// A Parquet file, of one query
    Parquet,
}

/// Rows that a table shows.
const SHOWN_ROWS: usize = 40;

/// Writes an answer; one without rows of a statement that returns none, such as `SET`, writes nothing.
///
/// # Errors
/// [`io::Error`] where `out` cannot be written, [`duckdb::Error`] where a row cannot be fetched.
pub(crate) fn write(
    mut answer: Answer<'_>,
    is_query: bool,
    format: Format,
    width: Option<usize>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let silent = !is_query && answer.is_status();
    let columns = std::mem::take(&mut answer.columns);
    let mut sink: Box<dyn Sink + '_> = match format {
        Format::Table if is_plan(&columns) => Box::new(Plan { out }),
        Format::Table => Box::new(TableSink { grid: Grid::new(&columns, width), rows: 0, out }),
        Format::Csv => Box::new(CsvSink { out }),
        Format::Json | Format::Parquet => Box::new(JsonSink { keys: keys(&columns), rows: 0, out }),
    };
    let mut begun = false;
    while let Some(cells) = answer.next()? {
        if !begun {
            sink.begin(&columns)?;
            begun = true;
        }
        for row in 0..cells.rows {
            sink.row(&columns, &cells, row)?;
        }
    }
    // DuckDB answers statements such as SET with one column and no row.
    if !begun && !silent {
        sink.begin(&columns)?;
        begun = true;
    }
    if begun {
        sink.end()?;
    }
    Ok(())
}

/// True for the answer of `EXPLAIN`, whose drawing has lines of its own.
fn is_plan(columns: &[Column]) -> bool {
    columns.iter().map(|column| column.name.as_str()).eq(["explain_key", "explain_value"])
}

/// Where rows go.
trait Sink {
    fn begin(&mut self, columns: &[Column]) -> io::Result<()>;
    fn row(&mut self, columns: &[Column], cells: &Cells, row: usize) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;
}

struct Plan<'a> {
    out: &'a mut dyn Write,
}

impl Sink for Plan<'_> {
    fn begin(&mut self, _: &[Column]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, _: &[Column], cells: &Cells, row: usize) -> io::Result<()> {
        writeln!(self.out, "{}", cells.get(row, 1).unwrap_or_default().trim_end())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct TableSink<'a> {
    grid: Grid,
    rows: usize,
    out: &'a mut dyn Write,
}

impl Sink for TableSink<'_> {
    fn begin(&mut self, _: &[Column]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, columns: &[Column], cells: &Cells, row: usize) -> io::Result<()> {
        if self.rows < SHOWN_ROWS {
            let cell = |(index, column): (usize, &Column)| match cells.get(row, index) {
                Some(value) if column.kind == Kind::Float => short_float(value),
                Some(value) => value.to_string(),
                None => "NULL".into(),
            };
            self.grid.add(columns.iter().enumerate().map(cell).collect());
        }
        self.rows += 1;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.grid.write(self.out)?;
        let shown = if self.rows > SHOWN_ROWS { format!(", the first {SHOWN_ROWS} shown") } else { String::new() };
        writeln!(self.out, "{}{shown}", counted(self.rows, "row"))
    }
}

/// A float in six significant digits, and in all digits before the point.
fn short_float(text: &str) -> String {
    let Ok(value) = text.parse::<f64>() else { return text.to_string() };
    if !value.is_finite() || text.len() <= 8 {
        return text.to_string();
    }
    let exponent = value.abs().log10().floor();
    if !(-5.0..15.0).contains(&exponent) {
        let short = format!("{value:.5e}");
        let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
        return format!("{}e{exponent}", without_zeros(digits));
    }
    let decimals = (5.0 - exponent).max(1.0) as usize;
    without_zeros(&format!("{value:.decimals$}"))
}

/// A decimal fraction without zeros at its end, but for the one behind the point.
fn without_zeros(digits: &str) -> String {
    let short = digits.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_string() }
}

struct CsvSink<'a> {
    out: &'a mut dyn Write,
}

impl CsvSink<'_> {
    fn record(&mut self, fields: impl Iterator<Item = String>) -> io::Result<()> {
        let fields: Vec<String> = fields.collect();
        write!(self.out, "{}\r\n", fields.join(","))
    }
}

impl Sink for CsvSink<'_> {
    fn begin(&mut self, columns: &[Column]) -> io::Result<()> {
        self.record(columns.iter().map(|column| csv_field(&column.name)))
    }

    fn row(&mut self, columns: &[Column], cells: &Cells, row: usize) -> io::Result<()> {
        self.record((0..columns.len()).map(|column| cells.get(row, column).map_or(String::new(), csv_field)))
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A field of RFC 4180: quoted where it holds a separator, a quote or a line break, or where it is empty.
fn csv_field(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

struct JsonSink<'a> {
    keys: Vec<String>,
    rows: usize,
    out: &'a mut dyn Write,
}

impl Sink for JsonSink<'_> {
    fn begin(&mut self, _: &[Column]) -> io::Result<()> {
        write!(self.out, "[")
    }

    fn row(&mut self, columns: &[Column], cells: &Cells, row: usize) -> io::Result<()> {
        let value = |(index, column): (usize, &Column)| json_value(cells.get(row, index), column.kind);
        let values = columns.iter().enumerate().map(value);
        let members: Vec<String> = self.keys.iter().zip(values).map(|(key, value)| format!("{key}:{value}")).collect();
        let separator = if self.rows == 0 { "\n" } else { ",\n" };
        self.rows += 1;
        write!(self.out, "{separator}{{{}}}", members.join(","))
    }

    fn end(&mut self) -> io::Result<()> {
        let separator = if self.rows == 0 { "" } else { "\n" };
        writeln!(self.out, "{separator}]")
    }
}

/// The keys of an object: the columns' names, a repeated one with a number behind it.
fn keys(columns: &[Column]) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for Column { name, .. } in columns {
        let numbered = (1..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        taken.extend(names.find(|name| !taken.contains(name)));
    }
    taken.iter().map(|name| json_text(name)).collect()
}

/// A value as JSON. A number keeps all its digits; a float that JSON has no number for is a string.
fn json_value(value: Option<&str>, kind: Kind) -> String {
    match (value, kind) {
        (None, _) => "null".into(),
        (Some(value), Kind::Number | Kind::Boolean) => value.into(),
        (Some(value), Kind::Float) if value.ends_with(|c: char| c.is_ascii_digit()) => value.into(),
        (Some(value), Kind::Nested) => finite_json(value),
        (Some(value), Kind::Float | Kind::Text) => json_text(value),
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// DuckDB's JSON, whose infinite and undefined numbers become strings: JSON has none.
fn finite_json(json: &str) -> String {
    let mut finite = String::with_capacity(json.len());
    let mut quoted = false;
    let mut at = 0;
    while let Some(c) = json[at..].chars().next() {
        let number = ["-Infinity", "Infinity", "NaN"].into_iter().find(|name| !quoted && json[at..].starts_with(name));
        if let Some(number) = number {
            finite += &json_text(number);
            at += number.len();
            continue;
        }
        if quoted && c == '\\' {
            let end = json[at + 1..].chars().next().map_or(json.len(), |next| at + 1 + next.len_utf8());
            finite += &json[at..end];
            at = end;
            continue;
        }
        quoted ^= c == '"';
        finite.push(c);
        at += c.len_utf8();
    }
    finite
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_short_and_keep_what_is_before_the_point() {
        for (full, short) in [
            ("0.8235294117647058", "0.823529"),
            ("0.1", "0.1"),
            ("12345678.912345", "12345678.9"),
            ("1234567890123.4567", "1234567890123.5"),
            ("0.000012345678901", "0.0000123457"),
            ("1.2345678901e-7", "1.23457e-7"),
            ("1.7976931348623157e+308", "1.79769e308"),
            ("-0.33333333333333331", "-0.333333"),
            ("0.20000000298023224", "0.2"),
            ("2.0000000001", "2.0"),
            ("inf", "inf"),
            ("nan", "nan"),
        ] {
            assert_eq!(short_float(full), short);
        }
    }

    #[test]
    fn json_has_finite_numbers_and_unique_keys() {
        assert_eq!(
            finite_json(r#"{"a":[Infinity,-Infinity,NaN],"NaN \" NaN":"Infinity"}"#),
            r#"{"a":["Infinity","-Infinity","NaN"],"NaN \" NaN":"Infinity"}"#
        );
        let columns = ["a", "b", "a", "a_1", "a"].map(|name| Column { name: name.into(), kind: Kind::Text });
        assert_eq!(keys(&columns), [r#""a""#, r#""b""#, r#""a_1""#, r#""a_1_1""#, r#""a_2""#]);
        for (value, kind, json) in [
            (Some("1e300"), Kind::Float, "1e300"),
            (Some("-inf"), Kind::Float, r#""-inf""#),
            (Some("nan"), Kind::Float, r#""nan""#),
            (Some("170141183460469231731687303715884105727"), Kind::Number, "170141183460469231731687303715884105727"),
            (Some("a\"b\n"), Kind::Text, r#""a\"b\n""#),
            (None, Kind::Boolean, "null"),
        ] {
            assert_eq!(json_value(value, kind), json);
        }
    }
}
