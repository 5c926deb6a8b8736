//! What the user asks for, and paths that cannot be used.

use std::fs;
use std::path::Path;

use nn::folder::InputChoice;
use nn::ops::Precision;
use pipeline::{BadInput, ConfigError, Shard};

use crate::format::{Format, Packing};
use crate::pairs::unreadable;

/// What is scored, by what, and where the scores go.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The folder of the ranker.
    pub model: &'a Path,
    /// What the user says about the input of a model of another library.
    pub choice: &'a InputChoice,
    /// The precision of matrix products.
    pub precision: Precision,
    /// The rows.
    pub pairs: &'a Path,
    /// Where they are written with their scores.
    pub out: &'a Path,
    /// Replaces an output that is there, and begins anew where a run was interrupted.
    pub force: bool,
    /// The share of the work that this process makes; without it, all that is missing, and the output.
    pub shard: Option<Shard>,
    /// Shows a bar on a terminal.
    pub bars: bool,
}

impl Request<'_> {
    /// The format of both files, and how the output is packed.
    pub(crate) fn check(&self) -> anyhow::Result<(Format, Packing)> {
        let Request { pairs, out, .. } = *self;
        let format = Format::of_input(pairs)?;
        let (written, packing) = Format::of_output(out)?;
        let (shown, ending) = (out.display(), format.ending());
        if written != format {
            let pairs = pairs.display();
            Err(ConfigError::Unusable(format!("{shown}: expected the format of {pairs}, .{ending}, found another")))?;
        }
        let folder = out.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        if out.is_dir() {
            Err(ConfigError::Unusable(format!("{shown}: expected a file to write, found a folder")))?;
        }
        if !folder.is_dir() {
            let folder = folder.display();
            Err(ConfigError::Unusable(format!("{shown}: expected the folder {folder}, found none; make it first")))?;
        }
        let found = fs::metadata(pairs).map_err(|cause| unreadable(pairs, &cause))?;
        if !found.is_file() {
            let found = if found.is_dir() { "a folder" } else { "a pipe or a device" };
            let expected = "expected a file, which is read twice, found";
            Err(BadInput(format!("{}: {expected} {found}; write the rows to a file", pairs.display())))?;
        }
        if out.exists() && fs::canonicalize(out).ok() == fs::canonicalize(pairs).ok() {
            Err(ConfigError::Unusable(format!("{shown}: expected another file than --pairs, found the same")))?;
        }
        Ok((format, packing))
    }

    /// Refuses an output that is there, unless it may be replaced.
    pub(crate) fn check_replacing(&self, may_replace: bool) -> Result<(), ConfigError> {
        if self.out.exists() && !self.force && !may_replace {
            let out = self.out.display();
            let remedy = "name another, or replace it with --force";
            return Err(ConfigError::Unusable(format!("{out}: expected no file of this name, found one; {remedy}")));
        }
        Ok(())
    }
}
