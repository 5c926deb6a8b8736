//! SQL over a run.

use std::io::Write;
use std::process::Stdio;

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
fn a_mistake_in_sql_is_one_line() {
    let sandbox = Sandbox::finished();
    let outcome: Outcome = sandbox.try_stage("query", &["select nothing from nowhere"]);
    assert!(outcome.error(2).starts_with("error: SQL: "), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
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
