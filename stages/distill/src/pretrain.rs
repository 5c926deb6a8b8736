//! Pre-training of a student from random weights on the log, as BERT was pre-trained on books (Devlin et al. 2019,
//! section 3.1): name hidden words, and tell which of two documents was clicked for a query.

use candle_core::Tensor;
use nn::bert::Bert;
use nn::model::Mode;
use nn::ops::score_loss;
use nn::params::Params;
use nn::text::{Encoder, Sequence, Texts};
use nn::trainer::{StepLoss, Task, spread};
use pipeline::BadInput;
use pipeline::config::PretrainConfig;
use rand::{Rng, RngExt};
use ranking::loss::pairwise_logistic;
use ranking::rng::{number, stream};
use ranking::sample::lists_at_step;
use tables::StageDir;
use training::{Corpus, batch_of};

/// Share of the chosen tokens that become `[MASK]`, and of those that become a random word; the rest stays as it is.
const MASKED: f64 = 0.8;
const REPLACED: f64 = 0.1;
/// Examples of one forward pass while validating.
const VALIDATION_EXAMPLES: usize = 64;

/// The clicked pairs of a split, as continued pre-training reads them, in the student's tokens.
pub(crate) fn clicked_pairs(
    cpt: &StageDir,
    corpus: &Corpus,
    encoder: &Encoder<'_>,
    split: &str,
) -> anyhow::Result<Vec<Sequence>> {
    let table = cpt.table("cpt_examples")?;
    let (query_ids, doc_ids, splits) = (table.strings("query_id")?, table.strings("doc_id")?, table.strings("split")?);
    let mut texts: Vec<Texts<'_>> = Vec::new();
    for row in (0..table.rows()).filter(|&row| splits.value(row) == split) {
        let document = corpus.document(doc_ids.value(row)).ok_or_else(|| {
            BadInput(format!("document `{}` of cpt_examples is not in ingest's table; re-run cpt", doc_ids.value(row)))
        })?;
        texts.push(corpus.texts(corpus.query(query_ids.value(row))?, document));
    }
    Ok(encoder.encode_batch(&texts)?)
}

/// Pre-trains a BERT student.
#[derive(Debug)]
pub(crate) struct PretrainTask<'a> {
    pub(crate) student: &'a Bert,
    /// Size of the vocabulary.
    pub(crate) words: usize,
    /// Id of `[MASK]`.
    pub(crate) mask: u32,
    pub(crate) train: &'a [Sequence],
    pub(crate) validation: &'a [Sequence],
    pub(crate) config: &'a PretrainConfig,
    pub(crate) seed: u64,
}

/// Both losses of one batch.
struct Losses {
    masked: Tensor,
    clicked: Tensor,
    spread: f64,
    tokens: usize,
}

impl PretrainTask<'_> {
    /// The losses over `examples`, each beside the same query with the document of a random other example.
    fn losses(
        &self,
        examples: &[&Sequence],
        others: &[Sequence],
        rng: &mut impl Rng,
        mode: Mode,
    ) -> nn::Result<Losses> {
        let (mut sequences, mut rows, mut targets, mut start) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for example in examples {
            let other = with_document(example, &others[rng.random_range(0..others.len())]);
            for mut sequence in [(*example).clone(), other] {
                for place in self.chosen(&sequence, rng) {
                    rows.push(start + place as u32);
                    targets.push(sequence.ids[place]);
                    self.hide(&mut sequence.ids[place], rng);
                }
                start += sequence.ids.len() as u32;
                sequences.push(sequence);
            }
        }
        let packed = batch_of(&sequences)?;
        let (masked, logits) = self.student.pretrain(&packed, &rows, &targets, mode)?;
        let grades: Vec<f32> = [1.0, 0.0].repeat(examples.len());
        let offsets: Vec<usize> = (0..=examples.len()).map(|list| 2 * list).collect();
        let clicked = score_loss(&logits, |scores| pairwise_logistic(scores, &grades, &offsets))?;
        Ok(Losses { masked, clicked, spread: spread(&logits.to_vec1::<f32>()?), tokens: packed.tokens() })
    }

    /// Places of the words to predict: each but the frame with the configured chance, and at least one.
    fn chosen(&self, sequence: &Sequence, rng: &mut impl Rng) -> Vec<usize> {
        let separator = sequence.document.start - 1;
        let words: Vec<usize> = (1..sequence.ids.len() - 1).filter(|&place| place != separator).collect();
        let chosen: Vec<usize> = words.iter().copied().filter(|_| rng.random_bool(self.config.mask_fraction)).collect();
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

/// The query of one sequence with the document of another.
fn with_document(query: &Sequence, document: &Sequence) -> Sequence {
    let join = |a: &[u32], b: &[u32]| [&a[..query.document.start], &b[document.document.start..]].concat();
    let ids = join(&query.ids, &document.ids);
    let end = ids.len() - 1;
    Sequence { type_ids: join(&query.type_ids, &document.type_ids), document: query.document.start..end, ids }
}

impl Task for PretrainTask<'_> {
    fn params(&self) -> &Params {
        self.student.params()
    }

    fn step(&mut self, step: usize) -> nn::Result<StepLoss> {
        let count = self.config.examples_per_step;
        let chosen = lists_at_step(self.seed, "pretrain", self.train.len(), count, step as u64);
        let examples: Vec<&Sequence> = chosen.into_iter().map(|example| &self.train[example]).collect();
        let mode = Mode::Train { dropout_seed: number(self.seed, "dropout", step as u64) };
        let mut rng = stream(self.seed, "pretrain/hidden", step as u64);
        let losses = self.losses(&examples, self.train, &mut rng, mode)?;
        let components = vec![
            ("masked_words", f64::from(losses.masked.to_scalar::<f32>()?)),
            ("clicked_document", f64::from(losses.clicked.to_scalar::<f32>()?)),
        ];
        Ok(StepLoss {
            loss: (losses.masked + losses.clicked)?,
            components,
            spread: Some(losses.spread),
            examples: examples.len(),
            tokens: losses.tokens,
        })
    }

    /// Minus the mean loss over the validation split, with the same words hidden every time: higher is better.
    fn validate(&mut self) -> nn::Result<Option<f64>> {
        let mut rng = stream(self.seed, "pretrain/validation", 0);
        let mut sum = 0.0;
        for examples in self.validation.chunks(VALIDATION_EXAMPLES) {
            let examples: Vec<&Sequence> = examples.iter().collect();
            let losses = self.losses(&examples, self.validation, &mut rng, Mode::Eval)?;
            sum += f64::from((losses.masked + losses.clicked)?.to_scalar::<f32>()?) * examples.len() as f64;
        }
        Ok((!self.validation.is_empty()).then(|| -sum / self.validation.len() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_takes_the_document_of_another() {
        let sequence = |ids: &[u32], query: usize| Sequence {
            ids: ids.to_vec(),
            type_ids: (0..ids.len()).map(|place| u32::from(place >= query + 2)).collect(),
            document: query + 2..ids.len() - 1,
        };
        let one = sequence(&[2, 10, 3, 20, 21, 3], 1);
        let other = sequence(&[2, 11, 12, 3, 30, 3], 2);
        assert_eq!(with_document(&one, &other), sequence(&[2, 10, 3, 30, 3], 1));
        assert_eq!(with_document(&other, &one), sequence(&[2, 11, 12, 3, 20, 21, 3], 2));
    }
}
