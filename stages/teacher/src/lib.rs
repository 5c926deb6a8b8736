//! Stage `teacher`: a decoder, continually pre-trained on clicked documents (section 3.1 of the paper), then fine-tuned
//! with a rank loss on graded lists (section 3.2). An encoder is fine-tuned alone. Before that, either may learn from the
//! titles of the collection, and after it from negatives that the ranker itself finds hardest. With `teacher.use`, a ranker that
//! exists is the teacher as it is.
//!
//! Output: the folders `cpt` (a causal language model), `titles` (a sequence classifier), both where there was such a phase,
//! and `rank` (a sequence classifier), as Hugging Face saves them, and the table `training_metrics`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod mined;
mod parts;
mod pretrain;
mod rank;
mod saved;
mod start;
mod takeover;
mod titles;

use anyhow::Context;
use collection::{TRAIN, VALIDATION};
use models::{Start, base_inputs, training_precision};
use nn::folder::{Base, save_language_model};
use nn::models::{Head, Model};
use nn::text::{PairTokenizer, Tokenizer};
use pipeline::config::CptPhaseConfig;
use pipeline::{About, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use training::{Card, Phase, TrainingLog, check_lengths, check_resumed, train_phase};

use crate::parts::{PRETRAINING, Parts, note, remove_stale};
use crate::pretrain::{Packs, PretrainTask};
use crate::takeover::{MadeFrom, fingerprint_fact, take_over};

pub use crate::config::Config;

/// The stage.
#[derive(Debug)]
pub struct Teacher;

impl Stage for Teacher {
    const NAME: &'static str = "teacher";
    const VERSION: u32 = 4;
    const ABOUT: About = About {
        does: "trains the teacher: continued pre-training on clicked documents, then a rank loss on judged lists",
        reads: "ingest/queries, ingest/collection, ingest/judgments, cpt/cpt_examples; the folder cpt/teacher_tokenizer; \
                teacher.base",
        writes: "training_metrics; the folders cpt and titles, where the pipeline has these phases, and rank",
        keeps: Some("its finished phases and the checkpoint of each checkpoint_every steps"),
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        let absent = || NothingToDo("the pipeline file has no table [teacher]".to_string());
        Ok(Config::of(pipeline, pipeline.teacher.clone().ok_or_else(absent)?))
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let ingest = |table| Input::Table { stage: "ingest", table };
        let mut inputs = vec![
            ingest("judgments"),
            Input::Table { stage: "cpt", table: "cpt_examples" },
            Input::Folder { stage: "cpt", folder: "teacher_tokenizer" },
        ];
        inputs.extend(collection::inputs(&config.retrieval));
        inputs.extend(base_inputs(paths, config.shared.base.as_ref())?);
        inputs.extend(base_inputs(paths, config.shared.saved.as_ref())?);
        Ok(inputs)
    }

    fn resumable(&self) -> bool {
        true
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        let Some(config_of_rank) = &config.rank else {
            check_resumed(context, &[])?;
            let log = TrainingLog::open(context.out())?;
            return saved::take(context, log, &config.shared);
        };
        let tokenizer = Tokenizer::load(&context.input("cpt")?.folder("teacher_tokenizer")?)?;
        let start = Start::open(context.paths(), &config.shared.origin(), &tokenizer)?;
        let parts = Parts { shared: &config.shared, start: &start, tokenizer: &tokenizer };
        let made_from = MadeFrom::of(context, &parts, config)?;
        check_resumed(context, &[&made_from.cpt, &made_from.titles])?;
        let mut log = TrainingLog::open(context.out())?;
        check_lengths(&PairTokenizer::new(&tokenizer, &start.scoring)?, &config.list_trainings())?;
        if config.cpt.is_some() || config.titles.is_some() {
            rank::check_judged(context)?;
        }
        let head = Head::of_outputs(config_of_rank.list_training().loss.outputs());
        // Titles have no grades.
        let first = if config.titles.is_some() { Head::Score } else { head };
        let body = body(context, &mut log, &parts, (config.cpt.as_ref(), &made_from.cpt), first)?;
        let titles = (config.titles.as_ref(), &config.retrieval);
        let ranker = titles::learn(context, &mut log, &parts, titles, (body, &made_from.titles))?;
        let ranker = ranker.with_head(head, config.shared.seed)?;
        rank::learn(context, &mut log, &parts, (config, config_of_rank), &ranker)?;
        log.finish(context)?;
        training::remove_checkpoints(context)
    }
}

/// The result of phase `cpt`, where there is such a phase, else what the teacher starts from, as a ranker with this head.
/// `made_from` is the digest of all that decides it.
fn body(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    (config, made_from): (Option<&CptPhaseConfig>, &str),
    head: Head,
) -> anyhow::Result<Model> {
    let folder = context.out().join(PRETRAINING);
    let config = match start::pretraining(parts.start, config) {
        Ok(config) => config,
        Err(reason) => {
            tracing::info!("teacher: phase cpt is skipped: {reason}");
            remove_stale(&folder)?;
            return start::model(parts, head);
        }
    };
    if !take_over(context, log, PRETRAINING, made_from)? {
        pretrain(context, log, parts, (config, made_from))?;
    }
    context.fact(&fingerprint_fact(PRETRAINING), made_from);
    let ranker = Base::open(&folder)?.model(head, parts.shared.seed).context("the pre-trained body")?;
    Ok(start::read_as(parts, ranker)?)
}

/// The first phase: `cpt`.
fn pretrain(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    (config, made_from): (&CptPhaseConfig, &str),
) -> anyhow::Result<()> {
    let Parts { shared, tokenizer, .. } = *parts;
    let cpt = context.input("cpt")?;
    let train = Packs::read(&cpt, &tokenizer.identity(), TRAIN)?;
    let validation = Packs::read(&cpt, &tokenizer.identity(), VALIDATION)?;
    let model = start::adapted(shared, &start::model(parts, Head::LanguageModel)?)?;
    let (all, trained) = (model.params().count(), model.params().trained().count());
    tracing::info!("teacher: {all} parameters, of which {trained} are trained");
    let mut task = PretrainTask {
        model: &model,
        train: &train,
        validation: &validation,
        config,
        seed: shared.seed,
        precision: training_precision(shared.precision),
    };
    let phase = Phase {
        name: PRETRAINING,
        table: "teacher.cpt",
        config: &config.training(),
        validation: "validation_log_likelihood",
        start_validation: None,
        made_from: Some(made_from),
    };
    let summary = train_phase(context, log, &phase, &mut task)?;
    note(context, PRETRAINING, &summary);
    let card = Card {
        title: "Teacher after continued pre-training",
        about: "A causal language model of query -> clicked title and summary.",
        pipeline_tag: "text-generation",
        library: "transformers",
        base: shared.base.as_ref(),
        validation: phase.validation,
        seed: shared.seed,
        summary: &summary,
    };
    Ok(save_language_model(&context.out().join(PRETRAINING), &model.merged()?, tokenizer, &card.of_phase())?)
}
