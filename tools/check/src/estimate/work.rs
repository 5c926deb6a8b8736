//! What the models of a run compute: tokens and passes of each training and scoring.

use pipeline::Pipeline;
use pipeline::config::{Candidates, InputConfig, ListTraining, PhaseLabels, ScoringTeacher, TrainingConfig};

use super::size::Size;
use crate::models::{Models, Shape};

/// Characters of a token, about, in the vocabularies that a run makes.
const TOKEN_CHARS: f64 = 4.0;
/// Tokens that a template adds.
const TEMPLATE_TOKENS: f64 = 3.0;
/// The longest sequence of a model from random weights, and of one with a base, where the configuration says none.
const LENGTHS: (usize, usize) = (128, 512);
/// Operations of a weight for a token: two in the forward pass, and twice as many in the backward pass.
const FORWARD: f64 = 2.0;
const TRAINING: f64 = 6.0;
/// The same with frozen weights, whose gradients nobody needs.
const FROZEN: f64 = 4.0;
/// With layers that are computed twice.
const RECOMPUTED: f64 = 8.0;
/// Share of the tokens that pre-training predicts.
const PREDICTED: f64 = 0.3;
/// Share of the mean document that a model has to read so that nothing is said of the rest.
const CUT: f64 = 0.75;
/// Tokens of a batch where nothing is trained.
const BATCH: f64 = 4096.0;

/// A training or a scoring.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// The stage, and the phase of a training.
    pub(crate) name: String,
    /// Steps or batches.
    pub(crate) steps: f64,
    /// Tokens of one.
    pub(crate) tokens: f64,
    /// Tokens of a sequence.
    pub(crate) length: f64,
    /// Operations of a weight for a token.
    pub(crate) operations: f64,
    /// Share of the tokens whose next or hidden token is predicted from the vocabulary.
    pub(crate) predicted: f64,
    /// True of a training.
    pub(crate) trains: bool,
    /// True where layers keep nothing for the backward pass.
    pub(crate) recomputes: bool,
    /// Values for each weight in the checkpoint that an interrupted training goes on from; 0 without one.
    pub(crate) checkpoint: f64,
}

impl Work {
    fn training(name: &str, training: &TrainingConfig, tokens: f64, length: f64) -> Work {
        Work {
            name: name.into(),
            steps: (training.steps * training.accumulation_steps) as f64,
            tokens,
            length,
            operations: if training.gradient_checkpointing { RECOMPUTED } else { TRAINING },
            predicted: 0.0,
            trains: true,
            recomputes: training.gradient_checkpointing,
            checkpoint: checkpoint(training),
        }
    }

    fn scoring(name: &str, pairs: f64, length: f64) -> Work {
        let tokens = pairs * length;
        Work {
            name: name.into(),
            steps: (tokens / BATCH).ceil(),
            tokens: tokens.min(BATCH),
            length,
            operations: FORWARD,
            predicted: 0.0,
            trains: false,
            recomputes: false,
            checkpoint: 0.0,
        }
    }

