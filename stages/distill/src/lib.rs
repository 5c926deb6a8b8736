//! Stage `distill`: a BERT student learns the teacher's scores (section 3.3 of the paper), and, for comparison, the same
//! student learns the judged labels alone: no teacher, no clicks. A student from random weights can be pre-trained on the
//! log first, which stands in for a pre-trained BERT; one can also be made of the teacher's own layers. Other phases, such as
//! a contrastive one, can come before the teacher's scores.
//!
//! Output: the folders `student` and `student_labels_only`, as Hugging Face saves them, and `training_metrics`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod phases;
mod pretrain;
mod teacher_table;

use anyhow::Context;
use collection::{Collection, Corpus, GENERATED, TRAIN, VALIDATION, candidate_lists, graded_lists, read_generated};
use models::{Start, base_inputs, training_precision};
use nn::folder::{Settings, Standardisation, save_ranker};
use nn::models::{Head, Model, Sizes, TermControl, from_sizes};
use nn::text::{Kind, PairTokenizer, Tokenizer};
use nn::train::TrainSummary;
use pipeline::config::{BaseModel, LabelsOnlyConfig, ListTraining};
use pipeline::{About, BadInput, ConfigError, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use ranking::loss::Loss;
use training::{
    Card, LabelledList, ListTask, Objective, Phase, TrainingLog, Validator, check_lengths, check_resumed, reading,
    train_phase,
};

use crate::pretrain::{PretrainTask, examples};
use crate::teacher_table::{TeacherTable, is_flat};

pub use crate::config::Config;

const STUDENT: &str = "student";
const LABELS_ONLY: &str = "student_labels_only";

/// The stage.
#[derive(Debug)]
pub struct Distill;

impl Stage for Distill {
    const NAME: &'static str = "distill";
    const VERSION: u32 = 3;
    const ABOUT: About = About {
        does: "trains the student on the teacher's scores, and for comparison the same student on judged labels alone",
        reads: "ingest/queries, ingest/collection, ingest/judgments, cpt/cpt_examples, score/teacher_scores; the folder \
                cpt/student_tokenizer; distill.base",
        writes: "training_metrics; the folders student and student_labels_only",
        keeps: Some("its finished phases and the checkpoint of each checkpoint_every steps"),
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        Ok(Config::of(pipeline))
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let ingest = |table| Input::Table { stage: "ingest", table };
        let mut inputs = vec![
            ingest("judgments"),
            Input::Table { stage: "cpt", table: "cpt_examples" },
            Input::Table { stage: "score", table: "teacher_scores" },
            Input::Folder { stage: "cpt", folder: "student_tokenizer" },
        ];
        inputs.extend(config.generated.then_some(Input::Table { stage: "score", table: GENERATED }));
        inputs.extend(collection::inputs(&config.retrieval));
        inputs.extend(base_inputs(paths, config.distill.base.as_ref())?);
        if config.distill.base == Some(BaseModel::Teacher) {
            inputs.extend(base_inputs(paths, config.origin.as_ref())?);
        }
        Ok(inputs)
    }

    fn resumable(&self) -> bool {
        true
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        check_resumed(context, &[])?;
        let mut log = TrainingLog::open(context.out())?;
        let ingest = context.input("ingest")?;
        let mut collection = Collection::read(|stage| context.input(stage), &config.retrieval)?;
        if config.generated {
            collection.corpus = collection.corpus.with_generated(read_generated(&context.input("score")?)?)?;
        }
        let candidates = match &config.validation {
            Some(validation) => candidate_lists(&ingest, &collection, VALIDATION, validation)?,
            None => Vec::new(),
        };
        let validator = Validator { lists: &candidates, config: config.validation.as_ref() };
        let tokenizer = Tokenizer::load(&context.input("cpt")?.folder("student_tokenizer")?)?;
        let start = Start::open(context.paths(), &config.student(), &tokenizer)?;
        let parts = Parts { config, corpus: &collection.corpus, validator, tokenizer: &tokenizer, start: &start };
        check_lengths(&parts.pairs()?, &config.distillations())?;
        let baseline = Baseline::open(context, &collection, config, &tokenizer)?;
        let student = parts.student(Head::Score)?;
        tracing::info!("distill: {} parameters", student.params().count());
        pretrain(context, &mut log, &parts, &student)?;
        distill(context, &mut log, &parts, (&student, &collection))?;
        if let Some(Baseline { start, lists, config }) = &baseline {
            labels_only(context, &mut log, &Parts { start, ..parts }, lists, config)?;
        }
        log.finish(context)?;
        training::remove_checkpoints(context)
    }
}

/// What both students share.
struct Parts<'a> {
    config: &'a Config,
    corpus: &'a Corpus,
    validator: Validator<'a>,
    tokenizer: &'a Tokenizer,
    start: &'a Start,
}

