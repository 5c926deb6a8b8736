//! A made-up click log, line by line in the order in which a server would write it.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, Zipf};
use ranking::rng::stream;

use super::texts;

/// Days of the log, a file each.
pub(crate) const DAYS: usize = 7;
const DAY_MS: i64 = 86_400_000;
/// Results of a search.
const PAGE: usize = 10;
/// Documents that a query's results are taken from.
const POOL: u64 = 14;
/// Distinct queries: with this exponent, a million searches use about 390,000 of them.
const QUERIES: f64 = 1e6;
const QUERY_EXPONENT: f64 = 0.8;
/// Each of so many sessions is a robot's: one that searches too much, one that clicks too much.
const SEARCHING_ROBOT: (u64, u64) = (60_000, 7);
const CLICKING_ROBOT: (u64, u64) = (30_000, 11);
const ROBOT_SEARCHES: u32 = 150;

/// Shares of what makes the log dirty.
const EMPTY_QUERIES: f64 = 0.002;
const LONG_QUERIES: f64 = 0.0005;
const BAD_POSITIONS: f64 = 0.001;
const UNKNOWN_DOCUMENTS: f64 = 0.003;
const LOGGED_TWICE: f64 = 0.005;
const LATER_CLICKS: f64 = 0.005;

/// Size and seed of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) impressions: u64,
    pub(crate) documents: u64,
    pub(crate) seed: u64,
}

/// What the lines of one result page share.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) search_id: String,
    pub(crate) session_id: String,
    pub(crate) user_id: String,
    /// As the user typed it.
    pub(crate) query: String,
}

/// A shown result, or an event that repeats it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Number of the document; those from [`Shape::documents`] on are in no table.
    pub(crate) document: u64,
    /// From 1; a malformed line has none.
    pub(crate) position: Option<u32>,
    pub(crate) clicked: bool,
    /// Tenths of a second.
    pub(crate) dwell: Option<u32>,
    /// Milliseconds since the first day's start.
    pub(crate) shown_at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Visitor {
    Person,
    SearchingRobot,
    ClickingRobot,
}

#[derive(Debug)]
struct Session {
    number: u64,
    visitor: Visitor,
    /// Searches to come.
    left: u32,
}

/// What happens at a time.
enum Event {
    Search(Session),
    Line(Rc<Page>, Row),
}

/// Makes the log, and visits each line with its day from 0.
///
/// # Errors
/// What `visit` returns.
pub(crate) fn each(shape: &Shape, visit: &mut dyn FnMut(usize, &Page, &Row) -> Result<()>) -> Result<()> {
    let mut log = Log {
        shape: *shape,
        rng: stream(shape.seed, "log", 0),
        queries: Zipf::new(QUERIES, QUERY_EXPONENT).context("the distribution of queries")?,
        dwell: LogNormal::new(35f64.ln(), 1.0).context("the distribution of dwell times")?,
        waiting: BTreeMap::new(),
        events: 0,
    };
    let searches = shape.impressions.div_ceil(PAGE as u64);
    // A person searches three times on average.
    let gap = (DAYS as i64 * DAY_MS) as f64 * 3.0 / searches as f64;
    let (mut planned, mut sessions) = (0, 0);
    loop {
        let start = (sessions as f64 * gap) as i64;
        let next = log.waiting.first_entry().map(|entry| entry.key().0);
        if planned < searches && next.is_none_or(|next| start <= next) {
            let session = log.session(sessions, (searches - planned) as u32);
            planned += u64::from(session.left);
            sessions += 1;
            log.wait(start, Event::Search(session));
            continue;
        }
        let Some(((time, _), event)) = log.waiting.pop_first() else { return Ok(()) };
        let day = ((time / DAY_MS) as usize).min(DAYS - 1);
        match event {
            Event::Line(page, row) => visit(day, &page, &row)?,
            Event::Search(session) => log.search(time, session, &mut |page, row| visit(day, page, row))?,
        }
    }
}

struct Log {
    shape: Shape,
    rng: ChaCha8Rng,
    queries: Zipf<f64>,
    dwell: LogNormal<f64>,
    /// By time, in milliseconds, and number.
    waiting: BTreeMap<(i64, u64), Event>,
    events: u64,
}

impl Log {
    fn wait(&mut self, time: i64, event: Event) {
        self.waiting.insert((time, self.events), event);
        self.events += 1;
    }

    fn session(&mut self, number: u64, most: u32) -> Session {
        let is = |(every, at): (u64, u64)| number % every == at;
        let visitor = match () {
            () if is(SEARCHING_ROBOT) => Visitor::SearchingRobot,
            () if is(CLICKING_ROBOT) => Visitor::ClickingRobot,
            () => Visitor::Person,
        };
        let mut left = match visitor {
            Visitor::SearchingRobot => ROBOT_SEARCHES,
            Visitor::ClickingRobot => 4,
            Visitor::Person => 1,
        };
        while visitor == Visitor::Person && self.rng.random_bool(2.0 / 3.0) {
            left += 1;
        }
        Session { number, visitor, left: left.min(most) }
    }

