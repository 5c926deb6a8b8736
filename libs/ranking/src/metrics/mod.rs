//! Ranking metrics by name, of single queries and over queries, with every convention explicit.
//!
//! ```
//! use ranking::metrics::{Conventions, Document, JudgedList, Metric};
//!
//! let document = |doc_id, score, grade| Document { doc_id, score, grade };
//! let documents = vec![document("a", 0.1, Some(0)), document("b", 0.9, Some(3)), document("c", 0.5, None)];
//! let list = JudgedList::new("q1", documents, &[0, 3, 2])?;
//! let rankings = [list.ranking(&Conventions::default())];
//! let metric: Metric = "recall@2".parse()?;
//! assert_eq!(metric.measure(&rankings).value(), Some(0.5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A metric is one file, which defines a `Definition`, and one line of the list below.

mod conventions;
mod definition;
mod err;
mod judged;
mod list;
mod map;
mod measurements;
mod mrr;
mod ndcg;
mod pairs;
mod pnr;
mod precision;
mod rbp;
mod recall;
mod success;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use definition::{Definition, Formula};

pub use conventions::{Conventions, Gain, NoRelevant, Ties, Unjudged};
pub use definition::QueryValue;
pub use list::{Document, Grade, JudgedList, MetricError, Ranking, TieOrder};
pub use measurements::{Mean, Measurements};
pub use pairs::{MeanPnr, PairCounts, mean_pnr};

/// All metrics.
const METRICS: &[&Definition] = &[
    &ndcg::NDCG,
    &mrr::MRR,
    &map::MAP,
    &recall::RECALL,
    &precision::PRECISION,
    &success::SUCCESS,
    &err::ERR,
    &rbp::RBP,
    &judged::JUDGED,
    &pnr::PNR,
];

/// A metric by its name, such as `ndcg@10`, `map`, `rbp@0.8` or `pnr`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metric {
    definition: &'static Definition,
    argument: Argument,
}

/// What stands behind the `@` of a name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Argument {
    None,
    Cutoff(usize),
    Share(f64),
}

/// A name that no metric has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}, with a rank k from 1 and a number p between 0 and 1, found `{found}`", forms())]
pub struct UnknownMetric {
    /// The name.
    pub found: String,
}

impl Metric {
    /// The metrics that are reported unless others are named: those of arXiv 2411.04539, and MRR.
    pub const REPORTED: [Self; 6] = [
        Self::at(&ndcg::NDCG, 1),
        Self::at(&ndcg::NDCG, 3),
        Self::at(&ndcg::NDCG, 5),
        Self::at(&ndcg::NDCG, 10),
        Self::at(&mrr::MRR, 10),
        Self { definition: &pnr::PNR, argument: Argument::None },
    ];

    /// The metric that systems are compared by first unless another one is named: NDCG@10.
    pub const PRIMARY: Self = Self::at(&ndcg::NDCG, 10);

    const fn at(definition: &'static Definition, k: usize) -> Self {
        Self { definition, argument: Argument::Cutoff(k) }
    }

    /// The names of all families of metrics, without cut-offs.
    pub fn families() -> impl Iterator<Item = &'static str> {
        METRICS.iter().map(|definition| definition.name)
    }

    /// Its name without what stands behind the `@`.
    pub fn family(&self) -> &'static str {
        self.definition.name
    }

    /// What its family measures, in a few words.
    pub fn about(&self) -> &'static str {
        self.definition.about
    }

    /// True if it is pooled over the queries rather than a mean of values in \[0, 1\]; its value has no upper bound.
    pub fn is_pooled(&self) -> bool {
        matches!(self.definition.formula, Formula::Pairs(_))
    }

    /// The share of judged documents among those that it looks at: `judged` with its cut-off, or of the whole ranking.
    #[must_use]
    pub fn judged(&self) -> Self {
        let argument = if let Argument::Cutoff(k) = self.argument { Argument::Cutoff(k) } else { Argument::None };
        Self { definition: &judged::JUDGED, argument }
    }

    /// Measures the ranking of every query.
    pub fn measure(&self, rankings: &[Ranking<'_>]) -> Measurements {
        let cutoff = if let Argument::Cutoff(k) = self.argument { k } else { usize::MAX };
        let share = if let Argument::Share(p) = self.argument { p } else { f64::NAN };
        let rankings = rankings.iter();
        match self.definition.formula {
            Formula::AtCutoff(value) => Measurements::Mean(rankings.map(|ranking| value(ranking, cutoff)).collect()),
            Formula::AtShare(value) => Measurements::Mean(rankings.map(|ranking| value(ranking, share)).collect()),
            Formula::Pairs(count) => Measurements::Pooled(rankings.map(count).collect()),
        }
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && self.argument == other.argument
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.definition.name)?;
        match self.argument {
            Argument::None => Ok(()),
            Argument::Cutoff(k) => write!(f, "@{k}"),
            Argument::Share(p) => write!(f, "@{p}"),
        }
    }
}

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        let parse = || {
            let (name, argument) = text.split_once('@').map_or((text, None), |(name, argument)| (name, Some(argument)));
            let definition = METRICS.iter().find(|definition| definition.name == name)?;
            let argument = match (definition.formula, argument) {
                (Formula::AtCutoff(_) | Formula::Pairs(_), None) => Argument::None,
                (Formula::AtCutoff(_), Some(k)) => Argument::Cutoff(cutoff(k)?),
                (Formula::AtShare(_), Some(p)) => Argument::Share(share(p)?),
                (Formula::AtShare(_), None) | (Formula::Pairs(_), Some(_)) => return None,
            };
            Some(Self { definition, argument })
        };
        parse().ok_or_else(|| UnknownMetric { found: text.to_string() })
    }
}

/// A rank from 1, in digits alone.
fn cutoff(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| digits)
}

/// A number between 0 and 1, in the form 0.8.
fn share(text: &str) -> Option<f64> {
    let digits = text.strip_prefix("0.")?.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&share| digits && share > 0.0 && share < 1.0)
}

/// The name of every metric, with `k` or `p` in place of what stands behind it.
fn named(k: &str, p: &str) -> Vec<String> {
    let name = |definition: &&Definition| match definition.formula {
        Formula::AtCutoff(_) => format!("{}{k}", definition.name),
        Formula::AtShare(_) => format!("{}{p}", definition.name),
        Formula::Pairs(_) => definition.name.to_string(),
    };
    METRICS.iter().map(name).collect()
}

/// How the metrics are named.
fn forms() -> String {
    named("[@k]", "@p").join(", ")
}

impl TryFrom<String> for Metric {
    type Error = UnknownMetric;

    fn try_from(text: String) -> Result<Self, UnknownMetric> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

impl JsonSchema for Metric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = |definition: &&Definition| format!("{}: {}", definition.name, definition.about);
        let about: Vec<String> = METRICS.iter().map(about).collect();
        json_schema!({
            "type": "string",
            "examples": named("@5", "@0.8"),
            "pattern": format!("^({})$", named("(@[1-9][0-9]*)?", r"@0\.[0-9]+").join("|")),
            "description": format!(
                "A metric by its name: {}, with a rank k from 1 and a number p between 0 and 1. Without a cut-off k, it is \
                 of the whole ranking. {}.",
                forms(),
                about.join("; ")
            ),
        })
    }
}

#[cfg(test)]
mod tests;
