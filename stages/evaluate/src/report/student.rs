//! Whether the student kept up with the teacher.

use pipeline::config::EvaluateConfig;
use plotly::{Bar, Trace};
use ranking::significance::Verdict;

use super::chart::{Chart, FIRST, SECOND, layout};
use super::html::{escape, paragraph, prose};
use crate::evaluation::{Evaluation, Paired};
use crate::number;
use crate::slices::ALL;
use crate::systems::{STUDENT, TEACHER};

/// Most bars of the chart of differences.
const MOST_BARS: usize = 500;

/// The student's share of the teacher's primary metric with a verdict, and the difference query by query. Where the teacher's order
/// is the measure, how near the student is to it.
pub(super) fn html(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    if evaluation.is_by_teacher() {
        return agreement(evaluation);
    }
    let Some(pairs) = evaluation.paired(STUDENT, TEACHER) else { return String::new() };
    share(evaluation) + &verdict(config, evaluation) + &differences(evaluation, &pairs).html()
}

fn agreement(evaluation: &Evaluation) -> String {
    let measured = evaluation.metrics.iter().filter_map(|metric| {
        let found = evaluation.estimate(STUDENT, &metric.to_string(), ALL)?;
        let (value, interval) = (number::value(found.value), number::interval(found.interval));
        Some(format!("<strong>{value}</strong> {interval} of {}", escape(&found.metric)))
    });
    let measured: Vec<String> = measured.collect();
    format!(
        "<p class=\"headline\">The student has {}; the teacher's own order has 1. In brackets: 95\u{a0}% intervals.</p>\n",
        measured.join(" and ")
    )
}

fn share(evaluation: &Evaluation) -> String {
    let primary = evaluation.primary;
    let Some(share) = evaluation.student_share() else {
        return paragraph("There is no ratio of student and teacher: one of them hardly ranks anything.");
    };
    let interval = share.interval.map_or(String::new(), |interval| {
        format!(" (95 % interval {} to {})", number::percent(interval.low), number::percent(interval.high))
    });
    format!(
        "<p class=\"headline\">The student has <strong>{}</strong> of the teacher's {primary}{}. {}</p>\n",
        prose(&number::percent(share.ratio)),
        prose(&interval),
        evaluation
            .comparison(STUDENT, TEACHER)
            .and_then(|found| found.key)
            .map_or(String::new(), |key| badge(key.verdict)),
    )
}

/// A verdict that is seen at once.
pub(super) fn badge(verdict: Verdict) -> String {
    format!("<strong class=\"verdict {}\">{}</strong>", verdict.name().to_lowercase(), verdict.name())
}

fn verdict(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    let Some(found) = evaluation.comparison(STUDENT, TEACHER) else { return String::new() };
    let value = |system| {
        let estimate = evaluation.estimate(system, &found.metric, ALL);
        number::value(estimate.and_then(|estimate| estimate.value))
    };
    let mut text = format!(
        "Student {}, teacher {}: a difference of {} {}, p {}",
        value(STUDENT),
        value(TEACHER),
        number::signed(found.difference),
        number::signed_interval(found.interval),
        number::p_relation(found.p_value),
    );
    if let Some(key) = found.key {
        let reason = match key.verdict {
            Verdict::Win => "the whole interval of the difference is above 0".to_string(),
            Verdict::Equal => format!("the interval rules out a loss of more than {}", config.margin),
            Verdict::Regression => format!("the interval does not rule out a loss of more than {}", config.margin),
        };
        text += &format!(
            " ({} after Holm's correction). {}: {reason}",
            number::p_value(key.p_adjusted),
            key.verdict.name()
        );
    }
    paragraph(&format!(
        "{text}. The ratio is that of the means over the same queries, its interval a paired bootstrap."
    ))
}

/// The differences of single queries, largest first.
fn differences(evaluation: &Evaluation, pairs: &[Paired]) -> Chart {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| b.difference().total_cmp(&a.difference()));
    let count = |keep: fn(f64) -> bool| sorted.iter().filter(|pair| keep(pair.difference())).count();
    let step = sorted.len().div_ceil(MOST_BARS).max(1);
    let thinned = if step > 1 { format!(" Every {step}th query is drawn.") } else { String::new() };
    let bars = |name: &str, colour: &'static str, keep: fn(f64) -> bool| -> Box<dyn Trace> {
        let ranked = sorted.iter().enumerate().step_by(step).filter(|(_, pair)| keep(pair.difference()));
        let (x, y): (Vec<usize>, Vec<f64>) = ranked.map(|(i, pair)| (i + 1, pair.difference())).unzip();
        Bar::new(x, y).name(name).marker(plotly::common::Marker::new().color(colour))
    };
    let row = |(i, pair): (usize, &Paired)| {
        let values = [Some(pair.a), Some(pair.b)].map(number::value);
        let query = evaluation.queries[pair.query].query.clone();
        [vec![(i + 1).to_string(), query, number::signed(pair.difference())], values.to_vec()].concat()
    };
    Chart {
        title: format!("{} of the student less that of the teacher, query by query", evaluation.primary),
        caption: format!(
            "Of {} queries, the student is better on {}, equal on {} and worse on {}.{thinned}",
            number::count(sorted.len() as u64),
            count(|difference| difference > 0.0),
            count(|difference| difference == 0.0),
            count(|difference| difference < 0.0)
        ),
        traces: vec![
            bars("student better", FIRST, |difference| difference > 0.0),
            bars("teacher better", SECOND, |difference| difference < 0.0),
        ],
        layout: layout("test queries, sorted by difference", "student − teacher"),
        header: vec!["rank", "query", "difference", "student", "teacher"],
        rows: sorted.iter().enumerate().map(row).collect(),
        numbers: 2,
    }
}
