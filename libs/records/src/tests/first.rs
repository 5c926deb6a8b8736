//! The first records of a file, and its size.

use super::packed::{PACKERS, json};
use super::*;

fn numbered(count: usize) -> Vec<u8> {
    (1..=count).flat_map(|n| format!("{{\"a\": {n}, \"z{n}\": 0}}\n").into_bytes()).collect()
}

#[test]
fn no_more_records_are_visited_than_wanted() {
    for (most, expected) in [(1, (1, false)), (2, (2, false)), (3, (3, true)), (4, (3, true))] {
        let (_dir, file) = file_of(&numbered(3));
        let mut lines = Vec::new();
        let first = read_first::<Error>(&file, &json(), &ab(), most, &mut |record| {
            lines.push(record.line);
            Ok(())
        });
        let first = first.unwrap();
        assert_eq!((lines.len(), first.whole), expected, "{most}");
        assert_eq!(first.found, [true, false]);
    }
}

#[test]
fn later_records_are_not_read() {
    let (_dir, file) = file_of(&numbered(100_000));
    let mut count = 0;
    let first = read_first::<Error>(&file, &json(), &ab(), 10, &mut |_| {
        count += 1;
        Ok(())
    });
    assert!(!first.unwrap().whole);
    assert_eq!(count, 10);
}

#[test]
fn the_columns_of_a_file_are_those_of_its_header_or_first_object() {
    let columns = |layout: &Layout, bytes: &[u8]| {
        let (_dir, file) = file_of(bytes);
        Blocks::open(&file, layout, &[]).unwrap().columns().to_vec()
    };
    assert_eq!(columns(&layout(RawFormat::Csv), b"a,b\n1,2\n"), ["a", "b"]);
    assert_eq!(columns(&json(), b"{\"a\": {\"c\": 1}, \"b\": 2}\n{\"d\": 1}\n"), ["a", "b"]);
    assert!(columns(&Layout::space(), b"1 2 3\n").is_empty());
    assert_eq!(object_keys(b"{\"d\": [1, {\"e\": 2}], \"f\": null}"), ["d", "f"]);
    assert!(object_keys(b"[1, 2]").is_empty());
}

#[test]
fn a_size_is_that_of_the_text() {
    // Numbers that do not repeat, so that every part of the file is compressed alike.
    let text: Vec<u8> =
        (0..2_000_000u64).flat_map(|n| format!("{}\n", n.wrapping_mul(n) ^ n << 7).into_bytes()).collect();
    for (name, pack) in PACKERS {
        let packed = pack(&text);
        let (_dir, file) = file_of(&packed);
        let packing = packing(&file).unwrap();
        assert_eq!((packing.bytes, packing.compression), (packed.len() as u64, Some(name)));
        let error = packing.text_bytes as f64 / text.len() as f64 - 1.0;
        assert!(error.abs() < 0.2, "{name}: {error}");
        let (_dir, file) = file_of(&pack(&text[..10_000]));
        assert_eq!(super::packing(&file).unwrap().text_bytes, 10_000, "{name}");
    }
    let (_dir, file) = file_of(&text);
    let whole = Packing { bytes: text.len() as u64, compression: None, text_bytes: text.len() as u64, rows: None };
    assert_eq!(packing(&file).unwrap(), whole);
}
