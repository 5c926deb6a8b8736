//! What the definitions of metrics leave open, as keys of the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::list::Grade;

/// The gain of a grade in NDCG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gain {
    /// `2^grade - 1` (Burges et al., ICML 2005).
    #[default]
    Exponential,
    /// `grade`, as in trec_eval.
    Linear,
}

impl Gain {
    pub(super) fn of(self, grade: Grade) -> f64 {
        match self {
            Self::Exponential => f64::from(grade).exp2() - 1.0,
            Self::Linear => f64::from(grade),
        }
    }
}

/// The order of documents with equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// Document ids in descending byte order, as in trec_eval: no system gains from the order it happens to write.
    #[default]
    DocIdDescending,
    /// The order in which the documents were given.
    Stable,
}

/// The value of a query without a relevant document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoRelevant {
    /// None: the query is left out of the mean.
    #[default]
    Skip,
    /// 0, as in trec_eval.
    Zero,
    /// 1, as in LightGBM.
    One,
}

/// The treatment of documents without a judgment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unjudged {
    /// They count as grade 0, except by pnr, which is of judged documents alone.
    #[default]
    Irrelevant,
    /// They are removed from a ranking before it is measured, except by judged@k: condensed lists (Sakai, "Alternatives
    /// to Bpref", SIGIR 2007).
    Removed,
}

/// The conventions that all metrics follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Conventions {
    /// The gain of a grade in NDCG.
    pub gain: Gain,
    /// The order of documents with equal scores.
    pub ties: Ties,
    /// The value of a query without a relevant document. NDCG takes every grade above 0 for relevant.
    pub no_relevant: NoRelevant,
    /// The treatment of documents without a judgment.
    pub unjudged: Unjudged,
    /// The lowest relevant grade for the metrics of binary relevance.
    pub relevant_grade: Grade,
    /// The highest grade of the judgments' scale, which ERR needs; higher grades count as this one.
    pub max_grade: Grade,
}

impl Default for Conventions {
    fn default() -> Self {
        Self {
            gain: Gain::default(),
            ties: Ties::default(),
            no_relevant: NoRelevant::default(),
            unjudged: Unjudged::default(),
            relevant_grade: 1,
            max_grade: 4,
        }
    }
}

impl Conventions {
    /// The value of a query without a relevant document.
    pub(super) fn without_relevant(&self) -> Option<f64> {
        match self.no_relevant {
            NoRelevant::Skip => None,
            NoRelevant::Zero => Some(0.0),
            NoRelevant::One => Some(1.0),
        }
    }
}
