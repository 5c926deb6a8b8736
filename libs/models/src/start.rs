//! What the teacher and the students start from, or what the teacher is.

use nn::folder::{Base, InputChoice, SavedRanker, Truncation, load_scorer, ranker_scoring};
use nn::ops::Precision;
use nn::text::{Kind, Passages, Pooling, Scoring, Template, Tokenizer, Window};
use nn::weights::LoraConfig;
use pipeline::config::{self, BaseModel, InputConfig, TeacherPooling};
use pipeline::{BadInput, ConfigError, RunPaths};

use crate::base::locate;
use crate::open_base;

/// Tokens of a sequence of a model from random weights, where the configuration does not say how many.
const RANDOM_LENGTH: usize = 128;

/// Where a model starts, as the configuration says it.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The table of the configuration that it is from, for messages.
    table: &'a str,
    /// The base model; without one, the model starts from random weights.
    base: Option<&'a BaseModel>,
    /// Encoder or decoder, for a model from random weights.
    kind: Kind,
    /// How it reads a query and a document.
    input: &'a InputConfig,
    /// Dropout while training, in place of the base model's own.
    dropout: Option<f64>,
    /// Which tokens a decoder's score is read from, in place of the base model's own.
    pooling: Option<TeacherPooling>,
}

/// What a model starts from.
#[derive(Debug)]
pub struct Start {
    /// The base model; without one, the model starts from random weights.
    pub base: Option<Base>,
    /// How the model scores.
    pub scoring: Scoring,
}

impl<'a> Origin<'a> {
    /// Where the teacher starts.
    #[must_use]
    pub fn teacher(base: Option<&'a BaseModel>, input: &'a InputConfig, dropout: Option<f64>) -> Self {
        Self { table: "teacher", base, kind: Kind::Decoder, input, dropout, pooling: None }
    }

    /// Where a student starts.
    #[must_use]
    pub fn student(base: Option<&'a BaseModel>, input: &'a InputConfig, dropout: Option<f64>) -> Self {
        Self { table: "distill", base, kind: Kind::Encoder, input, dropout, pooling: None }
    }

    /// This start of a model whose score is read from the tokens that `teacher.pooling` names, where it is given.
    #[must_use]
    pub fn with_pooling(self, pooling: Option<TeacherPooling>) -> Self {
        Self { pooling, ..self }
    }

    /// Refuses a pooling of an encoder, and sets that of a decoder.
    fn pool(&self, kind: Kind, found: &str, scoring: &mut Scoring) -> Result<(), ConfigError> {
        let Some(pooling) = self.pooling else { return Ok(()) };
        if kind == Kind::Encoder {
            return Err(ConfigError::Unusable(format!(
                "teacher.pooling: expected a decoder as teacher.base, found the architecture {found}; remove the key"
            )));
        }
        scoring.pooling = match pooling {
            TeacherPooling::LastToken => Pooling::LastToken,
            TeacherPooling::Mean => Pooling::Mean,
        };
        Ok(())
    }
}

impl Start {
    /// Opens what `origin` names. `tokenizer` is the one that stage `cpt` took from the base, or trained.
    ///
    /// # Errors
    /// As [`open_base`]; [`BadInput`] for a base that now has another tokenizer; [`ConfigError`] for an input that the base
    /// model cannot take, or a ranker whose input nobody says.
    pub fn open(paths: &RunPaths, origin: &Origin<'_>, tokenizer: &Tokenizer) -> anyhow::Result<Start> {
        let choice = choice(origin.input);
        let Some(base) = origin.base else {
            let given = choice.template.as_deref().map(Template::given);
            let mut scoring = Scoring::of(origin.kind, Window::LongestFirst { max_length: RANDOM_LENGTH });
            scoring.template = given.unwrap_or(scoring.template);
            let is_pair = matches!(scoring.template, Template::Pair { .. });
            let truncation = if is_pair { Truncation::LongestFirst } else { Truncation::OnlySecond };
            scoring.window = choice.window(RANDOM_LENGTH, truncation);
            scoring.passages = choice.passages;
            origin.pool(origin.kind, "Bert", &mut scoring)?;
            return Ok(Start { base: None, scoring });
        };
        let (opened, scoring) = for_training(paths, origin, base)?;
        let (expected, found) = (tokenizer.identity(), opened.tokenizer.identity());
        if expected != found {
            Err(BadInput(format!(
                "{}.base = {base}: expected the tokenizer.json that stage cpt took over, sha256 {expected}, found sha256 \
                 {found}; re-run cpt",
                origin.table
            )))?;
        }
        Ok(Start { base: Some(opened), scoring })
    }
}

