//! The teacher's scores on the scale of the grades, for losses that are defined on grades alone.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;
use tables::StageDir;

/// The file in the shared run's folder, which the configurations of other runs name.
pub(crate) const GRADES: &str = "grades.jsonl";

/// The highest grade of a judgment.
const HIGHEST: f32 = 4.0;

/// Writes the scores of a finished run, scaled in a line so that the lowest is 0 and the highest 4, as a file that
/// `score.teacher.scores` reads. A file with these very scores stays as it is.
///
/// # Errors
/// A run without scores.
pub(crate) fn write(run_dir: &Path) -> anyhow::Result<()> {
    let table = StageDir::open(run_dir, "score")?.table("teacher_scores")?;
    let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
    let scores = scaled(table.float32s("score")?.values());
    let mut text = String::new();
    for (row, score) in scores.iter().enumerate() {
        let line = json!({ "query_id": query_ids.value(row), "doc_id": doc_ids.value(row), "score": score });
        writeln!(text, "{line}")?;
    }
    let path = run_dir.join(GRADES);
    if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
        files::write_atomically(&path, text.as_bytes())?;
    }
    Ok(())
}

fn scaled(scores: &[f32]) -> Vec<f32> {
    let low = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let high = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = |score: f32| if high > low { HIGHEST * ((score - low) / (high - low)) } else { 0.0 };
    scores.iter().map(|&score| scale(score)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_scaled_to_grades() {
        assert_eq!(scaled(&[-3.0, 5.0, 1.0]), [0.0, 4.0, 2.0]);
        assert_eq!(scaled(&[2.0, 2.0]), [0.0, 0.0]);
        assert_eq!(scaled(&[]), [0.0; 0]);
    }
}
