//! Stage `teacher`: a decoder, continually pre-trained on clicked documents (section 3.1 of the paper), then fine-tuned
//! with a rank loss on graded lists (section 3.2). An encoder is fine-tuned alone. Before that, either may learn from the
//! titles of the collection.
//!
//! Output: the folders `cpt` (a causal language model), `titles` (a sequence classifier), both where there was such a phase,
//! and `rank` (a sequence classifier), as Hugging Face saves them, and the table `training_metrics`.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod pretrain;
mod start;
mod takeover;
mod titles;

use std::path::Path;

use anyhow::Context;
use nn::folder::{Base, Settings, save_adapter, save_language_model, save_ranker};
use nn::model::Ranker;
use nn::text::Encoder;
use nn::tokenizer::Tokenizer;
use nn::trainer::TrainSummary;
use pipeline::config::CptPhaseConfig;
use pipeline::{BadInput, Input, Pipeline, Stage, StageRun};
use training::{
    CANDIDATE_KEYS, Card, Collection, PRECISION_KEY, Phase, RankTask, Start, TRAIN, TrainingLog, VALIDATION,
    base_identity, base_inputs, candidate_lists, check_resumed, graded_lists, precision, train_phase,
};

use crate::pretrain::{Packs, PretrainTask};
use crate::takeover::{fingerprint_fact, take_over};

/// The phase of continued pre-training: in the log, of the checkpoint, and its folder.
const PRETRAINING: &str = "cpt";

/// The stage.
#[derive(Debug)]
pub struct Teacher;

impl Stage for Teacher {
    const NAME: &'static str = "teacher";

    fn inputs(&self, pipeline: &Pipeline) -> anyhow::Result<Vec<Input>> {
        let ingest = |table| Input::Table { stage: "ingest", table };
        let mut inputs = vec![
            ingest("queries"),
            ingest("documents"),
            ingest("judgments"),
            Input::Table { stage: "cpt", table: "cpt_examples" },
            Input::Folder { stage: "cpt", folder: "teacher_tokenizer" },
        ];
        inputs.extend(base_inputs(pipeline, pipeline.teacher.base.as_ref())?);
        Ok(inputs)
    }

    fn config_keys(&self) -> &'static [&'static str] {
        const { &[CANDIDATE_KEYS[0], CANDIDATE_KEYS[1], "cpt.max_query_tokens", "cpt.max_document_tokens", PRECISION_KEY] }
    }

    fn resumable(&self) -> bool {
        true
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        check_resumed(run)?;
        let mut log = TrainingLog::open(run.out())?;
        let tokenizer = Tokenizer::load(&run.input("cpt")?.folder("teacher_tokenizer")?)?;
        let start = Start::of_teacher(run.pipeline(), &tokenizer)?;
        let body = body(run, &mut log, &start, &tokenizer)?;
        let ranker = titles::learn(run, &mut log, &start, &tokenizer, body)?;
        rank(run, &mut log, &start, &tokenizer, &ranker)?;
        log.finish(run)?;
        training::remove_checkpoints(run)
    }
}

/// A ranker before phases `titles` and `rank`.
struct Body {
    ranker: Ranker,
    /// Digest of all that decides it.
    made_from: String,
}

/// The result of phase `cpt`, where there is such a phase, else what the teacher starts from.
fn body(run: &mut StageRun, log: &mut TrainingLog, start: &Start, tokenizer: &Tokenizer) -> anyhow::Result<Body> {
    let folder = run.out().join(PRETRAINING);
    let no_pretraining = start::no_pretraining(run.pipeline(), start)?;
    let made_from = fingerprint(run, no_pretraining.is_none())?;
    if let Some(reason) = no_pretraining {
        tracing::info!("teacher: phase cpt is skipped: {reason}");
        remove_stale(&folder)?;
        return Ok(Body { ranker: start::ranker(run.pipeline(), start, tokenizer)?, made_from });
    }
    if !take_over(run, log, PRETRAINING, &made_from)? {
        pretrain(run, log, start, tokenizer)?;
    }
    run.fact(&fingerprint_fact(PRETRAINING), made_from.clone());
    let ranker = Base::open(&folder)?.ranker(run.seed()).context("the pre-trained body")?;
    Ok(Body { ranker, made_from })
}

/// Digest of all that decides the body: where it starts, and phase `cpt` where it is `pretrained`.
fn fingerprint(run: &StageRun, pretrained: bool) -> anyhow::Result<String> {
    let cpt = run.input("cpt")?;
    let teacher = &run.pipeline().teacher;
    let tokenizer = cpt.manifest().folder_digest("teacher_tokenizer");
    let base = teacher.base.as_ref().map(|base| base_identity(run.pipeline(), base)).transpose()?;
    let phase =
        pretrained.then(|| (&teacher.cpt, cpt.manifest().table_digest("cpt_examples"), run.pipeline().run.precision));
    let lora = teacher.lora.as_ref().map(|lora| (lora.rank, lora.alpha, lora.dropout, &lora.targets));
    let budgets = (run.pipeline().cpt.max_query_tokens, run.pipeline().cpt.max_document_tokens);
    let start = (base, teacher.dropout, &teacher.model, tokenizer, budgets);
    let decides = (env!("CARGO_PKG_VERSION"), run.seed(), start, lora, phase);
    Ok(tables::sha256_bytes(&serde_json::to_vec(&decides)?))
}

