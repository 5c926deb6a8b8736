//! Assignment of queries to training, validation and test.

use std::collections::BTreeSet;

use anyhow::Result;
use pipeline::config::SplitConfig;
use pipeline::{BadInput, counted};

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

/// The properties of a query that decide its part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    /// Hash of its text.
    pub(crate) hash: u64,
    /// Its id in the judgments; `None` if it is not judged.
    pub(crate) judged_as: Option<&'a str>,
    /// The split of the judgment files it is in, if those have splits.
    pub(crate) official: Option<Split>,
}

/// The part of each query, and the rule that was used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) splits: Vec<Split>,
    /// `hash`: by the hash of the text, so that further queries do not move others. `rank`: used where hashes would leave a
    /// part empty; each part gets its share in the order of the hashes. `files`: by the splits of the judgment files.
    pub(crate) rule: &'static str,
}

/// Assigns a part to each query. Queries of judgment files with splits are in those, and all other queries train; without
/// a validation file, the training queries are divided in the proportion of `train` to `validation`. With folds, the test part is one of them, and the rule shares out the rest.
///
/// # Errors
/// [`BadInput`] where there are fewer queries than parts, or fewer judged queries than folds.
pub(crate) fn assign(queries: &[Key], config: &SplitConfig) -> Result<Assignment> {
    let SplitConfig { train, validation, folds, test_fold } = *config;
    let hashes = |of: &[usize]| of.iter().map(|&query| queries[query].hash).collect::<Vec<_>>();
    let mut all: Vec<usize> = (0..queries.len()).collect();
    if queries.iter().any(|query| query.official.is_some()) {
        let mut splits: Vec<Split> = queries.iter().map(|query| query.official.unwrap_or(Split::Train)).collect();
        if !splits.contains(&Split::Validation) && validation > 0.0 {
            all.retain(|&query| splits[query] == Split::Train);
            let needed = if train > 0.0 { 2 } else { 1 };
            if all.len() < needed {
                Err(BadInput(format!(
                    "ingest.judgments.splits: expected training queries, {needed} at least, as validation takes a part of \
                     them, found {}; name files of training judgments, or cross-validate what is judged: \
                     ingest.judgments.paths instead of splits, and ingest.split.folds",
                    all.len()
                )))?;
            }
            let rest = train + validation;
            let shared = share_out(&hashes(&all), &[train / rest, validation / rest, 0.0])?;
            all.into_iter().zip(shared.splits).for_each(|(query, split)| splits[query] = split);
        }
        return Ok(Assignment { splits, rule: "files" });
    }
    let Some(folds) = folds else {
        return share_out(&hashes(&all), &[train, validation, 1.0 - train - validation]);
    };
    let tested = fold(queries, folds, test_fold)?;
    all.retain(|query| !tested.contains(query));
    let rest = train + validation;
    let shared = share_out(&hashes(&all), &[train / rest, validation / rest, 0.0])?;
    let mut splits = vec![Split::Test; queries.len()];
    all.into_iter().zip(shared.splits).for_each(|(query, split)| splits[query] = split);
    Ok(Assignment { splits, ..shared })
}

/// The queries of one fold. The judged queries are dealt in turn in the order of their ids: the n-th, from 1, is in fold
/// `n mod folds`. Numbers come in the order of their values, before other ids.
fn fold(queries: &[Key], folds: usize, test_fold: usize) -> Result<BTreeSet<usize>> {
    let judged = queries.iter().enumerate().filter_map(|(query, key)| Some((id_order(key.judged_as?), query)));
    let mut judged: Vec<_> = judged.collect();
    judged.sort_unstable();
    if judged.len() < folds {
        Err(BadInput(format!(
            "ingest.split.folds: expected a judged query for each of {folds} folds, found {} in all; judge more queries or \
             lower the number of folds",
            judged.len()
        )))?;
    }
    let dealt = (1..).zip(judged).filter(|(turn, _)| turn % folds == test_fold);
    Ok(dealt.map(|(_, (_, query))| query).collect())
}

/// Orders ids: numbers by value, then other ids by their text.
pub(crate) fn id_order(id: &str) -> (Result<u64, ()>, &str) {
    (id.parse().map_err(|_| ()), id)
}

/// Assigns parts of the given shares by the hashes of texts.
fn share_out(hashes: &[u64], shares: &[f64; 3]) -> Result<Assignment> {
    let needed: Vec<Split> = Split::ALL.into_iter().filter(|&split| shares[split as usize] > 0.0).collect();
    if hashes.len() < needed.len() {
        Err(BadInput(format!(
            "ingest.split: expected a query for each of {} parts, found {} in all; give ingest more log or judgments",
            needed.len(),
            counted(hashes.len(), "query")
        )))?;
    }
    let by_hash: Vec<Split> = hashes.iter().map(|&hash| at(hash as f64 / 2f64.powi(64), shares)).collect();
    if needed.iter().all(|split| by_hash.contains(split)) {
        return Ok(Assignment { splits: by_hash, rule: "hash" });
    }
    Ok(Assignment { splits: by_rank(hashes, &needed, shares), rule: "rank" })
}

/// The part at `point` of the line from 0 to 1.
fn at(point: f64, [train, validation, test]: &[f64; 3]) -> Split {
    if point < *train {
        Split::Train
    } else if point < train + validation || *test == 0.0 {
        Split::Validation
    } else {
        Split::Test
    }
}

