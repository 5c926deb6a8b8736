//! Fine-tuning a ranker on graded lists: the teacher's second phase and the label-only student.

use nn::model::{Mode, Ranker};
use nn::ops::score_loss;
use nn::packed::Packed;
use nn::params::Params;
use nn::scoring::score_sequences;
use nn::text::{Encoder, Sequence};
use nn::trainer::{StepLoss, Task, spread};
use pipeline::config::{RankConfig, RankLoss};
use ranking::loss::{LossError, LossValue, lambda_loss, listwise_softmax, pairwise_hinge, pairwise_logistic};
use ranking::rng::{number, stream};
use ranking::sample::{lists_at_step, sample_list};

use crate::graded::mean_ndcg;
use crate::{Corpus, GradedList};

/// Tokens of one forward pass while validating.
const VALIDATION_TOKENS: usize = 8192;

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
    pub validation: &'a [GradedList],
    /// Loss and batch size.
    pub config: &'a RankConfig,
    /// Name of the phase: it separates random streams.
    pub phase: &'static str,
    /// The run's seed.
    pub seed: u64,
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
    fn params(&self) -> &Params {
        self.ranker.params()
    }

    fn step(&mut self, step: usize) -> nn::Result<StepLoss> {
        let lists = lists_at_step(self.seed, self.phase, self.train.len(), self.config.lists_per_step, step as u64);
        let mut rng = stream(self.seed, &format!("{}/documents", self.phase), step as u64);
        let (mut texts, mut grades, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        for list in lists.into_iter().map(|list| &self.train[list]) {
            let labels: Vec<f32> = list.grades.iter().map(|&grade| f32::from(grade)).collect();
            for document in sample_list(&mut rng, &labels, self.config.list_size) {
                texts.push(self.corpus.texts(list.query, list.documents[document]));
                grades.push(labels[document]);
            }
            offsets.push(texts.len());
        }
        let packed = batch_of(&self.encoder.encode_batch(&texts)?)?;
        let scores =
            self.ranker.score(&packed, Mode::Train { dropout_seed: number(self.seed, "dropout", step as u64) })?;
        let loss = score_loss(&scores, |scores| self.loss(scores, &grades, &offsets))?;
        Ok(StepLoss {
            loss,
            components: Vec::new(),
            spread: Some(spread(&scores.to_vec1::<f32>()?)),
            examples: grades.len(),
            tokens: packed.tokens(),
        })
    }

    fn validate(&mut self) -> nn::Result<Option<f64>> {
        validation_ndcg(self.ranker, self.encoder, self.corpus, self.validation)
    }
}

/// Mean NDCG@10 of a ranker on graded lists; `None` where no list counts.
///
/// # Errors
/// [`nn::Error`], for a score that is not finite among others.
pub fn validation_ndcg(
    ranker: &Ranker,
    encoder: &Encoder<'_>,
    corpus: &Corpus,
    lists: &[GradedList],
) -> nn::Result<Option<f64>> {
    let score = |list: &GradedList| {
        let texts: Vec<_> = list.documents.iter().map(|&document| corpus.texts(list.query, document)).collect();
        score_sequences(ranker, &encoder.encode_batch(&texts)?, VALIDATION_TOKENS)
    };
    let scores = lists.iter().map(score).collect::<nn::Result<Vec<_>>>()?;
    mean_ndcg(corpus, lists, &scores).map_err(|error| nn::Error::Caller(error.into()))
}

/// Sequences as one batch.
///
/// # Errors
/// [`nn::Error::Batch`] for a sequence without tokens.
pub fn batch_of(sequences: &[Sequence]) -> nn::Result<Packed> {
    let typed: Vec<(&[u32], &[u32])> = sequences.iter().map(|s| (&s.ids[..], &s.type_ids[..])).collect();
    Packed::from_typed(&typed)
}
