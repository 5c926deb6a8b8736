//! Rows of a table.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{gradient, input, lanes, lend, output, task_rows};

/// Row `ids[i]` of the table as row `i` of the output.
///
/// # Shapes
/// `table` `[v, d]`, `ids` of length `t` -> `[t, d]`.
pub fn embedding(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    table.apply_op1(Embedding { ids: ids.into() })
}

struct Embedding {
    ids: Arc<[u32]>,
}

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (v, d) = layout.shape().dims2()?;
        if let Some(id) = self.ids.iter().find(|&&id| id as usize >= v) {
            candle_core::bail!("embedding: row {id} of a table of {v} rows");
        }
        let table = input(table, layout)?;
        let mut rows = vec![0.0; self.ids.len() * d];
        rows.par_chunks_mut(task_rows(d) * d).zip(self.ids.par_chunks(task_rows(d))).for_each(|(rows, ids)| {
            for (row, &id) in rows.chunks_exact_mut(d).zip(ids) {
                row.copy_from_slice(&table[id as usize * d..][..d]);
            }
        });
        output(rows, (self.ids.len(), d))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (v, d) = table.dims2()?;
        lend([&grad.contiguous()?], |[grad]| {
            let mut sums = vec![0.0; v * d];
            for (row, &id) in grad.chunks_exact(d).zip(self.ids.iter()) {
                lanes::add_to(&mut sums[id as usize * d..][..d], row);
            }
            gradient(sums, table)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        gradients(&[random(1, &[5, 3])], |x| embedding(&x[0], &[4, 0, 4, 2]).unwrap());
    }

    #[test]
    fn a_row_outside_the_table_is_refused() {
        assert!(embedding(&random(1, &[5, 3]), &[5]).is_err());
    }
}
