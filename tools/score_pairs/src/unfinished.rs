//! The folder beside an output that is not finished yet: the scores made so far and the output on its way.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use files::AtomicFile;
use tables::Parts;

/// The table of a part.
const TABLE: &str = "pair_scores";
/// The file in the folder that says that a file in the output's place may be replaced: the user said so with `--force`, or it is
/// the output itself, and the run was killed before the folder was removed.
const REPLACES: &str = "replaces-the-output";

/// The folder `<out>.parts`.
pub(crate) struct Unfinished {
    dir: PathBuf,
}

impl Unfinished {
    /// The folder of the output `out`.
    pub(crate) fn beside(out: &Path) -> Unfinished {
        let mut name = out.file_name().unwrap_or_default().to_os_string();
        name.push(".parts");
        Unfinished { dir: out.with_file_name(name) }
    }

    /// True if a run that may replace the output was interrupted.
    pub(crate) fn may_replace(&self) -> bool {
        self.dir.join(REPLACES).exists()
    }

    /// The parts in the folder, of the model and settings with this fingerprint. With `force` those that are there are removed.
    pub(crate) fn open(&self, fingerprint: &str, force: bool) -> anyhow::Result<Parts> {
        if force {
            Parts::remove(&self.dir)?;
        }
        let parts = Parts::open(&self.dir, TABLE, fingerprint)?;
        if force {
            self.allow_replacing()?;
        }
        Ok(parts)
    }

    /// Begins the output in the folder, where it lies until it is committed.
    pub(crate) fn create(&self, out: &Path) -> anyhow::Result<AtomicFile> {
        Ok(AtomicFile::create_in(&self.dir, out)?)
    }

    /// Notes that a file in the output's place may be replaced from now on.
    pub(crate) fn allow_replacing(&self) -> anyhow::Result<()> {
        Ok(AtomicFile::create(&self.dir.join(REPLACES))?.commit()?)
    }

    /// Removes the folder of a run that failed before it had scores to keep. The first error is the one to report.
    pub(crate) fn remove_if_nothing_is_scored(&self) {
        let is_part = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("part-");
        let mut entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        if !entries.any(is_part) {
            let _ = Parts::remove(&self.dir);
        }
    }

    /// Removes the folder, last of all the note that lets an interrupted removal go on.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        let failed = || format!("{}: removing failed", self.dir.display());
        for entry in fs::read_dir(&self.dir).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            if !path.ends_with(REPLACES) {
                fs::remove_file(path).with_context(failed)?;
            }
        }
        Ok(Parts::remove(&self.dir)?)
    }
}

#[cfg(test)]
mod tests {
    use tables::Rows;

    use super::*;

    #[test]
    fn a_run_that_may_replace_the_output_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.csv");
        let unfinished = Unfinished::beside(&out);
        unfinished.open("a", false).unwrap();
        assert!(folder.path().join("out.csv.parts").is_dir() && !unfinished.may_replace());
        assert!(unfinished.open("b", false).is_err());
        unfinished.open("b", true).unwrap();
        assert!(unfinished.may_replace());
        let parts = unfinished.open("b", false).unwrap();
        parts.write(0, Rows::of(&[0.5]).float32s("score", |&score| score)).unwrap();
        unfinished.remove_if_nothing_is_scored();
        unfinished.create(&out).unwrap().commit().unwrap();
        unfinished.remove().unwrap();
        unfinished.open("a", false).unwrap();
        unfinished.remove_if_nothing_is_scored();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
