//! The table `benchmarks` of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tables::{MANIFEST_FILE, Manifest, OutputDir, Rows, StageDir, TableWriter, WriteOptions};

const STAGE: &str = "bench";
const TABLE: &str = "benchmarks";

/// A quantity measured on both sides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) work: String,
    pub(crate) quantity: &'static str,
    pub(crate) peer: String,
    /// Of our products.
    pub(crate) precision: String,
    pub(crate) threads: usize,
    /// (ours, theirs) of every round.
    pub(crate) rounds: Vec<(f64, f64)>,
}

impl Comparison {
    /// Median of our rounds.
    pub(crate) fn ours(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.0))
    }

    /// Median of the peer's rounds.
    pub(crate) fn theirs(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.1))
    }

    /// (median, smallest, largest) of theirs / ours.
    pub(crate) fn ratio(&self) -> (f64, f64, f64) {
        let ratios = || self.rounds.iter().map(|(ours, theirs)| theirs / ours);
        (median(ratios()), ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// Adds comparisons to the table of the run, which keeps those of earlier measurements.
///
/// # Errors
/// [`tables::Error`].
pub(crate) fn append(run: &Path, comparisons: &[Comparison], config: Value) -> tables::Result<()> {
    let output = OutputDir::open(run, STAGE, false)?;
    let mut table = TableWriter::create(output.path(), TABLE, WriteOptions::default(), &[])?;
    if run.join(STAGE).join(MANIFEST_FILE).exists() {
        let earlier = StageDir::open(run, STAGE)?;
        earlier.for_each_batch(TABLE, |batch| table.write_batch(&batch))?;
    }
    let mut sorted: Vec<&Comparison> = comparisons.iter().collect();
    sorted.sort_by(|a, b| (&a.work, a.quantity).cmp(&(&b.work, b.quantity)));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    table.write(columns(&sorted, now, &processor()))?;
    let tables = BTreeMap::from([(TABLE.to_owned(), table.finish()?)]);
    output.commit(Manifest {
        stage: STAGE.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        config,
        tables,
        ..Manifest::default()
    })?;
    Ok(())
}

fn columns<'a>(sorted: &'a [&Comparison], measured_at: i64, processor: &str) -> Rows<'a, &'a Comparison> {
    Rows::of(sorted)
        .timestamps("measured_at", |_| measured_at)
        .strings("work", |row| row.work.as_str())
        .strings("quantity", |row| row.quantity)
        .strings("peer", |row| row.peer.as_str())
        .strings("precision", |row| row.precision.as_str())
        .strings("processor", |_| processor)
        .int32s("threads", |row| row.threads as i32)
        .int32s("rounds", |row| row.rounds.len() as i32)
        .float64s("ours", |row| row.ours())
        .float64s("theirs", |row| row.theirs())
        .float64s("ratio", |row| row.ratio().0)
        .float64s("ratio_low", |row| row.ratio().1)
        .float64s("ratio_high", |row| row.ratio().2)
}

/// The processor's model name, where Linux tells it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(rounds: &[(f64, f64)]) -> Comparison {
        Comparison {
            work: "w".into(),
            quantity: "seconds",
            peer: "p".into(),
            precision: "f32".into(),
            threads: 2,
            rounds: rounds.to_vec(),
        }
    }

    #[test]
    fn ratios_are_of_rounds_and_medians_of_each_side() {
        let rows = comparison(&[(1.0, 4.0), (2.0, 2.0), (4.0, 8.0)]);
        assert_eq!((rows.ours(), rows.theirs()), (2.0, 4.0));
        assert_eq!(rows.ratio(), (2.0, 1.0, 4.0));
        assert_eq!(comparison(&[(1.0, 4.0), (2.0, 2.0)]).ratio().0, 2.5);
    }

    #[test]
    fn measurements_add_up() {
        let run = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            append(run.path(), &[comparison(&[(1.0, 2.0)])], Value::Null).unwrap();
        }
        let table = StageDir::open(run.path(), STAGE).unwrap().table(TABLE).unwrap();
        assert_eq!(table.float64s("ratio").unwrap().values()[..], [2.0, 2.0]);
    }
}
