//! ModernBERT: rotary positions, norms before each block, a gated feed-forward block, and layers most of which see a window alone.

use nn::models::{LayerType, ModernBert};

use super::{INPUT_IDS, attention};
use crate::graph::{Graph, Value};
use crate::proto::{Attribute, DataType};

/// Cosines and sines of the angles of each position: `[s, head_dim]` each.
#[derive(Clone)]
struct Angles {
    cos: Value,
    sin: Value,
}

/// What the layers of one kind share.
struct Shared {
    angles: Angles,
    bias: Value,
}

/// The output of the last layer, of the first token of each sequence alone where `first_alone` says so.
///
/// # Shapes
/// `[b, s, d]`, or `[b, 1, d]`.
pub(super) fn hidden(graph: &mut Graph<'_>, model: &ModernBert, first_alone: bool) -> nn::Result<Value> {
    let positions = attention::positions(graph, "positions");
    let tokens = attention::tokens(graph, "mask");
    let full = model.layer_types.contains(&LayerType::Full).then(|| Shared {
        angles: angles(graph, model, model.global_rope_theta, &positions),
        bias: attention::bias(graph, "mask", &tokens),
    });
    let sliding = model.layer_types.contains(&LayerType::Sliding).then(|| {
        let near = near(graph, model, &positions);
        let seen = graph.node("mask", "And", &[&tokens, &near], &[]);
        Shared {
            angles: angles(graph, model, model.local_rope_theta, &positions),
            bias: attention::bias(graph, "mask", &seen),
        }
    });
    let words = graph.lookup_words("model.embeddings.tok_embeddings", INPUT_IDS)?;
    let mut x = graph.layer_norm("model.embeddings.norm", &words, model.norm_eps)?;
    for (index, kind) in model.layer_types.iter().enumerate() {
        let shared = match kind {
            LayerType::Full => &full,
            LayerType::Sliding => &sliding,
        };
        let first_alone = first_alone && index + 1 == model.num_hidden_layers;
        if let Some(shared) = shared {
            x = Layer { model, shared, index, first_alone }.output(graph, &x)?;
        }
    }
    graph.layer_norm("model.final_norm", &x, model.norm_eps)
}

/// True for pairs of tokens within half a window.
///
/// # Shapes
/// `positions` `[s]` -> `[s, s]`.
fn near(graph: &mut Graph<'_>, model: &ModernBert, positions: &str) -> Value {
    const SCOPE: &str = "window";
    let distances = attention::distances(graph, SCOPE, positions);
    let distances = graph.node(SCOPE, "Abs", &[&distances], &[]);
    let half = graph.integer((model.local_attention / 2) as i64);
    graph.node(SCOPE, "LessOrEqual", &[&distances, &half], &[])
}

/// # Shapes
/// `positions` `[s]`.
fn angles(graph: &mut Graph<'_>, model: &ModernBert, theta: f64, positions: &str) -> Angles {
    const SCOPE: &str = "rotary";
    let head_dim = model.hidden_size / model.num_attention_heads;
    let frequency = |number: usize| theta.powf(-2.0 * number as f64 / head_dim as f64) as f32;
    let frequencies: Vec<f32> = (0..head_dim / 2).map(frequency).collect();
    let frequencies = graph.floats(&format!("rotary.frequencies.{theta}"), &[1, head_dim / 2], &frequencies);
    let positions = graph.cast(SCOPE, positions, DataType::Float);
    let positions = graph.unsqueeze(SCOPE, &positions, &[1]);
    let half = graph.node(SCOPE, "Mul", &[&positions, &frequencies], &[]);
    let angles = graph.node(SCOPE, "Concat", &[&half, &half], &[Attribute::int("axis", -1)]);
    let [cos, sin] = ["Cos", "Sin"].map(|function| graph.node(SCOPE, function, &[&angles], &[]));
    Angles { cos, sin }
}

struct Layer<'a> {
    model: &'a ModernBert,
    shared: &'a Shared,
    index: usize,
    first_alone: bool,
}

