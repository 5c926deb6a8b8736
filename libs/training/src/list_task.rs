//! Training a ranker on lists of labelled documents: the teacher and the label-only student on grades, the student on the
//! teacher's scores.

use std::borrow::Cow;

use collection::{Corpus, GradedList};
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::models::Model;
use nn::ops::Precision;
use nn::text::{PairTokenizer, Sequence};
use nn::train::{StepLoss, Task, spread, step_bytes, tokens_at_once};
use nn::weights::Params;
use pipeline::ConfigError;
use pipeline::config::ListTraining;
use ranking::rng::stream;
use ranking::sample::turns_at_step;

use crate::Validator;
use crate::objective::{Batch, Objective};
use crate::phase::passes;

/// Lists of which a document tells how long sequences are.
const LENGTH_LISTS: usize = 64;
/// Lists whose scores are looked at for a collapse, at equal distances, and documents of each.
const SPREAD_LISTS: usize = 16;
const SPREAD_DOCUMENTS: usize = 16;

/// The documents of one query with the labels to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledList {
    /// Index of the query in the corpus.
    pub query: usize,
    /// Indices of the documents in the corpus.
    pub documents: Vec<usize>,
    /// Their labels: grades, or scores of a teacher.
    pub labels: Vec<f32>,
    /// Indices of other documents in the corpus, best ranked first, which have label 0.
    pub negatives: Vec<usize>,
}

impl From<GradedList> for LabelledList {
    fn from(list: GradedList) -> Self {
        let GradedList { query, documents, grades, negatives } = list;
        Self { query, documents, labels: grades.into_iter().map(f32::from).collect(), negatives }
    }
}

/// Trains a ranker with a loss on labelled lists (sections 3.2 and 3.3 of arXiv 2411.04539).
#[derive(Debug)]
pub struct ListTask<'a> {
    /// The model.
    pub ranker: &'a Model,
    /// Its input.
    pub tokenizer: &'a PairTokenizer,
    /// Texts.
    pub corpus: &'a Corpus,
    /// Lists to learn from.
    pub lists: &'a [LabelledList],
    /// The validation.
    pub validator: Validator<'a>,
    /// Loss and batch size.
    pub config: &'a ListTraining,
    /// What is added to the loss.
    pub objective: Objective<'a>,
    /// Name of the random streams that draw lists and documents.
    pub stream: &'a str,
    /// The run's seed.
    pub seed: u64,
    /// Precision of matrix products.
    pub precision: Precision,
}

impl Task for ListTask<'_> {
    fn params(&self) -> Params {
        self.objective.params(self.ranker)
    }

    fn step(&mut self, step: usize) -> nn::Result<StepLoss> {
        let ListTraining { loss, lists_per_step, list_size, sampler, training, .. } = self.config;
        let turns = turns_at_step(self.seed, self.stream, self.lists.len(), *lists_per_step, step as u64);
        let mut rng = stream(self.seed, &format!("{}/documents", self.stream), step as u64);
        let mut texts = Vec::new();
        let mut batch = Batch { offsets: vec![0], ..Batch::default() };
        for turn in turns {
            let list = &self.lists[turn.list];
            let documents = (&list.labels[..], list.negatives.len());
            let (labelled, negatives) = sampler.draw(&mut rng, (self.seed, self.stream, turn), documents, *list_size);
            if let Some(weight) = self.objective.weight(turn.list, &labelled) {
                batch.weights.get_or_insert_default().push(weight);
            }
            for document in labelled {
                texts.push(self.corpus.texts(list.query, list.documents[document]));
                batch.labels.push(list.labels[document]);
            }
            for negative in negatives {
                texts.push(self.corpus.texts(list.query, list.negatives[negative]));
                batch.labels.push(0.0);
            }
            batch.offsets.push(texts.len());
        }
        let pairs = self.tokenizer_of_steps()?.encode_passages(&texts)?;
        let passes = passes(self.seed, step, training, self.precision);
        let (gradients, components) = self.objective.gradients(self.ranker, &pairs, passes, (loss, &batch))?;
        Ok(StepLoss { gradients, components, examples: batch.labels.len(), tokens: tokens_of(&pairs.sequences) })
    }

    fn validate(&mut self) -> nn::Result<Option<f64>> {
        self.validator.validate(self.ranker, self.tokenizer, self.corpus, self.precision)
    }

    fn rate_share(&self, weight: &str) -> f64 {
        self.ranker.rate_share(weight, self.config.training.layer_decay)
    }

    /// By the mean length of a sample of the pairs.
    fn memory(&mut self) -> nn::Result<Option<u64>> {
        let ListTraining { lists_per_step, list_size, training, .. } = self.config;
        let chosen = self.lists.iter().step_by(self.lists.len().div_ceil(LENGTH_LISTS).max(1));
        let texts = chosen.filter_map(|list| Some(self.corpus.texts(list.query, *list.documents.first()?)));
        let texts: Vec<_> = texts.collect();
        let length =
            tokens_of(&self.tokenizer_of_steps()?.encode_passages(&texts)?.sequences).div_ceil(texts.len().max(1));
        let tokens = (lists_per_step * list_size * length).min(tokens_at_once()).div_ceil(group::size());
        Ok(Some(step_bytes(self.ranker, tokens, training.gradient_checkpointing)))
    }

    /// Of lists of the validation, where there are any, else of the training.
    fn spread(&mut self) -> nn::Result<Option<f64>> {
        let mut lists: Vec<(usize, &[usize])> =
            self.validator.lists.iter().map(|list| (list.query, &list.documents[..])).collect();
        if lists.is_empty() {
            lists = self.lists.iter().map(|list| (list.query, &list.documents[..])).collect();
        }
        let chosen = lists.iter().step_by(lists.len().div_ceil(SPREAD_LISTS).max(1));
        let (mut texts, mut offsets) = (Vec::new(), vec![0]);
        for &(query, documents) in chosen {
            texts.extend(documents.iter().take(SPREAD_DOCUMENTS).map(|&document| self.corpus.texts(query, document)));
            offsets.push(texts.len());
        }
        // A document alone differs from nothing.
        if offsets.windows(2).all(|ends| ends[1] - ends[0] < 2) {
            return Ok(None);
        }
        let execution = Execution { precision: self.precision, ..Execution::default() };
        let scores = CrossEncoder::new(self.ranker, self.tokenizer, execution).score(&texts)?;
        Ok(Some(spread(&scores, &offsets)))
    }
}

impl ListTask<'_> {
    /// What encodes the pairs of a step.
    fn tokenizer_of_steps(&self) -> nn::Result<Cow<'_, PairTokenizer>> {
        let shortened = |length| self.tokenizer.shortened(length).map(Cow::Owned);
        self.config.max_length.map_or(Ok(Cow::Borrowed(self.tokenizer)), shortened)
    }
}

/// Refuses a `max_length` that leaves no room for both texts. `trainings` are with the names of their tables; to be called
/// before the first of them begins.
///
/// # Errors
/// [`ConfigError`] with the key and the least length.
pub fn check_lengths(tokenizer: &PairTokenizer, trainings: &[(String, ListTraining)]) -> Result<(), ConfigError> {
    for (table, length) in trainings.iter().filter_map(|(table, training)| Some((table, training.max_length?))) {
        tokenizer.shortened(length).map_err(|error| ConfigError::Unusable(format!("{table}.{error}")))?;
    }
    Ok(())
}

/// The tokens of all sequences.
fn tokens_of(sequences: &[Sequence]) -> usize {
    sequences.iter().map(|sequence| sequence.ids.len()).sum()
}
