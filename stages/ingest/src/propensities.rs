//! The chance that a position is examined: estimated from the log, or read from a file.

use anyhow::Result;
use pipeline::config::{DebiasConfig, DebiasMethod};
use ranking::clicks::{Cell, ClickError, Propensity, debiased_ctr};
use records::{Dialect, Field, Layout, RawFile, RawFormat, Value};

use crate::checks;
use crate::input::Source;
use crate::pairs::{CellCount, Pair, Pairs};
use crate::parallel;

/// Steps of the estimate at most; it needs a few dozen.
const ITERATIONS: usize = 500;

/// Cells of the estimate at most; of more, those of the most frequent pairs are taken.
const MAX_CELLS: usize = 1 << 21;

/// Examination of all positions, and what else the rates need.
#[derive(Debug, Clone)]
pub(crate) struct Examination {
    /// How it was found.
    pub(crate) method: &'static str,
    /// Relative to position 1, which is entry 0.
    pub(crate) by_position: Vec<f64>,
    /// By position: true if the log or the file tells the value.
    pub(crate) measured: Vec<bool>,
    /// Clicks per examination over the whole log.
    pub(crate) prior: f64,
}

impl Examination {
    /// The debiased click-through rate of a pair; `None` without any examination.
    pub(crate) fn rate(&self, pair: &Pair, prior_strength: f64) -> Option<f64> {
        let examined =
            |&(position, impressions, _): &CellCount| self.by_position[position as usize - 1] * f64::from(impressions);
        debiased_ctr(pair.clicks, pair.cells.iter().map(examined).sum(), self.prior, prior_strength)
    }
}

/// Finds the examination of each position of the log.
///
/// # Errors
/// [`pipeline::BadInput`] where nothing was shown at the top, and on a file that does not tell every position.
pub(crate) fn find(
    pairs: &Pairs,
    config: &DebiasConfig,
    file: Option<&RawFile>,
    clicks_only: bool,
    threads: usize,
) -> Result<Examination> {
    let counts = &pairs.counts;
    let found = match (config.method, file) {
        // Without unclicked results, nothing tells how often a position is examined.
        _ if clicks_only => ("none", None),
        (DebiasMethod::File, Some(file)) => ("file", Some(from_file(file)?)),
        (DebiasMethod::Harvest, _) => ("harvest", estimate(Propensity::harvest(&cells(pairs, threads)?))?),
        _ => ("likelihood", estimate(Propensity::estimate(&cells(pairs, threads)?, ITERATIONS))?),
    };
    let positions = counts.len();
    let (method, model) = match found {
        (method, Some(model)) => (method, model),
        (_, None) => ("none", Propensity::from_examinations(vec![1.0; positions.max(1)])?),
    };
    let by_position: Vec<f64> = (1..=positions).map(|position| model.at(position)).collect();
    let measured = |at| method != "none" && model.measured().get(at).copied().unwrap_or(false);
    let measured = (0..positions).map(measured).collect();
    let clicks: u64 = counts.iter().map(|count| count.1).sum();
    let examinations: f64 =
        counts.iter().zip(&by_position).map(|(count, examination)| count.0 as f64 * examination).sum();
    Ok(Examination { method, by_position, measured, prior: clicks as f64 / examinations })
}

/// A log whose positions cannot be compared has no bias that could be removed.
fn estimate(model: Result<Propensity, ClickError>) -> Result<Option<Propensity>> {
    match model {
        Ok(model) => Ok(Some(model)),
        Err(ClickError::NothingAtTop) => Err(checks::nothing_at_top().into()),
        Err(ClickError::NoClicks | ClickError::NoItemMoves) => {
            tracing::warn!(
                "log: no query has a clicked document that was shown at several positions, so that position bias cannot be told \
                 from appeal: all positions count alike"
            );
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The cells of pairs that were clicked, and shown at several positions, which alone compare them, and of the first other one
/// at the top.
fn cells(pairs: &Pairs, threads: usize) -> Result<Vec<Cell>> {
    let (mut least, mut count, mut top) = (1, 0, None);
    let mut frequent: Vec<(u64, Vec<CellCount>)> = Vec::new();
    let make = |partition| {
        let pairs = pairs.read(partition)?;
        let top = pairs.iter().map(|pair| pair.cells[0]).find(|cell| cell.0 == 1);
        let telling = pairs.into_iter().filter(|pair| pair.cells.len() > 1 && pair.clicks > 0);
        Ok((telling.map(|pair| (pair.impressions, pair.cells)).collect(), top))
    };
    let take = |(telling, first): (Vec<(u64, Vec<CellCount>)>, Option<CellCount>)| {
        top = top.or(first);
        for (impressions, cells) in telling.into_iter().filter(|&(impressions, _)| impressions >= least) {
            count += cells.len();
            frequent.push((impressions, cells));
        }
        while count > MAX_CELLS {
            least *= 2;
            frequent.retain(|&(impressions, _)| impressions >= least);
            count = frequent.iter().map(|(_, cells)| cells.len()).sum();
        }
        Ok(())
    };
    parallel::in_order(pairs.partitions(), threads, make, take)?;
    let mut all = Vec::with_capacity(count);
    for (item, cells) in frequent.into_iter().map(|(_, cells)| cells).chain(top.map(|cell| vec![cell])).enumerate() {
        for (position, impressions, clicks) in cells {
            all.push(Cell::new(item, position as usize, u64::from(impressions), u64::from(clicks))?);
        }
    }
    Ok(all)
}

/// Reads a CSV file with the columns `position` and `propensity`.
fn from_file(file: &RawFile) -> Result<Propensity> {
    let source = Source {
        files: vec![file.clone()],
        layout: Layout::new(RawFormat::Csv, &Dialect::default()),
        fields: ["position", "propensity"].map(Field::required).to_vec(),
        most: u64::MAX,
    };
    let mut known: Vec<Option<f64>> = Vec::new();
    source.read(|_, values| {
        let text = |at: usize| values.get(at).and_then(Value::text).unwrap_or_default();
        let position = crate::value::position(text(0), 1)? as usize;
        let propensity: Option<f64> = text(1).parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0);
        let propensity = propensity.ok_or("propensity is not a number above 0")?;
        known.resize(known.len().max(position), None);
        match known[position - 1].replace(propensity) {
            None => Ok(()),
            Some(_) => Err("position given twice".into()),
        }
    })?;
    let missing = known.iter().position(Option::is_none);
    if let (true, _) | (_, Some(_)) = (known.is_empty(), missing) {
        let position = missing.unwrap_or_default() + 1;
        Err(file.bad(format!(
            "expected a propensity of every position from 1, found none of position {position}; add it"
        )))?;
    }
    let model = Propensity::from_examinations(known.into_iter().flatten().collect());
    Ok(model.map_err(|error| file.bad(error.to_string()))?)
}
