//! `disranker.json`: how a ranker scores.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identity::identity;
use super::layout::{format_error, read_json, write_json};
use crate::error::Result;
use crate::models::Head;
use crate::text::{Scoring, Tokenizer};

/// The layout of `disranker.json` written by this version; another one is refused.
const FORMAT: u32 = 2;
/// Most grades of a model.
const MOST_GRADES: u64 = 32;

/// The constants of a student's targets, `(score - mean) / std` of the teacher's scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardisation {
    /// Mean of the teacher's raw logits over the training table.
    pub mean: f64,
    /// Standard deviation of the same.
    pub std: f64,
}

/// What a ranker's folder says beyond config.json, in `disranker.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How the model scores.
    pub scoring: Scoring,
    /// How a student's targets were standardised, if they were.
    pub standardisation: Option<Standardisation>,
}

/// `disranker.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    format: u32,
    /// Identity of the tokenizer the model was trained with.
    tokenizer: String,
    scoring: Scoring,
    standardisation: Option<Standardisation>,
    /// Grades from 0 that the model has a logit for, where its score is the expected grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grades: Option<usize>,
    /// Identity of the base model, where the folder holds an adapter of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
}

/// Writes `disranker.json` of a model with this head; `base` is the identity of the base model where the folder holds an adapter.
pub(super) fn save(
    path: &Path,
    tokenizer: &Tokenizer,
    (settings, head): (&Settings, Head),
    base: Option<String>,
) -> Result<()> {
    let settings = SettingsFile {
        format: FORMAT,
        tokenizer: tokenizer.identity(),
        scoring: settings.scoring.clone(),
        standardisation: settings.standardisation,
        grades: if let Head::Grades(grades) = head { Some(grades) } else { None },
        base,
    };
    write_json(path, &serde_json::to_value(settings)?)
}

/// The head of the ranker beside `disranker.json` at `path`; without such a file, one that scores.
pub(super) fn head(path: &Path) -> Result<Head> {
    if !path.exists() {
        return Ok(Head::Score);
    }
    match read_json(path)?.get("grades") {
        None | Some(Value::Null) => Ok(Head::Score),
        Some(grades) => match grades.as_u64() {
            Some(grades @ 2..=MOST_GRADES) => Ok(Head::Grades(grades as usize)),
            _ => Err(format_error(path, &format!("grades from 2 to {MOST_GRADES}"), grades.to_string())),
        },
    }
}

/// Reads `disranker.json` at `path`, and refuses another tokenizer or base model than it names; `base` is the folder of the
/// model that an adapter adapts.
pub(super) fn read(path: &Path, folder: &Path, tokenizer: &Tokenizer, base: Option<&Path>) -> Result<Settings> {
    let json = read_json(path)?;
    if json["format"] != FORMAT {
        let expected = format!("format {FORMAT}, which this version writes: train the model again");
        return Err(format_error(path, &expected, format!("format {}", json["format"])));
    }
    let file: SettingsFile = serde_json::from_value(json)
        .map_err(|error| format_error(path, "how a ranker of this project scores", error.to_string()))?;
    if file.tokenizer != tokenizer.identity() {
        let expected = format!("the tokenizer.json it was trained with, sha256 {}", file.tokenizer);
        return Err(format_error(folder, &expected, format!("sha256 {}", tokenizer.identity())));
    }
    if let (Some(expected), Some(base)) = (file.base, base) {
        let found = identity(base)?;
        if found != expected {
            let expected = format!("the base model that the adapter {} was trained on, {expected}", folder.display());
            return Err(format_error(base, &expected, found));
        }
    }
    Ok(Settings { scoring: file.scoring, standardisation: file.standardisation })
}
