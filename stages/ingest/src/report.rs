//! What became of the rows and clicks of an input.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// It is in a table.
    Kept,
    /// Its values went into the row of another one.
    Merged,
    /// It is well-formed, but a rule leaves it out.
    LeftOut,
    /// It is malformed.
    Rejected,
    /// It is no row at all, such as a repeated header or an event of another kind.
    NoRow,
}

impl Fate {
    /// The name in the table `ingest_report`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fate::Kept => "kept",
            Fate::Merged => "merged",
            Fate::LeftOut => "left_out",
            Fate::Rejected => "rejected",
            Fate::NoRow => "no_row",
        }
    }

    /// True if what the row said is lost.
    pub(crate) fn is_lost(self) -> bool {
        matches!(self, Fate::LeftOut | Fate::Rejected)
    }
}

/// Rows and clicks of one fate and reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) clicks: u64,
    /// The beginning of one of the lines: the first in byte-wise order, so that it does not depend on the order of lines.
    pub(crate) example: String,
}

/// Rows and clicks by fate and reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tallies {
    by_fate: BTreeMap<Fate, BTreeMap<String, Tally>>,
}

impl Tallies {
    /// Counts `rows` rows with `clicks` clicks; `example` is asked for only where it may be needed.
    pub(crate) fn add(&mut self, fate: Fate, reason: &str, rows: u64, clicks: u64, example: &str) {
        let reasons = self.by_fate.entry(fate).or_default();
        if !reasons.contains_key(reason) {
            reasons.insert(reason.to_string(), Tally { example: example.to_string(), ..Tally::default() });
        }
        if let Some(tally) = reasons.get_mut(reason) {
            tally.rows += rows;
            tally.clicks += clicks;
            if example < tally.example.as_str() {
                tally.example = example.to_string();
            }
        }
    }

    /// Takes clicks from the rows of a fate and reason, because they are counted with other rows.
    pub(crate) fn take_clicks(&mut self, fate: Fate, reason: &str, clicks: u64) {
        let tally = self.by_fate.get_mut(&fate).and_then(|reasons| reasons.get_mut(reason));
        if let Some(tally) = tally {
            tally.clicks -= clicks.min(tally.clicks);
        }
    }

    /// Adds the counts of another part of the input.
    pub(crate) fn merge(&mut self, other: &Tallies) {
        for (fate, reason, tally) in other.iter() {
            self.add(fate, reason, tally.rows, tally.clicks, &tally.example);
        }
    }

    /// Every fate and reason.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fate, &str, &Tally)> {
        let reasons = |(&fate, reasons)| {
            let reasons: &BTreeMap<String, Tally> = reasons;
            reasons.iter().map(move |(reason, tally)| (fate, reason.as_str(), tally))
        };
        self.by_fate.iter().flat_map(reasons)
    }

    /// Rows and clicks whose fate is one of those for which `wanted` is true.
    pub(crate) fn sum(&self, wanted: impl Fn(Fate) -> bool) -> (u64, u64) {
        let wanted = self.iter().filter(|&(fate, ..)| wanted(fate));
        wanted.fold((0, 0), |(rows, clicks), (_, _, tally)| (rows + tally.rows, clicks + tally.clicks))
    }

    /// The reason of loss with the most rows, or the most clicks.
    pub(crate) fn main_loss(&self, clicks: bool) -> Option<(&str, &Tally)> {
        let lost = self.iter().filter(|(fate, ..)| fate.is_lost());
        let size = |tally: &Tally| if clicks { tally.clicks } else { tally.rows };
        lost.max_by_key(|(_, _, tally)| size(tally)).map(|(_, reason, tally)| (reason, tally))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_parts_changes_nothing() {
        let mut parts = [Tallies::default(), Tallies::default()];
        parts[0].add(Fate::LeftOut, "robot", 2, 1, "b");
        parts[0].add(Fate::Kept, "", 5, 2, "");
        parts[1].add(Fate::LeftOut, "robot", 1, 1, "a");
        parts[1].add(Fate::Rejected, "bad", 1, 0, "c");
        let merged = |order: [usize; 2]| {
            let mut all = Tallies::default();
            order.into_iter().for_each(|part| all.merge(&parts[part]));
            all
        };
        let all = merged([0, 1]);
        assert_eq!(all, merged([1, 0]));
        assert_eq!(all.sum(|_| true), (9, 4));
        assert_eq!(all.sum(Fate::is_lost), (4, 2));
        let (reason, tally) = all.main_loss(false).unwrap();
        assert_eq!((reason, tally.example.as_str()), ("robot", "a"));
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Tallies>(&text).unwrap(), all);
    }
}
