//! Pre-training of a student from random weights on queries and clicked documents, as BERT was pre-trained on books: name
//! hidden words (Devlin et al. 2019, section 3.1). Most words of one side are hidden at a time, so that they can be told
//! from the other side alone, as translation language modelling aligns two languages (Conneau and Lample 2019, section
//! 3.3). Documents repeat their words: with a few hidden at random, the query is never needed, nor its words learnt.

use std::ops::Range;

use candle_core::Tensor;
use collection::{Asked, Corpus};
use nn::models::Model;
use nn::ops::Precision;
use nn::text::{Packed, PairTokenizer, Sequence, Texts};
use nn::train::{StepLoss, Task, prediction_gradients, step_bytes};
use nn::weights::{Mode, Params};
use pipeline::BadInput;
use pipeline::config::PretrainConfig;
use rand::{Rng, RngExt};
use ranking::rng::stream;
use ranking::sample::lists_at_step;
use tables::StageDir;
use training::passes;

/// Share of the chosen tokens that become the mask token, and of those that become a random word; the rest stays as it is.
const MASKED: f64 = 0.8;
const REPLACED: f64 = 0.1;
/// Which side is mostly hidden takes turns.
const SIDES: [Side; 2] = [Side::Query, Side::Document];
/// Examples of one forward pass while validating.
const VALIDATION_EXAMPLES: usize = 64;

/// A side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Query,
    Document,
}

/// The examples of a split, as continued pre-training reads them, in the student's tokens.
pub(crate) fn examples(
    cpt: &StageDir,
    corpus: &Corpus,
    tokenizer: &PairTokenizer,
    split: &str,
) -> anyhow::Result<Vec<Sequence>> {
    let table = cpt.table("cpt_examples")?;
    let (query_ids, doc_ids, splits) = (table.strings("query_id")?, table.strings("doc_id")?, table.strings("split")?);
    let mut pairs: Vec<(Option<usize>, usize, String)> = Vec::new();
    for (row, query_id) in query_ids.iter().enumerate().filter(|&(row, _)| splits.value(row) == split) {
        let document = corpus.document(doc_ids.value(row)).ok_or_else(|| {
            BadInput(format!("document `{}` of cpt_examples is not in ingest's table; re-run cpt", doc_ids.value(row)))
        })?;
        pairs.push(match query_id {
            // Without a query, the document's title takes its place.
            None | Some("") => (None, document, corpus.as_query(document, Asked::Title)),
            Some(query_id) => (Some(corpus.query(query_id)?), document, String::new()),
        });
    }
    let texts = pairs.iter().map(|(query, document, title)| match query {
        Some(query) => corpus.texts(*query, *document),
        None => corpus.texts_of_title(title, *document),
    });
    Ok(tokenizer.encode_batch(&texts.collect::<Vec<Texts<'_>>>())?)
}

/// Pre-trains a student, an encoder.
#[derive(Debug)]
pub(crate) struct PretrainTask<'a> {
    pub(crate) student: &'a Model,
    /// Size of the vocabulary.
    pub(crate) words: usize,
    /// Id of the mask token.
    pub(crate) mask: u32,
    pub(crate) train: &'a [Sequence],
    pub(crate) validation: &'a [Sequence],
    pub(crate) config: &'a PretrainConfig,
    pub(crate) seed: u64,
    pub(crate) precision: Precision,
}

/// Sequences with words hidden in them.
struct Hidden {
    sequences: Vec<Sequence>,
    /// Places and true words, by sequence.
    words: Vec<Vec<(usize, u32)>>,
}

impl Hidden {
    fn counts(&self) -> Vec<usize> {
        self.words.iter().map(Vec::len).collect()
    }
}

impl PretrainTask<'_> {
    /// `examples` with words hidden by `rng`.
    fn hidden(&self, examples: &[&Sequence], rng: &mut impl Rng) -> Hidden {
        let mut hidden = Hidden { sequences: Vec::new(), words: Vec::new() };
        for (number, example) in examples.iter().enumerate() {
            let mut sequence = (*example).clone();
            let places = self.chosen(&sequence, SIDES[number % SIDES.len()], rng);
            hidden.words.push(places.iter().map(|&place| (place, sequence.ids[place])).collect());
            for place in places {
                self.hide(&mut sequence.ids[place], rng);
            }
            hidden.sequences.push(sequence);
        }
        hidden
    }

    /// The mean loss over the hidden words of a range of sequences.
    fn loss(&self, hidden: &Hidden, range: Range<usize>, mode: Mode<'_>) -> nn::Result<Tensor> {
        let sequences = &hidden.sequences[range.clone()];
        let (mut rows, mut targets, mut start) = (Vec::new(), Vec::new(), 0);
        for (sequence, words) in sequences.iter().zip(&hidden.words[range]) {
            rows.extend(words.iter().map(|(place, _)| (start + place) as u32));
            targets.extend(words.iter().map(|(_, word)| *word));
            start += sequence.ids.len();
        }
        self.student.masked_token_loss(&Packed::of(sequences)?, &rows, &targets, mode)
    }

    /// Places of the words to predict, at least one: most of one side, and a few of the other.
    fn chosen(&self, sequence: &Sequence, hidden: Side, rng: &mut impl Rng) -> Vec<usize> {
        let few = self.config.mask_fraction;
        let words: Vec<usize> = sequence.query.clone().chain(sequence.document.clone()).collect();
        let chance = |place| {
            let side = if sequence.query.contains(&place) { Side::Query } else { Side::Document };
            if side == hidden { 1.0 - few } else { few }
        };
        let chosen: Vec<usize> = words.iter().copied().filter(|&place| rng.random_bool(chance(place))).collect();
        if chosen.is_empty() && !words.is_empty() { vec![words[rng.random_range(0..words.len())]] } else { chosen }
    }

    fn hide(&self, id: &mut u32, rng: &mut impl Rng) {
        let fate = rng.random::<f64>();
        if fate < MASKED {
            *id = self.mask;
        } else if fate < MASKED + REPLACED {
            *id = rng.random_range(0..self.words as u32);
        }
    }
}

