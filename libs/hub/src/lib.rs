//! Models of the Hugging Face Hub: downloaded once into the cache that all Hugging Face tools share, and read from there
//! afterwards without network access.
//!
//! The environment variables of those tools apply: `HF_HOME` (the cache is its folder `hub`), `HF_ENDPOINT` (another server),
//! `HF_TOKEN` (access to private repositories) and `HF_HUB_OFFLINE` (no downloads).

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

const CONFIG: &str = "config.json";
/// The vocabulary of a tokenizer; a model has at least one of them.
const VOCABULARIES: [&str; 3] = ["tokenizer.json", "vocab.txt", "vocab.json"];
/// What else decides how a model reads texts.
const OPTIONAL: [&str; 8] = [
    "special_tokens_map.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// An adapter of another model, in place of configuration and weights.
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// Why a model is not available.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model is not in the cache, and downloads are switched off.
    #[error("hf:{name}: expected it in the cache {}, as HF_HUB_OFFLINE is set, found no whole copy; unset it once, or name a folder", cache.display())]
    Offline {
        /// `org/name@revision`.
        name: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The server could not be reached or refused the request.
    #[error("hf:{name}: fetching {file} failed: {cause}")]
    Fetch {
        /// `org/name@revision`.
        name: String,
        /// The file, or the request.
        file: String,
        /// The error of the HTTP client.
        cause: Box<ApiError>,
    },
    /// The repository lacks a required file.
    #[error("hf:{name}: expected {expected} in the repository, found none")]
    NoFile {
        /// `org/name@revision`.
        name: String,
        /// The file.
        expected: String,
    },
    /// The weights' index cannot be read or names files outside the model's folder.
    #[error("{}: expected a weight_map from weights to files beside it, found {found}", path.display())]
    BadIndex {
        /// The index.
        path: PathBuf,
        /// What the index holds instead.
        found: String,
    },
    /// The cache is not writable.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The cache.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
}

impl Error {
    /// True if the model is missing or incomplete, false if the network or the disk failed.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Error::Offline { .. } | Error::NoFile { .. } | Error::BadIndex { .. })
    }
}

/// Returns the folder with a model's configuration, tokenizer and safetensors weights, downloading it if necessary. A
/// revision that is complete in the cache is not looked up again, so a branch stays at the commit it was first fetched at.
///
/// # Errors
/// [`Error`].
pub fn fetch(repository: &str, revision: &str) -> Result<PathBuf, Error> {
    let cache = Cache::from_env();
    let repo = |revision: &str| Repo::with_revision(repository.into(), RepoType::Model, revision.into());
    let name = format!("{repository}@{revision}");
    if let Some(folder) = whole(&cache, repo(revision))? {
        return Ok(folder);
    }
    if is_offline() {
        return Err(Error::Offline { name, cache: cache.path().clone() });
    }
    let mut builder = ApiBuilder::from_env().with_progress(std::io::stderr().is_terminal());
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    let failed = |file: &str| {
        let (name, file) = (name.clone(), file.to_string());
        move |cause| Error::Fetch { name, file, cause: Box::new(cause) }
    };
    let api = builder.build().map_err(failed("anything"))?;
    let info = api.repo(repo(revision)).info().map_err(failed("the list of files"))?;
    let listed: BTreeSet<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
    // By commit, so that all files belong to one state of the repository even while it changes.
    let model = Remote { repo: api.repo(repo(&info.sha)), name: name.clone(), listed };
    let folder = model.fetch_all()?;
    // The revision is recorded last: a recorded revision is complete.
    let noted = cache.repo(repo(revision)).create_ref(&info.sha);
    noted.map_err(|cause| Error::Io { path: cache.path().clone(), cause })?;
    Ok(folder)
}

/// The folder of a model that is whole in the cache; `None` where [`fetch`] would have to download it.
///
/// # Errors
/// [`Error::BadIndex`].
pub fn cached(repository: &str, revision: &str) -> Result<Option<PathBuf>, Error> {
    whole(&Cache::from_env(), Repo::with_revision(repository.into(), RepoType::Model, revision.into()))
}

/// True if `HF_HUB_OFFLINE` has a value that Hugging Face tools read as true.
#[must_use]
pub fn is_offline() -> bool {
    let value = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
    ["1", "true", "yes", "on"].contains(&value.as_str())
}

/// The cached folder of a revision; `None` if a required file is missing.
fn whole(cache: &Cache, repo: Repo) -> Result<Option<PathBuf>, Error> {
    let cached = cache.repo(repo);
    let is_cached = |file: &&str| cached.get(file).is_some();
    if let (Some(adapter), true) = (cached.get(ADAPTER[0]), ADAPTER.iter().all(is_cached)) {
        return Ok(adapter.parent().map(Path::to_path_buf));
    }
    if !is_cached(&CONFIG) || !VOCABULARIES.iter().any(is_cached) {
        return Ok(None);
    }
    let weights = match (cached.get(WEIGHTS), cached.get(INDEX)) {
        (Some(weights), _) => Some(weights),
        (None, Some(index)) => {
            let shards = shards(&index)?;
            shards.iter().all(|shard| cached.get(shard).is_some()).then_some(index)
        }
        (None, None) => None,
    };
    Ok(weights.and_then(|weights| weights.parent().map(Path::to_path_buf)))
}

