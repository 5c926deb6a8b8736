//! A BEIR collection (Thakur et al., "BEIR", NeurIPS 2021): `corpus.jsonl` and `queries.jsonl`, each plain or as `.gz`, and the judgments
//! `qrels.tsv`, or those of all splits, `qrels/*.tsv`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use pipeline::BadInput;
use ranking::rng::{permutation, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::collection::{Collection, Document, JudgedQuery, Judgment, Query, TOP_GRADE};

/// The columns of qrels.tsv.
pub(crate) const QRELS_HEADER: &str = "query-id\tcorpus-id\tscore";

#[derive(Deserialize)]
struct CorpusLine {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

#[derive(Deserialize)]
struct QueryLine {
    #[serde(rename = "_id")]
    id: String,
    text: String,
}

/// The files of a collection.
pub(crate) struct Files {
    corpus: PathBuf,
    queries: PathBuf,
    /// At least one.
    qrels: Vec<PathBuf>,
}

impl Files {
    /// The files of the collection in `folder`; those that are missing are named as plain ones.
    pub(crate) fn of(folder: &Path) -> Files {
        let packed = |name: &str| Some(folder.join(format!("{name}.gz"))).filter(|path| path.is_file());
        let plain = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        let texts = |name: &str| plain(name).or_else(|| packed(name)).unwrap_or_else(|| folder.join(name));
        let splits = std::fs::read_dir(folder.join("qrels")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut splits: Vec<PathBuf> =
            splits.filter(|path| path.extension().is_some_and(|extension| extension == "tsv")).collect();
        splits.sort();
        let whole = folder.join("qrels.tsv");
        let qrels = if whole.is_file() || splits.is_empty() { vec![whole] } else { splits };
        Files { corpus: texts("corpus.jsonl"), queries: texts("queries.jsonl"), qrels }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.corpus, &self.queries].into_iter().chain(&self.qrels)
    }
}

/// Reads the collection in `folder`; which queries are frequent is drawn at random.
///
/// # Errors
/// [`BadInput`] naming the file and the line.
pub(crate) fn read(folder: &Path, seed: u64) -> anyhow::Result<(Collection, Vec<JudgedQuery>)> {
    let Files { corpus: corpus_path, queries: queries_path, qrels } = Files::of(folder);
    let mut documents: Vec<Document> = Vec::new();
    let mut document_numbers = HashMap::new();
    read_json(&corpus_path, |line: CorpusLine| {
        let number = documents.len();
        let fresh = document_numbers.insert(line.id.clone(), number).is_none();
        documents.push(Document { doc_id: line.id, title: line.title, summary: line.text });
        unique(fresh)
    })?;
    let mut lines: Vec<QueryLine> = Vec::new();
    let mut query_numbers = HashMap::new();
    read_json(&queries_path, |line: QueryLine| {
        let fresh = query_numbers.insert(line.id.clone(), lines.len()).is_none();
        lines.push(line);
        unique(fresh)
    })?;
    not_empty(&corpus_path, documents.len())?;
    not_empty(&queries_path, lines.len())?;

    let names = Names { queries: &query_numbers, documents: &document_numbers };
    let mut grades = BTreeMap::new();
    for path in &qrels {
        read_qrels(path, &names, &mut grades)?;
    }
    not_empty(&qrels[0], grades.len())?;
    let mut queries = Vec::with_capacity(lines.len());
    let mut judged = Vec::new();
    for old in permutation(&mut stream(seed, "simulate/frequency", 0), lines.len()) {
        let line = &lines[old];
        let graded = grades.remove(&old).unwrap_or_default();
        if !graded.is_empty() {
            let judgments = graded.iter().map(|(&document, &grade)| Judgment { document, grade });
            judged.push(JudgedQuery { query: queries.len(), judgments: judgments.collect() });
        }
        queries.push(Query { id: line.id.clone(), text: line.text.clone(), relevant: by_grade(&graded) });
    }
    Ok((Collection { documents, queries }, judged))
}

fn by_grade(graded: &BTreeMap<usize, u8>) -> [Vec<usize>; TOP_GRADE as usize] {
    let mut relevant: [Vec<usize>; TOP_GRADE as usize] = Default::default();
    for (&document, &grade) in graded {
        if let Some(index) = grade.checked_sub(1) {
            relevant[usize::from(index)].push(document);
        }
    }
    relevant
}

/// Numbers of the queries and documents by their ids.
struct Names<'a> {
    queries: &'a HashMap<String, usize>,
    documents: &'a HashMap<String, usize>,
}

/// By query number: the grade of each judged document.
type Grades = BTreeMap<usize, BTreeMap<usize, u8>>;

/// Adds the judgments of a file.
fn read_qrels(path: &Path, names: &Names, grades: &mut Grades) -> anyhow::Result<()> {
    let mut header = false;
    read_lines(path, |line| {
        if !header {
            header = true;
            return match line {
                QRELS_HEADER => Ok(()),
                _ => Err(format!("expected the header {QRELS_HEADER:?}, found {line:?}")),
            };
        }
        let (query, document, grade) = qrel(line, names)?;
        match grades.entry(query).or_default().insert(document, grade) {
            None => Ok(()),
            Some(_) => Err(format!("expected one judgment of a pair, found another in {line:?}; remove one")),
        }
    })
}

fn qrel(line: &str, names: &Names) -> Result<(usize, usize, u8), String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[query, document, score] = fields.as_slice() else {
        return Err(format!("expected 3 fields between tabs, found {}", fields.len()));
    };
    let grade = score.parse().ok().filter(|&grade| grade <= TOP_GRADE);
    let grade = grade.ok_or_else(|| {
        format!("expected a grade from 0 to {TOP_GRADE} as score, found {score:?}; map the grades to that range")
    })?;
    let named = |numbers: &HashMap<String, usize>, id: &str, file: &str| {
        let missing = || format!("expected an _id of {file}, found {id:?}; remove the line or add the id");
        numbers.get(id).copied().ok_or_else(missing)
    };
    Ok((named(names.queries, query, "queries.jsonl")?, named(names.documents, document, "corpus.jsonl")?, grade))
}

