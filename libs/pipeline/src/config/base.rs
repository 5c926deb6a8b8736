//! Base models: where a model starts that does not start from random weights.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::Checks;

/// A base model: a Hugging Face folder, also one in an object store (`s3://bucket/folder`, `gs://bucket/folder`), `hf:org/name[@revision]`
/// on the Hugging Face Hub, or, for a student, `teacher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum BaseModel {
    /// `teacher`: this run's own teacher, for a student.
    Teacher,
    /// A Hugging Face folder; a relative path starts at the configuration file, a URL names a folder in an object store.
    Folder(String),
    /// `hf:org/name[@revision]`: a model of the Hugging Face Hub.
    Hub {
        /// `org/name`.
        repository: String,
        /// A branch, tag or commit; `main` where none is given.
        revision: String,
    },
}

impl TryFrom<String> for BaseModel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "teacher" {
            return Ok(BaseModel::Teacher);
        }
        let Some(name) = text.strip_prefix("hf:") else {
            return if text.is_empty() { Err(unreadable(&text)) } else { Ok(BaseModel::Folder(text)) };
        };
        let (repository, revision) = name.split_once('@').unwrap_or((name, "main"));
        let named = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
        };
        let parts = repository.split('/').count();
        if parts > 2 || !repository.split('/').chain(revision.split('/')).all(named) {
            return Err(unreadable(&text));
        }
        Ok(BaseModel::Hub { repository: repository.into(), revision: revision.into() })
    }
}

fn unreadable(text: &str) -> String {
    format!("expected a folder or hf:org/name[@revision], found `{text}`")
}

impl fmt::Display for BaseModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaseModel::Teacher => f.write_str("teacher"),
            BaseModel::Folder(path) => f.write_str(path),
            BaseModel::Hub { repository, revision } => write!(f, "hf:{repository}@{revision}"),
        }
    }
}

impl From<BaseModel> for String {
    fn from(base: BaseModel) -> String {
        base.to_string()
    }
}

/// Requires either a base model or a table of sizes, and `dropout` beside a base model alone.
pub(super) fn check_start(
    table: &str,
    base: Option<&BaseModel>,
    has_model: bool,
    dropout: Option<f64>,
    checks: &mut Checks,
) {
    let expected = format!("either this key or the table {table}.model");
    let found = if has_model { "both" } else { "neither" };
    checks.require(base.is_some() != has_model, &format!("{table}.base"), &expected, &found);
    if let Some(share) = dropout {
        let key = format!("{table}.dropout");
        checks.require((0.0..1.0).contains(&share), &key, "a number from 0 to below 1", &share);
        checks.require(base.is_some(), &key, &format!("it beside {table}.base alone"), &share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_names_are_told_apart() {
        let read = |text: &str| BaseModel::try_from(text.to_string());
        let hub = |repository: &str, revision: &str| {
            Ok(BaseModel::Hub { repository: repository.into(), revision: revision.into() })
        };
        assert_eq!(read("teacher"), Ok(BaseModel::Teacher));
        assert_eq!(read("./teacher"), Ok(BaseModel::Folder("./teacher".into())));
        assert_eq!(read("../models/bert"), Ok(BaseModel::Folder("../models/bert".into())));
        assert_eq!(read("hf:org/name"), hub("org/name", "main"));
        assert_eq!(read("hf:org/name@refs/pr/1"), hub("org/name", "refs/pr/1"));
        assert_eq!(read("hf:bert-base-uncased@v1.0"), hub("bert-base-uncased", "v1.0"));
        for text in ["", "hf:", "hf:a/b/c", "hf:/b", "hf:a/../b", "hf:a/b@", "hf:a/b@../../c", "hf:a b"] {
            assert_eq!(read(text), Err(format!("expected a folder or hf:org/name[@revision], found `{text}`")));
        }
    }
}
