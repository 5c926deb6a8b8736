/// Kendall's rank correlation with correction for ties, `tau-b`, of pairs of values: 1 if both order the pairs alike,
/// -1 if they order them in reverse.
///
/// `(concordant - discordant) / sqrt(pairs not tied in the first * pairs not tied in the second)`, in `O(n log n)`.
/// `None` if all values on one side are tied, as with fewer than two pairs, or if one of them is not a number. Over
/// queries, [`bootstrap_mean`](crate::significance::bootstrap_mean) gives the interval of the mean, and of the mean
/// difference between two rankings.
///
/// Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 1945; Knight, "A Computer Method for Calculating
/// Kendall's Tau with Ungrouped Data", JASA 1966.
pub fn kendall_tau(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.iter().any(|(a, b)| a.is_nan() || b.is_nan()) {
        return None;
    }
    // Adding 0 turns -0 into 0, which the total order tells apart.
    let mut sorted: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (a + 0.0, b + 0.0)).collect();
    sorted.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)));
    let tied_first = tied(&sorted, |x, y| x.0 == y.0);
    let tied_both = tied(&sorted, |x, y| x == y);
    let mut second: Vec<f64> = sorted.iter().map(|pair| pair.1).collect();
    let discordant = sort_counting(&mut second);
    let tied_second = tied(&second, |x, y| x == y);
    let all = choose_two(pairs.len());
    let untied = (all - tied_first) * (all - tied_second);
    let difference = all - tied_first - tied_second + tied_both - 2.0 * discordant;
    (untied > 0.0).then(|| (difference / untied.sqrt()).clamp(-1.0, 1.0))
}

fn choose_two(n: usize) -> f64 {
    n as f64 * (n as f64 - 1.0) / 2.0
}

/// Pairs of equal neighbours and their neighbours.
fn tied<T>(sorted: &[T], equal: impl Fn(&T, &T) -> bool) -> f64 {
    sorted.chunk_by(equal).map(|run| choose_two(run.len())).sum()
}

/// Sorts the values by merging; how many pairs of them stood in the wrong order.
fn sort_counting(values: &mut [f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut inversions = sort_counting(left) + sort_counting(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut l, mut r) = (0, 0);
    while l < left.len() && r < right.len() {
        if left[l] <= right[r] {
            merged.push(left[l]);
            l += 1;
        } else {
            inversions += (left.len() - l) as f64;
            merged.push(right[r]);
            r += 1;
        }
    }
    merged.extend_from_slice(&left[l..]);
    merged.extend_from_slice(&right[r..]);
    values.copy_from_slice(&merged);
    inversions
}