fn unique(fresh: bool) -> Result<(), String> {
    match fresh {
        true => Ok(()),
        false => Err("expected an _id of its own, found one of an earlier line; remove one of them".into()),
    }
}

fn not_empty(path: &Path, records: usize) -> Result<(), BadInput> {
    match records {
        0 => Err(BadInput(format!("{}: expected at least one record, found none", path.display()))),
        _ => Ok(()),
    }
}

/// Calls `take` with each line of a JSON Lines file.
fn read_json<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T) -> Result<(), String>) -> anyhow::Result<()> {
    read_lines(path, |line| {
        let record = serde_json::from_str(line)
            .map_err(|error| format!("expected a JSON object of BEIR, found {error}; repair the line"))?;
        take(record)
    })
}

/// Calls `take` with each line of a file; its errors are reported with the file and the line.
fn read_lines(path: &Path, mut take: impl FnMut(&str) -> Result<(), String>) -> anyhow::Result<()> {
    let bad = |what: String| BadInput(format!("{}{what}", path.display()));
    let file = File::open(path).map_err(|error| {
        bad(format!(
            ": cannot be opened ({error}); simulate.collection names a folder with corpus.jsonl, queries.jsonl and qrels.tsv or qrels/*.tsv"
        ))
    })?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let text: Box<dyn Read> = if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    for (number, line) in BufReader::new(text).lines().enumerate() {
        let line = match line {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(bad(format!(":{}: expected UTF-8, found other bytes; convert the file", number + 1)))?
            }
            line => line.with_context(|| format!("{}: reading failed", path.display()))?,
        };
        take(&line).map_err(|reason| bad(format!(":{}: {reason}", number + 1)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const CORPUS: &str = "{\"_id\":\"a\",\"title\":\"t\",\"text\":\"x y\"}\n{\"_id\":\"b\",\"text\":\"\"}\n";
    const QUERIES: &str = "{\"_id\":\"1\",\"text\":\"x\"}\n{\"_id\":\"2\",\"text\":\"y\",\"metadata\":{}}\n";
    const QRELS: &str = "query-id\tcorpus-id\tscore\n1\tb\t4\n1\ta\t0\n";

    fn read_texts(corpus: &str, queries: &str, qrels: &str) -> Result<(Collection, Vec<JudgedQuery>), String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels.tsv", qrels)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let prefix = format!("{}/", folder.path().display());
        read(folder.path(), 1).map_err(|error| {
            assert!(error.is::<BadInput>(), "{error}");
            error.to_string().replace(&prefix, "")
        })
    }

    #[test]
    fn every_document_and_judgment_is_kept() {
        let (collection, judged) = read_texts(CORPUS, QUERIES, QRELS).unwrap();
        assert_eq!(collection.documents.len(), 2);
        assert_eq!(collection.documents[1].summary, "");
        assert_eq!(collection.queries.len(), 2);
        let [only] = judged.as_slice() else { panic!("{judged:?}") };
        let query = &collection.queries[only.query];
        assert_eq!((query.id.as_str(), query.grade(0), query.grade(1)), ("1", 0, 4));
        assert_eq!(only.judgments.len(), 2);
    }

    #[test]
    fn packed_texts_and_the_judgments_of_splits_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("qrels")).unwrap();
        let packed = |text: &str| {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(text.as_bytes()).unwrap();
            packed.finish().unwrap()
        };
        let split = |judgment: &str| format!("{QRELS_HEADER}\n{judgment}\n").into_bytes();
        let files = [
            ("corpus.jsonl.gz", packed(CORPUS)),
            ("queries.jsonl", QUERIES.into()),
            ("qrels/train.tsv", split("1\tb\t1")),
            ("qrels/test.tsv", split("2\ta\t2")),
        ];
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        assert_eq!(Files::of(folder.path()).all().count(), 4);
        let (collection, judged) = read(folder.path(), 1).unwrap();
        assert_eq!((collection.documents.len(), collection.queries.len(), judged.len()), (2, 2, 2));
    }

    #[test]
    fn slips_are_named_with_file_and_line() {
        let qrels = |line: &str| format!("{QRELS}{line}\n");
        let cases = [
            (
                read_texts("{\"_id\":\"a\"}", QUERIES, QRELS),
                "corpus.jsonl:1: expected a JSON object of BEIR, found missing field `text`",
            ),
            (read_texts(&CORPUS.replace('b', "a"), QUERIES, QRELS), "corpus.jsonl:2: expected an _id of its own"),
            (read_texts("", QUERIES, QRELS), "corpus.jsonl: expected at least one record, found none"),
            (
                read_texts(CORPUS, "{}\n", QRELS),
                "queries.jsonl:1: expected a JSON object of BEIR, found missing field `_id`",
            ),
            (
                read_texts(CORPUS, QUERIES, "1\ta\t1\n"),
                "qrels.tsv:1: expected the header \"query-id\\tcorpus-id\\tscore\", found \"1\\ta\\t1\"",
            ),
            (
                read_texts(CORPUS, QUERIES, &qrels("2\ta\t5")),
                "qrels.tsv:4: expected a grade from 0 to 4 as score, found \"5\"",
            ),
            (
                read_texts(CORPUS, QUERIES, &qrels("2\ta\t-1")),
                "qrels.tsv:4: expected a grade from 0 to 4 as score, found \"-1\"",
            ),
            (read_texts(CORPUS, QUERIES, &qrels("2\ta")), "qrels.tsv:4: expected 3 fields between tabs, found 2"),
            (
                read_texts(CORPUS, QUERIES, &qrels("3\ta\t1")),
                "qrels.tsv:4: expected an _id of queries.jsonl, found \"3\"",
            ),
            (
                read_texts(CORPUS, QUERIES, &qrels("2\tc\t1")),
                "qrels.tsv:4: expected an _id of corpus.jsonl, found \"c\"",
            ),
            (read_texts(CORPUS, QUERIES, &qrels("1\ta\t1")), "qrels.tsv:4: expected one judgment of a pair"),
        ];
        for (result, expected) in cases {
            let error = result.unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let missing = read(Path::new("/nowhere"), 1).unwrap_err();
        assert!(missing.is::<BadInput>() && missing.to_string().starts_with("/nowhere/corpus.jsonl: cannot be opened"));
    }
}
