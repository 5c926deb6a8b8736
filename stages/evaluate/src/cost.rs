//! What a model costs: its size, and the time it takes for a query. Times are those of a machine and a moment, so that they stand in
//! the report alone, which no stage reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nn::text::Texts;
use serde::{Deserialize, Serialize};

/// Documents of a query that time is measured for.
pub(crate) const LIST_SIZES: [usize; 2] = [1, 10];

/// Passes that a median needs beside the first one.
const FEWEST_PASSES: usize = 3;
/// How long passes go on, and how long they may take to be enough for a median.
const SECONDS: f64 = 0.15;
const MOST_SECONDS: f64 = 1.0;
/// A list that is expected to take longer is not scored.
const LONGEST_PASS: f64 = 5.0;

/// What a model costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// The system.
    pub(crate) system: String,
    /// Numbers in its weights.
    pub(crate) parameters: usize,
    /// Size of its folder.
    pub(crate) bytes: u64,
    /// Median milliseconds for a pair where a query has each of [`LIST_SIZES`] documents; `None` where that was not measured.
    pub(crate) milliseconds: [Option<f64>; 2],
    /// Threads it ran on.
    pub(crate) threads: usize,
}

/// Milliseconds for a pair by the number of documents of a query, with `score` for one list. Lists are taken from `queries`, whose
/// documents are repeated up to that number.
///
/// # Errors
/// Those of `score`.
pub(crate) fn milliseconds(
    queries: &[Vec<Texts<'_>>],
    mut score: impl FnMut(&[Texts<'_>]) -> anyhow::Result<()>,
) -> anyhow::Result<[Option<f64>; 2]> {
    let mut measured = [None; 2];
    let mut pair_seconds = 0.0;
    for (size, measured) in LIST_SIZES.into_iter().zip(&mut measured) {
        let filled = queries.iter().filter(|documents| !documents.is_empty());
        let lists: Vec<Vec<Texts>> =
            filled.map(|documents| documents.iter().copied().cycle().take(size).collect()).collect();
        if lists.is_empty() || pair_seconds * size as f64 > LONGEST_PASS {
            break;
        }
        pair_seconds = median(passes(&lists, &mut score)?) / size as f64;
        *measured = Some(1000.0 * pair_seconds);
    }
    Ok(measured)
}

/// Seconds of the passes; without the first, which warms up, where there are others.
fn passes(
    lists: &[Vec<Texts<'_>>],
    score: &mut impl FnMut(&[Texts<'_>]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    let (begin, mut seconds) = (Instant::now(), Vec::new());
    for list in lists.iter().cycle() {
        let started = Instant::now();
        score(list)?;
        seconds.push(started.elapsed().as_secs_f64());
        let spent = begin.elapsed().as_secs_f64();
        if spent >= MOST_SECONDS || (spent >= SECONDS && seconds.len() > FEWEST_PASSES) {
            break;
        }
    }
    if seconds.len() > 1 {
        seconds.remove(0);
    }
    Ok(seconds)
}

/// The lower of two middle values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// A cost in a file, with a digest of what decided it: a model is not opened for its time alone.
#[derive(Debug)]
pub(crate) struct KeptCost {
    path: PathBuf,
    decides: String,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    decides: String,
    cost: Cost,
}

impl KeptCost {
    /// The one of a folder of parts.
    pub(crate) fn of(folder: &Path, decides: String) -> KeptCost {
        KeptCost { path: folder.join("cost.json"), decides }
    }

    /// What was measured before; `None` where it was not, or of something else.
    pub(crate) fn read(&self) -> Option<Cost> {
        let contents: Contents = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        (contents.decides == self.decides).then_some(contents.cost)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, cost: &Cost) -> anyhow::Result<()> {
        let contents = Contents { decides: self.decides.clone(), cost: cost.clone() };
        Ok(files::write_atomically(&self.path, &serde_json::to_vec(&contents)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(title: &str) -> Texts<'_> {
        Texts { query: "q", title, summary: "" }
    }

    #[test]
    fn lists_of_each_size_are_real_documents() {
        let queries = [vec![texts("a"), texts("b")], Vec::new(), vec![texts("c")]];
        let mut found: Vec<String> = Vec::new();
        let measured = milliseconds(&queries, |list| {
            let titles: Vec<&str> = list.iter().map(|texts| texts.title).collect();
            found.push(titles.concat());
            Ok(())
        });
        assert!(measured.unwrap().iter().all(|found| found.is_some_and(|found| found >= 0.0)));
        found.dedup();
        assert_eq!(found[..3], ["a", "c", "a"]);
        found.retain(|titles| titles.len() > 1);
        assert_eq!(found[..2], ["ababababab", "cccccccccc"]);
        assert_eq!(milliseconds(&[Vec::new()], |_| Ok(())).unwrap(), [None, None]);
        assert!(milliseconds(&queries, |_| anyhow::bail!("no")).is_err());
    }

    #[test]
    fn a_slow_model_is_not_given_ten_documents() {
        let mut sizes = Vec::new();
        let measured = milliseconds(&[vec![texts("a")]], |list| {
            sizes.push(list.len());
            std::thread::sleep(std::time::Duration::from_millis(600));
            Ok(())
        });
        assert_eq!(sizes, [1, 1]);
        let [one, ten] = measured.unwrap();
        assert!(one.is_some_and(|one| one >= 600.0) && ten.is_none());
    }

    #[test]
    fn the_median_leaves_out_what_disturbed_a_pass() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
    }

    #[test]
    fn what_is_kept_is_of_the_same_model_and_threads() {
        let folder = tempfile::tempdir().unwrap();
        let cost = Cost { system: "s".into(), parameters: 3, bytes: 4, milliseconds: [Some(0.5), None], threads: 2 };
        let kept = |decides: &str| KeptCost::of(folder.path(), decides.into());
        assert_eq!(kept("a").read(), None);
        kept("a").write(&cost).unwrap();
        assert_eq!((kept("a").read(), kept("b").read()), (Some(cost), None));
    }
}
