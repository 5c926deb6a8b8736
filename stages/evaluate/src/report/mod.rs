//! `report.html`: one file that opens anywhere, without scripts or outside resources.

mod charts;
mod conventions;
mod html;
mod scale;
mod svg;
mod training;

use std::path::Path;

use pipeline::config::EvaluateConfig;
use pipeline::{Stage, StageContext, stages};
use tables::{Manifest, StageDir};

use crate::compare::{Comparison, Key};
use crate::evaluation::Evaluation;
use crate::measure::{Estimate, Measure};
use crate::number;
use crate::slices::ALL;
use crate::summary::{cell, tied};
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
    let subject = Subject {
        name: context.paths().name(),
        seed: config.seed,
        config: &config.evaluate,
        grades_from_clicks: config.grades_from_clicks,
        manifests: &manifests,
        curves: &curves,
    };
    subject.write(context.out(), evaluation)
}

/// What was evaluated.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    pub(crate) seed: u64,
    pub(crate) config: &'a EvaluateConfig,
    pub(crate) grades_from_clicks: bool,
    /// Of the earlier stages, where there are any.
    pub(crate) manifests: &'a [Manifest],
    /// Of the trainings, where there are any.
    pub(crate) curves: &'a [(String, training::Curves)],
}

impl Subject<'_> {
    /// Writes `report.html` into a folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, out: &Path, evaluation: &Evaluation) -> anyhow::Result<()> {
        Ok(files::write_atomically(&out.join("report.html"), page(self, evaluation).as_bytes())?)
    }
}

