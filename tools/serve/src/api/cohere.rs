//! The rerank APIs of Cohere, versions 1 and 2, and of Jina, which has the path of Cohere's version 1. The answer to that
//! path has the fields of both, and so have its errors.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Refusal, ranked, sigmoid};
use crate::job::{Pair, Reading, Scored};

/// The field of a document that is an object, where the request names none.
const TEXT: &str = "text";

/// The version of Cohere's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// What `POST /v1/rerank` and `POST /v2/rerank` read. The model is the one that is served, whatever `model` names.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CohereRerankRequest")]
pub(crate) struct RerankRequest {
    /// The query.
    pub(crate) query: String,
    /// The documents.
    pub(crate) documents: Vec<Document>,
    /// How many documents the answer has at most; all without it.
    pub(crate) top_n: Option<usize>,
    /// Fields of documents that are objects, whose texts are read one after the other; `text` without it.
    pub(crate) rank_fields: Option<Vec<String>>,
    /// Repeats the documents in the answer: by default in version 1, as Jina does, and not in version 2.
    pub(crate) return_documents: Option<bool>,
    /// Most passages of a document, where the model reads documents in passages.
    pub(crate) max_chunks_per_doc: Option<usize>,
    /// Most tokens of a document; what is beyond them is cut, and what is beyond the model's window.
    #[serde(alias = "max_doc_length")]
    pub(crate) max_tokens_per_doc: Option<usize>,
    /// Spans of documents, which this server does not tell: anything but `disabled` is refused.
    pub(crate) relevant_spans: Option<RelevantSpans>,
}

/// A document.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or an object")]
pub(crate) enum Document {
    /// Its text.
    Text(String),
    /// Its fields.
    Fields(Map<String, Value>),
}

/// Whether spans of documents are asked for.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RelevantSpans {
    /// `enabled` or `disabled`.
    mode: String,
}

/// What `POST /v1/rerank` and `POST /v2/rerank` answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CohereRerankResponse")]
pub(crate) struct RerankResponse {
    /// A random name of the answer.
    pub(crate) id: String,
    /// The documents, the best one first.
    pub(crate) results: Vec<Ranked>,
    /// What Cohere tells.
    pub(crate) meta: Meta,
    /// What Jina tells; in version 1.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) jina: Option<Jina>,
}

/// A document of an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ranked {
    /// The document's place in the request, from 0.
    pub(crate) index: usize,
    /// The sigmoid of the logit.
    pub(crate) relevance_score: f32,
    /// The document as an object, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) document: Option<Map<String, Value>>,
}

/// What Cohere tells of an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Meta {
    /// The version of the API.
    pub(crate) api_version: ApiVersion,
    /// One search for each request.
    pub(crate) billed_units: BilledUnits,
    /// Tokens that went through the model.
    pub(crate) tokens: Tokens,
}

/// The version of Cohere's API.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ApiVersion {
    /// `1` or `2`.
    pub(crate) version: &'static str,
}

/// What Cohere would bill.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BilledUnits {
    /// Always 1.
    pub(crate) search_units: u32,
}

/// Tokens of a request.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tokens {
    /// Tokens that went through the model.
    pub(crate) input_tokens: usize,
    /// Always 0.
    pub(crate) output_tokens: usize,
}

/// What Jina tells of an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Jina {
    /// The name of the model's folder.
    pub(crate) model: String,
    /// Always `list`.
    pub(crate) object: &'static str,
    /// Tokens that went through the model.
    pub(crate) usage: Usage,
}

/// Tokens of a request.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Usage {
    /// Tokens that went through the model.
    pub(crate) total_tokens: usize,
    /// The same.
    pub(crate) prompt_tokens: usize,
}

/// An error, for clients of Cohere and of Jina.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CohereErrorResponse")]
pub(crate) struct ErrorResponse {
    /// One line, as Cohere has it.
    pub(crate) message: String,
    /// The same, as Jina has it.
    pub(crate) detail: String,
}

impl RerankRequest {
    /// The pairs to score.
    pub(crate) fn pairs(&self) -> Result<Vec<Pair>, Refusal> {
        let invalid = |message: &str| Err(Refusal::validation(format!("invalid request: {message}")));
        if self.documents.is_empty() {
            return invalid("documents: expected at least one document, found none");
        }
        if self.query.trim().is_empty() {
            return invalid("query: expected some text, found none");
        }
        let numbers = [("top_n", self.top_n), ("max_chunks_per_doc", self.max_chunks_per_doc)];
        for (name, number) in numbers.into_iter().chain([("max_tokens_per_doc", self.max_tokens_per_doc)]) {
            if number == Some(0) {
                return invalid(&format!("{name}: expected at least 1, found 0"));
            }
        }
        if self.relevant_spans.as_ref().is_some_and(|spans| spans.mode != "disabled") {
            return invalid("relevant_spans: this server tells none; leave it out");
        }
        let query: Arc<str> = self.query.as_str().into();
        let numbered = self.documents.iter().enumerate();
        numbered
            .map(|(number, document)| Ok(Pair { query: query.clone(), document: self.text(number, document)? }))
            .collect()
    }

    pub(crate) fn reading(&self) -> Reading {
        let (max_document_tokens, max_passages) = (self.max_tokens_per_doc, self.max_chunks_per_doc);
        Reading { max_document_tokens, max_passages, ..Reading::default() }
    }

