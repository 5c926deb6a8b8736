//! Logs simulated from the position-based model: how near estimates come to it, and whether they help.

use std::num::NonZeroUsize;

use rand::RngExt;

use super::*;
use crate::rng::stream;
use crate::significance::{Interval, bootstrap_mean};

/// Impressions from which on a document takes part in the comparison of rates. On few impressions the naive rate gains
/// from the engine's order, which it contains: rarely shown documents are poor on average, and debiasing removes that.
const OFTEN: u64 = 100;
/// Results of a page.
const PAGE: usize = 10;
/// Documents of a query, of which a page shows the best.
const CANDIDATES: usize = 15;

/// A search engine and its users.
#[derive(Debug, Clone, Copy)]
struct Scenario<'a> {
    /// The chance that each position is looked at.
    examination: &'a [f64],
    searches: usize,
    queries: usize,
    /// How much the engine's order varies from one search of a query to the next.
    noise: f64,
    seed: u64,
}

/// Counts of a simulated log, and what its documents are worth.
struct Log {
    /// By item, which is a document of a query.
    cells: Vec<Cell>,
    /// The attractiveness of each item.
    appeals: Vec<f64>,
}

impl Scenario<'_> {
    /// Queries come by Zipf's law. The engine scores each document by the log-odds of its attractiveness and an error
    /// of its own, which orders a query with a Kendall's tau of about 0.4; Gumbel noise moves documents from search to
    /// search.
    fn simulate(&self) -> Log {
        let mut rng = stream(self.seed, "simulated/documents", 0);
        let items = self.queries * CANDIDATES;
        let appeals: Vec<f64> = (0..items).map(|_| 0.02 + 0.88 * rng.random::<f64>().powi(3)).collect();
        let score = |appeal: &f64| (appeal / (1.0 - appeal)).ln() + rng.random_range(-3.0..3.0);
        let scores: Vec<f64> = appeals.iter().map(score).collect();
        let frequencies: Vec<f64> = (1..=self.queries)
            .scan(0.0, |sum, rank| {
                *sum += 1.0 / rank as f64;
                Some(*sum)
            })
            .collect();
        let users = PositionBased::new(self.examination.to_vec()).unwrap();
        let mut rng = stream(self.seed, "simulated/searches", 0);
        let mut counts = vec![[(0, 0); PAGE]; items];
        for _ in 0..self.searches {
            let point = rng.random::<f64>() * frequencies[self.queries - 1];
            let query = frequencies.partition_point(|&sum| sum <= point).min(self.queries - 1);
            let noisy = |item: usize| {
                let gumbel = -(-(1.0 - rng.random::<f64>()).ln()).ln();
                (scores[item] + self.noise * gumbel, item)
            };
            let mut ranked: Vec<(f64, usize)> = (query * CANDIDATES..(query + 1) * CANDIDATES).map(noisy).collect();
            ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            let appeal = |&(_, item): &(f64, usize)| Appeal { attractiveness: appeals[item], satisfaction: 0.0 };
            let page: Vec<Appeal> = ranked[..PAGE].iter().map(appeal).collect();
            for (index, click) in users.clicks(&page, &mut rng).into_iter().enumerate() {
                let (shown, clicked) = &mut counts[ranked[index].1][index];
                *shown += 1;
                *clicked += u64::from(click.clicked);
            }
        }
        let shown = |item: usize, index: usize| {
            let (impressions, clicks) = counts[item][index];
            (impressions > 0).then(|| Cell::new(item, index + 1, impressions, clicks).unwrap())
        };
        let cells = (0..items).flat_map(|item| (0..PAGE).filter_map(move |index| shown(item, index)));
        Log { cells: cells.collect(), appeals }
    }
}

