//! How DeBERTa's tokens attend by their distance, for sequences of any length up to the model's.

use nn::models::{Encoder, Relative};

use super::{INPUT_IDS, attention};
use crate::graph::{Graph, Value};

/// The distances of a batch and their embeddings.
pub(super) struct Distances<'a> {
    encoder: &'a Encoder,
    pub(super) relative: &'a Relative,
    /// The embedding of each distance: `[rows, d]`.
    embeddings: Value,
    /// The row of each pair of tokens, the asking one first: `[s, s]`.
    pub(super) rows: Value,
    /// Batch and heads, as a shape.
    sizes: Value,
}

impl<'a> Distances<'a> {
    /// # Shapes
    /// `positions` `[s]`.
    pub(super) fn of(
        graph: &mut Graph<'_>,
        encoder: &'a Encoder,
        relative: &'a Relative,
        positions: &str,
    ) -> nn::Result<Self> {
        const SCOPE: &str = "distances";
        let root = format!("{}.encoder", encoder.root);
        let mut embeddings = graph.weight(&format!("{root}.rel_embeddings.weight"))?;
        if relative.norm {
            embeddings = graph.layer_norm(&format!("{root}.LayerNorm"), &embeddings, encoder.norm_eps)?;
        }
        // A table in place of the logarithms that the buckets have.
        let most = encoder.max_tokens() as i64 - 1;
        let buckets: Vec<i64> = (-most..=most).map(|distance| relative.row(distance) as i64).collect();
        let buckets = graph.integers("distances.rows", &[buckets.len()], &buckets);
        let distances = attention::distances(graph, SCOPE, positions);
        let most = graph.integer(most);
        let places = graph.node(SCOPE, "Add", &[&distances, &most], &[]);
        let rows = graph.node(SCOPE, "Gather", &[&buckets, &places], &[]);
        let shape = graph.node(SCOPE, "Shape", &[INPUT_IDS], &[]);
        let batch = graph.first(SCOPE, &shape, 0);
        let heads = graph.list(&[encoder.heads as i64]);
        let sizes = graph.node(SCOPE, "Concat", &[&batch, &heads], &[crate::proto::Attribute::int("axis", 0)]);
        Ok(Self { encoder, relative, embeddings, rows, sizes })
    }

    /// What `tokens` find at each distance, which a layer projects as it does queries (`which` 0) or keys (1).
    ///
    /// # Shapes
    /// `tokens` `[b, heads, t, head_dim]` -> `[b, heads, t, rows]`.
    pub(super) fn asked(
        &self,
        graph: &mut Graph<'_>,
        (scope, index): (&str, usize),
        which: usize,
        tokens: &str,
    ) -> nn::Result<Value> {
        let Encoder { root, names, heads, width, .. } = self.encoder;
        let [query, key, ..] = names.attention;
        let projection = self.relative.projections([query, key])[which];
        let name = format!("{root}.{}.{index}.{projection}", names.layers);
        let projected = graph.linear(&name, &self.embeddings)?;
        let shape = graph.list(&[-1, *heads as i64, (width / heads) as i64]);
        let split = graph.node(scope, "Reshape", &[&projected, &shape], &[]);
        let split = graph.transpose(scope, &split, &[1, 2, 0]);
        Ok(graph.node(scope, "MatMul", &[tokens, &split], &[]))
    }

    /// The same rows for every head of every sequence.
    ///
    /// # Shapes
    /// `rows` `[t, u]` -> `[b, heads, t, u]`.
    pub(super) fn expanded(&self, graph: &mut Graph<'_>, scope: &str, rows: &str) -> Value {
        let shape = graph.node(scope, "Shape", &[rows], &[]);
        let shape = graph.node(scope, "Concat", &[&self.sizes, &shape], &[crate::proto::Attribute::int("axis", 0)]);
        graph.node(scope, "Expand", &[rows, &shape], &[])
    }
}
