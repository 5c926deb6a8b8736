//! A term control layer: a second score of an encoder while it is trained, from the document's tokens that the query has too.
//!
//! RRADistill (arXiv 2410.18097, the section on its encoder, RRA-BERT) trains an encoder with such a layer, which takes the
//! signal of matching terms into the states that the score is read from, and leaves it out when the model serves. The layer
//! here is our reading of it: the states of matching tokens are averaged, and one affine layer makes a score of the mean.
//!
//! ```text
//! T(q, d) = the tokens of d whose id is among those of q
//! score_terms(q, d) = w . mean of h_i over i in T(q, d) + b, or b where T(q, d) is empty
//! ```
//!
//! `h_i` is the last layer's output for token `i`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::Tensor;

use super::backbone::{Head, is_head};
use super::model::Model;
use crate::ops::{Precision, embedding, linear, row_means, sequence_means};
use crate::text::{Kind, Packed, Pooling, Sequence};
use crate::weights::{Init, Mode, ParamSpec, Params};
use crate::{Error, Result};

const WEIGHT: &str = "term_control.weight";
const BIAS: &str = "term_control.bias";
/// Standard deviation of the layer's fresh weight, as BERT's.
const FRESH: f32 = 0.02;

/// An encoder with a term control layer. It shares the encoder's weights: training one trains the other.
#[derive(Debug, Clone)]
pub struct TermControl {
    model: Model,
    params: Params,
}

impl TermControl {
    /// A fresh layer on `model`, a function of the seed.
    ///
    /// # Errors
    /// A decoder, or a model with another head than one score.
    pub fn new(model: &Model, seed: u64) -> Result<Self> {
        let backbone = model.backbone();
        if backbone.kind() != Kind::Encoder || model.head() != Head::Score {
            let found = backbone.name();
            return Err(Error::Training(format!(
                "a term control layer belongs to an encoder with one score, found the architecture {found}"
            )));
        }
        // Every head begins with a layer on the encoder's output.
        let specs = backbone.weights(Head::Score);
        let reads = |spec: &&ParamSpec| is_head(backbone, &spec.name) && spec.shape.len() == 2;
        let Some(width) = specs.iter().find(reads).map(|spec| spec.shape[1]) else {
            return Err(Error::Training(format!("expected a head of the architecture {}", backbone.name())));
        };
        let own = [ParamSpec::new(WEIGHT, &[1, width], Init::Normal(FRESH)), ParamSpec::new(BIAS, &[1], Init::Zeros)];
        let params = model.params().joined(&Params::init(&own, seed)?);
        Ok(Self { model: model.clone(), params })
    }

    /// The weights of the encoder and of the layer.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The score of each sequence, and beside it the one of its matching terms.
    ///
    /// # Shapes
    /// `n` sequences -> `[n * 2]`.
    ///
    /// # Errors
    /// As [`Model::logits`].
    pub fn scores(&self, sequences: &[Sequence], mode: Mode<'_>) -> Result<Tensor> {
        let packed = Packed::of(sequences)?;
        let starts = packed.offsets().iter();
        let terms: Vec<Vec<usize>> = sequences.iter().zip(starts).map(|(one, start)| matches(one, *start)).collect();
        let firsts: Vec<usize> = packed.first_tokens().into_iter().map(|row| row as usize).collect();
        // The last layer is computed for the tokens that are read alone.
        let reads_all = self.model.pooling() == Pooling::Mean;
        let read: BTreeSet<usize> = if reads_all {
            (0..packed.tokens()).collect()
        } else {
            terms.iter().flatten().chain(&firsts).copied().collect()
        };
        let rows: Vec<u32> = read.iter().map(|&row| row as u32).collect();
        let hidden = self.model.hidden(&packed, (!reads_all).then_some(&rows), mode)?; // [rows, d]
        let places: BTreeMap<usize, usize> = read.into_iter().enumerate().map(|(place, row)| (row, place)).collect();
        let groups: Arc<[Vec<usize>]> = terms.iter().map(|rows| rows.iter().map(|row| places[row]).collect()).collect();
        let pooled = if reads_all {
            sequence_means(&hidden, packed.offsets())?
        } else {
            let firsts: Vec<u32> = firsts.iter().map(|row| places[row] as u32).collect();
            embedding(&hidden, &firsts)?
        }; // [n, d]
        let score = self.model.backbone().score(self.model.params(), &pooled, mode)?; // [n]
        let weights = self.params.view(mode);
        let means = row_means(&hidden, groups)?; // [n, d]
        let terms = linear(&means, &weights.get(WEIGHT)?, Some(&weights.get(BIAS)?), Precision::F32)?; // [n, 1]
        Ok(Tensor::cat(&[score.unsqueeze(1)?, terms], 1)?.flatten_all()?)
    }
}

