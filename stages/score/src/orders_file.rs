//! Files of orders: the lists that `RankLLM` and `RankGPT` write after a language model has put them in order.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;

use analysis::normalised_query;
use collection::Corpus;
use pipeline::config::{ScoresFile, ScoresFormat};
use pipeline::{BadInput, RunPaths};
use records::{Dialect, Layout, RawFile, RawFormat, Reason, Record};
use remote::chat::{Reading, read_permutation};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A list in order.
#[derive(Debug)]
pub(crate) struct OrderedList {
    /// What the file calls its query.
    pub(crate) query_name: String,
    /// The query, if the collection has it.
    pub(crate) query: Option<usize>,
    /// The ids of its documents, the best first, each once, and whether an answer left them out.
    pub(crate) documents: Vec<(String, bool)>,
}

/// What had to be mended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Repairs {
    /// Documents or places that were named before.
    repeated: usize,
    /// Places that no document has.
    unknown: usize,
    /// Documents that an answer did not name, which follow in the order of the list.
    missing: usize,
}

impl fmt::Display for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repairs { repeated, unknown, missing } = self;
        write!(f, "{repeated} repeated, {unknown} unknown and {missing} missing places were mended")
    }
}

/// A list as `RankLLM` writes its results (`rank_llm/data.py` of castorini/rank_llm).
#[derive(Debug, Deserialize)]
struct RankLlmList {
    query: RankLlmQuery,
    candidates: Vec<Document>,
}

#[derive(Debug, Deserialize)]
struct RankLlmQuery {
    qid: Id,
}

/// A list as `RankGPT` has it: re-ranked `hits` (`rank_gpt.py` of sunnweiwei/RankGPT), or the `retrieved_passages` of its training
/// data, which the answers of another file order (`specialization.py`).
#[derive(Debug, Deserialize)]
struct RankGptList {
    query: String,
    #[serde(alias = "qid")]
    query_id: Option<Id>,
    #[serde(alias = "retrieved_passages")]
    hits: Vec<Document>,
}

#[derive(Debug, Deserialize)]
struct Document {
    docid: Id,
    /// The query that `RankGPT` retrieved it for.
    qid: Option<Id>,
}

/// An id, which both write as text or as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(serde_json::Number),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Text(text) => f.write_str(text.trim()),
            Id::Number(number) => number.fmt(f),
        }
    }
}

/// Reads the lists of `file` in their order and gives each, with its line, to `take`.
///
/// # Errors
/// [`BadInput`] for a record of another form, and for a file of answers that has not one for each list; what `take` refuses.
pub(crate) fn read(
    (paths, config): (&RunPaths, &ScoresFile),
    file: &RawFile,
    corpus: &Corpus,
    take: &mut dyn FnMut(u64, OrderedList) -> anyhow::Result<()>,
) -> anyhow::Result<Repairs> {
    let answers = config.permutations.as_ref().map(|path| answers(paths, path)).transpose()?;
    let by_text: HashMap<&str, usize> =
        corpus.queries.iter().zip(0..).map(|(query, at)| (&query.text[..], at)).collect();
    let mut repairs = Repairs::default();
    let mut lists = 0;
    let layout = Layout::new(RawFormat::Jsonl, &Dialect::default());
    records::read::<anyhow::Error>(file, &layout, &[], &mut |record| {
        let answer = answers.as_ref().map(|answers| answers.get(lists).map_or("", String::as_str));
        lists += 1;
        let (name, query, documents) = match config.format {
            ScoresFormat::RankLlm => {
                let RankLlmList { query, candidates } = parsed(file, record)?;
                let name = query.qid.to_string();
                (name.clone(), corpus.query(&name).ok(), candidates)
            }
            _ => {
                let RankGptList { query, query_id, hits } = parsed(file, record)?;
                let id = query_id.as_ref().or(hits.first().and_then(|hit| hit.qid.as_ref())).map(Id::to_string);
                let found = match &id {
                    Some(id) => corpus.query(id).ok(),
                    None => by_text.get(&normalised_query(&query)[..]).copied(),
                };
                (id.unwrap_or(query), found, hits)
            }
        };
        take(record.line, OrderedList { query_name: name, query, documents: repairs.ordered(documents, answer) })
    })?;
    if let (Some(answers), Some(path)) = (&answers, &config.permutations)
        && answers.len() != lists
    {
        Err(BadInput(format!(
            "{path}: expected an answer for each of the {lists} lists of {}, found {}; name files that belong together",
            file.name,
            answers.len()
        )))?;
    }
    Ok(repairs)
}

