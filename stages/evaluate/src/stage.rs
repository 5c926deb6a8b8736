//! The stage: what it reads, and from there to measured systems.

use collection::{CandidateList, Collection, TEST, VALIDATION, candidate_lists};
use models::{scoring_precision, teacher_inputs};
use nn::cross_encoder::Execution;
use pipeline::config::{BASELINE, BaseModel, EvaluateConfig, Precision, RetrievalConfig};
use pipeline::{About, BadInput, ConfigError, Input, NothingToDo, Pipeline, RunPaths, Shard, Stage, StageContext};
use serde::Serialize;
use tables::StageDir;

use crate::input::{Answered, Background};
use crate::{TestQuery, evaluate, held_out, interpolation, merge, slices, systems, trec, verdicts};

/// The stage.
#[derive(Debug, Default)]
pub struct Evaluate {
    /// Ends with an error where the student is a regression beside the baseline; the output stays.
    pub fail_on_regression: bool,
    /// The share of the models' scores that this process makes; without it, all that are missing, and the output.
    pub shard: Option<Shard>,
}

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Clone, Serialize)]
pub struct Config {
    pub(crate) seed: u64,
    pub(crate) precision: Precision,
    pub(crate) evaluate: EvaluateConfig,
    /// The vectors, where there are any; nothing is searched for lists.
    pub(crate) retrieval: RetrievalConfig,
    /// Tokens of one forward pass, as `score` has it.
    pub(crate) batch_tokens: usize,
    /// True if the grades are derived from clicks, which the report says.
    pub(crate) grades_from_clicks: bool,
    /// The base model of a teacher that is saved as an adapter.
    pub(crate) adapter_base: Option<BaseModel>,
    /// True if judgments are the measure, and not the teacher's order.
    pub(crate) judged: bool,
    /// True if this run's own teacher is one of the systems.
    pub(crate) teacher: bool,
    /// True if there is a student of the labels alone.
    pub(crate) labels_only: bool,
}

impl Config {
    /// The stage's part of a pipeline.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Config {
        Config {
            seed: pipeline.run.seed,
            precision: pipeline.run.precision,
            evaluate: pipeline.evaluate.clone(),
            retrieval: RetrievalConfig { dense: pipeline.retrieval.dense.clone(), ..RetrievalConfig::default() },
            batch_tokens: pipeline.score.batch_tokens,
            grades_from_clicks: pipeline.ingest.grades_from_clicks(),
            adapter_base: pipeline.adapter_base().cloned(),
            judged: pipeline.is_judged(),
            // An order is not measured by itself.
            teacher: pipeline.is_judged() && pipeline.teacher.is_some(),
            labels_only: pipeline.distill.labels_only.is_some(),
        }
    }

    /// How models score.
    pub(crate) fn execution(&self) -> Execution {
        Execution { precision: scoring_precision(self.precision), batch_tokens: self.batch_tokens }
    }

    /// True if the stage evaluates the merged test queries of other runs.
    pub(crate) fn merges_runs(&self) -> bool {
        !self.evaluate.merge_runs.is_empty()
    }
}

impl Stage for Evaluate {
    const NAME: &'static str = "evaluate";
    const VERSION: u32 = 3;
    const ABOUT: About = About {
        does: "ranks the held-out queries with every system and writes metrics, intervals, paired tests and the report",
        reads: "ingest/queries, ingest/collection, ingest/impressions, ingest/judgments, ingest/propensities, ingest/ingest_report, \
                teacher/training_metrics, distill/training_metrics, or without judgments score/held_out_scores; the folders teacher/rank, distill/student, \
                distill/student_labels_only; or, with evaluate.merge_runs, the table runs of these runs; with evaluate.baseline, the \
                table runs of that one",
        writes: "runs, query_metrics, metrics, comparisons; runs and judgments as TREC has them in the folder trec; report.html; a \
                 summary on stdout",
        keeps: Some("the models' scores made so far"),
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        Ok(Config::of(pipeline))
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let runs: Vec<String> = config.evaluate.merge_runs.iter().chain(&config.evaluate.baseline).cloned().collect();
        let of_runs = merge::manifests(&runs, paths)?.into_iter().map(Input::File);
        if config.merges_runs() {
            return Ok(of_runs.collect());
        }
        let table = |stage, table| Input::Table { stage, table };
        let folder = |stage, folder| Input::Folder { stage, folder };
        let mut inputs = vec![
            table("ingest", "impressions"),
            table("ingest", "ingest_report"),
            table("ingest", "propensities"),
            if config.judged { table("ingest", "judgments") } else { table("score", held_out::TABLE) },
            table("distill", "training_metrics"),
            folder("distill", "student"),
        ];
        inputs.extend(of_runs);
        inputs.extend(config.labels_only.then(|| folder("distill", "student_labels_only")));
        inputs.extend(collection::inputs(&config.retrieval));
        if config.teacher {
            inputs.push(table("teacher", "training_metrics"));
            inputs.extend(teacher_inputs(paths, config.adapter_base.as_ref())?);
        }
        Ok(inputs)
    }

