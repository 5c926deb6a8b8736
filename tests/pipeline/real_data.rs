//! Real logs and a public test collection, where they are at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline::stages;
use serde_json::Value;
use tables::StageDir;
use tempfile::TempDir;

use crate::process::{command, finish};

/// Records of the product search's log, header lines aside.
const RETROTECH_RECORDS: u64 = 1_325_000;

/// Training steps do not matter where BM25 is measured, so there are next to none.
const UNTRAINED: [&str; 22] = [
    "--set",
    "simulate.searches=1000",
    "--set",
    "cpt.max_examples=20",
    "--set",
    "teacher.model.num_hidden_layers=1",
    "--set",
    "teacher.cpt.steps=1",
    "--set",
    "teacher.rank.steps=1",
    "--set",
    "score.max_queries=10",
    "--set",
    "distill.model.num_hidden_layers=1",
    "--set",
    "distill.steps=1",
    "--set",
    "distill.labels_only.steps=1",
    "--set",
    "evaluate.permutations=160",
    "--set",
    "evaluate.depth=20",
];

/// The pipeline file `configs/<name>.toml`; nothing, said on stdout, where the data of that name is missing.
fn configuration(name: &str) -> Option<PathBuf> {
    let data = Path::new("../../shared/data").join(name);
    if data.exists() {
        Some(Path::new("../configs").canonicalize().unwrap().join(format!("{name}.toml")))
    } else {
        println!("skipped: {} is missing", data.display());
        None
    }
}

/// Runs stages of a pipeline into a folder of its own; returns the run's folder.
fn run(config: &Path, stages: &[&str], arguments: &[&str]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = format!("run.root={:?}", dir.path().display().to_string());
    let own = ["--config", config.to_str().unwrap(), "--set", &root, "--set", "run.name=real"];
    for stage in stages {
        finish(command(dir.path(), stage, &[&own, arguments].concat())).succeeded();
    }
    let run = dir.path().join("real");
    (dir, run)
}

#[test]
fn every_line_of_a_real_log_is_accounted_for() {
    let Some(config) = configuration("retrotech") else { return };
    let (_dir, run) = run(&config, &["ingest"], &[]);
    let ingest = StageDir::open(&run, "ingest").unwrap();
    let manifest = ingest.manifest();
    let rows = |table: &str| manifest.tables[table].rows;
    let log = |name: &str| manifest.facts["log"][name].as_u64().unwrap();
    // Each record is one row.
    assert_eq!((log("lines_in"), log("rows_in")), (RETROTECH_RECORDS, RETROTECH_RECORDS));
    assert_eq!(rows("impressions"), log("rows_out"));
    let rejects = ingest.table("rejects").unwrap();
    let files = rejects.strings("file").unwrap();
    let of_log = (0..rejects.rows()).filter(|&row| files.value(row).contains("/sessions/")).count() as u64;
    assert_eq!(rows("impressions") + of_log, RETROTECH_RECORDS);
    assert_eq!(rows("queries"), 10);
    assert!(rows("impressions") > RETROTECH_RECORDS * 9 / 10, "{} rows", rows("impressions"));
}

#[test]
fn bm25_on_cranfield_equals_the_reference() {
    let Some(config) = configuration("cranfield") else { return };
    let (_dir, run) = run(&config, &stages().collect::<Vec<_>>(), &UNTRAINED);
    let golden: Value = serde_json::from_str(include_str!("../golden/bm25_cranfield.json")).unwrap();
    let evaluate = StageDir::open(&run, "evaluate").unwrap();

    let metrics = evaluate.table("query_metrics").unwrap();
    let (systems, names) = (metrics.strings("system").unwrap(), metrics.strings("metric").unwrap());
    let (ids, values) = (metrics.strings("query_id").unwrap(), metrics.float64s("value").unwrap());
    let ours = (0..metrics.rows()).filter(|&row| systems.value(row) == "bm25" && names.value(row) == "ndcg@10");
    let ours: BTreeMap<&str, f64> = ours.map(|row| (ids.value(row), values.value(row))).collect();
    let reference = golden["queries"].as_array().unwrap().iter();
    let reference: BTreeMap<&str, f64> =
        reference.map(|query| (query["query_id"].as_str().unwrap(), query["ndcg@10"].as_f64().unwrap())).collect();
    assert_eq!(ours.keys().collect::<Vec<_>>(), reference.keys().collect::<Vec<_>>(), "test queries");
    for (query, value) in &ours {
        assert!((value - reference[query]).abs() < 1e-5, "{query}: {value}, reference {}", reference[query]);
    }

    let metrics = evaluate.table("metrics").unwrap();
    let column = |name: &str| metrics.strings(name).unwrap().clone();
    let (systems, names, slices) = (column("system"), column("metric"), column("slice"));
    let wanted = |&row: &usize| (systems.value(row), names.value(row), slices.value(row)) == ("bm25", "ndcg@10", "all");
    let row = (0..metrics.rows()).find(wanted).unwrap();
    let value = metrics.float64s("value").unwrap().value(row);
    assert!((value - golden["ndcg@10"].as_f64().unwrap()).abs() < 0.005, "{value}");
}
