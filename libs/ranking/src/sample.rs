//! What a training step reads, as pure functions of the seed and the step, so that a resumed run needs no more state
//! than a step number.

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rng::{permutation, stream};
use crate::sampler::Sampler;

/// The order of `n` training lists in `epoch`.
pub fn epoch_order(seed: u64, purpose: &str, epoch: u64, n: usize) -> Vec<usize> {
    permutation(&mut stream(seed, purpose, epoch), n)
}

/// A list that a training step reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The list.
    pub list: usize,
    /// How often all lists were read before, from 0.
    pub epoch: u64,
}

/// The lists that training step `step`, from 0, reads: the next `lists_per_step` of a walk through one permuted epoch of
/// `n_lists` lists after the other. A step may cross into the next epoch; `n_lists` consecutive reads of one epoch hold
/// every list once. Without lists the step is empty.
pub fn turns_at_step(seed: u64, purpose: &str, n_lists: usize, lists_per_step: usize, step: u64) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(lists_per_step);
    if n_lists == 0 {
        return turns;
    }
    let first = u128::from(step) * lists_per_step as u128;
    let mut epoch = (first / n_lists as u128) as u64;
    let mut start = (first % n_lists as u128) as usize;
    while turns.len() < lists_per_step {
        let left = lists_per_step - turns.len();
        let lists = epoch_order(seed, purpose, epoch, n_lists).into_iter().skip(start).take(left);
        turns.extend(lists.map(|list| Turn { list, epoch }));
        (epoch, start) = (epoch + 1, 0);
    }
    turns
}

/// The lists of [`turns_at_step`].
pub fn lists_at_step(seed: u64, purpose: &str, n_lists: usize, lists_per_step: usize, step: u64) -> Vec<usize> {
    turns_at_step(seed, purpose, n_lists, lists_per_step, step).into_iter().map(|turn| turn.list).collect()
}

/// Which documents of a list that is longer than `list_size` a training step reads. Each pass over the lists draws anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListSampler {
    /// Uniformly random ones; where labels differ, two of different labels are among them.
    #[default]
    Random,
    /// The next ones of a random order of the list's documents, pass by pass, so that every document is read once before any is
    /// read again.
    Rotating,
    /// Those of the highest labels.
    Top,
    /// Random ones, the n-th by falling label with a weight of 1/n.
    LogRandom,
    /// Those of the highest labels for half of them, uniformly random ones for the rest.
    TopAndRandom,
}

impl ListSampler {
    /// Draws at most `list_size` documents of one query that has documents with these `labels` and `negatives` others, which
    /// count as ranked: rising indices of either.
    ///
    /// Where there are negatives, those with labels fill half of the subset, or more where negatives are few. So relevant
    /// documents stay in it however many negatives there are. A `list_size` of the whole list or more keeps all.
    ///
    /// `rng` is the step's. [`ListSampler::Rotating`] reads the documents of a list by `turn` and the stream of `seed` and
    /// `purpose`. The samplers by falling label take, where all drawn labels are the same, the nearest other label in place of
    /// the last one.
    pub fn draw<R: Rng + ?Sized>(
        self,
        rng: &mut R,
        (seed, purpose, turn): (u64, &str, Turn),
        (labels, negatives): (&[f32], usize),
        list_size: usize,
    ) -> (Vec<usize>, Vec<usize>) {
        let sampler = match self {
            ListSampler::Random => return sample_with_negatives(rng, labels, negatives, list_size),
            ListSampler::Rotating => {
                let labelled = room(negatives, list_size).min(labels.len());
                let mut rng = stream(seed, &format!("{purpose}/rotation"), turn.list as u64);
                let mut next = |n: usize, count: usize| rotated(&permutation(&mut rng, n), count, turn.epoch);
                return (next(labels.len(), labelled), next(negatives, list_size - labelled));
            }
            ListSampler::Top => Sampler::Top,
            ListSampler::LogRandom => Sampler::LogRandom,
            ListSampler::TopAndRandom => Sampler::TopAndRandom,
        };
        let labelled = by_label(sampler, rng, labels, room(negatives, list_size));
        let negatives = sampler.draw(rng, negatives, list_size - labelled.len());
        (labelled, negatives)
    }
}

/// The places for documents with labels beside `negatives` others.
fn room(negatives: usize, list_size: usize) -> usize {
    (list_size - list_size / 2).max(list_size.saturating_sub(negatives))
}

/// The `count` documents of `order` that pass `pass` over a list reads: those after the ones of the pass before, from the
/// beginning again after the last; all where `count` is their number or more.
fn rotated(order: &[usize], count: usize, pass: u64) -> Vec<usize> {
    let n = order.len();
    let count = count.min(n);
    let first = (u128::from(pass) * count as u128 % n.max(1) as u128) as usize;
    let mut documents: Vec<usize> = (first..first + count).map(|place| order[place % n]).collect();
    documents.sort_unstable();
    documents
}

