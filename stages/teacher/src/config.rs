//! What the stage reads of `pipeline.toml`.

use models::Origin;
use pipeline::Pipeline;
use pipeline::config::{
    BaseModel, CptPhaseConfig, DecoderConfig, InputConfig, ListTraining, LoraConfig, MinedConfig, Precision,
    RankConfig, RetrievalConfig, TeacherConfig, TeacherPooling, TitlesConfig, Validation,
};
use serde::Serialize;

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Serialize)]
pub struct Config {
    #[serde(flatten)]
    pub(crate) shared: Shared,
    pub(crate) cpt: Option<CptPhaseConfig>,
    pub(crate) titles: Option<TitlesConfig>,
    pub(crate) rank: Option<RankConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mined: Option<MinedConfig>,
    /// What finds negatives.
    pub(crate) retrieval: RetrievalConfig,
    /// How phases rank and mined validate, where they do.
    pub(crate) validation: Option<Validation>,
    /// True if the result is saved as an adapter of the model that it started from.
    pub(crate) saved_as_adapter: bool,
}

/// What every phase reads. A phase sees this, its own table and its inputs alone; their digest says whether an earlier
/// result of the phase can be taken over.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) precision: Precision,
    /// A ranker that is the teacher as it is.
    pub(crate) saved: Option<BaseModel>,
    pub(crate) base: Option<BaseModel>,
    pub(crate) dropout: Option<f64>,
    pub(crate) model: Option<DecoderConfig>,
    pub(crate) input: InputConfig,
    /// Which tokens the score is read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pooling: Option<TeacherPooling>,
    pub(crate) lora: Option<LoraConfig>,
}

impl Config {
    pub(crate) fn of(pipeline: &Pipeline, teacher: TeacherConfig) -> Config {
        let TeacherConfig { saved, base, dropout, model, input, pooling, cpt, titles, rank, mined, lora } = teacher;
        let validates = rank.as_ref().is_some_and(|rank| rank.validate_every > 0)
            || mined.as_ref().is_some_and(|mined| mined.validate_every > 0);
        Config {
            saved_as_adapter: lora.as_ref().is_some_and(|lora| !lora.merge),
            validation: validates.then(|| pipeline.evaluate.validation()),
            cpt,
            titles,
            rank,
            mined,
            retrieval: pipeline.retrieval.clone(),
            shared: Shared {
                seed: pipeline.run.seed,
                precision: pipeline.run.precision,
                saved,
                base,
                dropout,
                model,
                input,
                pooling,
                // Merging concerns the result of the last phase alone.
                lora: lora.map(|lora| LoraConfig { merge: false, ..lora }),
            },
        }
    }

    /// The trainings on lists, with their tables.
    pub(crate) fn list_trainings(&self) -> Vec<(String, ListTraining)> {
        let titles = self.titles.iter().map(|titles| ("teacher.titles", titles.list_training()));
        let rank = self.rank.iter().map(|rank| ("teacher.rank", rank.list_training()));
        let mined = self.mined.iter().map(|mined| ("teacher.mined", mined.list_training()));
        titles.chain(rank).chain(mined).map(|(table, training)| (table.into(), training)).collect()
    }
}

impl Shared {
    /// What continued pre-training reads: it makes a language model, which has no score.
    pub(crate) fn without_pooling(&self) -> Shared {
        Shared { pooling: None, ..self.clone() }
    }

    pub(crate) fn origin(&self) -> Origin<'_> {
        Origin::teacher(self.base.as_ref(), &self.input, self.dropout).with_pooling(self.pooling)
    }
}
