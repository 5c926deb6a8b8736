//! The table of a comparison.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Context;

use crate::graph::Precision;

/// A model in a runtime.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) runtime: String,
    pub(super) precision: Precision,
    /// The largest difference of a score from those of the first line.
    pub(super) difference: Option<f32>,
    pub(super) ndcg: Option<f64>,
    /// Of each batch.
    pub(super) seconds: Vec<f64>,
}

/// Prints a table, in Markdown.
///
/// # Errors
/// Output that nobody takes.
pub(super) fn print(lines: &[Line], pairs: usize, (sequences, batch): (usize, usize)) -> anyhow::Result<()> {
    std::io::stdout().write_all(text(lines, pairs, (sequences, batch)).as_bytes()).context("stdout: writing failed")
}

fn text(lines: &[Line], pairs: usize, (sequences, batch): (usize, usize)) -> String {
    let graded = lines.iter().any(|line| line.ndcg.is_some());
    let first = lines.first().and_then(|line| line.ndcg);
    let mut text =
        format!("{pairs} pairs, in batches of {batch}\n\n| runtime | precision | largest difference of a score | ");
    text += if graded { "NDCG@10 | difference | " } else { "" };
    text += "ms for a batch, median | pairs/s |\n| --- | --- | ---: | ";
    text += if graded { "---: | ---: | ---: | ---: |\n" } else { "---: | ---: |\n" };
    for line in lines {
        let precision = if line.precision == Precision::F32 { "f32" } else { "int8" };
        let difference = line.difference.map_or_else(String::new, |difference| format!("{difference:.2e}"));
        // Writing to a string cannot fail.
        let _ = write!(text, "| {} | {precision} | {difference} | ", line.runtime);
        if graded {
            let ndcg = line.ndcg.unwrap_or(f64::NAN);
            let _ = write!(text, "{ndcg:.4} | {:+.4} | ", ndcg - first.unwrap_or(f64::NAN));
        }
        let rate = sequences as f64 / line.seconds.iter().sum::<f64>().max(1e-9);
        let _ = writeln!(text, "{:.1} | {rate:.0} |", 1000.0 * median(&line.seconds));
    }
    text
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(runtime: &str, difference: Option<f32>, ndcg: Option<f64>) -> Line {
        Line { runtime: runtime.into(), precision: Precision::F32, difference, ndcg, seconds: vec![0.2, 0.1, 0.7] }
    }

    #[test]
    fn grades_add_columns() {
        let without = text(&[line("a", None, None), line("b", Some(0.25), None)], 96, (96, 32));
        assert!(without.ends_with("| a | f32 |  | 200.0 | 96 |\n| b | f32 | 2.50e-1 | 200.0 | 96 |\n"), "{without}");
        let with = text(&[line("a", None, Some(0.5)), line("b", Some(0.25), Some(0.45))], 96, (96, 32));
        assert!(with.contains("| b | f32 | 2.50e-1 | 0.4500 | -0.0500 | 200.0 | 96 |\n"), "{with}");
    }
}
