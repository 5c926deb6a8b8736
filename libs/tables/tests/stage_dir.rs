//! Writing, committing and reading a stage's output, and what happens when its files are damaged.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::Array;
use proptest::prelude::*;
use tables::{AppendTable, Error, Manifest, OutputDir, Rows, StageDir, TableEntry, TableWriter, WriteOptions};

fn manifest(tables: BTreeMap<String, TableEntry>) -> Manifest {
    Manifest { stage: "ingest".into(), tables, ..Manifest::default() }
}

fn judgments(rows: &[(String, String, i32)]) -> Rows<'_, (String, String, i32)> {
    Rows::of(rows)
        .strings("query_id", |row| row.0.as_str())
        .strings("doc_id", |row| row.1.as_str())
        .int32s("grade", |row| row.2)
        .strings("split", |_| "train")
}

fn row(query: &str, document: &str, grade: i32) -> (String, String, i32) {
    (query.into(), document.into(), grade)
}

fn commit(root: &Path, rows: &[(String, String, i32)], options: WriteOptions) -> StageDir {
    let output = OutputDir::open(root, "ingest", false).unwrap();
    let mut table = TableWriter::create(output.path(), "judgments", options, &[("key", "value")]).unwrap();
    table.write(judgments(rows)).unwrap();
    let entry = table.finish().unwrap();
    std::fs::create_dir(output.path().join("model")).unwrap();
    std::fs::write(output.path().join("model/weights"), b"weights").unwrap();
    output.commit(manifest(BTreeMap::from([("judgments".to_string(), entry)]))).unwrap()
}

fn refused(result: tables::Result<()>, expected: &str) {
    let error = result.unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_table_is_read_as_it_was_written_across_files() {
    let root = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..25).map(|i| row(&format!("q{:02}", i / 5), &format!("d{i:02}"), i % 5)).collect();
    let options = WriteOptions { rows_per_file: 10, rows_per_group: 4, zstd_level: 1 };
    let dir = commit(root.path(), &rows, options);
    let table = dir.table("judgments").unwrap();
    let read: Vec<_> = (0..table.rows())
        .map(|i| {
            let text = |column: &str| table.strings(column).unwrap().value(i).to_string();
            (text("query_id"), text("doc_id"), table.int32s("grade").unwrap().value(i))
        })
        .collect();
    assert_eq!(read, rows);
    assert_eq!(dir.manifest().tables["judgments"].files.len(), 3);
    assert_eq!(dir.manifest().tables["judgments"].rows, 25);
    assert_eq!(dir.table_metadata("judgments", "key").unwrap().as_deref(), Some("value"));
    assert!(dir.folder("model").unwrap().join("weights").exists());
    assert!(table.strings("grade").is_err());
    assert!(table.strings("nothing").is_err());
}

#[test]
fn an_empty_table_has_its_columns() {
    let root = tempfile::tempdir().unwrap();
    let dir = commit(root.path(), &[], WriteOptions::default());
    assert_eq!(dir.table("judgments").unwrap().strings("query_id").unwrap().len(), 0);
}

#[test]
fn rows_out_of_order_nulls_and_other_types_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let create = || TableWriter::create(root.path(), "judgments", WriteOptions::default(), &[]).unwrap();
    refused(create().write(judgments(&[row("b", "a", 0), row("a", "a", 0)])), "row 1 breaks the sort order");
    let mut table = create();
    table.write(judgments(&[row("b", "a", 0)])).unwrap();
    refused(table.write(judgments(&[row("a", "a", 0)])), "row 1 breaks the sort order");
    let rest =
        || Rows::of(&["a"]).strings("query_id", |&id| id).strings("doc_id", |&id| id).strings("split", |_| "train");
    refused(create().write(rest().int32s("grade", |_| None)), "non-nullable");
    refused(create().write(rest().strings("grade", |_| "1")), "Utf8");
    assert!(matches!(
        TableWriter::create(root.path(), "nonsense", WriteOptions::default(), &[]).map(drop),
        Err(Error::UnknownSchema(_))
    ));
}

#[test]
fn every_flipped_byte_is_found_and_the_file_named() {
    let root = tempfile::tempdir().unwrap();
    let dir = commit(root.path(), &[row("a", "b", 1), row("a", "c", 2)], WriteOptions::default());
    let path = dir.path().join("judgments/part-00000.parquet");
    let bytes = std::fs::read(&path).unwrap();
    for place in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x40;
        std::fs::write(&path, damaged).unwrap();
        let error = dir.table("judgments").unwrap_err();
        assert!(matches!(&error, Error::Checksum { path: named, stage, .. } if named == &path && stage == "ingest"));
    }
    std::fs::write(dir.path().join("model/weights"), b"Weights").unwrap();
    assert!(matches!(dir.folder("model"), Err(Error::Checksum { .. })));
}

#[test]
fn a_stage_without_a_manifest_is_named() {
    let root = tempfile::tempdir().unwrap();
    let error = StageDir::open(root.path(), "ingest").unwrap_err();
    assert!(error.to_string().contains("run `ingest` first"), "{error}");
    let dir = commit(root.path(), &[], WriteOptions::default());
    assert!(matches!(dir.table("pairs"), Err(Error::NotListed { .. })));
    std::fs::write(dir.path().join("manifest.json"), b"{").unwrap();
    assert!(matches!(StageDir::open(root.path(), "ingest"), Err(Error::BadManifest { .. })));
}

#[test]
fn the_earlier_output_stays_until_the_commit() {
    let root = tempfile::tempdir().unwrap();
    let first = commit(root.path(), &[row("a", "b", 1)], WriteOptions::default());
    let output = OutputDir::open(root.path(), "ingest", false).unwrap();
    std::fs::write(output.path().join("half"), b"half").unwrap();
    assert_eq!(first.table("judgments").unwrap().rows(), 1);
    output.discard().unwrap();
    let second = commit(root.path(), &[row("a", "b", 1), row("a", "c", 1)], WriteOptions::default());
    assert_eq!(second.table("judgments").unwrap().rows(), 2);
    assert_ne!(first.manifest().digest_of("judgments"), second.manifest().digest_of("judgments"));
    assert_eq!(first.manifest().digest_of("model"), second.manifest().digest_of("model"));
    let left: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ingest"]);
}

#[test]
fn a_growing_table_is_readable_after_every_append() {
    let root = tempfile::tempdir().unwrap();
    let mut table = AppendTable::open(root.path(), "judgments").unwrap();
    assert_eq!(table.rows().unwrap().rows(), 0);
    for i in 1..4 {
        table.append(judgments(&[row("a", "b", i)])).unwrap();
        assert_eq!(AppendTable::open(root.path(), "judgments").unwrap().rows().unwrap().rows(), i as usize);
    }
    table.clear().unwrap();
    assert_eq!(table.rows().unwrap().rows(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_sorted_text_survives(mut texts in proptest::collection::vec(".{0,12}", 0..40)) {
        texts.sort();
        let rows: Vec<_> = texts.iter().map(|text| row(text, "d", 1)).collect();
        let root = tempfile::tempdir().unwrap();
        let options = WriteOptions { rows_per_file: 7, rows_per_group: 3, zstd_level: 1 };
        let table = commit(root.path(), &rows, options).table("judgments").unwrap();
        let read: Vec<_> = table.strings("query_id").unwrap().iter().flatten().map(str::to_string).collect();
        prop_assert_eq!(read, texts);
    }
}
