//! SQL over a run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::process::Outcome;
use crate::sandbox::{Sandbox, active_stages};

const COUNT: &str = "select count(*) as impressions from impressions";

#[test]
fn rows_are_counted_in_every_format() {
    let sandbox = Sandbox::finished();
    let rows = sandbox.manifest("ingest").tables["impressions"].rows;
    let answer = |format: &str| sandbox.stage("query", &["--format", format, COUNT]).stdout;
    assert_eq!(answer("csv"), format!("impressions\r\n{rows}\r\n"));
    let json: serde_json::Value = serde_json::from_str(&answer("json")).unwrap();
    assert_eq!(json, serde_json::json!([{ "impressions": rows }]));
    let table = answer("table");
    assert!(table.contains("impressions") && table.contains(&rows.to_string()), "{table}");
}

#[test]
fn every_table_of_every_manifest_is_there() {
    let sandbox = Sandbox::finished();
    let sql = "select distinct stage, table_name, \"rows\" from tables order by 1, 2";
    let mut expected = String::from("stage,table_name,rows\r\n");
    let mut stages: Vec<&str> = active_stages().collect();
    stages.sort_unstable();
    for stage in stages {
        for (table, entry) in sandbox.manifest(stage).tables {
            expected += &format!("{stage},{table},{}\r\n", entry.rows);
        }
    }
    assert_eq!(sandbox.stage("query", &["--format", "csv", sql]).stdout, expected);
}

