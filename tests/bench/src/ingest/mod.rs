//! The stage `ingest` beside the same work as one DuckDB script and one polars script, in turn.

mod events;
mod pipeline_file;
mod sides;
mod sink;
mod texts;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;

use self::events::Shape;
use self::sides::{Sides, Usage};
use self::sink::Format;
use crate::record::{self, Comparison};
use crate::{peers, python};

pub(crate) use self::sides::measured;

/// A name that the table has for a quantity, and its value.
type Quantity = (&'static str, fn(&Usage) -> f64);

/// Quantities of a [`Usage`].
const QUANTITIES: [Quantity; 3] = [
    ("seconds", |usage| usage.seconds),
    ("cpu_seconds", |usage| usage.cpu_seconds),
    ("peak_bytes", |usage| usage.peak_bytes as f64),
];
/// Rounds of the larger log at most.
const LARGER_ROUNDS: u32 = 3;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Ingest {
    /// Results shown in the made-up log, without the events that are logged again
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    impressions: u64,
    /// Documents; one for 20 impressions by default
    #[arg(long, value_parser = clap::value_parser!(u64).range(100..=5_000_000))]
    documents: Option<u64>,
    /// The format of log and documents; may be given again. All by default
    #[arg(long, value_name = "NAME")]
    format: Vec<Format>,
    /// Seed of the log
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Rounds of each side, in turn, after one that does not count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of each side; one for each core by default
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Afterwards, our side alone on a log so many times as large; 1 leaves that out
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100))]
    larger: u64,
    /// Where the log is made: 8 GB for each 40 million impressions. The system's temporary folder by default
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The program that is measured; that beside this one by default
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The pipeline whose run the results are added to, as table `benchmarks`
    #[arg(long, default_value = "pipeline.toml", value_name = "FILE")]
    config: PathBuf,
}

impl Ingest {
    /// Measures, prints tables and adds them to the run's.
    pub(crate) fn run(&self) -> Result<()> {
        let run = pipeline::config::load(&self.config, &[])?.paths().run_dir();
        let threads = match self.threads {
            Some(threads) => threads as usize,
            None => std::thread::available_parallelism().context("counting cores")?.get(),
        };
        let temporary = match &self.folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        let folder = temporary.context("making a temporary folder")?;
        let sides = Sides::new(self.program.clone(), python::interpreter()?, folder.path(), threads)?;
        let formats = if self.format.is_empty() { Format::value_variants() } else { &self.format };
        let mut comparisons = Vec::new();
        for &format in formats {
            let found = self.compare(&sides, format, folder.path())?;
            println!("{}", peers::table(&found));
            print_fastest(format, &found);
            comparisons.extend(found);
        }
        if formats.len() > 1 {
            println!("{}", peers::table(&comparisons));
        }
        let config = json!({ "rounds": self.rounds, "threads": threads, "impressions": self.impressions });
        record::append(&run, &comparisons, config)?;
        Ok(())
    }

    /// Time and memory of every side for a format, and of ours for the larger log.
    fn compare(&self, sides: &Sides, format: Format, folder: &Path) -> Result<Vec<Comparison>> {
        let data = self.data(format, 1, sides.threads(), folder)?;
        let counts = sides::NAMES.map(|side| sides.counted(side, format, &data));
        sides::agree(&counts.into_iter().collect::<Result<Vec<_>>>()?)?;
        let mut usages = sides::NAMES.map(|_| Vec::new());
        for _ in 0..self.rounds {
            for (side, usages) in sides::NAMES.into_iter().zip(&mut usages) {
                usages.push(sides.round(side, format, &data)?);
            }
        }
        remove(&data)?;
        let [ours, peers @ ..] = usages;
        let work = format!("ingest-{}", format.name());
        let mut comparisons = Vec::new();
        for (peer, theirs) in sides::NAMES[1..].iter().zip(&peers) {
            comparisons.extend(compared(&work, peer, sides.threads(), &ours, theirs));
        }
        if self.larger > 1 {
            let data = self.data(format, self.larger, sides.threads(), folder)?;
            let rounds = 0..self.rounds.min(LARGER_ROUNDS);
            let larger = rounds.map(|_| sides.round(sides::NAMES[0], format, &data)).collect::<Result<Vec<_>>>()?;
            remove(&data)?;
            let work = format!("{work}-x{}", self.larger);
            comparisons.extend(compared(&work, "disranker, the log once", sides.threads(), &larger, &ours));
        }
        Ok(comparisons)
    }

    /// Makes log, documents and pipeline file; returns their folder.
    fn data(&self, format: Format, times: u64, threads: usize, folder: &Path) -> Result<PathBuf> {
        let data = folder.join(format!("{}-{times}", format.name()));
        let documents = self.documents.unwrap_or((self.impressions / 20).clamp(100, 5_000_000));
        let shape = Shape { impressions: self.impressions * times, documents, seed: self.seed };
        eprintln!("making a log of {} impressions as {}", shape.impressions, format.name());
        sink::write(&data, format, &shape)?;
        python::write(&data.join(pipeline_file::NAME), &pipeline_file::text(format, threads))?;
        Ok(data)
    }
}

fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).with_context(|| format!("{}: removing failed", folder.display()))
}

/// A comparison for each quantity.
fn compared(work: &str, peer: &str, threads: usize, ours: &[Usage], theirs: &[Usage]) -> Vec<Comparison> {
    let comparison = |(quantity, of): Quantity| Comparison {
        work: work.to_owned(),
        quantity,
        peer: peer.to_owned(),
        precision: "-".to_owned(),
        threads,
        rounds: ours.iter().zip(theirs).map(|(ours, theirs)| (of(ours), of(theirs))).collect(),
    };
    QUANTITIES.into_iter().map(comparison).collect()
}

/// Says how we compare with the faster peer.
fn print_fastest(format: Format, comparisons: &[Comparison]) {
    for quantity in ["seconds", "cpu_seconds"] {
        let peers =
            comparisons.iter().filter(|row| row.quantity == quantity && sides::NAMES[1..].contains(&&*row.peer));
        let Some(fastest) = peers.min_by(|a, b| a.theirs().total_cmp(&b.theirs())) else { continue };
        let share = fastest.ours() / fastest.theirs();
        println!("{}: {share:.2} of the {quantity} of {}, the faster peer", format.name(), fastest.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantity_is_compared_round_by_round() {
        let usage = |seconds| Usage { seconds, cpu_seconds: 2.0 * seconds, peak_bytes: 10 };
        let found = compared("w", "p", 2, &[usage(1.0), usage(2.0)], &[usage(4.0), usage(6.0)]);
        let rounds: Vec<_> = found.iter().map(|row| (row.quantity, row.rounds[1])).collect();
        assert_eq!(rounds, [("seconds", (2.0, 6.0)), ("cpu_seconds", (4.0, 12.0)), ("peak_bytes", (10.0, 10.0))]);
    }
}
