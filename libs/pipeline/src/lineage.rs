//! Lineage: finds outputs that were made from earlier versions of the outputs before them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tables::{Manifest, StageDir};

use crate::paths::RunPaths;

/// A stage's output that was made from another version of an earlier output than the run now holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}: expected an output made from the run's present tables, found that {changed} has changed since; re-run {stage} and \
     the stages after it",
    path.display()
)]
pub struct Outdated {
    /// The stage's folder.
    pub path: PathBuf,
    /// The stage to run again.
    pub stage: String,
    /// The `stage/table`, `stage/folder` or `stage/file` that has changed.
    pub changed: String,
}

/// The first outdated output among those of `stages` in a run's folder and all they were made from. An earlier output
/// that has been removed cannot be compared and is passed over.
///
/// # Errors
/// [`tables::Error`] where a manifest cannot be read.
pub fn outdated<'a>(
    paths: &RunPaths,
    run_dir: &Path,
    stages: impl IntoIterator<Item = &'a str>,
) -> tables::Result<Option<Outdated>> {
    let mut waiting: Vec<String> = stages.into_iter().map(str::to_string).collect();
    let mut manifests = Manifests { run_dir, read: BTreeMap::new() };
    let mut checked = BTreeSet::new();
    while let Some(stage) = waiting.pop() {
        if !checked.insert(stage.clone()) {
            continue;
        }
        let Some(manifest) = manifests.of(&stage)?.cloned() else { continue };
        for input in &manifest.inputs {
            let name =
                if input.bytes.is_some() { run_file(paths, run_dir, &input.name) } else { Some(input.name.clone()) };
            let Some((earlier, part)) = name.as_deref().and_then(|name| name.split_once('/')) else { continue };
            let Some(found) = manifests.of(earlier)? else { continue };
            if found.digest_of(part).as_ref() != Some(&input.digest) {
                return Ok(Some(Outdated { path: run_dir.join(&stage), stage, changed: format!("{earlier}/{part}") }));
            }
            waiting.push(earlier.to_string());
        }
    }
    Ok(None)
}

/// The manifests of a run, each read once.
struct Manifests<'a> {
    run_dir: &'a Path,
    read: BTreeMap<String, Option<Manifest>>,
}

impl Manifests<'_> {
    /// The manifest of a stage; `None` where the stage has no finished output.
    fn of(&mut self, stage: &str) -> tables::Result<Option<&Manifest>> {
        if !self.read.contains_key(stage) {
            let found = match StageDir::open(self.run_dir, stage) {
                Ok(dir) => Some(dir.manifest().clone()),
                Err(tables::Error::MissingStage { .. }) => None,
                Err(error) => return Err(error),
            };
            self.read.insert(stage.to_string(), found);
        }
        Ok(self.read.get(stage).and_then(Option::as_ref))
    }
}

/// `stage/path` of an input file that an earlier stage of the run wrote, such as a simulated log.
fn run_file(paths: &RunPaths, run_dir: &Path, name: &str) -> Option<String> {
    let path = paths.resolve(name);
    let below = path.strip_prefix(run_dir).ok()?;
    Some(below.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::{InputEntry, OutputDir};

    /// Commits an output with one file, made from the outputs of `inputs` as they are.
    fn commit(root: &Path, stage: &str, content: &str, inputs: &[&str]) {
        let entry = |&earlier: &&str| {
            let digest = StageDir::open(root, earlier).unwrap().manifest().digest_of("model").unwrap();
            InputEntry { name: format!("{earlier}/model"), digest, bytes: None, modified_ns: None }
        };
        let manifest =
            Manifest { inputs: inputs.iter().map(entry).collect(), stage: stage.into(), ..Manifest::default() };
        let output = OutputDir::open(root, stage, false).unwrap();
        std::fs::create_dir(output.path().join("model")).unwrap();
        std::fs::write(output.path().join("model/weights"), content).unwrap();
        output.commit(manifest).unwrap();
    }

    fn check(root: &Path, stages: &[&str]) -> Result<(), String> {
        let paths = RunPaths::new(root.parent().unwrap(), "", root.file_name().unwrap().to_str().unwrap());
        let found = outdated(&paths, root, stages.iter().copied()).unwrap();
        found.map_or(Ok(()), |outdated| Err(outdated.to_string()))
    }

    #[test]
    fn an_output_of_an_earlier_version_is_found_along_the_chain() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        commit(root, "teacher", "one", &[]);
        commit(root, "score", "scores of one", &["teacher"]);
        commit(root, "distill", "student of one", &["score"]);
        assert_eq!(check(root, &["teacher", "distill"]), Ok(()));
        commit(root, "teacher", "one", &[]);
        assert_eq!(check(root, &["teacher", "distill"]), Ok(()), "equal bytes are the same version");
        commit(root, "teacher", "two", &[]);
        let refusal = check(root, &["teacher", "distill"]).unwrap_err();
        assert!(refusal.ends_with(
            "score: expected an output made from the run's present tables, found that teacher/model has changed since; \
             re-run score and the stages after it"
        ));
        assert_eq!(check(root, &["teacher"]), Ok(()));
        std::fs::remove_dir_all(root.join("teacher")).unwrap();
        assert_eq!(check(root, &["distill"]), Ok(()), "a removed output cannot be compared");
    }
}
