//! Lists ordered by a language model (RankGPT, Sun et al. 2023, arXiv:2304.09542): a window slides from the end of the list to
//! its start, the model orders the documents in it, and the best of them move on with the window.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::completion::{completion, request};
use super::permutation::{passage, read};
use super::template::{Places, Template};
use crate::config::require;
use crate::error::Error;
use crate::list::{List, Text};
use crate::pool::{Api, Bad, Pool, Work};

const TEMPLATE: &str = include_str!("prompts/permutation.txt");
const PLACES: Places = Places { needed: &["query", "passages"], optional: &["count"] };

/// How lists are ordered by a language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PermutationConfig {
    /// Documents that the model orders at once, at least 2.
    pub window: usize,
    /// Documents by which the window moves on, less than `window`: `window - step` documents can rise further.
    pub step: usize,
    /// Tokens that an answer may have; models that think need more.
    pub max_tokens: u32,
    /// Template of the prompt, with `{query}`, `{passages}` and, if it likes, `{count}`. The built-in one if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PathBuf>,
}

impl Default for PermutationConfig {
    fn default() -> Self {
        PermutationConfig { window: 20, step: 10, max_tokens: 1024, template: None }
    }
}

/// A list as the model ordered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranking {
    /// The places of the documents in the list, from 0, the best first.
    pub order: Vec<usize>,
    /// For each document, in the list's order: how many answers named other documents but not this one. RRADistill takes such
    /// documents as hard negatives (Choi et al. 2024, arXiv:2410.18097). Answers that were cut off do not count.
    pub omissions: Vec<u32>,
}

/// How many answers were usable, over all windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Answers that named each passage once and nothing else.
    pub well_formed: usize,
    /// Answers that named some passages, made whole: repetitions and unknown numbers dropped, missing passages appended in the
    /// order they were shown in.
    pub repaired: usize,
    /// Answers that named no passage; the window kept its order.
    pub empty: usize,
    /// Among the repaired and empty answers, those that ended at `max_tokens`.
    pub cut: usize,
    /// Numbers that were named again.
    pub repeated: usize,
    /// Numbers that no passage has.
    pub unknown: usize,
    /// Passages that repaired answers did not name.
    pub missing: usize,
}

/// Ordered lists, and how the model's answers were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutations {
    /// One ranking per list.
    pub rankings: Vec<Ranking>,
    /// What had to be repaired.
    pub repairs: Repairs,
}

/// Has lists ordered.
#[derive(Debug, Clone)]
pub struct Permuter {
    window: usize,
    step: usize,
    max_tokens: u32,
    template: Template,
}

impl Permuter {
    /// As configured; reads the template.
    ///
    /// # Errors
    /// [`Error`] for a bad value or template.
    pub fn new(config: &PermutationConfig) -> Result<Permuter, Error> {
        let PermutationConfig { window, step, max_tokens, .. } = *config;
        require(window >= 2, "window", "at least 2", window)?;
        require(step >= 1 && step < window, "step", "at least 1 and less than `window`", step)?;
        require(max_tokens >= 1, "max_tokens", "at least 1", max_tokens)?;
        let template = Template::open(config.template.as_deref(), TEMPLATE, PLACES)?;
        Ok(Permuter { window, step, max_tokens, template })
    }

    /// Orders each list, which comes in the order of a first search. A list of one document asks nothing.
    ///
    /// # Errors
    /// [`Error`]; an answer that is no good order is repaired and counted instead.
    pub fn rank(&self, pool: &mut Pool, lists: &[List<'_>]) -> Result<Permutations, Error> {
        pool.require_api(&[Api::Chat])?;
        let mut done = pool
            .run(lists.iter().filter(|list| list.documents.len() > 1).map(|list| Windows::new(self, list)).collect())?;
        let mut repairs = Repairs::default();
        done.iter().for_each(|windows| repairs.add(&windows.repairs));
        let mut ranked = done.drain(..).map(|windows| windows.ranking);
        let ranking = |list: &List<'_>| match list.documents.len() {
            count @ 0..=1 => Some(Ranking::first(count)),
            _ => ranked.next(),
        };
        Ok(Permutations { rankings: lists.iter().filter_map(ranking).collect(), repairs })
    }
}

impl Ranking {
    /// As the list came.
    fn first(count: usize) -> Ranking {
        Ranking { order: (0..count).collect(), omissions: vec![0; count] }
    }
}

impl Repairs {
    fn add(&mut self, other: &Repairs) {
        self.well_formed += other.well_formed;
        self.repaired += other.repaired;
        self.empty += other.empty;
        self.cut += other.cut;
        self.repeated += other.repeated;
        self.unknown += other.unknown;
        self.missing += other.missing;
    }
}

/// A list on its way: the window ends before `end`.
struct Windows<'a> {
    permuter: &'a Permuter,
    list: &'a List<'a>,
    end: usize,
    ranking: Ranking,
    repairs: Repairs,
}

impl<'a> Windows<'a> {
    fn new(permuter: &'a Permuter, list: &'a List<'a>) -> Self {
        let end = list.documents.len();
        Windows { permuter, list, end, ranking: Ranking::first(end), repairs: Repairs::default() }
    }

    fn start(&self) -> usize {
        self.end.saturating_sub(self.permuter.window)
    }

    fn documents(&self) -> impl Iterator<Item = &Text<'a>> {
        self.ranking.order[self.start()..self.end].iter().map(|&place| &self.list.documents[place])
    }
}

impl Work for Windows<'_> {
    fn body(&self) -> Map<String, Value> {
        let numbered = self.documents().enumerate();
        let passages: Vec<String> =
            numbered.map(|(at, document)| format!("[{}] {}", at + 1, passage(document.text))).collect();
        let count = passages.len().to_string();
        let texts = [("query", self.list.query.text), ("passages", &passages.join("\n")), ("count", &count)];
        request(self.permuter.template.messages(&texts), self.permuter.max_tokens)
    }

    fn take(&mut self, answer: &Value) -> Result<bool, Bad> {
        let answer = completion(answer)?;
        let (start, end) = (self.start(), self.end);
        let read = read(answer.text, end - start);
        let missing = end - start - read.named;
        let repairs = &mut self.repairs;
        repairs.repeated += read.repeated;
        repairs.unknown += read.unknown;
        match (read.named, missing + read.repeated + read.unknown) {
            (0, _) => repairs.empty += 1,
            (_, 0) => repairs.well_formed += 1,
            _ => (repairs.repaired, repairs.missing) = (repairs.repaired + 1, repairs.missing + missing),
        }
        repairs.cut += usize::from(answer.is_cut && missing > 0);
        let window = self.ranking.order[start..end].to_vec();
        if read.named > 0 && !answer.is_cut {
            read.order[read.named..].iter().for_each(|&place| self.ranking.omissions[window[place]] += 1);
        }
        for (slot, place) in self.ranking.order[start..end].iter_mut().zip(read.order) {
            *slot = window[place];
        }
        self.end -= self.permuter.step.min(end);
        Ok(start > 0)
    }

    fn ids(&self) -> (&str, Vec<&str>) {
        (self.list.query.id, self.documents().map(|document| document.id).collect())
    }
}
