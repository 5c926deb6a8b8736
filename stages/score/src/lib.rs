//! Stage `score`: the teacher scores large unlabelled lists, query by query (section 3.3 of the paper).
//!
//! A list holds documents shown for the query, the first documents found that were not shown, and random ones; without a
//! log, the first documents found take the place of shown ones. Only queries of the training split are scored: the student never
//! learns from the others.
//!
//! The work is cut into parts, each a file of the folder `score.parts` beside the output as soon as it is finished, so that a
//! killed run goes on where it was and several machines can share the work (`--shard`).
//!
//! Outside a pipeline, the binary scores a file of pairs with any saved cross-encoder ([`execute`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod lists;
mod parts;
mod shard;

use collection::Collection;
use models::{arithmetic, keep_freed_memory, teacher_inputs};
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::identity;
use pipeline::config::{self, BaseModel, RetrievalConfig, ScoreConfig};
use pipeline::{About, BadInput, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use serde::Serialize;
use tables::Parts;

pub use command::execute;

use crate::lists::{Lists, Plan};
use crate::shard::Shard;

/// The stage.
#[derive(Debug, Default)]
pub struct Score {
    /// The share of the work that this process makes; without it, all that is missing, and the output.
    shard: Option<Shard>,
}

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Serialize)]
pub struct Config {
    seed: u64,
    precision: config::Precision,
    score: ScoreConfig,
    /// What finds documents that were not shown.
    retrieval: RetrievalConfig,
    /// The base model of a teacher that is saved as an adapter.
    adapter_base: Option<BaseModel>,
}

impl Stage for Score {
    const NAME: &'static str = "score";
    const VERSION: u32 = 1;
    const ABOUT: About = About {
        does: "scores large lists of documents with the teacher, a list for each query of the training split",
        reads: "ingest/queries, ingest/collection, ingest/pairs; the folder teacher/rank",
        writes: "teacher_scores",
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        Ok(Config {
            seed: pipeline.run.seed,
            precision: pipeline.run.precision,
            score: pipeline.score.clone(),
            retrieval: pipeline.retrieval.clone(),
            adapter_base: pipeline.teacher.adapter_base().cloned(),
        })
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let ingest = |table| Input::Table { stage: "ingest", table };
        let mut inputs = collection::inputs(&config.retrieval);
        inputs.push(ingest("pairs"));
        inputs.extend(teacher_inputs(paths, config.adapter_base.as_ref())?);
        Ok(inputs)
    }

    fn commits(&self) -> bool {
        self.shard.is_none()
    }

    fn clean_up(&self, paths: &RunPaths) -> anyhow::Result<()> {
        Ok(Parts::remove(&parts::folder(paths))?)
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        keep_freed_memory();
        let parts = parts::open(context)?;
        let ingest = context.input("ingest")?;
        let collection = Collection::read(|stage| context.input(stage), &config.retrieval)?;
        let plan = Plan::new(&ingest, &collection.corpus, &config.score)?;
        let lists = Lists::new(&ingest, &collection, &config.score, config.seed)?;
        let folder = context.input("teacher")?.folder("rank")?;
        let execution = Execution { precision: arithmetic(config.precision), batch_tokens: config.score.batch_tokens };
        let teacher = CrossEncoder::open(&folder, execution)?;
        let work = (&parts, &plan, self.shard);
        parts::make_missing(context, work, lists, (&teacher, &collection.corpus))?;
        if let Some(shard) = self.shard {
            tracing::info!("score: shard {shard} is finished; when all are, score without --shard writes the table");
            return Ok(());
        }
        let (lists, pairs) = parts::write_table(context, &parts, plan.parts().len(), &identity(&folder)?)?;
        if lists == 0 {
            Err(BadInput(format!(
                "{}: expected training queries with at least two documents, shown or found, found none; ingest more log or \
                 judgments, or look at ingest.analyzer, retrieval.lists and score.random_documents",
                ingest.path().display()
            )))?;
        }
        context.fact("lists", lists);
        context.fact("pairs", pairs);
        Ok(())
    }
}
