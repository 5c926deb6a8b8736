//! The body that BERT and its descendants share: learnt positions, layer norm after each residual, GELU (arXiv
//! 1810.04805). They differ in names, sizes, where they drop, and what positions and distances do.

use candle_core::Tensor;

use super::backbone::Head;
use super::layers::{Drops, layer};
use super::relative::{Distances, Relative};
use crate::Result;
use crate::ops::{Attention, attention, disentangled, embedding, layer_norm};
use crate::text::Packed;
use crate::weights::{Init, Mode, ParamSpec, Params, View};

/// Names of the weights of a layer, below its number.
#[derive(Debug)]
pub struct LayerNames {
    /// What stands before the number of a layer, below the root.
    pub layers: &'static str,
    /// The projections to queries, keys and values, and the one of their mixture.
    pub attention: [&'static str; 4],
    /// The norm after attention.
    pub attention_norm: &'static str,
    /// The two layers of the feed-forward block.
    pub feed_forward: [&'static str; 2],
    /// The norm after the feed-forward block.
    pub norm: &'static str,
}

/// The names of BERT, which RoBERTa kept.
pub(super) const BERT_LAYERS: LayerNames = LayerNames {
    layers: "encoder.layer",
    attention: ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"],
    attention_norm: "attention.output.LayerNorm",
    feed_forward: ["intermediate.dense", "output.dense"],
    norm: "output.LayerNorm",
};

/// Where embeddings that are narrower than the layers are projected to their width.
#[derive(Debug, Clone, Copy)]
pub enum Projection {
    /// After norm and dropout, with a bias, from this width: ELECTRA.
    AfterNorm(usize),
    /// Before the norm, without a bias, from this width: DeBERTa.
    BeforeNorm(usize),
}

/// The body of BERT and its descendants with all that decides what it computes, but for the weights' values.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// What all names begin with.
    pub root: &'static str,
    /// Names within a layer.
    pub names: &'static LayerNames,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// How the embeddings become so wide, where they are not.
    pub projection: Option<Projection>,
    /// Width inside the feed-forward block.
    pub inner: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Rows of the position embedding, or as many positions as there may be without one.
    pub positions: usize,
    /// True if there is a position embedding.
    pub adds_positions: bool,
    /// The row of a sequence's first token; where it is not 0, one more than the id of the padding token.
    pub first_position: usize,
    /// Rows of the token type embedding, where there is one. With a single row, all tokens are of type 0.
    pub types: Option<usize>,
    /// Scores that depend on distance, if there are any.
    pub relative: Option<Relative>,
    /// What the scores are multiplied by, as [`Attention::scale`].
    pub scale: Option<f32>,
    /// Added to the variance inside the norms.
    pub norm_eps: f64,
    /// Share dropped of the embeddings and after the feed-forward block.
    pub dropout: f64,
    /// Share dropped after the mixture of attention.
    pub mixture_dropout: f64,
    /// Share dropped of the attention weights.
    pub attention_dropout: f64,
    /// Standard deviation of a fresh weight.
    pub initializer_range: f64,
}

impl Encoder {
    /// The longest sequence.
    pub fn max_tokens(&self) -> usize {
        self.positions - self.first_position
    }

    /// The name of the token embedding.
    pub(super) fn words(&self) -> String {
        format!("{}.embeddings.word_embeddings.weight", self.root)
    }

    /// The name of the affine layer that projects the embeddings, where there is one.
    fn projection_name(&self) -> Option<String> {
        self.projection.map(|projection| match projection {
            Projection::AfterNorm(_) => format!("{}.embeddings_project", self.root),
            Projection::BeforeNorm(_) => format!("{}.embeddings.embed_proj", self.root),
        })
    }

    /// As [`super::Backbone::embedding_projection`].
    pub(super) fn embedding_projection(&self) -> Option<String> {
        self.projection_name().map(|name| format!("{name}.weight"))
    }

    /// The widths of the embeddings and of their norm.
    fn embedding_widths(&self) -> [usize; 2] {
        match self.projection {
            None => [self.width; 2],
            Some(Projection::AfterNorm(width)) => [width; 2],
            Some(Projection::BeforeNorm(width)) => [width, self.width],
        }
    }

    /// What the names of the layers' weights begin with, and the number of layers.
    pub(super) fn layers(&self) -> (String, usize) {
        (format!("{}.{}.", self.root, self.names.layers), self.layers)
    }

