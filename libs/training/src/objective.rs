//! What a training on lists minimises: its loss, and what a distillation may add to it.

use nn::models::{Model, TermControl};
use nn::text::{PairSequences, Sequence};
use nn::train::{Gradients, Passes, output_gradients, score_gradients};
use nn::weights::Params;
use ranking::loss::{Loss, LossError, LossOutput, LossValue};

/// What is added to the loss of a training; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Objective<'a> {
    /// A layer that is trained with the ranker: the same loss on its scores, times this weight, is added.
    pub term_control: Option<(&'a TermControl, f64)>,
    /// The weight of each document of each list, above 0. A list counts as the mean over its documents of a step.
    pub weights: Option<&'a [Vec<f32>]>,
}

/// The documents of a step.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Their labels.
    pub(crate) labels: Vec<f32>,
    /// Where each list starts, and the end.
    pub(crate) offsets: Vec<usize>,
    /// What each list counts, where lists differ.
    pub(crate) weights: Option<Vec<f64>>,
}

impl Objective<'_> {
    /// The weights that a training changes.
    pub(crate) fn params(&self, ranker: &Model) -> Params {
        let Some((layer, _)) = self.term_control else { return ranker.params().trained() };
        layer.params().trained()
    }

    /// What a list counts of which these documents are in a step; `None` where all lists count the same.
    pub(crate) fn weight(&self, list: usize, documents: &[usize]) -> Option<f64> {
        let weights = &self.weights?[list];
        let sum: f64 = documents.iter().map(|&document| f64::from(weights[document])).sum();
        Some(sum / documents.len().max(1) as f64)
    }

    /// The gradients of a step, and the parts of its loss. Of a document that is read in passages, the highest score counts, and
    /// its passage alone has a gradient.
    pub(crate) fn gradients(
        &self,
        ranker: &Model,
        pairs: &PairSequences,
        passes: Passes,
        (loss, batch): (&Loss, &Batch),
    ) -> nn::Result<(Gradients, Vec<(&'static str, f64)>)> {
        let mut components = Vec::new();
        let mut keep = |output: LossOutput| {
            components = output.components;
            output.total
        };
        let (_, gradients) = match self.term_control {
            None => {
                let of_pairs = |scores: &[f32]| batch.loss_of_highest(pairs, loss, scores).map(&mut keep);
                score_gradients(ranker, &pairs.sequences, passes, of_pairs)?
            }
            Some((layer, weight)) => {
                let scores = |sequences: &[Sequence], mode: nn::weights::Mode<'_>| layer.scores(sequences, mode);
                let both = |scores: &[f32]| batch.loss_with_terms(loss, weight, scores).map(&mut keep);
                output_gradients(layer.params(), &pairs.sequences, (scores, 2), (passes, both))?
            }
        };
        Ok((gradients, components))
    }
}

impl Batch {
    /// The loss of the outputs of a model.
    fn loss(&self, loss: &Loss, scores: &[f32]) -> Result<LossOutput, LossError> {
        match &self.weights {
            None => loss.compute(scores, &self.labels, &self.offsets),
            Some(weights) => loss.compute_weighted(scores, &self.labels, &self.offsets, weights),
        }
    }

    /// The loss of the highest score of each pair, and its gradient of the scores of all sequences.
    fn loss_of_highest(&self, pairs: &PairSequences, loss: &Loss, outputs: &[f32]) -> Result<LossOutput, LossError> {
        if pairs.sequences.len() == self.labels.len() {
            return self.loss(loss, outputs);
        }
        let places = pairs.highest(outputs);
        let scores: Vec<f32> = places.iter().map(|&place| outputs[place]).collect();
        let mut output = self.loss(loss, &scores)?;
        let mut grad = vec![0.0; outputs.len()];
        places.iter().zip(&output.total.grad).for_each(|(&place, &slope)| grad[place] = slope);
        output.total.grad = grad;
        Ok(output)
    }

