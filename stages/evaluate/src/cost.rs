//! What a model costs: its size, and the time it takes for a query. Times are those of a machine and a moment, so that they stand in
//! the report alone, which no stage reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nn::text::Texts;
use serde::{Deserialize, Serialize};

/// Documents of a query that time is measured for.
pub(crate) const LIST_SIZES: [usize; 2] = [1, 10];

/// How long passes over the lists go on.
const SECONDS: f64 = 0.2;
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
    /// Milliseconds for a pair where a query has each of [`LIST_SIZES`] documents; `None` where that was not measured.
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
        pair_seconds = seconds(&lists, &mut score)? / size as f64;
        *measured = Some(1000.0 * pair_seconds);
    }
    Ok(measured)
}

/// Seconds for a list: the fastest pass over each, which other processes disturb least, and the mean of these. Lists that there was
/// no time for are left out.
fn seconds(
    lists: &[Vec<Texts<'_>>],
    score: &mut impl FnMut(&[Texts<'_>]) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut timed = |list: &[Texts<'_>]| {
        let started = Instant::now();
        score(list).map(|()| started.elapsed().as_secs_f64())
    };
    let Some(first) = lists.first() else { return Ok(0.0) };
    // It warms up, but is all there is of a slow model.
    let first = timed(first)?;
    if first >= SECONDS {
        return Ok(first);
    }
    let (begin, mut fastest) = (Instant::now(), vec![f64::INFINITY; lists.len()]);
    for place in (0..lists.len()).cycle() {
        fastest[place] = timed(&lists[place])?.min(fastest[place]);
        if begin.elapsed().as_secs_f64() >= SECONDS {
            break;
        }
    }
    fastest.retain(|seconds| seconds.is_finite());
    Ok(fastest.iter().sum::<f64>() / fastest.len() as f64)
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
        assert_eq!(sizes, [1]);
        let [one, ten] = measured.unwrap();
        assert!(one.is_some_and(|one| one >= 600.0) && ten.is_none());
    }

    #[test]
    fn a_disturbed_pass_does_not_count() {
        let mut calls = 0;
        let lists = [vec![texts("a")], vec![texts("b")]];
        let found = seconds(&lists, &mut |list: &[Texts<'_>]| {
            calls += 1;
            let milliseconds = if calls % 5 == 0 {
                30
            } else if list[0].title == "a" {
                2
            } else {
                4
            };
            std::thread::sleep(std::time::Duration::from_millis(milliseconds));
            Ok(())
        });
        // The mean of 2 and 4 ms, with what a sleep takes longer.
        assert!((0.003..0.02).contains(&found.unwrap()), "{calls} calls");
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
