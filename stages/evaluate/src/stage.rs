//! The stage: what it reads, and from there to measured systems.

use pipeline::{BadInput, Input, Pipeline, Stage, StageRun};
use training::{Collection, PRECISION_KEY, TEST, VALIDATION, candidate_lists, teacher_inputs};

use crate::measure::conventions;
use crate::{SystemRun, TestQuery, evaluate, interpolation, pool, systems};

/// The stage.
#[derive(Debug)]
pub struct Evaluate;

impl Stage for Evaluate {
    const NAME: &'static str = "evaluate";

    fn inputs(&self, pipeline: &Pipeline) -> anyhow::Result<Vec<Input>> {
        if !pipeline.evaluate.pool.is_empty() {
            return Ok(pool::evaluations(pipeline)?.into_iter().map(Input::File).collect());
        }
        let table = |stage, table| Input::Table { stage, table };
        let folder = |stage, folder| Input::Folder { stage, folder };
        let mut inputs = vec![
            table("ingest", "queries"),
            table("ingest", "documents"),
            table("ingest", "impressions"),
            table("ingest", "judgments"),
            table("teacher", "training_metrics"),
            table("distill", "training_metrics"),
            folder("distill", "student"),
            folder("distill", "student_labels_only"),
        ];
        inputs.extend(teacher_inputs(pipeline)?);
        Ok(inputs)
    }

    fn config_keys(&self) -> &'static [&'static str] {
        &[PRECISION_KEY]
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        let pooled = !run.pipeline().evaluate.pool.is_empty();
        let (queries, runs) = if pooled { pool::read(run.pipeline())? } else { ranked(run)? };
        evaluate(run, &queries, &runs)
    }
}

/// The test queries, and the answers of this run's systems to them.
fn ranked(run: &StageRun) -> anyhow::Result<(Vec<TestQuery>, Vec<SystemRun>)> {
    let ingest = run.input("ingest")?;
    let collection = Collection::read(&ingest)?;
    let config = &run.pipeline().evaluate;
    let mut lists = candidate_lists(&ingest, &collection, TEST, config)?;
    let tested = lists.len();
    if config.interpolate {
        lists.extend(candidate_lists(&ingest, &collection, VALIDATION, config)?);
        if lists.len() == tested {
            Err(BadInput(format!(
                "{}: expected judged queries of the split `validation` for evaluate.interpolate, found none; judge more \
                 queries or raise ingest.split.validation, then re-run stage `ingest`",
                ingest.path().join("judgments").display()
            )))?;
        }
    }
    let mut queries: Vec<TestQuery> = lists.iter().map(|list| TestQuery::of(&collection.corpus, list)).collect();
    let mut runs = systems::runs(run, &ingest, &collection, &lists)?;
    if config.interpolate {
        runs.extend(interpolation::with_bm25(&runs, &queries, tested, &conventions(config))?);
    }
    queries.truncate(tested);
    runs.iter_mut().for_each(|run| run.scores.truncate(tested));
    Ok((queries, runs))
}
