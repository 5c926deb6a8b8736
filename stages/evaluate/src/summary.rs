//! The evaluation as a table on stdout.

use comfy_table::{CellAlignment, Table, presets};

use crate::compare::Comparison;
use crate::evaluation::Evaluation;
use crate::number;

/// Systems by metrics on the whole test set with 95 % intervals, then the comparisons that matter.
pub(crate) fn text(evaluation: &Evaluation) -> String {
    let mut text = format!("{}\n", table(evaluation));
    let name = evaluation.primary;
    if evaluation.is_by_teacher() {
        text += "Nobody judged these queries: the figures say how near each system is to the teacher's order.\n";
    }
    if let Some(share) = evaluation.student_share() {
        text += &format!("The student has {:.1} % of the teacher's {name}.\n", 100.0 * share);
    }
    for system in evaluation.unranked() {
        text += &format!(
            "{system} gives several documents the highest score of most queries: it ranks by the order of ties.\n"
        );
    }
    for comparison in evaluation.key_comparisons() {
        text += &format!("{}\n", line(&comparison));
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
        let cell = |metric: &String| {
            let estimate = evaluation.estimate(system.system, metric, "all");
            let value = number::value(estimate.and_then(|e| e.value));
            format!("{value}\n{}", number::interval(estimate.and_then(|e| e.interval)))
        };
        let cells = metrics.iter().map(cell);
        table.add_row(std::iter::once(system.system.to_string()).chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn line(comparison: &Comparison) -> String {
    format!(
        "{} - {}: {} {} {}, p {}, {} after Holm",
        comparison.system_a,
        comparison.system_b,
        comparison.metric,
        number::signed(comparison.difference),
        number::signed_interval(comparison.interval),
        number::p_relation(comparison.p_value),
        number::p_value(comparison.p_adjusted),
    )
}
