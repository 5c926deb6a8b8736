//! Fine-tuning a ranker on graded lists: the teacher's second phase and the label-only student.

use nn::model::Ranker;
use nn::params::Params;
use nn::precision::Precision;
use nn::scoring::score_sequences;
use nn::shards::score_gradients;
use nn::text::{Encoder, Sequence};
use nn::trainer::{StepLoss, Task, spread};
use pipeline::config::{RankConfig, RankLoss};
use ranking::loss::{LossError, LossValue, lambda_loss, listwise_softmax, pairwise_hinge, pairwise_logistic};
use ranking::rng::stream;
use ranking::sample::{lists_at_step, sample_with_negatives};

use crate::candidates::mean_ndcg;
use crate::phase::passes;
use crate::{CandidateList, Corpus, GradedList};

/// Tokens of one forward pass while validating.
const VALIDATION_TOKENS: usize = 2048;

/// Trains a ranker with a rank loss on graded lists (section 3.2 of the paper).
#[derive(Debug)]
pub struct RankTask<'a> {
    /// The model.
    pub ranker: &'a Ranker,
    /// Its input.
    pub encoder: &'a Encoder<'a>,
    /// Texts.
    pub corpus: &'a Corpus,
    /// Lists to learn from.
    pub train: &'a [GradedList],
    /// Lists to validate on; none validates nothing.
    pub validation: &'a [CandidateList],
    /// Loss and batch size.
    pub config: &'a RankConfig,
    /// Name of the phase: it separates random streams.
    pub phase: &'static str,
    /// The run's seed.
    pub seed: u64,
    /// Of the products.
    pub precision: Precision,
}

impl RankTask<'_> {
    /// The loss of `scores` against `grades`, lists given by `offsets`.
    fn loss(&self, scores: &[f32], grades: &[f32], offsets: &[usize]) -> Result<LossValue, LossError> {
        match self.config.loss {
            RankLoss::Hinge => pairwise_hinge(scores, grades, offsets, self.config.margin as f32),
            RankLoss::Logistic => pairwise_logistic(scores, grades, offsets),
            RankLoss::Softmax => listwise_softmax(scores, grades, offsets),
            RankLoss::Lambda => lambda_loss(scores, grades, offsets),
        }
    }
}

impl Task for RankTask<'_> {
    fn params(&self) -> Params {
        self.ranker.params().trained()
    }

    fn step(&mut self, step: usize) -> nn::Result<StepLoss> {
        let lists = lists_at_step(self.seed, self.phase, self.train.len(), self.config.lists_per_step, step as u64);
        let mut rng = stream(self.seed, &format!("{}/documents", self.phase), step as u64);
        let (mut texts, mut grades, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        for list in lists.into_iter().map(|list| &self.train[list]) {
            let labels: Vec<f32> = list.grades.iter().map(|&grade| f32::from(grade)).collect();
            let size = self.config.list_size;
            let (judged, negatives) = sample_with_negatives(&mut rng, &labels, list.negatives.len(), size);
            for document in judged {
                texts.push(self.corpus.texts(list.query, list.documents[document]));
                grades.push(labels[document]);
            }
            for negative in negatives {
                texts.push(self.corpus.texts(list.query, list.negatives[negative]));
                grades.push(0.0);
            }
            offsets.push(texts.len());
        }
        let sequences = self.encoder.encode_batch(&texts)?;
        let passes = passes(self.seed, step, &self.config.training(), self.precision);
        let loss = |scores: &[f32]| self.loss(scores, &grades, &offsets);
        let (scores, gradients) = score_gradients(self.ranker, &sequences, passes, loss)?;
        Ok(StepLoss {
            gradients,
            components: Vec::new(),
            spread: Some(spread(&scores)),
            examples: grades.len(),
            tokens: tokens_of(&sequences),
        })
    }

    fn validate(&mut self) -> nn::Result<Option<f64>> {
        validation_ndcg(self.ranker, self.encoder, self.corpus, self.validation, self.precision)
    }
}

/// Mean NDCG@10 of a ranker on candidate lists; `None` where no list counts.
///
/// # Errors
/// [`nn::Error`], for a score that is not finite among others.
pub fn validation_ndcg(
    ranker: &Ranker,
    encoder: &Encoder<'_>,
    corpus: &Corpus,
    lists: &[CandidateList],
    precision: Precision,
) -> nn::Result<Option<f64>> {
    let pairs = lists.iter().flat_map(|list| list.documents.iter().map(|&document| (list.query, document)));
    let texts: Vec<_> = pairs.map(|(query, document)| corpus.texts(query, document)).collect();
    let flat = score_sequences(ranker, &encoder.encode_batch(&texts)?, VALIDATION_TOKENS, precision)?;
    let mut rest = &flat[..];
    let scores = lists.iter().map(|list| {
        let (own, later) = rest.split_at(list.documents.len());
        rest = later;
        own.to_vec()
    });
    let scores: Vec<Vec<f32>> = scores.collect();
    mean_ndcg(corpus, lists, &scores).map_err(|error| nn::Error::Caller(error.into()))
}

/// The tokens of all sequences.
pub fn tokens_of(sequences: &[Sequence]) -> usize {
    sequences.iter().map(|sequence| sequence.ids.len()).sum()
}
