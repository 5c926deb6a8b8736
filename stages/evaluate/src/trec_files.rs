//! Judgments and runs as TREC has them: columns separated by white space. Judgments also as test collections of BEIR have them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use pipeline::BadInput;
use ranking::metrics::Grade;
use records::{Field, Layout, RawFile, Reason, Record, Value};

/// Characters of a value that an error tells.
const TOLD: usize = 60;

/// A value of each document of each query.
pub(crate) type ByQuery<T> = BTreeMap<String, HashMap<String, T>>;

/// The columns of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// Query, iteration, document, grade.
    Judgments,
    /// The same without the iteration, below [`Form::HEADER`].
    BeirJudgments,
    /// Query, `Q0`, document, rank, score, name.
    Run,
}

impl Form {
    /// The first line of [`Form::BeirJudgments`].
    const HEADER: [&str; 3] = ["query-id", "corpus-id", "score"];

    /// Query, document and value of a line.
    fn texts<'a>(self, record: &'a Record<'_>) -> Option<[&'a str; 3]> {
        let values = record.values.as_deref().ok()?;
        let places = match self {
            Form::Judgments => [0, 2, 3],
            // An id with white space would be two columns.
            Form::BeirJudgments if record.fields == 3 => [0, 1, 2],
            Form::BeirJudgments => return None,
            Form::Run => [0, 2, 4],
        };
        let [query, document, value] = places.map(|place| values.get(place).and_then(Value::text));
        Some([query?, document?, value?])
    }

    fn columns(self) -> &'static str {
        match self {
            Form::Judgments | Form::Run => "columns of a TREC file",
            Form::BeirJudgments => "the columns query-id, corpus-id and score",
        }
    }
}

/// Reads judgments: query, iteration, document and grade, any whole number up to `highest`. Grades below 0 are not relevant, as 0. A
/// file with BEIR's header has query, document and grade.
///
/// # Errors
/// [`BadInput`] for a line that is no judgment, one of a document that is judged twice, and a file without any; [`records::Error`].
pub(crate) fn judgments(path: &Path, highest: Grade) -> anyhow::Result<ByQuery<Grade>> {
    let expected = format!("a whole number up to {highest} as the grade");
    read(path, Form::Judgments, &expected, |text| {
        // pandas writes whole numbers of columns with gaps so.
        let grade = text.strip_suffix(".0").unwrap_or(text).parse::<i64>().ok()?;
        Grade::try_from(grade.max(0)).ok().filter(|&grade| grade <= highest)
    })
}

/// A document of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    /// Where it stands in the file.
    pub(crate) place: usize,
    /// Its score.
    pub(crate) score: f64,
}

/// Reads a run: query, `Q0`, document, rank, score and name. Ranks are not looked at: scores decide, as in trec_eval.
///
/// # Errors
/// As [`judgments`].
pub(crate) fn run(path: &Path) -> anyhow::Result<ByQuery<Scored>> {
    let mut places = 0..;
    read(path, Form::Run, "a finite number as the score", |text| {
        let score = text.parse::<f64>().ok().filter(|score| score.is_finite())?;
        Some(Scored { place: places.next()?, score })
    })
}

fn read<T>(
    path: &Path,
    mut form: Form,
    expected: &str,
    mut parse: impl FnMut(&str) -> Option<T>,
) -> anyhow::Result<ByQuery<T>> {
    let file = RawFile { path: path.to_path_buf(), name: path.display().to_string().into() };
    let mut found: ByQuery<T> = BTreeMap::new();
    let fields = ["1", "2", "3", "4", "5"].map(Field::optional);
    records::read::<anyhow::Error>(&file, &Layout::space(), &fields, &mut |record| {
        let refused = |problem: String| Err(BadInput(format!("{}:{}: {problem}", path.display(), record.line)).into());
        // Files that were joined have it again.
        let may_begin = form == Form::BeirJudgments || (form == Form::Judgments && found.is_empty());
        if may_begin && Form::BeirJudgments.texts(record) == Some(Form::HEADER) {
            form = Form::BeirJudgments;
            return Ok(());
        }
        let Some([query, document, text]) = form.texts(record) else {
            let found = reason(record);
            return refused(format!("expected {}, found: {found}; correct the line", form.columns()));
        };
        let Some(value) = parse(text) else {
            let found = records::printable(text.as_bytes(), TOLD);
            return refused(format!("expected {expected}, found {found}; correct the line"));
        };
        if found.entry(query.to_string()).or_default().insert(document.to_string(), value).is_some() {
            return refused(format!(
                "expected document `{document}` of query `{query}` once, found it twice; keep one"
            ));
        }
        Ok(())
    })?;
    if found.is_empty() {
        Err(BadInput(format!("{}: expected lines with {}, found none", path.display(), form.columns())))?;
    }
    Ok(found)
}

