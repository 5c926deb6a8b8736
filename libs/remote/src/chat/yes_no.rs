//! Documents judged by the probability of a word (Nogueira et al. 2020, arXiv:2003.06713, by a chat model).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::completion::{bad, request};
use super::template::{PAIR, Template};
use crate::config::require;
use crate::error::{Error, excerpt};
use crate::list::{List, Text};
use crate::pool::{Api, Bad, OTHER_API, Pool, Work};

const TEMPLATE: &str = include_str!("prompts/yes_no.txt");

/// How documents are judged by the probabilities of two words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct YesNoConfig {
    /// The word for a relevant document, one token of the model. Its spellings with capitals and leading spaces count together.
    pub yes: String,
    /// The word for another document.
    pub no: String,
    /// Most probable tokens that the server returns, 2 to 100; servers have limits, often 20.
    pub top_logprobs: u32,
    /// Template of the prompt, with `{query}` and `{document}`. The built-in one if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PathBuf>,
}

impl Default for YesNoConfig {
    fn default() -> Self {
        YesNoConfig { yes: "yes".into(), no: "no".into(), top_logprobs: 20, template: None }
    }
}

/// Scores of lists.
#[derive(Debug, Clone, PartialEq)]
pub struct YesNoScores {
    /// For each list its documents' scores, log-probability of yes minus that of no, in natural units.
    pub scores: Vec<Vec<f64>>,
    /// Documents for which yes was not among the returned tokens, so that the score is at most what is given.
    pub without_yes: usize,
    /// Documents for which no was not among them, so that the score is at least what is given.
    pub without_no: usize,
}

/// Judges documents by the probabilities of two words.
#[derive(Debug, Clone)]
pub struct YesNo {
    yes: String,
    no: String,
    top_logprobs: u32,
    template: Template,
}

impl YesNo {
    /// As configured; reads the template.
    ///
    /// # Errors
    /// [`Error`] for a bad value or template.
    pub fn new(config: &YesNoConfig) -> Result<YesNo, Error> {
        let (yes, no) = (plain(&config.yes), plain(&config.no));
        require(!yes.is_empty(), "yes", "a word", "none")?;
        require(!no.is_empty() && no != yes, "no", "a word other than `yes`", &config.no)?;
        require((2..=100).contains(&config.top_logprobs), "top_logprobs", "2 to 100", config.top_logprobs)?;
        let template = Template::open(config.template.as_deref(), TEMPLATE, PAIR)?;
        Ok(YesNo { yes, no, top_logprobs: config.top_logprobs, template })
    }

    /// Scores each document of each list. A word that is not among the returned tokens counts with the smallest log-probability
    /// returned, which it cannot exceed.
    ///
    /// # Errors
    /// [`Error`]; an answer with neither word is one, as it says nothing about the document.
    pub fn score(&self, pool: &mut Pool, lists: &[List<'_>]) -> Result<YesNoScores, Error> {
        pool.require_api(&[Api::Chat])?;
        let pairs = lists.iter().flat_map(|list| list.documents.iter().map(|document| (list.query, *document)));
        let works = pairs.map(|(query, document)| Pair { judge: self, query, document, found: Judgement::default() });
        let done = pool.run(works.collect())?;
        let without = |is_missing: fn(&Judgement) -> bool| done.iter().filter(|pair| is_missing(&pair.found)).count();
        let (without_yes, without_no) = (without(|found| found.lacks_yes), without(|found| found.lacks_no));
        let mut all = done.iter().map(|pair| pair.found.score);
        let scores = lists.iter().map(|list| all.by_ref().take(list.documents.len()).collect()).collect();
        Ok(YesNoScores { scores, without_yes, without_no })
    }
}

/// A document of a query.
struct Pair<'a> {
    judge: &'a YesNo,
    query: Text<'a>,
    document: Text<'a>,
    found: Judgement,
}

#[derive(Debug, Default, PartialEq)]
struct Judgement {
    score: f64,
    lacks_yes: bool,
    lacks_no: bool,
}

impl Work for Pair<'_> {
    fn body(&self) -> Map<String, Value> {
        let texts = [("query", self.query.text), ("document", self.document.text)];
        let mut fields = request(self.judge.template.messages(&texts), 1);
        fields.insert("logprobs".into(), true.into());
        fields.insert("top_logprobs".into(), self.judge.top_logprobs.into());
        fields
    }

    fn take(&mut self, answer: &Value) -> Result<bool, Bad> {
        self.found = self.judge.read(&answer["choices"][0]["logprobs"]["content"][0], answer)?;
        Ok(false)
    }

    fn ids(&self) -> (&str, Vec<&str>) {
        (self.query.id, vec![self.document.id])
    }
}

impl YesNo {
    /// Reads the first token's alternatives.
    fn read(&self, first: &Value, answer: &Value) -> Result<Judgement, Bad> {
        const FORM: &str = "tokens with finite log-probabilities in choices[0].logprobs.content[0].top_logprobs";
        let shown = |value: &Value| excerpt(value.to_string().as_bytes());
        let Some(top) = first["top_logprobs"].as_array().filter(|top| !top.is_empty()) else {
            let remedy =
                "ask a server that returns log-probabilities, as vLLM, llama.cpp and OpenAI do for most models";
            return Err(bad(FORM, shown(answer), remedy));
        };
        let (mut yes, mut no, mut least) = (f64::NEG_INFINITY, f64::NEG_INFINITY, f64::INFINITY);
        // The written token may be missing among the most probable ones.
        let is_listed = top.iter().any(|token| token["token"] == first["token"]);
        for token in top.iter().chain((!is_listed).then_some(first)) {
            let logprob = token["logprob"].as_f64().filter(|logprob| logprob.is_finite());
            let (Some(text), Some(logprob)) = (token["token"].as_str(), logprob) else {
                return Err(bad(FORM, shown(token), OTHER_API));
            };
            least = least.min(logprob);
            let word = plain(text);
            if word == self.yes {
                yes = log_sum_exp(yes, logprob);
            } else if word == self.no {
                no = log_sum_exp(no, logprob);
            }
        }
        let (lacks_yes, lacks_no) = (yes == f64::NEG_INFINITY, no == f64::NEG_INFINITY);
        if lacks_yes && lacks_no {
            let remedy = "raise top_logprobs, or change the template so that the model answers with the word alone";
            return Err(bad(format!("{:?} or {:?} as the first token", self.yes, self.no), shown(first), remedy));
        }
        let bounded = |logprob: f64, lacks: bool| if lacks { least } else { logprob };
        Ok(Judgement { score: bounded(yes, lacks_yes) - bounded(no, lacks_no), lacks_yes, lacks_no })
    }
}

/// A token without leading spaces, as tokenizers write them too, and without capitals.
fn plain(token: &str) -> String {
    token.trim_matches(|c: char| c.is_whitespace() || c == '\u{2581}' || c == '\u{120}').to_lowercase()
}

/// The logarithm of the sum of two probabilities, given by their logarithms.
fn log_sum_exp(a: f64, b: f64) -> f64 {
    let (less, more) = if a < b { (a, b) } else { (b, a) };
    if less == f64::NEG_INFINITY { more } else { more + (less - more).exp().ln_1p() }
}
