//! Documents graded from 0 to 3 (after UMBRELA, Upadhyay et al. 2024, arXiv:2406.06519, in other words).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::completion::{bad, completion, request};
use super::template::{PAIR, Template};
use crate::config::require;
use crate::error::{Error, excerpt};
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

/// Grades of lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grades {
    /// For each list its documents' grades, 0 to 3.
    pub grades: Vec<Vec<u8>>,
    /// Documents whose first answer had no grade, and that were asked about again.
    pub unparsable: usize,
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

    /// Grades each document of each list.
    ///
    /// # Errors
    /// [`Error`]; a second answer without a grade for the same document is one.
    pub fn grade(&self, pool: &mut Pool, lists: &[List<'_>]) -> Result<Grades, Error> {
        pool.require_api(&[Api::Chat])?;
        let pairs = lists.iter().flat_map(|list| list.documents.iter().map(|document| (list.query, *document)));
        let works = pairs.map(|(query, document)| Pair { grader: self, query, document, unparsed: None, grade: 0 });
        let done = pool.run(works.collect())?;
        let unparsable = done.iter().filter(|pair| pair.unparsed.is_some()).count();
        let mut all = done.iter().map(|pair| pair.grade);
        let grades = lists.iter().map(|list| all.by_ref().take(list.documents.len()).collect()).collect();
        Ok(Grades { grades, unparsable })
    }
}

/// A document of a query.
struct Pair<'a> {
    grader: &'a Grader,
    query: Text<'a>,
    document: Text<'a>,
    /// The last answer without a grade.
    unparsed: Option<String>,
    grade: u8,
}

impl Work for Pair<'_> {
    fn body(&self) -> Map<String, Value> {
        let mut messages =
            self.grader.template.messages(&[("query", self.query.text), ("document", self.document.text)]);
        if let Some(answer) = &self.unparsed {
            // Roles take turns, and servers refuse empty messages.
            let answer = if answer.is_empty() { "(none)" } else { answer };
            messages.push(json!({ "role": "assistant", "content": answer }));
            messages.push(json!({ "role": "user", "content": REMINDER }));
        }
        request(messages, self.grader.max_tokens)
    }

    fn take(&mut self, answer: &Value) -> Result<bool, Bad> {
        let text = completion(answer)?.text.trim();
        let remedy = "change the template so that the model answers with the grade alone, or raise max_tokens if it thinks before";
        let Some(grade) = grade(text) else {
            self.unparsed = Some(text.into());
            return Err(bad("a grade from 0 to 3", excerpt(text.as_bytes()), remedy));
        };
        self.grade = grade;
        Ok(false)
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