fn by_rank(hashes: &[u64], needed: &[Split], shares: &[f64; 3]) -> Vec<Split> {
    let mut left = hashes.len();
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|&index| hashes[index]);
    let mut order = order.into_iter();
    let mut splits = vec![Split::Test; hashes.len()];
    for (place, &split) in needed.iter().enumerate() {
        let still_needed = needed.len() - place - 1;
        let share = (shares[split as usize] * hashes.len() as f64).round() as usize;
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
        SplitConfig { train, validation, ..SplitConfig::default() }
    }

    fn unjudged(hashes: &[u64]) -> Vec<Key<'static>> {
        hashes.iter().map(|&hash| Key { hash, judged_as: None, official: None }).collect()
    }

    #[test]
    fn the_hash_decides_where_it_can() {
        let hashes = [0, u64::MAX / 100 * 65, u64::MAX];
        let assignment = assign(&unjudged(&hashes), &shares(0.6, 0.1)).unwrap();
        assert_eq!(assignment.splits, [Split::Train, Split::Validation, Split::Test]);
        assert_eq!(assignment.rule, "hash");
    }

    #[test]
    fn few_queries_are_shared_out_by_rank() {
        let assignment = assign(&unjudged(&[9, 3, 5, 1]), &shares(0.5, 0.2)).unwrap();
        assert_eq!(assignment.rule, "rank");
        assert_eq!(assignment.splits, [Split::Test, Split::Train, Split::Validation, Split::Train]);
        assert!(assign(&unjudged(&[1, 2]), &shares(0.5, 0.2)).is_err());
        assert!(assign(&unjudged(&[1, 2]), &shares(0.5, 0.0)).is_ok());
    }

    #[test]
    fn ids_from_one_on_are_dealt_by_their_remainder() {
        let ids: Vec<String> = (1..=225).map(|id| id.to_string()).collect();
        let mut queries: Vec<Key> =
            ids.iter().map(|id| Key { hash: fold_hash(id), judged_as: Some(id), official: None }).collect();
        queries.extend(unjudged(&[0, u64::MAX / 2, u64::MAX]));
        let mut tested = 0;
        for test_fold in 0..5 {
            let config = SplitConfig { folds: Some(5), test_fold, ..shares(0.6, 0.1) };
            let Assignment { splits, rule } = assign(&queries, &config).unwrap();
            assert_eq!(rule, "hash");
            for (id, split) in (1..=225).zip(&splits) {
                assert_eq!(*split == Split::Test, id % 5 == test_fold, "{id}");
            }
            assert_eq!(splits[225..], [Split::Train, Split::Train, Split::Validation]);
            let count = |wanted| splits.iter().filter(|&&split| split == wanted).count();
            assert!((15..40).contains(&count(Split::Validation)), "{}", count(Split::Validation));
            tested += count(Split::Test);
        }
        assert_eq!(tested, 225);
    }

    fn fold_hash(id: &str) -> u64 {
        id.bytes()
            .fold(7, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
    }

    #[test]
    fn numbers_come_before_other_ids_and_folds_are_never_empty() {
        let ids = ["q2", "10", "9", "q10"];
        let queries: Vec<Key> = ids.iter().map(|id| Key { hash: 0, judged_as: Some(id), official: None }).collect();
        let fold_of = |test_fold| fold(&queries, 4, test_fold).unwrap().into_iter().map(|query| ids[query]).collect();
        let folds: Vec<Vec<&str>> = (0..4).map(fold_of).collect();
        assert_eq!(folds, [["q2"], ["9"], ["10"], ["q10"]]);
        let error = fold(&queries, 5, 0).unwrap_err().to_string();
        assert!(error.contains("a judged query for each of 5 folds, found 4 in all"), "{error}");
    }

    #[test]
    fn files_decide_for_their_queries() {
        let mut queries = unjudged(&[0, u64::MAX / 2, u64::MAX, 7, u64::MAX - 1]);
        queries[0].official = Some(Split::Test);
        queries[1].official = Some(Split::Validation);
        let Assignment { splits, rule } = assign(&queries, &shares(0.6, 0.1)).unwrap();
        assert_eq!(splits, [Split::Test, Split::Validation, Split::Train, Split::Train, Split::Train]);
        assert_eq!(rule, "files");
        queries[1].official = None;
        let splits = assign(&queries, &shares(0.6, 0.1)).unwrap().splits;
        assert_eq!(splits, [Split::Test, Split::Train, Split::Validation, Split::Train, Split::Validation]);
        // Test judgments alone.
        queries.truncate(1);
        let error = assign(&queries, &shares(0.6, 0.1)).unwrap_err().to_string();
        assert!(error.starts_with("ingest.judgments.splits: expected training queries, 2 at least, as"), "{error}");
        assert!(error.contains("found 0; name files of training judgments"), "{error}");
        assert!(assign(&queries, &shares(0.6, 0.0)).is_ok());
    }

    proptest! {
        #[test]
        fn no_needed_part_is_empty(hashes in prop::collection::vec(any::<u64>(), 3..40), train in 0.01f64..0.9, rest in 0.01f64..0.9) {
            let validation = (1.0 - train) * rest;
            let assignment = assign(&unjudged(&hashes), &shares(train, validation)).unwrap();
            for split in Split::ALL {
                prop_assert!(assignment.splits.contains(&split));
            }
        }
    }
}
