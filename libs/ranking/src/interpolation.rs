//! Two systems together: `weight * first + (1 - weight) * second`, scores standardised query by query.

/// The weights tried are 0, 1 / `STEPS`, ..., 1.
const STEPS: usize = 20;

/// The weight for which `value` is highest, with that value; of equal ones, the largest weight. `None` where no weight has a value.
///
/// # Errors
/// That of `value`.
pub fn best_weight<E>(mut value: impl FnMut(f64) -> Result<Option<f64>, E>) -> Result<Option<(f64, f64)>, E> {
    let mut best: Option<(f64, f64)> = None;
    for step in 0..=STEPS {
        let weight = step as f64 / STEPS as f64;
        if let Some(value) = value(weight)?
            && best.is_none_or(|(_, most)| value >= most)
        {
            best = Some((weight, value));
        }
    }
    Ok(best)
}

/// The scores of one query with mean 0 and deviation 1; all 0 where they are equal.
#[must_use]
pub fn standardised(scores: &[f64]) -> Vec<f64> {
    let count = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / count;
    let deviation = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / count).sqrt();
    // The mean of equal scores may differ from them by its rounding.
    let differ = scores.windows(2).any(|pair| pair[0] != pair[1]) && deviation > 0.0;
    scores.iter().map(|score| if differ { (score - mean) / deviation } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_standardised_by_query() {
        assert_eq!(standardised(&[1.0, 3.0]), [-1.0, 1.0]);
        assert_eq!(standardised(&[2.0, 2.0]), [0.0, 0.0]);
        assert_eq!(standardised(&[0.1; 3]), [0.0; 3]);
        assert!(standardised(&[]).is_empty());
    }

    #[test]
    fn the_best_weight_is_the_largest_of_equal_ones() {
        let best = |value: fn(f64) -> Option<f64>| best_weight(|weight| Ok::<_, ()>(value(weight))).unwrap();
        assert_eq!(best(|weight| Some(-(weight - 0.3).abs())).unwrap().0, 0.3);
        assert_eq!(best(|weight| Some(weight.min(0.5))), Some((1.0, 0.5)));
        assert_eq!(best(|_| None), None);
        assert_eq!(best_weight(|_| Err("no")), Err("no"));
    }
}
