//! Teacher scores brought to mean 0 and deviation 1, so that a distillation loss has the same scale for every teacher.

/// A shift and a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standardisation {
    /// The mean of the scores it was fitted to.
    pub mean: f64,
    /// Their standard deviation (of the population, divided by `n`), above 0.
    pub std: f64,
}

/// Scores that have no standardisation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StandardisationError {
    /// There is no score.
    #[error("expected scores to standardise, found none")]
    Empty,
    /// A score is NaN or infinite.
    #[error("expected a finite score, found {found} at index {index}")]
    NotFinite {
        /// Its index.
        index: usize,
        /// Its value.
        found: f32,
    },
    /// All scores are equal: the teacher ranks nothing.
    #[error("expected scores that differ, found {0} everywhere")]
    Constant(f32),
}

impl Standardisation {
    /// The mean and deviation of `scores`, in two passes of f64 sums.
    ///
    /// # Errors
    /// [`StandardisationError`] on no scores, scores that are not finite, or scores that are all equal.
    pub fn fit(scores: &[f32]) -> Result<Self, StandardisationError> {
        let &first = scores.first().ok_or(StandardisationError::Empty)?;
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            return Err(StandardisationError::NotFinite { index, found: scores[index] });
        }
        if scores.iter().all(|&score| score == first) {
            return Err(StandardisationError::Constant(first));
        }
        let n = scores.len() as f64;
        let mean = scores.iter().map(|&score| f64::from(score)).sum::<f64>() / n;
        let variance = scores.iter().map(|&score| (f64::from(score) - mean).powi(2)).sum::<f64>() / n;
        Ok(Self { mean, std: variance.sqrt() })
    }

    /// `(score - mean) / std`.
    pub fn apply(&self, score: f32) -> f32 {
        ((f64::from(score) - self.mean) / self.std) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        let found = Standardisation::fit(&[1.0, 3.0]).unwrap();
        assert_eq!(found, Standardisation { mean: 2.0, std: 1.0 });
        assert_eq!(found.apply(5.0), 3.0);
    }

    #[test]
    fn scores_without_a_scale_are_refused() {
        let message = |scores: &[f32]| Standardisation::fit(scores).unwrap_err().to_string();
        assert_eq!(message(&[]), "expected scores to standardise, found none");
        assert_eq!(message(&[0.5, 0.5]), "expected scores that differ, found 0.5 everywhere");
        assert_eq!(message(&[0.5, f32::NAN]), "expected a finite score, found NaN at index 1");
    }

    proptest! {
        #[test]
        fn standardised_scores_have_mean_zero_and_deviation_one(
            scores in prop::collection::vec(-1.0e4_f32..1.0e4, 2..40),
        ) {
            if let Ok(standardisation) = Standardisation::fit(&scores) {
                let applied: Vec<f32> = scores.iter().map(|&score| standardisation.apply(score)).collect();
                let again = Standardisation::fit(&applied).unwrap();
                prop_assert!(again.mean.abs() < 1e-4 && (again.std - 1.0).abs() < 1e-4, "{again:?}");
            }
        }
    }
}
