//! A stage that several ranks run: they have to agree before they compute, and the first one's output counts.

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::config::ConfigError;
use crate::counted;

/// Checks that all ranks have the same inputs, the same configuration, given by their digest, and threads whose sums do not depend on
/// how they are divided.
///
/// # Errors
/// [`ConfigError`] for a number of threads that several ranks cannot have; ranks that differ.
pub(crate) fn check(fingerprint: &str) -> anyhow::Result<()> {
    if group::size() == 1 {
        return Ok(());
    }
    let threads = rayon::current_num_threads();
    if !threads.is_power_of_two() {
        Err(ConfigError::Unusable(format!(
            "expected a power of two as the threads of each rank, found {threads}; set run.threads"
        )))?;
    }
    agree("the number of threads", &threads.to_le_bytes())?;
    agree("inputs, configuration and version of the program", fingerprint.as_bytes())?;
    tracing::info!("{} of {}", counted(group::size(), "rank"), counted(threads, "thread"));
    Ok(())
}

/// Checks that all ranks see the same.
///
/// # Errors
/// The first rank that sees something else.
pub(crate) fn agree(what: &str, seen: &[u8]) -> anyhow::Result<()> {
    match group::different(seen) {
        Some(rank) => {
            bail!("{what}: rank {rank} sees something else than rank 0; all ranks have to read the same folders")
        }
        None => Ok(()),
    }
}

/// A folder for what another rank than the first writes, removed when it is dropped; none on the first.
pub(crate) fn scratch() -> anyhow::Result<Option<TempDir>> {
    if group::is_first() {
        return Ok(None);
    }
    let made = tempfile::Builder::new().prefix(&format!("disranker-rank-{}-", group::rank())).tempdir();
    made.map(Some).with_context(|| format!("{}: making a folder failed", std::env::temp_dir().display()))
}
