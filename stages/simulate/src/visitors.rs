//! Simulated visitors: sessions, searches, clicks and dwell times.

use pipeline::config::{ClickConfig, ClickModelKind, SimulateConfig};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use ranking::clicks::{Appeal, Click, ClickError, ClickModel, DynamicBayesian, PositionBased};
use ranking::rng::stream;

use crate::calendar::DAY;
use crate::engine::Engine;

/// Probability that an examined result is clicked, by grade, before noise.
const ATTRACTIVENESS: [f64; 5] = [0.0, 0.06, 0.3, 0.65, 0.9];
/// Probability that a click satisfies, by grade.
const SATISFACTION: [f64; 5] = [0.03, 0.1, 0.4, 0.7, 0.9];
/// The most searches of a human session.
const SEARCHES_PER_SESSION: usize = 4;
/// Searches of an average user over the whole log.
const SEARCHES_PER_USER: usize = 20;
/// A robot sees at least this many results.
const ROBOT_RESULTS: usize = 25;
/// Probability that a robot clicks a result.
const ROBOT_CLICK: f64 = 0.97;
/// Seconds at the end of a day in which no session begins, so that none continues on the next day.
const LAST_HOUR: u32 = 3600;

/// One search with its page and clicks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Search {
    /// Number of the session.
    pub(crate) session: u64,
    /// Number of the user.
    pub(crate) user: usize,
    /// Number of the query.
    pub(crate) query: usize,
    /// Time, in seconds of the day.
    pub(crate) second: u32,
    /// The page, best position first.
    pub(crate) results: Vec<ShownResult>,
    /// The kind of visit.
    pub(crate) visit: Visit,
}

/// A result on a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ShownResult {
    /// Number of the document.
    pub(crate) document: usize,
    /// Seconds the visitor stayed, if the visitor clicked.
    pub(crate) dwell_seconds: Option<f64>,
}

/// The kind of visit that a search belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    /// A person who examines the page.
    Human,
    /// A person who leaves without examining the page.
    Abandoned,
    /// A robot.
    Robot,
}

/// The visitors of a search engine.
pub(crate) struct Visitors<'a> {
    engine: &'a Engine<'a>,
    clicks: &'a ClickConfig,
    model: Box<dyn ClickModel>,
    appeals: [Appeal; 5],
    /// Sums of the frequencies of the queries up to each of them.
    frequencies: Vec<f64>,
    users: usize,
    seed: u64,
}

