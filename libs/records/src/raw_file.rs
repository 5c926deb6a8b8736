//! A raw file and its bytes, decompressed by the ending of its name.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::rc::Rc;

use crate::error::{Error, Result};

/// One raw file.
#[derive(Debug, Clone)]
pub struct RawFile {
    /// Where it is.
    pub path: PathBuf,
    /// The path as tables show it.
    pub name: Rc<str>,
}

impl RawFile {
    /// The file's bytes, decompressed if its name ends in `.gz` or `.zst`.
    pub(crate) fn open(&self) -> Result<Box<dyn BufRead>> {
        let failed = |action| move |cause| Error::Io { path: self.path.clone(), action, cause };
        let file = File::open(&self.path).map_err(failed("opening"))?;
        Ok(match self.ending() {
            Some("gz") => Box::new(buffered(flate2::read::MultiGzDecoder::new(file))),
            Some("zst") => Box::new(buffered(zstd::Decoder::new(file).map_err(failed("opening the zstd decoder"))?)),
            _ => Box::new(buffered(file)),
        })
    }

    /// The error of a failed read: of a compressed file it means damaged data.
    pub(crate) fn read_error(&self, cause: std::io::Error) -> Error {
        let compression = match self.ending() {
            Some("gz") => "gzip",
            Some("zst") => "zstd",
            _ => return Error::Io { path: self.path.clone(), action: "reading", cause },
        };
        self.bad(format!(
            "expected a whole {compression} file, found a truncated or damaged one ({cause}); copy it again"
        ))
    }

    /// An error about the whole file.
    #[must_use]
    pub fn bad(&self, problem: impl Into<String>) -> Error {
        Error::BadFile { path: self.path.clone(), problem: problem.into() }
    }

    /// An error about the record that starts at `line`.
    #[must_use]
    pub fn bad_line(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::BadLine { path: self.path.clone(), line, problem: problem.into() }
    }

    fn ending(&self) -> Option<&str> {
        self.path.extension().and_then(|ending| ending.to_str())
    }
}

fn buffered(reader: impl Read + 'static) -> BufReader<impl Read + 'static> {
    BufReader::with_capacity(1 << 18, reader)
}
