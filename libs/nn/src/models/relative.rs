//! How DeBERTa's tokens attend by their distance (arXiv 2006.03654, section 3.1; buckets of arXiv 2111.09543).

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::encoder::affine;
use crate::Result;
use crate::ops;
use crate::weights::{Init, ParamSpec, View};

/// The projections that are the distances' own.
const KEY: &str = "attention.self.pos_key_proj";
const QUERY: &str = "attention.self.pos_query_proj";

/// Scores that depend on the distance of two tokens, whose embeddings all layers share.
#[derive(Debug, Clone)]
pub struct Relative {
    /// Distances from which on all are one.
    pub farthest: usize,
    /// How many embeddings each direction has, where far distances share them.
    pub buckets: Option<usize>,
    /// True if tokens ask for distances.
    pub content_to_position: bool,
    /// True if distances ask for tokens.
    pub position_to_content: bool,
    /// True if distances are projected as tokens are, false if they have projections of their own.
    pub shares_projections: bool,
    /// True if the embeddings have a norm.
    pub norm: bool,
}

/// The distances within a batch.
#[derive(Debug, Clone)]
pub(super) struct Distances {
    /// The rows of the embeddings that they have.
    pub(super) used: Range<usize>,
    /// The row of each among these, as [`ops::Relative`] has it.
    rows: Arc<[u32]>,
}

impl Relative {
    /// Embeddings of each direction.
    fn span(&self) -> usize {
        self.buckets.unwrap_or(self.farthest)
    }

    /// The bucket of a distance: one for each up to the middle, from there on ever wider ones up to the farthest.
    fn bucket(&self, distance: i64) -> i64 {
        let Some(buckets) = self.buckets else { return distance };
        let middle = (buckets / 2) as i64;
        if distance.abs() <= middle {
            return distance;
        }
        // In single precision, as the models were trained.
        let growth = (distance.abs() as f32 / middle as f32).ln();
        let most = ((self.farthest - 1) as f64 / middle as f64) as f32;
        let bucket = (growth / most.ln() * (middle - 1) as f32).ceil() as i64 + middle;
        bucket * distance.signum()
    }

    /// The embedding of a distance, position of the asking token less position of the other one.
    pub fn row(&self, distance: i64) -> usize {
        let span = self.span() as i64;
        (self.bucket(distance) + span).clamp(0, 2 * span - 1) as usize
    }

    /// The distances within sequences of at most `longest` tokens.
    pub(super) fn distances(&self, longest: usize) -> Distances {
        let most = longest as i64 - 1;
        let first = self.row(-most);
        Distances {
            used: first..self.row(most) + 1,
            rows: (-most..=most).map(|distance| (self.row(distance) - first) as u32).collect(),
        }
    }

    /// The weights of all layers, with layers of width `d` named `layers` and a number.
    pub(super) fn weights(&self, encoder: &str, [layers, d]: [usize; 2], std: f64) -> Vec<ParamSpec> {
        let embeddings = format!("{encoder}.rel_embeddings.weight");
        let mut specs = vec![ParamSpec::new(embeddings, &[2 * self.span(), d], Init::Normal(std as f32))];
        if self.norm {
            specs.push(ParamSpec::new(format!("{encoder}.LayerNorm.weight"), &[d], Init::Ones));
            specs.push(ParamSpec::new(format!("{encoder}.LayerNorm.bias"), &[d], Init::Zeros));
        }
        let own = [(KEY, self.content_to_position), (QUERY, self.position_to_content)];
        for (name, _) in own.into_iter().filter(|&(_, has)| has && !self.shares_projections) {
            specs.extend((0..layers).flat_map(|index| affine(&format!("{encoder}.layer.{index}.{name}"), [d, d], std)));
        }
        specs
    }

    /// The names of a layer's projections of distances to queries and keys, below the layer; `shared` are those of tokens.
    pub fn projections<'a>(&self, shared: [&'a str; 2]) -> [&'a str; 2] {
        if self.shares_projections { shared } else { [QUERY, KEY] }
    }

    /// What a layer's scores have besides content. `shared` are the names of the layer's projections to queries and keys.
    ///
    /// # Shapes
    /// `embeddings` `[used, d]`.
    pub(super) fn terms(
        &self,
        layer: &View<'_>,
        shared: [&str; 2],
        embeddings: &Tensor,
        distances: &Distances,
    ) -> Result<ops::Relative> {
        let [query, key] = self.projections(shared);
        let project = |has: bool, name: &str| has.then(|| layer.linear(name, embeddings)).transpose();
        Ok(ops::Relative {
            keys: project(self.content_to_position, key)?,
            queries: project(self.position_to_content, query)?,
            rows: distances.rows.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden rows come from `tests/golden/operations.py`.
    #[test]
    fn buckets_are_those_of_the_library() {
        let golden = candle_core::safetensors::load("tests/golden/operations.safetensors", &candle_core::Device::Cpu);
        let golden = golden.unwrap();
        for (buckets, farthest) in [(256, 512), (128, 300)] {
            let relative = Relative {
                farthest,
                buckets: Some(buckets),
                content_to_position: true,
                position_to_content: true,
                shares_projections: true,
                norm: true,
            };
            let expected = golden[&format!("buckets.{buckets}.{farthest}")].to_vec1::<f32>().unwrap();
            let most = expected.len() as i64 - 1;
            let found: Vec<f32> = (0..=most).rev().map(|distance| relative.row(distance) as f32).collect();
            assert_eq!(found, expected);
            let back: Vec<usize> = (0..=most).map(|distance| relative.row(-distance)).collect();
            let mirrored = |(&back, &row): (&usize, &f32)| back == 2 * buckets - row as usize;
            let last = (2 * buckets - 1) as f32;
            assert!(back.iter().zip(expected.iter().rev()).take_while(|(_, row)| **row < last).all(mirrored));
        }
    }
}
