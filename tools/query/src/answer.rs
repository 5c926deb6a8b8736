//! Rows of an answer as a table, CSV or JSON.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use duckdb::Rows;
use duckdb::types::Value;

use crate::value;

/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people; the number of rows goes to stderr
    #[default]
    Table,
    /// RFC 4180 with a header; a missing value is empty, an empty text is `""`
    Csv,
    /// An array of one object per row
    Json,
}

/// Writes the rows of an executed statement; one without columns to show, such as `SET`, writes nothing.
///
/// # Errors
/// [`io::Error`] where `out` cannot be written, [`duckdb::Error`] where a row cannot be fetched.
pub(crate) fn write_answer(mut rows: Rows<'_>, format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
    let names = rows.as_ref().map_or(Vec::new(), |s| s.column_names());
    let mut sink: Box<dyn Sink + '_> = match format {
        Format::Table => Box::new(TableSink::new(out)),
        Format::Csv => Box::new(CsvSink { out }),
        Format::Json => Box::new(JsonSink::new(out)),
    };
    let mut begun = false;
    while let Some(row) = rows.next()? {
        let values = (0..names.len()).map(|i| row.get::<_, Value>(i)).collect::<Result<Vec<_>, _>>()?;
        if !begun {
            sink.begin(&names)?;
            begun = true;
        }
        sink.row(&values)?;
    }
    // DuckDB answers statements such as SET with one column and no row.
    if !begun && !matches!(names.as_slice(), [only] if only == "Success" || only == "Count") {
        sink.begin(&names)?;
        begun = true;
    }
    if begun {
        sink.end()?;
    }
    Ok(())
}

/// Where rows go.
trait Sink {
    fn begin(&mut self, names: &[String]) -> io::Result<()>;
    fn row(&mut self, values: &[Value]) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;
}

struct TableSink<'a> {
    out: &'a mut dyn Write,
    table: Table,
    numeric: Vec<bool>,
    rows: usize,
}

impl<'a> TableSink<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        TableSink { out, table, numeric: Vec::new(), rows: 0 }
    }
}

impl Sink for TableSink<'_> {
    fn begin(&mut self, names: &[String]) -> io::Result<()> {
        self.table.set_header(names);
        self.numeric = vec![true; names.len()];
        Ok(())
    }

    fn row(&mut self, values: &[Value]) -> io::Result<()> {
        for (numeric, value) in self.numeric.iter_mut().zip(values) {
            *numeric &= value::is_number(value) || *value == Value::Null;
        }
        let cells = values.iter().map(|value| value::text(value).unwrap_or_else(|| "NULL".into()));
        self.table.add_row(cells);
        self.rows += 1;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        for (index, numeric) in self.numeric.iter().enumerate() {
            if let Some(column) = self.table.column_mut(index).filter(|_| *numeric) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(self.out, "{}", self.table)?;
        let plural = if self.rows == 1 { "row" } else { "rows" };
        writeln!(io::stderr(), "{} {plural}", self.rows)
    }
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
    fn begin(&mut self, names: &[String]) -> io::Result<()> {
        self.record(names.iter().map(|name| csv_field(name)))
    }

    fn row(&mut self, values: &[Value]) -> io::Result<()> {
        let field = |value| value::text(value).map_or(String::new(), |text| csv_field(&text));
        self.record(values.iter().map(field))
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
    out: &'a mut dyn Write,
    keys: Vec<String>,
    rows: usize,
}

impl<'a> JsonSink<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        JsonSink { out, keys: Vec::new(), rows: 0 }
    }
}

impl Sink for JsonSink<'_> {
    fn begin(&mut self, names: &[String]) -> io::Result<()> {
        self.keys = names.iter().map(|name| value::json_text(name)).collect();
        write!(self.out, "[")
    }

    fn row(&mut self, values: &[Value]) -> io::Result<()> {
        let members: Vec<String> =
            self.keys.iter().zip(values).map(|(key, value)| format!("{key}:{}", value::json(value))).collect();
        let separator = if self.rows == 0 { "\n" } else { ",\n" };
        self.rows += 1;
        write!(self.out, "{separator}{{{}}}", members.join(","))
    }

    fn end(&mut self) -> io::Result<()> {
        let separator = if self.rows == 0 { "" } else { "\n" };
        writeln!(self.out, "{separator}]")
    }
}
