//! Scoring a file of pairs that is killed, meets a bad row, or finds an output that is there.

use std::fs;
use std::process::Command;
use std::time::Instant;

use ranking::rng::number;
use serde_json::json;

use crate::process::{Outcome, command, finish, kill, start, wait_until, was_killed};
use crate::sandbox::Sandbox;
use crate::score_pairs::MODEL;

/// Rows of a part.
const PART: usize = 4096;
const PARTS: &str = "out.jsonl.parts";

fn lines(rows: usize) -> String {
    let line = |row: usize| {
        let (query, title) = (format!("query {}", row % 97), format!("title {row}"));
        json!({ "id": row, "query": query, "title": title, "summary": "a longer text of some words" }).to_string()
            + "\n"
    };
    (0..rows).map(line).collect()
}

fn scoring(sandbox: &Sandbox, more: &[&str]) -> Command {
    scoring_with(sandbox, MODEL, more)
}

fn scoring_with(sandbox: &Sandbox, model: &str, more: &[&str]) -> Command {
    let arguments = ["--model", model, "--pairs", "pairs.jsonl", "--out", "out.jsonl"];
    command(&sandbox.path(""), "score", &[&arguments, more].concat())
}

fn output(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("out.jsonl")).unwrap()
}

/// What an undisturbed run makes of the pairs in `sandbox`.
fn undisturbed(sandbox: &Sandbox) -> String {
    let other = Sandbox::finished();
    fs::copy(sandbox.path("pairs.jsonl"), other.path("pairs.jsonl")).unwrap();
    finish(scoring(&other, &[])).succeeded();
    output(&other)
}

/// A sandbox whose scoring of `rows` rows was killed when its second part was finished.
fn interrupted(rows: usize, more: &[&str]) -> Sandbox {
    let sandbox = Sandbox::finished();
    fs::write(sandbox.path("pairs.jsonl"), lines(rows)).unwrap();
    interrupt(&sandbox, more);
    sandbox
}

fn interrupt(sandbox: &Sandbox, more: &[&str]) {
    let mut child = start(scoring(sandbox, more));
    let part = sandbox.path(PARTS).join("part-00001.parquet");
    wait_until(&mut child, "a second part", || part.exists());
    assert!(was_killed(kill(child)), "ended before it could be killed");
}

/// Requires that nothing but the output is left.
fn assert_tidy(sandbox: &Sandbox) {
    let names = fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.starts_with("out.jsonl")).collect();
    assert_eq!(left, ["out.jsonl"]);
}

/// The numbers of parts that were to make, and of all.
fn to_make(outcome: &Outcome) -> (usize, usize) {
    let line = outcome.stderr.lines().find(|line| line.ends_with(" parts to make")).unwrap();
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

#[test]
fn twenty_kills_at_random_moments_change_no_byte() {
    const KILLS: u64 = 20;
    let sandbox = Sandbox::finished();
    fs::write(sandbox.path("pairs.jsonl"), lines(3 * PART + 5)).unwrap();
    let begin = Instant::now();
    finish(scoring(&sandbox, &[])).succeeded();
    let (whole, expected) = (begin.elapsed(), output(&sandbox));
    fs::remove_file(sandbox.path("out.jsonl")).unwrap();

    let mut killed = 0;
    for round in 0..KILLS {
        let child = start(scoring(&sandbox, &[]));
        std::thread::sleep(whole.mul_f64(0.1 + 0.9 * number(42, "kill", round) as f64 / u64::MAX as f64));
        killed += u64::from(was_killed(kill(child)));
        if !sandbox.path(PARTS).exists() && sandbox.path("out.jsonl").exists() {
            assert!(output(&sandbox) == expected, "round {round}");
            fs::remove_file(sandbox.path("out.jsonl")).unwrap();
        }
    }
    assert!(killed > 2, "{killed} kills");
    finish(scoring(&sandbox, &[])).succeeded();
    assert!(output(&sandbox) == expected);
    assert_tidy(&sandbox);
}

#[test]
fn scores_that_were_made_stay_when_the_last_row_is_bad_and_when_it_is_mended() {
    let sandbox = interrupted(5 * PART, &[]);
    let parts = || -> Vec<_> {
        let names = fs::read_dir(sandbox.path(PARTS)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".parquet")).collect();
        names.sort();
        names
    };
    let finished = parts();
    let good = lines(5 * PART);
    fs::write(sandbox.path("pairs.jsonl"), format!("{good}{{\"query\": \"a\", \"title\": 5, \"summary\": \"\"}}\n"))
        .unwrap();
    assert_eq!(
        finish(scoring(&sandbox, &[])).error(3),
        "error: pairs.jsonl:20481: expected text in column `title`, found 5"
    );
    assert_eq!(parts(), finished);

    let mended = format!("{good}{{\"query\": \"a\", \"title\": \"5\", \"summary\": \"\"}}\n");
    fs::write(sandbox.path("pairs.jsonl"), mended.replacen("title 3\"", "title three\"", 1)).unwrap();
    let outcome = finish(scoring(&sandbox, &[])).succeeded();
    assert_eq!(to_make(&outcome), (6 - finished.len() + 1, 6), "the first part has other rows: {}", outcome.stderr);
    assert!(output(&sandbox) == undisturbed(&sandbox));
    assert_tidy(&sandbox);
}

