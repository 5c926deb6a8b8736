//! The report's charts.

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use crate::measure::Estimate;
use crate::number;

/// Width of a chart of which two stand side by side.
const HALF_WIDTH: f64 = 450.0;
const FULL_WIDTH: f64 = 920.0;

/// Horizontal bars from zero with 95 % intervals.
pub(super) fn bars(heading: &str, estimates: &[&Estimate]) -> String {
    const ROW: f64 = 30.0;
    let (left, right, top) = (150.0, HALF_WIDTH - 56.0, 34.0);
    let bottom = top + ROW * estimates.len() as f64;
    let mut svg = Svg::new(HALF_WIDTH, bottom + 26.0, heading);
    svg.text("heading", (0.0, 16.0), Anchor::Start, heading);

    let ends = estimates.iter().flat_map(|e| [e.value, e.interval.map(|i| i.high)]);
    let largest = ends.flatten().filter(|end| end.is_finite()).fold(0.0, f64::max);
    let scale = Scale::linear((0.0, if largest > 0.0 { largest } else { 1.0 }), (left, right));
    for (value, label) in scale.ticks(6) {
        let x = scale.at(value);
        svg.line("grid", (x, top), (x, bottom));
        svg.text("tick", (x, bottom + 16.0), Anchor::Middle, &label);
    }
    for (i, estimate) in estimates.iter().enumerate() {
        let middle = top + ROW * (i as f64 + 0.5);
        svg.text("label", (left - 8.0, middle + 4.0), Anchor::End, &estimate.system);
        if let Some(value) = estimate.value {
            svg.rectangle("bar", (left, middle - 9.0), (scale.at(value), middle + 9.0));
        }
        if let Some(interval) = estimate.interval {
            let (low, high) = (scale.at(interval.low), scale.at(interval.high));
            svg.line("error", (low, middle), (high, middle));
            for end in [low, high] {
                svg.line("error", (end, middle - 5.0), (end, middle + 5.0));
            }
        }
        svg.text("label", (right + 10.0, middle + 4.0), Anchor::Start, &number::value(estimate.value));
    }
    svg.line("frame", (left, top), (left, bottom));
    svg.finish()
}

/// One line of a [`lines`] chart.
#[derive(Debug)]
pub(super) struct Series {
    /// How it is drawn: `raw`, `trend` or `second`.
    pub(super) class: &'static str,
    /// Its name in the legend; none leaves it out.
    pub(super) name: Option<&'static str>,
    /// Step and value.
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over optimizer steps. Positive values that span more than a factor of twenty are put on a logarithmic axis.
pub(super) fn lines(heading: &str, axis: &str, series: &[Series]) -> String {
    const HEIGHT: f64 = 230.0;
    let (left, right, top, bottom) = (54.0, HALF_WIDTH - 14.0, 34.0, HEIGHT - 40.0);
    let mut svg = Svg::new(HALF_WIDTH, HEIGHT, heading);
    svg.text("heading", (0.0, 16.0), Anchor::Start, heading);

    let points = || series.iter().flat_map(|s| &s.points);
    let x = Scale::linear(extent(points().map(|p| p.0)), (left, right));
    let (low, high) = extent(points().map(|p| p.1));
    let log = low > 0.0 && high > 20.0 * low;
    let y = if log {
        Scale::log((low, high), (bottom, top))
    } else {
        let margin = 0.05 * (high - low);
        Scale::linear((low - margin, high + margin), (bottom, top))
    };
    for (value, label) in y.ticks(5) {
        let at = y.at(value);
        svg.line("grid", (left, at), (right, at));
        svg.text("tick", (left - 7.0, at + 4.0), Anchor::End, &label);
    }
    for (value, label) in x.ticks(5) {
        let at = x.at(value);
        svg.line("frame", (at, bottom), (at, bottom + 4.0));
        svg.text("tick", (at, bottom + 17.0), Anchor::Middle, &label);
    }
    svg.line("frame", (left, bottom), (right, bottom));
    svg.line("frame", (left, top), (left, bottom));
    svg.text("axis", (0.5 * (left + right), HEIGHT - 6.0), Anchor::Middle, "optimizer steps");
    let axis = if log { format!("{axis}, logarithmic") } else { axis.to_string() };
    svg.text("axis", (right, 16.0), Anchor::End, &axis);

    let mut legend = top + 12.0;
    for line in series {
        svg.polyline(line.class, line.points.iter().map(|&(step, value)| (x.at(step), y.at(value))));
        if line.points.len() <= 30 {
            let class = if line.class == "second" { "second-dot" } else { "dot" };
            for &(step, value) in &line.points {
                svg.circle(class, (x.at(step), y.at(value)), 2.6);
            }
        }
        if let Some(name) = line.name {
            svg.polyline(line.class, [(right - 118.0, legend - 4.0), (right - 98.0, legend - 4.0)].into_iter());
            svg.text("tick", (right - 92.0, legend), Anchor::Start, name);
            legend += 15.0;
        }
    }
    svg.finish()
}

/// Differences of single queries as bars, largest first.
pub(super) fn differences(heading: &str, differences: &[f64]) -> String {
    const HEIGHT: f64 = 240.0;
    let (left, right, top, bottom) = (54.0, FULL_WIDTH - 10.0, 34.0, HEIGHT - 28.0);
    let mut svg = Svg::new(FULL_WIDTH, HEIGHT, heading);
    svg.text("heading", (0.0, 16.0), Anchor::Start, heading);

    let mut sorted = differences.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (low, high) = extent(sorted.iter().copied().chain([0.0]));
    let y = Scale::linear((low, high), (bottom, top));
    for (value, label) in y.ticks(6) {
        svg.line("grid", (left, y.at(value)), (right, y.at(value)));
        svg.text("tick", (left - 7.0, y.at(value) + 4.0), Anchor::End, &label);
    }
    let width = (right - left) / sorted.len().max(1) as f64;
    let gap = if width > 4.0 { 0.15 * width } else { 0.0 };
    for (i, &difference) in sorted.iter().enumerate() {
        let x = left + width * i as f64;
        let class = if difference > 0.0 { "better" } else { "worse" };
        svg.rectangle(class, (x + gap, y.at(0.0)), (x + width - gap, y.at(difference)));
    }
    svg.line("frame", (left, y.at(0.0)), (right, y.at(0.0)));
    svg.text(
        "axis",
        (0.5 * (left + right), HEIGHT - 8.0),
        Anchor::Middle,
        &format!("{} test queries, sorted by difference", sorted.len()),
    );
    svg.finish()
}

/// The smallest and the largest value; 0 to 1 where there is none.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let widen = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), widen);
    if low <= high { (low, high) } else { (0.0, 1.0) }
}