impl Parts<'_> {
    /// A student with this head before its first step, the same one every time.
    fn student(&self, head: Head) -> anyhow::Result<Model> {
        let Some(base) = &self.start.base else { return self.random_student(head) };
        let bad_base = |error| BadInput(format!("distill.base: {error}"));
        let student = base.model(head, self.config.seed);
        let student = student.and_then(|student| student.with_pooling(self.start.scoring.pooling)).map_err(bad_base)?;
        let Some(keep) = &self.config.distill.keep_layers else { return Ok(student) };
        let kept = student.keeping(keep).map_err(|error| ConfigError::Unusable(format!("distill.{error}")))?;
        Ok(kept.ok_or_else(|| {
            ConfigError::Unusable(format!(
                "distill.keep_layers: expected an encoder as distill.base, found the architecture {}",
                student.backbone().name()
            ))
        })?)
    }

    fn random_student(&self, head: Head) -> anyhow::Result<Model> {
        let table = self.config.distill.model.clone().context("distill.model: expected a table, found none")?;
        let sizes = Sizes {
            hidden_size: table.hidden_size,
            intermediate_size: table.intermediate_size,
            num_hidden_layers: table.num_hidden_layers,
            num_attention_heads: table.num_attention_heads,
            num_key_value_heads: None,
            max_tokens: self.pairs()?.max_tokens(),
            dropout: table.dropout,
        };
        Ok(Model::new(from_sizes(Kind::Encoder, &sizes, self.tokenizer)?, head, self.config.seed)?)
    }

    /// The input of the student.
    fn pairs(&self) -> anyhow::Result<PairTokenizer> {
        Ok(PairTokenizer::new(self.tokenizer, &self.start.scoring)?)
    }

    /// Trains a student on labelled lists; `stream` names the random streams of the phase.
    fn train(
        &self,
        context: &mut StageContext,
        log: &mut TrainingLog,
        (student, lists, config): (&Model, &[LabelledList], &ListTraining),
        (name, table, stream): (&str, &str, &str),
        objective: Objective<'_>,
    ) -> anyhow::Result<TrainSummary> {
        let pairs = self.pairs()?;
        let mut task = ListTask {
            ranker: student,
            tokenizer: &pairs,
            corpus: self.corpus,
            lists,
            validator: self.validator,
            config,
            objective,
            stream,
            seed: self.config.seed,
            precision: training_precision(self.config.precision),
        };
        let phase = Phase {
            name,
            table,
            config: &config.training,
            validation: &self.validator.name(),
            start_validation: None,
            made_from: None,
        };
        train_phase(context, log, &phase, &mut task)
    }

    fn save(
        &self,
        context: &StageContext,
        name: &str,
        student: &Model,
        standardisation: Option<Standardisation>,
        (title, about, summary): (&str, &str, &TrainSummary),
    ) -> anyhow::Result<()> {
        let settings = Settings { scoring: self.start.scoring.clone(), standardisation };
        let card = Card {
            title,
            about: &format!("{about}{}", reading(student, &self.start.scoring)),
            pipeline_tag: "text-ranking",
            library: "transformers",
            base: self.config.origin.as_ref(),
            validation: &self.validator.name(),
            seed: self.config.seed,
            summary,
        };
        Ok(save_ranker(&context.out().join(name), student, self.tokenizer, &settings, &card.text(context))?)
    }
}

/// Pre-training on the log, where the pipeline asks for it.
fn pretrain(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    student: &Model,
) -> anyhow::Result<()> {
    let Some(config) = &parts.config.distill.pretrain else { return Ok(()) };
    if student.backbone().kind() != Kind::Encoder {
        let found = student.backbone().name();
        Err(ConfigError::Unusable(format!(
            "distill.pretrain: expected an encoder as distill.base, found the architecture {found}; remove the table"
        )))?;
    }
    let cpt = context.input("cpt")?;
    let pairs = parts.pairs()?;
    let train = examples(&cpt, parts.corpus, &pairs, TRAIN)?;
    let validation = examples(&cpt, parts.corpus, &pairs, VALIDATION)?;
    let mut task = PretrainTask {
        student,
        words: parts.tokenizer.vocabulary_size(),
        mask: parts.tokenizer.mask_id()?,
        train: &train,
        validation: &validation,
        config,
        seed: parts.config.seed,
        precision: training_precision(parts.config.precision),
    };
    let phase = Phase {
        name: "pretrain",
        table: "distill.pretrain",
        config: &config.training(),
        validation: "validation_log_likelihood",
        start_validation: None,
        made_from: None,
    };
    let summary = train_phase(context, log, &phase, &mut task)?;
    context.fact("pretrain_steps", summary.steps);
    context.fact("pretrain_examples", summary.examples);
    Ok(())
}

