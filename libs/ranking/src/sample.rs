//! What a training step reads, as pure functions of the seed and the step, so that a resumed run needs no more state
//! than a step number.

use rand::Rng;

use crate::rng::{permutation, stream};

/// The order of `n` training lists in `epoch`.
pub fn epoch_order(seed: u64, purpose: &str, epoch: u64, n: usize) -> Vec<usize> {
    permutation(&mut stream(seed, purpose, epoch), n)
}

/// The lists that training step `step`, from 0, reads: the next `lists_per_step` of a walk through one permuted epoch of
/// `n_lists` lists after the other. A step may cross into the next epoch; `n_lists` consecutive reads of one epoch hold
/// every list once. Without lists the step is empty.
pub fn lists_at_step(seed: u64, purpose: &str, n_lists: usize, lists_per_step: usize, step: u64) -> Vec<usize> {
    let mut lists = Vec::with_capacity(lists_per_step);
    if n_lists == 0 {
        return lists;
    }
    let first = u128::from(step) * lists_per_step as u128;
    let mut epoch = (first / n_lists as u128) as u64;
    let mut start = (first % n_lists as u128) as usize;
    while lists.len() < lists_per_step {
        let left = lists_per_step - lists.len();
        lists.extend(epoch_order(seed, purpose, epoch, n_lists).into_iter().skip(start).take(left));
        (epoch, start) = (epoch + 1, 0);
    }
    lists
}

/// A random subset of at most `list_size` documents of one query, as rising indices into `labels`.
///
/// Where labels differ and `list_size` is at least 2, the subset holds a document above the lowest label and one
/// labelled below it, so that every sampled list teaches a preference. A `list_size` of the whole list or more keeps all.
pub fn sample_list<R: Rng + ?Sized>(rng: &mut R, labels: &[f32], list_size: usize) -> Vec<usize> {
    if labels.len() <= list_size {
        return (0..labels.len()).collect();
    }
    let mut order = permutation(rng, labels.len());
    let lowest = labels.iter().copied().fold(f32::INFINITY, f32::min);
    if let Some(positive) = order.iter().position(|&document| labels[document] > lowest) {
        order[..=positive].rotate_right(1);
        let above = labels[order[0]];
        if let Some(lower) = order.iter().position(|&document| labels[document] < above) {
            order[1..=lower].rotate_right(1);
        }
    }
    order.truncate(list_size);
    order.sort_unstable();
    order
}

/// A random subset of at most `list_size` documents of one query that has judged documents, with these `labels`, and
/// `negatives` unjudged ones: rising indices of either.
///
/// The judged ones, chosen as by [`sample_list`], fill half of the subset, or more where negatives are few; negatives take
/// the rest. So relevant documents stay in the list however many negatives there are.
pub fn sample_with_negatives<R: Rng + ?Sized>(
    rng: &mut R,
    labels: &[f32],
    negatives: usize,
    list_size: usize,
) -> (Vec<usize>, Vec<usize>) {
    let room = (list_size - list_size / 2).max(list_size.saturating_sub(negatives));
    let judged = sample_list(rng, labels, room);
    let mut drawn = permutation(rng, negatives);
    drawn.truncate(list_size - judged.len());
    drawn.sort_unstable();
    (judged, drawn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn steps_walk_whole_epochs(seed: u64, n in 1_usize..12, per_step in 1_usize..30) {
            let steps = 2 * n as u64;
            let walk: Vec<usize> = (0..steps).flat_map(|step| lists_at_step(seed, "t", n, per_step, step)).collect();
            prop_assert_eq!(walk.len(), 2 * n * per_step);
            for (epoch, lists) in walk.chunks(n).enumerate() {
                prop_assert_eq!(lists, epoch_order(seed, "t", epoch as u64, n));
            }
        }

        #[test]
        fn a_sampled_list_is_a_subset_with_a_preference(
            labels in prop::collection::vec((0_u8..3).prop_map(f32::from), 0..15),
            size in 0_usize..17,
            seed: u64,
        ) {
            let list = sample_list(&mut stream(seed, "t", 0), &labels, size);
            prop_assert_eq!(list.len(), size.min(labels.len()));
            prop_assert!(list.is_sorted_by(|a, b| a < b) && list.iter().all(|&document| document < labels.len()));
            let differ = |documents: &[usize]| documents.windows(2).any(|pair| labels[pair[0]] != labels[pair[1]]);
            let all: Vec<usize> = (0..labels.len()).collect();
            prop_assert!(size < 2 || differ(&list) == differ(&all));
        }
    }

    #[test]
    fn negatives_leave_room_for_the_judged() {
        let sample = |labels: &[f32], negatives, size| {
            let (judged, drawn) = sample_with_negatives(&mut stream(3, "t", 0), labels, negatives, size);
            assert!(drawn.is_sorted_by(|a, b| a < b) && drawn.iter().all(|&negative| negative < negatives));
            (judged, drawn.len())
        };
        let relevant = [1.0; 9];
        assert_eq!(sample(&relevant[..3], 40, 12), (vec![0, 1, 2], 9));
        let (judged, drawn) = sample(&relevant, 40, 11);
        assert_eq!((judged.len(), drawn), (6, 5));
        let (judged, drawn) = sample(&relevant, 2, 10);
        assert_eq!((judged.len(), drawn), (8, 2));
        assert_eq!(sample(&relevant, 0, 12), ((0..9).collect(), 0));
        // The one relevant document among many judged ones is kept.
        let labels = [0.0, 0.0, 0.0, 0.0, 2.0, 0.0];
        let (judged, drawn) = sample(&labels, 40, 2);
        assert_eq!((judged, drawn), (vec![4], 1));
    }

    #[test]
    fn without_negatives_the_sample_is_that_of_the_judged() {
        let labels = [1.0, 0.0, 2.0, 0.0, 0.0];
        let (mut rng, mut other) = (stream(5, "t", 1), stream(5, "t", 1));
        for _ in 0..3 {
            let alone = sample_list(&mut rng, &labels, 3);
            assert_eq!(sample_with_negatives(&mut other, &labels, 0, 3), (alone, Vec::new()));
        }
    }

    #[test]
    fn epochs_differ() {
        assert_ne!(epoch_order(1, "t", 0, 20), epoch_order(1, "t", 1, 20));
    }

    #[test]
    fn every_document_has_a_chance() {
        let labels = [1.0, 0.0, 0.0, 2.0, 0.0];
        let mut drawn = [0; 5];
        for index in 0..200 {
            sample_list(&mut stream(0, "t", index), &labels, 3).iter().for_each(|&document| drawn[document] += 1);
        }
        assert!(drawn.iter().all(|&times| times > 60), "{drawn:?}");
    }

    #[test]
    fn no_lists_make_empty_steps() {
        assert!(lists_at_step(0, "t", 0, 4, 9).is_empty());
        assert!(lists_at_step(0, "t", 4, 0, 9).is_empty());
    }
}