    /// Writes a result page, and puts off what follows from it.
    fn search(
        &mut self,
        time: i64,
        mut session: Session,
        visit: &mut dyn FnMut(&Page, &Row) -> Result<()>,
    ) -> Result<()> {
        let rank = self.queries.sample(&mut self.rng) as u64;
        let page = Rc::new(self.page(&session, rank));
        let documents = self.results(rank);
        for (at, &document) in documents.iter().enumerate() {
            let mut row = Row { document, position: Some(at as u32 + 1), clicked: false, dwell: None, shown_at: time };
            row.clicked = match session.visitor {
                Visitor::ClickingRobot => true,
                _ => self.rng.random_bool(click_probability(rank, document, at)),
            };
            if row.clicked {
                let tenths = (10.0 * self.dwell.sample(&mut self.rng)).round();
                row.dwell = Some(tenths.min(18_000.0) as u32);
            }
            if session.visitor == Visitor::Person {
                self.dirty(&page, &mut row);
            }
            visit(&page, &row)?;
        }
        session.left -= 1;
        if session.left > 0 {
            let pause = self.rng.random_range(5_000..120_000);
            self.wait(time + pause, Event::Search(session));
        }
        Ok(())
    }

    /// Spoils a line, or adds a later one, each to a small share of all; no line gets two of them.
    fn dirty(&mut self, page: &Rc<Page>, row: &mut Row) {
        let chance: f64 = self.rng.random();
        let twice = BAD_POSITIONS + UNKNOWN_DOCUMENTS;
        if chance < BAD_POSITIONS {
            row.position = None;
        } else if chance < twice {
            row.document = self.shape.documents + self.rng.random_range(0..10_000);
        } else if chance < twice + LOGGED_TWICE {
            let delay = self.rng.random_range(0..60_000);
            self.wait(row.shown_at + delay, Event::Line(Rc::clone(page), *row));
        } else if row.clicked && self.rng.random_bool(LATER_CLICKS) {
            let delay = self.rng.random_range(500..300_000);
            let click = Row { shown_at: row.shown_at + delay, ..*row };
            self.wait(click.shown_at, Event::Line(Rc::clone(page), click));
            (row.clicked, row.dwell) = (false, None);
        }
    }

    fn page(&mut self, session: &Session, rank: u64) -> Page {
        let of = |part| texts::hash(session.number ^ self.shape.seed.rotate_left(32), part);
        let (session_id, user_id) = (format!("{:016x}", of(0)), format!("u{}", of(1) % (1 << 40)));
        let search_id = format!("{:016x}", self.rng.next_u64());
        let chance: f64 = self.rng.random();
        let query = match session.visitor {
            Visitor::Person if chance < EMPTY_QUERIES => ["", "  "][(rank % 2) as usize].to_owned(),
            Visitor::Person if chance < EMPTY_QUERIES + LONG_QUERIES => texts::long_query(rank),
            _ => self.typed(&texts::query(rank)),
        };
        Page { search_id, session_id, user_id, query }
    }

    /// A query as people type it.
    fn typed(&mut self, query: &str) -> String {
        match self.rng.random_range(0..10) {
            0 => query.to_ascii_uppercase(),
            1 => query.replace(' ', "  "),
            2 => format!("{query} "),
            3 => format!(" {query}"),
            4 | 5 => {
                let mut query = query.to_owned();
                if let Some(first) = query.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                query
            }
            _ => query.to_owned(),
        }
    }

    /// The documents of a page, none twice: the query's own, in nearly the same order each time.
    fn results(&mut self, rank: u64) -> Vec<u64> {
        let mut documents = Vec::with_capacity(POOL as usize);
        for part in 0..POOL {
            let mut document = texts::skewed(texts::hash(rank, 100 + part), self.shape.documents);
            while documents.contains(&document) {
                document = (document + 1) % self.shape.documents;
            }
            documents.push(document);
        }
        for _ in 0..6 {
            let at = self.rng.random_range(1..documents.len());
            documents.swap(at - 1, at);
        }
        documents.truncate(PAGE);
        documents
    }
}

/// Attractiveness of the document for the query, times the examination of a position from 0.
fn click_probability(rank: u64, document: u64, at: usize) -> f64 {
    let attractiveness = texts::hash(rank, document) as f64 / u64::MAX as f64;
    0.5 * attractiveness * ((at + 1) as f64).powf(-0.7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(shape: &Shape) -> Vec<String> {
        let mut lines = Vec::new();
        each(shape, &mut |day, page, row| {
            lines.push(format!("{day} {page:?} {row:?}"));
            Ok(())
        })
        .unwrap();
        lines
    }

    #[test]
    fn equal_seeds_give_equal_logs() {
        let shape = Shape { impressions: 5_000, documents: 300, seed: 1 };
        assert_eq!(lines(&shape), lines(&shape));
        assert_ne!(lines(&shape), lines(&Shape { seed: 2, ..shape }));
    }

    #[test]
    fn the_log_has_every_kind_of_line() {
        let shape = Shape { impressions: 100_000, documents: 5_000, seed: 42 };
        let (mut rows, mut clicks, mut bad, mut unknown, mut empty) = (0u32, 0u32, 0u32, 0u32, 0u32);
        let mut days = [0; DAYS];
        let mut latest = 0;
        each(&shape, &mut |day, page, row| {
            rows += 1;
            clicks += u32::from(row.clicked);
            bad += u32::from(row.position.is_none());
            unknown += u32::from(row.document >= shape.documents);
            empty += u32::from(page.query.trim().is_empty());
            days[day] += 1;
            latest = latest.max(row.shown_at);
            assert_eq!(row.clicked, row.dwell.is_some());
            Ok(())
        })
        .unwrap();
        assert!((100_300..101_000).contains(&rows), "{rows}");
        assert!((8_000..16_000).contains(&clicks), "{clicks}");
        assert!((50..200).contains(&bad) && (200..400).contains(&unknown) && empty > 50, "{bad} {unknown} {empty}");
        assert!(days.iter().all(|&day| day > 1_000) && latest < 9 * DAY_MS, "{days:?} {latest}");
    }
}
