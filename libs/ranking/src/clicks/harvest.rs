use super::links::{Links, items, moves, sorted};
use super::propensity::{RANGE, TOLERANCE};
use super::squarem::{Step, climb};
use super::{Cell, ClickError, Propensity};

/// The most positions that are harvested: time and memory grow with their square.
const MOST_POSITIONS: usize = 1000;

/// The most steps of the maximisation.
const STEPS: usize = 10_000;

/// What the items shown at both of two positions say, `c` of the paper for both orders of the two.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Swap {
    /// The two positions, from 0.
    positions: [usize; 2],
    /// How many items were shown at both.
    items: f64,
    /// The sum of the click-through rates of these items at each of the two.
    rates: [f64; 2],
}

impl Propensity {
    /// Estimates the examination of each position by intervention harvesting, with the estimator AllPairs.
    ///
    /// An item that was shown at `k` and at `k'` is an experiment that nobody had to run. With `S(k, k')` the items
    /// shown at both, `c(k; k, k') = sum over S(k, k') of clicks(i, k) / w(i, k)` and `n(k; k, k')` the same of the
    /// impressions without a click, the estimate is the `p` of the `p` and `r`, with `r(k, k') = r(k', k)`, all from 0
    /// to 1, that maximise `sum over k and k' != k of c ln(p(k) r(k, k')) + n ln(1 - p(k) r(k, k'))`. The weight `w(i,
    /// k)` is the number of impressions of `i` at `k`, so that `c` is a sum of click-through rates and each item counts
    /// the same however often it was shown. Rare items are therefore as loud as frequent ones: on a log with many of
    /// them the estimate varies more than that of [`estimate`](Self::estimate).
    ///
    /// Positions are treated as by [`estimate`](Self::estimate) where the log does not tell them apart.
    ///
    /// Agarwal et al., "Estimating Position Bias without Intrusive Interventions", WSDM 2019.
    ///
    /// # Errors
    /// [`ClickError::NothingAtTop`] without impressions at position 1, [`ClickError::NoClicks`] without a click,
    /// [`ClickError::NoItemMoves`] if no clicked item was shown at two positions, and [`ClickError::TooLarge`] on a
    /// position past 1000.
    pub fn harvest(cells: &[Cell]) -> Result<Self, ClickError> {
        let links = Links::new(cells)?;
        let positions = links.clicks.len();
        if positions > MOST_POSITIONS {
            let (most, found) = (MOST_POSITIONS as u64, positions as u64);
            return Err(ClickError::TooLarge { what: "position to harvest", most, found });
        }
        let swaps = swaps(&sorted(cells), positions);
        let start = links.clicks.iter().map(|&clicks| if clicks > 0.0 { 0.5 } else { 0.0 }).collect();
        let examination = climb(start, STEPS, TOLERANCE, |examination| step(&swaps, examination));
        Ok(Self::completed(&links, examination))
    }
}

/// The swaps of all pairs of positions that share an item; `cells` are sorted by item and position.
fn swaps(cells: &[Cell], positions: usize) -> Vec<Swap> {
    let mut swaps = vec![Swap::default(); positions * positions];
    let mut rates: Vec<(usize, f64)> = vec![];
    for item in items(cells).filter(|item| moves(item)) {
        rates.clear();
        rates.extend(item.chunk_by(|a, b| a.index() == b.index()).filter_map(click_through_rate));
        for (nth, &(k, rate)) in rates.iter().enumerate() {
            for &(other, other_rate) in &rates[nth + 1..] {
                let swap = &mut swaps[k * positions + other];
                swap.positions = [k, other];
                swap.items += 1.0;
                swap.rates[0] += rate;
                swap.rates[1] += other_rate;
            }
        }
    }
    swaps.retain(|swap| swap.items > 0.0);
    swaps
}

/// Position, from 0, and click-through rate of the cells of one item at one position.
fn click_through_rate(cells: &[Cell]) -> Option<(usize, f64)> {
    let impressions: u64 = cells.iter().map(Cell::impressions).sum();
    let clicks: u64 = cells.iter().map(Cell::clicks).sum();
    (impressions > 0).then(|| (cells[0].index(), clicks as f64 / impressions as f64))
}

/// One step: the best relevance of each swap, then a step of expectation-maximisation on the examinations.
fn step(swaps: &[Swap], examination: &[f64]) -> Step {
    let (mut examined, mut shown) = (vec![0.0; examination.len()], vec![0.0; examination.len()]);
    let mut height = 0.0;
    for swap in swaps {
        let relevance = relevance(swap, examination);
        for (index, clicked) in swap.positions.into_iter().zip(swap.rates) {
            let (theta, unclicked) = (examination[index], swap.items - clicked);
            let click = theta * relevance;
            let looked = if click < 1.0 { theta * (1.0 - relevance) / (1.0 - click) } else { 0.0 };
            examined[index] += clicked + unclicked * looked;
            shown[index] += swap.items;
            height += weighted_log(clicked, click) + weighted_log(unclicked, 1.0 - click);
        }
    }
    let next = |((&before, examined), shown): ((&f64, f64), f64)| match before > 0.0 && shown > 0.0 {
        true => (examined / shown).clamp(RANGE.0, 1.0),
        false => before,
    };
    Step { next: examination.iter().zip(examined).zip(shown).map(next).collect(), height }
}

/// The relevance, at most 1, under which the rates of a swap are most likely: the smaller root of the quadratic
/// equation that sets the derivative to 0.
fn relevance(swap: &Swap, examination: &[f64]) -> f64 {
    let [a, b] = swap.positions.map(|index| examination[index]);
    let clicks = swap.rates[0] + swap.rates[1];
    if clicks == 0.0 {
        return 0.0;
    }
    let linear = swap.rates[0] * b + swap.rates[1] * a + swap.items * (a + b);
    let discriminant = linear * linear - 8.0 * swap.items * a * b * clicks;
    (2.0 * clicks / (linear + discriminant.max(0.0).sqrt())).min(1.0)
}

/// `weight * ln(value)`, 0 without weight.
fn weighted_log(weight: f64, value: f64) -> f64 {
    if weight > 0.0 { weight * value.ln() } else { 0.0 }
}
