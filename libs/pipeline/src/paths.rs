//! Where a pipeline's files are.

use std::path::{Component, Path, PathBuf};

use objects::Cache;

/// The folders of a pipeline: where its configuration file lies, and where its run is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPaths {
    base: PathBuf,
    /// As the configuration has it, below `base`.
    written_root: PathBuf,
    /// The same, without detours.
    root: PathBuf,
    name: String,
}

impl RunPaths {
    /// The run `name` below `root`; relative paths, `root` included, start at `base`, the configuration file's folder.
    #[must_use]
    pub fn new(base: &Path, root: &str, name: &str) -> RunPaths {
        let written_root = base.join(root);
        let root = without_detours(&written_root);
        RunPaths { base: base.to_path_buf(), written_root, root, name: name.to_string() }
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
            Some(rest) if rest.starts_with("../") => without_detours(&self.run_dir().join(rest)),
            Some(rest) => self.run_dir().join(rest),
            None => {
                let below = || replaced(&self.base.join(path), &self.written_root, &self.root);
                Cache::from_env().file_of(path).unwrap_or_else(below)
            }
        }
    }

    /// A file as tables, manifests and reports name it: relative to the configuration file where it lies below its
    /// folder, and the copy of an object by its URL.
    #[must_use]
    pub fn display_name(&self, file: &Path) -> String {
        let below = || {
            let file = replaced(file, &self.root, &self.written_root);
            file.strip_prefix(&self.base).unwrap_or(&file).to_string_lossy().into_owned()
        };
        Cache::from_env().url_of(file).unwrap_or_else(below)
    }
}

/// A file below the folder `from`, below `to`; any other file as it is.
fn replaced(file: &Path, from: &Path, to: &Path) -> PathBuf {
    file.strip_prefix(from).map_or_else(|_| file.to_path_buf(), |below| to.join(below))
}

/// A path as messages show it: without a folder that `..` leaves at once. Where that folder is a link, `..` is another one's, and
/// both stay.
#[must_use]
pub fn without_detours(path: &Path) -> PathBuf {
    let mut direct = PathBuf::new();
    for part in path.components() {
        let in_folder = matches!(direct.components().next_back(), Some(Component::Normal(_)));
        if part == Component::ParentDir && in_folder && !direct.is_symlink() {
            direct.pop();
        } else {
            direct.push(part);
        }
    }
    if direct.as_os_str().is_empty() { PathBuf::from(".") } else { direct }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_left_at_once_is_not_shown() {
        let shown = |path: &str| without_detours(Path::new(path)).display().to_string();
        assert_eq!(shown("configs/../data/x.csv"), "data/x.csv");
        assert_eq!(["./runs/tiny", "/a/b/../../c", "../a/../b", "a/.."].map(shown), ["./runs/tiny", "/c", "../b", "."]);
    }

    #[test]
    fn what_leaves_a_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("far/away")).unwrap();
        std::os::unix::fs::symlink("far/away", folder.path().join("link")).unwrap();
        let path = folder.path().join("link/../x");
        assert_eq!(without_detours(&path), path);
    }

    #[test]
    fn names_start_at_the_configuration_file() {
        let paths = RunPaths::new(Path::new("configs"), "../data/runs", "r");
        assert_eq!(paths.run_dir(), Path::new("data/runs/r"));
        let written = "../data/runs/r/simulate/log.jsonl";
        assert_eq!(paths.resolve(written), Path::new("data/runs/r/simulate/log.jsonl"));
        assert_eq!(paths.resolve("{run}/simulate/log.jsonl"), paths.resolve(written));
        assert_eq!(paths.resolve("{run}/../s/distill/student"), Path::new("data/runs/s/distill/student"));
        assert_eq!(paths.display_name(&paths.resolve(written)), written);
        assert_eq!(paths.display_name(&paths.resolve("../logs/a.csv")), "../logs/a.csv");
    }
}
