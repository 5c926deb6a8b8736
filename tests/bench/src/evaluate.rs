//! Metrics of a large run beside `ranx` and `pytrec_eval`, in turn.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rand::RngExt;
use ranking::metrics::{Conventions, Document, Gain, Grade, JudgedList, Measurements, Metric, NoRelevant, Ranking};
use ranking::rng::{permutation, stream};
use rayon::prelude::*;
use serde_json::json;

use crate::record::{self, Comparison};
use crate::side::{Ready, Round, Side};
use crate::worker::{peak_bytes, say};
use crate::{peers, python};

const SCRIPT: &str = include_str!("../evaluate_peers.py");

/// What all sides measure, and must agree on.
const METRICS: [&str; 6] = ["ndcg@10", "map", "mrr", "precision@10", "recall@10", "success@10"];

/// Queries that a thread ranks before it measures them.
const QUERIES_AT_ONCE: usize = 16;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// Queries
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    queries: u64,
    /// Judged documents of each query, all of which the run has
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    documents: u64,
    /// Rounds of each side, in turn, after one that does not count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The pipeline whose run the results are added to, as table `benchmarks`
    #[arg(long, default_value = "pipeline.toml", value_name = "FILE")]
    config: PathBuf,
}

impl Evaluate {
    /// Measures, prints a table and adds it to the run's.
    pub(crate) fn run(&self) -> Result<()> {
        let run = pipeline::config::load(&self.config, &[])?.paths().run_dir();
        let threads = std::thread::available_parallelism().context("counting cores")?.get();
        let python = python::interpreter()?;
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let folder = folder.path();
        let script = folder.join("evaluate_peers.py");
        python::write(&script, SCRIPT)?;
        self.write_files(folder)?;
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        let (mut ours, ready) = Side::start("disranker", command.arg("measure").arg(folder), threads)?;
        let mut comparisons = Vec::new();
        for peer in ["ranx", "pytrec_eval"] {
            let mut command = Command::new(&python);
            let (mut theirs, found) = Side::start(peer, command.arg(&script).arg(peer).arg(folder), threads)?;
            agree(peer, &ready, &found)?;
            ours.round()?;
            theirs.round()?;
            let rounds = (0..self.rounds).map(|_| Ok((ours.round()?, theirs.round()?)));
            let rounds: Vec<(Round, Round)> = rounds.collect::<Result<_>>()?;
            comparisons.extend(compared(peer, threads, &rounds));
        }
        println!("{}", peers::table(&comparisons));
        let config = json!({ "queries": self.queries, "documents": self.documents, "rounds": self.rounds });
        record::append(&run, &comparisons, config)?;
        Ok(())
    }

    /// Judgments and a run of distinct scores, which say something about the grades.
    fn write_files(&self, folder: &Path) -> Result<()> {
        let (mut qrels, mut run) = (String::new(), String::new());
        for query in 0..self.queries {
            let mut rng = stream(42, "bench evaluate", query);
            for (document, noise) in permutation(&mut rng, self.documents as usize).into_iter().enumerate() {
                let grade = [0, 0, 0, 0, 0, 0, 1, 1, 2, 4][rng.random_range(0..10)];
                let score = grade * self.documents as usize / 3 + noise;
                // Distinct, and exact in f32.
                let score = score as f64 + document as f64 / 16_384.0;
                writeln!(qrels, "q{query} 0 d{document} {grade}")?;
                writeln!(run, "q{query} Q0 d{document} {score}")?;
            }
        }
        python::write(&folder.join("qrels.txt"), &qrels)?;
        python::write(&folder.join("run.txt"), &run)
    }
}

fn agree(peer: &str, ours: &Ready, theirs: &Ready) -> Result<()> {
    ensure!(ours.check.len() == theirs.check.len(), "{peer}: answered {} metrics", theirs.check.len());
    for ((name, ours), theirs) in METRICS.iter().zip(&ours.check).zip(&theirs.check) {
        if (ours - theirs).abs() > 1e-6 {
            bail!("{name} is {ours} here and {theirs} in {peer}");
        }
    }
    Ok(())
}

fn compared(peer: &str, threads: usize, rounds: &[(Round, Round)]) -> Vec<Comparison> {
    let comparison = |quantity, of: fn(&Round) -> f64| Comparison {
        work: "evaluate".to_owned(),
        quantity,
        peer: peer.to_owned(),
        precision: "-".to_owned(),
        threads,
        rounds: rounds.iter().map(|(ours, theirs)| (of(ours), of(theirs))).collect(),
    };
    vec![comparison("seconds", |round| round.seconds), comparison("peak_bytes", |round| round.peak_bytes as f64)]
}

/// A query and its documents with scores and grades.
type List = (String, Vec<(String, f64, Grade)>);

/// Our side: reads the files, then measures at every line of stdin.
pub(crate) fn measure(folder: &Path) -> Result<()> {
    let lists = read(folder)?;
    let metrics: Vec<Metric> = METRICS.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    say(&Ready { check: means(&lists, &metrics)? })?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let started = Instant::now();
        means(&lists, &metrics)?;
        say(&Round { seconds: started.elapsed().as_secs_f64(), peak_bytes: peak_bytes()?, requests: Vec::new() })?;
    }
    Ok(())
}

/// Rankings are measured while they are in the cache, some queries at a time.
fn means(lists: &[List], metrics: &[Metric]) -> Result<Vec<f64>> {
    let measured = |lists: &[List]| -> Result<Vec<f64>> {
        let rankings = lists.iter().map(ranking).collect::<Result<Vec<_>>>()?;
        let sum = |found: Measurements| found.value().unwrap_or(f64::NAN) * found.queries() as f64;
        Ok(metrics.iter().map(|metric| sum(metric.measure(&rankings))).collect())
    };
    let sums = lists.par_chunks(QUERIES_AT_ONCE).map(measured).collect::<Result<Vec<_>>>()?;
    let mean = |metric: usize| sums.iter().map(|sums| sums[metric]).sum::<f64>() / lists.len() as f64;
    Ok((0..metrics.len()).map(mean).collect())
}

fn ranking((query, rows): &List) -> Result<Ranking<'_>> {
    let conventions = Conventions { gain: Gain::Linear, no_relevant: NoRelevant::Zero, ..Conventions::default() };
    let documents = rows.iter().map(|(doc_id, score, grade)| Document { doc_id, score: *score, grade: Some(*grade) });
    let grades: Vec<Grade> = rows.iter().map(|row| row.2).collect();
    Ok(JudgedList::new(query, documents.collect(), &grades)?.ranking(&conventions))
}

fn read(folder: &Path) -> Result<Vec<List>> {
    let text = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let (qrels, run) = (text("qrels.txt")?, text("run.txt")?);
    let mut lists: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (judgment, answer) in qrels.lines().zip(run.lines()) {
        let (judgment, answer): (Vec<&str>, Vec<&str>) = (judgment.split(' ').collect(), answer.split(' ').collect());
        let ([query, _, doc_id, grade], [.., score]) = (&judgment[..], &answer[..]) else {
            bail!("a line of {judgment:?}")
        };
        lists.entry((*query).to_owned()).or_default().push(((*doc_id).to_owned(), score.parse()?, grade.parse()?));
    }
    Ok(lists.into_iter().collect())
}
