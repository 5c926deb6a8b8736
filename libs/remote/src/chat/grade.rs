//! Documents graded from 0 to 3 (after UMBRELA, Upadhyay et al. 2024, arXiv:2406.06519, in other words).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::completion::{completion, request};
use super::template::{PAIR, Template};
use crate::config::require;
use crate::error::Error;
use crate::list::{List, Text};
use crate::pool::{Api, Bad, Pool, Work};

const TEMPLATE: &str = include_str!("prompts/grade.txt");
/// What is said to a model after an answer without a grade.
const REMINDER: &str = "Answer with one digit and nothing else: 0, 1, 2 or 3.";

/// How documents are graded by a language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradeConfig {
    /// Tokens that an answer may have; models that think need more.
    pub max_tokens: u32,
    /// Template of the prompt, with `{query}` and `{document}`. The built-in one if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PathBuf>,
}

impl Default for GradeConfig {
    fn default() -> Self {
        GradeConfig { max_tokens: 16, template: None }
    }
}

/// What a model said of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graded {
    /// The grade, 0 to 3; `None` where no answer had a clear one.
    pub grade: Option<u8>,
    /// The last answer.
    pub answer: String,
    /// True if the first answer had no grade, so that the document was asked about again.
    pub is_second: bool,
}

/// Has documents graded.
#[derive(Debug, Clone)]
pub struct Grader {
    max_tokens: u32,
    template: Template,
}

impl Grader {
    /// As configured; reads the template.
    ///
    /// # Errors
    /// [`Error`] for a bad value or template.
    pub fn new(config: &GradeConfig) -> Result<Grader, Error> {
        require(config.max_tokens >= 1, "max_tokens", "at least 1", config.max_tokens)?;
        let template = Template::open(config.template.as_deref(), TEMPLATE, PAIR)?;
        Ok(Grader { max_tokens: config.max_tokens, template })
    }

    /// The messages about a pair of these texts, as JSON: what a model is asked, for those who keep its answers.
    #[must_use]
    pub fn messages(&self, query: &str, document: &str) -> Value {
        self.template.messages(&[("query", query), ("document", document)]).into()
    }

    /// Grades each document of each list. `seen` is told each answer as soon as it is final, on the thread that asked: the place
    /// of the list, that of the document in it, and the answer.
    ///
    /// # Errors
    /// [`Error`]; an answer of the API's form without a grade is none.
    pub fn grade(
        &self,
        pool: &mut Pool,
        lists: &[List<'_>],
        seen: &(dyn Fn(usize, usize, &Graded) + Sync),
    ) -> Result<Vec<Vec<Graded>>, Error> {
        pool.require_api(&[Api::Chat])?;
        let pairs = lists.iter().enumerate().flat_map(|(place, list)| {
            let documents = list.documents.iter().enumerate();
            documents.map(move |(at, document)| ((place, at), list.query, *document))
        });
        let works = pairs.map(|(place, query, document)| {
            let graded = Graded::default();
            Pair { grader: self, place, query, document, graded, seen }
        });
        let mut all = pool.run(works.collect())?.into_iter().map(|pair| pair.graded);
        Ok(lists.iter().map(|list| all.by_ref().take(list.documents.len()).collect()).collect())
    }
}

/// A document of a query.
struct Pair<'a> {
    grader: &'a Grader,
    /// The place of the list, and that of the document in it.
    place: (usize, usize),
    query: Text<'a>,
    document: Text<'a>,
    graded: Graded,
    seen: &'a (dyn Fn(usize, usize, &Graded) + Sync),
}

impl Work for Pair<'_> {
    fn body(&self) -> Map<String, Value> {
        let mut messages =
            self.grader.template.messages(&[("query", self.query.text), ("document", self.document.text)]);
        if self.graded.is_second {
            // Roles take turns, and servers refuse empty messages.
            let answer = if self.graded.answer.is_empty() { "(none)" } else { &self.graded.answer };
            messages.push(json!({ "role": "assistant", "content": answer }));
            messages.push(json!({ "role": "user", "content": REMINDER }));
        }
        request(messages, self.grader.max_tokens)
    }

    fn take(&mut self, answer: &Value) -> Result<bool, Bad> {
        let text = completion(answer)?.text.trim();
        let (grade, was_second) = (grade(text), self.graded.is_second);
        let asks_again = grade.is_none() && !was_second;
        self.graded = Graded { grade, answer: text.into(), is_second: was_second || asks_again };
        if !asks_again {
            (self.seen)(self.place.0, self.place.1, &self.graded);
        }
        Ok(asks_again)
    }

    fn ids(&self) -> (&str, Vec<&str>) {
        (self.query.id, vec![self.document.id])
    }
}

/// The grade of an answer: its first number after the last "score" or "grade", if it has such a word, else its only number.
fn grade(answer: &str) -> Option<u8> {
    let lower = answer.to_ascii_lowercase();
    let after = ["score", "grade"].iter().filter_map(|word| lower.rfind(word).map(|at| at + word.len())).max();
    let is_number = |c: char| c.is_ascii_digit() || ".,-".contains(c);
    let numbers =
        lower[after.unwrap_or(0)..].split(|c| !is_number(c)).map(|number| number.trim_end_matches(['.', ',', '-']));
    let mut numbers = numbers.filter(|number| number.contains(|c: char| c.is_ascii_digit()));
    let first = numbers.next()?;
    if after.is_none() && numbers.any(|other| other != first) {
        return None;
    }
    first.parse().ok().filter(|grade| *grade <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_read_only_where_they_are_clear() {
        for (answer, expected) in [
            ("2", Some(2)),
            (" 3.\n", Some(3)),
            ("**1**", Some(1)),
            ("##final score: 0", Some(0)),
            ("Score: 2/3", Some(2)),
            ("Of 3 aspects 1 is met. The grade is 1", Some(1)),
            ("2 (2)", Some(2)),
            ("2 out of 3", None),
            ("4", None),
            ("-1", None),
            ("2.5", None),
            ("relevant", None),
            ("", None),
        ] {
            assert_eq!(grade(answer), expected, "{answer}");
        }
    }
}