/// Removes the folder of a phase that an interrupted run of another configuration may have left.
fn remove_stale(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}: removing failed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The first phase: `cpt`.
fn pretrain(run: &mut StageRun, log: &mut TrainingLog, start: &Start, tokenizer: &Tokenizer) -> anyhow::Result<()> {
    let Some(config): Option<CptPhaseConfig> = run.pipeline().teacher.cpt.clone() else { return Ok(()) };
    let cpt = run.input("cpt")?;
    let train = Packs::read(&cpt, &tokenizer.identity(), TRAIN)?;
    let validation = Packs::read(&cpt, &tokenizer.identity(), VALIDATION)?;
    let model = start::language_model(run.pipeline(), start, tokenizer)?;
    let model = start::adapted_language_model(run.pipeline(), model)?;
    let (all, trained) = (model.params().count(), model.params().trained().count());
    tracing::info!("teacher: {all} parameters, of which {trained} are trained");
    let mut task = PretrainTask {
        model: &model,
        train: &train,
        validation: &validation,
        config: &config,
        seed: run.seed(),
        precision: precision(run.pipeline()),
    };
    let phase = Phase { name: PRETRAINING, config: &config.training(), validation: "validation_log_likelihood" };
    let summary = train_phase(run, log, &phase, &mut task)?;
    note(run, PRETRAINING, &summary);
    let card = Card {
        title: "Teacher after continued pre-training",
        about: "A causal language model of query -> clicked title and summary.",
        pipeline_tag: "text-generation",
        library: "transformers",
        base: run.pipeline().teacher.base.as_ref(),
        validation: phase.validation,
        summary: &summary,
    };
    Ok(save_language_model(&run.out().join(PRETRAINING), &model.merged()?, tokenizer, &card.of_phase(run.seed()))?)
}

/// The last phase: `rank`.
fn rank(
    run: &mut StageRun,
    log: &mut TrainingLog,
    start: &Start,
    tokenizer: &Tokenizer,
    ranker: &Ranker,
) -> anyhow::Result<()> {
    let config = run.pipeline().teacher.rank.clone();
    let ingest = run.input("ingest")?;
    let collection = Collection::read(&ingest)?;
    let (mut train, without_text) = graded_lists(&ingest, &collection.corpus, TRAIN)?;
    collection.add_negatives(&mut train, config.negatives_depth)?;
    let validation = candidate_lists(&ingest, &collection, VALIDATION, &run.pipeline().evaluate)?;
    if train.is_empty() {
        Err(BadInput(format!(
            "{}: expected judged queries in the training split, found none; judge more queries or raise ingest.split.train",
            ingest.path().join("judgments").display()
        )))?;
    }
    let encoder = Encoder::new(tokenizer, &start.scoring)?;
    let ranker = &start::adapted(run.pipeline(), ranker)?;
    let mut task = RankTask {
        ranker,
        encoder: &encoder,
        corpus: &collection.corpus,
        train: &train,
        validation: &validation,
        config: &config,
        phase: "rank",
        seed: run.seed(),
        precision: precision(run.pipeline()),
    };
    let phase = Phase { name: "rank", config: &config.training(), validation: "validation_ndcg@10" };
    let summary = train_phase(run, log, &phase, &mut task)?;
    note(run, "rank", &summary);
    run.fact("judged_lists", train.len());
    run.fact("judged_documents_without_text", without_text);
    let settings = Settings { scoring: start.scoring.clone(), standardisation: None };
    let adapted = start::adapter_base(run)?;
    let card = Card {
        title: "Teacher",
        about: "Scores a query and a document with one raw logit.",
        pipeline_tag: "text-ranking",
        library: if adapted.is_some() { "peft" } else { "transformers" },
        base: run.pipeline().teacher.base.as_ref(),
        validation: phase.validation,
        summary: &summary,
    };
    let (folder, card) = (run.out().join("rank"), card.text(run));
    // An interrupted run may have left another kind of model.
    remove_stale(&folder)?;
    match adapted {
        Some(base) => Ok(save_adapter(&folder, ranker, &base, tokenizer, &settings, &card)?),
        None => Ok(save_ranker(&folder, &ranker.merged()?, tokenizer, &settings, &card)?),
    }
}

fn note(run: &mut StageRun, phase: &str, summary: &TrainSummary) {
    run.fact(&format!("{phase}_steps"), summary.steps);
    run.fact(&format!("{phase}_tokens"), summary.tokens);
    run.fact(&format!("{phase}_best_validation"), summary.best.map(|best| best.value));
    run.fact(&format!("{phase}_collapsed"), summary.collapsed);
}
