//! `pipeline.toml`: one table per stage, parsed and validated before any work.

mod base;
mod data;
mod evaluate;
mod load;
mod model;
mod run;
mod simulate;
mod training;

pub use base::BaseModel;
pub use data::{
    BinaryLines, CleanConfig, DocumentColumns, DocumentsConfig, IngestConfig, JudgmentFormat, JudgmentsConfig,
    LogColumns, LogConfig, QuoteEscape, RawFormat, SplitConfig,
};
pub use evaluate::{Candidates, EvaluateConfig, Gain, NoRelevant, Ties};
pub use load::{ConfigError, load};
pub use model::{
    CptConfig, CptPhaseConfig, DecoderConfig, DistillConfig, EncoderConfig, LabelsOnlyConfig, LoraConfig,
    PretrainConfig, RankConfig, RankLoss, ScoreConfig, TeacherConfig, TitlesConfig, TokenizerConfig,
};
pub use run::{Device, Precision, RunConfig};
pub use simulate::{ClickConfig, ClickModelKind, SimulateConfig, WorldConfig};
pub use training::{ScheduleKind, TrainingConfig};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The whole of `pipeline.toml`. Every stage validates all of it, so that a slip in the last table is found before
/// the first stage spends an hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// What concerns every stage.
    pub run: RunConfig,
    /// The simulated world; absent where the logs are real.
    pub simulate: Option<SimulateConfig>,
    /// Raw files to tables.
    pub ingest: IngestConfig,
    /// Continued pre-training examples.
    #[serde(default)]
    pub cpt: CptConfig,
    /// The teacher's two training phases.
    pub teacher: TeacherConfig,
    /// List-wise scoring by the teacher.
    #[serde(default)]
    pub score: ScoreConfig,
    /// Distillation into the student.
    pub distill: DistillConfig,
    /// Metrics and the report.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// Folder of the configuration file; relative paths start here.
    #[serde(skip)]
    pub base: PathBuf,
}

impl Pipeline {
    /// `root/name`: the folder of this pipeline's run. Each stage's output is a folder in it.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.run_dir_of(&self.run.name)
    }

    /// The folder of another run of the same root.
    #[must_use]
    pub fn run_dir_of(&self, name: &str) -> PathBuf {
        self.base.join(&self.run.root).join(name)
    }

    /// The base model that the student descends from: `distill.base`, for `teacher` the teacher's own.
    #[must_use]
    pub fn student_origin(&self) -> Option<&BaseModel> {
        match &self.distill.base {
            Some(BaseModel::Teacher) => self.teacher.base.as_ref(),
            base => base.as_ref(),
        }
    }

    /// A path of the configuration: `{run}` stands for the run's folder, relative paths start at the configuration.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        match path.strip_prefix("{run}/") {
            Some(rest) => self.run_dir().join(rest),
            None => self.base.join(Path::new(path)),
        }
    }
}
