//! Stage `teacher`: a decoder, continually pre-trained on clicked documents (section 3.1 of the paper), then fine-tuned
//! with a rank loss on graded lists (section 3.2). An encoder is fine-tuned alone.
//!
//! Output: the folders `cpt` (a causal language model, where there was such a phase) and `rank` (a sequence classifier),
//! both as Hugging Face saves them, and the table `training_metrics`.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod pretrain;
mod start;

use anyhow::Context;
use nn::folder::{Base, Settings, save_language_model, save_ranker};
use nn::model::Ranker;
use nn::text::Encoder;
use nn::tokenizer::Tokenizer;
use nn::trainer::TrainSummary;
use pipeline::config::CptPhaseConfig;
use pipeline::{BadInput, Input, Pipeline, Stage, StageRun};
use training::{
    Card, Corpus, Phase, RankTask, Start, TRAIN, TrainingLog, VALIDATION, base_identity, base_inputs, check_resumed,
    graded_lists, train_phase,
};

use crate::pretrain::{Packs, PretrainTask};

/// Fact of the manifest: what phase `cpt` was made from.
const PRETRAINING: &str = "pretraining_fingerprint";

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

    fn resumable(&self) -> bool {
        true
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        check_resumed(run)?;
        let mut log = TrainingLog::open(run.out())?;
        let tokenizer = Tokenizer::load(&run.input("cpt")?.folder("teacher_tokenizer")?)?;
        let start = Start::of_teacher(run.pipeline(), &tokenizer)?;
        let ranker = body(run, &mut log, &start, &tokenizer)?;
        rank(run, &mut log, &start, &tokenizer, &ranker)?;
        log.finish(run)?;
        training::remove_checkpoints(run)
    }
}

/// What phase `rank` trains: the result of phase `cpt`, where there is such a phase.
fn body(run: &mut StageRun, log: &mut TrainingLog, start: &Start, tokenizer: &Tokenizer) -> anyhow::Result<Ranker> {
    let folder = run.out().join("cpt");
    if let Some(reason) = start::no_pretraining(run.pipeline(), start)? {
        tracing::info!("teacher: phase cpt is skipped: {reason}");
        if folder.exists() {
            // An interrupted run of another configuration left it.
            std::fs::remove_dir_all(&folder).with_context(|| format!("{}: removing failed", folder.display()))?;
        }
        return start::ranker(run.pipeline(), start, tokenizer);
    }
    let fingerprint = pretraining_fingerprint(run)?;
    if !reuse_pretraining(run, log, &fingerprint)? {
        pretrain(run, log, start, tokenizer)?;
    }
    run.fact(PRETRAINING, fingerprint);
    Base::open(&folder)?.ranker(run.seed()).context("the pre-trained body")
}

/// Digest of all that decides phase `cpt`.
fn pretraining_fingerprint(run: &StageRun) -> anyhow::Result<String> {
    let cpt = run.input("cpt")?;
    let teacher = &run.pipeline().teacher;
    let inputs = (cpt.manifest().table_digest("cpt_examples"), cpt.manifest().folder_digest("teacher_tokenizer"));
    let base = teacher.base.as_ref().map(|base| base_identity(run.pipeline(), base)).transpose()?;
    let decides = (env!("CARGO_PKG_VERSION"), run.seed(), base, &teacher.model, &teacher.cpt, inputs);
    Ok(tables::sha256_bytes(&serde_json::to_vec(&decides)?))
}

/// Takes the pre-trained model over from the earlier output where it was made from the same, so that trying another rank
/// loss does not pre-train again.
fn reuse_pretraining(run: &mut StageRun, log: &mut TrainingLog, fingerprint: &str) -> anyhow::Result<bool> {
    let Ok(earlier) = run.input(Teacher::NAME) else { return Ok(false) };
    let facts = &earlier.manifest().facts;
    if run.forced() || facts.get(PRETRAINING).and_then(|value| value.as_str()) != Some(fingerprint) {
        return Ok(false);
    }
    let noted: Vec<_> = facts.iter().filter(|(name, _)| name.starts_with("cpt_")).collect();
    for (name, value) in noted {
        run.fact(name, value.clone());
    }
    log.copy_phase(&earlier, "cpt")?;
    let (from, to) = (earlier.folder("cpt")?, run.out().join("cpt"));
    std::fs::create_dir_all(&to).with_context(|| format!("{}: creating failed", to.display()))?;
    for entry in std::fs::read_dir(&from).with_context(|| format!("{}: listing failed", from.display()))? {
        let file = entry?.file_name();
        let copied = std::fs::copy(from.join(&file), to.join(&file));
        copied.with_context(|| format!("{}: copying failed", to.join(&file).display()))?;
    }
    tracing::info!("teacher: phase cpt is taken over from the earlier output");
    Ok(true)
}

