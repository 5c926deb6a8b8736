//! Stage `score`: the teacher scores large unlabelled lists, query by query (section 3.3 of the paper).
//!
//! A list holds documents shown for the query, the first documents found that were not shown, and random ones; without a
//! log, the first documents found take the place of shown ones. What is found is drawn from a range of ranks by a sampler, and
//! the table says of each document where it comes from. The queries of the training split are scored: the student never
//! learns from the others. Where nothing is judged, those are scored too, into a table of their own that systems are measured by.
//!
//! The work is cut into parts, each a file of the folder `score.parts` beside the output as soon as it is finished, so that a
//! killed run goes on where it was and several machines can share the work (`--shard`).
//!
//! Outside a pipeline, the binary scores a file of pairs with any saved cross-encoder ([`execute`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod fingerprint;
mod lists;
mod orders_file;
mod parts;
mod scores_file;
mod sources;
mod teachers;
mod weights;

use collection::{Collection, Corpus, EMBED, GENERATED, GeneratedQuery, Query, generate};
use models::{base_inputs, bi_encoder_inputs, keep_freed_memory, open_bi_encoder, scoring_precision, teacher_inputs};
use nn::bi_encoder::Side;
use nn::cross_encoder::Execution;
use pipeline::config::{self, BaseModel, RetrievalConfig, Retriever, ScoreConfig, ScoringTeacher, Validation};
use pipeline::{About, BadInput, ConfigError, Input, NothingToDo, Pipeline, RunPaths, Shard, Stage, StageContext};
use serde::Serialize;
use tables::{InputEntry, Parts, Rows};

pub use command::execute;

use crate::fingerprint::fingerprints;
use crate::lists::{Lists, Plan, Queries};
use crate::parts::Written;
use crate::teachers::Teacher;

/// What the weights of teachers are chosen by; no part depends on it.
const JUDGMENTS: Input = Input::Table { stage: "ingest", table: "judgments" };

/// Generated queries whose vectors are computed together.
const TEXTS_AT_ONCE: usize = 256;

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
    /// True if held-out queries are scored too, as nothing is judged.
    held_out: bool,
    /// How the weights of the teachers are chosen, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<Validation>,
}

impl Stage for Score {
    const NAME: &'static str = "score";
    const VERSION: u32 = 4;
    const ABOUT: About = About {
        does: "scores large lists of documents with the teacher, a list for each query of the training split, and without judgments \
               of the others",
        reads: "ingest/queries, ingest/collection, ingest/pairs, with score.choose_weights ingest/judgments; the folder \
                teacher/rank, or what [score.teacher] names; with score.generated, retrieval.dense where it finds or scores",
        writes: "teacher_scores; without judgments, held_out_scores; with score.generated, generated_queries",
        keeps: Some("the parts of the scores that are finished"),
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        Ok(Config {
            seed: pipeline.run.seed,
            precision: pipeline.run.precision,
            score: pipeline.score.clone(),
            retrieval: pipeline.retrieval.clone(),
            adapter_base: pipeline.adapter_base().cloned(),
            held_out: !pipeline.is_judged(),
            validation: pipeline.score.choose_weights.then(|| pipeline.evaluate.validation()),
        })
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let (common, of_teachers) = config.inputs(paths)?;
        Ok(common.into_iter().chain(of_teachers.into_iter().flatten()).collect())
    }

    fn commits(&self) -> bool {
        self.shard.is_none()
    }

    fn clean_up(&self, paths: &RunPaths) -> anyhow::Result<()> {
        Ok(Parts::remove(&parts::folder(paths))?)
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        match self.shard {
            Some(_) => self.score(config, context).map_err(Shard::without_force),
            None => self.score(config, context),
        }
    }
}

impl Config {
    /// What the stage reads for all teachers, and for each of them.
    fn inputs(&self, paths: &RunPaths) -> anyhow::Result<(Vec<Input>, Vec<Vec<Input>>)> {
        let mut common = collection::inputs(&self.retrieval);
        common.push(Input::Table { stage: "ingest", table: "pairs" });
        if let Some(model) = self.asked_by_vectors() {
            common.extend(bi_encoder_inputs(paths, model)?);
        }
        common.extend(self.validation.map(|_| JUDGMENTS));
        let teachers = self.score.teachers();
        let of_teachers = teachers.iter().map(|teacher| self.inputs_of(teacher, paths));
        Ok((common, of_teachers.collect::<anyhow::Result<_>>()?))
    }

    /// The bi-encoder, where generated queries need vectors.
    fn asked_by_vectors(&self) -> Option<&BaseModel> {
        let by_teachers = self.score.teacher.iter().filter_map(|teacher| teacher.retriever);
        let needed = by_teachers.chain([self.retrieval.lists]).any(|by| by != Retriever::Bm25);
        self.retrieval.dense.as_ref().filter(|_| needed && self.score.generated.is_some())
    }

