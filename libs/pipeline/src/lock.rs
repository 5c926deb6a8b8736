//! One process at a time for a stage of a run.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::ConfigError;

/// The right to run a stage of a run. Its file goes with it, unless the process is killed; what a killed one leaves locks nothing.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Keeps a second process from running the same stage of the same run, or with `alone` false, from committing its output.
    ///
    /// # Errors
    /// [`ConfigError::Unusable`] where another process has it.
    pub(crate) fn acquire(root: &Path, stage: &str, alone: bool) -> anyhow::Result<Lock> {
        let path = root.join(format!(".{stage}.lock"));
        loop {
            let file = File::create(&path).with_context(|| format!("{}: creating failed", path.display()))?;
            let locked = if alone { file.try_lock() } else { file.try_lock_shared() };
            if locked.is_err() {
                return Err(ConfigError::Unusable(format!(
                    "{}: stage {stage} of this run is being run by another process; wait for it or set another run.name",
                    path.display()
                )))?;
            }
            let lock = Lock { path: path.clone(), file };
            // The last process may have removed the file between the two calls.
            if lock.is_in_place() {
                return Ok(lock);
            }
        }
    }

    /// Removes the file, unless another process holds it too.
    pub(crate) fn release(&self) {
        if self.file.try_lock().is_ok() && self.is_in_place() {
            // An empty file that stays does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// True if the file of that name is the one that is locked.
    fn is_in_place(&self) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let named = std::fs::metadata(&self.path).map(identity);
        matches!((named, self.file.metadata().map(identity)), (Ok(named), Ok(locked)) if named == locked)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_with_the_last_that_holds_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(".score.lock");
        let first = Lock::acquire(root.path(), "score", false).unwrap();
        let second = Lock::acquire(root.path(), "score", false).unwrap();
        assert!(Lock::acquire(root.path(), "score", true).is_err(), "two hold a share");
        drop(first);
        assert!(path.exists(), "the second still holds its share");
        drop(second);
        assert!(!path.exists());
        let alone = Lock::acquire(root.path(), "score", true).unwrap();
        let refused = Lock::acquire(root.path(), "score", true).unwrap_err();
        assert!(refused.to_string().contains("another process"), "{refused}");
        drop(alone);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_was_replaced_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(".score.lock");
        let first = Lock::acquire(root.path(), "score", true).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = Lock::acquire(root.path(), "score", true).unwrap();
        drop(first);
        assert!(path.exists(), "it is the second's");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn processes_that_come_and_go_are_alone() {
        let root = tempfile::tempdir().unwrap();
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..500 {
                        let Ok(lock) = Lock::acquire(root.path(), "score", true) else { continue };
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}
