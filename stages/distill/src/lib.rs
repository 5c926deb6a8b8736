//! Stage `distill`: a BERT student learns the teacher's scores (section 3.3 of the paper), and, for comparison, the same
//! student learns the judged labels alone: no teacher, no clicks. A student from random weights can be pre-trained on the
//! log first, which stands in for a pre-trained BERT; one can also be made of the teacher's own layers.
//!
//! Output: the folders `student` and `student_labels_only`, as Hugging Face saves them, and `training_metrics`.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod hybrid;
mod pretrain;

use anyhow::Context;
use nn::bert::Bert;
use nn::config::BertConfig;
use nn::folder::{Settings, Standardisation, save_ranker};
use nn::model::Ranker;
use nn::text::Encoder;
use nn::tokenizer::Tokenizer;
use nn::trainer::TrainSummary;
use pipeline::config::{BaseModel, EncoderConfig};
use pipeline::{BadInput, ConfigError, Input, Pipeline, Stage, StageRun};
use training::{
    CANDIDATE_KEYS, CandidateList, Card, Collection, Corpus, GradedList, PRECISION_KEY, Phase, RankTask, Start, TRAIN,
    TrainingLog, VALIDATION, base_inputs, candidate_lists, check_resumed, graded_lists, precision, train_phase,
};

use crate::hybrid::{HybridTask, TeacherTable};
use crate::pretrain::{PretrainTask, clicked_pairs};

const STUDENT: &str = "student";
const LABELS_ONLY: &str = "student_labels_only";
const VALIDATION_METRIC: &str = "validation_ndcg@10";

/// The stage.
#[derive(Debug)]
pub struct Distill;

impl Stage for Distill {
    const NAME: &'static str = "distill";

    fn inputs(&self, pipeline: &Pipeline) -> anyhow::Result<Vec<Input>> {
        let ingest = |table| Input::Table { stage: "ingest", table };
        let mut inputs = vec![
            ingest("queries"),
            ingest("documents"),
            ingest("judgments"),
            Input::Table { stage: "cpt", table: "cpt_examples" },
            Input::Table { stage: "score", table: "teacher_scores" },
            Input::Folder { stage: "cpt", folder: "student_tokenizer" },
        ];
        inputs.extend(base_inputs(pipeline, pipeline.distill.base.as_ref())?);
        if pipeline.distill.base == Some(BaseModel::Teacher) {
            inputs.extend(base_inputs(pipeline, pipeline.student_origin())?);
        }
        Ok(inputs)
    }

    fn config_keys(&self) -> &'static [&'static str] {
        const { &[CANDIDATE_KEYS[0], CANDIDATE_KEYS[1], PRECISION_KEY] }
    }

    fn resumable(&self) -> bool {
        true
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        check_resumed(run)?;
        let mut log = TrainingLog::open(run.out())?;
        let ingest = run.input("ingest")?;
        let collection = Collection::read(&ingest)?;
        let validation = candidate_lists(&ingest, &collection, VALIDATION, &run.pipeline().evaluate)?;
        let tokenizer = Tokenizer::load(&run.input("cpt")?.folder("student_tokenizer")?)?;
        let base = run.pipeline().distill.base.as_ref();
        let start = Start::of_student(run.pipeline(), base, &tokenizer)?;
        let parts = Parts { corpus: &collection.corpus, validation: &validation, tokenizer: &tokenizer, start: &start };
        let student = parts.student(run)?;
        tracing::info!("distill: {} parameters", student.params().count());
        pretrain(run, &mut log, &parts, &student)?;
        distill(run, &mut log, &parts, &student)?;
        let mut train = graded_lists(&ingest, &collection.corpus, TRAIN)?.0;
        collection.add_negatives(&mut train, run.pipeline().distill.labels_only.negatives_depth)?;
        let origin = Start::of_student(run.pipeline(), run.pipeline().student_origin(), &tokenizer)?;
        let parts = Parts { start: &origin, ..parts };
        labels_only(run, &mut log, &parts, &parts.student(run)?, &train)?;
        log.finish(run)?;
        training::remove_checkpoints(run)
    }
}

/// What both students share.
struct Parts<'a> {
    corpus: &'a Corpus,
    validation: &'a [CandidateList],
    tokenizer: &'a Tokenizer,
    start: &'a Start,
}

