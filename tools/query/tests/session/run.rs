//! A run on disk, asked through SQL.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use pipeline::{ConfigError, Pipeline, config::load};
use query::{Database, Format};
use tables::{AppendTable, Manifest, OutputDir, Rows, TableWriter, WriteOptions};

fn pipeline(root: &Path) -> Pipeline {
    let config = "../../pipeline.toml";
    let overrides = [format!("run.root={:?}", root.display().to_string()), "run.name=r".into()];
    load(Path::new(config), &overrides).unwrap()
}

fn manifest(stage: &str) -> Manifest {
    Manifest { stage: stage.into(), ..Manifest::default() }
}

fn commit<T>(run: &Path, stage: &str, table: &str, rows: Rows<'_, T>) {
    let output = OutputDir::open(run, stage, false).unwrap();
    let mut writer = TableWriter::create(output.path(), table, WriteOptions::default(), &[]).unwrap();
    writer.write(rows).unwrap();
    let mut manifest = manifest(stage);
    manifest.tables.insert(table.into(), writer.finish().unwrap());
    output.commit(manifest).unwrap();
}

fn training<'a>(phase: &str, steps: &'a [i64]) -> Rows<'a, i64> {
    Rows::of(steps)
        .strings("phase", |_| phase)
        .int64s("step", |&step| step)
        .strings("metric", |_| "loss")
        .float64s("value", |_| 0.5)
}

fn impressions() -> Rows<'static, &'static str> {
    Rows::of(&["a", "b"])
        .strings("search_id", |_| "s")
        .strings("session_id", |_| "s")
        .strings("user_id", |&id| (id == "b").then_some("it's, \"u\""))
        .strings("query_id", |_| "s")
        .strings("doc_id", |&id| id)
        .int32s("position", |&id| if id == "a" { 1 } else { 2 })
        .bools("clicked", |&id| id == "a")
        .float64s("dwell_seconds", |&id| (id == "a").then_some(2.5))
        .timestamps("shown_at", |&id| (id == "a").then_some(1_709_251_199_500_000))
        .strings("source", |_| "s")
}