impl Repairs {
    /// The documents in the order that an answer gives them, each once; without an answer, as they stand.
    fn ordered(&mut self, documents: Vec<Document>, answer: Option<&str>) -> Vec<(String, bool)> {
        let mut ids: Vec<String> = documents.into_iter().map(|document| document.docid.to_string()).collect();
        let mut named = ids.len();
        if let Some(answer) = answer {
            let Reading { order, named: count, repeated, unknown } = read_permutation(answer, ids.len());
            ids = order.into_iter().map(|place| std::mem::take(&mut ids[place])).collect();
            self.repeated += repeated;
            self.unknown += unknown;
            self.missing += ids.len() - count;
            // An answer without any place says nothing about a document, as in `remote::chat`.
            named = if count > 0 { count } else { named };
        }
        let mut seen = HashSet::new();
        let count = ids.len();
        let once = ids.into_iter().enumerate().filter(|(_, id)| seen.insert(id.clone()));
        let once: Vec<(String, bool)> = once.map(|(place, id)| (id, place >= named)).collect();
        self.repeated += count - once.len();
        once
    }
}

/// The answers of a file, in the order of the lists.
fn answers(paths: &RunPaths, path: &str) -> anyhow::Result<Vec<String>> {
    let read = || -> std::io::Result<Vec<String>> { Ok(serde_json::from_slice(&fs::read(paths.resolve(path))?)?) };
    Ok(read().map_err(|error| {
        BadInput(format!(
            "{path}: expected a JSON array of texts such as `[2] > [1]`, found: {error}; correct score.teacher.scores.permutations"
        ))
    })?)
}

fn parsed<T: DeserializeOwned>(file: &RawFile, record: &Record<'_>) -> anyhow::Result<T> {
    let refused =
        |problem: String| BadInput(format!("{}:{}: expected a list, found: {problem}", file.name, record.line));
    if let Err(Reason::Malformed(problem)) = &record.values {
        Err(refused(problem.to_string()))?;
    }
    Ok(serde_json::from_slice(&record.content()).map_err(|error| refused(error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(ids: &[&str]) -> Vec<Document> {
        ids.iter().map(|id| Document { docid: Id::Text((*id).into()), qid: None }).collect()
    }

    fn ordered(ids: &[&str], answer: Option<&str>) -> (Vec<String>, Vec<bool>, [usize; 3]) {
        let mut repairs = Repairs::default();
        let (ids, left_out) = repairs.ordered(documents(ids), answer).into_iter().unzip();
        (ids, left_out, [repairs.repeated, repairs.unknown, repairs.missing])
    }

    #[test]
    fn answers_order_and_what_they_lack_follows() {
        assert_eq!(
            ordered(&["a", "b", "c"], None),
            (["a", "b", "c"].map(String::from).to_vec(), vec![false; 3], [0; 3])
        );
        let whole = ordered(&["a", "b", "c"], Some("[3] > [1] > [2]"));
        assert_eq!(whole, (["c", "a", "b"].map(String::from).to_vec(), vec![false; 3], [0; 3]));
        let broken = ordered(&["a", "b", "c", "d"], Some("[3] > [3] > [9] > [1]"));
        assert_eq!(broken.0, ["c", "a", "b", "d"]);
        assert_eq!((broken.1, broken.2), (vec![false, false, true, true], [1, 1, 2]));
        // Nothing named: the list as it stands, and no document was left out on purpose.
        let silent = ordered(&["a", "b"], Some("I cannot"));
        assert_eq!(silent, (["a", "b"].map(String::from).to_vec(), vec![false; 2], [0, 0, 2]));
        assert_eq!(ordered(&["a", "b", "a"], None), (["a", "b"].map(String::from).to_vec(), vec![false; 2], [1, 0, 0]));
    }

    #[test]
    fn both_libraries_lists_are_read() {
        let text =
            r#"{"query": {"text": "t", "qid": 264014}, "candidates": [{"docid": "D1", "score": 0.5, "doc": {}}]}"#;
        let RankLlmList { query, candidates } = serde_json::from_str(text).unwrap();
        assert_eq!((query.qid.to_string(), candidates[0].docid.to_string()), ("264014".into(), "D1".into()));
        let text = r#"{"query": "t", "hits": [{"content": "c", "qid": 7, "docid": "D1", "rank": 1, "score": 2.5}]}"#;
        let list: RankGptList = serde_json::from_str(text).unwrap();
        assert_eq!(list.hits[0].qid.as_ref().unwrap().to_string(), "7");
        let text = r#"{"query": "t", "positive_passages": [], "retrieved_passages": [{"docid": 12, "text": "c"}]}"#;
        let list: RankGptList = serde_json::from_str(text).unwrap();
        assert_eq!(list.hits[0].docid.to_string(), "12");
    }
}
