//! Stage `teacher`: a decoder, continually pre-trained on clicked documents (section 3.1 of the paper), then fine-tuned
//! with a rank loss on graded lists (section 3.2).
//!
//! Output: the folders `cpt` (a causal language model) and `rank` (a sequence classifier), both as Hugging Face saves
//! them, and the table `training_metrics`.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod pretrain;

use anyhow::Context;
use nn::config::{Architecture, Head, LlamaConfig};
use nn::folder::{Base, Settings, save_language_model, save_ranker};
use nn::llama::Llama;
use nn::text::{Encoder, Scoring};
use nn::tokenizer::Tokenizer;
use nn::trainer::TrainSummary;
use pipeline::config::DecoderConfig;
use pipeline::{BadInput, Input, Pipeline, Stage, StageRun};
use training::{Corpus, Phase, RankTask, TRAIN, TrainingLog, VALIDATION, graded_lists, train_phase};

use crate::pretrain::{Packs, PretrainTask};

/// Fact of the manifest: what phase `cpt` was made from.
const PRETRAINING: &str = "pretraining_fingerprint";

/// The stage.
#[derive(Debug)]
pub struct Teacher;

impl Stage for Teacher {
    const NAME: &'static str = "teacher";

    fn inputs(&self, _: &Pipeline) -> anyhow::Result<Vec<Input>> {
        let ingest = |table| Input::Table { stage: "ingest", table };
        Ok(vec![
            ingest("queries"),
            ingest("documents"),
            ingest("judgments"),
            Input::Table { stage: "cpt", table: "cpt_examples" },
            Input::Folder { stage: "cpt", folder: "teacher_tokenizer" },
        ])
    }

    fn resumable(&self) -> bool {
        true
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        let mut log = TrainingLog::open(run.out())?;
        let tokenizer = Tokenizer::load(&run.input("cpt")?.folder("teacher_tokenizer")?)?;
        let fingerprint = pretraining_fingerprint(run)?;
        if !reuse_pretraining(run, &mut log, &fingerprint)? {
            pretrain(run, &mut log, &tokenizer)?;
        }
        run.fact(PRETRAINING, fingerprint);
        rank(run, &mut log, &tokenizer)?;
        log.finish(run)?;
        training::remove_checkpoints(run)
    }
}

/// Digest of all that decides phase `cpt`.
fn pretraining_fingerprint(run: &StageRun) -> anyhow::Result<String> {
    let cpt = run.input("cpt")?;
    let teacher = &run.pipeline().teacher;
    let inputs = (cpt.manifest().table_digest("cpt_examples"), cpt.manifest().folder_digest("teacher_tokenizer"));
    let decides = (env!("CARGO_PKG_VERSION"), run.seed(), &teacher.model, &teacher.cpt, inputs);
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
fn pretrain(run: &mut StageRun, log: &mut TrainingLog, tokenizer: &Tokenizer) -> anyhow::Result<()> {
    let config = run.pipeline().teacher.cpt.clone();
    let cpt = run.input("cpt")?;
    let train = Packs::read(&cpt, &tokenizer.identity(), TRAIN)?;
    let validation = Packs::read(&cpt, &tokenizer.identity(), VALIDATION)?;
    let decoder = decoder_config(run.pipeline(), tokenizer)?;
    let model = Llama::new(decoder, Head::LanguageModel, run.seed())?;
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
    let card =
        "# Teacher after continued pre-training\n\nA causal language model of query -> clicked title and summary.\n";
    Ok(save_language_model(&run.out().join("cpt"), &model, tokenizer, card)?)
}

/// Phase 2: `rank`.
fn rank(run: &mut StageRun, log: &mut TrainingLog, tokenizer: &Tokenizer) -> anyhow::Result<()> {
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
    let ranker = Base::open(&run.out().join("cpt"))?.ranker(run.seed()).context("the pre-trained body")?;
    let scoring = scoring(run.pipeline());
    let encoder = Encoder::new(tokenizer, &scoring)?;
    let mut task = RankTask {
        ranker: &ranker,
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
    let settings = Settings { scoring, standardisation: None };
    let card = "# Teacher\n\nA decoder that scores a query and a document with one raw logit at its last token.\n";
    Ok(save_ranker(&run.out().join("rank"), &ranker, tokenizer, &settings, card)?)
}

fn scoring(pipeline: &Pipeline) -> Scoring {
    Scoring::of(Architecture::Llama, pipeline.cpt.max_query_tokens, pipeline.cpt.max_document_tokens)
}

fn decoder_config(pipeline: &Pipeline, tokenizer: &Tokenizer) -> anyhow::Result<LlamaConfig> {
    let DecoderConfig { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads } =
        pipeline.teacher.model.clone();
    Ok(LlamaConfig {
        vocab_size: tokenizer.vocabulary_size(),
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: Some(num_key_value_heads.unwrap_or(num_attention_heads)),
        max_position_embeddings: Encoder::new(tokenizer, &scoring(pipeline))?.max_tokens(),
        tie_word_embeddings: true,
        pad_token_id: Some(tokenizer.id("<pad>")?),
        bos_token_id: Some(tokenizer.id("<s>")?),
        eos_token_id: Some(tokenizer.id("</s>")?.into()),
        ..LlamaConfig::default()
    })
}

fn note(run: &mut StageRun, phase: &str, summary: &TrainSummary) {
    run.fact(&format!("{phase}_steps"), summary.steps);
    run.fact(&format!("{phase}_tokens"), summary.tokens);
    run.fact(&format!("{phase}_best_validation"), summary.best.map(|best| best.value));
    run.fact(&format!("{phase}_collapsed"), summary.collapsed);
}
