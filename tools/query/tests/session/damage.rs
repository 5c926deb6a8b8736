//! Damaged files are found before a row of them is read.

use std::fs;

use query::Format;

use crate::fixture::{answer, open, refusal, run_on_disk};

/// A generator of test positions: any spread will do.
fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}

#[test]
fn every_flipped_bit_is_found_and_its_file_named() {
    let (_root, pipeline) = run_on_disk();
    let run = pipeline.paths().run_dir();
    let files = [
        ("documents", "ingest/documents/part-00000.parquet"),
        ("documents", "ingest/documents/part-00001.parquet"),
        ("documents", "ingest/documents/part-00002.parquet"),
        ("impressions", "ingest/impressions/part-00000.parquet"),
        ("training_metrics", "teacher/training_metrics/part-00000.parquet"),
    ];
    let mut below = numbers(7);
    for _ in 0..200 {
        let (table, file) = files[below(files.len())];
        let sound = fs::read(run.join(file)).unwrap();
        let mut damaged = sound.clone();
        let (byte, bit) = (below(damaged.len()), below(8));
        damaged[byte] ^= 1 << bit;
        fs::write(run.join(file), damaged).unwrap();
        let text = refusal(&open(&pipeline), &format!("select count(*) from {table}"));
        assert!(text.contains(file) && text.contains("was changed or damaged; re-run stage"), "{file} {byte}: {text}");
        fs::write(run.join(file), sound).unwrap();
    }
    for (table, _) in files {
        answer(&open(&pipeline), &format!("select count(*) from {table}"), Format::Csv);
    }
}

#[test]
fn a_file_is_found_however_it_is_read_and_leaves_others_alone() {
    let (_root, pipeline) = run_on_disk();
    let part = pipeline.paths().run_dir().join("ingest/documents/part-00002.parquet");
    fs::write(&part, b"not parquet").unwrap();
    let database = open(&pipeline);
    for sql in [
        "from documents limit 1",
        "select 1 from documents where false or doc_id = 'd000'",
        "with d as materialized (from documents) select count(*) from d",
        "from query_table('docu' || 'ments')",
        "from query('from documents')",
        "summarize documents",
        "select * from impressions join documents using (doc_id)",
        "create table copied as from documents",
        "explain analyze select count(*) from documents",
    ] {
        assert!(refusal(&database, sql).contains("documents/part-00002.parquet"), "{sql}");
    }
    for sql in ["create view named as from documents", "create macro called() as table from documents"] {
        answer(&database, sql, Format::Csv);
    }
    answer(&database, "prepare prepared as from documents", Format::Csv);
    for sql in ["from named", "from called()", "execute prepared"] {
        assert!(refusal(&database, sql).contains("documents/part-00002.parquet"), "{sql}");
    }
    assert_eq!(answer(&database, "select count(*) as n from impressions", Format::Csv), "n\r\n2\r\n");
    fs::remove_file(&part).unwrap();
    assert!(refusal(&database, "from documents").contains("documents/part-00002.parquet: expected sha256"));
}

#[test]
fn views_of_a_damaged_run_are_not_written() {
    let (root, pipeline) = run_on_disk();
    let part = pipeline.paths().run_dir().join("ingest/impressions/part-00000.parquet");
    let mut bytes = fs::read(&part).unwrap();
    bytes[40] ^= 1;
    fs::write(&part, bytes).unwrap();
    let error = open(&pipeline).write_views(&root.path().join("run.duckdb")).unwrap_err();
    assert!(error.to_string().contains("impressions/part-00000.parquet"), "{error}");
    assert!(!root.path().join("run.duckdb").exists());
}
