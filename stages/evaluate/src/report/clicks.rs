//! How likely each position of the result page is examined.

use plotly::common::Marker;
use plotly::layout::RangeMode;
use plotly::{Scatter, Trace};
use tables::StageDir;

use super::chart::{Chart, FIRST, SECOND, axis, layout, mode, row};
use crate::number;

/// A row of the table `propensities`.
#[derive(Debug)]
pub(crate) struct Position {
    position: i32,
    propensity: f64,
    measured: bool,
    method: String,
    impressions: i64,
    clicks: i64,
    ctr: f64,
    expected_ctr: f64,
}

/// The positions of the log; none without one.
///
/// # Errors
/// [`tables::Error`].
pub(crate) fn read(ingest: &StageDir) -> tables::Result<Vec<Position>> {
    let table = ingest.table("propensities")?;
    let (positions, propensities) = (table.int32s("position")?, table.float64s("propensity")?);
    let (methods, measured) = (table.strings("method")?, table.bools("measured")?);
    let (impressions, clicks) = (table.int64s("impressions")?, table.int64s("clicks")?);
    let (ctr, expected_ctr) = (table.float64s("ctr")?, table.float64s("expected_ctr")?);
    let position = |row| Position {
        position: positions.value(row),
        propensity: propensities.value(row),
        measured: measured.value(row),
        method: methods.value(row).into(),
        impressions: impressions.value(row),
        clicks: clicks.value(row),
        ctr: ctr.value(row),
        expected_ctr: expected_ctr.value(row),
    };
    Ok((0..table.rows()).map(position).collect())
}

/// The propensity curve, beside the click-through rates.
pub(super) fn html(positions: &[Position]) -> String {
    if positions.is_empty() {
        return String::new();
    }
    row([propensities(positions), rates(positions)])
}

fn line(name: &str, colour: &'static str, positions: &[Position], of: fn(&Position) -> f64) -> Box<dyn Trace> {
    let (x, y): (Vec<i32>, Vec<f64>) = positions.iter().map(|position| (position.position, of(position))).unzip();
    Scatter::new(x, y).name(name).mode(mode(positions.len())).marker(Marker::new().color(colour).size(7))
}

fn propensities(positions: &[Position]) -> Chart {
    let method = match positions[0].method.as_str() {
        "likelihood" => "The most likely values of the position-based model.",
        "harvest" => "By intervention harvesting.",
        "file" => "From a file.",
        _ => "Not measured: no document with clicks was shown at several positions.",
    };
    let row = |position: &Position| {
        let measured = if position.measured { "yes" } else { "no, as above" };
        vec![position.position.to_string(), number::value(Some(position.propensity)), measured.to_string()]
    };
    Chart {
        title: "Propensity: how likely a position is examined, relative to the first".into(),
        caption: method.into(),
        traces: vec![line("propensity", FIRST, positions, |position| position.propensity)],
        layout: layout("position", "").y_axis(axis("propensity").range_mode(RangeMode::ToZero)).show_legend(false),
        header: vec!["position", "propensity", "measured"],
        rows: positions.iter().map(row).collect(),
        numbers: 0,
    }
}

fn rates(positions: &[Position]) -> Chart {
    let row = |position: &Position| {
        let counts = [position.impressions, position.clicks].map(|count| number::count(count.unsigned_abs()));
        let rates = [position.ctr, position.expected_ctr].map(number::percent);
        [vec![position.position.to_string()], counts.to_vec(), rates.to_vec()].concat()
    };
    Chart {
        title: "Click-through rate by position".into(),
        caption: "Observed, and as propensities and debiased rates of the documents predict it.".into(),
        traces: vec![
            line("observed", FIRST, positions, |position| position.ctr),
            line("predicted", SECOND, positions, |position| position.expected_ctr),
        ],
        layout: layout("position", "click-through rate"),
        header: vec!["position", "impressions", "clicks", "observed", "predicted"],
        rows: positions.iter().map(row).collect(),
        numbers: 0,
    }
}