impl Task for PretrainTask<'_> {
    fn params(&self) -> Params {
        self.student.body_params()
    }

    fn step(&mut self, step: usize) -> nn::Result<StepLoss> {
        let count = self.config.examples_per_step;
        let chosen = lists_at_step(self.seed, "pretrain", self.train.len(), count, step as u64);
        let examples: Vec<&Sequence> = chosen.into_iter().map(|example| &self.train[example]).collect();
        let hidden = self.hidden(&examples, &mut stream(self.seed, "pretrain/hidden", step as u64));
        let lengths: Vec<usize> = examples.iter().map(|example| example.ids.len()).collect();
        let passes = passes(self.seed, step, &self.config.training(), self.precision);
        let loss = |range: Range<usize>, mode: Mode<'_>| self.loss(&hidden, range, mode);
        let gradients = prediction_gradients(self.student.params(), &lengths, &hidden.counts(), passes, loss)?;
        let (examples, tokens) = (examples.len(), lengths.iter().sum());
        Ok(StepLoss { gradients, components: Vec::new(), examples, tokens })
    }

    fn rate_share(&self, weight: &str) -> f64 {
        self.student.rate_share(weight, self.config.layer_decay)
    }

    fn memory(&mut self) -> nn::Result<Option<u64>> {
        let mean = self.train.iter().map(|example| example.ids.len()).sum::<usize>().div_ceil(self.train.len().max(1));
        let tokens = (mean * self.config.examples_per_step).div_ceil(group::size());
        Ok(Some(step_bytes(self.student, tokens, self.config.gradient_checkpointing)))
    }

    /// The mean log-likelihood of a hidden word of the validation split, the same words every time: higher is better.
    fn validate(&mut self) -> nn::Result<Option<f64>> {
        let mut rng = stream(self.seed, "pretrain/validation", 0);
        let (mut sum, mut predicted) = (0.0, 0);
        for examples in self.validation.chunks(VALIDATION_EXAMPLES) {
            let examples: Vec<&Sequence> = examples.iter().collect();
            let hidden = self.hidden(&examples, &mut rng);
            let words: usize = hidden.counts().iter().sum();
            let loss = self.loss(&hidden, 0..examples.len(), Mode::Eval(self.precision))?;
            sum += f64::from(loss.to_scalar::<f32>()?) * words as f64;
            predicted += words;
        }
        Ok((predicted > 0).then(|| -sum / predicted as f64))
    }
}