fn page(subject: &Subject, evaluation: &Evaluation) -> String {
    let Subject { config, manifests, curves, .. } = *subject;
    let name = escape(subject.name);
    let primary = evaluation.primary;
    let sections = [
        header(subject, &name, evaluation),
        section("Verdicts", &verdicts(config, evaluation)),
        section("Metrics", &metrics(evaluation)),
        section(&format!("{primary} of the student less that of the teacher"), &student_and_teacher(evaluation)),
        section("Comparisons", &comparisons(evaluation)),
        section("Training", &training::html(curves, config.primary)),
        section("Conventions and special cases", &conventions::html(config, evaluation)),
        section("Stages", &stage_table(manifests)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>disranker: {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        sections.concat()
    )
}

fn header(subject: &Subject, name: &str, evaluation: &Evaluation) -> String {
    let mut html = format!("<header>\n<h1>disranker: {name}</h1>\n");
    html += &paragraph(&format!(
        "Seed {}. {} systems on {} test queries.",
        subject.seed,
        evaluation.systems.len(),
        number::count(evaluation.queries.len() as u64)
    ));
    if let Some(ingest) = subject.manifests.iter().find(|manifest| manifest.stage == "ingest") {
        let sizes: Vec<String> =
            ingest.tables.iter().map(|(table, entry)| format!("{} {table}", number::count(entry.rows))).collect();
        html += &paragraph(&format!("Rows after cleaning: {}.", sizes.join(", ")));
    }
    if subject.grades_from_clicks {
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
    html + "</header>\n"
}

/// The comparisons that the run is made for.
fn verdicts(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    let row = |(comparison, key): (&Comparison, Key)| {
        vec![
            comparison.system_a.clone(),
            comparison.system_b.clone(),
            key.verdict.name().to_string(),
            number::signed(comparison.difference),
            number::signed_interval(comparison.interval),
            number::p_value(comparison.p_value),
            number::p_value(key.p_adjusted),
        ]
    };
    let rows: Vec<Vec<String>> = evaluation.key_comparisons(config).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let difference = format!("{}, a − b", evaluation.primary);
    table(&["a", "b", "verdict on a", &difference, "95 % interval", "p", "p, Holm"], &rows, 3)
        + &paragraph(&format!(
            "WIN: the whole interval is above 0. EQUAL: a loss of more than {} is ruled out. REGRESSION: it is not. Two-sided paired \
             randomisation tests, corrected for these {} comparisons alone by Holm's method; ≤ stands where no draw reached the \
             difference.",
            config.margin,
            rows.len()
        ))
}

fn metrics(evaluation: &Evaluation) -> String {
    let metrics: Vec<String> = evaluation.metrics.iter().map(ToString::to_string).collect();
    let header: Vec<&str> = ["system"].into_iter().chain(metrics.iter().map(String::as_str)).collect();
    let mut rows: Vec<Vec<String>> = evaluation
        .systems
        .iter()
        .map(|system| {
            let cells = metrics.iter().map(|metric| cell(evaluation.estimate(system.system, metric, ALL)));
            [system.system.to_string()].into_iter().chain(cells).collect()
        })
        .collect();
    let pooled = evaluation.metrics.iter().filter(|metric| metric.is_pooled());
    let pooled: String = pooled.map(|metric| format!(", for {metric} the pooled ratio")).collect();
    let counting = |metric: &String| {
        let counts =
            evaluation.systems.iter().filter_map(|s| evaluation.estimate(s.system, metric, ALL)).map(|e| e.queries);
        let (least, most) = counts.fold((usize::MAX, 0), |(least, most), count| (least.min(count), most.max(count)));
        if least < most { format!("{least} to {most}") } else { most.to_string() }
    };
    rows.push(["queries that count".to_string()].into_iter().chain(metrics.iter().map(counting)).collect());
    let mut html = table(&header, &rows, 1);
    html += &paragraph(&format!(
        "Means over the test queries{pooled}; in brackets 95 % bootstrap intervals. Below them, where not all was judged, the share \
         of the documents that the metric looks at which was."
    ));
    for estimate in evaluation.tie_sensitive() {
        html += &paragraph(&format!("{}.", tied(estimate)));
    }
    html += "<div class=\"charts\">\n";
    for metric in headline_metrics(evaluation) {
        let metric = metric.to_string();
        let found: Vec<&Estimate> =
            evaluation.systems.iter().filter_map(|s| evaluation.estimate(s.system, &metric, ALL)).collect();
        html += &figure(&charts::bars(&metric, &found), "With 95 % bootstrap intervals.");
    }
    html + "</div>\n" + &slices(evaluation)
}

/// The metrics that are drawn, and shown for slices: the primary one, and the pooled ones.
fn headline_metrics(evaluation: &Evaluation) -> impl Iterator<Item = Measure> {
    let pooled = evaluation.metrics.iter().copied().filter(Measure::is_pooled);
    std::iter::once(evaluation.primary).chain(pooled)
}

/// The headline metrics by slice.
fn slices(evaluation: &Evaluation) -> String {
    let parts = &evaluation.slices[1..];
    if parts.is_empty() {
        return String::new();
    }
    let metrics: Vec<String> = headline_metrics(evaluation).map(|metric| metric.to_string()).collect();
    let header: Vec<&str> = ["slice", "system"].into_iter().chain(metrics.iter().map(String::as_str)).collect();
    let mut rows = Vec::new();
    for slice in parts {
        for system in &evaluation.systems {
            let cells = metrics.iter().map(|metric| cell(evaluation.estimate(system.system, metric, &slice.name)));
            let name = format!("{}\n{} queries", slice.name, number::count(slice.queries.len() as u64));
            rows.push([name, system.system.to_string()].into_iter().chain(cells).collect());
        }
    }
    let halves = parts.iter().any(|slice| slice.name == "head");
    let explained = "head: queries searched more often than the median test query; tail: the rest.";
    format!("<h3>Slices</h3>\n{}", table(&header, &rows, 2))
        + &if halves { paragraph(explained) } else { String::new() }
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
    let header = ["metric", "a", "b", "a − b", "95 % interval", "p, randomisation", "p, t test"];
    let rows = |keep: &dyn Fn(&Comparison) -> bool| -> Vec<Vec<String>> {
        let row = |c: &Comparison| {
            vec![
                c.metric.clone(),
                c.system_a.clone(),
                c.system_b.clone(),
                number::signed(c.difference),
                number::signed_interval(c.interval),
                number::p_value(c.p_value),
                c.p_value_t.map_or("–".into(), number::p_value_t),
            ]
        };
        evaluation.comparisons.iter().filter(|c| keep(c)).map(row).collect()
    };
    let primary = evaluation.primary.to_string();
    let folded = |name: &str, rows: &[Vec<String>]| match rows.is_empty() {
        true => String::new(),
        false => format!("<details>\n<summary>{}</summary>\n{}</details>\n", escape(name), table(&header, rows, 3)),
    };
    let mut html = table(&header, &rows(&|c| c.slice == ALL && c.metric == primary), 3)
        + &paragraph(
            "Two-sided paired tests on the same queries. They are exploratory: nothing is corrected for their number, so that some \
             small p-values are to be expected by chance. What the run is made for is among the verdicts.",
        )
        + &folded("Other metrics", &rows(&|c| c.slice == ALL && c.metric != primary));
    for slice in &evaluation.slices[1..] {
        html +=
            &folded(&format!("{}: {primary}", slice.name), &rows(&|c| c.slice == slice.name && c.metric == primary));
    }
    html
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
