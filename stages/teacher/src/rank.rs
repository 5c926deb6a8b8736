//! The phases on judged lists: `rank`, with negatives that the collection's search finds, then `mined`, where the pipeline has
//! such a table, with those that the ranker of phase `rank` finds hardest. Their result is the teacher.

use collection::{CandidateList, Collection, Corpus, GradedList, TRAIN, VALIDATION, candidate_lists, graded_lists};
use models::training_precision;
use nn::cross_encoder::Execution;
use nn::folder::{Settings, save_adapter, save_ranker};
use nn::models::{Head, Model};
use nn::text::PairTokenizer;
use nn::train::TrainSummary;
use pipeline::config::{ListTraining, RankConfig};
use pipeline::{BadInput, StageContext};
use tables::StageDir;
use training::{Card, LabelledList, ListTask, Objective, Phase, TrainingLog, Validator, reading, train_phase};

use crate::config::Config;
use crate::mined;
use crate::parts::{Parts, note, remove_stale};
use crate::start;

/// Phase `rank`.
const RANK: &str = "rank";

/// What the phases learn from and are validated on.
pub(crate) struct Judged<'a> {
    pub(crate) collection: Collection,
    /// Of the training split, without negatives.
    pub(crate) lists: Vec<GradedList>,
    pub(crate) pairs: PairTokenizer,
    candidates: Vec<CandidateList>,
    config: &'a Config,
}

/// Trains `ranker` in these phases and saves it.
pub(crate) fn learn(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    (config, rank): (&Config, &RankConfig),
    ranker: &Model,
) -> anyhow::Result<()> {
    let judged = Judged::read(context, parts, config)?;
    let ranker = &start::adapted(parts.shared, ranker)?;
    let mut lists = judged.lists.clone();
    judged.collection.add_negatives(&mut lists, &rank.negative_ranks())?;
    let phase = (RANK, "teacher.rank", None);
    let mut summary = judged.train(context, log, (ranker, lists, &rank.list_training()), phase)?;
    if let Some(mined) = &config.mined {
        let lists = mined::lists(context, (mined, config.shared.seed), &judged, ranker)?;
        let phase = (mined::MINED, "teacher.mined", summary.best.map(|best| best.value));
        summary = judged.train(context, log, (ranker, lists, &mined.list_training()), phase)?;
    }
    mined::clean_up(context)?;
    save(context, parts, (ranker, config.saved_as_adapter), &summary, &judged.validator().name())
}

/// The judged lists of the training split, with the number of judged documents that have no text.
fn judged_lists(ingest: &StageDir, corpus: &Corpus) -> anyhow::Result<(Vec<GradedList>, usize)> {
    let found = graded_lists(ingest, corpus, TRAIN)?;
    if found.0.is_empty() {
        Err(BadInput(format!(
            "{}: expected judged queries in the training split, found none; judge more queries or raise ingest.split.train",
            ingest.path().join("judgments").display()
        )))?;
    }
    Ok(found)
}

/// Fails where phase `rank` would have no judged lists. Called before phases `cpt` and `titles`, which need none and may take
/// hours.
pub(crate) fn check_judged(context: &StageContext) -> anyhow::Result<()> {
    let ingest = context.input("ingest")?;
    judged_lists(&ingest, &Corpus::read(&ingest)?).map(drop)
}

impl<'a> Judged<'a> {
    fn read(context: &mut StageContext, parts: &Parts<'_>, config: &'a Config) -> anyhow::Result<Judged<'a>> {
        let ingest = context.input("ingest")?;
        let collection = Collection::read(|stage| context.input(stage), &config.retrieval)?;
        let (lists, without_text) = judged_lists(&ingest, &collection.corpus)?;
        let candidates = match &config.validation {
            Some(validation) => candidate_lists(&ingest, &collection, VALIDATION, validation)?,
            None => Vec::new(),
        };
        context.fact("judged_lists", lists.len());
        context.fact("judged_documents_without_text", without_text);
        let pairs = PairTokenizer::new(parts.tokenizer, &parts.start.scoring)?;
        Ok(Judged { collection, lists, pairs, candidates, config })
    }

    /// How the ranker scores outside of training steps.
    pub(crate) fn execution(&self) -> Execution {
        Execution { precision: training_precision(self.config.shared.precision), ..Execution::default() }
    }

    fn validator(&self) -> Validator<'_> {
        Validator { lists: &self.candidates, config: self.config.validation.as_ref() }
    }

    /// One phase: its name, its table, and the validation of the ranker before it, where it is known.
    fn train(
        &self,
        context: &mut StageContext,
        log: &mut TrainingLog,
        (ranker, lists, config): (&Model, Vec<GradedList>, &ListTraining),
        (name, table, start_validation): (&str, &str, Option<f64>),
    ) -> anyhow::Result<TrainSummary> {
        let lists: Vec<LabelledList> = lists.into_iter().map(LabelledList::from).collect();
        let shared = &self.config.shared;
        let mut task = ListTask {
            ranker,
            tokenizer: &self.pairs,
            corpus: &self.collection.corpus,
            lists: &lists,
            validator: self.validator(),
            config,
            objective: Objective::default(),
            stream: name,
            seed: shared.seed,
            precision: training_precision(shared.precision),
        };
        let validation = self.validator().name();
        let phase =
            Phase { name, table, config: &config.training, validation: &validation, start_validation, made_from: None };
        let summary = train_phase(context, log, &phase, &mut task)?;
        note(context, name, &summary);
        Ok(summary)
    }
}

/// Saves the teacher, whole or as an adapter.
fn save(
    context: &StageContext,
    parts: &Parts<'_>,
    (ranker, as_adapter): (&Model, bool),
    summary: &TrainSummary,
    validation: &str,
) -> anyhow::Result<()> {
    let Parts { shared, start, tokenizer } = *parts;
    let score = if ranker.head() == Head::Score { " with one raw logit" } else { "" };
    let card = Card {
        title: "Teacher",
        about: &format!("Scores a query and a document{score}.{}", reading(ranker, &start.scoring)),
        pipeline_tag: "text-ranking",
        library: if as_adapter { "peft" } else { "transformers" },
        base: shared.base.as_ref(),
        validation,
        seed: shared.seed,
        summary,
    };
    let card = card.text(context);
    let settings = Settings { scoring: start.scoring.clone(), standardisation: None };
    let folder = context.out().join(RANK);
    // An interrupted run may have left another kind of model.
    remove_stale(&folder)?;
    let base = if as_adapter { start::adapter_base(context, shared)? } else { None };
    match base {
        Some(base) => Ok(save_adapter(&folder, ranker, &base, tokenizer, &settings, &card)?),
        None => Ok(save_ranker(&folder, &ranker.merged()?, tokenizer, &settings, &card)?),
    }
}