#[test]
fn parts_of_another_model_or_precision_are_refused_by_name() {
    let student = "runs/tiny/distill/student";
    let sandbox = interrupted(4 * PART, &[]);
    let expected = "error: out.jsonl.parts: expected a part of this computation, found one of other data, another model or \
                    another configuration; remove it, or begin anew with --force";
    assert_eq!(finish(scoring_with(&sandbox, student, &[])).error(3), expected);
    assert_eq!(finish(scoring(&sandbox, &["--precision", "bf16"])).error(3), expected);
    finish(scoring_with(&sandbox, student, &["--force"])).succeeded();
    let forced = output(&sandbox);
    assert_tidy(&sandbox);
    fs::remove_file(sandbox.path("out.jsonl")).unwrap();
    finish(scoring_with(&sandbox, student, &[])).succeeded();
    assert!(output(&sandbox) == forced);
}

#[test]
fn an_output_that_is_there_is_replaced_with_force_alone() {
    let sandbox = interrupted(4 * PART, &[]);
    fs::write(sandbox.path("out.jsonl"), "earlier").unwrap();
    let refused =
        "error: out.jsonl: expected no file of this name, found one; name another, or replace it with --force";
    assert_eq!(finish(scoring(&sandbox, &[])).error(2), refused);
    assert_eq!(output(&sandbox), "earlier");

    // A run with --force that was killed goes on without it.
    fs::remove_dir_all(sandbox.path(PARTS)).unwrap();
    interrupt(&sandbox, &["--force"]);
    assert_eq!(output(&sandbox), "earlier");
    let (left, _) = to_make(&finish(scoring(&sandbox, &[])).succeeded());
    assert!(left < 4, "{left}");
    let scored = output(&sandbox);
    assert!(scored == undisturbed(&sandbox));
    assert_tidy(&sandbox);

    assert_eq!(finish(scoring(&sandbox, &[])).error(2), refused);
    let outcome = finish(scoring(&sandbox, &["--force"])).succeeded();
    assert!(!outcome.stderr.contains("parts to make"), "{}", outcome.stderr);
    assert!(output(&sandbox) == scored);
    let itself = ["--model", MODEL, "--pairs", "out.jsonl", "--out", "out.jsonl", "--force"];
    assert_eq!(
        finish(command(&sandbox.path(""), "score", &itself)).error(2),
        "error: out.jsonl: expected another file than --pairs, found the same"
    );
}

#[test]
fn a_run_that_was_killed_when_its_output_was_in_place_goes_on() {
    let sandbox = interrupted(4 * PART, &[]);
    fs::write(sandbox.path("out.jsonl"), "the output").unwrap();
    fs::write(sandbox.path(PARTS).join("replaces-the-output"), "").unwrap();
    finish(scoring(&sandbox, &[])).succeeded();
    assert!(output(&sandbox) == undisturbed(&sandbox));
    assert_tidy(&sandbox);
}

#[test]
fn shards_in_any_order_make_what_one_process_makes() {
    let sandbox = Sandbox::finished();
    fs::write(sandbox.path("pairs.jsonl"), lines(3 * PART + 5)).unwrap();
    for shard in ["2/3", "1/3", "2/3"] {
        // A task of a job array shares nothing unless it is told to.
        let mut command = scoring(&sandbox, &["--shard", shard]);
        command.envs([("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_ARRAY_TASK_COUNT", "9")]);
        let stderr = finish(command).succeeded().stderr;
        assert!(stderr.contains(&format!("score: shard {shard} is finished")), "{stderr}");
        assert!(!sandbox.path("out.jsonl").exists());
    }
    let stderr = finish(scoring(&sandbox, &[])).succeeded().stderr;
    assert!(stderr.contains("score: 1 of 4 parts to make"), "{stderr}");
    assert_eq!(output(&sandbox), undisturbed(&sandbox));
    assert!(!sandbox.path(PARTS).exists());
}
