//! The sample of `data/sample`, from its raw log to the report, and its README's word for every odd line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use pipeline::stages;
use serde_json::Value;
use tables::StageDir;

use crate::process::{command, finish};

const FILES: [&str; 6] = ["documents.jsonl", "queries.jsonl", "qrels.tsv", "log.jsonl", "log.csv", "README.md"];

/// Reject reasons by file and line.
type Rejects = BTreeMap<(String, u64), String>;

/// What the README says of a file.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) records: u64,
    pub(crate) rows: u64,
    pub(crate) rejects: u64,
}

/// The cells of each row of the README's tables.
fn table_rows(readme: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let mut section = "";
    readme.lines().filter_map(move |line| {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        }
        let cells = line.strip_prefix("| ")?.trim_end_matches('|').split(" | ").map(str::trim).collect();
        Some((section, cells))
    })
}

/// The rejects that the README promises for a file; a range of lines is one for each.
fn promised(readme: &str, file: &str) -> Rejects {
    let mut rejects = Rejects::new();
    for (section, cells) in table_rows(readme) {
        if section != file || cells[0].starts_with(['l', '-']) || cells[2].is_empty() {
            continue;
        }
        let (first, last) = cells[0].split_once('-').unwrap_or((cells[0], cells[0]));
        for line in first.parse().unwrap()..=last.parse().unwrap() {
            rejects.insert((file.into(), line), cells[2].into());
        }
    }
    rejects
}

fn totals(readme: &str, file: &str) -> Totals {
    let row = table_rows(readme).find(|(section, cells)| section.is_empty() && cells[0] == file);
    let numbers: Vec<u64> = row.unwrap().1[1..].iter().map(|cell| cell.parse().unwrap()).collect();
    Totals { records: numbers[0], rows: numbers[1], rejects: numbers[2] }
}

/// What the table `ingest_report` says of an input; values that were dropped are no records.
pub(crate) fn counted(ingest: &StageDir, input: &str) -> Totals {
    let table = ingest.table("ingest_report").unwrap();
    let (inputs, fates) = (table.strings("input").unwrap(), table.strings("fate").unwrap());
    let counts = table.int64s("rows").unwrap();
    let mut totals = Totals::default();
    for row in (0..table.rows()).filter(|&row| inputs.value(row) == input && fates.value(row) != "value") {
        let count = counts.value(row) as u64;
        totals.records += count;
        match fates.value(row) {
            "kept" => totals.rows += count,
            _ => totals.rejects += count,
        }
    }
    totals
}

/// Runs stages of `configs/sample.toml` into a folder of its own and returns the output of `ingest`.
fn run(root: &Path, stages: &[&str], settings: &[&str]) -> StageDir {
    let config = Path::new("../configs/sample.toml").canonicalize().unwrap();
    let run_root = format!("run.root={:?}", root.display().to_string());
    let mut arguments = vec!["--config", config.to_str().unwrap(), "--set", &run_root];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    for stage in stages {
        finish(command(root, stage, &arguments)).succeeded();
    }
    StageDir::open(&root.join("sample"), "ingest").unwrap()
}

fn rejects(ingest: &StageDir) -> Rejects {
    let table = ingest.table("rejects").unwrap();
    let (files, lines) = (table.strings("file").unwrap(), table.int64s("line").unwrap());
    let reasons = table.strings("reason").unwrap();
    let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_string();
    let row = |row| ((name(files.value(row)), lines.value(row) as u64), reasons.value(row).to_string());
    (0..table.rows()).map(row).collect()
}

#[track_caller]
fn assert_explained(ingest: &StageDir, log: &str) {
    let readme = fs::read_to_string("../data/sample/README.md").unwrap();
    let inputs = [("documents", "documents.jsonl"), ("judgments", "qrels.tsv"), ("log", log)];
    let expected: Rejects = inputs.iter().flat_map(|(_, file)| promised(&readme, file)).collect();
    assert_eq!(rejects(ingest), expected);
    for (input, file) in inputs.into_iter().chain([("judged_queries", "queries.jsonl")]) {
        let totals = totals(&readme, file);
        assert_eq!(totals.records, totals.rows + totals.rejects, "{file}");
        assert_eq!(counted(ingest, input), totals, "{file}");
    }
    let rows = |table: &str| ingest.manifest().tables[table].rows;
    assert_eq!(rows("impressions"), totals(&readme, log).rows);
    assert_eq!(rows("documents"), totals(&readme, "documents.jsonl").rows);
    assert_eq!(rows("judgments"), totals(&readme, "qrels.tsv").rows);
}

#[test]
fn the_whole_pipeline_runs_and_every_odd_json_line_is_explained() {
    let root = tempfile::tempdir().unwrap();
    let ingest = run(root.path(), &stages().collect::<Vec<_>>(), &[]);
    assert_explained(&ingest, "log.jsonl");
    let metrics = StageDir::open(&root.path().join("sample"), "evaluate").unwrap().table("metrics").unwrap();
    let systems: Vec<&str> = metrics.strings("system").unwrap().iter().flatten().collect();
    for system in ["log_order", "bm25", "teacher", "student", "student_labels_only"] {
        assert!(systems.contains(&system), "{system}");
    }
}

#[test]
fn every_odd_csv_line_is_explained() {
    let root = tempfile::tempdir().unwrap();
    let csv = [r#"ingest.log.paths=["../data/sample/log.csv"]"#, r#"ingest.log.format="csv""#];
    assert_explained(&run(root.path(), &["ingest"], &csv), "log.csv");
}

#[test]
fn the_two_logs_hold_the_same_rows() {
    // The rows that odd lines of one format alone leave behind.
    let own = ["odd360", "odd410"];
    let rows = |root: &Path, settings: &[&str]| {
        let table = run(root, &["ingest"], settings).table("impressions").unwrap();
        let text = |column: &str| table.strings(column).unwrap().clone();
        let (searches, queries, documents) = (text("search_id"), text("query_id"), text("doc_id"));
        let positions = table.int32s("position").unwrap();
        let row = |row: usize| {
            format!("{} {} {} {}", searches.value(row), queries.value(row), documents.value(row), positions.value(row))
        };
        let rows = (0..table.rows()).map(row).filter(|row| !own.iter().any(|own| row.starts_with(own)));
        rows.collect::<Vec<_>>()
    };
    let (json, csv) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = [r#"ingest.log.paths=["../data/sample/log.csv"]"#, r#"ingest.log.format="csv""#];
    assert_eq!(rows(json.path(), &[]), rows(csv.path(), &settings));
}

#[test]
fn the_script_makes_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("python3").arg("../data/sample/make.py").arg(folder.path()).status();
    if made.is_err() {
        println!("skipped: there is no python3");
        return;
    }
    assert!(made.unwrap().success());
    for file in FILES {
        let (made, committed) = (folder.path().join(file), Path::new("../data/sample").join(file));
        assert!(fs::read(made).unwrap() == fs::read(committed).unwrap(), "{file}: run data/sample/make.py");
    }
    let queries = fs::read_to_string("../data/sample/queries.jsonl").unwrap();
    assert!(queries.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}
