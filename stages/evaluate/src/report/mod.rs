//! `report.html`: one file that opens anywhere, without scripts or outside resources.

mod charts;
mod conventions;
mod html;
mod scale;
mod svg;
mod training;

use pipeline::{Stage, StageContext, stages};
use tables::{Manifest, StageDir};

use crate::compare::Comparison;
use crate::evaluation::Evaluation;
use crate::measure::{Estimate, Measure};
use crate::number;
use crate::{Config, Evaluate};
use html::{escape, figure, paragraph, section, table};

const STYLE: &str = include_str!("style.css");

/// Writes `report.html`.
///
/// # Errors
/// [`tables::Error`] where an earlier stage's output cannot be read, or the file not be written.
pub(crate) fn write(config: &Config, context: &StageContext, evaluation: &Evaluation) -> anyhow::Result<()> {
    let root = context.paths().run_dir();
    // A pipeline on real logs has no `simulate`, so that a stage may be absent.
    let earlier = stages().filter(|&stage| stage != Evaluate::NAME);
    let opened = earlier.filter_map(|stage| StageDir::open(&root, stage).ok());
    let manifests: Vec<Manifest> = opened.map(|stage| stage.manifest().clone()).collect();
    let curves = if config.merges_runs() { Vec::new() } else { training::read(context, config.teacher)? };
    let page = page(config, context.paths().name(), evaluation, &manifests, &curves);
    files::write_atomically(&context.out().join("report.html"), page.as_bytes())?;
    Ok(())
}

