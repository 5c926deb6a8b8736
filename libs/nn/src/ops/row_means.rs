//! Means over chosen rows.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{gradient, input, lanes, lend, output};

/// The mean of the rows of each group; zeros for a group without rows.
///
/// # Shapes
/// `x` `[t, d]`, `groups` of row numbers below `t`, `n` of them -> `[n, d]`.
pub fn row_means(x: &Tensor, groups: Arc<[Vec<usize>]>) -> Result<Tensor> {
    x.apply_op1(RowMeans { groups })
}

struct RowMeans {
    groups: Arc<[Vec<usize>]>,
}

/// What a row counts in the mean of its group.
fn share(group: &[usize]) -> f32 {
    1.0 / group.len().max(1) as f32
}

impl CustomOp1 for RowMeans {
    fn name(&self) -> &'static str {
        "row_means"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (t, d) = layout.shape().dims2()?;
        if let Some(row) = self.groups.iter().flatten().find(|&&row| row >= t) {
            candle_core::bail!("row_means: row {row} of {t} rows");
        }
        let x = input(x, layout)?;
        let mut means = vec![0.0; self.groups.len() * d];
        for (mean, group) in means.chunks_exact_mut(d.max(1)).zip(self.groups.iter()) {
            group.iter().for_each(|row| lanes::add_to(mean, &x[row * d..][..d]));
            lanes::scale(mean, share(group));
        }
        output(means, (self.groups.len(), d))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (t, d) = x.dims2()?;
        lend([&grad.contiguous()?], |[grad]| {
            let mut dx = vec![0.0; t * d];
            for (grad, group) in grad.chunks_exact(d.max(1)).zip(self.groups.iter()) {
                let mut part = grad.to_vec();
                lanes::scale(&mut part, share(group));
                group.iter().for_each(|row| lanes::add_to(&mut dx[row * d..][..d], &part));
            }
            gradient(dx, x)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let groups: Arc<[Vec<usize>]> = [vec![4, 0], vec![], vec![2], vec![0, 1, 2, 2]].into();
        gradients(&[random(1, &[5, 3])], |x| row_means(&x[0], groups.clone()).unwrap());
    }

    #[test]
    fn a_group_without_rows_is_zero_and_a_row_outside_is_refused() {
        let x = random(1, &[2, 3]);
        let means = row_means(&x, [vec![], vec![1]].into()).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(means, [vec![0.0; 3], x.to_vec2::<f32>().unwrap()[1].clone()]);
        assert!(row_means(&x, [vec![2]].into()).is_err());
    }
}
