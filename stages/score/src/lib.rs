//! Stage `score`: the teacher scores large unlabelled lists, query by query (section 3.3 of the paper).
//!
//! A list holds documents shown for the query, the first documents found that were not shown, and random ones; without a
//! log, the first documents found take the place of shown ones. What is found is drawn from a range of ranks by a sampler, and
//! the table says of each document where it comes from. Only queries of the training split are scored: the student never
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
mod scores_file;
mod shard;
mod sources;
mod teachers;

use collection::Collection;
use models::{arithmetic, base_inputs, keep_freed_memory, teacher_inputs};
use nn::cross_encoder::Execution;
use pipeline::config::{self, BaseModel, RetrievalConfig, ScoreConfig};
use pipeline::{About, BadInput, ConfigError, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use serde::Serialize;
use tables::Parts;

pub use command::execute;

use crate::lists::{Lists, Plan};
use crate::parts::Written;
use crate::shard::Shard;
use crate::teachers::Teacher;

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
    const VERSION: u32 = 3;
    const ABOUT: About = About {
        does: "scores large lists of documents with the teacher, a list for each query of the training split",
        reads: "ingest/queries, ingest/collection, ingest/pairs; the folder teacher/rank, or what [score.teacher] names",
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
        for teacher in config.score.teachers() {
            if teacher.is_own() {
                inputs.extend(teacher_inputs(paths, config.adapter_base.as_ref())?);
            } else {
                inputs.extend(base_inputs(paths, teacher.ranker.as_ref())?);
            }
            let template = teacher.template().map(|path| path.to_string_lossy().into_owned());
            for path in teacher.scores.as_ref().map(|file| file.path.clone()).into_iter().chain(template) {
                if !paths.resolve(&path).is_file() {
                    Err(ConfigError::Unusable(format!(
                        "score.teacher: expected a file {path}, found none; correct the path"
                    )))?;
                }
                inputs.push(Input::File(paths.resolve(&path)));
            }
        }
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
        let configs = config.score.teachers();
        let parts = parts::open(context, configs.len())?;
        let ingest = context.input("ingest")?;
        let collection = Collection::read(|stage| context.input(stage), &config.retrieval)?;
        let execution = Execution { precision: arithmetic(config.precision), batch_tokens: config.score.batch_tokens };
        let corpus = &collection.corpus;
        let teachers = configs.iter().map(|teacher| Teacher::open(context, corpus, (teacher, execution)));
        let mut teachers = teachers.collect::<anyhow::Result<Vec<_>>>()?;
        let given = teachers.iter().find_map(Teacher::given);
        if let Some(given) = given.as_ref().filter(|_| teachers.len() > 1) {
            for file in teachers.iter().filter_map(Teacher::given) {
                file.check_beside_others(corpus, given)?;
            }
        }
        let plan = Plan::new(&ingest, corpus, &config.score, given.as_deref())?;
        for (teacher, parts) in teachers.iter_mut().zip(&parts) {
            let lists = Lists::new(&ingest, &collection, &config.score, (config.seed, given.clone()))?;
            parts::make_missing(context, (parts, &plan, self.shard), lists, (teacher, corpus))?;
        }
        if let Some(shard) = self.shard {
            tracing::info!("score: shard {shard} is finished; when all are, score without --shard writes the table");
            return Ok(());
        }
        let Written { lists, pairs, sources } = parts::write_table(context, &parts, plan.parts().len(), &teachers)?;
        if let (0, Some(file)) = (lists, configs.iter().find_map(|teacher| teacher.scores.as_ref())) {
            Err(BadInput(format!(
                "{}: expected scores of at least two documents of a training query, found one for each; add scores",
                file.path
            )))?;
        }
        if lists == 0 {
            Err(BadInput(format!(
                "{}: expected training queries with at least two documents, shown or found, found none; ingest more log or \
                 judgments, or look at ingest.analyzer, retrieval.lists and score.random_documents",
                ingest.path().display()
            )))?;
        }
        let without_list = plan.lists() - lists;
        if without_list > 0 {
            tracing::info!("score: queries left out, as they have fewer than two documents: {without_list}");
        }
        tracing::info!("score: documents by source: {sources}");
        context.fact("lists", lists);
        context.fact("pairs", pairs);
        context.fact("queries_without_list", without_list);
        context.fact("sources", sources.fact());
        Ok(())
    }
}
