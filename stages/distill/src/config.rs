//! What the stage reads of `pipeline.toml`.

use models::Origin;
use pipeline::Pipeline;
use pipeline::config::{
    BaseModel, DistillConfig, ListTraining, Precision, RetrievalConfig, TeacherPooling, Validation,
};
use serde::Serialize;

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Serialize)]
pub struct Config {
    pub(crate) seed: u64,
    pub(crate) precision: Precision,
    pub(crate) distill: DistillConfig,
    /// True if some of the scored queries are generated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) generated: bool,
    /// What finds negatives.
    pub(crate) retrieval: RetrievalConfig,
    /// The base model that the students descend from: `distill.base`, or the base of the teacher that it stands for.
    pub(crate) origin: Option<BaseModel>,
    /// The dropout of a student with a base model, where the configuration sets one.
    pub(crate) dropout: Option<f64>,
    /// Which tokens the score of a student made of the teacher is read from, where the configuration says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pooling: Option<TeacherPooling>,
    /// How the trainings validate, where one does.
    pub(crate) validation: Option<Validation>,
}

impl Config {
    pub(crate) fn of(pipeline: &Pipeline) -> Config {
        let distill = pipeline.distill.clone();
        let validates = distill.validate_every > 0
            || distill.phases.iter().any(|phase| phase.validate_every > 0)
            || distill.labels_only.as_ref().is_some_and(|labels_only| labels_only.validate_every > 0);
        // Both students have the same dropout and pooling, also where one starts from the teacher and the other from the teacher's base.
        let inherits = distill.base == Some(BaseModel::Teacher);
        Config {
            seed: pipeline.run.seed,
            precision: pipeline.run.precision,
            origin: pipeline.student_origin().cloned(),
            dropout: distill.dropout.or(pipeline.teacher.as_ref().filter(|_| inherits).and_then(|it| it.dropout)),
            pooling: pipeline.teacher.as_ref().filter(|_| inherits).and_then(|it| it.pooling),
            validation: validates.then(|| pipeline.evaluate.validation()),
            generated: pipeline.score.generated.is_some(),
            retrieval: pipeline.retrieval.clone(),
            distill,
        }
    }

    /// Where the distilled student starts.
    pub(crate) fn student(&self) -> Origin<'_> {
        self.starting_from(self.distill.base.as_ref())
    }

    /// Where the label-only student starts: it has not seen the teacher.
    pub(crate) fn label_only_student(&self) -> Origin<'_> {
        self.starting_from(self.origin.as_ref())
    }

    /// The trainings on lists of the distilled student, with their tables.
    pub(crate) fn distillations(&self) -> Vec<(String, ListTraining)> {
        let phases = self.distill.phases.iter().enumerate();
        let phases = phases.map(|(index, phase)| (format!("distill.phases[{index}]"), phase.list_training()));
        phases.chain([("distill".into(), self.distill.list_training())]).collect()
    }

    fn starting_from<'a>(&'a self, base: Option<&'a BaseModel>) -> Origin<'a> {
        Origin::student(base, &self.distill.input, self.dropout).with_pooling(self.pooling)
    }
}
