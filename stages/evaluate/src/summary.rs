//! The evaluation as a table on stdout.

use comfy_table::{CellAlignment, Table, presets};
use pipeline::config::EvaluateConfig;

use crate::compare::{Comparison, Key};
use crate::evaluation::Evaluation;
use crate::measure::Estimate;
use crate::number;
use crate::slices::ALL;

/// Systems by metrics on the whole test set with 95 % intervals, then the comparisons that matter.
pub(crate) fn text(evaluation: &Evaluation, config: &EvaluateConfig) -> String {
    let mut text = format!("{}\n", table(evaluation));
    let name = evaluation.primary;
    if evaluation.is_by_teacher() {
        text += "Nobody judged these queries: the figures say how near each system is to the teacher's order.\n";
    }
    if let Some(share) = evaluation.student_share() {
        text += &format!("The student has {} of the teacher's {name}", number::percent(share.ratio));
        text += &share.interval.map_or(".\n".into(), |interval| format!(" {}.\n", number::percent_interval(interval)));
    }
    for system in evaluation.unranked() {
        text += &format!(
            "{system} gives several documents the highest score of most queries: it ranks by the order of ties.\n"
        );
    }
    for estimate in evaluation.tie_sensitive() {
        text += &format!("{}.\n", tied(estimate));
    }
    for (comparison, key) in evaluation.key_comparisons(config) {
        text += &format!("{}\n", line(comparison, key));
    }
    text
}

fn table(evaluation: &Evaluation) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    let metrics: Vec<String> = evaluation.metrics.iter().map(ToString::to_string).collect();
    let heading = format!("{} queries", evaluation.queries.len());
    table.set_header(std::iter::once(heading).chain(metrics.iter().cloned()));
    for system in &evaluation.systems {
        let cells = metrics.iter().map(|metric| cell(evaluation.estimate(system.system, metric, ALL)));
        table.add_row(std::iter::once(system.system.to_string()).chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A metric of a system over its interval, and over the share that was judged where not all was.
pub(crate) fn cell(estimate: Option<&Estimate>) -> String {
    let value = number::value(estimate.and_then(|e| e.value));
    let mut cell = format!("{value}\n{}", number::interval(estimate.and_then(|e| e.interval)));
    if let Some(judged) = estimate.and_then(|e| e.judged).filter(|&judged| judged < 1.0) {
        cell += &format!("\njudged {:.0} %", 100.0 * judged);
    }
    cell
}

/// What a system's ties decide, as a sentence without its end.
pub(crate) fn tied(estimate: &Estimate) -> String {
    let [low, high] = estimate.ties.unwrap_or_default().map(|value| number::value(Some(value)));
    let Estimate { system, metric, value, .. } = estimate;
    let value = number::value(*value);
    format!(
        "{system} gives documents equal scores: its {metric} of {value} lies between {low} and {high} by their order"
    )
}

fn line(comparison: &Comparison, key: Key) -> String {
    format!(
        "{} - {}: {} {} {}, p {}, {} after Holm: {}",
        comparison.system_a,
        comparison.system_b,
        comparison.metric,
        number::signed(comparison.difference),
        number::signed_interval(comparison.interval),
        number::p_relation(comparison.p_value),
        number::p_value(key.p_adjusted),
        key.verdict.name(),
    )
}
