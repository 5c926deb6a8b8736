//! A rotation of a layer's inputs, by which a few large numbers do not make the unit of all others too coarse.
//!
//! Some numbers of a token are many times as large as most, after a norm and in feed-forward blocks above all, and the unit of all
//! follows from the largest. A rotation of inputs and weights together leaves the products as they are, and spreads each number over
//! several before they are rounded (QuaRot, arXiv 2404.00456; here without a change to the model, within each layer).
//!
//! A row of `n` numbers is a matrix `[k, n / k]`, with `k` 16 or 4 where that divides `n`, else 1: all columns are multiplied with the
//! same orthogonal matrix, which is `M` for 4, and its Kronecker product with itself for 16:
//!
//! ```text
//!           1  1  1 -1
//! M = 1/2 * 1 -1  1  1
//!           1  1 -1  1
//!           1 -1 -1 -1
//! ```
//!
//! `2 M` is Sylvester's Hadamard matrix with its last column negated: without that, a constant would be gathered in one number.

/// Writes a rotated row: where 4 does not divide its length, the row as it is.
///
/// # Shapes
/// `row` `[n]`, `to` `[n]`.
#[inline(always)]
pub(super) fn rotate(row: &[f32], to: &mut [f32]) {
    let quarter = row.len() / 4;
    if quarter == 0 || !row.len().is_multiple_of(4) {
        return to.copy_from_slice(row);
    }
    rotate_columns(row, to);
    if quarter.is_multiple_of(4) {
        to.chunks_exact_mut(quarter).for_each(rotate_columns_in_place);
    }
}

/// Rotates the columns of a matrix `[4, n / 4]`. It reads them where they are: a copy before takes another hundredth of a model's time.
#[inline(always)]
fn rotate_columns(from: &[f32], to: &mut [f32]) {
    #[inline(always)]
    fn write(from: [&[f32]; 4], a: &mut [f32], b: &mut [f32], c: &mut [f32], d: &mut [f32]) {
        let from = from[0].iter().zip(from[1]).zip(from[2]).zip(from[3]);
        for ((((a, b), c), d), (((&from_a, &from_b), &from_c), &from_d)) in a.iter_mut().zip(b).zip(c).zip(d).zip(from)
        {
            [*a, *b, *c, *d] = rotate_column([from_a, from_b, from_c, from_d]);
        }
    }
    let quarter = from.len() / 4;
    let from = [0, 1, 2, 3].map(|i| &from[i * quarter..][..quarter]);
    let [a, b, c, d] = quarters(to);
    write(from, a, b, c, d);
}

/// As [`rotate_columns`], in place.
#[inline(always)]
fn rotate_columns_in_place(columns: &mut [f32]) {
    #[inline(always)]
    fn change(a: &mut [f32], b: &mut [f32], c: &mut [f32], d: &mut [f32]) {
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            [*a, *b, *c, *d] = rotate_column([*a, *b, *c, *d]);
        }
    }
    let [a, b, c, d] = quarters(columns);
    change(a, b, c, d);
}

/// The rows of a matrix `[4, n / 4]`. Functions take them one by one, as the compiler knows of arguments that they do not overlap.
#[inline(always)]
fn quarters(columns: &mut [f32]) -> [&mut [f32]; 4] {
    let (half, other_half) = columns.split_at_mut(columns.len() / 2);
    let (a, b) = half.split_at_mut(half.len() / 2);
    let (c, d) = other_half.split_at_mut(other_half.len() / 2);
    [a, b, c, d]
}

/// `M x`.
#[inline(always)]
fn rotate_column([a, b, c, d]: [f32; 4]) -> [f32; 4] {
    let (first, second) = (a + b, a - b);
    let (third, fourth) = (0.5 * (c - d), 0.5 * (c + d));
    [first.mul_add(0.5, third), second.mul_add(0.5, fourth), first.mul_add(0.5, -third), second.mul_add(0.5, -fourth)]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const M: [[f32; 4]; 4] =
        [[0.5, 0.5, 0.5, -0.5], [0.5, -0.5, 0.5, 0.5], [0.5, 0.5, -0.5, 0.5], [0.5, -0.5, -0.5, -0.5]];

    /// The number at a place of the matrix that rotates columns of `k` numbers.
    fn factor(k: usize, row: usize, column: usize) -> f32 {
        match k {
            16 => M[row / 4][column / 4] * M[row % 4][column % 4],
            4 => M[row][column],
            _ => 1.0,
        }
    }

    /// The row that is rotated to this one, as the transpose of an orthogonal matrix is its inverse.
    pub(in super::super) fn turned_back(row: &[f32]) -> Vec<f32> {
        product(row, |k, to, from| factor(k, from, to))
    }

    fn product(row: &[f32], factor: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
        let k = [16, 4, 1].into_iter().find(|&k| row.len().is_multiple_of(k)).unwrap();
        let width = row.len() / k;
        let number = |i: usize| (0..k).map(|from| factor(k, i / width, from) * row[from * width + i % width]).sum();
        (0..row.len()).map(number).collect()
    }

    #[test]
    fn rows_are_multiplied_with_the_matrix_and_turned_back_by_its_transpose() {
        for n in (0..70).chain([96, 384, 1536]) {
            let row: Vec<f32> = (0..n).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            let mut rotated = vec![f32::NAN; n];
            rotate(&row, &mut rotated);
            assert_eq!(rotated, product(&row, factor), "{n}");
            assert_eq!(turned_back(&rotated), row, "{n}");
        }
    }

    #[test]
    fn one_large_number_and_a_constant_are_spread_evenly() {
        let mut rotated = [0.0; 48];
        let mut row = [0.0; 48];
        row[5] = 8.0;
        rotate(&row, &mut rotated);
        let expected: [f32; 48] = std::array::from_fn(|i| if i % 3 == 2 { 2.0 } else { 0.0 });
        assert_eq!(rotated.map(f32::abs), expected);
        rotate(&[8.0; 48], &mut rotated);
        assert_eq!(rotated.map(f32::abs), [8.0; 48]);
    }
}
