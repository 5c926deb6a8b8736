//! `pipeline.toml`: one table per stage, parsed and validated before any work.

mod base;
mod evaluate;
mod grade;
mod ingest;
mod input;
mod judgments;
mod load;
mod log;
mod loss;
mod mined;
mod model;
mod phases;
mod presets;
mod retrieval;
mod run;
mod schema;
mod score;
mod simulate;
mod split;
mod training;

pub use base::BaseModel;
pub use evaluate::{BASELINE, Candidates, DRAWS_PER_COMPARISON, EvaluateConfig, Validation, WORDS};
pub use grade::{GradedSource, GradingConfig};
pub use ingest::{
    BinaryLines, CleanConfig, DebiasConfig, DebiasMethod, DocumentColumns, DocumentsConfig, IngestConfig, MemorySize,
    PrivacyConfig, RepeatedDocument, UserIds,
};
pub use input::{InputConfig, PassagesConfig, Truncation};
pub use judgments::{JudgmentColumns, JudgmentFormat, JudgmentsConfig, QueryFiles, QueryTableConfig, SplitFiles};
pub use load::{ConfigError, load, read_table};
pub use log::{ClickedValue, DwellUnit, LogColumns, LogConfig, LogKind, TimeConfig, TimeUnit, enclosure};
pub use loss::LossKey;
pub use mined::MinedConfig;
pub use model::{
    CptConfig, CptPhaseConfig, DecoderConfig, DistillConfig, EncoderConfig, LabelsOnlyConfig, LoraConfig,
    PretrainConfig, RankConfig, TeacherConfig, TeacherPooling, TermControlConfig, TitlesConfig, TokenizerConfig,
};
pub use phases::{PhaseConfig, PhaseLabels};
pub use retrieval::{RetrievalConfig, Retriever};
pub use run::{Precision, RunConfig};
pub use schema::json_schema;
pub use score::{GeneratedQueries, ScoreConfig, ScoresFile, ScoresFormat, ScoringTeacher, StandardiseOver};
pub use simulate::{ClickConfig, ClickModelKind, SimulateConfig, WorldConfig};
pub use split::SplitConfig;
pub use training::{ListTraining, ScheduleKind, TrainingConfig};

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::paths::RunPaths;

/// The whole of `pipeline.toml`. Every stage validates all of it, so that an error in the last table is found before the
/// first stage runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Settings of all stages.
    pub run: RunConfig,
    /// A simulated search engine and its click log; left out where the logs are real.
    pub simulate: Option<SimulateConfig>,
    /// The raw input files, how they are cleaned, and how queries are split.
    pub ingest: IngestConfig,
    /// How documents are found for a query.
    #[serde(default)]
    pub retrieval: RetrievalConfig,
    /// Tokenizers and continued pre-training examples.
    #[serde(default)]
    pub cpt: CptConfig,
    /// The teacher: what it starts from and its training phases. Left out where the tables `score.teacher` name other teachers.
    pub teacher: Option<TeacherConfig>,
    /// Scoring of lists by the teacher.
    #[serde(default)]
    pub score: ScoreConfig,
    /// The student and its distillation.
    pub distill: DistillConfig,
    /// Metrics and the report.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// A sample of queries and documents that the command `grade` has graded by a language model; no stage reads it.
    pub grade: Option<GradingConfig>,
    /// Folder of the configuration file; relative paths start here.
    #[serde(skip)]
    pub base: PathBuf,
}

impl Pipeline {
    /// Where the pipeline's files are.
    #[must_use]
    pub fn paths(&self) -> RunPaths {
        RunPaths::new(&self.base, &self.run.root, &self.run.name)
    }

    /// The base model of a teacher of this run that is saved as an adapter of it.
    #[must_use]
    pub fn adapter_base(&self) -> Option<&BaseModel> {
        self.teacher.as_ref()?.adapter_base()
    }

    /// True if queries have judgments, or grades from clicks; else the teacher's scores of held-out queries take their place.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.ingest.judgments.is_some()
    }

    /// The base model that the student descends from: `distill.base`, or, where that is `teacher`, what the teacher itself
    /// started from or is.
    #[must_use]
    pub fn student_origin(&self) -> Option<&BaseModel> {
        match &self.distill.base {
            Some(BaseModel::Teacher) => self.teacher.as_ref()?.origin(),
            base => base.as_ref(),
        }
    }
}