fn page(
    config: &Config,
    name: &str,
    evaluation: &Evaluation,
    manifests: &[Manifest],
    curves: &[(String, training::Curves)],
) -> String {
    let name = escape(name);
    let primary = evaluation.primary;
    let sections = [
        header(config, &name, evaluation, manifests),
        section("Metrics", &metrics(evaluation)),
        section(&format!("{primary} of the student less that of the teacher"), &student_and_teacher(evaluation)),
        section("Comparisons", &comparisons(evaluation)),
        section("Training", &training::html(curves, config.evaluate.primary)),
        section("Conventions and special cases", &conventions::html(&config.evaluate, evaluation)),
        section("Stages", &stage_table(manifests)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>disranker: {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        sections.concat()
    )
}

fn header(config: &Config, name: &str, evaluation: &Evaluation, manifests: &[Manifest]) -> String {
    let mut html = format!("<header>\n<h1>disranker: {name}</h1>\n");
    html += &paragraph(&format!(
        "Seed {}. {} systems on {} test queries.",
        config.seed,
        evaluation.systems.len(),
        number::count(evaluation.queries.len() as u64)
    ));
    if let Some(ingest) = manifests.iter().find(|manifest| manifest.stage == "ingest") {
        let sizes: Vec<String> =
            ingest.tables.iter().map(|(table, entry)| format!("{} {table}", number::count(entry.rows))).collect();
        html += &paragraph(&format!("Rows after cleaning: {}.", sizes.join(", ")));
    }
    if config.grades_from_clicks {
        html += "<p class=\"note\"><strong>The grades are derived from clicks.</strong> Nobody judged these documents: \
                 every figure below says how well a system predicts debiased click-through rates, not what experts \
                 would call relevant.</p>\n";
    }
    if evaluation.is_by_teacher() {
        html += "<p class=\"note\"><strong>Nobody judged these queries.</strong> Every figure below says how near a system is to \
                 the teacher's order of held-out queries, not what experts would call relevant.</p>\n";
    }
    if let Some(share) = evaluation.student_share() {
        html += &format!(
            "<p class=\"headline\">The student has <strong>{:.1} %</strong> of the teacher's {}.</p>\n",
            100.0 * share,
            evaluation.primary
        );
    }
    for system in evaluation.unranked() {
        html += &format!(
            "<p class=\"note\"><strong>{}</strong> gives several documents the highest score of most queries: its figures are \
             those of the order of ties.</p>\n",
            escape(system)
        );
    }
    let key: Vec<String> = evaluation.key_comparisons().iter().map(|c| format!("<li>{}</li>\n", said(c))).collect();
    if !key.is_empty() {
        html += &format!("<ul>\n{}</ul>\n", key.concat());
    }
    html + "</header>\n"
}

/// A comparison as a sentence.
fn said(comparison: &Comparison) -> String {
    let verdict = match (comparison.p_adjusted < 0.05, comparison.difference > 0.0) {
        (false, _) => "is not significantly different from",
        (true, true) => "is significantly better than",
        (true, false) => "is significantly worse than",
    };
    escape(&format!(
        "{} {verdict} {}: {} {} {}, p {} ({} after Holm's correction).",
        comparison.system_a,
        comparison.system_b,
        comparison.metric,
        number::signed(comparison.difference),
        number::signed_interval(comparison.interval),
        number::p_relation(comparison.p_value),
        number::p_value(comparison.p_adjusted),
    ))
}

fn cell(estimate: Option<&Estimate>) -> String {
    let value = number::value(estimate.and_then(|e| e.value));
    format!("{value}\n{}", number::interval(estimate.and_then(|e| e.interval)))
}

fn metrics(evaluation: &Evaluation) -> String {
    let metrics: Vec<String> = evaluation.metrics.iter().map(ToString::to_string).collect();
    let header: Vec<&str> = ["system"].into_iter().chain(metrics.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = evaluation
        .systems
        .iter()
        .map(|system| {
            let cells = metrics.iter().map(|metric| cell(evaluation.estimate(system.system, metric, "all")));
            [system.system.to_string()].into_iter().chain(cells).collect()
        })
        .collect();
    let pooled = evaluation.metrics.iter().filter(|metric| metric.is_pooled());
    let pooled: String = pooled.map(|metric| format!(", for {metric} the pooled ratio")).collect();
    let mut html = table(&header, &rows, 1);
    html += &paragraph(&format!("Means over the test queries{pooled}; in brackets 95 % bootstrap intervals."));
    html += "<div class=\"charts\">\n";
    for metric in headline_metrics(evaluation) {
        let metric = metric.to_string();
        let found: Vec<&Estimate> =
            evaluation.systems.iter().filter_map(|s| evaluation.estimate(s.system, &metric, "all")).collect();
        html += &figure(&charts::bars(&metric, &found), "With 95 % bootstrap intervals.");
    }
    html + "</div>\n" + &head_and_tail(evaluation)
}

/// The metrics that are drawn, and shown for frequent and rare queries: the primary one, and the pooled ones, which the
/// comparisons of systems query by query leave out.
fn headline_metrics(evaluation: &Evaluation) -> impl Iterator<Item = Measure> {
    let pooled = evaluation.metrics.iter().copied().filter(Measure::is_pooled);
    std::iter::once(evaluation.primary).chain(pooled)
}

fn head_and_tail(evaluation: &Evaluation) -> String {
    let primary = evaluation.primary.to_string();
    let columns = headline_metrics(evaluation).map(|metric| metric.to_string());
    let columns: Vec<(String, &str)> =
        columns.flat_map(|metric| [(metric.clone(), "head"), (metric, "tail")]).collect();
    let names: Vec<String> = columns.iter().map(|(metric, slice)| format!("{metric}, {slice}")).collect();
    let header: Vec<&str> = ["system"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = evaluation
        .systems
        .iter()
        .map(|system| {
            let cells = columns.iter().map(|(metric, slice)| cell(evaluation.estimate(system.system, metric, slice)));
            [system.system.to_string()].into_iter().chain(cells).collect()
        })
        .collect();
    let counting = |slice| {
        let estimate = evaluation.estimates.iter().find(|e| e.slice == slice && e.metric == primary);
        number::count(estimate.map_or(0, |e| e.queries as u64))
    };
    format!("<h3>Frequent and rare queries</h3>\n{}", table(&header, &rows, 1))
        + &paragraph(&format!(
            "head: queries searched more often than the median test query ({} count for {primary}); tail: the rest ({}).",
            counting("head"),
            counting("tail")
        ))
}

fn student_and_teacher(evaluation: &Evaluation) -> String {
    let Some(differences) = evaluation.differences("student", "teacher") else {
        return String::new();
    };
    let count = |keep: fn(&f64) -> bool| differences.iter().filter(|d| keep(d)).count();
    let caption = format!(
        "The student is better on {} queries, equal on {} and worse on {}.",
        count(|&d| d > 0.0),
        count(|&d| d == 0.0),
        count(|&d| d < 0.0)
    );
    figure(&charts::differences("student − teacher", &differences), &caption)
}

fn comparisons(evaluation: &Evaluation) -> String {
    if evaluation.comparisons.is_empty() {
        return String::new();
    }
    let header = ["metric", "a", "b", "a − b", "95 % interval", "p, randomisation", "p, t test", "p, Holm"];
    let primary = evaluation.primary.to_string();
    let (primary, others): (Vec<&Comparison>, Vec<&Comparison>) =
        evaluation.comparisons.iter().partition(|c| c.metric == primary);
    let rows = |comparisons: &[&Comparison]| -> Vec<Vec<String>> {
        comparisons
            .iter()
            .map(|c| {
                vec![
                    c.metric.clone(),
                    c.system_a.clone(),
                    c.system_b.clone(),
                    number::signed(c.difference),
                    number::signed_interval(c.interval),
                    number::p_value(c.p_value),
                    number::p_value(c.p_value_t),
                    number::p_value(c.p_adjusted),
                ]
            })
            .collect()
    };
    table(&header, &rows(&primary), 3)
        + &paragraph(&format!(
            "Two-sided paired tests on the same queries; Holm's correction is over all {} comparisons of this report.",
            evaluation.comparisons.len()
        ))
        + &format!("<details>\n<summary>Other metrics</summary>\n{}</details>\n", table(&header, &rows(&others), 3))
}

fn stage_table(manifests: &[Manifest]) -> String {
    let rows: Vec<Vec<String>> = manifests
        .iter()
        .map(|manifest| {
            let tables = manifest.tables.iter();
            let tables: Vec<String> = tables.map(|(table, e)| format!("{} {table}", number::count(e.rows))).collect();
            vec![
                manifest.stage.clone(),
                tables.join(", "),
                number::seconds(manifest.wall_seconds),
                manifest.peak_memory_bytes.map_or("–".into(), number::memory),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    table(&["stage", "rows written", "wall time", "peak memory"], &rows, 2) + &facts(manifests)
}

/// The figures every stage noted about itself.
fn facts(manifests: &[Manifest]) -> String {
    let rows: Vec<Vec<String>> = manifests
        .iter()
        .flat_map(|manifest| {
            let scalar = |value: &serde_json::Value| !value.is_object() && !value.is_array();
            let facts = manifest.facts.iter().filter(move |(_, value)| scalar(value));
            facts.map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), String::from);
                vec![manifest.stage.clone(), name.replace('_', " "), text]
            })
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let table = table(&["stage", "figure", "value"], &rows, 2);
    format!("<details>\n<summary>Figures of the stages</summary>\n{table}</details>\n")
}

#[cfg(test)]
mod tests;