/// The base model of `origin`, as a training starts from it, and how it scores.
pub(crate) fn for_training(paths: &RunPaths, origin: &Origin<'_>, base: &BaseModel) -> anyhow::Result<(Base, Scoring)> {
    let mut opened = open_base(paths, base)?;
    if let Some(share) = origin.dropout {
        opened = opened.with_dropout(share).map_err(|error| BadInput(error.to_string()))?;
    }
    let key = format!("{}.base", origin.table);
    let started = opened.for_training(&choice(origin.input));
    let (opened, mut scoring) = started.map_err(|error| unusable(origin.table, &key, base, &error))?;
    origin.pool(opened.backbone.kind(), opened.backbone.name(), &mut scoring)?;
    Ok((opened, scoring))
}

/// A saved ranker that is a teacher as it is, named by the key `use` of the table `table`, and scores in this precision.
///
/// # Errors
/// [`BadInput`] for a folder that holds no ranker; [`ConfigError`] for one whose input nobody says.
pub fn saved_teacher(
    paths: &RunPaths,
    table: &str,
    saved: &BaseModel,
    input: &InputConfig,
    precision: Precision,
) -> anyhow::Result<SavedRanker> {
    let (folder, hub) = locate(paths, saved)?;
    Ok(load_scorer(&folder, hub.as_deref(), &choice(input), precision)
        .map_err(|error| unusable(table, &format!("{table}.use"), saved, &error))?)
}

/// The tokenizer of the saved ranker that is the teacher as it is, and how it scores.
///
/// # Errors
/// As [`saved_teacher`], but for its weights.
pub fn saved_teacher_input(
    paths: &RunPaths,
    saved: &BaseModel,
    input: &InputConfig,
) -> anyhow::Result<(Tokenizer, Scoring)> {
    let (folder, hub) = locate(paths, saved)?;
    Ok(ranker_scoring(&folder, hub.as_deref(), &choice(input))
        .map_err(|error| unusable("teacher", "teacher.use", saved, &error))?)
}

/// The updates of low rank that the configuration asks for.
#[must_use]
pub fn low_rank(config: &config::LoraConfig) -> LoraConfig {
    LoraConfig { rank: config.rank, alpha: config.alpha, dropout: config.dropout, targets: config.targets.clone() }
}

/// What the configuration says of a model's input.
fn choice(input: &InputConfig) -> InputChoice {
    let truncation = input.truncation.map(|truncation| match truncation {
        config::Truncation::LongestFirst => Truncation::LongestFirst,
        config::Truncation::OnlySecond => Truncation::OnlySecond,
        // The configuration was refused without these two.
        config::Truncation::Fields => Truncation::Fields {
            max_query_tokens: input.max_query_tokens.unwrap_or_default(),
            max_document_tokens: input.max_document_tokens.unwrap_or_default(),
        },
    });
    let passages = input.passages.map(|config::PassagesConfig { most, overlap }| Passages { most, overlap });
    InputChoice { template: input.template.clone(), max_length: input.max_length, truncation, passages }
}

/// Names the key, and for a template that nobody says the line that sets it.
fn unusable(table: &str, key: &str, base: &BaseModel, error: &nn::Error) -> ConfigError {
    ConfigError::Unusable(match error {
        nn::Error::UnknownTemplate { example, .. } => {
            format!("{key} = {base}: {error}; in the pipeline file: {table}.input.template = {example:?}")
        }
        error => format!("{key} = {base}: {error}"),
    })
}
