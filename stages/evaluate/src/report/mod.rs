//! `report.html`: one file that opens anywhere, without scripts or outside resources.

mod charts;
mod html;
mod scale;
mod svg;
mod training;

use pipeline::config::{Candidates, EvaluateConfig, Gain, JudgmentFormat, NoRelevant, Ties};
use pipeline::{Pipeline, StageRun};
use tables::{Manifest, StageDir};

use crate::compare::Comparison;
use crate::evaluation::Evaluation;
use crate::measure::{Estimate, Measured, PNR, PRIMARY};
use crate::number;
use crate::summary::metric_names;
use html::{escape, figure, paragraph, section, table};

const STYLE: &str = include_str!("style.css");

/// The stages before this one, in their order.
const STAGES: [&str; 6] = ["simulate", "ingest", "cpt", "teacher", "score", "distill"];

/// Writes `report.html`.
///
/// # Errors
/// [`tables::Error`] where an earlier stage's output cannot be read, or the file not be written.
pub(crate) fn write(run: &StageRun, evaluation: &Evaluation) -> anyhow::Result<()> {
    let root = run.pipeline().run_dir();
    // A pipeline on real logs has no `simulate`, so that a stage may be absent.
    let opened = STAGES.iter().filter_map(|stage| StageDir::open(&root, stage).ok());
    let manifests: Vec<Manifest> = opened.map(|stage| stage.manifest().clone()).collect();
    let pooled = !run.pipeline().evaluate.pool.is_empty();
    let curves = if pooled { Vec::new() } else { training::read(run)? };
    let page = page(run.pipeline(), evaluation, &manifests, &curves);
    tables::write_atomic(&run.out().join("report.html"), page.as_bytes())?;
    Ok(())
}

