//! The folder beside an output that is not finished yet: the scores made so far and the output on its way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use files::AtomicFile;
use pipeline::ConfigError;
use tables::Parts;

/// The table of a part.
const TABLE: &str = "pair_scores";
/// The file in the folder that says that a file in the output's place may be replaced: the user said so with `--force`, or it is
/// the output itself, and the run was killed before the folder was removed.
const REPLACES: &str = "replaces-the-output";

/// The file in the folder that the process at work holds locked.
const LOCK: &str = "lock";

/// The folder `<out>.parts`.
pub(crate) struct Unfinished {
    dir: PathBuf,
    /// Name of the output, which lies in the folder until it is committed.
    out: String,
    lock: Option<File>,
}

impl Unfinished {
    /// The folder of the output `out`.
    pub(crate) fn beside(out: &Path) -> Unfinished {
        let mut name = out.file_name().unwrap_or_default().to_os_string();
        let out_name = name.to_string_lossy().into_owned();
        name.push(".parts");
        Unfinished { dir: out.with_file_name(name), out: out_name, lock: None }
    }

    /// True if a run that may replace the output was interrupted.
    pub(crate) fn may_replace(&self) -> bool {
        self.dir.join(REPLACES).exists()
    }

    /// The parts in the folder, of the model and settings with this fingerprint. With `force` those that are there are removed. A
    /// process that is not `alone` shares the folder with others like it.
    pub(crate) fn open(&mut self, fingerprint: &str, (force, alone): (bool, bool)) -> anyhow::Result<Parts> {
        self.claim(alone)?;
        if force {
            self.remove_files(&[LOCK])?;
        }
        let parts = Parts::open(&self.dir, TABLE, fingerprint)?;
        if force {
            self.allow_replacing()?;
        }
        Ok(parts)
    }

    /// Makes the folder, or takes that of an interrupted run, for this process alone or beside others that are not alone.
    fn claim(&mut self, alone: bool) -> anyhow::Result<()> {
        let refused = |found: &str| {
            ConfigError::Unusable(format!(
                "{}: expected no such folder, or that of an interrupted run, found {found}; rename it, or choose another --out",
                self.dir.display()
            ))
        };
        if self.dir.exists() && !self.dir.is_dir() {
            Err(refused("a file"))?;
        }
        let failed = || format!("{}: creating failed", self.dir.display());
        fs::create_dir_all(&self.dir).with_context(failed)?;
        let own = ["part-", "fingerprint", REPLACES, LOCK, &self.out];
        for entry in fs::read_dir(&self.dir).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() || !own.iter().any(|start| name.starts_with(start)) {
                Err(refused(&format!("`{name}` in it")))?;
            }
        }
        let lock = File::create(self.dir.join(LOCK)).with_context(failed)?;
        if if alone { lock.try_lock() } else { lock.try_lock_shared() }.is_err() {
            let dir = self.dir.display();
            Err(ConfigError::Unusable(format!("{dir}: another process writes this output; wait for it")))?;
        }
        self.lock = Some(lock);
        Ok(())
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
        self.remove_files(&[LOCK, REPLACES])?;
        Ok(Parts::remove(&self.dir)?)
    }

    fn remove_files(&self, kept: &[&str]) -> anyhow::Result<()> {
        let failed = || format!("{}: removing failed", self.dir.display());
        for entry in fs::read_dir(&self.dir).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            if !kept.iter().any(|name| path.ends_with(name)) {
                fs::remove_file(path).with_context(failed)?;
            }
        }
        Ok(())
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
        let open = |fingerprint: &str, force: bool| {
            let mut unfinished = Unfinished::beside(&out);
            let parts = unfinished.open(fingerprint, (force, true))?;
            anyhow::Ok((unfinished, parts))
        };
        let (_, parts) = open("a", false).unwrap();
        parts.write(0, Rows::of(&[0.5]).float32s("score", |&score| score)).unwrap();
        assert!(folder.path().join("out.csv.parts").is_dir() && !Unfinished::beside(&out).may_replace());
        assert!(open("b", false).is_err());
        let (unfinished, parts) = open("b", true).unwrap();
        assert!(unfinished.may_replace() && !parts.is_finished(0).unwrap());
        parts.write(0, Rows::of(&[0.5]).float32s("score", |&score| score)).unwrap();
        unfinished.remove_if_nothing_is_scored();
        unfinished.create(&out).unwrap().commit().unwrap();
        unfinished.remove().unwrap();
        open("a", false).unwrap().0.remove_if_nothing_is_scored();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_of_others_or_of_a_process_at_work_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.csv");
        let refused = |expected: &str| {
            for force in [false, true] {
                let error = Unfinished::beside(&out).open("a", (force, true)).map(|_| ()).unwrap_err().to_string();
                assert!(error.contains(expected), "{error}");
            }
        };
        let mut at_work = Unfinished::beside(&out);
        at_work.open("a", (false, true)).unwrap();
        refused("another process writes this output");
        drop(at_work);
        let notes = folder.path().join("out.csv.parts/notes.txt");
        fs::write(&notes, "precious").unwrap();
        refused("found `notes.txt` in it");
        assert_eq!(fs::read_to_string(&notes).unwrap(), "precious");
        fs::remove_dir_all(folder.path().join("out.csv.parts")).unwrap();
        fs::write(folder.path().join("out.csv.parts"), "").unwrap();
        refused("found a file");
    }
}
