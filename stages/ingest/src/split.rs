//! Which part a query belongs to.

use anyhow::Result;
use pipeline::BadInput;
use pipeline::config::SplitConfig;

/// A part of the queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// The split as tables write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// The parts of queries by their hashes, and the rule that made them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) splits: Vec<Split>,
    /// `hash`: new queries move no other. `rank`: of so few queries that the hash would leave a part empty, each part
    /// gets its share in the order of the hashes.
    pub(crate) rule: &'static str,
}

/// Assigns a part to each query, given the hash of its text.
///
/// # Errors
/// [`BadInput`] where there are fewer queries than parts.
pub(crate) fn assign(hashes: &[u64], shares: &SplitConfig) -> Result<Assignment> {
    let weights = [shares.train, shares.validation, 1.0 - shares.train - shares.validation];
    let needed: Vec<Split> = Split::ALL.into_iter().filter(|&split| weights[split as usize] > 0.0).collect();
    if hashes.len() < needed.len() {
        Err(BadInput(format!(
            "ingest.split: expected a query for each of {} parts, found {} queries in all; give ingest more log or judgments",
            needed.len(),
            hashes.len()
        )))?;
    }
    let by_hash: Vec<Split> = hashes.iter().map(|&hash| at(hash as f64 / 2f64.powi(64), shares)).collect();
    if needed.iter().all(|split| by_hash.contains(split)) {
        return Ok(Assignment { splits: by_hash, rule: "hash" });
    }
    Ok(Assignment { splits: by_rank(hashes, &needed, &weights), rule: "rank" })
}

/// The part at `point` of the line from 0 to 1.
fn at(point: f64, shares: &SplitConfig) -> Split {
    if point < shares.train {
        Split::Train
    } else if point < shares.train + shares.validation {
        Split::Validation
    } else {
        Split::Test
    }
}

fn by_rank(hashes: &[u64], needed: &[Split], weights: &[f64; 3]) -> Vec<Split> {
    let mut left = hashes.len();
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|&index| hashes[index]);
    let mut order = order.into_iter();
    let mut splits = vec![Split::Test; hashes.len()];
    for (place, &split) in needed.iter().enumerate() {
        let still_needed = needed.len() - place - 1;
        let share = (weights[split as usize] * hashes.len() as f64).round() as usize;
        let count = if still_needed == 0 { left } else { share.clamp(1, left - still_needed) };
        left -= count;
        order.by_ref().take(count).for_each(|index| splits[index] = split);
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(train: f64, validation: f64) -> SplitConfig {
        SplitConfig { train, validation }
    }

    #[test]
    fn the_hash_decides_where_it_can() {
        let hashes = [0, u64::MAX / 100 * 65, u64::MAX];
        let assignment = assign(&hashes, &shares(0.6, 0.1)).unwrap();
        assert_eq!(assignment.splits, [Split::Train, Split::Validation, Split::Test]);
        assert_eq!(assignment.rule, "hash");
    }

    #[test]
    fn few_queries_are_shared_out_by_rank() {
        let assignment = assign(&[9, 3, 5, 1], &shares(0.5, 0.2)).unwrap();
        assert_eq!(assignment.rule, "rank");
        assert_eq!(assignment.splits, [Split::Test, Split::Train, Split::Validation, Split::Train]);
        assert!(assign(&[1, 2], &shares(0.5, 0.2)).is_err());
        assert!(assign(&[1, 2], &shares(0.5, 0.0)).is_ok());
    }

    proptest! {
        #[test]
        fn no_needed_part_is_empty(hashes in prop::collection::vec(any::<u64>(), 3..40), train in 0.01f64..0.9, rest in 0.01f64..0.9) {
            let validation = (1.0 - train) * rest;
            let assignment = assign(&hashes, &shares(train, validation)).unwrap();
            for split in Split::ALL {
                prop_assert!(assignment.splits.contains(&split));
            }
        }
    }
}
