//! Text as UTF-8: byte-order marks dropped, UTF-16 decoded while it is read.

use encoding_rs::{Decoder, UTF_16BE, UTF_16LE};

use crate::decompress::Unpacked;
use crate::error::Result;
use crate::raw_file::RawFile;

/// Bytes that are decoded at once.
const CHUNK: usize = 1 << 16;

/// The text of a file, decompressed and as UTF-8.
pub(crate) struct Text {
    bytes: Unpacked,
    utf16: Option<Utf16>,
}

struct Utf16 {
    decoder: Decoder,
    raw: Vec<u8>,
    /// Decoded text that was not asked for yet.
    decoded: Vec<u8>,
    ended: bool,
}

impl Text {
    /// Opens `file`.
    pub(crate) fn open(file: &RawFile) -> Result<Text> {
        let mut bytes = Unpacked::open(file)?;
        let start = bytes.peek(4)?;
        let (mark, encoding) = match start.as_slice() {
            [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => {
                Err(file.bad("expected UTF-8 or UTF-16, found UTF-32; convert it to UTF-8"))?
            }
            [0xef, 0xbb, 0xbf, ..] => (3, None),
            [0xff, 0xfe, ..] => (2, Some(UTF_16LE)),
            [0xfe, 0xff, ..] => (2, Some(UTF_16BE)),
            // Every other byte is NUL in the ASCII characters of UTF-16, and none in UTF-8.
            [1..=0xff, 0, 1..=0xff, 0] => (0, Some(UTF_16LE)),
            [0, 1..=0xff, 0, 1..=0xff] => (0, Some(UTF_16BE)),
            _ => (0, None),
        };
        bytes.append(&mut Vec::new(), mark)?;
        let utf16 = encoding.map(|encoding| Utf16 {
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: Vec::new(),
            decoded: Vec::new(),
            ended: false,
        });
        Ok(Text { bytes, utf16 })
    }

    /// As [`Unpacked::compression`].
    pub(crate) fn compression(&self) -> Option<&'static str> {
        self.bytes.compression()
    }

    /// As [`Unpacked::packed_bytes`].
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.bytes.packed_bytes()
    }

    /// True if the file is in UTF-16.
    pub(crate) fn is_utf16(&self) -> bool {
        self.utf16.is_some()
    }

    /// Appends up to `wanted` bytes to `to`; fewer at the end of the file alone.
    pub(crate) fn append(&mut self, to: &mut Vec<u8>, wanted: usize) -> Result<usize> {
        let Some(utf16) = &mut self.utf16 else { return self.bytes.append(to, wanted) };
        while utf16.decoded.len() < wanted && !utf16.ended {
            utf16.raw.clear();
            utf16.ended = self.bytes.append(&mut utf16.raw, CHUNK)? < CHUNK;
            utf16.decode();
        }
        let count = wanted.min(utf16.decoded.len());
        to.extend(utf16.decoded.drain(..count));
        Ok(count)
    }
}

impl std::io::Read for Text {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let mut bytes = Vec::with_capacity(to.len());
        let count = self.append(&mut bytes, to.len()).map_err(std::io::Error::other)?;
        to[..count].copy_from_slice(&bytes);
        Ok(count)
    }
}

impl Utf16 {
    /// Decodes `raw`; a half pair of surrogates becomes U+FFFD.
    fn decode(&mut self) {
        let start = self.decoded.len();
        let room = self.decoder.max_utf8_buffer_length(self.raw.len()).unwrap_or(4 * CHUNK);
        self.decoded.resize(start + room, 0);
        // The room suffices for all of it, so that nothing is left over.
        let (_, _, written, _) = self.decoder.decode_to_utf8(&self.raw, &mut self.decoded[start..], self.ended);
        self.decoded.truncate(start + written);
    }
}
