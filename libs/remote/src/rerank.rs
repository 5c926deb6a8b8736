//! The three ways to ask for scores.

use serde_json::{Map, Value, json};

use crate::error::{Error, excerpt};
use crate::list::{List, Text};
use crate::pool::{Api, Bad, OTHER_API, Pool, Work};

const APIS: [Api; 3] = [Api::Tei, Api::Rerank, Api::VllmScore];

impl Pool {
    /// The scores of each list's documents, in their order, as the servers give them: `tei` raw logits, the others what the model
    /// is served with. Lists are cut into requests of `batch` documents; models whose scores depend on the other documents of a
    /// request need a `batch` of whole lists.
    ///
    /// # Errors
    /// [`Error`]; an answer that lacks a document, names one twice or has a score that is no finite number is one.
    pub fn score(&mut self, lists: &[List<'_>]) -> Result<Vec<Vec<f64>>, Error> {
        self.require_api(&APIS)?;
        let (api, size) = (self.config.api, self.config.batch());
        let batches =
            lists.iter().flat_map(|list| list.documents.chunks(size).map(|documents| (list.query, documents)));
        let works = batches.map(|(query, documents)| Batch { api, query, documents, scores: Vec::new() }).collect();
        let mut scores = self.run(works)?.into_iter().flat_map(|batch| batch.scores);
        Ok(lists.iter().map(|list| scores.by_ref().take(list.documents.len()).collect()).collect())
    }
}

/// The documents of one request.
struct Batch<'a> {
    api: Api,
    query: Text<'a>,
    documents: &'a [Text<'a>],
    scores: Vec<f64>,
}

impl Work for Batch<'_> {
    fn body(&self) -> Map<String, Value> {
        let query = self.query.text;
        let texts: Vec<&str> = self.documents.iter().map(|document| document.text).collect();
        let fields = match self.api {
            Api::Tei => json!({ "query": query, "texts": texts, "raw_scores": true, "truncate": true }),
            Api::Rerank => json!({ "query": query, "documents": texts, "top_n": texts.len() }),
            _ => json!({ "text_1": query, "text_2": texts }),
        };
        fields.as_object().cloned().unwrap_or_default()
    }

    fn take(&mut self, answer: &Value) -> Result<bool, Bad> {
        let (items, form, score) = match self.api {
            Api::Tei => (answer.as_array(), "[{index, score}]", "score"),
            Api::Rerank => (answer["results"].as_array(), "{results: [{index, relevance_score}]}", "relevance_score"),
            _ => (answer["data"].as_array(), "{data: [{index, score}]}", "score"),
        };
        let items = items.ok_or_else(|| bad(None, form, excerpt(answer.to_string().as_bytes())))?;
        self.scores = scores(items, score, self.documents)?;
        Ok(false)
    }

    fn ids(&self) -> (&str, Vec<&str>) {
        (self.query.id, self.documents.iter().map(|document| document.id).collect())
    }
}

fn scores(items: &[Value], field: &str, documents: &[Text<'_>]) -> Result<Vec<f64>, Bad> {
    let mut scores = vec![None; documents.len()];
    for item in items {
        let index = item["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        let place = index.filter(|&index| index < documents.len());
        let Some(place) = place else {
            let expected = format!("an index from 0 to {}", documents.len() - 1);
            return Err(bad(None, expected, excerpt(item.to_string().as_bytes())));
        };
        let id = documents[place].id;
        let Some(score) = item[field].as_f64().filter(|score| score.is_finite()) else {
            let found = excerpt(item.get(field).map_or("none".into(), Value::to_string).as_bytes());
            return Err(bad(Some(id), format!("a finite number in {field}"), found));
        };
        if scores[place].replace(score).is_some() {
            return Err(bad(Some(id), "one score", format!("index {place} twice")));
        }
    }
    let with_ids = scores.into_iter().zip(documents);
    let missing = |id| bad(Some(id), "a score", format!("none among {} of {} documents", items.len(), documents.len()));
    with_ids.map(|(score, document)| score.ok_or_else(|| missing(document.id))).collect()
}

fn bad(document: Option<&str>, expected: impl Into<String>, found: impl Into<String>) -> Bad {
    Bad { document: document.map(Into::into), expected: expected.into(), found: found.into(), remedy: OTHER_API }
}
