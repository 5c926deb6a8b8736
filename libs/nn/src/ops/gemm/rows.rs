//! A product whose rows do not depend on what other rows stand beside them.

use super::{Compute, Matrix, product};

/// Numbers of a product that the library `gemm` computes as so many dot products, summed in another order than larger ones.
const DOTS: usize = 256;
/// Rows and columns of a product whose blocks of summands have a size of their own, where there are more than `SUMMANDS`.
const SMALL: usize = 64;
const SUMMANDS: usize = 512;

/// `lhs rhs`, in which a row has the same bits whatever number of rows the product has: a text's score is then the same alone and
/// in a batch. The library picks a way to sum by the sizes of a product; rows of zeros keep it to one, and a single column is
/// computed in pieces.
///
/// # Shapes
/// `lhs` `[m, k]` contiguous, `rhs` `[k, n]` -> `[m, n]` contiguous.
pub(in crate::ops) fn product_by_rows(lhs: Matrix<'_>, rhs: Matrix<'_>, compute: Compute) -> Vec<f32> {
    let (m, k, n) = (lhs.rows, lhs.cols, rhs.cols);
    if n == 1 {
        let pieces = (0..m).step_by(DOTS).map(|start| lhs.rows(&(start..m.min(start + DOTS))));
        return pieces.flat_map(|piece| product(piece, rhs, 1.0, compute)).collect();
    }
    let least = if n <= SMALL && k > SUMMANDS { SMALL + 1 } else { 2 }.max(DOTS / n.max(1) + 1);
    if m >= least || m == 0 {
        return product(lhs, rhs, 1.0, compute);
    }
    let mut padded = lhs.data[..m * k].to_vec();
    padded.resize(least * k, 0.0);
    let mut rows = product(Matrix::new(&padded, k), rhs, 1.0, compute);
    rows.truncate(m * n);
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Precision;
    use super::*;

    fn numbers(seed: u64, count: usize) -> Vec<f32> {
        let mut rng = ranking::rng::stream(seed, "test", 0);
        (0..count).map(|_| rand::Rng::next_u32(&mut rng) as f32 / u32::MAX as f32 - 0.5).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_row_is_the_same_alone_and_among_others(
            m in prop_oneof![1usize..40, 60usize..70, 250usize..300],
            k in prop_oneof![1usize..70, 500usize..530, Just(768usize), Just(1536)],
            n in prop_oneof![1usize..5, 14usize..18, 60usize..70, Just(384usize)],
            bf16: bool,
        ) {
            let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
            let (x, weight) = (numbers(1, m * k), numbers(2, n * k));
            let rhs = Matrix::new(&weight, k).t();
            let by_rows = |lhs: Matrix<'_>, compute| product_by_rows(lhs, rhs, compute);
            let all = by_rows(Matrix::new(&x, k), Compute::shared(precision));
            for row in [0, m / 2, m - 1] {
                let alone = by_rows(Matrix::new(&x[row * k..][..k], k), Compute { precision, threads: 1 });
                prop_assert_eq!(&alone, &all[row * n..][..n]);
            }
            let half = m / 2 * k;
            prop_assert_eq!(&by_rows(Matrix::new(&x[..half], k), Compute::shared(precision)), &all[..m / 2 * n]);
        }
    }
}