impl Layer<'_> {
    /// # Shapes
    /// `x` `[b, s, d]` -> `[b, s, d]`, or `[b, 1, d]`.
    fn output(&self, graph: &mut Graph<'_>, x: &str) -> nn::Result<Value> {
        let (model, scope) = (self.model, format!("model.layers.{}", self.index));
        let name = |module: &str| format!("{scope}.{module}");
        // The embeddings have a norm, so that the first layer has none before attention.
        let normed = match self.index {
            0 => x.to_owned(),
            _ => graph.layer_norm(&name("attn_norm"), x, model.norm_eps)?,
        };
        let mixed = self.attention(graph, &name("attn"), &normed)?;
        let update = graph.linear(&name("attn.Wo"), &mixed)?;
        let x = if self.first_alone { graph.first(&scope, x, 1) } else { x.to_owned() };
        let x = graph.node(&scope, "Add", &[&x, &update], &[]);
        let normed = graph.layer_norm(&name("mlp_norm"), &x, model.norm_eps)?;
        let inner = graph.linear(&name("mlp.Wi"), &normed)?;
        let [gate, up] = graph.split(&name("mlp"), &inner, model.intermediate_size);
        let gate = graph.gelu(&name("mlp"), &gate);
        let gated = graph.node(&name("mlp"), "Mul", &[&gate, &up], &[]);
        let update = graph.linear(&name("mlp.Wo"), &gated)?;
        Ok(graph.node(&scope, "Add", &[&x, &update], &[]))
    }

    /// # Shapes
    /// `x` `[b, s, d]` -> `[b, q, d]`.
    fn attention(&self, graph: &mut Graph<'_>, scope: &str, x: &str) -> nn::Result<Value> {
        let width = self.model.hidden_size;
        let head_dim = width / self.model.num_attention_heads;
        let heads = (self.model.num_attention_heads, head_dim);
        let projected = graph.linear(&format!("{scope}.Wqkv"), x)?;
        let [q, k, v] = graph.split(scope, &projected, width);
        let Shared { angles, bias } = self.shared;
        let (q, asking, bias) = if self.first_alone {
            let [cos, sin] = [&angles.cos, &angles.sin].map(|each| graph.first(scope, each, 0));
            // Scores of a window differ by the asking token, those of all tokens do not.
            let windowed = self.model.layer_types[self.index] == LayerType::Sliding;
            let bias = if windowed { graph.first(scope, bias, 2) } else { bias.clone() };
            (graph.first(scope, &q, 1), Angles { cos, sin }, bias)
        } else {
            (q, angles.clone(), bias.clone())
        };
        let [q, k, v] = [&q, &k, &v].map(|each| graph.split_heads(scope, each, heads, [0, 2, 1, 3]));
        let q = turned(graph, scope, &q, &asking, head_dim);
        let k = turned(graph, scope, &k, angles, head_dim);
        let k = graph.transpose(scope, &k, &[0, 1, 3, 2]);
        let scores = graph.node(scope, "MatMul", &[&q, &k], &[]);
        let scale = graph.float(1.0 / (head_dim as f32).sqrt());
        let scores = graph.node(scope, "Mul", &[&scores, &scale], &[]);
        let scores = graph.node(scope, "Add", &[&scores, &bias], &[]);
        Ok(graph.mixture(scope, &scores, &v, width))
    }
}

/// Queries or keys turned by the angles of their positions.
fn turned(graph: &mut Graph<'_>, scope: &str, x: &str, angles: &Angles, head_dim: usize) -> Value {
    let [first, second] = graph.split(scope, x, head_dim / 2);
    let second = graph.node(scope, "Neg", &[&second], &[]);
    let crossed = graph.node(scope, "Concat", &[&second, &first], &[Attribute::int("axis", -1)]);
    let own = graph.node(scope, "Mul", &[x, &angles.cos], &[]);
    let crossed = graph.node(scope, "Mul", &[&crossed, &angles.sin], &[]);
    graph.node(scope, "Add", &[&own, &crossed], &[])
}
