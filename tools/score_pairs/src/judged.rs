//! Pairs with the grades that people gave them, all in memory.

use std::fs;
use std::path::Path;

use nn::text::Texts;
use pipeline::BadInput;

use crate::columns::{GRADE, told};
use crate::format::{Format, Packing};
use crate::pairs::{Pairs, Window, unreadable};
use crate::text::TextPairs;
use crate::{delimited, jsonl, parquet};

/// A query with a document, which somebody may have graded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedPair {
    /// The query.
    pub query: String,
    /// The document's title.
    pub title: String,
    /// The document's summary.
    pub summary: String,
    /// The number in the column `grade`, where the file has one.
    pub grade: Option<u32>,
}

impl JudgedPair {
    /// What a model reads of it.
    #[must_use]
    pub fn texts(&self) -> Texts<'_> {
        Texts { query: &self.query, title: &self.title, summary: &self.summary }
    }
}

/// Every row of a file of pairs of any kind that is scored.
///
/// # Errors
/// [`pipeline::ConfigError`] for a name that tells no format; [`pipeline::BadInput`] for rows without the texts, and grades that
/// are no whole numbers from 0.
pub fn read_judged(path: &Path) -> anyhow::Result<Vec<JudgedPair>> {
    let format = Format::of_input(path)?;
    fs::metadata(path).map_err(|cause| unreadable(path, &cause))?;
    let packing = Packing::Plain;
    match format {
        Format::JsonLines => read(path, TextPairs { lines: jsonl::open(path)?, packing }),
        Format::Csv => read(path, TextPairs { lines: delimited::open(path, b',')?, packing }),
        Format::Tsv => read(path, TextPairs { lines: delimited::open(path, b'\t')?, packing }),
        Format::Parquet => read(path, parquet::open(path)?),
    }
}

fn read(path: &Path, mut pairs: impl Pairs) -> anyhow::Result<Vec<JudgedPair>> {
    let mut rows = Vec::new();
    while let Some(window) = pairs.next()? {
        for (texts, grade) in window.texts().into_iter().zip(window.grades()) {
            let place = || format!("{}: row {}", path.display(), rows.len() + 1);
            let grade = grade.filter(|text| !text.trim().is_empty());
            let grade = grade.map(|text| whole(&text).ok_or_else(|| no_grade(&place(), &text))).transpose()?;
            let [query, title, summary] = [texts.query, texts.title, texts.summary].map(str::to_string);
            rows.push(JudgedPair { query, title, summary, grade });
        }
    }
    Ok(rows)
}

/// A whole number from 0, which some writers end in `.0`.
fn whole(text: &str) -> Option<u32> {
    let number: f64 = text.trim().parse().ok()?;
    ((0.0..=f64::from(u32::MAX)).contains(&number) && number.fract() == 0.0).then_some(number as u32)
}

fn no_grade(place: &str, found: &str) -> BadInput {
    BadInput(format!("{place}: expected a whole number from 0 in column `{GRADE}`, found {}", told(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades(name: &str, text: &str) -> anyhow::Result<Vec<Option<u32>>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        fs::write(&path, text)?;
        Ok(read_judged(&path)?.into_iter().map(|pair| pair.grade).collect())
    }

    #[test]
    fn grades_are_whole_numbers_or_absent() {
        let rows = "query\ttitle\tsummary\tgrade\na\tb\tc\t2\na\tb\tc\t\na\tb\tc\t1.0\n";
        assert_eq!(grades("p.tsv", rows).unwrap(), [Some(2), None, Some(1)]);
        let rows = r#"{"query": "a", "title": "b", "summary": "c", "grade": 3}
{"query": "a", "title": "b", "summary": "c", "grade": null}
{"query": "a", "title": "b", "summary": "c"}"#;
        assert_eq!(grades("p.jsonl", rows).unwrap(), [Some(3), None, None]);
        let error = grades("p.csv", "query,title,summary,grade\na,b,c,1\na,b,c,good\n").unwrap_err().to_string();
        assert!(
            error.ends_with("p.csv: row 2: expected a whole number from 0 in column `grade`, found good"),
            "{error}"
        );
    }
}
