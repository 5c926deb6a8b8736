//! What the stage reads of `pipeline.toml`.

use models::Origin;
use nn::text::Kind;
use pipeline::Pipeline;
use pipeline::config::{
    BaseModel, CptPhaseConfig, DecoderConfig, LoraConfig, Precision, RankConfig, RetrievalConfig, TeacherConfig,
    TitlesConfig, Validation,
};
use serde::Serialize;

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Serialize)]
pub struct Config {
    #[serde(flatten)]
    pub(crate) shared: Shared,
    pub(crate) cpt: Option<CptPhaseConfig>,
    pub(crate) titles: Option<TitlesConfig>,
    pub(crate) rank: RankConfig,
    /// What finds negatives.
    pub(crate) retrieval: RetrievalConfig,
    /// How phase rank validates, where it does.
    pub(crate) validation: Option<Validation>,
    /// True if the result is saved as an adapter of the model that it started from.
    pub(crate) saved_as_adapter: bool,
}

/// What every phase reads. A phase sees this, its own table and its inputs alone; their digest says whether an earlier
/// result of the phase can be taken over.
#[derive(Debug, Serialize)]
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) precision: Precision,
    pub(crate) base: Option<BaseModel>,
    pub(crate) dropout: Option<f64>,
    pub(crate) model: Option<DecoderConfig>,
    pub(crate) max_query_tokens: usize,
    pub(crate) max_document_tokens: usize,
    pub(crate) lora: Option<LoraConfig>,
}

impl Config {
    pub(crate) fn of(pipeline: &Pipeline) -> Config {
        let TeacherConfig { base, dropout, model, max_query_tokens, max_document_tokens, cpt, titles, rank, lora } =
            pipeline.teacher.clone();
        let validates = rank.validate_every > 0;
        Config {
            saved_as_adapter: lora.as_ref().is_some_and(|lora| !lora.merge),
            validation: validates.then(|| pipeline.evaluate.validation()),
            cpt,
            titles,
            rank,
            retrieval: pipeline.retrieval.clone(),
            shared: Shared {
                seed: pipeline.run.seed,
                precision: pipeline.run.precision,
                base,
                dropout,
                model,
                max_query_tokens,
                max_document_tokens,
                // Merging concerns the result of the last phase alone.
                lora: lora.map(|lora| LoraConfig { merge: false, ..lora }),
            },
        }
    }
}

impl Shared {
    pub(crate) fn origin(&self) -> Origin<'_> {
        Origin {
            key: "teacher.base",
            base: self.base.as_ref(),
            kind: Kind::Decoder,
            max_query_tokens: self.max_query_tokens,
            max_document_tokens: self.max_document_tokens,
            dropout: self.dropout,
        }
    }
}
