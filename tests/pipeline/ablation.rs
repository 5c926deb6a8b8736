//! `ablation`: the comparisons over several seeds, from the pipeline file to the document.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::no_log::without_log;
use crate::process::{finish, start, wait_until};
use crate::sandbox::{CONFIG, Sandbox};

/// The tiny pipeline with two seeds and the comparison of two teachers.
fn ablation(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.command("ablation", &["--out", "results.md", "--seeds", "1,2", "--only", "cpt"]);
    command.args(arguments);
    command
}

fn manifests(sandbox: &Sandbox) -> Vec<(PathBuf, String)> {
    let stages = ["shared/ingest", "shared/teacher", "shared/distill", "teacher-no-cpt/teacher"];
    let paths =
        ["seed-1", "seed-2"].into_iter().flat_map(|seed| stages.map(|stage| format!("{seed}/{stage}/manifest.json")));
    let there = paths.map(|path| sandbox.run_path(&path)).filter(|path| path.exists());
    there.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn a_killed_ablation_goes_on_where_it_was() {
    let sandbox = Sandbox::new();
    let plan = finish(ablation(&sandbox, &["--plan"])).succeeded();
    assert!(plan.stderr.contains("2 seeds, 4 runs; 6 of 6 trainings are missing, about"), "{}", plan.stderr);
    assert!(!sandbox.run_path("").exists());

    let mut child = start({
        let mut command = ablation(&sandbox, &[]);
        command.process_group(0);
        command
    });
    let teacher = sandbox.run_path("seed-1/shared/teacher/manifest.json");
    wait_until(&mut child, "a teacher", || teacher.exists());
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-9", "--", &group]).status().unwrap().success());
    child.wait().unwrap();
    let finished = manifests(&sandbox);
    assert!(!finished.is_empty() && finished.len() < 8 && !sandbox.path("results.md").exists());

    let resumed = finish(ablation(&sandbox, &[])).succeeded();
    assert!(resumed.stderr.contains("trainings left: 0,"), "{}", resumed.stderr);
    let whole = manifests(&sandbox);
    assert_eq!(whole.len(), 8);
    for output in finished {
        assert!(whole.contains(&output), "{} was made again", output.0.display());
    }

    let again = finish(ablation(&sandbox, &[])).succeeded();
    assert!(again.stderr.contains("0 of 6 trainings are missing"), "{}", again.stderr);
    assert_eq!(manifests(&sandbox), whole, "nothing is trained twice");

    let text = fs::read_to_string(sandbox.path("results.md")).unwrap();
    let table = text.split("## Teacher with and without").nth(1).unwrap();
    let row = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
    assert_eq!(row("| with CPT").matches('[').count(), 1, "{table}");
    assert_eq!(row("| without CPT").matches('[').count(), 2, "{table}");
    assert!(text.contains("not tested: too few observations"), "the runs of the other claims are not there");
}

#[test]
fn a_condition_that_fails_is_told_and_the_others_go_on() {
    let sandbox = Sandbox::new();
    let run = sandbox.run_path("seed-1/teacher-no-cpt");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join(".teacher.partial"), "in the way").unwrap();
    let outcome = finish(ablation(&sandbox, &[])).succeeded();
    assert!(outcome.stderr.contains("seed 1, teacher-no-cpt: failed: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("results.md is written; failed runs: 1"), "{}", outcome.stderr);
    let text = fs::read_to_string(sandbox.path("results.md")).unwrap();
    assert!(text.contains("without CPT: failed for seeds [1]: "), "{text}");
    assert!(sandbox.run_path("seed-2/teacher-no-cpt/evaluate/manifest.json").exists());
}

#[test]
fn a_run_with_a_log_is_compared_query_by_query_with_one_without() {
    let sandbox = without_log();
    fs::rename(sandbox.path("documents.jsonl"), sandbox.path("corpus.jsonl")).unwrap();
    fs::create_dir(sandbox.path("qrels")).unwrap();
    for file in ["train.tsv", "test.tsv"] {
        fs::rename(sandbox.path(file), sandbox.path("qrels").join(file)).unwrap();
    }
    let files = [
        "ingest.documents.paths=[\"corpus.jsonl\"]",
        "ingest.judgments.splits={ train = [\"qrels/train.tsv\"], test = [\"qrels/test.tsv\"] }",
    ];
    let study = ["--study", "collection", "--out", "results.md", "--seeds", "1", "--only", "log"];
    let set = files.map(|file| ["--set", file]);
    let outcome = finish(sandbox.command("ablation", &[&study, set.as_flattened()].concat())).succeeded();
    assert!(outcome.stderr.contains("results.md is written; failed runs: 0"), "{}", outcome.stderr);
    let text = fs::read_to_string(sandbox.path("results.md")).unwrap();
    for row in ["| student, with the log", "| teacher, with the log"] {
        let row = text.lines().find(|line| line.starts_with(row)).unwrap();
        assert_eq!(row.matches('[').count(), 2, "a value and its difference, each with an interval: {row}");
    }
}

#[test]
fn a_pipeline_without_a_world_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.edit_config(|tables| {
        tables.remove("simulate");
    });
    let outcome = finish(ablation(&sandbox, &[]));
    assert!(outcome.error(2).contains(&format!("{CONFIG}: expected the table [simulate], found none")));
}