fn page(
    pipeline: &Pipeline,
    evaluation: &Evaluation,
    manifests: &[Manifest],
    curves: &[(&str, training::Curves)],
) -> String {
    let name = escape(&pipeline.run.name);
    let primary = PRIMARY.name();
    let sections = [
        header(pipeline, evaluation, manifests),
        section("Metrics", &metrics(evaluation)),
        section(&format!("{primary} of the student less that of the teacher"), &student_and_teacher(evaluation)),
        section("Comparisons", &comparisons(evaluation)),
        section("Training", &training::html(curves)),
        section("Conventions and special cases", &conventions(&pipeline.evaluate, evaluation)),
        section("Stages", &stages(manifests)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>disranker: {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        sections.concat()
    )
}

fn header(pipeline: &Pipeline, evaluation: &Evaluation, manifests: &[Manifest]) -> String {
    let mut html = format!("<header>\n<h1>disranker: {}</h1>\n", escape(&pipeline.run.name));
    html += &paragraph(&format!(
        "Seed {}. {} systems on {} test queries.",
        pipeline.run.seed,
        evaluation.systems.len(),
        number::count(evaluation.queries.len() as u64)
    ));
    if let Some(ingest) = manifests.iter().find(|manifest| manifest.stage == "ingest") {
        let sizes: Vec<String> =
            ingest.tables.iter().map(|(table, entry)| format!("{} {table}", number::count(entry.rows))).collect();
        html += &paragraph(&format!("Rows after cleaning: {}.", sizes.join(", ")));
    }
    if pipeline.ingest.judgments.format == JudgmentFormat::Clicks {
        html += "<p class=\"note\"><strong>The grades are derived from clicks.</strong> Nobody judged these documents: \
                 every figure below says how well a system predicts debiased click-through rates, not what experts \
                 would call relevant.</p>\n";
    }
    if let Some(share) = evaluation.student_share() {
        html += &format!(
            "<p class=\"headline\">The student has <strong>{:.1} %</strong> of the teacher's {}.</p>\n",
            100.0 * share,
            PRIMARY.name()
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
    let metrics: Vec<String> = metric_names().collect();
    let header: Vec<&str> = ["system"].into_iter().chain(metrics.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = evaluation
        .systems
        .iter()
        .map(|system| {
            let cells = metrics.iter().map(|metric| cell(evaluation.estimate(system.system, metric, "all")));
            [system.system.to_string()].into_iter().chain(cells).collect()
        })
        .collect();
    let primary = PRIMARY.name();
    let mut html = table(&header, &rows, 1);
    html += &paragraph("Means over the test queries, for pnr the pooled ratio; in brackets 95 % bootstrap intervals.");
    html += "<div class=\"charts\">\n";
    for metric in [primary.as_str(), PNR] {
        let found: Vec<&Estimate> =
            evaluation.systems.iter().filter_map(|s| evaluation.estimate(s.system, metric, "all")).collect();
        html += &figure(&charts::bars(metric, &found), "With 95 % bootstrap intervals.");
    }
    html + "</div>\n" + &head_and_tail(evaluation)
}

fn head_and_tail(evaluation: &Evaluation) -> String {
    let primary = PRIMARY.name();
    let columns = [(primary.as_str(), "head"), (primary.as_str(), "tail"), (PNR, "head"), (PNR, "tail")];
    let names = columns.map(|(metric, slice)| format!("{metric}, {slice}"));
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
    let (primary, others): (Vec<&Comparison>, Vec<&Comparison>) =
        evaluation.comparisons.iter().partition(|c| c.metric == PRIMARY.name());
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

fn conventions(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    let candidates = match config.candidates {
        Candidates::Judged => "every system ranks the judged documents of a query".to_string(),
        Candidates::Bm25 => {
            format!("every system ranks BM25's first {} documents; an unjudged one counts as grade 0", config.depth)
        }
    };
    let gain = match config.gain {
        Gain::Exponential => "2^grade − 1",
        Gain::Linear => "the grade",
    };
    let ties = match config.ties {
        Ties::DocIdDescending => "by document id, descending (as trec_eval)",
        Ties::Stable => "in the order of the candidates",
    };
    let no_relevant = match config.no_relevant {
        NoRelevant::Skip => "left out of the mean",
        NoRelevant::Zero => "0 (as trec_eval)",
        NoRelevant::One => "1 (as LightGBM)",
    };
    let cases = evaluation.special_cases();
    let count = |n: usize| number::count(n as u64);
    let weights_of = match config.pool.is_empty() {
        true => "Weight of a model beside BM25, best on validation queries",
        false => "Weights of a model beside BM25 in each run, best on the other runs' queries",
    };
    let mut rows = vec![
        ("Candidates", candidates),
        (weights_of, weights(evaluation)),
        ("Runs pooled", config.pool.join(", ")),
        ("NDCG gain", gain.into()),
        ("NDCG discount", "log2(rank + 1); the ideal is over all judged documents of the query".into()),
        ("Order of equal scores", ties.into()),
        ("Value of a query without a relevant document", no_relevant.into()),
        ("MRR", "a document of grade 1 or more is relevant".into()),
        (
            "PNR",
            "concordant / discordant pairs of different grade, pooled over queries; tied pairs count on neither side"
                .into(),
        ),
        ("Bootstrap resamples", count(config.bootstrap)),
        ("Draws of the randomisation test", count(config.permutations)),
        ("Test queries", count(cases.queries)),
        ("Candidates of all queries", count(cases.candidates)),
        ("Judged documents of all queries", count(cases.judged)),
        ("Queries without a relevant document", count(cases.no_relevant)),
        ("Queries whose candidates have one grade", count(cases.one_grade)),
    ];
    let tied: Vec<String> =
        cases.tied_pairs.iter().map(|(system, tied)| format!("{system} {}", number::count(*tied))).collect();
    rows.push(("Pairs with equal scores", tied.join(", ")));
    rows.retain(|(_, text)| !text.is_empty());
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, text)| vec![name.to_string(), text]).collect();
    table(&["", ""], &rows, 2)
}

fn weights(evaluation: &Evaluation) -> String {
    let weights = |system: &Measured| {
        let weights: Vec<String> = system.weights.iter().map(|weight| format!("{weight:.2}")).collect();
        (!weights.is_empty()).then(|| format!("{} {}", system.system, weights.join(" ")))
    };
    evaluation.systems.iter().filter_map(weights).collect::<Vec<_>>().join(", ")
}

fn stages(manifests: &[Manifest]) -> String {
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
