//! Reading of an input, with the count of its records: each is a row or a reject, and the sum is checked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Result, bail};
use pipeline::BadInput;
use pipeline::config::{BinaryLines, CleanConfig};
use records::{Field, Layout, RawFile, Reason, Record, Values};
use serde_json::json;

/// Characters of a rejected record that are kept.
const CONTENT_CHARS: usize = 200;

/// A record that did not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) file: Rc<str>,
    pub(crate) line: u64,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) content: String,
}

/// The raw files of one kind, and the wanted fields.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// What the records are, such as `log`.
    pub(crate) what: &'static str,
    pub(crate) files: Vec<RawFile>,
    pub(crate) layout: Layout,
    pub(crate) fields: Vec<Field>,
}

impl Source {
    /// Calls `row` with every readable record: the index of its file, its line and its values. A record for which `row`
    /// returns a reason is rejected.
    ///
    /// # Errors
    /// [`BadInput`] on a file or a share of malformed lines that cannot be accepted.
    pub(crate) fn read(
        &self,
        limits: RejectLimits,
        mut row: impl FnMut(usize, u64, &Values) -> Result<(), Reason>,
    ) -> Result<RecordCounts> {
        let mut counts = RecordCounts::new(self.what, limits);
        let mut seen = vec![false; self.fields.len()];
        for (number, file) in self.files.iter().enumerate() {
            counts.begin_file();
            let found = records::read(file, self.layout, &self.fields, &mut |record| {
                counts.count(record);
                let outcome = match &record.values {
                    Ok(values) => row(number, record.line, values),
                    Err(reason) => Err(reason.clone()),
                };
                outcome.or_else(|reason| counts.reject(file, record, reason))
            })?;
            counts.end_file(file)?;
            seen.iter_mut().zip(found).for_each(|(seen, found)| *seen |= found);
        }
        // A field may be missing from some records and files, but not from all.
        let missing = self.fields.iter().zip(seen).find(|(_, seen)| !seen);
        if let (Some((field, _)), Some(file)) = (missing, self.files.first()) {
            Err(records::missing_field(file, &field.name, "it in no record of any file"))?;
        }
        counts.end_input()?;
        Ok(counts)
    }

    /// The text of the records that start at the `wanted` lines.
    fn contents(&self, wanted: &BTreeMap<(usize, u64), &'static str>) -> Result<BTreeMap<(usize, u64), String>> {
        let mut contents = BTreeMap::new();
        for (number, file) in self.files.iter().enumerate() {
            if wanted.range((number, 0)..=(number, u64::MAX)).next().is_some() {
                records::read::<anyhow::Error>(file, self.layout, &self.fields, &mut |record| {
                    let key = (number, record.line);
                    if wanted.contains_key(&key) {
                        contents.insert(key, beginning(&record.content));
                    }
                    Ok::<(), anyhow::Error>(())
                })?;
            }
        }
        Ok(contents)
    }
}

/// How many malformed records are accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RejectLimits {
    max_reject_fraction: f64,
    binary: BinaryLines,
}

impl RejectLimits {
    /// Any malformed record is an error.
    pub(crate) const STRICT: RejectLimits = RejectLimits { max_reject_fraction: 0.0, binary: BinaryLines::Error };

    pub(crate) fn of(clean: &CleanConfig) -> RejectLimits {
        RejectLimits { max_reject_fraction: clean.max_reject_fraction, binary: clean.binary }
    }
}

/// Counts of an input's records and lines, and its rejects.
#[derive(Debug)]
pub(crate) struct RecordCounts {
    what: &'static str,
    limits: RejectLimits,
    records: u64,
    lines: u64,
    malformed_lines: u64,
    first_malformed: Option<String>,
    /// Counts of the file being read.
    in_file: FileCounts,
    rejects: Vec<Reject>,
}

/// Counts of one file's records.
#[derive(Debug, Default)]
struct FileCounts {
    records: u64,
    malformed: u64,
    /// Line and problem of the first malformed record.
    first_malformed: Option<(u64, String)>,
}

