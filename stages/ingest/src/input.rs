//! Reading of a small input, record by record, with the count of its records: each is a row or a reject.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Result, bail};
use records::{Field, Layout, RawFile, Reason, Value};

use crate::report::{Fate, Tallies};

/// Characters of a rejected record that are kept.
pub(crate) const CONTENT_CHARS: usize = 200;

/// A record that did not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) file: Arc<str>,
    pub(crate) line: u64,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) content: String,
}

/// The raw files of one kind, and the wanted fields.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) files: Vec<RawFile>,
    pub(crate) layout: Layout,
    pub(crate) fields: Vec<Field>,
    /// Records of each file that are read; all where there are no more.
    pub(crate) most: u64,
}

/// Where a record stands, and its beginning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) line: u64,
    pub(crate) content: String,
}

/// What was read from an input.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) rows: u64,
    /// Text of the records, in bytes.
    pub(crate) bytes: u64,
    /// True if a file has more records than were read.
    pub(crate) is_cut: bool,
    /// By wanted field: true if a file has it.
    pub(crate) found: Vec<bool>,
    pub(crate) tallies: Tallies,
    pub(crate) rejects: Vec<Reject>,
}

impl Source {
    /// Calls `row` with the place and the values of every record; one for which it returns a reason is rejected.
    ///
    /// # Errors
    /// [`pipeline::BadInput`] on a file that cannot be read and on the first malformed record.
    pub(crate) fn read(&self, mut row: impl FnMut(Place, &[Value]) -> Result<(), Reason>) -> Result<Counts> {
        let mut counts = Counts { found: vec![false; self.fields.len()], ..Counts::default() };
        for (number, file) in self.files.iter().enumerate() {
            let first =
                records::read_first::<anyhow::Error>(file, &self.layout, &self.fields, self.most, &mut |record| {
                    counts.records += 1;
                    let content = record.content();
                    counts.bytes += content.len() as u64 + 1;
                    let content = records::printable(&content, CONTENT_CHARS);
                    let place = Place { file: number, line: record.line, content: content.clone() };
                    let outcome = match &record.values {
                        Ok(values) => row(place.clone(), values),
                        Err(reason) => Err(reason.clone()),
                    };
                    match outcome {
                        Ok(()) => counts.rows += 1,
                        Err(Reason::LeftOut(reason)) => counts.reject(file, &place, Fate::NoRow, reason),
                        Err(Reason::Binary(damage)) => {
                            let problem = format!("expected text, found {damage}; write the file again");
                            Err(file.bad_line(record.line, problem))?;
                        }
                        Err(Reason::Malformed(reason)) => {
                            Err(file.bad_line(record.line, format!("{reason}: `{content}`")))?;
                        }
                    }
                    Ok(())
                })?;
            counts.is_cut |= !first.whole;
            counts.found.iter_mut().zip(first.found).for_each(|(known, found)| *known |= found);
        }
        Ok(counts)
    }
}

impl Counts {
    /// Counts a record as no row and notes it as a reject.
    fn reject(&mut self, file: &RawFile, place: &Place, fate: Fate, reason: &'static str) {
        self.tallies.add(fate, reason, 1, 0, &place.content);
        let (file, content) = (file.name.clone(), place.content.clone());
        self.rejects.push(Reject { file, line: place.line, reason: reason.into(), content });
    }

    /// Takes a row back.
    pub(crate) fn take_back(&mut self, source: &Source, place: &Place, fate: Fate, reason: &'static str) {
        self.rows -= 1;
        self.reject(&source.files[place.file], place, fate, reason);
    }

    /// Checks that every record is a row or a reject.
    ///
    /// # Errors
    /// Only on a defect of the program.
    pub(crate) fn check(&self, what: &str) -> Result<()> {
        let (others, _) = self.tallies.sum(|_| true);
        if self.rows + others != self.records {
            let Counts { records, rows, .. } = self;
            bail!(
                "{what}: expected each of {records} records to be a row or not, found {rows} rows and {others} others"
            );
        }
        Ok(())
    }
}
