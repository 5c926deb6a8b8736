//! `configs/my-log.toml`: a copy runs once its paths are filled in, and says which one is not.

use std::fs;
use std::path::Path;

use pipeline::stages;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Outcome, command, finish};

const NAME: &str = "my-log.toml";

/// The paths that the file has in place of the user's, and the files of [`filled_in`].
const PATHS: [(&str, &str); 3] = [
    ("/path/to/your/log/*.csv", "log/*.csv"),
    ("/path/to/your/documents/*.jsonl", "documents/*.jsonl"),
    ("/path/to/your/judgments.csv", "judgments.csv"),
];

/// Steps that are enough to see that it runs, and a folder for the run.
const SMALL: [&str; 12] = [
    "run.root=\"runs\"",
    "run.threads=2",
    "teacher.cpt.steps=2",
    "teacher.cpt.packs_per_step=1",
    "teacher.rank.steps=2",
    "teacher.rank.lists_per_step=1",
    "score.max_queries=5",
    "distill.steps=2",
    "distill.pretrain.steps=2",
    "distill.labels_only.steps=2",
    "evaluate.bootstrap=200",
    "evaluate.permutations=500",
];

fn copied() -> (TempDir, String) {
    (tempfile::tempdir().unwrap(), fs::read_to_string(Path::new("../configs").join(NAME)).unwrap())
}

/// A copy with the paths of files beside it: the sample, its odd lines left out.
fn filled_in() -> TempDir {
    let (folder, mut text) = copied();
    for (from, to) in PATHS {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    fs::write(folder.path().join(NAME), text).unwrap();
    let sample = Path::new("../data/sample");
    let objects = |name: &str| -> Vec<Value> {
        let bytes = fs::read(sample.join(name)).unwrap();
        let lines = bytes.split(|byte| *byte == b'\n');
        lines.filter_map(|line| serde_json::from_slice(line).ok()).filter(Value::is_object).collect()
    };
    for name in ["log", "documents"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let columns = ["search_id", "session_id", "query", "doc_id", "position", "clicked", "dwell_seconds", "shown_at"];
    let mut log = csv::Writer::from_path(folder.path().join("log/day.csv")).unwrap();
    log.write_record(columns).unwrap();
    for row in objects("log.jsonl") {
        let is_plain = row["clicked"].is_boolean() && row["position"].as_i64().is_some_and(|position| position > 0);
        let cell = |column: &str| match &row[column] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if is_plain && row["query"].is_string() && cell("doc_id").len() == 6 && !cell("query").contains('\0') {
            log.write_record(columns.map(cell)).unwrap();
        }
    }
    log.flush().unwrap();
    let documents = objects("documents.jsonl").into_iter().map(|document| {
        let summary = &document["text"];
        format!("{}\n", serde_json::json!({ "doc_id": document["id"], "title": document["name"], "summary": summary }))
    });
    fs::write(folder.path().join("documents/all.jsonl"), documents.collect::<String>()).unwrap();
    let queries = objects("queries.jsonl");
    let qrels = fs::read_to_string(sample.join("qrels.tsv")).unwrap();
    let mut judgments = csv::Writer::from_path(folder.path().join("judgments.csv")).unwrap();
    judgments.write_record(["query", "doc_id", "grade"]).unwrap();
    for line in qrels.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let query = queries.iter().find(|query| query["_id"] == cells[0] && query["_id"] != "q41");
        if let Some(query) = query {
            judgments.write_record([query["text"].as_str().unwrap(), cells[1], cells[2]]).unwrap();
        }
    }
    judgments.flush().unwrap();
    folder
}

fn run(folder: &Path, binary: &str) -> Outcome {
    let settings = SMALL.iter().flat_map(|setting| ["--set", setting]);
    finish(command(folder, binary, &["--config", NAME].into_iter().chain(settings).collect::<Vec<_>>()))
}

#[test]
fn a_copy_runs_once_the_paths_are_filled_in() {
    let folder = filled_in();
    let checked = run(folder.path(), "check").succeeded();
    assert!(checked.stderr.is_empty(), "{}", checked.stderr);
    assert!(!checked.stdout.contains("columns not found"), "{}", checked.stdout);
    for stage in stages() {
        run(folder.path(), stage).succeeded();
    }
    assert!(folder.path().join("runs/my-log/evaluate/report.html").exists());
}

#[test]
fn a_path_that_is_not_filled_in_is_named() {
    let (folder, mut text) = copied();
    for (at, (from, to)) in PATHS.into_iter().enumerate() {
        fs::write(folder.path().join(NAME), &text).unwrap();
        let key = ["ingest.log.paths", "ingest.documents.paths", "ingest.judgments.paths"][at];
        let expected = format!("{from}: expected at least one file, found none; correct {key}");
        assert_eq!(run(folder.path(), "ingest").error(3), format!("error: {expected}"));
        let checked = run(folder.path(), "check");
        assert!(checked.stdout.contains(&format!("  refused: {expected}\n")), "{}", checked.stdout);
        // The first fault is the one to mend first.
        if at == 0 {
            assert_eq!(checked.error(3), format!("error: {expected}"));
        }
        text = text.replace(from, to);
        let file = folder.path().join(to.replace('*', "all"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
    }
}