    /// The stage.
    pub(crate) fn stage(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Memory of what the layers keep, in bytes.
    pub(crate) fn activations(&self, shape: &Shape) -> f64 {
        let of_layer = (16 * shape.hidden + 5 * shape.intermediate) as f64;
        let layers = if self.trains && !self.recomputes { shape.layers as f64 } else { 1.0 };
        let logits = 3.0 * self.predicted * shape.vocabulary as f64;
        4.0 * self.tokens * (of_layer * layers + logits)
    }
}

/// Values for each weight in the checkpoint of a training: itself and two moments, its value where validation was best, and its mean.
fn checkpoint(training: &TrainingConfig) -> f64 {
    let others = [training.validate_every > 0, training.average_last > 0.0];
    let others = others.into_iter().filter(|&is_there| is_there).count() as f64;
    if training.checkpoint_every > 0 { 3.0 + others } else { 0.0 }
}

/// Tokens of a query with a document.
fn length(size: &Size, input: &InputConfig, has_base: bool) -> f64 {
    texts(size).min(window(input, has_base))
}

/// Tokens of a query with a document that is read whole.
fn texts(size: &Size) -> f64 {
    (size.query_chars + size.document_chars) / TOKEN_CHARS + TEMPLATE_TOKENS
}

/// The tables whose models read less of a document than there is by a quarter or more, and how many tokens: of a query with a document,
/// then of those that each reads.
pub(crate) fn cut(pipeline: &Pipeline, size: &Size) -> Option<(f64, Vec<(&'static str, f64)>)> {
    let teacher = pipeline.teacher.as_ref();
    let teacher = teacher.map(|teacher| ("teacher.input", window(&teacher.input, teacher.model.is_none())));
    let student = ("distill.input", window(&pipeline.distill.input, pipeline.distill.model.is_none()));
    let whole = texts(size);
    let short: Vec<_> = teacher.into_iter().chain([student]).filter(|(_, read)| *read < CUT * whole).collect();
    (!short.is_empty()).then_some((whole, short))
}

/// The most tokens that a model reads.
fn window(input: &InputConfig, has_base: bool) -> f64 {
    let fields = input.max_query_tokens.zip(input.max_document_tokens).map(|(query, document)| query + document);
    let default = if has_base { LENGTHS.1 } else { LENGTHS.0 };
    let longest = fields.or(input.max_length).unwrap_or(default) as f64;
    longest * input.passages.map_or(1.0, |passages| passages.most as f64)
}

/// All that the models compute, each with the model.
pub(crate) fn all<'m>(pipeline: &Pipeline, size: &Size, models: &'m Models) -> Vec<(Work, Option<&'m Shape>)> {
    let embed =
        pipeline.retrieval.dense.iter().flat_map(|_| embeddings(size)).map(|work| (work, models.bi_encoder.as_ref()));
    let of_teacher = of_teacher(pipeline, size).into_iter().map(|work| (work, models.teacher.as_ref()));
    let of_student = of_student(pipeline, size).into_iter().map(|work| (work, models.student.as_ref()));
    embed.chain(of_teacher).chain(of_student).collect()
}

/// The stage that makes vectors.
pub(crate) const EMBED: &str = "embed";

/// Vectors of all documents and queries.
fn embeddings(size: &Size) -> [Work; 2] {
    [(size.documents, size.document_chars), (size.queries, size.query_chars)].map(|(texts, chars)| {
        let length = (chars / TOKEN_CHARS + TEMPLATE_TOKENS).min(LENGTHS.1 as f64);
        Work::scoring(EMBED, texts, length)
    })
}

/// Documents of a judged list: all of them, or with negatives as many as wanted.
fn judged_list(size: &Size, list_size: usize, negatives_depth: usize) -> f64 {
    let list_size = list_size as f64;
    if negatives_depth > 0 { list_size } else { list_size.min(size.judged_documents.max(2.0)) }
}

fn lists(name: &str, training: &ListTraining, documents: f64, (input, length): (&InputConfig, f64)) -> Work {
    let passages = input.passages.map_or(1, |passages| passages.most);
    let length = training.max_length.map_or(length, |most| length.min((most * passages) as f64));
    Work::training(name, &training.training, training.lists_per_step as f64 * documents * length, length)
}

/// Pairs of the test queries.
fn test_pairs(pipeline: &Pipeline, size: &Size) -> f64 {
    size.test_queries(pipeline) * candidates(pipeline, size)
}

/// Documents of a list that is ranked.
fn candidates(pipeline: &Pipeline, size: &Size) -> f64 {
    match pipeline.evaluate.candidates {
        Candidates::Judged => size.judged_documents,
        _ => pipeline.evaluate.depth as f64,
    }
}

/// Pairs that validations of a training score.
fn validated(pipeline: &Pipeline, size: &Size, name: &str, training: &TrainingConfig, length: f64) -> Option<Work> {
    let validations = training.steps.checked_div(training.validate_every)?;
    let queries = size.judged_queries * size.shares[1];
    Some(Work::scoring(name, validations as f64 * queries * candidates(pipeline, size), length))
}

fn of_teacher(pipeline: &Pipeline, size: &Size) -> Vec<Work> {
    let mut all = Vec::new();
    let input = pipeline.teacher.as_ref().map_or(&pipeline.distill.input, |teacher| &teacher.input);
    let has_base = pipeline.teacher.as_ref().is_none_or(|teacher| teacher.model.is_none());
    let length = length(size, input, has_base);
    if let Some(teacher) = &pipeline.teacher {
        if let Some(cpt) = &teacher.cpt {
            let tokens = (cpt.packs_per_step * pipeline.cpt.pack_tokens) as f64;
            all.push(Work { predicted: 1.0, ..Work::training("teacher.cpt", &cpt.training(), tokens, length) });
        }
        for (name, phase) in [("teacher.titles", &teacher.titles), ("teacher.rank", &teacher.rank)] {
            let Some(phase) = phase else { continue };
            let documents = judged_list(size, phase.list_size, phase.negatives_depth);
            all.push(lists(name, &phase.list_training(), documents, (input, length)));
            all.extend(validated(pipeline, size, name, &phase.training(), length));
        }
        if let Some(mined) = &teacher.mined {
            let training = mined.list_training();
            let judged = size.judged_queries * size.shares[0];
            let reads = mined.steps * mined.accumulation_steps * mined.lists_per_step;
            all.push(Work::scoring("teacher.mined", judged.min(reads as f64) * mined.candidates as f64, length));
            all.push(lists("teacher.mined", &training, mined.list_size as f64, (input, length)));
            all.extend(validated(pipeline, size, "teacher.mined", &training.training, length));
        }
        if teacher.lora.is_some() {
            all.iter_mut().filter(|work| work.operations == TRAINING).for_each(|work| work.operations = FROZEN);
            // Those of low-rank updates are small.
            all.iter_mut().for_each(|work| work.checkpoint = 0.0);
        }
    }
    let rankers = pipeline.score.teachers().iter().filter(|teacher| teacher.ranker.is_some()).count();
    if rankers > 0 {
        let pairs = scored_lists(pipeline, size) * list_length(pipeline, size);
        all.push(Work::scoring("score", rankers as f64 * pairs, length));
    }
    if pipeline.score.teachers().iter().any(ScoringTeacher::is_own) {
        all.push(Work::scoring("evaluate", test_pairs(pipeline, size), length));
    }
    all
}

/// Lists that the teacher scores.
fn scored_lists(pipeline: &Pipeline, size: &Size) -> f64 {
    let queries = if pipeline.is_judged() { size.training_queries } else { size.queries };
    let most = match pipeline.score.max_queries {
        0 => f64::INFINITY,
        most => most as f64,
    };
    let generated = pipeline.score.generated.as_ref();
    let generated = generated.map_or(0, |generated| generated.titles + generated.sentences) as f64;
    queries.min(most) + generated
}

/// Documents of such a list.
fn list_length(pipeline: &Pipeline, size: &Size) -> f64 {
    let score = &pipeline.score;
    let shown = if pipeline.ingest.log.is_some() { score.list_size } else { 0 };
    ((shown + score.unseen_documents + score.random_documents) as f64).min(size.documents.max(2.0))
}

fn of_student(pipeline: &Pipeline, size: &Size) -> Vec<Work> {
    let distill = &pipeline.distill;
    let input = &distill.input;
    let length = length(size, input, distill.model.is_none());
    let scored = list_length(pipeline, size);
    let mut all = Vec::new();
    if let Some(pretrain) = &distill.pretrain {
        let tokens = pretrain.examples_per_step as f64 * length;
        let training = Work::training("distill.pretrain", &pretrain.training(), tokens, length);
        all.push(Work { predicted: PREDICTED, ..training });
    }
    for phase in &distill.phases {
        let training = phase.list_training();
        let documents = match phase.labels {
            PhaseLabels::Judgments => judged_list(size, phase.list_size, phase.negatives_depth),
            PhaseLabels::Teacher | PhaseLabels::Best => scored.min(phase.list_size as f64),
        };
        all.push(lists(&format!("distill.{}", phase.name), &training, documents, (input, length)));
        all.extend(validated(pipeline, size, "distill", &training.training, length));
    }
    all.push(lists("distill", &distill.list_training(), scored.min(distill.list_size as f64), (input, length)));
    all.extend(validated(pipeline, size, "distill", &distill.training(), length));
    let mut students = 1.0;
    if let Some(labels) = &distill.labels_only {
        let documents = judged_list(size, labels.list_size, labels.negatives_depth);
        all.push(lists("distill.labels_only", &labels.list_training(), documents, (input, length)));
        all.extend(validated(pipeline, size, "distill.labels_only", &labels.training(), length));
        students += 1.0;
    }
    all.push(Work::scoring("evaluate", students * test_pairs(pipeline, size), length));
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_vectors_of_queries_and_documents_are_counted() {
        let load = |set: &[String]| pipeline::config::load(Path::new("../../pipeline.toml"), set).unwrap();
        let size =
            Size { documents: 1000.0, document_chars: 397.0, queries: 50.0, query_chars: 28.0, ..Size::default() };
        let embed = |pipeline: &Pipeline| {
            let models = Models::default();
            let works = all(pipeline, &size, &models).into_iter().map(|(work, _)| work);
            works.filter(|work| work.stage() == EMBED).map(|work| work.steps * work.tokens).collect::<Vec<_>>()
        };
        assert!(embed(&load(&[])).is_empty());
        let tokens = embed(&load(&["retrieval.dense=\"bi-encoder\"".into()]));
        assert!(tokens[0] >= 1000.0 * 102.0 && tokens[1] >= 50.0 * 10.0 && tokens.len() == 2, "{tokens:?}");
    }
}
