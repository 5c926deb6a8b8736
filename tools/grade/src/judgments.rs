//! The output: grades as judgments, in the format of BEIR.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use files::AtomicFile;
use pipeline::BadInput;

use crate::GradedPair;

/// Writes the pairs that have a grade: the columns of BEIR, then the run's own grade and the text of the query, by which queries
/// are known where the log has no ids.
pub(crate) fn write(out: &Path, graded: &[GradedPair<'_>]) -> anyhow::Result<()> {
    let failed = || format!("{}: writing failed", out.display());
    let mut file = AtomicFile::create(out)?;
    writeln!(file, "query-id\tcorpus-id\tscore\tjudged\tquery").with_context(failed)?;
    for pair in graded {
        let Some(grade) = pair.answer.grade else { continue };
        let judged = pair.judged.map_or(String::new(), |judged| judged.to_string());
        let query = pair.query.replace(is_separator, " ");
        writeln!(file, "{}\t{}\t{grade}\t{judged}\t{query}", id(pair.query_id)?, id(pair.doc_id)?)
            .with_context(failed)?;
    }
    Ok(file.commit()?)
}

fn is_separator(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
}

fn id(id: &str) -> Result<&str, BadInput> {
    match id.contains(is_separator) {
        true => Err(BadInput(format!("expected ids that tab-separated text can hold, found {id:?}"))),
        false => Ok(id),
    }
}
