//! Runs and judgments as TREC has them, for trec_eval, ir_measures and `evaluate --qrels`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use collection::TEST;
use tables::StageDir;

use crate::evaluation::Evaluation;
use crate::measure::Measured;

/// The folder of the output.
const FOLDER: &str = "trec";

/// The judgments.
const JUDGMENTS: &str = "qrels.txt";

/// Writes a file `<system>.run` for each system: query, `Q0`, document, rank, score and the system, in the order of the rankings.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write_runs(evaluation: &Evaluation, out: &Path) -> anyhow::Result<()> {
    evaluation.systems.iter().try_for_each(|system| {
        write(out, &format!("{}.run", system.system), |file| write_run(system, evaluation, file))
    })
}

fn write_run(system: &Measured, evaluation: &Evaluation, file: &mut dyn Write) -> std::io::Result<()> {
    let name = id(system.system);
    for (query, ranking) in evaluation.queries.iter().zip(&system.rankings) {
        let query_id = id(&query.query_id);
        for (i, document) in ranking.retrieved().iter().enumerate() {
            writeln!(file, "{query_id} Q0 {} {} {} {name}", id(document.doc_id), i + 1, document.score)?;
        }
    }
    Ok(())
}

/// Writes the judgments of the test queries, those of documents that no system can rank included.
///
/// # Errors
/// [`tables::Error`], a file that cannot be written.
pub(crate) fn write_judgments(ingested: &[StageDir], out: &Path) -> anyhow::Result<()> {
    let tables = ingested.iter().map(|ingest| ingest.table("judgments"));
    let mut lines = Vec::new();
    for table in tables.collect::<tables::Result<Vec<_>>>()? {
        let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
        let (grades, splits) = (table.int32s("grade")?, table.strings("split")?);
        let tested = (0..table.rows()).filter(|&row| splits.value(row) == TEST);
        lines.extend(
            tested
                .map(|row| format!("{} 0 {} {}", id(query_ids.value(row)), id(doc_ids.value(row)), grades.value(row))),
        );
    }
    write(out, JUDGMENTS, |file| lines.iter().try_for_each(|line| writeln!(file, "{line}")))
}

fn write(out: &Path, name: &str, rows: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> anyhow::Result<()> {
    let folder = out.join(FOLDER);
    let path = folder.join(name);
    let written = std::fs::create_dir_all(&folder).and_then(|()| File::create(&path)).and_then(|file| {
        let mut file = BufWriter::new(file);
        rows(&mut file)?;
        file.flush()
    });
    written.with_context(|| format!("{}: writing failed", path.display()))
}

/// An id without white space, which separates the columns.
fn id(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for character in id.chars() {
        if character.is_whitespace() {
            let mut bytes = [0; 4];
            character.encode_utf8(&mut bytes).bytes().for_each(|byte| text += &format!("%{byte:02X}"));
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_no_white_space() {
        assert_eq!(id("https://a.b/c?d=1%20"), "https://a.b/c?d=1%20");
        assert_eq!(id("two words\u{3000}é"), "two%20words%E3%80%80é");
    }
}
