//! The `simulate` stage: a click log to develop and test on.
//!
//! Visitors whose behaviour is known search a made-up world, or a BEIR collection, and leave what real visitors leave:
//! position-biased clicks, dwell times, abandoned pages, robots and duplicate events. The grades that stand behind the
//! clicks are written too, for judged queries as judgments and for everything shown as `truth/`, which only tests read.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod beir;
mod calendar;
mod collection;
mod engine;
mod judges;
mod lexicon;
mod prose;
mod visitors;
mod world;
mod writer;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;
use pipeline::config::{SimulateConfig, WorldConfig};
use pipeline::{ConfigError, Input, Pipeline, Stage, StageRun};
use ranking::rng::stream;

use crate::engine::Engine;
use crate::visitors::{Search, Visit, Visitors};
use crate::world::World;
use crate::writer::{JsonLines, Place};

/// The stage.
#[derive(Debug, Clone, Copy)]
pub struct Simulate;

impl Stage for Simulate {
    const NAME: &'static str = "simulate";

    fn not_configured(&self, pipeline: &Pipeline) -> Option<String> {
        let absent = pipeline.simulate.is_none();
        absent.then(|| "the pipeline file has no [simulate] table, so its logs are real".to_string())
    }

    fn inputs(&self, pipeline: &Pipeline) -> anyhow::Result<Vec<Input>> {
        let collection = pipeline.simulate.as_ref().and_then(|config| config.collection.as_ref());
        let files = collection.map(|folder| beir::files(&pipeline.resolve(folder)));
        Ok(files.into_iter().flatten().map(Input::File).collect())
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        let config = run
            .pipeline()
            .simulate
            .clone()
            .ok_or_else(|| ConfigError::Unusable("simulate: expected a [simulate] table, found none".into()))?;
        match &config.collection {
            Some(folder) => {
                let folder = run.pipeline().resolve(folder);
                visit_collection(run, &config, &folder)
            }
            None => visit_world(run, &config, &config.world.clone().unwrap_or_default()),
        }
    }
}

fn visit_collection(run: &mut StageRun, config: &SimulateConfig, folder: &Path) -> anyhow::Result<()> {
    let (collection, judged) = beir::read(folder, run.seed())?;
    let engine = Engine::new(&collection, config.results_per_page, config.semantic_share, config.results_per_page)?;
    write_log(run, config, &engine)?;
    writer::write_judgments(run.out(), &collection, &judged)
}

fn visit_world(run: &mut StageRun, config: &SimulateConfig, world: &WorldConfig) -> anyhow::Result<()> {
    let World { lexicon, collection } = World::generate(world, run.seed())?;
    let depth = config.results_per_page.max(world.judged_documents);
    let engine = Engine::new(&collection, config.results_per_page, config.semantic_share, depth)?;
    let shown = write_log(run, config, &engine)?;
    let judged = judges::judge(&engine, &shown, world, run.seed());
    writer::write_judgments(run.out(), &collection, &judged)?;
    writer::write_lexicon(&run.out().join("truth"), &lexicon)
}

/// Lets the visitors search; writes the documents, the log and the truth behind it, and returns the (query, document)
/// pairs that were shown.
fn write_log(run: &mut StageRun, config: &SimulateConfig, engine: &Engine) -> anyhow::Result<BTreeSet<(usize, usize)>> {
    let (log, truth) = (run.out().join("log"), run.out().join("truth"));
    for folder in [&log, &truth] {
        fs::create_dir_all(folder).with_context(|| format!("{}: creating failed", folder.display()))?;
    }
    let visitors = Visitors::new(engine, config, run.seed())?;
    let mut progress = run.progress("searches", config.searches as u64);
    let mut tally = Tally::default();
    let mut sessions = 0;
    for day in 0..config.days {
        let first = day * config.searches / config.days;
        let after = (day + 1) * config.searches / config.days;
        let mut rng = stream(run.seed(), "simulate/duplicates", day as u64);
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
    writer::write_documents(run.out(), engine.collection())?;
    writer::write_grades(&truth, engine.collection(), &tally.pairs)?;
    writer::write_click_model(&truth, config, engine.page_size())?;
    Ok(tally.note(run))
}

/// What the log holds.
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

    /// Notes the figures in the manifest; returns the pairs that were shown.
    fn note(self, run: &mut StageRun) -> BTreeSet<(usize, usize)> {
        run.fact("searches", self.searches);
        run.fact("shown", self.shown);
        run.fact("clicks", self.clicks);
        run.fact("robots", self.robots.len());
        run.fact("duplicates", self.duplicates);
        run.fact("abandoned", self.abandoned);
        self.pairs
    }
}
