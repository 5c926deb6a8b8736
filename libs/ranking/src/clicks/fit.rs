use super::links::{items, sorted};
use super::{Cell, Propensity};

/// How well examinations fit a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Each position from 1 to the last one shown.
    pub positions: Vec<PositionFit>,
    /// The log-likelihood of the clicks, in nats and without binomial coefficients, where each item has the
    /// attractiveness under which its clicks are most likely.
    pub log_likelihood: f64,
    /// The same if all positions were looked at alike: with as many examinations to choose as there are positions, the
    /// difference says whether the log shows position bias at all.
    pub log_likelihood_without_bias: f64,
}

/// Observed and expected clicks at one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PositionFit {
    /// The position, from 1.
    pub position: usize,
    /// Its examination, relative to position 1.
    pub examination: f64,
    /// Impressions there.
    pub impressions: u64,
    /// Clicks there.
    pub clicks: u64,
    /// Clicks that the model expects there: the sum over the items of impressions times examination times debiased
    /// rate, the item's clicks over its examinations. Over all positions they add up to the clicks of the log.
    pub expected_clicks: f64,
}

impl PositionFit {
    /// Clicks per impression, the naive rate of the position; `None` without impressions.
    pub fn rate(&self) -> Option<f64> {
        (self.impressions > 0).then(|| self.clicks as f64 / self.impressions as f64)
    }

    /// Expected clicks per impression; `None` without impressions.
    pub fn expected_rate(&self) -> Option<f64> {
        (self.impressions > 0).then(|| self.expected_clicks / self.impressions as f64)
    }
}

impl Propensity {
    /// Compares the clicks of `cells`, in any order, with those that the position-based model expects under these
    /// examinations. A position past the last known one takes the examination of that one.
    ///
    /// [`estimate`](Self::estimate) makes observed and expected clicks of each measured position equal on the counts
    /// that it saw: a difference then shows on other counts, or under examinations from elsewhere.
    pub fn fit(&self, cells: &[Cell]) -> Fit {
        let last = cells.iter().filter(|cell| cell.impressions() > 0).map(Cell::position).max().unwrap_or(0);
        let empty = |position| PositionFit {
            position,
            examination: self.at(position),
            impressions: 0,
            clicks: 0,
            expected_clicks: 0.0,
        };
        let mut fit =
            Fit { positions: (1..=last).map(empty).collect(), log_likelihood: 0.0, log_likelihood_without_bias: 0.0 };
        for item in items(&sorted(cells)) {
            let clicks: u64 = item.iter().map(Cell::clicks).sum();
            let rate = if clicks > 0 { clicks as f64 / self.examinations(item) } else { 0.0 };
            for cell in item.iter().filter(|cell| cell.impressions() > 0) {
                let position = &mut fit.positions[cell.index()];
                position.impressions += cell.impressions();
                position.clicks += cell.clicks();
                position.expected_clicks += cell.impressions() as f64 * position.examination * rate;
            }
            fit.log_likelihood += log_likelihood(item, |cell| self.at(cell.position()));
            fit.log_likelihood_without_bias += log_likelihood(item, |_| 1.0);
        }
        fit
    }
}

/// The log-likelihood of one item's clicks at the attractiveness that makes it largest.
fn log_likelihood(item: &[Cell], examination: impl Fn(&Cell) -> f64) -> f64 {
    let Some(attractiveness) = attractiveness(item, &examination) else { return 0.0 };
    let part = |cell: &Cell| {
        let click = (examination(cell) * attractiveness).min(1.0);
        let (clicks, unclicked) = (cell.clicks() as f64, (cell.impressions() - cell.clicks()) as f64);
        let weighted = |weight: f64, log: f64| if weight > 0.0 { weight * log } else { 0.0 };
        weighted(clicks, click.ln()) + weighted(unclicked, (-click).ln_1p())
    };
    item.iter().map(part).sum()
}

/// The most likely attractiveness of an item, such that no click is more than certain; `None` without clicks.
///
/// It is where `sum of clicks - sum of unclicked p / (1 - p)`, with `p = examination * attractiveness`, falls to 0.
fn attractiveness(item: &[Cell], examination: impl Fn(&Cell) -> f64) -> Option<f64> {
    let clicks: u64 = item.iter().map(Cell::clicks).sum();
    if clicks == 0 {
        return None;
    }
    let most = item.iter().filter(|cell| cell.impressions() > 0).map(&examination).fold(0.0, f64::max);
    let too_small = |share: f64| {
        let odds = |cell: &Cell| {
            let click = (examination(cell) / most * share).min(1.0);
            let unclicked = (cell.impressions() - cell.clicks()) as f64;
            if unclicked > 0.0 { unclicked * click / (1.0 - click) } else { 0.0 }
        };
        clicks as f64 > item.iter().map(odds).sum::<f64>()
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if too_small(middle) { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high) / most)
}

/// Halvings of the interval that holds the attractiveness: enough for ten digits.
const HALVINGS: usize = 40;