/// The rows of the document's tokens that the query has too, in a batch where the sequence starts at row `start`.
fn matches(sequence: &Sequence, start: usize) -> Vec<usize> {
    let query: BTreeSet<u32> = sequence.ids[sequence.query.clone()].iter().copied().collect();
    let matching = |place: &usize| query.contains(&sequence.ids[*place]);
    sequence.document.clone().filter(matching).map(|place| start + place).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::super::{Bert, Llama};
    use super::*;

    fn encoder() -> Model {
        let config = Bert {
            vocab_size: 20,
            hidden_size: 6,
            intermediate_size: 5,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            max_position_embeddings: 12,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            initializer_range: 0.3,
            ..Bert::default()
        };
        Model::new(Arc::new(config), Head::Score, 3).unwrap()
    }

    fn sequence(query: &[u32], document: &[u32]) -> Sequence {
        let ids = [&[1], query, &[2], document, &[2]].concat();
        let end = 1 + query.len();
        let document = end + 1..end + 1 + document.len();
        Sequence { type_ids: ids.iter().map(|_| 0).collect(), ids, query: 1..end, document }
    }

    /// Matching tokens, a repeated one among them; none.
    fn sequences() -> [Sequence; 3] {
        [sequence(&[7, 8], &[8, 9, 8, 7]), sequence(&[5], &[6, 7]), sequence(&[4, 11], &[12, 4])]
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn terms_match_in_the_document_alone() {
        assert_eq!(matches(&sequences()[0], 10), [14, 16, 17]);
        assert!(matches(&sequences()[1], 0).is_empty());
    }

    #[test]
    fn the_scores_are_those_of_the_model_and_of_the_mean_state_of_the_terms() {
        let (model, sequences) = (encoder(), sequences());
        let layer = TermControl::new(&model, 5).unwrap();
        let mode = Mode::Eval(Precision::F32);
        let found = numbers(&layer.scores(&sequences, mode).unwrap());
        let scores = numbers(&model.score(&Packed::of(&sequences).unwrap(), mode).unwrap());
        let hidden = model.hidden(&Packed::of(&sequences[..1]).unwrap(), None, mode).unwrap().to_vec2::<f32>().unwrap();
        let weight = numbers(layer.params.get(WEIGHT).unwrap());
        let term = |row: usize| hidden[row].iter().zip(&weight).map(|(h, w)| h * w).sum::<f32>() / 3.0;
        assert!((found[1] - [4, 6, 7].map(term).iter().sum::<f32>()).abs() < 1e-6);
        assert_eq!(found[3], 0.0, "the bias starts at 0");
        let own: Vec<f32> = found.iter().step_by(2).copied().collect();
        assert!(own.iter().zip(&scores).all(|(a, b)| (a - b).abs() < 1e-6), "{own:?} {scores:?}");
    }

    #[test]
    fn every_weight_has_the_gradient_of_finite_differences() {
        let model = encoder();
        let (layer, sequences) = (TermControl::new(&model, 5).unwrap(), sequences());
        let mode = Mode::Train { dropout_seed: 1, tape: None, precision: Precision::F32 };
        let parts = Tensor::new(&[0.7f32, -1.1, 0.4, 0.9, -0.3, 0.5], &candle_core::Device::Cpu).unwrap();
        let value = || (layer.scores(&sequences, mode).unwrap() * &parts).unwrap().sum_all().unwrap();
        let grads = value().backward().unwrap();
        for (name, var) in layer.params().iter() {
            let grad = numbers(grads.get(var).unwrap_or_else(|| panic!("no gradient of {name}")));
            let start = numbers(var);
            let set = |var: &Var, index: usize, step: f32| {
                let mut moved = start.clone();
                moved[index] += step;
                var.set(&Tensor::from_vec(moved, var.shape(), &candle_core::Device::Cpu).unwrap()).unwrap();
                f64::from(value().to_scalar::<f32>().unwrap())
            };
            for index in (0..start.len()).step_by(start.len().div_ceil(7)) {
                let expected = (set(var, index, 5e-3) - set(var, index, -5e-3)) / 1e-2;
                set(var, index, 0.0);
                let found = f64::from(grad[index]);
                assert!(
                    (found - expected).abs() < 5e-3 * (1.0 + expected.abs()),
                    "{name}[{index}]: {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn a_decoder_has_no_such_layer() {
        let config = Llama { hidden_size: 8, num_attention_heads: 2, num_hidden_layers: 1, ..Llama::default() };
        let config = Llama { vocab_size: 10, intermediate_size: 8, num_key_value_heads: None, ..config };
        let decoder = Model::new(Arc::new(config), Head::Score, 1).unwrap();
        let error = TermControl::new(&decoder, 1).unwrap_err().to_string();
        assert!(error.ends_with("found the architecture Llama"), "{error}");
    }
}
