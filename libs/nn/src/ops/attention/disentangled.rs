//! Attention by content and by distance: the disentangled attention of DeBERTa (arXiv 2006.03654, section 3.1).

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::super::gemm::{Compute, Matrix, gemm_rows, product};
use super::super::{gradient, input, lanes, lend, output};
use super::Attention;

/// Keys whose products with the queries of distances are held at a time: each needs the distances to all queries of a
/// block, so that few keys share many.
const TILE: usize = 32;

/// What the scores have besides content.
#[derive(Debug, Clone)]
pub struct Relative {
    /// Rows `[r, d]` that queries are compared with, one for each distance or several of them.
    pub keys: Option<Tensor>,
    /// Rows `[r, d]` that keys are compared with.
    pub queries: Option<Tensor>,
    /// The row of each distance (position of the query less position of the key), from `1 - n` to `n - 1` for sequences of at
    /// most `n` tokens, never decreasing.
    pub rows: Arc<[u32]>,
}

/// `softmax(scale (q k^T + a + b)) v` per sequence and head, where `a[i, j] = q[i] keys[row(i - j)]` and
/// `b[i, j] = k[j] queries[row(i - j)]`.
///
/// As in [`attention`](super::attention), scores exist for one block of rows of one head at a time.
///
/// # Shapes
/// `q` `[queries, d]`, `k` and `v` `[t, d]` with `d = heads * head_dim` -> `[queries, d]`.
pub fn disentangled(q: &Tensor, k: &Tensor, v: &Tensor, relative: &Relative, spec: Attention) -> Result<Tensor> {
    let tables: Vec<&Tensor> = relative.keys.iter().chain(&relative.queries).collect();
    let op = Disentangled {
        attention: spec,
        rows: relative.rows.clone(),
        has_keys: relative.keys.is_some(),
        has_queries: relative.queries.is_some(),
    };
    q.apply_op3(&Tensor::cat(&[k, v], 0)?, &Tensor::cat(&tables, 0)?, op)
}

/// On queries, keys above values, and the table of keys above that of queries.
struct Disentangled {
    attention: Attention,
    rows: Arc<[u32]>,
    has_keys: bool,
    has_queries: bool,
}

impl Disentangled {
    fn check(&self, [q, kv, tables]: [&Layout; 3]) -> Result<()> {
        let (both, d) = kv.shape().dims2()?;
        let part = Layout::contiguous((both / 2, d));
        self.attention.check([q, &part, &part])?;
        let (rows, table_width) = tables.shape().dims2()?;
        let longest = self.attention.offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        let covers = self.rows.len() % 2 == 1 && self.rows.len().div_ceil(2) >= longest && self.rows.is_sorted();
        let count = usize::from(self.has_keys) + usize::from(self.has_queries);
        let holds = count > 0 && self.rows.last().is_some_and(|&last| (last as usize) < rows / count);
        let fits = table_width == d && rows.is_multiple_of(count.max(1)) && both.is_multiple_of(2);
        let Attention { heads, kv_heads, rotary, .. } = &self.attention;
        if !covers || !holds || !fits || heads != kv_heads || rotary.is_some() {
            candle_core::bail!(
                "disentangled: {count} tables in [{rows}, {table_width}] for {} distances of {longest} tokens of {d}, \
                 {heads} heads and {kv_heads} key heads",
                self.rows.len()
            );
        }
        Ok(())
    }

    fn terms<'a>(&'a self, tables: &'a [f32]) -> Terms<'a> {
        let half = if self.has_keys && self.has_queries { tables.len() / 2 } else { tables.len() };
        let keys = self.has_keys.then(|| &tables[..half]);
        let queries = self.has_queries.then(|| &tables[tables.len() - half..]);
        Terms { attention: &self.attention, rows: &self.rows, keys, queries }
    }
}

/// The terms of the scores that depend on distance.
pub(super) struct Terms<'a> {
    attention: &'a Attention,
    rows: &'a [u32],
    keys: Option<&'a [f32]>,
    queries: Option<&'a [f32]>,
}

/// A block of scores of one head.
pub(super) struct Place<'a> {
    pub(super) head: usize,
    /// Positions of the queries, increasing.
    pub(super) positions: &'a [usize],
    pub(super) keys: Range<usize>,
}