    fn commits(&self) -> bool {
        self.shard.is_none()
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        let merged = config.merges_runs();
        if let Some(shard) = self.shard {
            if self.fail_on_regression {
                Err(ConfigError::Unusable(format!(
                    "--fail-on-regression: expected a run that evaluates, found shard {shard}, which makes scores alone"
                )))?;
            }
            if merged {
                Err(ConfigError::Unusable(format!(
                    "--shard {shard}: expected models whose scores are shared out, found evaluate.merge_runs; run evaluate without it"
                )))?;
            }
            let Tested { collection, lists, .. } = tested(config, context)?;
            let made = systems::make_share(config, context, (&collection.corpus, &lists), shard);
            return made.map_err(Shard::without_force);
        }
        let Answered { queries, mut runs, background } =
            if merged { merge::read(config, context.paths())? } else { ranked(config, context)? };
        if let Some(name) = &config.evaluate.baseline {
            runs.push(merge::baseline(name, context.paths(), &queries)?);
        }
        evaluate(config, context, &queries, &runs, &background)?;
        match config.judged {
            true if merged => trec::write_judgments(&merge::ingested(config, context.paths())?, context.out()),
            true => trec::write_judgments(&[context.input("ingest")?], context.out()),
            false => Ok(()),
        }
    }

    fn conclude(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<()> {
        if !self.fail_on_regression {
            return Ok(());
        }
        if config.evaluate.baseline.is_none() {
            Err(ConfigError::Unusable(
                "--fail-on-regression: expected a run in evaluate.baseline that the student is compared with, found none".into(),
            ))?;
        }
        verdicts::refuse_regressions(&StageDir::open(&paths.run_dir(), Self::NAME)?, BASELINE)
    }
}

/// What is measured: the test queries and their candidates, behind which lie those of the validation where models are interpolated.
struct Tested {
    ingest: StageDir,
    collection: Collection,
    queries: Vec<TestQuery>,
    lists: Vec<CandidateList>,
    /// Lists of test queries.
    count: usize,
}

/// Reads what is measured.
fn tested(config: &Config, context: &StageContext) -> anyhow::Result<Tested> {
    let ingest = context.input("ingest")?;
    let collection = Collection::read(|stage| context.input(stage), &config.retrieval)?;
    if !config.judged {
        let (queries, lists) = held_out::read(&context.input("score")?, &collection.corpus)?;
        let count = lists.len();
        return Ok(Tested { ingest, collection, queries, lists, count });
    }
    let candidates = config.evaluate.validation();
    let mut lists = candidate_lists(&ingest, &collection, TEST, &candidates)?;
    let count = lists.len();
    let unmatched = lists.iter().filter(|list| list.documents.is_empty());
    if let Some(first) = unmatched.clone().next() {
        let text = &collection.corpus.queries[first.query].text;
        let text: String = text.chars().take(60).collect();
        tracing::warn!("evaluate: {} of {count} test queries have no candidates, such as `{text}`", unmatched.count());
    }
    if config.evaluate.interpolate {
        lists.extend(candidate_lists(&ingest, &collection, VALIDATION, &candidates)?);
        if lists.len() == count {
            Err(BadInput(format!(
                "{}: expected judged queries of the split `validation` for evaluate.interpolate, found none; judge more \
                 queries or raise ingest.split.validation, then re-run stage `ingest`",
                ingest.path().join("judgments").display()
            )))?;
        }
    }
    let queries = lists.iter().map(|list| TestQuery::of(&collection.corpus, list)).collect();
    Ok(Tested { ingest, collection, queries, lists, count })
}

/// The test queries with the answers of this run's systems.
fn ranked(config: &Config, context: &StageContext) -> anyhow::Result<Answered> {
    let Tested { ingest, collection, mut queries, lists, count } = tested(config, context)?;
    let (mut runs, costs) = systems::runs(config, context, &ingest, &collection, &lists)?;
    if config.judged && config.evaluate.interpolate {
        runs.extend(interpolation::with_bm25(&runs, &queries, count, &config.evaluate.validation())?);
    }
    queries.truncate(count);
    slices::read(&ingest, &config.evaluate.slices, &mut queries)?;
    runs.iter_mut().for_each(|run| run.scores.truncate(count));
    Ok(Answered { queries, runs, background: Background { corpora: vec![collection.corpus], costs } })
}
