//! Systems together: the weighted sum of their scores, standardised query by query.

/// The weights tried are 0, 1 / `STEPS`, ..., 1.
const STEPS: usize = 20;

/// The weights of `count` systems, together 1, for which `value` is highest, with that value; of equal ones, those with the largest
/// weight of the first system, then of the second, and so on. `None` where no weights have a value.
///
/// # Errors
/// That of `value`.
pub fn best_weights<E>(
    count: usize,
    mut value: impl FnMut(&[f64]) -> Result<Option<f64>, E>,
) -> Result<Option<(Vec<f64>, f64)>, E> {
    let mut best: Option<(Vec<f64>, f64)> = None;
    for shares in shares(count, STEPS) {
        let weights: Vec<f64> = shares.into_iter().map(|share| share as f64 / STEPS as f64).collect();
        if let Some(value) = value(&weights)?
            && best.as_ref().is_none_or(|(_, most)| value > *most)
        {
            best = Some((weights, value));
        }
    }
    Ok(best)
}

/// All ways to share `total` out to `count`, those with the largest share of the first one first.
fn shares(count: usize, total: usize) -> Vec<Vec<usize>> {
    match count {
        0 => Vec::new(),
        1 => vec![vec![total]],
        _ => {
            let beside = |first: usize| {
                shares(count - 1, total - first).into_iter().map(move |rest| [vec![first], rest].concat())
            };
            (0..=total).rev().flat_map(beside).collect()
        }
    }
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
    fn the_best_weights_are_the_largest_of_equal_ones() {
        let best = |value: fn(&[f64]) -> Option<f64>| best_weights(2, |weights| Ok::<_, ()>(value(weights))).unwrap();
        assert_eq!(best(|weights| Some(-(weights[0] - 0.3).abs())).unwrap().0, [0.3, 0.7]);
        assert_eq!(best(|weights| Some(weights[0].min(0.5))), Some((vec![1.0, 0.0], 0.5)));
        assert_eq!(best(|_| None), None);
        assert_eq!(best_weights(2, |_| Err("no")), Err("no"));
    }

    #[test]
    fn three_systems_share_the_weight() {
        let mut tried = Vec::new();
        let best = best_weights(3, |weights| {
            tried.push(weights.to_vec());
            Ok::<_, ()>(Some(-(weights[1] - 0.25).abs() - (weights[2] - 0.4).abs()))
        });
        assert_eq!(best.unwrap().unwrap().0, [0.35, 0.25, 0.4]);
        assert_eq!(tried.len(), 21 * 22 / 2);
        assert!(tried.iter().all(|weights| (weights.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    }
}
