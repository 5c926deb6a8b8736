//! Confidence intervals over queries, paired tests between two systems, and the correction for many of them.
//!
//! Queries are the unit of everything here: Smucker, Allan and Carterette, "A Comparison of Statistical Significance
//! Tests for Information Retrieval Evaluation", CIKM 2007.

mod beta;
mod bootstrap;
mod paired;
mod verdict;

pub use bootstrap::{Interval, bootstrap, bootstrap_mean, bootstrap_pnr, bootstrap_pnr_difference, bootstrap_ratio};
pub use paired::{TTest, p_floor, paired_t_test, randomisation_test, randomisation_test_pnr, t_interval};
pub use verdict::{Verdict, verdict};

/// Input that a test refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SignificanceError {
    /// Fewer queries than the statistic needs.
    #[error("expected at least {expected} queries, found {found}")]
    TooFew {
        /// The fewest queries.
        expected: usize,
        /// The queries found.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("expected a finite value for each query, found {found} at index {index}")]
    NotFinite {
        /// Its index.
        index: usize,
        /// Its value.
        found: f64,
    },
    /// A p-value is not in \[0, 1\].
    #[error("expected p-values from 0 to 1, found {found} at index {index}")]
    PValue {
        /// Its index.
        index: usize,
        /// Its value.
        found: f64,
    },
}

fn check(values: &[f64], fewest: usize) -> Result<(), SignificanceError> {
    if values.len() < fewest {
        return Err(SignificanceError::TooFew { expected: fewest, found: values.len() });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(SignificanceError::NotFinite { index, found: values[index] }),
        None => Ok(()),
    }
}

/// Holm's step-down correction: adjusted p-values, in the order given, that bound the chance of any false discovery.
///
/// The `i`-th smallest of `m` p-values, from 0, becomes `(m - i) p`, at least its predecessor and at most 1.
///
/// Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
///
/// # Errors
/// [`SignificanceError::PValue`] on a value outside of \[0, 1\].
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, SignificanceError> {
    if let Some(index) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(SignificanceError::PValue { index, found: p_values[index] });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (smaller, &index) in order.iter().enumerate() {
        let remaining = (p_values.len() - smaller) as f64;
        largest = largest.max((remaining * p_values[index]).min(1.0));
        adjusted[index] = largest;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests;
