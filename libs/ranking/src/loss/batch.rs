//! What a loss reads, what it returns and what it refuses.

use std::ops::Range;

/// The highest label a gain-based loss accepts, so that a gain `2^label - 1` stays exact in f64.
pub const MAX_GRADE: f32 = 31.0;

/// Grades from 0 of a loss that takes them as classes.
pub const GRADES: usize = 5;

/// The labels a loss is defined on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// Any finite numbers: grades as well as scores of a teacher.
    Finite,
    /// Numbers from 0 to [`MAX_GRADE`], which the loss turns into gains.
    Grades,
    /// Integers below [`GRADES`], which the loss takes as classes.
    Classes,
}

impl Labels {
    /// True if a loss that takes these labels is defined on `label`.
    pub fn contain(self, label: f32) -> bool {
        match self {
            Self::Finite => label.is_finite(),
            Self::Grades => (0.0..=MAX_GRADE).contains(&label),
            Self::Classes => (0.0..GRADES as f32).contains(&label) && label.fract() == 0.0,
        }
    }
}

/// A value and its gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct LossValue {
    /// The scalar loss.
    pub value: f64,
    /// d value / d score, one per score in the order of the scores.
    pub grad: Vec<f32>,
}

impl LossValue {
    pub(super) fn new(value: f64, grad: &[f64]) -> Self {
        Self { value, grad: grad.iter().map(|&g| g as f32).collect() }
    }
}

/// The result of a loss on a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LossOutput {
    /// The loss that is minimised, with its gradient.
    pub total: LossValue,
    /// Values of the parts that a loss is made of, by the names they are logged under; empty for a loss of one part.
    pub components: Vec<(&'static str, f64)>,
}

impl From<LossValue> for LossOutput {
    fn from(total: LossValue) -> Self {
        Self { total, components: Vec::new() }
    }
}

/// Input that a loss refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LossError {
    /// Scores and labels differ in number.
    #[error("expected one label per score ({expected}), found {found}")]
    Length {
        /// The number of scores.
        expected: usize,
        /// The number of labels.
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
    /// A score or a label is NaN or infinite.
    #[error("expected a finite {what}, found {found} at index {index}")]
    NotFinite {
        /// `score` or `label`.
        what: &'static str,
        /// Its index in the batch.
        index: usize,
        /// Its value.
        found: f32,
    },
    /// A label of a gain-based loss is not a number from 0 to [`MAX_GRADE`].
    #[error("expected a grade from 0 to {MAX_GRADE}, found {found} at index {index}")]
    Grade {
        /// Its index in the batch.
        index: usize,
        /// Its value.
        found: f32,
    },
    /// A label of a loss on classes is not an integer below [`GRADES`].
    #[error("expected an integer from 0 to {}, found {found} at index {index}", GRADES - 1)]
    Class {
        /// Its index in the batch.
        index: usize,
        /// Its value.
        found: f32,
    },
    /// Weights that are not one number above 0 for each list.
    #[error("expected a weight above 0 for each of {lists} lists, found {found}")]
    Weights {
        /// The number of lists.
        lists: usize,
        /// What there is.
        found: String,
    },
    /// A parameter of the loss is outside its range.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
}

/// A parameter of a loss outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("expected {parameter} {range}, found {found}")]
pub struct ParameterError {
    /// The parameter's key.
    pub parameter: &'static str,
    /// The range, such as `from 0 to 1`.
    pub range: &'static str,
    /// The value found.
    pub found: f64,
}

impl ParameterError {
    /// `Ok` if `holds`.
    pub(super) fn unless(holds: bool, parameter: &'static str, range: &'static str, found: f64) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { parameter, range, found }) }
    }
}

/// The scores and labels of a batch of lists, known to be well-formed.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    /// One finite score per document, or as many logits as the loss has outputs, a document's one after the other.
    pub(super) scores: &'a [f32],
    /// One label per document, of the kind the loss is defined on.
    pub(super) labels: &'a [f32],
    offsets: &'a [usize],
}

impl<'a> Batch<'a> {
    /// Checks the input of a loss that takes `kind` and has `outputs` logits per document.
    pub(super) fn new(
        scores: &'a [f32],
        labels: &'a [f32],
        offsets: &'a [usize],
        (kind, outputs): (Labels, usize),
    ) -> Result<Self, LossError> {
        if labels.len() * outputs != scores.len() {
            return Err(LossError::Length { expected: scores.len() / outputs, found: labels.len() });
        }
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            return Err(LossError::NotFinite { what: "score", index, found: scores[index] });
        }
        if let Some(index) = labels.iter().position(|&label| !kind.contain(label)) {
            let found = labels[index];
            return Err(match kind {
                Labels::Finite => LossError::NotFinite { what: "label", index, found },
                Labels::Grades => LossError::Grade { index, found },
                Labels::Classes => LossError::Class { index, found },
            });
        }
        check_offsets(offsets, labels.len())?;
        Ok(Self { scores, labels, offsets })
    }

    /// The same lists with other labels, one per document.
    pub(super) fn with_labels<'b>(&self, labels: &'b [f32]) -> Batch<'b>
    where
        'a: 'b,
    {
        Batch { scores: self.scores, labels, offsets: self.offsets }
    }

    /// The ranges of the lists.
    pub(super) fn lists(&self) -> impl Iterator<Item = Range<usize>> {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }
}

/// Checks that `offsets` cut `scores` scores into lists.
fn check_offsets(offsets: &[usize], scores: usize) -> Result<(), LossError> {
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
    Ok(())
}
