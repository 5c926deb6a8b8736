//! Stage binaries as processes.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Long enough for any machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than any command of a test takes.
const ENDLESS: Duration = Duration::from_secs(900);

/// The command line `<stage> <arguments>`, to be run in `dir`.
pub(crate) fn command(dir: &Path, stage: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary(stage));
    // Backtraces are asked for, so that one that reaches the user is seen.
    command.current_dir(dir).args(arguments).env("RUST_BACKTRACE", "1").env_remove("RUST_LOG");
    command
}

/// The built binary of a stage, two folders above the running test.
pub(crate) fn binary(stage: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(stage);
    assert!(path.exists(), "{}: not found; build first: cargo build --release --workspace --bins", path.display());
    path
}

/// What a finished process left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn finish(mut command: Command) -> Outcome {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let ended = receiver.recv_timeout(ENDLESS);
    let output = ended.unwrap_or_else(|_| panic!("{command:?} is still at work after {ENDLESS:?}")).unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Outcome {
    /// Requires exit code 0.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Outcome {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Requires exit code `code` and one line that begins with `error:`, as the last one; returns that line.
    #[track_caller]
    pub(crate) fn error(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        let errors = self.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, 1, "{}", self.stderr);
        for trace in ["panicked", "backtrace", "internal error"] {
            assert!(!self.stderr.contains(trace), "{}", self.stderr);
        }
        let last = self.stderr.lines().last().unwrap();
        assert!(last.starts_with("error:"), "{}", self.stderr);
        last
    }
}

/// Starts a command whose output nobody reads.
pub(crate) fn start(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until `ready` holds while `child` is at work.
#[track_caller]
pub(crate) fn wait_until(child: &mut Child, what: &str, ready: impl Fn() -> bool) {
    let begin = Instant::now();
    while !ready() {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the stage ended ({status}) before there was {what}");
        }
        assert!(begin.elapsed() < PATIENCE, "no {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends `child` as `kill -9` does.
pub(crate) fn kill(mut child: Child) -> ExitStatus {
    // A child that has just ended by itself cannot be killed; its status tells.
    let _ = child.kill();
    child.wait().unwrap()
}

/// True if `kill -9` ended the process.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// `text` with each SHA-256 replaced by its name.
pub(crate) fn without_digests(text: &str) -> String {
    let digest = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text.split(' ').map(|word| match word.trim_end_matches([':', ',']) {
        bare if digest(bare) => word.replace(bare, "<sha256>"),
        _ => word.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}