impl Parts<'_> {
    /// A student before its first step, the same one every time.
    fn student(&self, run: &StageRun) -> anyhow::Result<Ranker> {
        let config = &run.pipeline().distill;
        let Some(base) = &self.start.base else { return Ok(Ranker::Bert(self.random_student(run)?)) };
        let ranker = base.ranker(run.seed()).map_err(|error| BadInput(format!("distill.base: {error}")))?;
        match (ranker, &config.keep_layers) {
            (ranker, None) => Ok(ranker),
            (Ranker::Bert(deep), Some(keep)) => {
                let kept = deep.keeping(keep).map_err(|error| ConfigError::Unusable(format!("distill.{error}")))?;
                Ok(Ranker::Bert(kept))
            }
            (decoder, Some(_)) => Err(ConfigError::Unusable(format!(
                "distill.keep_layers: expected an encoder as distill.base, found the architecture {:?}",
                decoder.architecture()
            )))?,
        }
    }

    fn random_student(&self, run: &StageRun) -> anyhow::Result<Bert> {
        let model = run.pipeline().distill.model.clone().context("distill.model: expected a table, found none")?;
        let EncoderConfig { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, dropout } = model;
        let config = BertConfig {
            vocab_size: self.tokenizer.vocabulary_size(),
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            max_position_embeddings: Encoder::new(self.tokenizer, &self.start.scoring)?.max_tokens(),
            hidden_dropout_prob: dropout,
            attention_probs_dropout_prob: dropout,
            pad_token_id: Some(self.tokenizer.id("[PAD]")?),
            ..BertConfig::default()
        };
        Ok(Bert::new(config, run.seed())?)
    }

    fn save(
        &self,
        run: &StageRun,
        name: &str,
        student: &Ranker,
        standardisation: Option<Standardisation>,
        (title, about, summary): (&str, &str, &TrainSummary),
    ) -> anyhow::Result<()> {
        let settings = Settings { scoring: self.start.scoring.clone(), standardisation };
        let base = run.pipeline().student_origin();
        let card = Card {
            title,
            about,
            pipeline_tag: "text-ranking",
            library: "transformers",
            base,
            validation: VALIDATION_METRIC,
            summary,
        };
        Ok(save_ranker(&run.out().join(name), student, self.tokenizer, &settings, &card.text(run))?)
    }
}

/// Pre-training on the log, where the pipeline asks for it.
fn pretrain(run: &mut StageRun, log: &mut TrainingLog, parts: &Parts<'_>, student: &Ranker) -> anyhow::Result<()> {
    let Some(config) = run.pipeline().distill.pretrain.clone() else { return Ok(()) };
    let Ranker::Bert(student) = student else {
        let found = student.architecture();
        return Err(ConfigError::Unusable(format!(
            "distill.pretrain: expected an encoder as distill.base, found the architecture {found:?}; remove the table"
        )))?;
    };
    let cpt = run.input("cpt")?;
    let encoder = Encoder::new(parts.tokenizer, &parts.start.scoring)?;
    let train = clicked_pairs(&cpt, parts.corpus, &encoder, TRAIN)?;
    let validation = clicked_pairs(&cpt, parts.corpus, &encoder, VALIDATION)?;
    let mut task = PretrainTask {
        student,
        words: parts.tokenizer.vocabulary_size(),
        mask: parts.tokenizer.id("[MASK]")?,
        train: &train,
        validation: &validation,
        config: &config,
        seed: run.seed(),
        precision: precision(run.pipeline()),
    };
    let phase = Phase { name: "pretrain", config: &config.training(), validation: "validation_log_likelihood" };
    let summary = train_phase(run, log, &phase, &mut task)?;
    run.fact("pretrain_steps", summary.steps);
    run.fact("pretrain_examples", summary.examples);
    Ok(())
}

/// The distilled student.
fn distill(run: &mut StageRun, log: &mut TrainingLog, parts: &Parts<'_>, student: &Ranker) -> anyhow::Result<()> {
    let config = run.pipeline().distill.clone();
    let table = TeacherTable::read(&run.input("score")?, parts.corpus, config.standardise)?;
    let encoder = Encoder::new(parts.tokenizer, &parts.start.scoring)?;
    let mut task = HybridTask {
        student,
        encoder: &encoder,
        corpus: parts.corpus,
        lists: &table.lists,
        validation: parts.validation,
        config: &config,
        seed: run.seed(),
        precision: precision(run.pipeline()),
    };
    let phase = Phase { name: STUDENT, config: &config.training(), validation: VALIDATION_METRIC };
    let summary = train_phase(run, log, &phase, &mut task)?;
    run.fact("student_steps", summary.steps);
    run.fact("student_examples", summary.examples);
    run.fact("student_best_validation", summary.best.map(|best| best.value));
    run.fact("student_collapsed", summary.collapsed);
    let about = "A ranker distilled from list-wise teacher scores; one raw logit per pair.";
    parts.save(run, STUDENT, student, table.standardisation, ("Student", about, &summary))
}

/// The same student, trained on the judged labels alone.
fn labels_only(
    run: &mut StageRun,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    student: &Ranker,
    train: &[GradedList],
) -> anyhow::Result<()> {
    let config = run.pipeline().distill.labels_only.clone();
    if train.is_empty() {
        Err(BadInput("ingest/judgments: expected judged queries in the training split, found none".into()))?;
    }
    let encoder = Encoder::new(parts.tokenizer, &parts.start.scoring)?;
    let mut task = RankTask {
        ranker: student,
        encoder: &encoder,
        corpus: parts.corpus,
        train,
        validation: parts.validation,
        config: &config,
        phase: LABELS_ONLY,
        seed: run.seed(),
        precision: precision(run.pipeline()),
    };
    let phase = Phase { name: LABELS_ONLY, config: &config.training(), validation: VALIDATION_METRIC };
    let summary = train_phase(run, log, &phase, &mut task)?;
    run.fact("labels_only_steps", summary.steps);
    run.fact("labels_only_examples", summary.examples);
    run.fact("labels_only_best_validation", summary.best.map(|best| best.value));
    let about = "The student's architecture trained on judged labels alone, as a baseline.";
    parts.save(run, LABELS_ONLY, student, None, ("Label-only student", about, &summary))
}
