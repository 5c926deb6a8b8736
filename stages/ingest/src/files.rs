//! Which raw files there are: paths or URLs with wildcards, sorted; empty ones and those that other programs hide are skipped.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use pipeline::{BadInput, RunPaths, counted, without_detours};
use records::RawFile;

/// All files that `patterns` match, sorted by path, each once. `key` names the patterns in the configuration.
///
/// # Errors
/// [`BadInput`] where a pattern matches no file, or where all files are empty.
pub(crate) fn list(paths: &RunPaths, key: &str, patterns: &[String]) -> anyhow::Result<Vec<RawFile>> {
    let mut found_paths = Vec::new();
    for pattern in patterns {
        let is_url = objects::is_url(pattern);
        let looked_for = if is_url { PathBuf::from(pattern) } else { paths.resolve(pattern) };
        let found = if is_url {
            pipeline::fetch_objects(pattern)?
        } else {
            check_stage(paths, pattern)?;
            matches(&looked_for, pattern)?
        };
        if found.is_empty() {
            let looked_for = if is_url { looked_for } else { without_detours(&looked_for) };
            let folder =
                if looked_for.is_dir() { ", but a folder; name its files, such as **/*.parquet below it" } else { "" };
            let looked_for = looked_for.display();
            Err(BadInput(format!("{looked_for}: expected at least one file, found none{folder}; correct {key}")))?;
        }
        found_paths.extend(found);
    }
    found_paths.sort();
    // Several spellings and links may name one file.
    let mut seen = HashSet::new();
    found_paths.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    Ok(found_paths.into_iter().map(|path| RawFile { name: paths.display_name(&path).into(), path }).collect())
}

/// The files that have records.
///
/// # Errors
/// [`BadInput`] where all files are empty.
pub(crate) fn without_empty(files: Vec<RawFile>) -> anyhow::Result<(Vec<RawFile>, Vec<RawFile>)> {
    let (mut full, mut empty) = (Vec::new(), Vec::new());
    for file in files {
        let into = if records::is_empty(&file)? { &mut empty } else { &mut full };
        into.push(file);
    }
    match (full.is_empty(), empty.first()) {
        (true, Some(file)) => {
            Err(file.bad("expected records, found an empty file; remove it or write it again").into())
        }
        _ => Ok((full, empty)),
    }
}

/// What is told of empty files.
pub(crate) fn skipped(empty: &[RawFile]) -> Option<String> {
    let first = empty.first()?;
    Some(format!("{} skipped, such as {}", counted(empty.len(), "empty file"), first.name))
}

/// A pattern below `{run}/<stage>/` is only read once that stage has finished.
fn check_stage(paths: &RunPaths, pattern: &str) -> anyhow::Result<()> {
    let below_run = pattern.strip_prefix("{run}/");
    if let Some((stage, _)) = below_run.and_then(|rest| rest.split_once('/')) {
        tables::StageDir::open(&paths.run_dir(), stage)?;
    }
    Ok(())
}

/// The files `resolved` matches; only the part that `pattern` wrote is a pattern, the folder before it is literal. Brackets stand
/// for themselves where a file or folder of that very name exists.
fn matches(resolved: &Path, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    if resolved.is_file() {
        return Ok(vec![resolved.to_path_buf()]);
    }
    let resolved = resolved.to_string_lossy();
    let written = pattern.strip_prefix("{run}/").unwrap_or(pattern);
    let folder = resolved.strip_suffix(written).unwrap_or_default();
    check_names(Path::new(&*resolved))?;
    let literal = glob::Pattern::escape(folder);
    let brackets = written.replace('[', "[[]");
    let mut found = files(&format!("{literal}{brackets}"), pattern)?;
    if found.is_empty() {
        found = files(&format!("{literal}{written}"), pattern)?;
    }
    // Folders that `**` walks into are hidden as files are, unless the pattern names them.
    let named: Vec<&str> = written.split('/').collect();
    found.retain(|path| {
        let below = path.strip_prefix(folder).unwrap_or(path);
        let mut folders = below.iter().map(|part| part.to_string_lossy());
        !folders.any(|part| part.starts_with(['_', '.']) && part != "." && part != ".." && !named.contains(&&*part))
    });
    Ok(found)
}

/// Refuses a folder with file names that no pattern can match.
fn check_names(resolved: &Path) -> anyhow::Result<()> {
    let entries = resolved.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let bad = entries.into_iter().flatten().flatten().find(|entry| entry.file_name().to_str().is_none());
    match bad {
        Some(entry) => {
            let path = entry.path();
            Err(BadInput(format!("{}: expected file names in UTF-8, found others; rename the file", path.display()))
                .into())
        }
        None => Ok(()),
    }
}

fn files(full: &str, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let bad = |reason: &dyn std::fmt::Display| BadInput(format!("{pattern}: {reason}"));
    let mut paths = Vec::new();
    for found in glob::glob(full).map_err(|e| bad(&e))? {
        let path = found.map_err(|e| bad(&e))?;
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['_', '.']));
        if path.is_file() && !hidden {
            paths.push(path);
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_several_names_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("logs")).unwrap();
        std::fs::write(root.join("logs/a.csv"), "x").unwrap();
        std::os::unix::fs::symlink("a.csv", root.join("logs/b.csv")).unwrap();
        let paths = RunPaths::new(root, "runs", "r");
        let patterns = ["logs/*.csv", "logs/../logs/a.csv", "./logs/a.csv"].map(String::from);
        assert_eq!(list(&paths, "ingest.log.paths", &patterns).unwrap().len(), 1);
    }

    #[test]
    fn brackets_are_literal_where_such_a_name_exists() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("log[2023]")).unwrap();
        std::fs::create_dir(root.join("log{a,b}")).unwrap();
        for name in
            ["log[2023]/a.csv", "log[2023]/_SUCCESS", "log[2023]/.a.csv.crc", "log{a,b}/a.csv", "log2.csv", "log4.csv"]
        {
            std::fs::write(root.join(name), "x").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let found = matches(&root.join(pattern), pattern).unwrap();
            found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("log[2023]/*"), ["log[2023]/a.csv"]);
        assert_eq!(found("log[2023]/_SUCCESS"), ["log[2023]/_SUCCESS"]);
        assert_eq!(found("log{a,b}/*.csv"), ["log{a,b}/a.csv"]);
        assert_eq!(found("log[23].csv"), ["log2.csv"]);
        assert_eq!(found("log?.csv"), ["log2.csv", "log4.csv"]);
    }
}
