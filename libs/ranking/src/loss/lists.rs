//! The mean over lists that the listwise losses share.

use super::batch::{Batch, LossValue};

/// One list, and where its loss goes.
pub(super) struct List<'a> {
    /// One score per document.
    pub(super) scores: &'a [f32],
    /// One label per document.
    pub(super) labels: &'a [f32],
    /// The sum of the losses of all lists so far, which this list's terms are added to.
    pub(super) sum: &'a mut f64,
    /// The derivative of the list's loss on each score, 0 at first.
    pub(super) grad: &'a mut [f64],
}

/// The mean of the losses of the lists of the batch that contribute.
///
/// `add` adds the loss of a list and its gradient, or touches nothing and returns false if the list contributes
/// nothing. Without any that does the loss and its gradient are 0.
pub(super) fn mean_over_lists(batch: &Batch<'_>, add: impl Fn(List<'_>) -> bool) -> LossValue {
    let (mut sum, mut contributing) = (0.0, 0_usize);
    let mut grad = vec![0.0; batch.scores.len()];
    for list in batch.lists() {
        let (scores, labels) = (&batch.scores[list.clone()], &batch.labels[list.clone()]);
        contributing += usize::from(add(List { scores, labels, sum: &mut sum, grad: &mut grad[list] }));
    }
    let scale = 1.0 / contributing.max(1) as f64;
    grad.iter_mut().for_each(|g| *g *= scale);
    LossValue::new(sum * scale, &grad)
}

/// True if all labels are equal, as those of no document or one are: no order of the documents is better than another.
pub(super) fn are_equal(labels: &[f32]) -> bool {
    labels.iter().all(|&label| label == labels[0])
}
