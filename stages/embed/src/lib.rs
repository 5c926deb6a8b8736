//! Stage `embed`: the vectors of all queries and documents by a bi-encoder, for dense retrieval. Without `retrieval.dense`
//! there is nothing to do.
//!
//! A document is read as its title and summary, joined by a space.

use anyhow::Context;
use collection::{Corpus, DOCUMENT_VECTORS, QUERY_VECTORS, VECTORS, VectorSource, VectorsWriter};
use models::{bi_encoder_inputs, keep_freed_memory, open_bi_encoder, scoring_precision};
use nn::bi_encoder::{BiEncoder, Side};
use nn::cross_encoder::Execution;
use pipeline::config::{BaseModel, Precision};
use pipeline::{About, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use serde::Serialize;

/// Texts that are turned into vectors between two writes.
const TEXTS_PER_WRITE: usize = 256;

/// The stage.
#[derive(Debug)]
pub struct Embed;

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Serialize)]
pub struct Config {
    precision: Precision,
    model: BaseModel,
    /// Tokens of one forward pass, as `score` has it.
    batch_tokens: usize,
}

impl Stage for Embed {
    const NAME: &'static str = "embed";
    const VERSION: u32 = 2;
    const ABOUT: About = About {
        does: "turns queries and documents into vectors, for dense retrieval; nothing without retrieval.dense",
        reads: "ingest/queries, ingest/collection; retrieval.dense",
        writes: "the folder vectors",
        keeps: None,
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        let absent = || NothingToDo("the pipeline file names no model retrieval.dense".to_string());
        Ok(Config {
            precision: pipeline.run.precision,
            model: pipeline.retrieval.dense.clone().ok_or_else(absent)?,
            batch_tokens: pipeline.score.batch_tokens,
        })
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let mut inputs = vec![
            Input::Table { stage: "ingest", table: "queries" },
            Input::Folder { stage: "ingest", folder: search::FOLDER },
        ];
        inputs.extend(bi_encoder_inputs(paths, &config.model)?);
        Ok(inputs)
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        keep_freed_memory();
        let corpus = Corpus::read(&context.input("ingest")?)?;
        let execution = Execution { precision: scoring_precision(config.precision), batch_tokens: config.batch_tokens };
        let encoder = open_bi_encoder(context.paths(), &config.model, execution)?;
        let out = context.out().join(VECTORS);
        std::fs::create_dir_all(&out).with_context(|| format!("{}: creating failed", out.display()))?;
        let source = |texts| VectorSource { model: String::from(config.model.clone()), texts };
        let (queries, documents) = (corpus.queries.len(), corpus.documents().len());
        let mut progress = context.progress("embed", (queries + documents) as u64);

        let text = |query: usize| corpus.queries[query].text.clone();
        let file = (out.join(QUERY_VECTORS), source(corpus.digest_of_queries()));
        write(&encoder, Side::Query, file, (queries, text), |count| progress.add(count))?;
        let text = |document: usize| format!("{} {}", corpus.title(document), corpus.summary(document));
        let file = (out.join(DOCUMENT_VECTORS), source(corpus.documents().digest().to_string()));
        write(&encoder, Side::Document, file, (documents, text), |count| progress.add(count))?;
        drop(progress);
        context.fact("queries", queries);
        context.fact("documents", documents);
        Ok(())
    }
}

/// Writes the vectors of numbered texts.
fn write(
    encoder: &BiEncoder,
    side: Side,
    (path, source): (std::path::PathBuf, VectorSource),
    (count, text): (usize, impl Fn(usize) -> String),
    mut progress: impl FnMut(u64),
) -> anyhow::Result<()> {
    let mut writer: Option<VectorsWriter> = None;
    for first in (0..count).step_by(TEXTS_PER_WRITE) {
        let texts: Vec<String> = (first..count.min(first + TEXTS_PER_WRITE)).map(&text).collect();
        for vector in encoder.encode(side, &texts)? {
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(VectorsWriter::create(&path, source.clone(), (count, vector.len()))?),
            };
            writer.push(&vector)?;
        }
        progress(texts.len() as u64);
    }
    match writer {
        Some(writer) => writer.finish(),
        None => VectorsWriter::create(&path, source, (0, 0))?.finish(),
    }
}
