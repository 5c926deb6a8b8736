//! Training curves.

use std::collections::BTreeMap;

use pipeline::StageContext;
use ranking::metrics::Metric;
use tables::StageDir;

use super::charts::{Series, lines};
use super::html::{escape, figure};

/// The trainings of each stage in the order they happen; those of the configuration come before the ones of `distill`.
const TEACHER: [&str; 3] = ["cpt", "titles", "rank"];
const DISTILL: [&str; 2] = ["student", "student_labels_only"];

/// Points of one training's metrics: step and value.
pub(super) type Curves = BTreeMap<String, Vec<(f64, f64)>>;

/// The curves of every phase that was trained; those of stage `teacher` where the run has it.
///
/// # Errors
/// [`tables::Error`] where a stage's table cannot be read.
pub(super) fn read(context: &StageContext, teacher: bool) -> anyhow::Result<Vec<(String, Curves)>> {
    let mut found = Vec::new();
    let stages = [("teacher", &TEACHER[..]), ("distill", &DISTILL)];
    for (stage, phases) in stages.into_iter().filter(|(stage, _)| teacher || *stage != "teacher") {
        let stage = context.input(stage)?;
        let table = stage.table("training_metrics")?;
        let (names, metrics) = (table.strings("phase")?, table.strings("metric")?);
        let (steps, values) = (table.int64s("step")?, table.float64s("value")?);
        for phase in configured(&stage).into_iter().chain(phases.iter().map(ToString::to_string)) {
            let mut curves = Curves::new();
            for row in (0..table.rows()).filter(|&row| names.value(row) == phase && values.value(row).is_finite()) {
                let point = (steps.value(row) as f64, values.value(row));
                curves.entry(metrics.value(row).to_string()).or_default().push(point);
            }
            if !curves.is_empty() {
                found.push((phase, curves));
            }
        }
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
        let charts: String = charts.into_iter().flatten().collect();
        html += &format!("<h3>{}</h3>\n<div class=\"charts\">\n{charts}</div>\n", escape(phase));
    }
    html
}

fn loss(phase: &str, curves: &Curves) -> Option<String> {
    let raw = curves.get("loss")?;
    let window = (raw.len() / 25).max(1);
    let mut series = Vec::new();
    if window > 1 {
        series.push(Series { class: "raw", name: None, points: raw.clone() });
    }
    let validation = curves.get("validation_loss");
    let name = validation.map(|_| "training");
    series.push(Series { class: "trend", name, points: trailing_mean(raw, window) });
    if let Some(validation) = validation {
        series.push(Series { class: "second", name: Some("validation"), points: validation.clone() });
    }
    let caption = match window {
        1 => "Each logged step.".into(),
        window => format!("Thin: each logged step. Thick: mean of the last {window}."),
    };
    Some(figure(&lines(&format!("{phase}: loss"), "loss", &series), &caption))
}

fn validation(phase: &str, curves: &Curves, primary: Metric) -> Option<String> {
    let (name, points) = (primary.to_string(), curves.get(&format!("validation_{primary}"))?);
    let series = [Series { class: "trend", name: None, points: points.clone() }];
    let best = points.iter().fold((0.0, f64::NEG_INFINITY), |best, &point| if point.1 > best.1 { point } else { best });
    let caption = format!("On validation queries; best {:.3} at step {}.", best.1, best.0);
    Some(figure(&lines(&format!("{phase}: validation {name}"), &name, &series), &caption))
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
    fn the_trend_is_the_mean_of_the_last_points() {
        let points = [(1.0, 4.0), (2.0, 2.0), (3.0, 0.0)];
        assert_eq!(trailing_mean(&points, 2), [(1.0, 4.0), (2.0, 3.0), (3.0, 1.0)]);
        assert_eq!(trailing_mean(&points, 1), points);
    }
}
