//! BERT and its descendants: learnt positions, a norm after each residual, GELU.

use nn::models::{Encoder, LayerNames, Projection};

use super::relative::Distances;
use super::{INPUT_IDS, TOKEN_TYPE_IDS, attention};
use crate::graph::{Graph, Value};
use crate::proto::{Attribute, DataType};

/// The output of the last layer for the first token of each sequence, from which these architectures read the score.
///
/// # Shapes
/// `[b, 1, d]`.
pub(super) fn hidden(graph: &mut Graph<'_>, encoder: &Encoder) -> nn::Result<Value> {
    let positions = attention::positions(graph, "positions");
    let mut x = embedded(graph, encoder, &positions)?;
    let seen = attention::tokens(graph, "mask");
    let bias = attention::bias(graph, "mask", &seen);
    let distances = match &encoder.relative {
        Some(relative) => Some(Distances::of(graph, encoder, relative, &positions)?),
        None => None,
    };
    for index in 0..encoder.layers {
        let layer = Layer { encoder, bias: &bias, distances: distances.as_ref(), index };
        x = layer.output(graph, &x)?;
    }
    Ok(x)
}

/// # Shapes
/// `positions` `[s]` -> `[b, s, d]`.
fn embedded(graph: &mut Graph<'_>, encoder: &Encoder, positions: &str) -> nn::Result<Value> {
    let scope = format!("{}.embeddings", encoder.root);
    let table = |name: &str| format!("{scope}.{name}_embeddings");
    let mut x = graph.lookup_words(&table("word"), INPUT_IDS)?;
    if let Some(types) = encoder.types {
        // With a single type, all tokens have it, and there is no input for it.
        let types = if types > 1 { TOKEN_TYPE_IDS.to_owned() } else { graph.list(&[0]) };
        let found = graph.lookup(&table("token_type"), &types)?;
        x = graph.node(&scope, "Add", &[&x, &found], &[]);
    }
    if encoder.adds_positions {
        let rows = position_rows(graph, encoder, positions);
        let found = graph.lookup(&table("position"), &rows)?;
        x = graph.node(&scope, "Add", &[&x, &found], &[]);
    }
    if let Some(Projection::BeforeNorm(_)) = encoder.projection {
        x = graph.linear(&format!("{scope}.embed_proj"), &x)?;
    }
    x = graph.layer_norm(&format!("{scope}.LayerNorm"), &x, encoder.norm_eps)?;
    if let Some(Projection::AfterNorm(_)) = encoder.projection {
        x = graph.linear(&format!("{}.embeddings_project", encoder.root), &x)?;
    }
    Ok(x)
}

/// The row of each token's position. Where the first row is that of the padding token, as in RoBERTa, padding has the row before
/// the first, and is not counted: `[b, s]`.
fn position_rows(graph: &mut Graph<'_>, encoder: &Encoder, positions: &str) -> Value {
    const SCOPE: &str = "positions";
    let Some(padding) = encoder.first_position.checked_sub(1) else { return positions.to_owned() };
    let (padding, axis) = (graph.integer(padding as i64), graph.integer(1));
    let is_padding = graph.node(SCOPE, "Equal", &[INPUT_IDS, &padding], &[]);
    let counts = graph.node(SCOPE, "Not", &[&is_padding], &[]);
    let counts = graph.cast(SCOPE, &counts, DataType::Int64);
    let numbers = graph.node(SCOPE, "CumSum", &[&counts, &axis], &[]);
    let numbers = graph.node(SCOPE, "Mul", &[&numbers, &counts], &[]);
    graph.node(SCOPE, "Add", &[&numbers, &padding], &[])
}

/// One layer. The last one is computed for the first token alone.
struct Layer<'a> {
    encoder: &'a Encoder,
    bias: &'a str,
    distances: Option<&'a Distances<'a>>,
    index: usize,
}