fn reason(record: &Record<'_>) -> String {
    match &record.values {
        Err(Reason::Malformed(reason)) => reason.to_string(),
        Err(Reason::Binary(reason) | Reason::LeftOut(reason)) => (*reason).to_string(),
        Ok(_) => format!("{} columns", record.fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.txt");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn refused(found: anyhow::Result<impl Sized>) -> String {
        let error = found.err().unwrap();
        assert!(error.is::<BadInput>() || error.is::<records::Error>(), "{error}");
        let text = error.to_string();
        text.rsplit_once("file.txt").unwrap().1.to_string()
    }

    #[test]
    fn grades_are_whole_numbers_and_those_below_0_are_0() {
        let (_folder, path) = file("q1 0 a -2\nq1 0 b\t1000.0\n q2 Q0 a 0 \n");
        let found = judgments(&path, 1000).unwrap();
        assert_eq!(found["q1"], HashMap::from([("a".into(), 0), ("b".into(), 1000)]));
        assert_eq!(found["q2"], HashMap::from([("a".into(), 0)]));
    }

    #[test]
    fn judgments_of_a_test_collection_are_told_by_their_header() {
        let (_folder, path) = file("\nquery-id\tcorpus-id\tscore\r\n1\ta\t2\nquery-id corpus-id score\n1\tc\t0\n");
        assert_eq!(judgments(&path, 2).unwrap()["1"], HashMap::from([("a".into(), 2), ("c".into(), 0)]));
        let expected = "expected the columns query-id, corpus-id and score, found";
        for (line, found) in [("1\ta", 2), ("1\ta b\t2", 4), ("1\ta\t2\tmore", 4)] {
            let (_folder, path) = file(&format!("query-id\tcorpus-id\tscore\n{line}\n"));
            let error = format!(":2: {expected}: {found} columns; correct the line");
            assert_eq!(refused(judgments(&path, 2)), error);
        }
        let (_folder, path) = file("query-id\tcorpus-id\tscore\n");
        assert!(refused(run(&path)).starts_with(":1: expected columns of a TREC file"));
        assert!(refused(judgments(&path, 2)).ends_with("score, found none"));
    }

    #[test]
    fn lines_that_say_nothing_are_refused_with_their_place() {
        let judged = |text: &str| {
            let (_folder, path) = file(text);
            refused(judgments(&path, 9))
        };
        let expected = ":2: expected a whole number up to 9 as the grade, found";
        for grade in ["10", "1.5", "x", "99999999999999999999"] {
            assert_eq!(judged(&format!("q 0 a 1\nq 0 b {grade}\n")), format!("{expected} {grade}; correct the line"));
        }
        assert_eq!(
            judged("q 0 a 1\nq 0 a 1\n"),
            ":2: expected document `a` of query `q` once, found it twice; keep one"
        );
        assert_eq!(
            judged("q 0 a 1\nq 0 a\n"),
            ":2: expected columns of a TREC file, found: 3 columns; correct the line"
        );
        let ran = |text: &str| {
            let (_folder, path) = file(text);
            refused(run(&path))
        };
        assert_eq!(ran("q Q0 a 1 nan me\n"), ":1: expected a finite number as the score, found nan; correct the line");
        let (_folder, path) = file("q Q0 a 1 -0.5e-3 me\nq Q0 b 2 7 me\n");
        let scored = |place, score| Scored { place, score };
        let expected = HashMap::from([("a".to_string(), scored(0, -0.0005)), ("b".to_string(), scored(1, 7.0))]);
        assert_eq!(run(&path).unwrap()["q"], expected);
    }
}
