//! What was counted while the files of the log were read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use records::{Reason, Record};
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::report::{Fate, Tallies};
use crate::segment::fate_of;

/// Cells of a histogram for each doubling of the value.
const CELLS: f64 = 16.0;

/// Counts of the records of a file, or of several.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub(crate) records: u64,
    pub(crate) lines: u64,
    /// Rows that were read from records, and their clicks.
    pub(crate) events: u64,
    pub(crate) clicks: u64,
    /// Records whose clicked field is a number above 1.
    pub(crate) click_counts: u64,
    /// Records with a time before 1990.
    pub(crate) early_times: u64,
    /// Records without rows.
    pub(crate) tallies: Tallies,
    pub(crate) malformed_records: u64,
    pub(crate) malformed_lines: u64,
    /// Line and problem of the first malformed record.
    pub(crate) first_malformed: Option<(u64, String)>,
    /// Line and damage of the first record with a NUL byte or invalid UTF-8.
    pub(crate) first_binary: Option<(u64, String)>,
    /// By wanted field: true if a record has it.
    pub(crate) found: Vec<bool>,
    /// By optional column: what was read.
    pub(crate) values: BTreeMap<Cow<'static, str>, Values>,
    /// Dwell times of clicks, counted by size.
    dwell: BTreeMap<u32, u64>,
    /// Documents that have a title.
    pub(crate) titles: u64,
    /// Documents that have a summary.
    pub(crate) summaries: u64,
}

/// Counts of the values of an optional column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Values {
    pub(crate) given: u64,
    pub(crate) bad: u64,
    /// Why the first bad value in byte-wise order cannot be read, and the value.
    pub(crate) example: Option<(String, String)>,
}

impl Values {
    fn note(&mut self, reason: &str, text: &str) {
        let earlier = self.example.as_ref().is_none_or(|(_, known)| text < known.as_str());
        if earlier {
            self.example = Some((reason.to_string(), text.to_string()));
        }
    }
}

impl Stats {
    pub(crate) fn new(fields: usize) -> Stats {
        Stats { found: vec![false; fields], ..Stats::default() }
    }

    pub(crate) fn count(&mut self, record: &Record) {
        self.records += 1;
        self.lines += record.span;
    }

    pub(crate) fn event(&mut self, event: &Event) {
        self.events += 1;
        self.clicks += u64::from(event.clicked);
        if let (true, Some(dwell)) = (event.clicked, event.dwell_seconds) {
            *self.dwell.entry(((1.0 + dwell).log2() * CELLS) as u32).or_default() += 1;
        }
    }

    pub(crate) fn value(&mut self, column: &'static str, text: &str, bad: Option<&str>) {
        if !self.values.contains_key(column) {
            self.values.insert(Cow::Borrowed(column), Values::default());
        }
        if let Some(values) = self.values.get_mut(column) {
            values.given += 1;
            if let Some(reason) = bad {
                values.bad += 1;
                values.note(reason, &records::printable(text.as_bytes(), 60));
            }
        }
    }

    /// Notes a record without rows; returns the reason.
    pub(crate) fn reject(
        &mut self,
        record: &Record,
        reason: Reason,
        clicked: bool,
        content: &str,
    ) -> Cow<'static, str> {
        let fate = fate_of(&reason);
        let reason = match reason {
            Reason::LeftOut(reason) => Cow::Borrowed(reason),
            Reason::Binary(damage) => {
                self.first_binary.get_or_insert_with(|| (record.line, damage.to_string()));
                Cow::Borrowed(damage)
            }
            Reason::Malformed(reason) => reason,
        };
        if fate == Fate::Rejected {
            self.malformed_records += 1;
            self.malformed_lines += record.span;
            self.first_malformed.get_or_insert_with(|| (record.line, format!("{reason}: `{content}`")));
        }
        self.tallies.add(fate, &reason, 1, u64::from(clicked), content);
        reason
    }

    /// Adds the counts of the records that follow.
    pub(crate) fn merge(&mut self, next: &Stats) {
        self.records += next.records;
        self.lines += next.lines;
        self.events += next.events;
        self.clicks += next.clicks;
        self.click_counts += next.click_counts;
        self.early_times += next.early_times;
        self.tallies.merge(&next.tallies);
        self.malformed_records += next.malformed_records;
        self.malformed_lines += next.malformed_lines;
        self.first_malformed = self.first_malformed.take().or(next.first_malformed.clone());
        self.first_binary = self.first_binary.take().or(next.first_binary.clone());
        self.found.resize(next.found.len(), false);
        self.found.iter_mut().zip(&next.found).for_each(|(found, next)| *found |= next);
        for (column, next) in &next.values {
            let values = self.values.entry(column.clone()).or_default();
            values.given += next.given;
            values.bad += next.bad;
            if let Some((reason, text)) = &next.example {
                values.note(reason, text);
            }
        }
        for (&size, count) in &next.dwell {
            *self.dwell.entry(size).or_default() += count;
        }
    }

    /// Adds the counts of other records of the same file.
    pub(crate) fn merge_unordered(&mut self, other: &Stats) {
        let first = |a: Option<(u64, String)>, b: &Option<(u64, String)>| a.into_iter().chain(b.clone()).min();
        let malformed = first(self.first_malformed.take(), &other.first_malformed);
        let binary = first(self.first_binary.take(), &other.first_binary);
        self.merge(other);
        (self.first_malformed, self.first_binary) = (malformed, binary);
    }

    /// The median dwell time of clicks, in seconds, within 5 %; `None` without any.
    pub(crate) fn median_dwell(&self) -> Option<f64> {
        let half = self.dwell.values().sum::<u64>().div_ceil(2);
        let mut counted = 0;
        let median = self.dwell.iter().find(|(_, count)| {
            counted += **count;
            counted >= half
        });
        median.map(|(&size, _)| ((f64::from(size) + 0.5) / CELLS).exp2() - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_near() {
        let mut stats = Stats::default();
        assert_eq!(stats.median_dwell(), None);
        for dwell in 1..=1001 {
            stats.event(&Event { clicked: true, dwell_seconds: Some(f64::from(dwell)), ..Event::default() });
            stats.event(&Event { dwell_seconds: Some(1e6), ..Event::default() });
        }
        let median = stats.median_dwell().unwrap();
        assert!((median / 501.0 - 1.0).abs() < 0.05, "{median}");
    }
}
