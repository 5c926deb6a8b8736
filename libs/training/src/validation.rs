//! Validation of a ranker while it is trained, by the metric and the conventions of the evaluation.

use collection::{CandidateList, Corpus};
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::models::Model;
use nn::ops::Precision;
use nn::text::PairTokenizer;
use pipeline::config::Validation;

/// Tokens of one forward pass while validating.
const VALIDATION_TOKENS: usize = 2048;

/// What a ranker is validated on, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Validator<'a> {
    /// The judged queries with their candidates.
    pub lists: &'a [CandidateList],
    /// The metric and its conventions; without them, nothing is validated.
    pub config: Option<&'a Validation>,
}

impl Validator<'_> {
    /// The name of its values in the log and on model cards.
    #[must_use]
    pub fn name(&self) -> String {
        self.config.map_or("validation".into(), |config| format!("validation_{}", config.metric))
    }

    /// The metric of a ranker over the lists; `None` where no list counts or nothing is validated.
    ///
    /// # Errors
    /// [`nn::Error`], for a score that is not finite among others.
    pub fn validate(
        &self,
        ranker: &Model,
        tokenizer: &PairTokenizer,
        corpus: &Corpus,
        precision: Precision,
    ) -> nn::Result<Option<f64>> {
        let Some(config) = self.config else { return Ok(None) };
        let pairs = self.lists.iter().flat_map(|list| list.documents.iter().map(|&document| (list.query, document)));
        let texts: Vec<_> = pairs.map(|(query, document)| corpus.texts(query, document)).collect();
        let execution = Execution { precision, batch_tokens: VALIDATION_TOKENS };
        let scores = CrossEncoder::new(ranker, tokenizer, execution).score(&texts)?;
        let mut rest = &scores[..];
        let rankings = self.lists.iter().map(|list| {
            let (own, later) = rest.split_at(list.documents.len());
            rest = later;
            Ok(list.scored(corpus, own)?.ranking(&config.conventions))
        });
        let rankings = rankings.collect::<Result<Vec<_>, ranking::metrics::MetricError>>();
        let rankings = rankings.map_err(|error| nn::Error::Caller(error.into()))?;
        Ok(config.metric.measure(&rankings).value())
    }
}