/// Documents drawn from the order of falling labels, ties in the order of the list.
fn by_label<R: Rng + ?Sized>(sampler: Sampler, rng: &mut R, labels: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| labels[b].total_cmp(&labels[a]));
    let label = |place: usize| labels[order[place]];
    let mut places = sampler.draw(rng, order.len(), count);
    if let [first, .., last] = &mut places[..]
        && label(*first) == label(*last)
    {
        let same = label(*first);
        let below = (0..order.len()).find(|&place| label(place) < same);
        let other = below.or_else(|| (0..order.len()).rfind(|&place| label(place) > same));
        *last = other.unwrap_or(*last);
    }
    let mut documents: Vec<usize> = places.into_iter().map(|place| order[place]).collect();
    documents.sort_unstable();
    documents
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
    let judged = sample_list(rng, labels, room(negatives, list_size));
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

    const ALL: [ListSampler; 5] = [
        ListSampler::Random,
        ListSampler::Rotating,
        ListSampler::Top,
        ListSampler::LogRandom,
        ListSampler::TopAndRandom,
    ];

    /// The documents that a sampler draws from list 3 in a pass.
    fn drawn(
        sampler: ListSampler,
        epoch: u64,
        labels: &[f32],
        negatives: usize,
        size: usize,
    ) -> (Vec<usize>, Vec<usize>) {
        let mut rng = stream(1, "t/documents", epoch);
        sampler.draw(&mut rng, (1, "t", Turn { list: 3, epoch }), (labels, negatives), size)
    }

    proptest! {
        #[test]
        fn every_sampler_draws_a_list_of_the_same_size(
            labels in prop::collection::vec((0_u8..3).prop_map(f32::from), 0..15),
            negatives in 0_usize..20,
            size in 2_usize..17,
            epoch in 0_u64..9,
        ) {
            let differ = |documents: &[usize]| documents.windows(2).any(|pair| labels[pair[0]] != labels[pair[1]]);
            let all: Vec<usize> = (0..labels.len()).collect();
            let (expected, others) = drawn(ListSampler::Random, epoch, &labels, negatives, size);
            for sampler in ALL {
                let (labelled, unlabelled) = drawn(sampler, epoch, &labels, negatives, size);
                prop_assert_eq!((labelled.len(), unlabelled.len()), (expected.len(), others.len()));
                prop_assert!(labelled.is_sorted_by(|a, b| a < b) && unlabelled.is_sorted_by(|a, b| a < b));
                prop_assert!(labelled.iter().all(|&document| document < labels.len()));
                prop_assert!(unlabelled.iter().all(|&document| document < negatives));
                let taught = sampler == ListSampler::Rotating || labelled.len() < 2 || differ(&labelled) == differ(&all);
                prop_assert!(taught, "{:?} {:?}", sampler, labelled);
            }
        }

        #[test]
        fn a_rotating_list_holds_every_document_once_before_any_twice(n in 1_usize..30, size in 2_usize..12) {
            let labels = vec![0.5; n];
            let passes = n.div_ceil(size);
            let whole: Vec<usize> = (0..passes as u64).flat_map(|epoch| drawn(ListSampler::Rotating, epoch, &labels, 0, size).0).collect();
            let mut times = vec![0; n];
            whole.iter().for_each(|&document| times[document] += 1);
            let often = if size >= n { 1..=1 } else { 1..=2 };
            prop_assert!(times.iter().all(|times| often.contains(times)), "{times:?}");
            prop_assert_eq!(times.iter().filter(|&&times| times == 2).count(), whole.len() - n);
        }
    }

    #[test]
    fn random_lists_use_every_document_over_the_epochs() {
        let labels: Vec<f32> = (0..50).map(|document| document as f32).collect();
        for sampler in [ListSampler::Random, ListSampler::LogRandom, ListSampler::TopAndRandom] {
            let mut seen = [false; 50];
            for epoch in 0..200 {
                drawn(sampler, epoch, &labels, 0, 8).0.into_iter().for_each(|document| seen[document] = true);
            }
            assert!(seen.iter().all(|&seen| seen), "{sampler:?} {seen:?}");
        }
    }

    #[test]
    fn the_highest_labels_are_drawn_first() {
        let labels = [0.0, 3.0, 1.0, 2.0, 0.5];
        assert_eq!(drawn(ListSampler::Top, 0, &labels, 0, 3), (vec![1, 2, 3], vec![]));
        assert_eq!(drawn(ListSampler::Top, 0, &labels, 9, 4), (vec![1, 3], vec![0, 1]));
        let (half, _) = drawn(ListSampler::TopAndRandom, 0, &labels, 0, 3);
        assert!(half.contains(&1) && half.contains(&3), "{half:?}");
        // Two documents of one label teach no order.
        assert_eq!(drawn(ListSampler::Top, 0, &[2.0, 2.0, 2.0, 0.0, 1.0], 0, 2).0, [0, 4]);
        let (kept, _) = drawn(ListSampler::LogRandom, 0, &[0.0, 0.0, 0.0, 0.0, 2.0], 0, 2);
        assert!(kept.contains(&4), "{kept:?}");
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