/// Shapes of position bias: slow and fast decay, a first position that is often overlooked, steps below the fold and
/// below advertisements, and an eye-catching second position.
fn shapes() -> [(&'static str, Vec<f64>); 6] {
    let decay = |eta: f64, top: f64| (1..=PAGE).map(|k| top * (k as f64).powf(-eta)).collect();
    [
        ("1/k^0.3", decay(0.3, 1.0)),
        ("1/k^0.7", decay(0.7, 1.0)),
        ("1/k^1.5", decay(1.5, 1.0)),
        ("0.6/k^0.7", decay(0.7, 0.6)),
        ("steps", vec![1.0, 0.95, 0.9, 0.4, 0.38, 0.36, 0.3, 0.15, 0.1, 0.12]),
        ("second first", vec![0.7, 0.9, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.3]),
    ]
}

/// The largest error of an examination.
fn error(found: &Propensity, truth: &[f64]) -> f64 {
    let relative = truth.iter().map(|theta| theta / truth[0]);
    found.examination.iter().zip(relative).map(|(found, truth)| (found - truth).abs()).fold(0.0, f64::max)
}

/// Kendall's tau with the true appeal, of the naive and of the debiased rates of each query, averaged over queries.
struct Order {
    naive: (f64, Interval),
    debiased: (f64, Interval),
    gain: (f64, Interval),
}

fn order(log: &Log, model: &Propensity) -> Order {
    let prior = {
        let clicks: u64 = log.cells.iter().map(Cell::clicks).sum();
        clicks as f64 / model.examinations(&log.cells)
    };
    let queries = log.cells.chunk_by(|a, b| a.item() / CANDIDATES == b.item() / CANDIDATES);
    let taus = queries.filter_map(|query| {
        let (mut naive, mut debiased) = (vec![], vec![]);
        for item in query.chunk_by(|a, b| a.item() == b.item()) {
            let clicks: u64 = item.iter().map(Cell::clicks).sum();
            let shown: u64 = item.iter().map(Cell::impressions).sum();
            if shown < OFTEN {
                continue;
            }
            let appeal = log.appeals[item[0].item()];
            naive.push((clicks as f64 / shown as f64, appeal));
            debiased.push((debiased_ctr(clicks, model.examinations(item), prior, 1.0)?, appeal));
        }
        Some((kendall_tau(&naive)?, kendall_tau(&debiased)?))
    });
    let (naive, debiased): (Vec<f64>, Vec<f64>) = taus.unzip();
    let gain: Vec<f64> = debiased.iter().zip(&naive).map(|(debiased, naive)| debiased - naive).collect();
    let mean = |values: &[f64]| {
        let interval = bootstrap_mean(values, NonZeroUsize::new(1000).unwrap(), 1).unwrap();
        (values.iter().sum::<f64>() / values.len() as f64, interval)
    };
    Order { naive: mean(&naive), debiased: mean(&debiased), gain: mean(&gain) }
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |(mean, Interval { low, high }): (f64, Interval)| format!("{mean:.4} [{low:.4}, {high:.4}]");
        write!(f, "tau naive {}, debiased {}, gain {}", part(self.naive), part(self.debiased), part(self.gain))
    }
}

#[test]
fn propensities_of_a_simulated_log_are_near_the_truth() {
    for (name, truth) in shapes() {
        let scenario = Scenario { examination: &truth, searches: 60_000, queries: 200, noise: 1.0, seed: 1 };
        let log = scenario.simulate();
        let estimate = Propensity::estimate(&log.cells, 100).unwrap();
        let order = order(&log, &estimate);
        let harvest = Propensity::harvest(&log.cells).unwrap();
        println!("{name}: estimate {:.4}, harvest {:.4}, {order}", error(&estimate, &truth), error(&harvest, &truth));
        assert!(error(&estimate, &truth) < 0.03, "{name}: {:?}", estimate.examination);
        assert!(error(&harvest, &truth) < 0.08, "{name}: {:?}", harvest.examination);
        assert!(order.gain.1.low > 0.0, "{name}: {order}");
    }
}

#[test]
#[ignore = "a timing, of a release build on an idle processor"]
fn a_million_cells_take_less_than_a_second() {
    let mut rng = stream(1, "simulated/cells", 0);
    let mut cell = |index: usize| {
        let (item, position) = (index / 5, index / 5 % 6 + index % 5 + 1);
        let impressions = rng.random_range(1..50);
        let clicks = (impressions as f64 * rng.random::<f64>() / position as f64) as u64;
        Cell::new(item, position, impressions, clicks).unwrap()
    };
    let cells: Vec<Cell> = (0..1_000_000).map(&mut cell).collect();
    let start = std::time::Instant::now();
    Propensity::estimate(&cells, 100).unwrap();
    let estimate = start.elapsed();
    Propensity::harvest(&cells).unwrap();
    let harvest = start.elapsed() - estimate;
    println!("estimate {estimate:?}, harvest {harvest:?}");
    assert!(estimate.as_secs_f64() < 1.0 && harvest.as_secs_f64() < 1.0);
}

/// Minutes; `cargo test --release -p ranking -- --ignored --nocapture` prints the figures.
#[test]
#[ignore = "minutes"]
fn propensities_of_a_million_searches_are_near_the_truth() {
    for noise in [1.0, 0.3] {
        for (name, truth) in shapes() {
            let scenario = Scenario { examination: &truth, searches: 1_000_000, queries: 3000, noise, seed: 1 };
            let log = scenario.simulate();
            let start = std::time::Instant::now();
            let estimate = Propensity::estimate(&log.cells, 100).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            let order = order(&log, &estimate);
            let harvest = Propensity::harvest(&log.cells).unwrap();
            let errors = [error(&estimate, &truth), error(&harvest, &truth)];
            let cells = log.cells.len();
            println!("noise {noise}, {name}: {cells} cells, {seconds:.2} s, errors {errors:.4?}, {order}");
            assert!(errors.iter().all(|&error| error < 0.03), "{name}: {errors:?}");
            assert!(order.gain.1.low > 0.0, "{name}: {order}");
        }
    }
}
