//! How raw records are written, as the configuration says it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::delimited::Delimited;
use crate::values::Nulls;

/// How raw records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawFormat {
    /// JSON objects: one a line, several on a line, over several lines, or the items of one array.
    Jsonl,
    /// Comma-separated, quoted where needed, with a header.
    Csv,
    /// Tab-separated with a header; a quote is an ordinary character.
    Tsv,
    /// Parquet.
    Parquet,
}

/// How delimited text is written, where it differs from the format's habit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// The character between fields, instead of the comma or the tab.
    pub delimiter: Option<char>,
    /// The character around quoted fields: `"` by default in CSV, none in TSV.
    pub quote: Option<char>,
    /// How a quote inside a quoted field is written.
    pub escape: QuoteEscape,
    /// The first character of lines that are comments, which are skipped.
    pub comment: Option<char>,
    /// The names of the columns, where the files have no header. With an empty list they are the numbers `1`, `2` and so on.
    pub header: Option<Vec<String>>,
    /// Name of the list of all fields after those of `header`.
    pub rest: Option<String>,
}

/// How a quote inside a quoted CSV field is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuoteEscape {
    /// Twice, as RFC 4180 has it.
    #[default]
    Double,
    /// Twice or after a backslash; a backslash stands for the character that follows it.
    Backslash,
}

/// How the records of a file are written, and which texts stand for a missing value.
#[derive(Debug, Clone)]
pub struct Layout {
    pub(crate) form: Form,
    pub(crate) nulls: Arc<Nulls>,
}

/// The reader of a file and its settings.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    Json,
    Delimited(Delimited),
    Parquet,
}

impl Layout {
    /// The layout of a format; `dialect` concerns delimited text alone.
    #[must_use]
    pub fn new(format: RawFormat, dialect: &Dialect) -> Layout {
        let delimited = |delimiter: char, quote: Option<char>| {
            Form::Delimited(Delimited {
                delimiter: Some(dialect.delimiter.unwrap_or(delimiter)),
                quote: dialect.quote.or(quote),
                backslash: dialect.escape == QuoteEscape::Backslash,
                comment: dialect.comment,
                header: dialect.header.clone(),
                rest: dialect.rest.clone(),
            })
        };
        let form = match format {
            RawFormat::Jsonl => Form::Json,
            RawFormat::Parquet => Form::Parquet,
            RawFormat::Csv => delimited(',', Some('"')),
            RawFormat::Tsv => delimited('\t', None),
        };
        Layout { form, nulls: Arc::new(Nulls::new([])) }
    }

    /// Fields separated by white space, with the names `1`, `2` and so on: TREC qrels. Records may have any number of them.
    #[must_use]
    pub fn space() -> Layout {
        let (delimiter, quote, comment) = (None, None, None);
        let header = Some(Vec::new());
        let form = Form::Delimited(Delimited { delimiter, quote, backslash: false, comment, header, rest: None });
        Layout { form, nulls: Arc::new(Nulls::new([])) }
    }

    /// The character between fields, of text that has one.
    #[must_use]
    pub fn delimiter(&self) -> Option<char> {
        match &self.form {
            Form::Delimited(delimited) => delimited.delimiter,
            Form::Json | Form::Parquet => None,
        }
    }

    /// The layout, with texts that stand for a missing value; blank ones always do. They are compared with trimmed values.
    #[must_use]
    pub fn with_nulls(self, nulls: impl IntoIterator<Item = String>) -> Layout {
        Layout { nulls: Arc::new(Nulls::new(nulls)), ..self }
    }
}