impl RecordCounts {
    fn new(what: &'static str, limits: RejectLimits) -> RecordCounts {
        RecordCounts {
            what,
            limits,
            records: 0,
            lines: 0,
            malformed_lines: 0,
            first_malformed: None,
            in_file: FileCounts::default(),
            rejects: Vec::new(),
        }
    }

    fn begin_file(&mut self) {
        self.in_file = FileCounts::default();
    }

    fn count(&mut self, record: &Record) {
        self.records += 1;
        self.lines += record.span;
        self.in_file.records += 1;
    }

    fn reject(&mut self, file: &RawFile, record: &Record, reason: Reason) -> Result<()> {
        let content = beginning(&record.content);
        let reason = match reason {
            Reason::LeftOut(reason) => Cow::Borrowed(reason),
            Reason::Binary(damage) if self.limits.binary == BinaryLines::Error => {
                let problem = format!(
                    "expected text, found {damage}; write the file again, or set ingest.clean.binary = \"reject\" to leave such lines out"
                );
                return Err(file.bad_line(record.line, problem).into());
            }
            Reason::Binary(damage) => self.malformed(file, record, damage.into(), &content)?,
            Reason::Malformed(reason) => self.malformed(file, record, reason, &content)?,
        };
        self.rejects.push(Reject { file: file.name.clone(), line: record.line, reason, content });
        Ok(())
    }