    /// The vectors of generated queries; none where nothing is found by vectors.
    fn vectors(
        &self,
        context: &StageContext,
        generated: &[GeneratedQuery],
        execution: Execution,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let Some(model) = self.asked_by_vectors() else { return Ok(Vec::new()) };
        check_same_model(context)?;
        let encoder = open_bi_encoder(context.paths(), model, execution)?;
        let texts: Vec<&str> = generated.iter().map(|query| query.text.as_str()).collect();
        let mut progress = context.progress("vectors of generated queries", texts.len() as u64);
        let mut vectors = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS_AT_ONCE) {
            vectors.extend(encoder.encode(Side::Query, texts)?);
            progress.add(texts.len() as u64);
        }
        Ok(vectors)
    }

    fn inputs_of(&self, teacher: &ScoringTeacher, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let mut inputs = match teacher.is_own() {
            true => teacher_inputs(paths, self.adapter_base.as_ref())?,
            false => base_inputs(paths, teacher.ranker.as_ref())?,
        };
        let template = teacher.template().map(|path| path.to_string_lossy().into_owned());
        let scores = teacher.scores.iter().flat_map(|file| [Some(file.path.clone()), file.permutations.clone()]);
        for path in scores.flatten().chain(template) {
            if objects::is_url(&path) {
                pipeline::local_file(path.clone().into())?;
            }
            if !paths.resolve(&path).is_file() {
                Err(ConfigError::Unusable(format!(
                    "score.teacher: expected a file {path}, found none; correct the path"
                )))?;
            }
            inputs.push(Input::File(paths.resolve(&path)));
        }
        Ok(inputs)
    }
}

/// Refuses files of the bi-encoder that are others than those the documents' vectors were made with.
fn check_same_model(context: &StageContext) -> anyhow::Result<()> {
    let embed = context.input(EMBED)?;
    for InputEntry { name, digest, .. } in context.inputs() {
        let before = embed.manifest().inputs.iter().find(|entry| entry.name == *name);
        if before.is_some_and(|entry| entry.digest != *digest) {
            Err(BadInput(format!(
                "{name}: expected what {} was made from, found other contents; re-run embed",
                embed.path().display()
            )))?;
        }
    }
    Ok(())
}

/// Writes the table of the queries that were made.
fn write_generated(context: &mut StageContext, corpus: &Corpus, generated: &[GeneratedQuery]) -> anyhow::Result<()> {
    let mut table = context.create_table(GENERATED, &[])?;
    let columns = Rows::of(generated)
        .strings("query_id", |query| query.query_id.as_str())
        .strings("query", |query| query.text.as_str())
        .strings("doc_id", |query| corpus.doc_id(query.document))
        .strings("source", |query| query.source);
    table.write(columns)?;
    context.finish_table(GENERATED, table)?;
    context.fact("generated_queries", generated.len());
    tracing::info!("score: {} queries made of documents", generated.len());
    Ok(())
}

impl Score {
    /// Makes the parts, and unless this process is a shard, the tables.
    fn score(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        keep_freed_memory();
        let configs = config.score.teachers();
        let parts = parts::open(context, &fingerprints(config, context)?)?;
        let ingest = context.input("ingest")?;
        let mut collection = Collection::read(|stage| context.input(stage), &config.retrieval)?;
        let generated = config.score.generated.as_ref();
        let generated = generated.map(|generated| generate(&collection.corpus, generated, config.seed));
        let execution =
            Execution { precision: scoring_precision(config.precision), batch_tokens: config.score.batch_tokens };
        if let Some(generated) = &generated {
            let vectors = config.vectors(context, generated, execution)?;
            collection = collection.with_generated(generated.iter().map(Query::from).collect(), vectors)?;
        }
        let corpus = &collection.corpus;
        let queries = Queries { held_out: config.held_out };
        let teachers =
            configs.iter().map(|teacher| Teacher::open(context, (&collection, queries), (teacher, execution)));
        let mut teachers = teachers.collect::<anyhow::Result<Vec<_>>>()?;
        let given = teachers.iter().find_map(Teacher::given);
        if let Some(given) = given.as_ref().filter(|_| teachers.len() > 1) {
            for file in teachers.iter().filter_map(Teacher::given) {
                file.check_beside_others(corpus, given)?;
            }
        }
        let plan = Plan::new(&ingest, (corpus, queries), &config.score, given.as_deref())?;
        for (teacher, parts) in teachers.iter_mut().zip(&parts) {
            let lists = Lists::new(&ingest, (&collection, queries), &config.score, (config.seed, given.clone()))?;
            parts::make_missing(context, (parts, &plan, self.shard), lists, (teacher, corpus))?;
        }
        if let Some(shard) = self.shard {
            tracing::info!("score: shard {shard} is finished; when all are, score without --shard writes the table");
            return Ok(());
        }
        if let Some(generated) = &generated {
            write_generated(context, corpus, generated)?;
        }
        if let Some(validation) = &config.validation {
            weights::choose(context, &mut teachers, &collection, validation)?;
        }
        let averaging = (&teachers[..], config.score.standardise_over);
        let written = parts::write_tables(context, (&parts, plan.parts().len()), averaging, (corpus, queries))?;
        let Written { lists, pairs, held_out_lists, sources } = written;
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
        if config.held_out {
            context.fact("held_out_lists", held_out_lists);
        }
        context.fact("queries_without_list", without_list);
        context.fact("sources", sources.fact());
        Ok(())
    }
}