#[test]
fn statements_come_from_a_pipe() {
    let sandbox = Sandbox::finished();
    let mut command = sandbox.command("query", &["--format", "csv"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let statements = "select 1 as one; -- a comment; with a semicolon\nselect system from metrics where metric = 'pnr' and slice = 'all' order by 1 limit 2;";
    child.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "one\r\n1\r\nsystem\r\nbm25\r\nlog_order\r\n");
}

#[test]
fn a_piped_statement_that_fails_ends_nothing_but_itself() {
    let sandbox = Sandbox::finished();
    let mut command = sandbox.command("query", &["--format", "csv"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let statements =
        "create temp table kept as select 7 as seven;\nselect nope;\n.nothing\nselect 1 as one;\nfrom kept;";
    child.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Count\r\n1\r\none\r\n1\r\nseven\r\n7\r\n");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<&str> = stderr.lines().collect();
    assert_eq!(errors.len(), 3, "{stderr}");
    assert!(errors[0].starts_with("error: statement 2, line 2: SQL: Binder Error: "), "{stderr}");
    assert!(errors[1].starts_with("error: statement 3: .nothing: expected .tables"), "{stderr}");
    assert_eq!(errors[2], "error: 2 of 5 statements failed");
}

#[test]
fn a_mistake_in_sql_is_one_line() {
    let sandbox = Sandbox::finished();
    let outcome: Outcome = sandbox.try_stage("query", &["select nothing from nowhere"]);
    assert!(outcome.error(2).starts_with("error: SQL: "), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_mistake_among_statements_is_named_by_its_line() {
    let sandbox = Sandbox::finished();
    fs::write(sandbox.path("ask.sql"), "select 1 as one;\n\n.tables\nselect nope\nfrom metrics;\nselect 2;").unwrap();
    let outcome = sandbox.try_stage("query", &["--format", "csv", "-f", "ask.sql"]);
    let error = outcome.error(2);
    assert!(error.starts_with("error: ask.sql: statement 3, line 4: SQL: Binder Error: "), "{error}");
    assert!(outcome.stdout.starts_with("one\r\n1\r\ntable_name,stage,rows\r\n"), "{}", outcome.stdout);
    assert_eq!(outcome.stdout.matches("\r\n").count(), 3 + stages_tables(&sandbox));
}

/// Tables of all stages of a run.
fn stages_tables(sandbox: &Sandbox) -> usize {
    active_stages().map(|stage| sandbox.manifest(stage).tables.len()).sum()
}

#[test]
fn every_question_of_the_documentation_has_an_answer() {
    let sandbox = Sandbox::finished();
    let page = fs::read_to_string("../docs/queries.md").unwrap();
    let questions: Vec<&str> = page.split("\n### ").skip(1).collect();
    assert!(questions.len() >= 15);
    for question in questions {
        let (title, rest) = question.split_once('\n').unwrap();
        let sql = rest.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0;
        let answer = sandbox.stage("query", &["--format", "csv", sql]).stdout;
        assert!(answer.lines().count() > 1, "{title}: {answer}");
    }
}

#[test]
fn every_table_names_the_stages_that_write_it() {
    let sandbox = Sandbox::finished();
    for stage in active_stages() {
        for table in sandbox.manifest(stage).tables.keys() {
            let stages = &tables::Schema::named(table).unwrap().stages;
            assert!(stages.iter().any(|of| of == stage), "schemas/{table}.toml: stages lacks {stage}");
        }
    }
}

#[test]
fn a_table_of_a_stage_that_has_not_run_says_which() {
    let sandbox = Sandbox::finished();
    fs::remove_dir_all(sandbox.run_path("evaluate")).unwrap();
    let outcome = sandbox.try_stage("query", &["select * from metrics"]);
    let expected = "error: table metrics is written by stage evaluate, which has not run: run evaluate";
    assert_eq!(outcome.error(3), expected);
}

#[test]
fn a_damaged_table_is_named_by_the_stage_and_by_sql() {
    let sandbox = Sandbox::finished();
    let part = "evaluate/metrics/part-00000.parquet";
    let mut bytes = fs::read(sandbox.run_path(part)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(sandbox.run_path(part), bytes).unwrap();
    let outcome = sandbox.try_stage("query", &["select 1 as sound; select count(*) from metrics"]);
    let error = outcome.error(3);
    assert!(error.contains(part) && error.contains("re-run stage `evaluate` with --force"), "{error}");
    sandbox.stage("query", &["from queries limit 1"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let sandbox = Sandbox::finished();
    for format in ["csv", "json", "table"] {
        let mut command = sandbox.command("query", &["--format", format, "from range(3_000_000); from range(10)"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{format}: {output:?}");
    }
}

/// A shell in the middle of a statement that does not end by itself, with its temporary files below `temporary`.
fn at_work(sandbox: &Sandbox, temporary: &Path) -> Child {
    let endless = "select 'begun' as b; select count(*) from range(1_000_000_000_000) a, range(1_000_000_000_000) b";
    let mut command = sandbox.command("query", &["--format", "csv", endless]);
    let command = command.env("TMPDIR", temporary).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    child
}

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_interrupt_ends_a_statement_with_one_line() {
    let (sandbox, temporary) = (Sandbox::finished(), tempfile::tempdir().unwrap());
    let child = at_work(&sandbox, temporary.path());
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: statement 2, line 1: interrupted\n");
}

#[test]
fn a_shell_that_is_terminated_leaves_no_folder() {
    let (sandbox, temporary) = (Sandbox::finished(), tempfile::tempdir().unwrap());
    let folders = || fs::read_dir(temporary.path()).unwrap().count();
    let mut child = at_work(&sandbox, temporary.path());
    assert_eq!(folders(), 1);
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(folders(), 0);
}

#[test]
fn a_run_without_tables_says_what_to_do() {
    let outcome = Sandbox::new().try_stage("query", &[COUNT]);
    assert_eq!(
        outcome.error(3),
        "error: ./runs/tiny: expected the tables of a run, found none; run `just run-all` first"
    );
}

#[test]
fn an_unfinished_training_can_be_asked() {
    let sandbox = Sandbox::finished();
    let steps = ["--set", "teacher.cpt.steps=5000", "--set", "teacher.cpt.checkpoint_every=10"];
    sandbox.kill_stage_at("teacher", &steps, &[".teacher.partial/training_metrics/part-00000.parquet"]);
    let sql = "select min(step) as first, count(*) >= 10 as enough from training_metrics \
               where stage = 'teacher' and phase = 'cpt' and metric = 'loss'";
    assert_eq!(sandbox.stage("query", &["--format", "csv", sql]).stdout, "first,enough\r\n1,true\r\n");
}