/// Gradients of the rows of the tables that the distances within one sequence have.
pub(super) struct TableSums {
    used: Range<usize>,
    keys: Vec<f32>,
    queries: Vec<f32>,
}

impl Terms<'_> {
    /// The rows of the distances of one query to keys, in the order of the keys.
    fn rows_of(&self, position: usize, keys: &Range<usize>) -> impl Iterator<Item = usize> {
        let same = self.rows.len() / 2;
        self.rows[same + position + 1 - keys.end..same + position + 1 - keys.start]
            .iter()
            .rev()
            .map(|&row| row as usize)
    }

    /// The rows of all distances of these queries to these keys.
    fn used(&self, positions: [usize; 2], keys: &Range<usize>) -> Range<usize> {
        let same = self.rows.len() / 2;
        let [first, last] = positions;
        self.rows[same + first + 1 - keys.end] as usize..self.rows[same + last - keys.start] as usize + 1
    }

    fn used_at(&self, place: &Place<'_>, keys: &Range<usize>) -> Range<usize> {
        match place.positions {
            [first, .., last] => self.used([*first, *last], keys),
            [only] => self.used([*only; 2], keys),
            [] => 0..0,
        }
    }

    fn table<'a>(&self, table: &'a [f32], rows: &Range<usize>, head: usize) -> Matrix<'a> {
        self.attention.head(table, rows, head, self.attention.key_width())
    }

    /// Adds the terms to a block of scores `[queries, keys]`, from its queries and keys.
    pub(super) fn add(&self, place: &Place<'_>, [q, k]: [Matrix<'_>; 2], scores: &mut [f32]) {
        if let Some(table) = self.keys {
            self.add_keys(place, table, q, scores);
        }
        if let Some(table) = self.queries {
            tiles(&place.keys).for_each(|tile| self.add_queries(place, table, &tile, k, scores));
        }
    }

    fn add_keys(&self, place: &Place<'_>, table: &[f32], q: Matrix<'_>, scores: &mut [f32]) {
        let rows = self.used_at(place, &place.keys);
        let table = self.table(table, &rows, place.head);
        let products = product(q, table.t(), self.attention.factor(), Compute::ALONE); // [queries, rows]
        let blocks = scores.chunks_exact_mut(place.keys.len()).zip(products.chunks_exact(rows.len()));
        for ((scores, products), &position) in blocks.zip(place.positions) {
            for (score, row) in scores.iter_mut().zip(self.rows_of(position, &place.keys)) {
                *score += products[row - rows.start];
            }
        }
    }

    fn add_queries(&self, place: &Place<'_>, table: &[f32], tile: &Range<usize>, k: Matrix<'_>, scores: &mut [f32]) {
        let (rows, columns) = (self.used_at(place, tile), place.columns(tile));
        let table = self.table(table, &rows, place.head);
        let products = product(k.rows(&columns), table.t(), self.attention.factor(), Compute::ALONE); // [tile, rows]
        for (scores, &position) in scores.chunks_exact_mut(place.keys.len()).zip(place.positions) {
            let scores = scores[columns.clone()].iter_mut().zip(products.chunks_exact(rows.len()));
            for ((score, products), row) in scores.zip(self.rows_of(position, tile)) {
                *score += products[row - rows.start];
            }
        }
    }

    /// No gradients yet of the tables from a sequence of so many tokens.
    pub(super) fn no_sums(&self, tokens: usize) -> TableSums {
        let used = self.used([0, tokens - 1], &(0..tokens));
        let len = used.len() * self.attention.key_width();
        let zeros = |table: Option<&[f32]>| vec![0.0; if table.is_some() { len } else { 0 }];
        TableSums { keys: zeros(self.keys), queries: zeros(self.queries), used }
    }

    /// Adds the gradients that a block of scores gives its queries and keys, both rows of `[_, d]` from the head's first
    /// number on, and the tables: for `a` of [`disentangled`], `dq = da keys` and `dkeys = da^T q` with `da` the sums of the
    /// scores' gradients over the distances of a row; for `b` in the same way.
    pub(super) fn backward(
        &self,
        place: &Place<'_>,
        [q, k]: [Matrix<'_>; 2],
        dscores: &[f32],
        [dq, dk]: [&mut [f32]; 2],
        sums: &mut TableSums,
    ) {
        let first = sums.used.start;
        if let Some(table) = self.keys {
            let rows = self.used_at(place, &place.keys);
            let mut dproducts = vec![0.0; place.positions.len() * rows.len()]; // [queries, rows]
            let blocks = dproducts.chunks_exact_mut(rows.len()).zip(dscores.chunks_exact(place.keys.len()));
            for ((dproducts, dscores), &position) in blocks.zip(place.positions) {
                for (dscore, row) in dscores.iter().zip(self.rows_of(position, &place.keys)) {
                    dproducts[row - rows.start] += dscore;
                }
            }
            self.spread(place, (table, &rows), q, &dproducts, [dq, &mut sums.keys], first);
        }
        let Some(table) = self.queries else { return };
        for tile in tiles(&place.keys) {
            let (rows, columns) = (self.used_at(place, &tile), place.columns(&tile));
            let mut dproducts = vec![0.0; tile.len() * rows.len()]; // [tile, rows]
            for (dscores, &position) in dscores.chunks_exact(place.keys.len()).zip(place.positions) {
                let dscores = dscores[columns.clone()].iter().zip(dproducts.chunks_exact_mut(rows.len()));
                for ((dscore, dproducts), row) in dscores.zip(self.rows_of(position, &tile)) {
                    dproducts[row - rows.start] += dscore;
                }
            }
            let dk = &mut dk[columns.start * self.attention.key_width()..];
            self.spread(place, (table, &rows), k.rows(&columns), &dproducts, [dk, &mut sums.queries], first);
        }
    }

    /// The gradients of both factors of `products = x table^T`; `first` is the first row of the table's gradient.
    fn spread(
        &self,
        place: &Place<'_>,
        (table, rows): (&[f32], &Range<usize>),
        x: Matrix<'_>,
        dproducts: &[f32],
        [dx, dtable]: [&mut [f32]; 2],
        first: usize,
    ) {
        let (width, factor) = (self.attention.key_width(), self.attention.factor());
        let dproducts = Matrix::new(dproducts, rows.len());
        gemm_rows(dx, width, dproducts, self.table(table, rows, place.head), factor, true, Compute::ALONE);
        let dtable = &mut dtable[(rows.start - first) * width + place.head * self.attention.head_dim..];
        gemm_rows(dtable, width, dproducts.t(), x, factor, true, Compute::ALONE);
    }
}

