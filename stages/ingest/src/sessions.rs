//! Sessions as a whole: robots, sessions that are too large to be one visitor's, and queries of few users.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use pipeline::config::CleanConfig;
use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::{Put, Take};
use crate::parallel::{self, locked, unlocked};
use crate::spill::{Spill, SpillWriter};

/// A session is a robot's by its click rate only if it has at least this many shown results.
const MIN_ROBOT_RESULTS: u64 = 20;

const PARTITIONS: usize = 64;

/// Searches by session, on disk.
#[derive(Debug)]
pub(crate) struct Sessions(Spill);

/// Counts of one session.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    searches: u64,
    results: u64,
    clicks: u64,
}

impl Counts {
    /// Adds a search with so many results and clicks.
    pub(crate) fn add(&mut self, results: u64, clicks: u64) {
        self.searches += 1;
        self.results += results;
        self.clicks += clicks;
    }
}

/// What the sessions show.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// [`hash`] of the sessions of robots.
    pub(crate) robots: HashSet<u64>,
    /// The session with the most shown results, and their number.
    pub(crate) largest: Option<(u64, String)>,
}

impl Found {
    /// Notes a session.
    pub(crate) fn note(&mut self, session: &str, counts: Counts, config: &CleanConfig) {
        let click_rate = counts.clicks as f64 / counts.results as f64;
        let many_clicks = counts.results >= MIN_ROBOT_RESULTS && click_rate > config.max_session_click_rate;
        if counts.searches > config.max_searches_per_session as u64 || many_clicks {
            self.robots.insert(hash(session));
        }
        if self.largest.as_ref().is_none_or(|(most, _)| counts.results >= *most) {
            self.largest = larger(self.largest.take(), Some((counts.results, session.to_string())));
        }
    }
}

/// The limits of sessions. Clicks alone have a rate of 1, whoever made them.
pub(crate) fn limits(clean: &CleanConfig, clicks_only: bool) -> CleanConfig {
    let max_session_click_rate = if clicks_only { 1.0 } else { clean.max_session_click_rate };
    CleanConfig { max_session_click_rate, ..clean.clone() }
}

/// The number that stands for a session.
pub(crate) fn hash(session: &str) -> u64 {
    xxh3_64(session.as_bytes())
}

impl Sessions {
    pub(crate) fn create(folder: &Path) -> Result<Sessions> {
        Ok(Sessions(Spill::create(folder, "sessions.spill", PARTITIONS)?))
    }

    pub(crate) fn writer(&self) -> SessionWriter<'_> {
        SessionWriter(self.0.writer())
    }

    /// Counts all sessions.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn count(&self, config: &CleanConfig, threads: usize) -> Result<Found> {
        let found = Mutex::new(Found::default());
        let begin = Found::default;
        parallel::for_each(
            PARTITIONS,
            threads,
            begin,
            |own, partition| self.partition(config, partition, own),
            |own| {
                let mut all = locked(&found);
                all.robots.extend(own.robots);
                all.largest = larger(all.largest.take(), own.largest);
                Ok(())
            },
        )?;
        Ok(unlocked(found))
    }

    fn partition(&self, config: &CleanConfig, partition: usize, found: &mut Found) -> Result<()> {
        let bytes = self.0.read(partition)?;
        let mut sessions: HashMap<&str, Counts> = HashMap::new();
        let mut records = Take(&bytes);
        while !records.is_empty() {
            let counts = sessions.entry(records.text()).or_default();
            let results = u64::from(records.u32());
            counts.add(results, u64::from(records.u32()));
        }
        sessions.into_iter().for_each(|(session, counts)| found.note(session, counts, config));
        Ok(())
    }
}

/// The larger of two sessions; of two of one size, the first in byte-wise order.
fn larger(a: Option<(u64, String)>, b: Option<(u64, String)>) -> Option<(u64, String)> {
    let key = |(results, session): &(u64, String)| (u64::MAX - results, session.clone());
    a.into_iter().chain(b).min_by_key(key)
}

/// Collects the searches of one thread.
#[derive(Debug)]
pub(crate) struct SessionWriter<'s>(SpillWriter<'s>);

impl SessionWriter<'_> {
    /// Adds a search with its numbers of results and of clicks.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn push(&mut self, session: &str, results: usize, clicks: usize) -> Result<()> {
        self.0.push(hash(session) as usize % PARTITIONS, |record| {
            record.put_text(session);
            record.put_u32(results as u32);
            record.put_u32(clicks as u32);
        })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn finish(self) -> Result<()> {
        self.0.finish()
    }
}

/// Pairs of queries and users, on disk, by query.
#[derive(Debug)]
pub(crate) struct QueryUsers(Spill);

impl QueryUsers {
    pub(crate) fn create(folder: &Path) -> Result<QueryUsers> {
        Ok(QueryUsers(Spill::create(folder, "users.spill", PARTITIONS)?))
    }

    pub(crate) fn writer(&self) -> QueryUserWriter<'_> {
        QueryUserWriter(self.0.writer())
    }

    /// By query: true if fewer than `least` users asked it.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn rare(&self, queries: usize, least: usize) -> Result<Vec<bool>> {
        let mut rare = vec![true; queries];
        for partition in 0..PARTITIONS {
            let bytes = self.0.read(partition)?;
            let mut records = Take(&bytes);
            let mut pairs = Vec::with_capacity(bytes.len() / 12);
            while !records.is_empty() {
                pairs.push((records.u32(), records.u64()));
            }
            pairs.sort_unstable();
            pairs.dedup();
            for of_query in pairs.chunk_by(|a, b| a.0 == b.0) {
                rare[of_query[0].0 as usize] = of_query.len() < least;
            }
        }
        Ok(rare)
    }
}

/// Collects the pairs of one thread.
#[derive(Debug)]
pub(crate) struct QueryUserWriter<'s>(SpillWriter<'s>);

impl QueryUserWriter<'_> {
    /// Adds a user of a query.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn push(&mut self, query: u32, user: &str) -> Result<()> {
        self.0.push(query as usize % PARTITIONS, |record| {
            record.put_u32(query);
            record.put_u64(hash(user));
        })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn finish(self) -> Result<()> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robots_search_or_click_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::create(folder.path()).unwrap();
        let mut writer = sessions.writer();
        (0..3).for_each(|_| writer.push("many", 1, 0).unwrap());
        // 17 of 20 clicked is too much, 16 is not, and 10 of 10 is too short to tell.
        writer.push("clicks", 20, 17).unwrap();
        writer.push("fewer", 20, 16).unwrap();
        writer.push("short", 10, 10).unwrap();
        writer.finish().unwrap();
        let config = CleanConfig { max_searches_per_session: 2, ..CleanConfig::default() };
        let found = sessions.count(&config, 2).unwrap();
        assert_eq!(found.robots, HashSet::from(["many", "clicks"].map(hash)));
        assert_eq!(found.largest, Some((20, "clicks".into())));
    }

    #[test]
    fn users_of_a_query_are_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let users = QueryUsers::create(folder.path()).unwrap();
        let mut writer = users.writer();
        for (query, user) in [(0, "a"), (0, "a"), (1, "a"), (1, "b"), (65, "a")] {
            writer.push(query, user).unwrap();
        }
        writer.finish().unwrap();
        let rare = users.rare(66, 2).unwrap();
        assert_eq!((rare[0], rare[1], rare[2], rare[65]), (true, false, true, true));
    }
}
