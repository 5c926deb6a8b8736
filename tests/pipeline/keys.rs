//! Which stages run again when a key of the pipeline file changes: those that read it, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pipeline::config::json_schema;
use pipeline::{Pipeline, Stage, stages};
use serde_json::Value;
use toml::Table;

use crate::sandbox::CONFIG;

/// Tables that the pipeline file of the tests leaves out. Together with it, every key of the schema has a place; that some
/// exclude one another does not matter, as nothing runs.
const REST: &str = r#"
[simulate.clicks]
[ingest.clean]
[ingest.judgments.columns]
grade = "grade"
[ingest.split]
[retrieval]
dense = "base"
[teacher.titles]
loss = "softmax"
steps = 1
learning_rate = 1e-4
lists_per_step = 1
list_size = 2
[teacher.mined]
loss = "softmax"
steps = 1
learning_rate = 1e-4
lists_per_step = 1
list_size = 2
candidates = 2
negatives_depth = 2
[teacher.lora]
rank = 2
alpha = 4.0
targets = ["query"]
[score.generated]
[distill.term_control]
[distill.pretrain]
steps = 1
learning_rate = 1e-4
examples_per_step = 1
[grade]
servers = { api = "chat", addresses = ["http://localhost:1"] }
"#;

/// Keys that decide no output: where it lies, and how fast it is made.
const WITHOUT_EFFECT: [&str; 4] = ["run.name", "run.root", "run.threads", "ingest.memory_limit"];

/// The table of the command `grade`, which no stage reads.
const OF_NO_STAGE: &str = "grade";

/// Other values of keys for which [`another`] has none.
const VALUES: [(&str, &str); 10] = [
    ("teacher.input.truncation", "\"only_second\""),
    ("distill.input.truncation", "\"only_second\""),
    ("ingest.memory_limit", "\"1GiB\""),
    ("ingest.log.kinds", "[{ when_column = \"kind\", columns = {} }]"),
    ("ingest.log.clicked_values", "{ open = \"clicked\" }"),
    ("score.teacher", "{ use = \"base\" }"),
    (
        "distill.phases",
        "[{ name = \"first\", labels = \"best\", loss = \"infonce\", steps = 1, learning_rate = 1e-3, lists_per_step = 1, list_size = 2 }]",
    ),
    ("ingest.judgments.grade_map", "{ good = 3 }"),
    ("grade.servers.extra", "{ seed = 1 }"),
    ("evaluate.family", "[[\"student\", \"bm25\"]]"),
];

/// Keys that other stages read than the one whose table they stand in, with all their readers.
const READERS: [(&str, &[&str]); 34] = [
    ("run.seed", &["simulate", "cpt", "teacher", "score", "distill", "evaluate"]),
    ("run.precision", &["embed", "teacher", "score", "distill", "evaluate"]),
    ("ingest.analyzer", &["simulate", "ingest"]),
    ("retrieval.dense", &["embed", "teacher", "score", "distill", "evaluate"]),
    ("retrieval.lists", &["teacher", "score", "distill"]),
    ("ingest.judgments.format", &["ingest", "evaluate"]),
    ("teacher.input.template", &["cpt", "teacher"]),
    ("teacher.input.max_length", &["cpt", "teacher"]),
    ("teacher.input.truncation", &["cpt", "teacher"]),
    ("teacher.input.max_query_tokens", &["cpt", "teacher"]),
    ("teacher.input.max_document_tokens", &["cpt", "teacher"]),
    ("teacher.input.passages.most", &["cpt", "teacher"]),
    ("teacher.input.passages.overlap", &["cpt", "teacher"]),
    ("teacher.use", &["cpt", "teacher"]),
    ("distill.input.template", &["cpt", "distill"]),
    ("distill.input.max_length", &["cpt", "distill"]),
    ("distill.input.truncation", &["cpt", "distill"]),
    ("distill.input.max_query_tokens", &["cpt", "distill"]),
    ("distill.input.max_document_tokens", &["cpt", "distill"]),
    ("distill.input.passages.most", &["cpt", "distill"]),
    ("distill.input.passages.overlap", &["cpt", "distill"]),
    // The base of an adapter is read wherever the adapter is.
    ("teacher.base", &["cpt", "teacher", "score", "evaluate"]),
    ("teacher.lora.merge", &["teacher", "score", "evaluate"]),
    ("score.batch_tokens", &["embed", "score", "evaluate"]),
    ("distill.base", &["cpt", "distill"]),
    ("evaluate.primary", &["teacher", "distill", "evaluate"]),
    ("evaluate.candidates", &["teacher", "distill", "evaluate"]),
    ("evaluate.depth", &["teacher", "distill", "evaluate"]),
    ("evaluate.gain", &["teacher", "distill", "evaluate"]),
    ("evaluate.ties", &["teacher", "distill", "evaluate"]),
    ("evaluate.no_relevant", &["teacher", "distill", "evaluate"]),
    ("evaluate.unjudged", &["teacher", "distill", "evaluate"]),
    ("evaluate.relevant_grade", &["teacher", "distill", "evaluate"]),
    ("evaluate.max_grade", &["teacher", "distill", "evaluate"]),
];