impl Place<'_> {
    /// The columns of these keys in the block.
    fn columns(&self, keys: &Range<usize>) -> Range<usize> {
        keys.start - self.keys.start..keys.end - self.keys.start
    }
}

fn tiles(keys: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = keys.end;
    keys.clone().step_by(TILE).map(move |start| start..end.min(start + TILE))
}

impl CustomOp3 for Disentangled {
    fn name(&self) -> &'static str {
        "disentangled"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        kv: &CpuStorage,
        kvl: &Layout,
        tables: &CpuStorage,
        tl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.check([ql, kvl, tl])?;
        let (q, kv, tables) = (input(q, ql)?, input(kv, kvl)?, input(tables, tl)?);
        let (k, v) = kv.split_at(kv.len() / 2);
        output(self.attention.forward([q, k, v], Some(&self.terms(tables))), ql.shape())
    }

    fn bwd(
        &self,
        q: &Tensor,
        kv: &Tensor,
        tables: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        lend([q, kv, tables, &grad.contiguous()?], |[q_values, kv_values, table_values, grad]| {
            let (k, v) = kv_values.split_at(kv_values.len() / 2);
            let terms = self.terms(table_values);
            let ([dq, mut dkv, dv], sums) = self.attention.backward([q_values, k, v, grad], Some(&terms));
            dkv.extend(dv);
            let mut dtables = vec![0.0; table_values.len()];
            let (width, half) = (self.attention.key_width(), terms.keys.map_or(0, <[f32]>::len));
            for TableSums { used, keys, queries } in sums {
                for (table, sums) in [(0, keys), (half, queries)].into_iter().filter(|(_, sums)| !sums.is_empty()) {
                    lanes::add_to(&mut dtables[table + used.start * width..], &sums);
                }
            }
            Ok((gradient(dq, q)?, gradient(dkv, kv)?, gradient(dtables, tables)?))
        })
    }
}
