//! Training curves.

use std::collections::BTreeMap;

use pipeline::StageContext;
use plotly::common::Line;
use plotly::layout::AxisType;
use plotly::{Scatter, Trace};
use ranking::metrics::Metric;
use tables::StageDir;

use super::chart::{Chart, FAINT, FIRST, SECOND, axis, layout, mode, row};
use super::html::part;
use crate::number;

/// The trainings of both stages in the order they happen: those of the configuration come between the two.
const BEFORE: [&str; 3] = ["cpt", "titles", "pretrain"];
const AFTER: [&str; 4] = ["rank", "mined", "student", "student_labels_only"];

/// Points of one training's metrics: step and value.
pub(super) type Curves = BTreeMap<String, Vec<(f64, f64)>>;

/// The curves of every phase that was trained; those of stage `teacher` where the run has it.
///
/// # Errors
/// [`tables::Error`] where a stage's table cannot be read.
pub(super) fn read(context: &StageContext, teacher: bool) -> anyhow::Result<Vec<(String, Curves)>> {
    let mut found = Vec::new();
    for stage in ["teacher", "distill"].into_iter().filter(|stage| teacher || *stage != "teacher") {
        let stage = context.input(stage)?;
        let table = stage.table("training_metrics")?;
        let (names, metrics) = (table.strings("phase")?, table.strings("metric")?);
        let (steps, values) = (table.int64s("step")?, table.float64s("value")?);
        let mut phases: BTreeMap<&str, Curves> = BTreeMap::new();
        for row in (0..table.rows()).filter(|&row| values.value(row).is_finite()) {
            let curves = phases.entry(names.value(row)).or_default();
            let point = (steps.value(row) as f64, values.value(row));
            curves.entry(metrics.value(row).to_string()).or_default().push(point);
        }
        let configured = configured(&stage);
        let order = BEFORE.into_iter().chain(configured.iter().map(String::as_str)).chain(AFTER);
        found.extend(order.filter_map(|phase| Some((phase.to_string(), phases.remove(phase)?))));
        found.extend(phases.into_iter().map(|(phase, curves)| (phase.to_string(), curves)));
    }
    Ok(found)
}

/// The names of the phases that the configuration of a stage had, in their order.
fn configured(stage: &StageDir) -> Vec<String> {
    let phases = stage.manifest().facts.get("phases").and_then(|phases| phases.as_array());
    let names = phases.into_iter().flatten().filter_map(|phase| phase["name"].as_str());
    names.map(String::from).collect()
}

/// For each phase its loss and, where it was validated by it, the primary metric on validation queries.
pub(super) fn html(phases: &[(String, Curves)], primary: Metric) -> String {
    let mut html = String::new();
    for (phase, curves) in phases {
        let charts = [loss(phase, curves), validation(phase, curves, primary)];
        html += &part(phase, &row(charts.into_iter().flatten()));
    }
    html
}

/// Points as a trace.
fn line(points: &[(f64, f64)]) -> Box<Scatter<f64, f64>> {
    let (x, y) = points.iter().copied().unzip();
    Scatter::new(x, y).mode(mode(points.len()))
}

fn loss(phase: &str, curves: &Curves) -> Option<Chart> {
    let raw = curves.get("loss")?;
    let window = (raw.len() / 25).max(1);
    let trend = trailing_mean(raw, window);
    let validation = curves.get("validation_loss").map_or(&[][..], Vec::as_slice);
    let mut traces: Vec<Box<dyn Trace>> = Vec::new();
    if window > 1 {
        traces.push(line(raw).name("each step").line(Line::new().color(FAINT).width(1.0)));
    }
    let name = if window > 1 { format!("mean of {window}") } else { "training".into() };
    traces.push(line(&trend).name(name).line(Line::new().color(FIRST).width(2.0)));
    if !validation.is_empty() {
        traces.push(line(validation).name("validation").line(Line::new().color(SECOND).width(2.0)));
    }
    let row = |(&(step, raw), &(_, mean)): (&(f64, f64), &(f64, f64))| {
        let validated = validation.iter().find(|point| point.0 == step).map(|point| point.1);
        vec![format!("{step}"), number::value(Some(raw)), number::value(Some(mean)), number::value(validated)]
    };
    let axis = match logarithmic_ticks(raw.iter().chain(validation).map(|point| point.1)) {
        Some(ticks) => axis("loss, logarithmic").type_(AxisType::Log).tick_values(ticks),
        None => axis("loss"),
    };
    Some(Chart {
        title: format!("{phase}: loss"),
        caption: match window {
            1 => "Each logged step.".into(),
            window => format!("Each logged step, and the mean of the last {window}."),
        },
        traces,
        layout: layout("optimizer steps", "").y_axis(axis).show_legend(window > 1 || !validation.is_empty()),
        header: vec!["step", "loss", "mean of the last steps", "validation"],
        rows: raw.iter().zip(&trend).map(row).collect(),
        numbers: 0,
    })
}

/// The ticks 1, 2 and 5 times a power of ten for positive values that span more than a factor of twenty, which read better on a
/// logarithmic axis; `None` for others.
fn logarithmic_ticks(values: impl Iterator<Item = f64>) -> Option<Vec<f64>> {
    let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.fold((f64::INFINITY, 0.0), ends);
    if low <= 0.0 || high <= 20.0 * low {
        return None;
    }
    let exponents = low.log10().floor() as i32..=high.log10().floor() as i32;
    let ticks = exponents.flat_map(|exponent| [1.0, 2.0, 5.0].map(|factor| factor * 10f64.powi(exponent)));
    Some(ticks.filter(|tick| (low..=high).contains(tick)).collect())
}

fn validation(phase: &str, curves: &Curves, primary: Metric) -> Option<Chart> {
    let (name, points) = (primary.to_string(), curves.get(&format!("validation_{primary}"))?);
    let best = points.iter().fold((0.0, f64::NEG_INFINITY), |best, &point| if point.1 > best.1 { point } else { best });
    Some(Chart {
        title: format!("{phase}: validation {name}"),
        caption: format!("On validation queries; best {:.3} at step {}.", best.1, best.0),
        traces: vec![line(points).line(Line::new().color(FIRST).width(2.0)).show_legend(false)],
        layout: layout("optimizer steps", &name),
        header: vec!["step", "value"],
        rows: points.iter().map(|&(step, value)| vec![format!("{step}"), number::value(Some(value))]).collect(),
        numbers: 0,
    })
}

/// At each point the mean of it and up to `window - 1` points before it.
fn trailing_mean(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    (0..points.len())
        .map(|i| {
            let recent = &points[(i + 1).saturating_sub(window)..=i];
            let mean = recent.iter().map(|point| point.1).sum::<f64>() / recent.len() as f64;
            (points[i].0, mean)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_losses_get_a_logarithmic_axis() {
        let ticks = |values: &[f64]| logarithmic_ticks(values.iter().copied());
        assert_eq!(ticks(&[8.0, 0.25, 1.0]), Some(vec![0.5, 1.0, 2.0, 5.0]));
        assert_eq!(ticks(&[100.0, 1.0]), Some(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]));
        assert_eq!([ticks(&[1.0, 0.1]), ticks(&[8.0, 0.0]), ticks(&[])], [None, None, None]);
    }

    #[test]
    fn the_trend_is_the_mean_of_the_last_points() {
        let points = [(1.0, 4.0), (2.0, 2.0), (3.0, 0.0)];
        assert_eq!(trailing_mean(&points, 2), [(1.0, 4.0), (2.0, 3.0), (3.0, 1.0)]);
        assert_eq!(trailing_mean(&points, 1), points);
    }
}
