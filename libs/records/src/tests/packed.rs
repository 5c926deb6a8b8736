//! Compression and encodings.

use std::io::Write;

use lz4_flex::frame::{FrameEncoder, FrameInfo};

use super::*;

const TEXT: &[u8] = b"{\"a\": 1}\n{\"a\": 2}\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(FrameInfo::new().content_checksum(true), Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_long(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(31).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) type Pack = fn(&[u8]) -> Vec<u8>;
pub(super) const PACKERS: [(&str, Pack); 4] = [("gzip", gzip), ("zstd", zstd_long), ("bzip2", bzip2), ("lz4", lz4)];

pub(super) fn json() -> Layout {
    layout(RawFormat::Jsonl)
}

#[test]
fn packed_files_are_recognised_in_several_parts() {
    for (name, pack) in PACKERS {
        let (first, second) = TEXT.split_at(12);
        let bytes = [pack(first), pack(second)].concat();
        let expected = [(1, 1, row(&["1", ""])), (2, 1, row(&["2", ""]))];
        assert_eq!(outcomes(&json(), &bytes), expected, "{name}");
        let (_dir, file) = file_of(&pack(b" \n"));
        assert!(is_empty(&file).unwrap(), "{name}");
        let (_dir, file) = file_of(&bytes);
        assert!(!is_empty(&file).unwrap(), "{name}");
    }
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9], &zstd_long(TEXT)[..]].concat();
    assert_eq!(outcomes(&json(), &skippable).len(), 2);
}

#[test]
fn zeros_may_follow_a_gzip_member() {
    for zeros in [1, 512, 1 << 19] {
        let padded = [gzip(TEXT), vec![0; zeros], gzip(TEXT), vec![0; zeros]].concat();
        assert_eq!(outcomes(&json(), &padded).len(), 4, "{zeros}");
        let damaged = [gzip(TEXT), vec![0; zeros], b"x".to_vec()].concat();
        assert!(failure(&json(), &ab(), &damaged).contains("gzip"), "{zeros}");
    }
}

#[test]
fn damage_is_one_line() {
    for (name, pack) in PACKERS {
        let text: Vec<u8> = (0..20_000).flat_map(|n| format!("{{\"a\": {}}}\n", n * n).into_bytes()).collect();
        let packed = pack(&text);
        let mut flipped = packed.clone();
        flipped[packed.len() / 2] ^= 0x55;
        for bytes in [&packed[..packed.len() - 3], &packed[..packed.len() / 2], &packed[..12], &flipped] {
            let error = failure(&json(), &ab(), bytes);
            let expected = format!("expected a whole {name} file, found a truncated or damaged one");
            assert!(error.contains(&expected), "{error}");
        }
    }
    for (bytes, found) in [
        (&b"\xfd7zXZ\0\0\0"[..], "an xz file"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"PAR1....", "a Parquet file"),
        (b"Obj\x01", "an Avro file"),
        (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
    ] {
        assert!(failure(&json(), &ab(), bytes).contains(found), "{found}");
    }
}

#[test]
fn names_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [("x.gz", TEXT.to_vec()), ("x.zst", gzip(TEXT)), ("x.JSON", zstd_long(TEXT))] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let file = RawFile { path, name: name.into() };
        assert_eq!(read_blocks(&file, &json(), &ab(), 100).unwrap().0.len(), 2, "{name}");
    }
}

#[test]
fn utf_16_is_decoded() {
    let text = "a,b\r\nä,\u{1f600}\r\n\"2\n3\",x\n";
    let expected = [(2, 1, row(&["ä", "\u{1f600}"])), (3, 2, row(&["2\n3", "x"]))];
    for bom in ["", "\u{feff}"] {
        let units: Vec<u16> = bom.encode_utf16().chain(text.encode_utf16()).collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [&little, &big, &gzip(&little)] {
            assert_eq!(outcomes(&layout(RawFormat::Csv), bytes), expected);
        }
    }
    let broken: Vec<u8> = "a,b\n1,x".encode_utf16().chain([0xd83d]).flat_map(u16::to_le_bytes).chain([7]).collect();
    let (_dir, file) = file_of(&broken);
    assert_eq!(read_blocks(&file, &layout(RawFormat::Csv), &ab(), 10).unwrap().0.len(), 1);
    // More than is decoded at once.
    let long = format!("a,b\n{}", "\u{1f600}é,x\n".repeat(50_000));
    let bytes: Vec<u8> = long.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (_dir, file) = file_of(&bytes);
    let (seen, _) = read_blocks(&file, &layout(RawFormat::Csv), &ab(), 1000).unwrap();
    assert_eq!(seen.len(), 50_000);
    assert!(seen.iter().all(|seen| seen.values == row(&["\u{1f600}é", "x"])));
}

#[test]
fn emptiness_is_seen() {
    for (bytes, expected) in [
        (&b""[..], true),
        (b"\xef\xbb\xbf", true),
        (b"\xff\xfe \0\n\0", true),
        (b" \r\n\t", true),
        (b" x", false),
        (b"\xff\xfex\0", false),
    ] {
        let (_dir, file) = file_of(bytes);
        assert_eq!(is_empty(&file).unwrap(), expected, "{bytes:?}");
    }
    assert!(is_empty(&RawFile { path: "none".into(), name: "none".into() }).is_err());
}
