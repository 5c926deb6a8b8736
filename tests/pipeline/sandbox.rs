//! A temporary folder with a pipeline file and its run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use files::sha256_of_file;
use pipeline::stages;
use tables::{Columns, MANIFEST_FILE, Manifest, StageDir};
use tempfile::TempDir;
use toml::Table;

use crate::process::{self, Outcome, binary, command, finish};

/// The stages that have something to do in a sandbox: it names no bi-encoder.
pub(crate) fn active_stages() -> impl DoubleEndedIterator<Item = &'static str> {
    stages().filter(|&stage| stage != "embed")
}

/// The pipeline file's name in a sandbox.
pub(crate) const CONFIG: &str = "tiny.toml";

/// The file of `evaluate` that tells wall times, which no two runs share.
const REPORT: &str = "report.html";

/// A folder of its own for one test.
#[derive(Debug)]
pub(crate) struct Sandbox {
    dir: TempDir,
}

/// A run of every stage that tests copy and none changes.
static FINISHED: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = binary("simulate").with_file_name("tests-finished");
    let _ = fs::remove_dir_all(&path);
    let sandbox = Sandbox::new();
    sandbox.run_all(&[]);
    copy(sandbox.dir.path(), &path);
    path
});

impl Sandbox {
    /// A sandbox whose pipeline has not run.
    pub(crate) fn new() -> Sandbox {
        let sandbox = Sandbox { dir: tempfile::tempdir().unwrap() };
        let config = Path::new("configs").join(CONFIG);
        fs::copy(config, sandbox.path(CONFIG)).unwrap();
        sandbox
    }

    /// A sandbox whose pipeline has run to its end.
    pub(crate) fn finished() -> Sandbox {
        let sandbox = Sandbox { dir: tempfile::tempdir().unwrap() };
        copy(&FINISHED.join("."), sandbox.dir.path());
        sandbox
    }

    /// A path in the sandbox.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// A path in the run's folder.
    pub(crate) fn run_path(&self, relative: &str) -> PathBuf {
        self.path("runs/tiny").join(relative)
    }

    /// Changes the pipeline file.
    pub(crate) fn edit_config(&self, change: impl FnOnce(&mut Table)) {
        let mut tables: Table = toml::from_str(&fs::read_to_string(self.path(CONFIG)).unwrap()).unwrap();
        change(&mut tables);
        fs::write(self.path(CONFIG), toml::to_string(&tables).unwrap()).unwrap();
    }

    /// The command line of a binary on this pipeline.
    pub(crate) fn command(&self, stage: &str, arguments: &[&str]) -> Command {
        command(self.dir.path(), stage, &[&["--config", CONFIG], arguments].concat())
    }

    /// Runs a stage, whatever comes of it.
    pub(crate) fn try_stage(&self, stage: &str, arguments: &[&str]) -> Outcome {
        finish(self.command(stage, arguments))
    }

    /// Runs a stage that must succeed.
    #[track_caller]
    pub(crate) fn stage(&self, stage: &str, arguments: &[&str]) -> Outcome {
        self.try_stage(stage, arguments).succeeded()
    }

    /// Runs every stage; returns what each that has something to do wrote to stderr.
    #[track_caller]
    pub(crate) fn run_all(&self, arguments: &[&str]) -> Vec<(&'static str, String)> {
        let said = stages().map(|stage| (stage, self.stage(stage, arguments).stderr));
        said.filter(|(stage, stderr)| !stderr.contains(&format!("{stage}: nothing to do"))).collect()
    }

    /// Starts a stage and kills it as soon as `files` of the run's folder are there.
    #[track_caller]
    pub(crate) fn kill_stage_at(&self, stage: &str, arguments: &[&str], files: &[&str]) {
        let mut child = process::start(self.command(stage, arguments));
        let ready = || files.iter().all(|file| self.run_path(file).exists());
        process::wait_until(&mut child, &format!("{files:?}"), ready);
        assert!(process::was_killed(process::kill(child)), "{stage} ended before it could be killed");
    }

    /// The manifest of a finished stage.
    #[track_caller]
    pub(crate) fn manifest(&self, stage: &str) -> Manifest {
        Manifest::read(&self.run_path(stage), stage).unwrap()
    }

    /// A table of a finished stage.
    #[track_caller]
    pub(crate) fn table(&self, stage: &str, table: &str) -> Columns {
        StageDir::open(&self.run_path(""), stage).unwrap().table(table).unwrap()
    }

    /// SHA-256 of every file of a stage's output by path, manifest and report aside: both tell wall times.
    pub(crate) fn digests(&self, stage: &str) -> BTreeMap<String, String> {
        let dir = self.run_path(stage);
        let mut digests = BTreeMap::new();
        for path in files(&dir) {
            let name = path.strip_prefix(&dir).unwrap().to_str().unwrap().to_string();
            if name != MANIFEST_FILE && name != REPORT {
                digests.insert(name, sha256_of_file(&path).unwrap());
            }
        }
        digests
    }

    /// Requires that a stage's folder holds what its manifest lists, byte for byte, and nothing else.
    #[track_caller]
    pub(crate) fn assert_whole(&self, stage: &str) {
        let manifest = self.manifest(stage);
        let listed = manifest.files.iter().chain(manifest.tables.values().flat_map(|table| &table.files));
        let listed = listed.filter(|file| file.path != REPORT);
        let listed: BTreeMap<_, _> = listed.map(|file| (file.path.clone(), file.sha256.clone())).collect();
        assert_eq!(listed, self.digests(stage), "{stage}");
    }

    /// Requires that nothing half-written lies in the run's folder.
    #[track_caller]
    pub(crate) fn assert_tidy(&self) {
        let left: Vec<String> = fs::read_dir(self.run_path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| [".partial", ".old", ".tmp", ".lock"].iter().any(|end| name.ends_with(end)))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// All files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Copies a folder with the times of its files, which freshness looks at.
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp -a {} {}", from.display(), to.display());
}
