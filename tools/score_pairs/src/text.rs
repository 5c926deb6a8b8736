//! What formats of text share: rows that come out as they went in but for the score, a window of them at a time, and packing.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use files::AtomicFile;
use flate2::write::GzEncoder;
use nn::text::Texts;
use pipeline::BadInput;
use records::RawFile;

use crate::format::Packing;
use crate::pairs::{Output, Pairs, ROWS, Window, unreadable};

/// zstd level of packed output.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of the longest row; a longer one is damage, such as a quote that is never closed.
pub(crate) const LONGEST: usize = 256 << 20;

/// A row of text. The output has `before`, the score and `after`.
#[derive(Debug)]
pub(crate) struct Row {
    /// Query, title and summary.
    pub(crate) texts: [String; 3],
    /// What it has in the column `grade`.
    pub(crate) grade: Option<String>,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

/// The rows of a format, from the front.
pub(crate) trait Lines {
    /// The next row; `None` at the end of the file.
    fn row(&mut self) -> anyhow::Result<Option<Row>>;

    /// What the output has before the first row.
    fn header(&self) -> &[u8];
}

/// A file of text.
pub(crate) struct TextPairs<L> {
    pub(crate) lines: L,
    /// How the output is packed.
    pub(crate) packing: Packing,
}

impl Window for Vec<Row> {
    fn texts(&self) -> Vec<Texts<'_>> {
        self.iter().map(|Row { texts: [query, title, summary], .. }| Texts { query, title, summary }).collect()
    }

    fn grades(&self) -> Vec<Option<String>> {
        self.iter().map(|row| row.grade.clone()).collect()
    }
}

impl<L: Lines> Pairs for TextPairs<L> {
    type Window = Vec<Row>;
    type Output = TextOutput;

    fn next(&mut self) -> anyhow::Result<Option<Vec<Row>>> {
        let mut rows = Vec::new();
        while rows.len() < ROWS
            && let Some(row) = self.lines.row()?
        {
            rows.push(row);
        }
        Ok((!rows.is_empty()).then_some(rows))
    }

    fn output(&self, out: &Path, file: AtomicFile) -> anyhow::Result<TextOutput> {
        let packer = match self.packing {
            Packing::Plain => Packer::Plain(file),
            Packing::Gzip => Packer::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Packing::Zstd => Packer::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL).with_context(|| failed(out))?),
        };
        let mut output = TextOutput { out: out.to_path_buf(), packer };
        output.write_all(self.lines.header())?;
        Ok(output)
    }
}

/// A text that is written, and packed on the way.
pub(crate) struct TextOutput {
    out: PathBuf,
    packer: Packer,
}

enum Packer {
    Plain(AtomicFile),
    Gzip(GzEncoder<AtomicFile>),
    Zstd(zstd::Encoder<'static, AtomicFile>),
}

impl TextOutput {
    fn write_all(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = match &mut self.packer {
            Packer::Plain(file) => file.write_all(bytes),
            Packer::Gzip(encoder) => encoder.write_all(bytes),
            Packer::Zstd(encoder) => encoder.write_all(bytes),
        };
        written.with_context(|| failed(&self.out))
    }
}

impl Output<Vec<Row>> for TextOutput {
    fn write(&mut self, rows: Vec<Row>, scores: &[f32]) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for (row, score) in rows.iter().zip(scores) {
            bytes.extend_from_slice(&row.before);
            serde_json::to_writer(&mut bytes, score)?;
            bytes.extend_from_slice(&row.after);
        }
        self.write_all(&bytes)
    }

    fn finish(self) -> anyhow::Result<AtomicFile> {
        let file = match self.packer {
            Packer::Plain(file) => Ok(file),
            Packer::Gzip(encoder) => encoder.finish(),
            Packer::Zstd(encoder) => encoder.finish(),
        };
        file.with_context(|| failed(&self.out))
    }
}

fn failed(out: &Path) -> String {
    format!("{}: writing failed", out.display())
}

/// The text of a file, unpacked.
pub(crate) fn open(path: &Path) -> anyhow::Result<impl Read + use<>> {
    Ok(records::open_text(&RawFile { path: path.to_path_buf(), name: path.to_string_lossy().into() })?)
}

/// The error of a failed read of a text.
pub(crate) fn read_error(path: &Path, cause: io::Error) -> anyhow::Error {
    match cause.downcast::<records::Error>() {
        Ok(error) => error.into(),
        Err(cause) => unreadable(path, &cause).into(),
    }
}

/// The error of a row of more than [`LONGEST`] bytes.
pub(crate) fn too_long(place: &str) -> BadInput {
    let most = LONGEST >> 20;
    BadInput(format!(
        "{place}: expected a row of at most {most} MiB, found a longer one; close its quotes or shorten it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers(std::ops::Range<usize>);

    impl Lines for Numbers {
        fn row(&mut self) -> anyhow::Result<Option<Row>> {
            let row = |number| Row {
                texts: [format!("q{number}"), String::new(), String::new()],
                grade: None,
                before: format!("{number},").into_bytes(),
                after: b"\n".to_vec(),
            };
            Ok(self.0.next().map(row))
        }

        fn header(&self) -> &[u8] {
            b"n,score\n"
        }
    }

    fn written(packing: Packing) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut pairs = TextPairs { lines: Numbers(0..ROWS + 1), packing };
        let mut output = pairs.output(&path, AtomicFile::create(&path).unwrap()).unwrap();
        let mut windows = Vec::new();
        while let Some(rows) = pairs.next().unwrap() {
            windows.push(rows.texts().len());
            let scores = vec![-0.5; rows.len()];
            output.write(rows, &scores).unwrap();
        }
        assert_eq!(windows, [ROWS, 1]);
        output.finish().unwrap().commit().unwrap();
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn packed_output_is_the_plain_one() {
        let plain = written(Packing::Plain);
        assert!(
            plain.starts_with(b"n,score\n0,-0.5\n1,-0.5\n") && plain.ends_with(format!("{ROWS},-0.5\n").as_bytes())
        );
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&written(Packing::Gzip)[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
        assert_eq!(zstd::decode_all(&written(Packing::Zstd)[..]).unwrap(), plain);
    }
}
