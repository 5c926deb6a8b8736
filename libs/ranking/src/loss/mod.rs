//! Rank and distillation losses on scores, with their exact gradients.
//!
//! A batch is a flat slice of scores, one per document, cut into lists by `offsets`: list `l` is
//! `scores[offsets[l]..offsets[l + 1]]`, so a batch of `L` lists has `L + 1` offsets from 0 to the number of scores.
//! Every loss returns its value and the gradient on each score; sums run in f64 and in a fixed order, so that equal
//! input gives equal bytes.

mod hybrid;
mod lambda_loss;
mod listwise_softmax;
mod margin_mse;
mod pairwise;
mod pairwise_hinge;
mod pairwise_logistic;
mod pointwise_mse;

use std::ops::Range;

pub use hybrid::{Hybrid, hybrid};
pub use lambda_loss::lambda_loss;
pub use listwise_softmax::listwise_softmax;
pub use margin_mse::margin_mse;
pub use pairwise_hinge::pairwise_hinge;
pub use pairwise_logistic::pairwise_logistic;
pub use pointwise_mse::pointwise_mse;

/// The highest grade a loss accepts, so that a gain `2^grade - 1` stays exact in f64.
pub const MAX_GRADE: f32 = 31.0;

/// A loss and its gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct LossValue {
    /// The scalar loss.
    pub value: f64,
    /// d value / d score, one per score in the order of the scores.
    pub grad: Vec<f32>,
}

impl LossValue {
    fn new(value: f64, grad: &[f64]) -> Self {
        Self { value, grad: grad.iter().map(|&g| g as f32).collect() }
    }
}

/// Input that a loss refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LossError {
    /// Two slices that run in parallel differ in length.
    #[error("expected one {what} per score ({expected}), found {found}")]
    Length {
        /// The slice of the wrong length.
        what: &'static str,
        /// The number of scores.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// The offsets do not cut the scores into lists.
    #[error("expected list offsets that rise from 0 to {scores}, found {found} at index {index}")]
    Offsets {
        /// The number of scores.
        scores: usize,
        /// The first offset that breaks the rule.
        index: usize,
        /// Its value; the number of scores covered if the offsets end early.
        found: usize,
    },
    /// A score is NaN or infinite.
    #[error("expected a finite {what}, found {found} at index {index}")]
    NotFinite {
        /// Which score: `score`, `student score` or `teacher score`.
        what: &'static str,
        /// Its index in the batch.
        index: usize,
        /// Its value.
        found: f32,
    },
    /// A grade is not a number from 0 to [`MAX_GRADE`].
    #[error("expected a grade from 0 to {MAX_GRADE}, found {found} at index {index}")]
    Grade {
        /// Its index in the batch.
        index: usize,
        /// Its value.
        found: f32,
    },
    /// The margin of the hinge is negative, NaN or infinite.
    #[error("expected a finite margin of at least 0, found {found}")]
    Margin {
        /// Its value.
        found: f32,
    },
    /// The weight of the point-wise part is not in \[0, 1\].
    #[error("expected alpha from 0 to 1, found {found}")]
    Alpha {
        /// Its value.
        found: f64,
    },
}

/// The ranges of the lists, once `offsets` are known to cut `scores` scores into lists.
fn lists(offsets: &[usize], scores: usize) -> Result<impl Iterator<Item = Range<usize>>, LossError> {
    let refuse = |index: usize, found: usize| Err(LossError::Offsets { scores, index, found });
    let mut end = 0;
    for (index, &offset) in offsets.iter().enumerate() {
        if offset < end || offset > scores || (index == 0 && offset != 0) {
            return refuse(index, offset);
        }
        end = offset;
    }
    if offsets.is_empty() || end != scores {
        return refuse(offsets.len().saturating_sub(1), end);
    }
    Ok(offsets.windows(2).map(|pair| pair[0]..pair[1]))
}

fn check_finite(what: &'static str, values: &[f32]) -> Result<(), LossError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(LossError::NotFinite { what, index, found: values[index] }),
        None => Ok(()),
    }
}

fn check_graded(scores: &[f32], grades: &[f32]) -> Result<(), LossError> {
    if grades.len() != scores.len() {
        return Err(LossError::Length { what: "grade", expected: scores.len(), found: grades.len() });
    }
    check_finite("score", scores)?;
    match grades.iter().position(|grade| !(0.0..=MAX_GRADE).contains(grade)) {
        Some(index) => Err(LossError::Grade { index, found: grades[index] }),
        None => Ok(()),
    }
}

fn check_taught(student: &[f32], teacher: &[f32]) -> Result<(), LossError> {
    if teacher.len() != student.len() {
        return Err(LossError::Length { what: "teacher score", expected: student.len(), found: teacher.len() });
    }
    check_finite("student score", student)?;
    check_finite("teacher score", teacher)
}

/// The gain of a grade, `2^grade - 1` (Burges et al., ICML 2005).
fn gain(grade: f32) -> f64 {
    f64::from(grade).exp2() - 1.0
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e^-x)` without overflow.
fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

#[cfg(test)]
mod tests;