/// Phase 1: `cpt`.
fn pretrain(run: &mut StageRun, log: &mut TrainingLog, start: &Start, tokenizer: &Tokenizer) -> anyhow::Result<()> {
    let Some(config): Option<CptPhaseConfig> = run.pipeline().teacher.cpt.clone() else { return Ok(()) };
    let cpt = run.input("cpt")?;
    let train = Packs::read(&cpt, &tokenizer.identity(), TRAIN)?;
    let validation = Packs::read(&cpt, &tokenizer.identity(), VALIDATION)?;
    let model = start::language_model(run.pipeline(), start, tokenizer)?;
    tracing::info!("teacher: {} parameters", model.params().count());
    let mut task = PretrainTask {
        model: &model,
        train: &train,
        validation: &validation,
        packs_per_step: config.packs_per_step,
        seed: run.seed(),
    };
    let phase = Phase { name: "cpt", config: &config.training(), validation: "validation_log_likelihood" };
    let summary = train_phase(run, log, &phase, &mut task)?;
    note(run, "cpt", &summary);
    let card = Card {
        title: "Teacher after continued pre-training",
        about: "A causal language model of query -> clicked title and summary.",
        pipeline_tag: "text-generation",
        base: run.pipeline().teacher.base.as_ref(),
        validation: phase.validation,
        summary: &summary,
    };
    Ok(save_language_model(&run.out().join("cpt"), &model, tokenizer, &card.text(run))?)
}

/// Phase 2: `rank`.
fn rank(
    run: &mut StageRun,
    log: &mut TrainingLog,
    start: &Start,
    tokenizer: &Tokenizer,
    ranker: &Ranker,
) -> anyhow::Result<()> {
    let config = run.pipeline().teacher.rank.clone();
    let ingest = run.input("ingest")?;
    let corpus = Corpus::read(&ingest)?;
    let (train, without_text) = graded_lists(&ingest, &corpus, TRAIN)?;
    let (validation, _) = graded_lists(&ingest, &corpus, VALIDATION)?;
    if train.is_empty() {
        Err(BadInput(format!(
            "{}: expected judged queries in the training split, found none; judge more queries or raise ingest.split.train",
            ingest.path().join("judgments").display()
        )))?;
    }
    let encoder = Encoder::new(tokenizer, &start.scoring)?;
    let mut task = RankTask {
        ranker,
        encoder: &encoder,
        corpus: &corpus,
        train: &train,
        validation: &validation,
        config: &config,
        phase: "rank",
        seed: run.seed(),
    };
    let phase = Phase { name: "rank", config: &config.training(), validation: "validation_ndcg@10" };
    let summary = train_phase(run, log, &phase, &mut task)?;
    note(run, "rank", &summary);
    run.fact("judged_lists", train.len());
    run.fact("judged_documents_without_text", without_text);
    let settings = Settings { scoring: start.scoring.clone(), standardisation: None };
    let card = Card {
        title: "Teacher",
        about: "Scores a query and a document with one raw logit.",
        pipeline_tag: "text-ranking",
        base: run.pipeline().teacher.base.as_ref(),
        validation: phase.validation,
        summary: &summary,
    };
    Ok(save_ranker(&run.out().join("rank"), ranker, tokenizer, &settings, &card.text(run))?)
}

fn note(run: &mut StageRun, phase: &str, summary: &TrainSummary) {
    run.fact(&format!("{phase}_steps"), summary.steps);
    run.fact(&format!("{phase}_tokens"), summary.tokens);
    run.fact(&format!("{phase}_best_validation"), summary.best.map(|best| best.value));
    run.fact(&format!("{phase}_collapsed"), summary.collapsed);
}
