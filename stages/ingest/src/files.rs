//! Which raw files there are: paths with `*` and `?`, sorted.

use std::path::{Path, PathBuf};

use pipeline::{BadInput, RunPaths};
use records::RawFile;

/// All files that `patterns` match, sorted by path, each once. `key` names the patterns in the configuration.
pub(crate) fn list(paths: &RunPaths, key: &str, patterns: &[String]) -> anyhow::Result<Vec<RawFile>> {
    let mut found_paths = Vec::new();
    for pattern in patterns {
        check_stage(paths, pattern)?;
        let found = matches(&paths.resolve(pattern), pattern)?;
        if found.is_empty() {
            let looked_for = paths.resolve(pattern);
            let looked_for = looked_for.display();
            Err(BadInput(format!("{looked_for}: expected at least one file, found none; correct {key}")))?;
        }
        found_paths.extend(found);
    }
    found_paths.sort();
    found_paths.dedup();
    Ok(found_paths.into_iter().map(|path| RawFile { name: paths.display_name(&path).into(), path }).collect())
}

/// A pattern below `{run}/<stage>/` is only read once that stage has finished.
fn check_stage(paths: &RunPaths, pattern: &str) -> anyhow::Result<()> {
    let below_run = pattern.strip_prefix("{run}/");
    if let Some((stage, _)) = below_run.and_then(|rest| rest.split_once('/')) {
        tables::StageDir::open(&paths.run_dir(), stage)?;
    }
    Ok(())
}

/// The files `resolved` matches; only the part that `pattern` wrote is a pattern, the folder before it is literal.
fn matches(resolved: &Path, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let resolved = resolved.to_string_lossy();
    let written = pattern.strip_prefix("{run}/").unwrap_or(pattern);
    let folder = resolved.strip_suffix(written).unwrap_or_default();
    let full = format!("{}{written}", glob::Pattern::escape(folder));
    let bad = |reason: &dyn std::fmt::Display| BadInput(format!("{pattern}: {reason}"));
    let mut paths = Vec::new();
    for found in glob::glob(&full).map_err(|e| bad(&e))? {
        let path = found.map_err(|e| bad(&e))?;
        if path.is_file() {
            paths.push(path);
        }
    }
    Ok(paths)
}