fn answer(database: &Database, sql: &str, format: Format) -> String {
    let mut out = Vec::new();
    database.answer(sql, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A finished ingest and teacher, and a distillation that is running.
fn run_on_disk() -> (tempfile::TempDir, Pipeline) {
    let root = tempfile::tempdir().unwrap();
    let pipeline = pipeline(root.path());
    let run = pipeline.paths().run_dir();
    std::fs::create_dir_all(&run).unwrap();
    commit(&run, "ingest", "impressions", impressions());
    commit(&run, "teacher", "training_metrics", training("cpt", &[1, 2]));
    let partial = run.join(".distill.partial");
    let mut growing = AppendTable::open(&partial, "training_metrics").unwrap();
    growing.append(training("student", &[1])).unwrap();
    (root, pipeline)
}

#[test]
fn values_reach_every_format() {
    let (_root, pipeline) = run_on_disk();
    let database = Database::open(&pipeline).unwrap();
    let sql = "select user_id, position, dwell_seconds, clicked, shown_at, [position, null] as l \
               from impressions order by position";
    assert_eq!(
        answer(&database, sql, Format::Csv),
        "user_id,position,dwell_seconds,clicked,shown_at,l\r\n\
         ,1,2.5,true,2024-02-29 23:59:59.5,\"[1,null]\"\r\n\
         \"it's, \"\"u\"\"\",2,,false,,\"[2,null]\"\r\n"
    );
    let rows: serde_json::Value = serde_json::from_str(&answer(&database, sql, Format::Json)).unwrap();
    let expected = serde_json::json!([
        {"user_id": null, "position": 1, "dwell_seconds": 2.5, "clicked": true,
         "shown_at": "2024-02-29 23:59:59.5", "l": [1, null]},
        {"user_id": "it's, \"u\"", "position": 2, "dwell_seconds": null, "clicked": false,
         "shown_at": null, "l": [2, null]},
    ]);
    assert_eq!(rows, expected);
    let table = answer(&database, sql, Format::Table);
    assert!(table.contains("NULL") && table.contains("it's, \"u\""), "{table}");
}

#[test]
fn no_rows_are_still_an_answer_and_set_is_none() {
    let (_root, pipeline) = run_on_disk();
    let database = Database::open(&pipeline).unwrap();
    let sql = "select doc_id from impressions where position > 9";
    assert_eq!(answer(&database, sql, Format::Json), "[]\n");
    assert_eq!(answer(&database, sql, Format::Csv), "doc_id\r\n");
    assert_eq!(answer(&database, "set threads = 1", Format::Json), "");
}

#[test]
fn a_training_is_seen_while_it_runs() {
    let (_root, pipeline) = run_on_disk();
    let database = Database::open(&pipeline).unwrap();
    let sql = "select stage, phase, max(step) as step from training_metrics group by all order by all";
    let before = "stage,phase,step\r\ndistill,student,1\r\nteacher,cpt,2\r\n";
    assert_eq!(answer(&database, sql, Format::Csv), before);
    let partial = pipeline.paths().run_dir().join(".distill.partial");
    let mut growing = AppendTable::open(&partial, "training_metrics").unwrap();
    growing.append(training("student", &[2, 3])).unwrap();
    database.refresh().unwrap();
    assert_eq!(answer(&database, sql, Format::Csv), before.replace("student,1", "student,3"));
}

#[test]
fn every_table_and_column_is_listed_and_described() {
    let (_root, pipeline) = run_on_disk();
    let database = Database::open(&pipeline).unwrap();
    let sql = "select distinct table_name, stage, rows from tables order by all";
    assert_eq!(
        answer(&database, sql, Format::Csv),
        "table_name,stage,rows\r\nimpressions,ingest,2\r\ntraining_metrics,distill,1\r\ntraining_metrics,teacher,2\r\n"
    );
    let sql = "select comment from duckdb_columns() where table_name = 'impressions' and column_name = 'shown_at'";
    let comment = answer(&database, sql, Format::Csv);
    assert!(
        comment.contains("When the page was shown: the earliest time of the result's events. [UTC, microseconds]"),
        "{comment}"
    );
}

#[test]
fn listed_types_are_the_views_types() {
    let (_root, pipeline) = run_on_disk();
    let database = Database::open(&pipeline).unwrap();
    let sql = "select t.column_name, t.type, c.data_type from tables t join duckdb_columns() c \
               on c.table_name = t.table_name and c.column_name = t.column_name where t.type <> c.data_type";
    assert_eq!(answer(&database, sql, Format::Json), "[]\n");
}

#[test]
fn a_wrong_statement_is_one_line() {
    let (_root, pipeline) = run_on_disk();
    let database = Database::open(&pipeline).unwrap();
    for (sql, reason) in [
        ("selec 1", "syntax error"),
        ("select nope from impressions", "\"nope\" not found"),
        ("select cast('x' as int)", "Could not convert"),
    ] {
        let error = database.answer(sql, Format::Table, &mut Vec::new()).unwrap_err();
        assert!(error.is::<ConfigError>());
        let text = error.to_string();
        assert!(text.contains(reason) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn a_run_without_tables_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let Err(error) = Database::open(&pipeline(root.path())) else { panic!("a database without tables") };
    assert!(error.to_string().contains("run `just run-all` first"), "{error}");
}

#[test]
fn a_damaged_table_is_named() {
    let (_root, pipeline) = run_on_disk();
    let part = pipeline.paths().run_dir().join("ingest/impressions/part-00000.parquet");
    std::fs::write(&part, b"not parquet").unwrap();
    let Err(error) = Database::open(&pipeline) else { panic!("a database over a damaged table") };
    let text = error.to_string();
    assert!(text.contains("ingest/impressions/part-00000.parquet"), "{text}");
}