/// The files that an index names.
fn shards(index: &Path) -> Result<BTreeSet<String>, Error> {
    let bad = |found: &str| Error::BadIndex { path: index.to_path_buf(), found: found.to_string() };
    let text = std::fs::read(index).map_err(|cause| bad(&cause.to_string()))?;
    let content: serde_json::Value = serde_json::from_slice(&text).map_err(|cause| bad(&cause.to_string()))?;
    let map = content["weight_map"].as_object().ok_or_else(|| bad("none"))?;
    let beside = |file: &str| Path::new(file).file_name().is_some_and(|name| name == file);
    map.values()
        .map(|file| match file.as_str() {
            Some(file) if beside(file) => Ok(file.to_string()),
            _ => Err(bad(&file.to_string())),
        })
        .collect()
}

/// A model on the server, at one commit.
struct Remote {
    repo: ApiRepo,
    name: String,
    listed: BTreeSet<String>,
}

impl Remote {
    fn fetch_all(&self) -> Result<PathBuf, Error> {
        // A module of sentence-transformers has its configuration in a folder of its own.
        let of_module = |file: &&str| file.split('/').count() == 2 && file.ends_with("/config.json");
        let modules = self.listed.iter().map(String::as_str).filter(of_module);
        for file in VOCABULARIES.into_iter().chain(OPTIONAL).filter(|&file| self.listed.contains(file)).chain(modules) {
            self.fetch(file)?;
        }
        if self.listed.contains(ADAPTER[0]) && !self.listed.contains(CONFIG) {
            self.fetch(ADAPTER[0])?;
            return Ok(self.fetch(ADAPTER[1])?.parent().map(Path::to_path_buf).unwrap_or_default());
        }
        self.fetch(CONFIG)?;
        if !VOCABULARIES.iter().any(|&file| self.listed.contains(file)) {
            return Err(Error::NoFile { name: self.name.clone(), expected: VOCABULARIES[0].to_string() });
        }
        let weights = if self.listed.contains(WEIGHTS) || !self.listed.contains(INDEX) {
            self.fetch(WEIGHTS)?
        } else {
            let index = self.fetch(INDEX)?;
            for shard in shards(&index)? {
                self.fetch(&shard)?;
            }
            index
        };
        Ok(weights.parent().map(Path::to_path_buf).unwrap_or_default())
    }

    fn fetch(&self, file: &str) -> Result<PathBuf, Error> {
        if !self.listed.contains(file) {
            return Err(Error::NoFile { name: self.name.clone(), expected: file.to_string() });
        }
        self.repo.get(file).map_err(|cause| Error::Fetch {
            name: self.name.clone(),
            file: file.to_string(),
            cause: Box::new(cause),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_files_beside_it_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join(INDEX);
        let read = |content: &str| {
            std::fs::write(&index, content).unwrap();
            shards(&index).map_err(|error| error.to_string())
        };
        let names = read(
            r#"{"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}"#,
        );
        assert_eq!(names, Ok(BTreeSet::from(["model-1.safetensors".into(), "model-2.safetensors".into()])));
        for (content, found) in [
            (r#"{"weight_map": {"a": "../other/model.safetensors"}}"#, r#""../other/model.safetensors""#),
            (r#"{"weight_map": {"a": 1}}"#, "1"),
            ("{}", "none"),
        ] {
            let expected = "expected a weight_map from weights to files beside it, found";
            assert_eq!(read(content), Err(format!("{}: {expected} {found}", index.display())));
        }
    }

    #[test]
    fn a_cached_model_is_whole_with_every_shard() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::new(home.path().to_path_buf());
        let repo = || Repo::model("org/tiny".into());
        let snapshot = cache.repo(repo()).pointer_path("c0ffee");
        std::fs::create_dir_all(&snapshot).unwrap();
        cache.repo(repo()).create_ref("c0ffee").unwrap();
        let mut steps = vec![("config.json", "{}"), ("tokenizer.json", "{}")];
        steps.push((INDEX, r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#));
        steps.extend([("model-1.safetensors", ""), ("model-2.safetensors", "")]);
        for (file, content) in steps {
            assert_eq!(whole(&cache, repo()).unwrap(), None, "before {file}");
            std::fs::write(snapshot.join(file), content).unwrap();
        }
        assert_eq!(whole(&cache, repo()).unwrap(), Some(snapshot));
        let snapshot = cache.repo(Repo::model("org/adapter".into())).pointer_path("c0ffee");
        std::fs::create_dir_all(&snapshot).unwrap();
        cache.repo(Repo::model("org/adapter".into())).create_ref("c0ffee").unwrap();
        for file in ADAPTER {
            assert_eq!(whole(&cache, Repo::model("org/adapter".into())).unwrap(), None, "before {file}");
            std::fs::write(snapshot.join(file), "").unwrap();
        }
        assert_eq!(whole(&cache, Repo::model("org/adapter".into())).unwrap(), Some(snapshot));
    }
}