    /// The answer; `model` is the name of the model that is served.
    pub(crate) fn response(mut self, version: Version, scored: &Scored, model: &str) -> RerankResponse {
        let return_documents = self.return_documents.unwrap_or(version == Version::V1);
        let ranked = ranked(&scored.logits).into_iter().take(self.top_n.unwrap_or(usize::MAX));
        let result = |index: usize| {
            let document = return_documents.then(|| std::mem::take(&mut self.documents[index]).into_fields());
            Ranked { index, relevance_score: sigmoid(scored.logits[index]), document }
        };
        let tokens = scored.tokens;
        let jina = || {
            let usage = Usage { total_tokens: tokens, prompt_tokens: tokens };
            Jina { model: model.to_owned(), object: "list", usage }
        };
        let name = if version == Version::V1 { "1" } else { "2" };
        RerankResponse {
            id: random_id(),
            results: ranked.map(result).collect(),
            meta: Meta {
                api_version: ApiVersion { version: name },
                billed_units: BilledUnits { search_units: 1 },
                tokens: Tokens { input_tokens: tokens, output_tokens: 0 },
            },
            jina: (version == Version::V1).then(jina),
        }
    }

    /// The text of a document.
    fn text(&self, number: usize, document: &Document) -> Result<String, Refusal> {
        let fields = match document {
            Document::Text(text) => return Ok(text.clone()),
            Document::Fields(fields) => fields,
        };
        let text = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Null) | None => Ok(String::new()),
            Some(other) if other.is_number() || other.is_boolean() => Ok(other.to_string()),
            Some(_) => {
                let place = format!("documents[{number}].{name}");
                Err(Refusal::validation(format!(
                    "invalid request: {place}: expected a string, found a list or an object"
                )))
            }
        };
        if let Some(names) = &self.rank_fields {
            let texts: Vec<String> = names.iter().map(|name| text(name)).collect::<Result<_, _>>()?;
            return Ok(texts.join(" "));
        }
        if !fields.contains_key(TEXT) {
            let expected = "expected a string, an object with `text`, or rank_fields";
            return Err(Refusal::validation(format!("invalid request: documents[{number}]: {expected}")));
        }
        text(TEXT)
    }
}

impl Default for Document {
    fn default() -> Self {
        Document::Text(String::new())
    }
}

impl Document {
    /// The document as an object.
    fn into_fields(self) -> Map<String, Value> {
        match self {
            Document::Fields(fields) => fields,
            Document::Text(text) => Map::from_iter([(TEXT.to_owned(), json!(text))]),
        }
    }
}

/// A random UUID.
fn random_id() -> String {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{bits:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::parse;

    fn request(body: Value) -> RerankRequest {
        parse(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn documents_are_strings_or_objects_and_keep_their_fields() {
        let documents = json!(["plain", { "text": "with", "id": 7 }, { "text": "" }]);
        let request = request(json!({ "query": "q", "documents": documents, "top_n": 2, "model": "any" }));
        let texts: Vec<String> = request.pairs().unwrap().into_iter().map(|pair| pair.document).collect();
        assert_eq!(texts, ["plain", "with", ""]);
        let scored = Scored { logits: vec![0.0, 3.0, -1.0], tokens: 12, ..Scored::default() };
        let answer = json!(request.response(Version::V1, &scored, "student"));
        assert_eq!(answer["results"][0]["document"], json!({ "text": "with", "id": 7 }));
        assert_eq!(
            answer["results"][1],
            json!({ "index": 0, "relevance_score": 0.5, "document": { "text": "plain" } })
        );
        assert_eq!(answer["results"].as_array().unwrap().len(), 2);
        assert_eq!(answer["usage"]["total_tokens"], 12);
        assert_eq!(answer["meta"]["tokens"]["input_tokens"], 12);
    }

    #[test]
    fn version_2_repeats_no_documents_and_tells_no_usage_of_jina() {
        let request = request(json!({ "query": "q", "documents": ["a"] }));
        let answer =
            json!(request.response(Version::V2, &Scored { logits: vec![0.0], ..Scored::default() }, "student"));
        assert_eq!(answer["results"], json!([{ "index": 0, "relevance_score": 0.5 }]));
        assert!(answer.get("usage").is_none() && answer["meta"]["api_version"]["version"] == "2");
    }

    #[test]
    fn fields_are_read_in_the_order_of_the_request() {
        let documents = json!([{ "title": "A", "body": "B", "year": 1999, "tags": null }]);
        let fields = json!(["body", "title", "year", "tags", "none"]);
        let request = request(json!({ "query": "q", "documents": documents, "rank_fields": fields }));
        assert_eq!(request.pairs().unwrap()[0].document, "B A 1999  ");
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let base = json!({ "query": "q", "documents": ["a"] });
        let cases = [
            ("documents", json!([]), "invalid request: documents: expected at least one document, found none"),
            ("documents", json!([{ "title": "a" }]), "invalid request: documents[0]: expected a string, an object"),
            ("documents", json!([{ "text": [1] }]), "invalid request: documents[0].text: expected a string"),
            ("query", json!(" "), "invalid request: query: expected some text"),
            ("top_n", json!(0), "invalid request: top_n: expected at least 1"),
            ("relevant_spans", json!({ "mode": "enabled" }), "invalid request: relevant_spans"),
        ];
        for (name, value, message) in cases {
            let mut body = base.clone();
            body[name] = value;
            let refusal = request(body).pairs().unwrap_err();
            assert!(refusal.message.starts_with(message), "{}", refusal.message);
        }
    }

    #[test]
    fn names_of_answers_are_uuids_of_version_4() {
        let id = random_id();
        assert_eq!(id.len(), 36);
        assert!(id[14..].starts_with('4') && "89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, random_id());
    }
}
