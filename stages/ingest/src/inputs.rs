//! The raw files of a pipeline, and how those of the log are written.

use std::collections::HashMap;

use anyhow::Result;
use pipeline::config::{CleanConfig, IngestConfig, LogConfig, QueryFiles};
use pipeline::{RunPaths, StageContext};
use records::{Layout, RawFile};
use serde_json::Value;

use crate::files;
use crate::judgments::JudgmentFiles;
use crate::split::Split;

/// The raw files of a pipeline.
pub(crate) struct Files {
    pub(crate) log: Vec<RawFile>,
    pub(crate) documents: Vec<RawFile>,
    pub(crate) judgments: JudgmentFiles,
    pub(crate) propensities: Option<RawFile>,
}

impl Files {
    /// # Errors
    /// As [`files::list`].
    pub(crate) fn list(config: &IngestConfig, paths: &RunPaths) -> Result<Files> {
        Ok(Files {
            log: log(config, paths)?,
            documents: documents(config, paths)?,
            judgments: JudgmentFiles { files: judged(config, paths)?, queries: queries(config, paths)? },
            propensities: propensities(config, paths)?,
        })
    }
}

/// The files of the log.
///
/// # Errors
/// As [`files::list`].
pub(crate) fn log(config: &IngestConfig, paths: &RunPaths) -> Result<Vec<RawFile>> {
    let patterns = config.log.as_ref().map_or(&[][..], |log| &log.paths);
    files::list(paths, "ingest.log.paths", patterns)
}

/// The files that are not empty; others are told.
///
/// # Errors
/// As [`files::without_empty`].
pub(crate) fn without_empty(files: Vec<RawFile>) -> Result<Vec<RawFile>> {
    let (full, empty) = files::without_empty(files)?;
    if let Some(skipped) = files::skipped(&empty) {
        tracing::warn!("{skipped}");
    }
    Ok(full)
}

/// The name of the part of each file of the log, which stands for all that decides the part's content: the file's name, its content
/// and how it is read.
pub(crate) fn part_names(context: &StageContext, files: &[RawFile], read_as: &Value) -> Vec<String> {
    let inputs = context.inputs().iter().map(|input| (input.name.as_str(), input.digest.as_str()));
    let digests: HashMap<&str, &str> = inputs.collect();
    let name = |file: &RawFile| {
        let digest = digests.get(&*file.name).copied().unwrap_or_default();
        let decides = serde_json::to_vec(&(&*file.name, digest, read_as)).unwrap_or_default();
        format!("{}.part", &::files::sha256(&decides)[..32])
    };
    files.iter().map(name).collect()
}

/// The files of the documents.
///
/// # Errors
/// As [`files::list`].
pub(crate) fn documents(config: &IngestConfig, paths: &RunPaths) -> Result<Vec<RawFile>> {
    let patterns = config.documents.as_ref().map_or(&[][..], |documents| &documents.paths);
    files::list(paths, "ingest.documents.paths", patterns)
}

/// The files of the judgments, each with its split if it has one.
///
/// # Errors
/// As [`files::list`].
pub(crate) fn judged(config: &IngestConfig, paths: &RunPaths) -> Result<Vec<(RawFile, Option<Split>)>> {
    let mut judged = Vec::new();
    let Some(judgments) = &config.judgments else { return Ok(judged) };
    let splits = &judgments.splits;
    for (key, patterns, split) in [
        ("ingest.judgments.paths", &judgments.paths, None),
        ("ingest.judgments.splits.train", &splits.train, Some(Split::Train)),
        ("ingest.judgments.splits.validation", &splits.validation, Some(Split::Validation)),
        ("ingest.judgments.splits.test", &splits.test, Some(Split::Test)),
    ] {
        judged.extend(files::list(paths, key, patterns)?.into_iter().map(|file| (file, split)));
    }
    Ok(judged)
}

/// The files of query texts.
///
/// # Errors
/// As [`files::list`].
pub(crate) fn queries(config: &IngestConfig, paths: &RunPaths) -> Result<Vec<RawFile>> {
    let (key, queries) = config.query_files();
    files::list(paths, key, queries.map(QueryFiles::paths).unwrap_or_default())
}

/// The file of examination probabilities.
///
/// # Errors
/// As [`files::list`].
pub(crate) fn propensities(config: &IngestConfig, paths: &RunPaths) -> Result<Option<RawFile>> {
    Ok(files::list(paths, "ingest.debias.path", config.debias.path.as_slice())?.pop())
}

/// How the files of the log are written.
pub(crate) fn log_layout(log: &LogConfig, clean: &CleanConfig) -> Layout {
    Layout::new(log.format, &log.dialect).with_nulls(clean.null_values.clone())
}
