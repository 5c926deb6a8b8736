//! The `simulate` stage: a click log to develop and test on.
//!
//! Simulated visitors search a synthetic collection or a BEIR collection, which gives a log with position-biased clicks, dwell
//! times, abandoned pages, robots and duplicate events. The true grades are written too: for judged queries as judgments,
//! and for all shown documents as `truth/`, which only tests read.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod beir;
mod calendar;
mod collection;
mod engine;
mod judges;
mod lexicon;
mod prose;
mod subject;
mod templates;
mod visitors;
mod world;
mod writer;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use analysis::{Analyzer, AnalyzerName};
use anyhow::Context;
use pipeline::config::{SimulateConfig, WorldConfig};
use pipeline::{About, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use ranking::rng::stream;
use serde::Serialize;

use crate::collection::Collection;
use crate::engine::Engine;
use crate::visitors::{Search, Visit, Visitors};
use crate::world::World;
use crate::writer::{JsonLines, Place};

/// The stage.
#[derive(Debug, Clone, Copy)]
pub struct Simulate;

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Serialize)]
pub struct Config {
    seed: u64,
    simulate: SimulateConfig,
    /// As ingest has it: the engine finds what BM25 finds.
    analyzer: AnalyzerName,
}

impl Stage for Simulate {
    const NAME: &'static str = "simulate";
    const VERSION: u32 = 2;
    const ABOUT: About = About {
        does: "makes a search engine's world, or takes a test collection, and the click log of its simulated visitors",
        reads: "nothing, or the BEIR folder simulate.collection",
        writes: "log/*.jsonl.zst, documents.jsonl.zst, queries.jsonl, qrels.tsv, and truth/ for tests",
        keeps: None,
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        let absent = || NothingToDo("the pipeline file has no [simulate] table, so its logs are real".to_string());
        Ok(Config {
            seed: pipeline.run.seed,
            simulate: pipeline.simulate.clone().ok_or_else(absent)?,
            analyzer: pipeline.ingest.analyzer,
        })
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let Some(folder) = &config.simulate.collection else { return Ok(Vec::new()) };
        Ok(beir::Files::of(&paths.resolve(folder)).all().cloned().map(Input::File).collect())
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        match &config.simulate.collection {
            Some(folder) => {
                let folder = context.paths().resolve(folder);
                visit_collection(context, config, &folder)
            }
            None => visit_world(context, config, &config.simulate.world.clone().unwrap_or_default()),
        }
    }
}

fn visit_collection(context: &mut StageContext, config: &Config, folder: &Path) -> anyhow::Result<()> {
    let (collection, judged) = beir::read(folder, config.seed)?;
    let engine = engine(config, &collection, config.simulate.results_per_page)?;
    write_log(context, config, &engine)?;
    writer::write_judgments(context.out(), &collection, &judged)
}

fn visit_world(context: &mut StageContext, config: &Config, world: &WorldConfig) -> anyhow::Result<()> {
    let World { lexicon, collection } = World::generate(world, config.seed)?;
    let engine = engine(config, &collection, config.simulate.results_per_page.max(world.judged_documents))?;
    let shown = write_log(context, config, &engine)?;
    let judged = judges::judge(&engine, &shown, world, config.seed);
    writer::write_judgments(context.out(), &collection, &judged)?;
    writer::write_lexicon(&context.out().join("truth"), &lexicon)
}

fn engine<'c>(config: &Config, collection: &'c Collection, depth: usize) -> search::Result<Engine<'c>> {
    let Config { simulate, analyzer, .. } = config;
    Engine::new(collection, &Analyzer::new(*analyzer), simulate.results_per_page, simulate.semantic_share, depth)
}

/// Runs the visitors' searches; writes the documents, the log and the true grades, and returns the (query, document) pairs
/// that were shown.
fn write_log(
    context: &mut StageContext,
    Config { seed, simulate: config, .. }: &Config,
    engine: &Engine,
) -> anyhow::Result<BTreeSet<(usize, usize)>> {
    let (log, truth) = (context.out().join("log"), context.out().join("truth"));
    for folder in [&log, &truth] {
        fs::create_dir_all(folder).with_context(|| format!("{}: creating failed", folder.display()))?;
    }
    let visitors = Visitors::new(engine, config, *seed)?;
    let mut progress = context.progress("searches", config.searches as u64);
    let mut tally = Tally::default();
    let mut sessions = 0;
    for day in 0..config.days {
        let first = day * config.searches / config.days;
        let after = (day + 1) * config.searches / config.days;
        let mut rng = stream(*seed, "simulate/duplicates", day as u64);
        let mut file = JsonLines::create(log.join(format!("day-{}.jsonl.zst", calendar::date(day))))?;
        for (search, number) in visitors.day(after - first, &mut sessions).iter().zip(first..) {
            let place = Place { search: number, day };
            tally.duplicates += writer::write_search(
                &mut file,
                engine.collection(),
                search,
                place,
                config.clicks.duplicates,
                &mut rng,
            )?;
            tally.add(search);
        }
        file.finish()?;
        progress.add((after - first) as u64);
    }
    writer::write_documents(context.out(), engine.collection())?;
    writer::write_grades(&truth, engine.collection(), &tally.pairs)?;
    writer::write_click_model(&truth, config, engine.page_size())?;
    Ok(tally.note(context))
}

/// Numbers of what the log holds.
#[derive(Debug, Default)]
struct Tally {
    searches: u64,
    shown: u64,
    clicks: u64,
    abandoned: u64,
    duplicates: u64,
    robots: BTreeSet<u64>,
    pairs: BTreeSet<(usize, usize)>,
}

impl Tally {
    fn add(&mut self, search: &Search) {
        self.searches += 1;
        self.shown += search.results.len() as u64;
        self.abandoned += u64::from(search.visit == Visit::Abandoned);
        if search.visit == Visit::Robot {
            self.robots.insert(search.session);
        }
        for result in &search.results {
            self.clicks += u64::from(result.dwell_seconds.is_some());
            self.pairs.insert((search.query, result.document));
        }
    }

    /// Writes the numbers into the manifest; returns the pairs that were shown.
    fn note(self, context: &mut StageContext) -> BTreeSet<(usize, usize)> {
        context.fact("searches", self.searches);
        context.fact("shown", self.shown);
        context.fact("clicks", self.clicks);
        context.fact("robots", self.robots.len());
        context.fact("duplicates", self.duplicates);
        context.fact("abandoned", self.abandoned);
        self.pairs
    }
}
