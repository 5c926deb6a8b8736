//! Negatives that may be relevant after all, told by a teacher's score.

/// Bounds on the teacher's scores of negatives: one above a bound is taken for relevant, and is no negative.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NegativeBounds {
    /// The highest score of a negative, in the unit of the scores.
    pub max_score: Option<f64>,
    /// How far a negative is below the positive, from 0 to below 1: `sigmoid(negative) <= (1 - margin) * sigmoid(positive)`. This is
    /// the relative margin of `mine_hard_negatives` of sentence-transformers, which has it on similarities, for logits, which may be
    /// negative.
    pub relative_margin: Option<f64>,
}

impl NegativeBounds {
    /// True if no bound is set.
    pub fn is_empty(&self) -> bool {
        *self == NegativeBounds::default()
    }

    /// True if a document of this score can be a negative beside a positive document of that score; without a positive score,
    /// `max_score` alone decides.
    pub fn allow(&self, negative: f32, positive: Option<f32>) -> bool {
        let negative = f64::from(negative);
        let below_margin = |(margin, positive): (f64, f32)| {
            log_sigmoid(negative) <= (1.0 - margin).ln() + log_sigmoid(f64::from(positive))
        };
        self.max_score.is_none_or(|most| negative <= most)
            && self.relative_margin.zip(positive).is_none_or(below_margin)
    }
}

/// The logarithm of the sigmoid, finite for every finite logit.
fn log_sigmoid(logit: f64) -> f64 {
    logit.min(0.0) - (-logit.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_bounds_everything_is_a_negative() {
        assert!(NegativeBounds::default().is_empty() && NegativeBounds::default().allow(1e30, Some(-1e30)));
    }

    #[test]
    fn bounds_hold_on_logits() {
        let most = NegativeBounds { max_score: Some(-0.5), relative_margin: None };
        assert_eq!([-0.6, -0.5, -0.4].map(|score| most.allow(score, Some(9.0))), [true, true, false]);
        let margin = NegativeBounds { max_score: None, relative_margin: Some(0.5) };
        // The sigmoid of 0 is 0.5, of -1.0986 0.25, of 2 0.881; that of -2 is 0.119, of -2.8 0.057, of -2.7 0.063.
        assert_eq!([-1.11, -1.09].map(|score| margin.allow(score, Some(0.0))), [true, false]);
        assert_eq!([-2.8, -2.7].map(|score| margin.allow(score, Some(-2.0))), [true, false]);
        assert!(margin.allow(3.0, None));
        // Far out, where a sigmoid is 0 or 1 in floating point.
        assert_eq!([-803.0, -800.1].map(|score| margin.allow(score, Some(-800.0))), [true, false]);
        assert_eq!([-0.1, 900.0].map(|score| margin.allow(score, Some(800.0))), [true, false]);
    }

    proptest! {
        #[test]
        fn the_margin_is_that_of_probabilities(
            negative in -12.0_f32..12.0,
            positive in -12.0_f32..12.0,
            margin in 0.0_f64..0.99,
        ) {
            let sigmoid = |logit: f32| 1.0 / (1.0 + f64::from(-logit).exp());
            let bounds = NegativeBounds { max_score: None, relative_margin: Some(margin) };
            let gap = sigmoid(positive) * (1.0 - margin) - sigmoid(negative);
            prop_assume!(gap.abs() > 1e-9);
            prop_assert_eq!(bounds.allow(negative, Some(positive)), gap > 0.0);
        }
    }
}