    /// Every weight of the body.
    pub(super) fn weights(&self) -> Vec<ParamSpec> {
        let (d, inner) = (self.width, self.inner);
        let Self { root, names, .. } = self;
        let normal = Init::Normal(self.initializer_range as f32);
        let [embedded, normed] = self.embedding_widths();
        let table = |name: &str, rows| {
            ParamSpec::new(format!("{root}.embeddings.{name}_embeddings.weight"), &[rows, embedded], normal)
        };
        let mut specs = vec![table("word", self.vocab_size)];
        specs.extend(self.adds_positions.then(|| table("position", self.positions)));
        specs.extend(self.types.map(|types| table("token_type", types)));
        if let Some(name) = self.projection_name() {
            let [weight, bias] = affine(&name, [d, embedded], self.initializer_range);
            specs.push(weight);
            specs.extend(matches!(self.projection, Some(Projection::AfterNorm(_))).then_some(bias));
        }
        let mut norms = vec![(format!("{root}.embeddings.LayerNorm"), normed)];
        for index in 0..self.layers {
            let layer = format!("{root}.{}.{index}", names.layers);
            for projection in names.attention {
                specs.extend(affine(&format!("{layer}.{projection}"), [d, d], self.initializer_range));
            }
            let [into, out] = names.feed_forward;
            specs.extend(affine(&format!("{layer}.{into}"), [inner, d], self.initializer_range));
            specs.extend(affine(&format!("{layer}.{out}"), [d, inner], self.initializer_range));
            norms.extend([names.attention_norm, names.norm].map(|norm| (format!("{layer}.{norm}"), d)));
        }
        if let Some(relative) = &self.relative {
            specs.extend(relative.weights(&format!("{root}.encoder"), [self.layers, d], self.initializer_range));
        }
        for (norm, width) in norms {
            specs.push(ParamSpec::new(format!("{norm}.weight"), &[width], Init::Ones));
            specs.push(ParamSpec::new(format!("{norm}.bias"), &[width], Init::Zeros));
        }
        specs
    }

    /// As [`super::Backbone::hidden`].
    pub(super) fn hidden(
        &self,
        params: &Params,
        packed: &Packed,
        rows: Option<&[u32]>,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        packed.check(self.vocab_size, self.types.filter(|&types| types > 1), self.max_tokens())?;
        let distances = self.relative.as_ref().map(|relative| relative.distances(packed.longest()));
        let mut x = self.embed(params, packed, mode)?; // [t, d]
        for index in 0..self.layers {
            let spec = Attention {
                heads: self.heads,
                kv_heads: self.heads,
                head_dim: self.width / self.heads,
                causal: false,
                window: None,
                scale: self.scale,
                soft_cap: None,
                rotary: None,
                offsets: packed.offsets().clone(),
                queries: rows.filter(|_| index + 1 == self.layers).map(Into::into),
                dropout: None,
                precision: mode.attention_precision(),
            };
            let distances = distances.clone();
            let block = move |encoder: &Self, params: &Params, x: &Tensor, mode: Mode<'_>| {
                encoder.block(params, index, x, (spec.clone(), distances.as_ref()), mode)
            };
            x = layer(self, params, &x, mode, block)?;
        }
        Ok(x)
    }

    /// The row of each token's position. Where the first row is that of the padding token, as in RoBERTa, a padding token
    /// written in a text has the row before the first, and is not counted.
    fn position_rows(&self, packed: &Packed) -> Vec<u32> {
        let Some(padding) = self.first_position.checked_sub(1).map(|padding| padding as u32) else {
            return packed.positions();
        };
        let rows = packed.offsets().windows(2).flat_map(|ends| {
            let mut row = padding;
            packed.ids()[ends[0]..ends[1]].iter().map(move |&id| {
                row += u32::from(id != padding);
                if id == padding { padding } else { row }
            })
        });
        rows.collect()
    }

    /// # Shapes
    /// `packed` of `t` tokens -> `[t, d]`.
    fn embed(&self, params: &Params, packed: &Packed, mode: Mode<'_>) -> Result<Tensor> {
        let root = params.view(mode).child(self.root);
        let weights = root.child("embeddings");
        let mut x = embedding(&weights.get("word_embeddings.weight")?, packed.ids())?;
        if let Some(types) = self.types {
            let table = weights.get("token_type_embeddings.weight")?;
            let type_ids = if types > 1 { packed.type_ids() } else { &vec![0; packed.tokens()] };
            x = (x + embedding(&table, type_ids)?)?;
        }
        if self.adds_positions {
            x = (x + embedding(&weights.get("position_embeddings.weight")?, &self.position_rows(packed))?)?;
        }
        let x = match self.projection {
            Some(Projection::BeforeNorm(_)) => weights.linear("embed_proj", &x)?,
            _ => x,
        };
        let x = Drops::after(0, mode).drop(&self.norm(&weights, "LayerNorm", &x)?, self.dropout)?;
        match self.projection {
            Some(Projection::AfterNorm(_)) => root.linear("embeddings_project", &x),
            _ => Ok(x),
        }
    }

