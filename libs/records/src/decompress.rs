//! Compressed files, recognised by their first bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;

use crate::error::{Error, Result};
use crate::raw_file::RawFile;

/// Bytes that tell a compression from text; bzip2 needs ten of them.
const MAGIC: usize = 10;

/// A compression that is undone while reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
    Bzip2,
    Lz4,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Lz4 => "lz4",
        }
    }
}

/// A file, with the bytes that were read of it.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(to)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// The decompressed bytes of a file.
pub(crate) struct Unpacked {
    file: RawFile,
    read: Arc<AtomicU64>,
    compression: Option<Compression>,
    reader: Box<dyn BufRead + Send>,
}

impl Unpacked {
    /// Opens `file`.
    pub(crate) fn open(file: &RawFile) -> Result<Unpacked> {
        let opened = File::open(&file.path).map_err(|e| file.failed("opening", e))?;
        let read = Arc::new(AtomicU64::new(0));
        let mut packed = BufReader::with_capacity(1 << 18, Counted { file: opened, read: read.clone() });
        let start = peek(&mut packed, MAGIC).map_err(|e| file.failed("reading", e))?;
        let compression = recognise(file, &start)?;
        let packed = std::io::Cursor::new(start).chain(packed);
        let reader: Box<dyn BufRead + Send> = match compression {
            None => Box::new(packed),
            Some(Compression::Gzip) => buffered(Members(Some(GzDecoder::new(packed)))),
            Some(Compression::Bzip2) => buffered(bzip2::bufread::MultiBzDecoder::new(packed)),
            Some(Compression::Lz4) => buffered(Frames(FrameDecoder::new(packed))),
            Some(Compression::Zstd) => {
                let failed = |e| file.failed("opening the zstd decoder", e);
                let mut decoder = zstd::Decoder::with_buffer(packed).map_err(failed)?;
                // Files of `zstd --long=31` and `--ultra`.
                decoder.window_log_max(31).map_err(failed)?;
                buffered(decoder)
            }
        };
        Ok(Unpacked { file: file.clone(), read, compression, reader })
    }

    /// The compression that is undone; none of a file that is not compressed.
    pub(crate) fn compression(&self) -> Option<&'static str> {
        self.compression.map(Compression::name)
    }

    /// Bytes of the compressed file that were read so far, some ahead.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Appends up to `wanted` bytes to `to`; fewer at the end of the file alone.
    pub(crate) fn append(&mut self, to: &mut Vec<u8>, wanted: usize) -> Result<usize> {
        let read = (&mut self.reader).take(wanted as u64).read_to_end(to);
        read.map_err(|e| self.error(e))
    }

    /// The next `count` bytes, which stay unread; fewer at the end of the file.
    pub(crate) fn peek(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut start = Vec::new();
        self.append(&mut start, count)?;
        let rest = std::mem::replace(&mut self.reader, Box::new(std::io::empty()));
        self.reader = Box::new(std::io::Cursor::new(start.clone()).chain(rest));
        Ok(start)
    }

    /// The error of a failed read: of a compressed file it means damaged data.
    fn error(&self, cause: std::io::Error) -> Error {
        let Some(compression) = self.compression() else { return self.file.failed("reading", cause) };
        self.file.bad(format!(
            "expected a whole {compression} file, found a truncated or damaged one ({cause}); copy it again"
        ))
    }
}

/// All members of a gzip file; zeros, with which tapes and block devices pad a file, may follow.
struct Members<R: BufRead>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(to)?;
            if read > 0 || to.is_empty() {
                return Ok(read);
            }
            let packed = self.0.take().map(GzDecoder::into_inner);
            self.0 = packed.map(without_padding).transpose()?.flatten().map(GzDecoder::new);
        }
        Ok(0)
    }
}

/// What follows the zeros that a reader begins with, if anything does.
fn without_padding<R: BufRead>(mut packed: R) -> std::io::Result<Option<R>> {
    loop {
        let bytes = packed.fill_buf()?;
        let (zeros, length) = (bytes.iter().take_while(|&&byte| byte == 0).count(), bytes.len());
        packed.consume(zeros);
        if length == 0 || zeros < length {
            return Ok((length > 0).then_some(packed));
        }
    }
}

/// All frames of an lz4 file; the decoder ends with each.
struct Frames<R: BufRead>(FrameDecoder<R>);

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let read = self.0.read(to)?;
            if read > 0 || to.is_empty() || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(read);
            }
        }
    }
}

fn buffered(reader: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(1 << 18, reader))
}

fn peek(reader: &mut impl Read, count: usize) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    reader.take(count as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn recognise(file: &RawFile, start: &[u8]) -> Result<Option<Compression>> {
    let unpacked_first = |found: &str| Err(file.bad(format!("expected text, found {found}; unpack it first")));
    Ok(match start {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        // The frames that pzstd and others put in front can be skipped.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(Compression::Lz4),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Some(Compression::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unpacked_first("an xz file")?,
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => unpacked_first("a 7z archive")?,
        [b'P', b'K', 3, 4, ..] => unpacked_first("a zip archive")?,
        [0xff, 6, 0, 0, b's', b'N', b'a', b'P', b'p', b'Y'] => unpacked_first("a snappy file")?,
        [b'P', b'A', b'R', b'1', ..] => {
            Err(file.bad("expected text, found a Parquet file; correct the format in the configuration"))?
        }
        [b'O', b'R', b'C', ..] if start.contains(&0) => {
            Err(file.bad("expected text, found an ORC file; convert it to Parquet"))?
        }
        [b'O', b'b', b'j', 1, ..] => Err(file.bad("expected text, found an Avro file; convert it to Parquet"))?,
        _ => None,
    })
}