impl<'a> Visitors<'a> {
    /// Visitors with the configured behaviour.
    ///
    /// # Errors
    /// [`ClickError`] on a probability outside of 0 to 1.
    pub(crate) fn new(
        engine: &'a Engine<'a>,
        config: &'a SimulateConfig,
        seed: u64,
    ) -> Result<Visitors<'a>, ClickError> {
        let model: Box<dyn ClickModel> = match config.clicks.model {
            ClickModelKind::PositionBased => Box::new(PositionBased::new(examination(config, engine.page_size()))?),
            ClickModelKind::DynamicBayesian => Box::new(DynamicBayesian::new(config.clicks.continuation)?),
        };
        let queries = 1..=engine.collection().queries.len();
        let frequencies = queries.scan(0.0, |sum, rank| {
            *sum += (rank as f64).powf(-config.zipf_exponent);
            Some(*sum)
        });
        Ok(Visitors {
            engine,
            clicks: &config.clicks,
            model,
            appeals: appeals(config.clicks.noise),
            frequencies: frequencies.collect(),
            users: (config.searches / SEARCHES_PER_USER).max(1),
            seed,
        })
    }

    /// Exactly `searches` searches of one day in order of time; `sessions` is the running number of sessions of all days.
    pub(crate) fn day(&self, searches: usize, sessions: &mut u64) -> Vec<Search> {
        let mut day = Vec::with_capacity(searches);
        while day.len() < searches {
            day.extend(self.session(*sessions, searches - day.len()));
            *sessions += 1;
        }
        day.sort_by_key(|search| (search.second, search.session));
        day
    }

    /// A session of at most `most` searches.
    fn session(&self, session: u64, most: usize) -> Vec<Search> {
        let mut rng = stream(self.seed, "simulate/session", session);
        let robot_searches = ROBOT_RESULTS.div_ceil(self.engine.page_size()) + rng.random_range(0..3);
        let robot = rng.random_bool(self.clicks.robots) && robot_searches <= most;
        let (searches, pause) = match robot {
            true => (robot_searches, 2..=6),
            false => (rng.random_range(1..=SEARCHES_PER_SESSION.min(most)), 20..=300),
        };
        let user = rng.random_range(0..self.users);
        let mut second = rng.random_range(0..DAY - LAST_HOUR);
        (0..searches)
            .map(|_| {
                second += rng.random_range(pause.clone());
                self.search(session, user, second, robot, &mut rng)
            })
            .collect()
    }

    fn search(&self, session: u64, user: usize, second: u32, robot: bool, rng: &mut ChaCha8Rng) -> Search {
        let query = self.query(rng);
        let page = self.engine.page(query, rng);
        let visit = match robot {
            true => Visit::Robot,
            false if rng.random_bool(self.clicks.abandoned) => Visit::Abandoned,
            false => Visit::Human,
        };
        let dwells = match visit {
            Visit::Human => self.human(query, &page, rng),
            Visit::Abandoned => vec![None; page.len()],
            Visit::Robot => page.iter().map(|_| robot_dwell(rng)).collect(),
        };
        let results = page.into_iter().zip(dwells);
        Search {
            session,
            user,
            query,
            second,
            results: results.map(|(document, dwell_seconds)| ShownResult { document, dwell_seconds }).collect(),
            visit,
        }
    }

    /// A query, by Zipf's law.
    fn query(&self, rng: &mut ChaCha8Rng) -> usize {
        let total = self.frequencies.last().copied().unwrap_or_default();
        let point = rng.random::<f64>() * total;
        let query = self.frequencies.partition_point(|&sum| sum <= point);
        query.min(self.frequencies.len() - 1)
    }

    /// How long a human stays on each result of a page.
    fn human(&self, query: usize, page: &[usize], rng: &mut ChaCha8Rng) -> Vec<Option<f64>> {
        let query = &self.engine.collection().queries[query];
        let appeals: Vec<Appeal> =
            page.iter().map(|&document| self.appeals[usize::from(query.grade(document))]).collect();
        let clicks = self.model.clicks(&appeals, rng);
        clicks.into_iter().map(|click| dwell(click, rng)).collect()
    }
}

/// Examination probabilities of the position-based model, from position 1.
pub(crate) fn examination(config: &SimulateConfig, page_size: usize) -> Vec<f64> {
    let chance = |position: usize| (position as f64).powf(-config.clicks.examination_exponent);
    (1..=page_size).map(chance).collect()
}

/// Click probability of an examined result by grade, where an irrelevant one is clicked with probability `noise`.
pub(crate) fn appeals(noise: f64) -> [Appeal; 5] {
    std::array::from_fn(|grade| Appeal {
        attractiveness: noise + (1.0 - noise) * ATTRACTIVENESS[grade],
        satisfaction: SATISFACTION[grade],
    })
}

/// Log-normal seconds on a clicked result: a median of 90 if it satisfied, else of 9. Of the first, 3 % are below 30
/// seconds, of the second 4 % above.
fn dwell(click: Click, rng: &mut ChaCha8Rng) -> Option<f64> {
    let (median, spread): (f64, f64) = if click.satisfied { (90.0, 0.6) } else { (9.0, 0.7) };
    click.clicked.then(|| {
        let normal: f64 = rng.sample(StandardNormal);
        tenths(median * (spread * normal).exp())
    })
}

/// How long a robot stays on a result, if it clicks it.
fn robot_dwell(rng: &mut ChaCha8Rng) -> Option<f64> {
    rng.random_bool(ROBOT_CLICK).then(|| tenths(rng.random_range(0.5..2.0)))
}

/// Rounded to tenths of a second, at least one tenth.
fn tenths(seconds: f64) -> f64 {
    ((seconds * 10.0).round() / 10.0).max(0.1)
}