    /// # Shapes
    /// `x` `[t, d]` -> `[queries, d]`.
    fn block(
        &self,
        params: &Params,
        index: usize,
        x: &Tensor,
        (spec, distances): (Attention, Option<&Distances>),
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let layer = |mode| params.view(mode).child(self.root).child(self.names.layers).child(index);
        let (weights, seen) = (layer(mode.reading(&spec)), layer(mode));
        let LayerNames { attention: [query, key, value, mixture], feed_forward, .. } = *self.names;
        // The embeddings drop at one place, a block at three, and the embeddings of distances in each block at another one.
        let places = 3 + u64::from(self.relative.is_some());
        let drops = &mut Drops::after(1 + places * index as u64, mode);
        let asking = spec.asking(x)?;
        // [queries, d] and [t, d].
        let [q, k, v] = match spec.queries {
            None => seen.linears([query, key, value], x)?,
            Some(_) => {
                let [k, v] = seen.linears([key, value], x)?;
                [weights.linear(query, &asking)?, k, v]
            }
        };
        let spec = Attention { dropout: drops.next(self.attention_dropout), ..spec };
        let mixed = match self.relative.as_ref().zip(distances) {
            None => attention(&q, &k, &v, spec)?,
            Some((relative, distances)) => {
                let embeddings =
                    drops.drop(&self.distance_embeddings(params, relative, distances, mode)?, self.dropout)?;
                let terms = relative.terms(&seen, [query, key], &embeddings, distances)?;
                disentangled(&q, &k, &v, &terms, spec)?
            }
        }; // [queries, d]
        let norm = (self.names.attention_norm, self.norm_eps);
        let x = weights.post_norm(&[mixture], &mixed, &asking, drops.next(self.mixture_dropout), norm)?;
        weights.post_norm(&feed_forward, &x, &x, drops.next(self.dropout), (self.names.norm, self.norm_eps))
    }

    /// # Shapes
    /// -> `[used, d]`.
    fn distance_embeddings(
        &self,
        params: &Params,
        relative: &Relative,
        distances: &Distances,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let encoder = params.view(mode).child(self.root).child("encoder");
        let used = &distances.used;
        let rows = encoder.get("rel_embeddings.weight")?.narrow(0, used.start, used.len())?;
        if relative.norm { self.norm(&encoder, "LayerNorm", &rows) } else { Ok(rows) }
    }

    fn norm(&self, weights: &View<'_>, name: &str, x: &Tensor) -> Result<Tensor> {
        let norm = weights.child(name);
        Ok(layer_norm(x, &norm.get("weight")?, Some(&norm.get("bias")?), self.norm_eps)?)
    }
}

/// The weight `[out, in]` and the bias `[out]` of an affine layer.
pub(super) fn affine(name: &str, shape: [usize; 2], std: f64) -> [ParamSpec; 2] {
    [
        ParamSpec::new(format!("{name}.weight"), &shape, Init::Normal(std as f32)),
        ParamSpec::new(format!("{name}.bias"), &shape[..1], Init::Zeros),
    ]
}

/// The weights of [`dense_head`].
pub(super) fn dense_head_weights(head: Head, width: usize, std: f64) -> impl Iterator<Item = ParamSpec> {
    let out = affine("classifier.out_proj", [head.outputs(), width], std);
    affine("classifier.dense", [width, width], std).into_iter().chain(out)
}

/// The head of RoBERTa and ELECTRA: two layers with an activation between them, and dropout before each.
///
/// # Shapes
/// `read` `[n, d]` -> `[n * outputs]`.
pub(super) fn dense_head(
    params: &Params,
    read: &Tensor,
    activation: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    dropout: f64,
    mode: Mode<'_>,
) -> Result<Tensor> {
    let weights = params.view(mode.exact()).child("classifier");
    let mut drops = head_drops(mode);
    let x = drops.drop(read, dropout)?;
    let x = drops.drop(&activation(&weights.linear("dense", &x)?)?, dropout)?;
    Ok(weights.linear("out_proj", &x)?.flatten_all()?)
}

/// The places of a head that drop values: they come after all those of a body.
pub(super) fn head_drops(mode: Mode<'_>) -> Drops {
    Drops::after(u64::MAX / 2, mode)
}
