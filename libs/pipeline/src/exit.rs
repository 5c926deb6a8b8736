//! From errors to one line and an exit code.

use std::any::Any;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::ConfigError;
use crate::lineage::Outdated;

/// Input data that cannot be used: exit code 3. The text names the file, the expected, the found and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// A finished evaluation found a regression, and the user asked to be told by exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("regression: {0}")]
pub struct Regression(pub String);

/// Exit code of a failure that is nobody's input.
const FAILED: u8 = 1;
/// Exit code of bad usage or configuration.
const BAD_CONFIG: u8 = 2;
/// Exit code of bad input data, or of a disk with no room for the output.
const BAD_DATA: u8 = 3;
/// Exit code of a regression.
const REGRESSION: u8 = 4;

/// How long another rank waits for the first to fail too.
const FIRST_RANK_FAILS: Duration = Duration::from_secs(30);

/// Most characters of an error line: its start names the place, its end says what to do, the middle is cut.
const LINE_START: usize = 700;
const LINE_END: usize = 250;

/// Runs `work`, prints an error (or a panic, as an internal error) as one line on stderr, and returns the exit code.
pub fn guarded(work: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let (line, code) = match outcome {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => (one_line(&error), code_of(&error)),
        Err(panic) => (format!("internal error: {}; please report it", panic_text(panic.as_ref())), FAILED),
    };
    wait_for_first();
    let of_rank = if group::is_first() { String::new() } else { format!(" (rank {})", group::rank()) };
    // Nothing is left to tell the user with if stderr itself is closed.
    let _ = writeln!(std::io::stderr(), "error{of_rank}: {line}");
    group::abort(code);
    ExitCode::from(code)
}

/// Lets the first of several ranks tell what fails on all of them, and end all.
pub(crate) fn wait_for_first() {
    if !group::is_first() {
        std::thread::sleep(FIRST_RANK_FAILS);
    }
}

/// The chain of causes on one line; a cause its effect already quotes is not said twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.ends_with(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    if disk_is_full(error) {
        line += "; free some space there and run the stage again";
    }
    bounded(&line.replace('\n', " "))
}

/// Leaves out the middle of a line that quotes too much.
fn bounded(line: &str) -> String {
    let at = |character: usize| line.char_indices().nth(character).map_or(line.len(), |(at, _)| at);
    let characters = line.chars().count();
    if characters <= LINE_START + LINE_END {
        return line.to_string();
    }
    format!("{} ... {}", &line[..at(LINE_START)], &line[at(characters - LINE_END)..])
}

/// True if the disk is full, which the user can mend.
fn disk_is_full(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<tables::Error>() {
        Some(tables::Error::Io { cause, .. }) => cause.kind() == ErrorKind::StorageFull,
        _ => cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::StorageFull),
    })
}

fn code_of(error: &anyhow::Error) -> u8 {
    if disk_is_full(error) {
        return BAD_DATA;
    }
    for cause in error.chain() {
        if cause.is::<ConfigError>() {
            return BAD_CONFIG;
        }
        if cause.is::<Regression>() {
            return REGRESSION;
        }
        if cause.is::<BadInput>() || cause.is::<Outdated>() {
            return BAD_DATA;
        }
        if let Some(error) = cause.downcast_ref::<records::Error>() {
            return if error.is_bad_input() { BAD_DATA } else { FAILED };
        }
        if let Some(error) = cause.downcast_ref::<tables::Error>() {
            return if error.is_bad_input() { BAD_DATA } else { FAILED };
        }
    }
    FAILED
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_are_said_once_on_one_line() {
        let error = anyhow::anyhow!("disk\nfull").context("x: disk\nfull").context("stage y");
        assert_eq!(one_line(&error), "stage y: x: disk full");
    }

    #[test]
    fn long_lines_lose_their_middle() {
        let error = |length| anyhow::anyhow!("file: {}; remedy", "\u{e9}".repeat(length));
        assert_eq!(one_line(&error(900)), error(900).to_string());
        let line = one_line(&error(100_000));
        assert_eq!(line.chars().count(), LINE_START + LINE_END + 5);
        assert!(line.starts_with("file: \u{e9}") && line.ends_with("; remedy"), "{line}");
    }

    #[test]
    fn codes_follow_the_cause() {
        let full = std::io::Error::from(ErrorKind::StorageFull);
        let denied = std::io::Error::from(ErrorKind::PermissionDenied);
        let cases = [
            (anyhow::Error::new(ConfigError::Unusable("x".into())).context("y"), BAD_CONFIG),
            (anyhow::Error::new(BadInput("x".into())), BAD_DATA),
            (anyhow::Error::new(Regression("x".into())), REGRESSION),
            (anyhow::Error::new(full), BAD_DATA),
            (anyhow::Error::new(denied), FAILED),
            (anyhow::anyhow!("x"), FAILED),
        ];
        for (error, code) in cases {
            assert_eq!(code_of(&error), code, "{error:#}");
        }
        let missing = tables::StageDir::open(std::path::Path::new("/nowhere"), "ingest").map(|_| ()).context("z");
        assert_eq!(code_of(&missing.unwrap_err()), BAD_DATA);
    }
}
