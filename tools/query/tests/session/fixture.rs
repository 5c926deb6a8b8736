//! A small run and questions to it.

use std::path::Path;

use pipeline::{Pipeline, config::load};
use query::{Access, Database, Format};
use tables::{AppendTable, Manifest, OutputDir, Rows, TableWriter, WriteOptions};
use tempfile::TempDir;

pub(crate) fn pipeline(root: &Path) -> Pipeline {
    let config = "../../pipeline.toml";
    let overrides = [format!("run.root={:?}", root.display().to_string()), "run.name=r".into()];
    load(Path::new(config), &overrides).unwrap()
}

/// A finished stage with its tables.
struct Finished {
    output: OutputDir,
    manifest: Manifest,
}

impl Finished {
    fn of(run: &Path, stage: &str) -> Finished {
        let output = OutputDir::open(run, stage, false).unwrap();
        Finished { output, manifest: Manifest { stage: stage.into(), ..Manifest::default() } }
    }

    fn table<T>(mut self, name: &str, rows: Rows<'_, T>) -> Finished {
        let options = WriteOptions { rows_per_file: 50, rows_per_group: 20, ..WriteOptions::default() };
        let mut writer = TableWriter::create(self.output.path(), name, options, &[]).unwrap();
        writer.write(rows).unwrap();
        self.manifest.tables.insert(name.into(), writer.finish().unwrap());
        self
    }

    fn commit(self) {
        self.output.commit(self.manifest).unwrap();
    }
}

/// Rows of a training.
pub(crate) fn training<'a>(phase: &str, steps: &'a [i64]) -> Rows<'a, i64> {
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

/// Documents d000 to d119: id, title and summary.
fn texts() -> Vec<[String; 3]> {
    let summary = |id: i32| if id % 10 == 7 { "long ".repeat(40) } else { String::new() };
    (0..120).map(|id| [format!("d{id:03}"), format!("title {id}"), summary(id)]).collect()
}

fn documents(texts: &[[String; 3]]) -> Rows<'_, [String; 3]> {
    Rows::of(texts)
        .strings("doc_id", |text| text[0].as_str())
        .strings("title", |text| text[1].as_str())
        .strings("summary", |text| text[2].as_str())
}

/// A finished ingest and teacher, and a distillation that is running. `documents` has 120 rows in three files.
pub(crate) fn run_on_disk() -> (TempDir, Pipeline) {
    let root = tempfile::tempdir().unwrap();
    let pipeline = pipeline(root.path());
    let run = pipeline.paths().run_dir();
    std::fs::create_dir_all(&run).unwrap();
    let texts = texts();
    Finished::of(&run, "ingest").table("documents", documents(&texts)).table("impressions", impressions()).commit();
    Finished::of(&run, "teacher").table("training_metrics", training("cpt", &[1, 2])).commit();
    let partial = run.join(".distill.partial");
    let mut growing = AppendTable::open(&partial, "training_metrics").unwrap();
    growing.append(training("student", &[1])).unwrap();
    (root, pipeline)
}

/// The answer of a statement that must succeed.
#[track_caller]
pub(crate) fn answer(database: &Database, sql: &str, format: Format) -> String {
    let mut out = Vec::new();
    database.answer(sql, format, None, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The error of a statement that must fail, which is one line.
#[track_caller]
pub(crate) fn refusal(database: &Database, sql: &str) -> String {
    let error = database.answer(sql, Format::Table, None, &mut Vec::new()).unwrap_err();
    let text = format!("{error:#}");
    assert!(!text.contains('\n'), "{sql}: {text}");
    text
}

/// A session that reaches the run's tables alone.
pub(crate) fn open(pipeline: &Pipeline) -> Database {
    Database::open(pipeline, Access::Tables).unwrap()
}
