//! Which raw files there are, and their bytes: globbed, sorted, unpacked.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use pipeline::{BadInput, Pipeline};

/// One raw file.
#[derive(Debug, Clone)]
pub(crate) struct RawFile {
    pub(crate) path: PathBuf,
    /// The path as reports and tables show it: relative to the configuration where it lies below it.
    pub(crate) name: Rc<str>,
}

impl RawFile {
    fn new(pipeline: &Pipeline, path: PathBuf) -> RawFile {
        let name = path.strip_prefix(&pipeline.base).unwrap_or(&path);
        RawFile { name: name.to_string_lossy().into(), path }
    }

    /// The file's bytes, unpacked where its name ends in `.gz` or `.zst`.
    pub(crate) fn open(&self) -> anyhow::Result<Box<dyn BufRead>> {
        let file = File::open(&self.path).with_context(|| format!("{}: opening failed", self.path.display()))?;
        Ok(match self.path.extension().and_then(|end| end.to_str()) {
            Some("gz") => Box::new(buffered(flate2::read::MultiGzDecoder::new(file))),
            Some("zst") => {
                let decoder =
                    zstd::Decoder::new(file).with_context(|| format!("{}: no zstd decoder", self.path.display()))?;
                Box::new(buffered(decoder))
            }
            _ => Box::new(buffered(file)),
        })
    }

    /// The error of a failed read: of a packed file it means damaged data.
    pub(crate) fn read_error(&self, cause: std::io::Error) -> anyhow::Error {
        let packed = match self.path.extension().and_then(|end| end.to_str()) {
            Some("gz") => "gzip",
            Some("zst") => "zstd",
            _ => {
                return anyhow::Error::new(cause).context(format!("{}: reading failed", self.path.display()));
            }
        };
        BadInput(format!(
            "{}: expected a whole {packed} file, found a truncated or damaged one ({cause}); copy it again",
            self.path.display()
        ))
        .into()
    }

    /// Bad data at a line of this file.
    pub(crate) fn bad_line(&self, line: u64, problem: &str) -> BadInput {
        BadInput(format!("{}:{line}: {problem}", self.path.display()))
    }
}

fn buffered(reader: impl Read + 'static) -> BufReader<impl Read + 'static> {
    BufReader::with_capacity(1 << 18, reader)
}

/// All files that `patterns` match, sorted by path, each once. `key` names the patterns in the configuration.
pub(crate) fn list(pipeline: &Pipeline, key: &str, patterns: &[String]) -> anyhow::Result<Vec<RawFile>> {
    let mut paths = Vec::new();
    for pattern in patterns {
        check_stage(pipeline, pattern)?;
        let found = matches(&pipeline.resolve(pattern), pattern)?;
        if found.is_empty() {
            let looked_for = pipeline.resolve(pattern);
            let looked_for = looked_for.display();
            Err(BadInput(format!("{looked_for}: expected at least one file, found none; correct {key}")))?;
        }
        paths.extend(found);
    }
    paths.sort();
    paths.dedup();
    Ok(paths.into_iter().map(|path| RawFile::new(pipeline, path)).collect())
}

/// A pattern below `{run}/<stage>/` is only read once that stage has finished.
fn check_stage(pipeline: &Pipeline, pattern: &str) -> anyhow::Result<()> {
    let below_run = pattern.strip_prefix("{run}/");
    if let Some((stage, _)) = below_run.and_then(|rest| rest.split_once('/')) {
        tables::StageDir::open(&pipeline.run_dir(), stage)?;
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
