//! Where a pipeline's files are.

use std::path::{Path, PathBuf};

use objects::Cache;

/// The folders of a pipeline: where its configuration file lies, and where its run is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPaths {
    base: PathBuf,
    root: PathBuf,
    name: String,
}

impl RunPaths {
    /// The run `name` below `root`; relative paths, `root` included, start at `base`, the configuration file's folder.
    #[must_use]
    pub fn new(base: &Path, root: &str, name: &str) -> RunPaths {
        RunPaths { base: base.to_path_buf(), root: base.join(root), name: name.to_string() }
    }

    /// The run's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The run's folder, `root/name`. Each stage's output is a folder in it.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.run_dir_of(&self.name)
    }

    /// The folder of another run below the same root.
    #[must_use]
    pub fn run_dir_of(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A path of the configuration: `{run}/` stands for the run's folder, relative paths start at the configuration
    /// file, and the URL of an object stands for its local copy, whether it is fetched yet or not.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        match path.strip_prefix("{run}/") {
            Some(rest) => self.run_dir().join(rest),
            None => Cache::from_env().file_of(path).unwrap_or_else(|| self.base.join(path)),
        }
    }

    /// A file as tables, manifests and reports name it: relative to the configuration file where it lies below its
    /// folder, and the copy of an object by its URL.
    #[must_use]
    pub fn display_name(&self, file: &Path) -> String {
        let below = || file.strip_prefix(&self.base).unwrap_or(file).to_string_lossy().into_owned();
        Cache::from_env().url_of(file).unwrap_or_else(below)
    }
}