/// What each stage takes from a pipeline; a stage with nothing to do takes nothing.
fn configurations(pipeline: &Pipeline) -> BTreeMap<&'static str, Option<Value>> {
    fn of<S: Stage>(stage: &S, pipeline: &Pipeline) -> (&'static str, Option<Value>) {
        (S::NAME, stage.configure(pipeline).ok().map(|config| serde_json::to_value(config).unwrap()))
    }
    let all = [
        of(&simulate::Simulate, pipeline),
        of(&ingest::Ingest::default(), pipeline),
        of(&embed::Embed, pipeline),
        of(&cpt::Cpt, pipeline),
        of(&teacher::Teacher, pipeline),
        of(&score::Score::default(), pipeline),
        of(&distill::Distill, pipeline),
        of(&evaluate::Evaluate::default(), pipeline),
    ];
    assert_eq!(all.each_ref().map(|(name, _)| *name).to_vec(), stages().collect::<Vec<_>>());
    all.into()
}

/// The keys of a table and of the tables in it, with their schemas.
fn keys(schema: &Value, table: &Value, prefix: &str, found: &mut Vec<(String, Value)>) {
    for (name, key) in table["properties"].as_object().into_iter().flatten() {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let reference = key.get("$ref").or_else(|| key.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        let resolved = reference.map_or(key, |reference| schema.pointer(reference.trim_start_matches('#')).unwrap());
        if resolved.get("properties").is_some() {
            keys(schema, resolved, &path, found);
        } else {
            found.push((path, resolved.clone()));
        }
    }
}

/// Another value than the one that the file has, or than the default.
fn another(schema: &Value, current: Option<&toml::Value>) -> toml::Value {
    let variants = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    if let Some(variants) = variants {
        let values = variants.iter().filter_map(|variant| variant.get("const").and_then(Value::as_str));
        let default = schema.get("default").and_then(Value::as_str);
        let current = current.and_then(toml::Value::as_str).or(default);
        return values.rev().find(|&value| Some(value) != current).unwrap_or("other").into();
    }
    match (schema["type"].as_str().unwrap_or("string"), current) {
        ("boolean", current) => (!current.and_then(toml::Value::as_bool).unwrap_or(false)).into(),
        ("integer", current) => {
            let default = schema.get("default").and_then(Value::as_i64).unwrap_or(1);
            (current.and_then(toml::Value::as_integer).unwrap_or(default) + 1).into()
        }
        ("number", current) => (current.and_then(toml::Value::as_float).unwrap_or(0.123) * 0.5).into(),
        ("array", _) if schema.pointer("/items/$ref").is_some() => toml::Value::Array(Vec::new()),
        ("array", _) => {
            let item = if schema.pointer("/items/type") == Some(&"integer".into()) { 0.into() } else { "other".into() };
            toml::Value::Array(vec![item])
        }
        // A single character.
        ("string", _) if schema["maxLength"] == 1 => ";".into(),
        _ => schema.pointer("/examples/0").and_then(Value::as_str).unwrap_or("other").into(),
    }
}

fn set(tree: &mut Table, path: &str, schema: &Value) {
    let (tables, key) = path.rsplit_once('.').unwrap();
    let mut table = tree;
    for name in tables.split('.') {
        table = table.entry(name).or_insert_with(|| Table::new().into()).as_table_mut().unwrap();
    }
    // A boolean that the file leaves out is turned from its default.
    let default = schema.get("default").and_then(Value::as_bool).map(toml::Value::Boolean);
    let value = match VALUES.iter().find(|(given, _)| *given == path) {
        Some((_, value)) => toml::from_str::<Table>(&format!("value = {value}")).unwrap()["value"].clone(),
        None => another(schema, table.get(key).or(default.as_ref())),
    };
    table.insert(key.to_string(), value);
}

#[test]
fn a_key_concerns_the_stages_that_read_it_and_no_others() {
    let text = fs::read_to_string(Path::new("configs").join(CONFIG)).unwrap();
    let mut tree: Table = toml::from_str(&format!("{text}{REST}")).unwrap();
    tree["teacher"].as_table_mut().unwrap().insert("base".into(), "base".into());
    for table in ["teacher", "distill"] {
        let passages: Table = toml::from_str("most = 2").unwrap();
        tree[table]["input"].as_table_mut().unwrap().insert("passages".into(), passages.into());
    }
    let read = |tree: &Table| -> Pipeline { tree.clone().try_into().unwrap() };
    let before = configurations(&read(&tree));
    let schema = json_schema().to_value();
    let mut all = Vec::new();
    keys(&schema, &schema, "", &mut all);
    assert!(all.len() > 120, "{} keys", all.len());
    let readers: BTreeMap<&str, BTreeSet<&str>> =
        READERS.iter().map(|(key, readers)| (*key, readers.iter().copied().collect())).collect();
    for (path, schema) in &all {
        let mut changed = tree.clone();
        set(&mut changed, path, schema);
        let after = configurations(&read(&changed));
        let found: BTreeSet<&str> = before.keys().copied().filter(|stage| before[stage] != after[stage]).collect();
        let own = path.split('.').next().unwrap();
        let expected = match readers.get(path.as_str()) {
            Some(readers) => readers.clone(),
            None if WITHOUT_EFFECT.contains(&path.as_str()) || own == OF_NO_STAGE => BTreeSet::new(),
            None => BTreeSet::from([own]),
        };
        assert_eq!(found, expected, "{path}");
    }
}