impl Layer<'_> {
    /// # Shapes
    /// `x` `[b, s, d]` -> `[b, s, d]`, or `[b, 1, d]`.
    fn output(&self, graph: &mut Graph<'_>, x: &str) -> nn::Result<Value> {
        let Encoder { root, names, norm_eps, .. } = self.encoder;
        let scope = format!("{root}.{}.{}", names.layers, self.index);
        let name = |module: &str| format!("{scope}.{module}");
        let LayerNames { attention: [.., mixture], attention_norm, feed_forward: [into, out], norm, .. } = names;
        let asking = if self.is_last() { graph.first(&scope, x, 1) } else { x.to_owned() };
        let mixed = self.attention(graph, &scope, (&asking, x))?;
        let update = graph.linear(&name(mixture), &mixed)?;
        let sum = graph.node(&scope, "Add", &[&update, &asking], &[]);
        let x = graph.layer_norm(&name(attention_norm), &sum, *norm_eps)?;
        let inner = graph.linear(&name(into), &x)?;
        let inner = graph.gelu(&name(into), &inner);
        let update = graph.linear(&name(out), &inner)?;
        let sum = graph.node(&scope, "Add", &[&update, &x], &[]);
        graph.layer_norm(&name(norm), &sum, *norm_eps)
    }

    fn is_last(&self) -> bool {
        self.index + 1 == self.encoder.layers
    }

    fn attention(&self, graph: &mut Graph<'_>, scope: &str, (asking, x): (&str, &str)) -> nn::Result<Value> {
        let encoder = self.encoder;
        let [query, key, value, _] = encoder.names.attention;
        let heads = (encoder.heads, encoder.width / encoder.heads);
        let [q, k, v] = [(query, asking), (key, x), (value, x)].map(|(name, x)| {
            let name = format!("{scope}.{name}");
            graph.linear(&name, x).map(|projected| (name, projected))
        });
        let ((q_name, q), (k_name, k), (v_name, v)) = (q?, k?, v?);
        let q = graph.split_heads(&q_name, &q, heads, [0, 2, 1, 3]);
        let keys = graph.split_heads(&k_name, &k, heads, [0, 2, 3, 1]);
        let v = graph.split_heads(&v_name, &v, heads, [0, 2, 1, 3]);
        let scope = format!("{scope}.attention");
        let mut scores = graph.node(&scope, "MatMul", &[&q, &keys], &[]);
        if let Some(distances) = self.distances {
            let k = graph.split_heads(&k_name, &k, heads, [0, 2, 1, 3]);
            scores = distances.add_terms(graph, (&scope, self.index), &scores, [&q, &k], self.is_last())?;
        }
        let scale = encoder.scale.unwrap_or(1.0 / (heads.1 as f32).sqrt());
        let scale = graph.float(scale);
        let scores = graph.node(&scope, "Mul", &[&scores, &scale], &[]);
        let scores = graph.node(&scope, "Add", &[&scores, self.bias], &[]);
        Ok(graph.mixture(&scope, &scores, &v, encoder.width))
    }
}

impl Distances<'_> {
    /// The scores with what they have besides content. The last layer asks for the first token alone.
    ///
    /// # Shapes
    /// `scores` `[b, heads, q, s]`, `queries` `[b, heads, q, head_dim]`, `keys` `[b, heads, s, head_dim]` -> `[b, heads, q, s]`.
    fn add_terms(
        &self,
        graph: &mut Graph<'_>,
        (scope, index): (&str, usize),
        scores: &str,
        [queries, keys]: [&str; 2],
        first_alone: bool,
    ) -> nn::Result<Value> {
        let rows = if first_alone { graph.first(scope, &self.rows, 0) } else { self.rows.clone() };
        let mut scores = scores.to_owned();
        let gathered = [Attribute::int("axis", 3)];
        if self.relative.content_to_position {
            let found = self.asked(graph, (scope, index), 1, queries)?;
            let places = self.expanded(graph, scope, &rows);
            let term = graph.node(scope, "GatherElements", &[&found, &places], &gathered);
            scores = graph.node(scope, "Add", &[&scores, &term], &[]);
        }
        if self.relative.position_to_content {
            let found = self.asked(graph, (scope, index), 0, keys)?;
            let rows = graph.transpose(scope, &rows, &[1, 0]);
            let places = self.expanded(graph, scope, &rows);
            let term = graph.node(scope, "GatherElements", &[&found, &places], &gathered);
            let term = graph.transpose(scope, &term, &[0, 1, 3, 2]);
            scores = graph.node(scope, "Add", &[&scores, &term], &[]);
        }
        Ok(scores)
    }
}