    /// The loss of the scores, plus `weight` times the same loss of the scores of the terms; the two of a document stand one
    /// after the other.
    fn loss_with_terms(&self, loss: &Loss, weight: f64, both: &[f32]) -> Result<LossOutput, LossError> {
        let every_second = |from: usize| both.iter().skip(from).step_by(2).copied().collect::<Vec<f32>>();
        let (own, terms) = (self.loss(loss, &every_second(0))?, self.loss(loss, &every_second(1))?);
        let slopes = own.total.grad.iter().zip(&terms.total.grad);
        let grad = slopes.flat_map(|(&own, &terms)| [own, (weight * f64::from(terms)) as f32]).collect();
        let mut components = own.components;
        components.extend([("own_loss", own.total.value), ("term_loss", terms.total.value)]);
        let value = own.total.value + weight * terms.total.value;
        Ok(LossOutput { total: LossValue { value, grad }, components })
    }
}

#[cfg(test)]
mod tests {
    use nn::text::{Kind, PairTokenizer, Passages, Scoring, Texts, Tokenizer, Window};
    use ranking::loss::{Hybrid, ListNet};

    use super::*;

    fn batch(weights: Option<Vec<f64>>) -> Batch {
        Batch { labels: vec![1.0, 0.0, 2.0, 0.5], offsets: vec![0, 2, 4], weights }
    }

    #[test]
    fn the_loss_of_the_terms_is_added_by_its_weight() {
        let (own, terms) = ([0.3, -0.1, 0.8, 0.2], [0.0, 0.5, -0.4, 0.1]);
        let both: Vec<f32> = own.iter().zip(&terms).flat_map(|(&own, &term)| [own, term]).collect();
        for weights in [None, Some(vec![1.0, 3.0])] {
            let (batch, loss) = (batch(weights), Loss::Hybrid(Hybrid::default()));
            let found = batch.loss_with_terms(&loss, 0.25, &both).unwrap();
            let (own, terms) = (batch.loss(&loss, &own).unwrap().total, batch.loss(&loss, &terms).unwrap().total);
            assert_eq!(found.total.value, own.value + 0.25 * terms.value);
            for (pair, (own, terms)) in found.total.grad.chunks(2).zip(own.grad.iter().zip(&terms.grad)) {
                assert_eq!(pair, [*own, 0.25 * terms]);
            }
            let names: Vec<&str> = found.components.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["pointwise_mse", "margin_mse", "own_loss", "term_loss"]);
        }
    }

    #[test]
    fn the_highest_passage_alone_has_a_gradient() {
        let loss = Loss::ListNet(ListNet {});
        let own = batch(None).loss(&loss, &[0.3, -0.1, 0.8, 0.2]).unwrap().total;
        let tokenizer = Tokenizer::train_word_piece(["red cup of tin and glass"].iter(), 60).unwrap();
        let window = Window::Fields { max_query_tokens: 4, max_document_tokens: 3 };
        let passages = Some(Passages { most: 2, overlap: 1 });
        let scoring = Scoring { passages, ..Scoring::of(Kind::Encoder, window) };
        let text = |summary| Texts { query: "cup", title: "", summary };
        let texts = [text("red cup of tin and glass"), text("tin"), text("of tin and glass"), text("cup")];
        let pairs = PairTokenizer::new(&tokenizer, &scoring).unwrap().encode_passages(&texts).unwrap();
        let found = batch(None).loss_of_highest(&pairs, &loss, &[0.3, 0.1, -0.1, -2.0, 0.8, 0.2]).unwrap().total;
        assert_eq!(found.value, own.value);
        assert_eq!(found.grad, [own.grad[0], 0.0, own.grad[1], 0.0, own.grad[2], own.grad[3]]);
    }

    #[test]
    fn a_list_counts_as_the_mean_of_its_documents() {
        let weights = [vec![1.0, 0.5, 0.25], vec![1.0]];
        let objective = Objective { weights: Some(&weights), ..Objective::default() };
        assert_eq!(objective.weight(0, &[2, 1]), Some(0.375));
        assert_eq!(objective.weight(1, &[0]), Some(1.0));
        assert_eq!(Objective::default().weight(0, &[0]), None);
        let (scores, loss) = ([0.3, -0.1, 0.8, 0.2], Loss::ListNet(ListNet {}));
        let weighted = batch(Some(vec![0.5, 1.5])).loss(&loss, &scores).unwrap().total.value;
        let alone = |range: std::ops::Range<usize>| {
            let labels = batch(None).labels;
            loss.compute(&scores[range.clone()], &labels[range], &[0, 2]).unwrap().total.value
        };
        assert!((weighted - (0.25 * alone(0..2) + 0.75 * alone(2..4))).abs() < 1e-12);
    }
}