    fn malformed(
        &mut self,
        file: &RawFile,
        record: &Record,
        reason: Cow<'static, str>,
        content: &str,
    ) -> Result<Cow<'static, str>> {
        let problem = format!("{reason}: `{content}`");
        if self.limits.max_reject_fraction == 0.0 {
            return Err(file.bad_line(record.line, problem).into());
        }
        self.malformed_lines += record.span;
        self.in_file.malformed += 1;
        self.in_file.first_malformed.get_or_insert((record.line, problem.clone()));
        let place = file.bad_line(record.line, &*problem).to_string();
        self.first_malformed.get_or_insert(place);
        Ok(reason)
    }

    fn end_file(&mut self, file: &RawFile) -> Result<()> {
        match self.in_file.first_malformed.take() {
            Some((line, problem)) if self.in_file.records == self.in_file.malformed => {
                let problem = format!(
                    "{problem}, and no other record of the file can be read either; correct its format or columns in the configuration"
                );
                Err(file.bad_line(line, problem).into())
            }
            _ => Ok(()),
        }
    }

    fn end_input(&self) -> Result<()> {
        let share = self.malformed_lines as f64 / self.lines.max(1) as f64;
        match &self.first_malformed {
            Some(first) if share > self.limits.max_reject_fraction => Err(BadInput(format!(
                "{first}, the first of {} malformed among {} lines, which is more than ingest.clean.max_reject_fraction = {}; correct the files, or their format in the configuration",
                self.malformed_lines, self.lines, self.limits.max_reject_fraction
            ))
            .into()),
            _ => Ok(()),
        }
    }

    /// Turns records of `source` that were read as rows into rejects; `rows` has their reasons by file index and line.
    ///
    /// # Errors
    /// As [`Source::read`]: the files are read once more for the records' text.
    pub(crate) fn reject_rows(&mut self, source: &Source, rows: &BTreeMap<(usize, u64), &'static str>) -> Result<()> {
        let contents = source.contents(rows)?;
        for (at, &reason) in rows {
            self.rejects.push(Reject {
                file: source.files[at.0].name.clone(),
                line: at.1,
                reason: reason.into(),
                content: contents.get(at).cloned().unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// Checks the counts and returns the rejects, and the figures for the manifest.
    ///
    /// # Errors
    /// Where `rows` and the rejects are not all records, a defect of the program.
    pub(crate) fn finish(self, rows: u64) -> Result<(Vec<Reject>, serde_json::Value)> {
        let rejects = self.rejects.len() as u64;
        if rows + rejects != self.records {
            bail!(
                "{}: expected every one of {} records as a row or a reject, found {rows} rows and {rejects} rejects",
                self.what,
                self.records
            );
        }
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for reject in &self.rejects {
            *reasons.entry(&reject.reason).or_default() += 1;
        }
        let figures = json!({
            "lines_in": self.records,
            "rows_out": rows,
            "rejects": rejects,
            "reasons": reasons,
        });
        Ok((self.rejects, figures))
    }
}

/// The first characters of a record, damage shown as the replacement character.
fn beginning(content: &[u8]) -> String {
    let enough = content.len().min(CONTENT_CHARS * 4);
    let text = String::from_utf8_lossy(&content[..enough]);
    text.chars().take(CONTENT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use records::Delimited;

    /// Reads `text` as a CSV file of a whole-number column `n`, and checks the counts.
    fn read(text: &[u8], clean: &CleanConfig) -> Result<(Vec<Reject>, serde_json::Value)> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("x.csv");
        std::fs::write(&path, text)?;
        let source = Source {
            what: "log",
            files: vec![RawFile { path, name: "x.csv".into() }],
            layout: Layout::Delimited { kind: Delimited::Csv { backslash: false }, header: true },
            fields: vec![Field::required("n")],
        };
        let mut rows = 0;
        let counts = source.read(RejectLimits::of(clean), |_, _, values| {
            let number: Option<u32> = values[0].as_deref().and_then(|text| text.parse().ok());
            number.ok_or(Reason::from("n is not a number"))?;
            rows += 1;
            Ok(())
        })?;
        counts.finish(rows)
    }

    fn tolerant(max_reject_fraction: f64, binary: BinaryLines) -> CleanConfig {
        CleanConfig { max_reject_fraction, binary, ..CleanConfig::default() }
    }

    #[test]
    fn a_few_malformed_lines_are_rejects_and_many_an_error() {
        let text = b"n\n1\nx\n3\n4\n";
        let (rejects, figures) = read(text, &tolerant(0.25, BinaryLines::Error)).unwrap();
        let expected =
            Reject { file: "x.csv".into(), line: 3, reason: "n is not a number".into(), content: "x".into() };
        assert_eq!(rejects, [expected]);
        let expected = json!({"lines_in": 4, "rows_out": 3, "rejects": 1, "reasons": {"n is not a number": 1}});
        assert_eq!(figures, expected);
        let error = read(text, &tolerant(0.24, BinaryLines::Error)).unwrap_err();
        let expected = "x.csv:3: n is not a number: `x`, the first of 1 malformed among 4 lines";
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_file_without_a_readable_record_is_an_error() {
        let error = read(b"n\nx\ny\n", &tolerant(1.0, BinaryLines::Error)).unwrap_err();
        assert!(error.to_string().contains("no other record of the file"), "{error}");
    }

    #[test]
    fn binary_damage_is_an_error_unless_it_may_be_rejected() {
        let text = b"n\n1\n\xff\n2\n";
        let error = read(text, &tolerant(1.0, BinaryLines::Error)).unwrap_err();
        assert!(error.to_string().contains("x.csv:3: expected text, found invalid UTF-8"), "{error}");
        let (rejects, _) = read(text, &tolerant(1.0, BinaryLines::Reject)).unwrap();
        assert_eq!((rejects[0].line, &*rejects[0].reason), (3, "invalid UTF-8"));
    }

    proptest! {
        #[test]
        fn every_record_is_a_row_or_a_reject(lines in prop::collection::vec("[0-9]{1,3}|[a-z,]{0,4}|\"[a-z\n]{0,4}\"|n", 0..30)) {
            let text = format!("n\n7\n{}\n", lines.join("\n"));
            let (rejects, figures) = read(text.as_bytes(), &tolerant(1.0, BinaryLines::Error)).unwrap();
            let rows = lines.iter().filter(|line| line.parse::<u32>().is_ok()).count() + 1;
            prop_assert_eq!(&figures["rows_out"], rows);
            let blank = lines.iter().filter(|line| line.trim().is_empty()).count();
            prop_assert_eq!(rejects.len(), lines.len() + 1 - rows - blank);
        }
    }
}
