//! A disk without room for the output, as a small file system in memory that only root can mount.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Sandbox, active_stages};

/// A file system in memory, unmounted at the end.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one of 64 MiB at `path`; `None` where that is not permitted.
    fn mount(path: &Path) -> Option<Tmpfs> {
        fs::create_dir_all(path).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(path).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Tmpfs(path.to_path_buf()))
    }

    /// Writes a file that leaves room for `spare` bytes.
    fn fill(&self, spare: u64) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        let block = [0; 4096];
        let full = loop {
            if let Err(error) = file.write_all(&block) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        let bytes = file.metadata().unwrap().len();
        file.set_len(bytes - spare).unwrap();
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "umount {}", self.0.display());
    }
}

#[test]
fn a_full_disk_leaves_the_earlier_output() {
    let finished = Sandbox::finished();
    let sandbox = Sandbox::new();
    let Some(disk) = Tmpfs::mount(&sandbox.path("runs")) else {
        println!("skipped: mounting a file system needs root");
        return;
    };
    let copied = Command::new("cp").arg("-a").arg(finished.run_path("")).arg(sandbox.path("runs")).status();
    assert!(copied.unwrap().success());
    for stage in active_stages() {
        let before = sandbox.digests(stage);
        let filler = disk.fill(8192);
        let outcome = sandbox.try_stage(stage, &["--force"]);
        let error = outcome.error(3);
        // Scores are written as parts first.
        let partial =
            if stage == "score" { "./runs/tiny/score.parts/".into() } else { format!("./runs/tiny/.{stage}.partial/") };
        assert!(error.starts_with(&format!("error: stage {stage}: ")) && error.contains(&partial), "{error}");
        assert!(
            error.ends_with("No space left on device (os error 28); free some space there and run the stage again"),
            "{error}"
        );
        assert_eq!(sandbox.digests(stage), before);
        sandbox.assert_whole(stage);
        fs::remove_file(filler).unwrap();
        sandbox.stage(stage, &["--force"]);
        assert_eq!(sandbox.digests(stage), before, "{stage}");
        sandbox.assert_tidy();
    }
}
