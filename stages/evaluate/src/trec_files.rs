//! Judgments and runs as TREC has them: columns separated by white space. Judgments also as test collections of BEIR have them.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use pipeline::BadInput;
use ranking::metrics::Grade;
use records::{Dialect, Field, Layout, RawFile, RawFormat, Reason, Record};

/// Characters of a value that an error tells.
const TOLD: usize = 60;

/// Columns of a file of judgments as BEIR has them, separated by tabs.
const BEIR: [&str; 3] = ["query-id", "corpus-id", "score"];

/// A value of each document of each query.
pub(crate) type ByQuery<T> = BTreeMap<String, HashMap<String, T>>;

/// Reads judgments: query, iteration, document and grade, any whole number up to `highest`. Grades below 0 are not relevant, as 0. A
/// file with BEIR's header has query, document and grade.
///
/// # Errors
/// [`BadInput`] for a line that is no judgment, one of a document that is judged twice, and a file without any; [`records::Error`].
pub(crate) fn judgments(path: &Path, highest: Grade) -> anyhow::Result<ByQuery<Grade>> {
    let form = if starts_with(path, &BEIR.join("\t"))? { Form::beir() } else { Form::trec(["1", "3", "4"]) };
    read(path, &form, &format!("a whole number up to {highest} as the grade"), |text| {
        let grade = text.parse::<i64>().ok()?;
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
    read(path, &Form::trec(["1", "3", "5"]), "a finite number as the score", |text| {
        let score = text.parse::<f64>().ok().filter(|score| score.is_finite())?;
        Some(Scored { place: places.next()?, score })
    })
}

/// How the lines of a file are read.
struct Form {
    layout: Layout,
    /// The columns of the query, the document and its value.
    names: [&'static str; 3],
    /// What the columns are called in an error.
    columns: &'static str,
}

impl Form {
    fn trec(names: [&'static str; 3]) -> Form {
        Form { layout: Layout::space(), names, columns: "columns of a TREC file" }
    }

    fn beir() -> Form {
        let layout = Layout::new(RawFormat::Tsv, &Dialect::default());
        Form { layout, names: BEIR, columns: "the columns query-id, corpus-id and score" }
    }
}

/// True if the text of a file begins so; one that cannot be read as text does not.
fn starts_with(path: &Path, expected: &str) -> Result<bool, records::Error> {
    let file = raw(path);
    let mut start = String::new();
    let read = records::open_text(&file)?.take(expected.len() as u64).read_to_string(&mut start);
    Ok(read.is_ok() && start == expected)
}

fn raw(path: &Path) -> RawFile {
    RawFile { path: path.to_path_buf(), name: path.display().to_string().into() }
}

fn read<T>(
    path: &Path,
    form: &Form,
    expected: &str,
    mut parse: impl FnMut(&str) -> Option<T>,
) -> anyhow::Result<ByQuery<T>> {
    let mut found: ByQuery<T> = BTreeMap::new();
    records::read::<anyhow::Error>(&raw(path), &form.layout, &form.names.map(Field::required), &mut |record| {
        let refused = |problem: String| Err(BadInput(format!("{}:{}: {problem}", path.display(), record.line)).into());
        let [Some(query), Some(document), Some(text)] = texts(record) else {
            return refused(format!("expected {}, found: {}; correct the line", form.columns, reason(record)));
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
        Err(BadInput(format!("{}: expected lines with {}, found none", path.display(), form.columns)))?;
    }
    Ok(found)
}

fn texts<'a>(record: &'a Record<'_>) -> [Option<&'a str>; 3] {
    match &record.values {
        Ok([query, document, value]) => [query, document, value].map(|value| value.text()),
        _ => [None; 3],
    }
}

fn reason(record: &Record<'_>) -> String {
    match &record.values {
        Err(Reason::Malformed(reason)) => reason.to_string(),
        Err(Reason::Binary(damage)) => (*damage).to_string(),
        _ => "too few".into(),
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
        let (_folder, path) = file("q1 0 a -2\nq1 0 b\t1000\n q2 Q0 a 0 \n");
        let found = judgments(&path, 1000).unwrap();
        assert_eq!(found["q1"], HashMap::from([("a".into(), 0), ("b".into(), 1000)]));
        assert_eq!(found["q2"], HashMap::from([("a".into(), 0)]));
    }

    #[test]
    fn judgments_of_a_test_collection_are_read_by_their_header() {
        let (_folder, path) = file("query-id\tcorpus-id\tscore\r\n1\ta b\t2\n1\tc\t0\n");
        assert_eq!(judgments(&path, 2).unwrap()["1"], HashMap::from([("a b".into(), 2), ("c".into(), 0)]));
        let (_folder, path) = file("query-id\tcorpus-id\tscore\n1\ta\n");
        assert!(
            refused(judgments(&path, 2)).starts_with(":2: expected the columns query-id, corpus-id and score, found: ")
        );
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
        assert!(judged("q 0 a 1\nq 0 a\n").starts_with(":2: expected columns of a TREC file, found: "));
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
