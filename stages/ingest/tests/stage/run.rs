//! A throw-away pipeline.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use tables::StageDir;

/// A pipeline in its own folder.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

/// Documents `d0` to `d9`.
pub(crate) const DOCUMENTS: &str = "id\ttitle\tbody\n\
    d0\tnull\t\nd1\tone\tx\nd2\ttwo\tx\nd3\tthree\tx\nd4\tfour\tx\nd5\tfive\tx\nd6\tsix\tx\nd7\tseven\tx\nd8\teight\tx\nd9\tnine\tx\n";

/// A CSV log of sessions, with documents in TSV and grades from clicks.
pub(crate) const CONFIG: &str = r#"
[log]
paths = ["log*.csv"]
format = "csv"
columns = { session_id = "session", query = "query", doc_id = "doc", position = "rank", clicked = "click" }
[documents]
paths = ["documents.tsv"]
format = "tsv"
columns = { doc_id = "id", title = "title", summary = ["body"] }
[judgments]
format = "clicks"
[clean]
min_grade_impressions = 1
"#;

/// A log in the columns of [`CONFIG`]: each query shows `d1` and `d2` in a session of its own and clicks `d2`.
pub(crate) fn csv_log(queries: &[&str]) -> String {
    let mut text = String::from("session,query,doc,rank,click\n");
    for query in queries {
        text += &format!("s-{query},{query},d1,1,false\ns-{query},{query},d2,2,true\n");
    }
    text
}

impl World {
    /// A pipeline whose `[ingest]` table is `ingest`, with the documents written.
    pub(crate) fn new(ingest: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let default = "../../pipeline.toml";
        let mut config: toml::Table = std::fs::read_to_string(default).unwrap().parse().unwrap();
        config.remove("simulate");
        config.insert("ingest".into(), toml::Value::Table(ingest.parse().unwrap()));
        let run: toml::Table = "name = 'r'\nroot = 'runs'".parse().unwrap();
        config.insert("run".into(), toml::Value::Table(run));
        let world = World { dir };
        world.file("pipeline.toml", config.to_string());
        world.file("documents.tsv", DOCUMENTS);
        world
    }

    /// Writes an input file.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the stage; its exit code and stderr.
    pub(crate) fn run(&self, overrides: &[&str]) -> (i32, String) {
        run_config(&self.path("pipeline.toml"), overrides)
    }

    /// Runs the stage, which must succeed, and opens its output.
    pub(crate) fn output(&self, overrides: &[&str]) -> StageDir {
        let (code, stderr) = self.run(overrides);
        assert_eq!(code, 0, "{stderr}");
        StageDir::open(&self.path("runs/r"), "ingest").unwrap()
    }
}

/// Runs the stage of a pipeline file; its exit code and stderr.
pub(crate) fn run_config(config: &Path, overrides: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
    command.arg("--config").arg(config);
    for given in overrides {
        command.args(["--set", given]);
    }
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The named columns of a table as text, row by row; a null is `-`.
pub(crate) fn rows(stage: &StageDir, table: &str, columns: &[&str]) -> Vec<String> {
    let mut rows = Vec::new();
    stage
        .for_each_batch(table, |batch| {
            let texts: Vec<StringArray> = columns.iter().map(|name| text(&batch, name)).collect();
            for row in 0..batch.num_rows() {
                let value = |column: &StringArray| match column.is_null(row) {
                    true => "-".to_string(),
                    false => column.value(row).to_string(),
                };
                rows.push(texts.iter().map(value).collect::<Vec<_>>().join(" "));
            }
            Ok(())
        })
        .unwrap();
    rows
}

/// A column as text; times as microseconds since 1970.
fn text(batch: &RecordBatch, column: &str) -> StringArray {
    let mut values = batch.column_by_name(column).unwrap().clone();
    if values.data_type().is_temporal() {
        values = cast(&values, &DataType::Int64).unwrap();
    }
    let values = cast(&values, &DataType::Utf8).unwrap();
    values.as_any().downcast_ref::<StringArray>().unwrap().clone()
}

/// The digest of every table.
pub(crate) fn digests(stage: &StageDir) -> BTreeMap<String, String> {
    let manifest = stage.manifest();
    let digest = |table: &String| (table.clone(), manifest.digest_of(table).unwrap());
    manifest.tables.keys().map(digest).collect()
}