/// The layer that the student has while it is distilled, with the weight of its loss, where the pipeline asks for one.
fn term_control(parts: &Parts<'_>, student: &Model) -> Result<Option<(TermControl, f64)>, ConfigError> {
    let Some(config) = &parts.config.distill.term_control else { return Ok(None) };
    let layer = TermControl::new(student, parts.config.seed)
        .map_err(|error| ConfigError::Unusable(format!("distill.term_control: {error}; remove the table")))?;
    Ok(Some((layer, config.weight)))
}

/// The teacher's scores as the student learns them.
fn teacher_table(context: &StageContext, parts: &Parts<'_>, loss: &Loss) -> anyhow::Result<TeacherTable> {
    let (score, config) = (context.input("score")?, &parts.config.distill);
    let table = TeacherTable::read(&score, parts.corpus, config.standardise)?;
    table.check("distill", loss)?;
    let (flat, all) = (table.lists.iter().filter(|list| is_flat(list)).count(), table.lists.len());
    if flat > 0 {
        tracing::info!("distill: {flat} of {all} lists have the same score for all documents, which tells no order");
    }
    match config.spread_weight.filter(|&strength| strength > 0.0) {
        Some(strength) => table.weighted_by_spread(&score, strength),
        None => Ok(table),
    }
}

/// The distilled student: the phases before, then the teacher's scores.
fn distill(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    (student, collection): (&Model, &Collection),
) -> anyhow::Result<()> {
    let config = parts.config.distill.list_training();
    let table = teacher_table(context, parts, &config.loss)?;
    phases::train(context, log, parts, (student, collection, &table))?;
    let layer = term_control(parts, student)?;
    let objective = Objective {
        term_control: layer.as_ref().map(|(layer, weight)| (layer, *weight)),
        weights: table.weights.as_deref(),
    };
    let trained = (student, &table.lists[..], &config);
    let summary = parts.train(context, log, trained, (STUDENT, "distill", "distill"), objective)?;
    context.fact("student_steps", summary.steps);
    context.fact("student_examples", summary.examples);
    context.fact("student_best_validation", summary.best.map(|best| best.value));
    context.fact("student_collapsed", summary.collapsed);
    let phases = phases::told(&parts.config.distill.phases);
    let about = format!("A ranker distilled from list-wise teacher scores; one raw logit per pair.{phases}");
    parts.save(context, STUDENT, student, table.standardisation, ("Student", &about, &summary))
}

/// What the label-only student starts from and learns, where the pipeline has one. Opened before any training, as what is
/// missing should be told before hours have passed.
struct Baseline<'a> {
    start: Start,
    lists: Vec<LabelledList>,
    config: &'a LabelsOnlyConfig,
}

impl Baseline<'_> {
    fn open<'a>(
        context: &StageContext,
        collection: &Collection,
        config: &'a Config,
        tokenizer: &Tokenizer,
    ) -> anyhow::Result<Option<Baseline<'a>>> {
        let Some(labels_only) = &config.distill.labels_only else { return Ok(None) };
        let mut lists = graded_lists(&context.input("ingest")?, &collection.corpus, TRAIN)?.0;
        if lists.is_empty() {
            Err(BadInput("ingest/judgments: expected judged queries in the training split, found none; remove the table distill.labels_only, or judge queries".into()))?;
        }
        collection.add_negatives(&mut lists, &labels_only.negative_ranks())?;
        let start = Start::open(context.paths(), &config.label_only_student(), tokenizer)?;
        let pairs = PairTokenizer::new(tokenizer, &start.scoring)?;
        check_lengths(&pairs, &[("distill.labels_only".into(), labels_only.list_training())])?;
        let lists = lists.into_iter().map(LabelledList::from).collect();
        Ok(Some(Baseline { start, lists, config: labels_only }))
    }
}

/// The same student, trained on the judged labels alone.
fn labels_only(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    train: &[LabelledList],
    config: &LabelsOnlyConfig,
) -> anyhow::Result<()> {
    let config = config.list_training();
    let student = &parts.student(Head::of_outputs(config.loss.outputs()))?;
    let summary = parts.train(
        context,
        log,
        (student, train, &config),
        (LABELS_ONLY, "distill.labels_only", LABELS_ONLY),
        Objective::default(),
    )?;
    context.fact("labels_only_steps", summary.steps);
    context.fact("labels_only_examples", summary.examples);
    context.fact("labels_only_best_validation", summary.best.map(|best| best.value));
    let about = "The student's architecture trained on judged labels alone, as a baseline.";
    parts.save(context, LABELS_ONLY, student, None, ("Label-only student", about, &summary))
}
