//! The stage: what it reads, and from there to measured systems.

use pipeline::{Input, Pipeline, Stage, StageRun};

use crate::candidates::{Collection, test_queries};
use crate::{evaluate, systems};

/// The stage.
#[derive(Debug)]
pub struct Evaluate;

impl Stage for Evaluate {
    const NAME: &'static str = "evaluate";

    fn inputs(&self, _: &Pipeline) -> anyhow::Result<Vec<Input>> {
        let table = |stage, table| Input::Table { stage, table };
        let folder = |stage, folder| Input::Folder { stage, folder };
        Ok(vec![
            table("ingest", "queries"),
            table("ingest", "documents"),
            table("ingest", "impressions"),
            table("ingest", "judgments"),
            table("teacher", "training_metrics"),
            table("distill", "training_metrics"),
            folder("teacher", "rank"),
            folder("distill", "student"),
            folder("distill", "student_labels_only"),
        ])
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        let ingest = run.input("ingest")?;
        let collection = Collection::read(&ingest)?;
        let (lists, queries): (Vec<_>, Vec<_>) =
            test_queries(&ingest, &collection, &run.pipeline().evaluate)?.into_iter().unzip();
        let runs = systems::runs(run, &ingest, &collection, &lists)?;
        evaluate(run, &queries, &runs)
    }
}
