//! The format of a file of pairs, and how it is packed, by the end of its name.

use std::path::Path;

use pipeline::ConfigError;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    JsonLines,
    Csv,
    Tsv,
    Parquet,
}

/// How an output of text is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// The endings of packed texts. Those of the first two are also written; which packing a file to read has, its bytes tell.
const PACKED: [&str; 4] = ["gz", "zst", "bz2", "lz4"];

impl Format {
    /// The ending of a file name.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Format::JsonLines => "jsonl",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Parquet => "parquet",
        }
    }

    /// The format of a file to read.
    pub(crate) fn of_input(path: &Path) -> Result<Format, ConfigError> {
        let (ending, packed) = endings(path);
        let found = named(ending).filter(|&format| format != Format::Parquet || packed.is_none());
        found.ok_or_else(|| unknown(path, ".gz, .zst, .bz2 or .lz4"))
    }

    /// The format of a file to write, and how it is packed.
    pub(crate) fn of_output(path: &Path) -> Result<(Format, Packing), ConfigError> {
        let (ending, packed) = endings(path);
        match (named(ending), packed) {
            (Some(format), None) => Ok((format, Packing::Plain)),
            (Some(format), Some("gz")) if format != Format::Parquet => Ok((format, Packing::Gzip)),
            (Some(format), Some("zst")) if format != Format::Parquet => Ok((format, Packing::Zstd)),
            _ => Err(unknown(path, ".gz or .zst")),
        }
    }
}

fn named(ending: &str) -> Option<Format> {
    [Format::JsonLines, Format::Csv, Format::Tsv, Format::Parquet].into_iter().find(|format| format.ending() == ending)
}

/// The ending of a file name that tells its format, and the one after it that tells its packing.
fn endings(path: &Path) -> (&str, Option<&str>) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (rest, last) = name.rsplit_once('.').unwrap_or_default();
    match PACKED.contains(&last) {
        true => (rest.rsplit_once('.').unwrap_or_default().1, Some(last)),
        false => (last, None),
    }
}

fn unknown(path: &Path, packings: &str) -> ConfigError {
    let path = path.display();
    let texts = ".jsonl, .csv or .tsv";
    ConfigError::Unusable(format!(
        "{path}: expected a file name that ends in .parquet, or in {texts}, which may be packed and end in {packings}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        for (name, format, output) in [
            ("a/b.jsonl", Format::JsonLines, Some(Packing::Plain)),
            ("b.x.csv.gz", Format::Csv, Some(Packing::Gzip)),
            ("b.tsv.zst", Format::Tsv, Some(Packing::Zstd)),
            ("b.tsv.lz4", Format::Tsv, None),
            ("b.parquet", Format::Parquet, Some(Packing::Plain)),
        ] {
            let path = Path::new(name);
            assert_eq!(Format::of_input(path).unwrap(), format, "{name}");
            assert_eq!(Format::of_output(path).ok(), output.map(|packing| (format, packing)), "{name}");
        }
        for name in ["csv", ".gz", "a.gz", "a.json", "a.parquet.gz", "..", "a.csv.gz.zst"] {
            assert!(Format::of_input(Path::new(name)).is_err(), "{name}");
            assert!(Format::of_output(Path::new(name)).is_err(), "{name}");
        }
    }
}
