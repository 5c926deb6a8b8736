//! A throw-away pipeline.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use tables::StageDir;
use tempfile::TempDir;

/// A pipeline in its own folder, which goes with the last of the world and its outputs.
pub(crate) struct World {
    dir: Rc<TempDir>,
}

/// What the stage has written.
pub(crate) struct Output {
    stage: StageDir,
    _dir: Rc<TempDir>,
}

impl Deref for Output {
    type Target = StageDir;

    fn deref(&self) -> &StageDir {
        &self.stage
    }
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
        let dir = Rc::new(tempfile::tempdir().unwrap());
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

    /// Writes an input file, and its folder where it has one.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the stage without a key of user ids; its exit code and stderr.
    pub(crate) fn run(&self, overrides: &[&str]) -> (i32, String) {
        run_config(&self.path("pipeline.toml"), None, overrides)
    }

    /// Runs the stage, which must succeed, and opens its output.
    #[track_caller]
    pub(crate) fn output(&self, overrides: &[&str]) -> Output {
        self.output_with(None, overrides)
    }

    /// The same with a key of user ids in the environment.
    #[track_caller]
    pub(crate) fn output_with(&self, key: Option<&str>, overrides: &[&str]) -> Output {
        let (code, stderr) = run_config(&self.path("pipeline.toml"), key, overrides);
        assert_eq!(code, 0, "{stderr}");
        let stage = StageDir::open(&self.path("runs/r"), "ingest").unwrap();
        Output { stage, _dir: self.dir.clone() }
    }

    /// The stage refuses its input with one line that holds `expected`.
    #[track_caller]
    pub(crate) fn refuses(&self, overrides: &[&str], expected: &str) {
        self.fails(3, overrides, expected);
    }

    /// The stage refuses its configuration with one line that holds `expected`.
    #[track_caller]
    pub(crate) fn misconfigured(&self, overrides: &[&str], expected: &str) {
        self.fails(2, overrides, expected);
    }

    #[track_caller]
    fn fails(&self, expected_code: i32, overrides: &[&str], expected: &str) {
        let (code, stderr) = self.run(overrides);
        let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(code == expected_code && errors.len() == 1, "{code}, not {expected_code}: {stderr}");
        assert!(errors[0].contains(expected), "expected {expected}, found {stderr}");
    }

    /// The stage succeeds with a warning that holds `expected`.
    #[track_caller]
    pub(crate) fn warns(&self, overrides: &[&str], expected: &str) {
        let (code, stderr) = self.run(overrides);
        let warned = stderr.lines().any(|line| line.contains("WARN") && line.contains(expected));
        assert!(code == 0 && warned, "{code}, expected {expected}, found {stderr}");
    }
}

/// Fields of logs that are named as the columns of `ingest.log.columns`.
const LOG_COLUMNS: [&str; 11] = [
    "search_id",
    "session_id",
    "user_id",
    "query_id",
    "query",
    "doc_id",
    "position",
    "clicked",
    "shown",
    "dwell_seconds",
    "shown_at",
];

/// A pipeline over `log.csv` of the given text, whose header names the columns, and over [`FILLER`] in another file.
pub(crate) fn csv(log: &str) -> World {
    let columns: Vec<&str> = log.lines().next().unwrap().split(',').collect();
    let world = World::new(&settings("csv", &columns));
    world.file("log.csv", log);
    let mut filler = String::from("search_id,session_id,user_id,query,doc_id,position,clicked\n");
    for search in 0..FILLER {
        let query = search % 10;
        filler += &format!("f-{search},f-{search},f-{search},filler {query},d8,1,0\n");
        filler += &format!("f-{search},f-{search},f-{search},filler {query},d9,2,1\n");
    }
    world.file("log-filler.csv", filler);
    world
}

/// A pipeline over `log.jsonl` of the given text, with these columns, and over [`FILLER`] in another file.
pub(crate) fn jsonl(columns: &[&str], log: &str) -> World {
    let world = World::new(&settings("jsonl", columns));
    world.file("log.jsonl", log);
    world.file("log-filler.jsonl", json_filler());
    world
}

/// Searches that ask nothing of a test: each shows `d8` and `d9`, and a click on `d9`.
pub(crate) const FILLER: u32 = 20;

fn json_filler() -> String {
    let mut filler = String::new();
    for search in 0..FILLER {
        let query = search % 10;
        for (position, clicked) in [(1, 0), (2, 1)] {
            let document = position + 7;
            let ids = format!(r#""search_id": "f-{search}", "session_id": "f-{search}", "user_id": "f-{search}""#);
            let result = format!(r#""doc_id": "d{document}", "position": {position}, "clicked": {clicked}"#);
            filler += &format!("{{{ids}, \"query\": \"filler {query}\", {result}}}\n");
        }
    }
    filler
}

fn settings(format: &str, columns: &[&str]) -> String {
    let mut config: toml::Table = CONFIG.parse().unwrap();
    let mut mapped = toml::Table::new();
    for &column in columns.iter().filter(|column| LOG_COLUMNS.contains(column)) {
        mapped.insert(column.to_string(), column.into());
    }
    let log = config["log"].as_table_mut().unwrap();
    log.insert("paths".into(), toml::Value::Array(vec![format!("log*.{format}").into()]));
    log.insert("format".into(), format.into());
    log.insert("columns".into(), mapped.into());
    config.to_string()
}

/// The rows of `impressions` that are not of the filler.
pub(crate) fn results(stage: &StageDir, columns: &[&str]) -> Vec<String> {
    let searches = rows(stage, "impressions", &["search_id"]);
    let all = rows(stage, "impressions", columns);
    let both = searches.into_iter().zip(all);
    both.filter(|(search, _)| !search.starts_with("f-")).map(|(_, row)| row).collect()
}

/// The rows of `ingest_report` of an input: fate, rows, clicks and reason. They sum to what came in.
#[track_caller]
pub(crate) fn report(stage: &StageDir, input: &str) -> Vec<String> {
    let inputs = rows(stage, "ingest_report", &["input"]);
    let all = rows(stage, "ingest_report", &["fate", "rows", "clicks", "reason"]);
    let of_input = inputs.into_iter().zip(all).filter(|(of, _)| of == input);
    let found: Vec<String> = of_input.map(|(_, row)| row.trim_end().to_string()).collect();
    if input == "log" {
        let (mut rows_in, mut clicks_in) = (0, 0);
        for row in found.iter().filter(|row| !row.starts_with("value ")) {
            let cells: Vec<&str> = row.split(' ').collect();
            rows_in += cells[1].parse::<u64>().unwrap();
            clicks_in += cells[2].parse::<u64>().unwrap();
        }
        let facts = &stage.manifest().facts["log"];
        assert_eq!((&facts["rows_in"], &facts["clicks_in"]), (&rows_in.into(), &clicks_in.into()), "{found:?}");
    }
    found
}

/// The stage of a pipeline file, without a key of user ids.
pub(crate) fn ingest(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
    command.arg("--config").arg(config).env_remove("DISRANKER_USER_KEY");
    command
}

/// Runs the stage of a pipeline file, with a key of user ids or without; its exit code and stderr.
pub(crate) fn run_config(config: &Path, key: Option<&str>, overrides: &[&str]) -> (i32, String) {
    let mut command = ingest(config);
    if let Some(key) = key {
        command.env("DISRANKER_USER_KEY", key);
    }
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
