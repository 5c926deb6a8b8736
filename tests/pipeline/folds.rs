//! Cross-validation as `just cranfield` runs it, by its own pipeline file, on a collection, a log and an encoder that know
//! nothing of the world.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pipeline::stages;
use tables::{Columns, Manifest, StageDir};
use toml::Table;

use crate::process::{Outcome, command, finish};
use crate::sandbox::{Sandbox, copy};

const CONFIG: &str = "cranfield-minilm.toml";
const QUERIES: usize = 24;

/// A log beside the collection, and a phase whose result the folds share; the recipe has neither.
const OWN: &str = r#"
    [simulate]
    collection = "collection"
    days = 2
    searches = 400
    semantic_share = 0.0

    [ingest.log]
    paths = ["{run}/simulate/log/*.jsonl.zst"]
    format = "jsonl"

    [ingest.log.columns]
    search_id = "search_id"
    session_id = "session_id"
    user_id = "user_id"
    query = "query"
    doc_id = "doc_id"
    position = "position"
    clicked = "clicked"
    dwell_seconds = "dwell_seconds"
    shown_at = "shown_at"

    [ingest.privacy]
    user_ids = "plain"

    # In so small a world, the robots have a quarter of the clicks.
    [ingest.clean]
    max_lost_click_fraction = 0.5

    [ingest.documents]
    paths = ["{run}/simulate/documents.jsonl.zst"]
    columns = { doc_id = "doc_id", title = "title", summary = ["summary"] }

    [ingest.judgments]
    paths = ["{run}/simulate/qrels.tsv"]
    queries = "{run}/simulate/queries.jsonl"

    [ingest.split]
    folds = 2
    train = 0.6
    validation = 0.3

    [teacher.titles]
    loss = "softmax"
    steps = 4
    learning_rate = 7e-5
    lists_per_step = 1
    list_size = 8
    negatives_depth = 30
"#;

/// What makes the run a matter of seconds. The base lies beside the runs, named as the recipe names it.
const TINY: [&str; 18] = [
    "run.root=runs",
    "run.threads=2",
    "teacher.base={run}/../../encoder",
    "teacher.input.max_length=56",
    "teacher.rank.steps=4",
    "teacher.rank.max_length=48",
    "score.unseen_documents=5",
    "score.generated.titles=6",
    "score.generated.sentences=6",
    "distill.base={run}/../../encoder",
    "distill.keep_layers=[0]",
    "distill.steps=4",
    "distill.max_length=48",
    "distill.labels_only.steps=4",
    "distill.labels_only.max_length=48",
    "evaluate.depth=8",
    "evaluate.bootstrap=100",
    "evaluate.permutations=160",
];

/// Puts the tables of `own` into the pipeline's, key by key.
fn merge(tables: &mut Table, own: Table) {
    for (key, value) in own {
        match (tables.get_mut(&key), value) {
            (Some(toml::Value::Table(tables)), toml::Value::Table(own)) => merge(tables, own),
            (_, value) => drop(tables.insert(key, value)),
        }
    }
}

/// The recipe with the tables of [`OWN`].
fn write_config(file: &Path) {
    let recipe = fs::read_to_string(Path::new("../configs").join(CONFIG)).unwrap();
    let mut tables: Table = toml::from_str(&recipe).unwrap();
    merge(&mut tables, toml::from_str(OWN).unwrap());
    fs::write(file, toml::to_string(&tables).unwrap()).unwrap();
}

/// A BEIR collection that judges relevant documents alone: each query is about two words, which some documents share. The
/// encoder knows none of the words, so it tells the documents of a query apart by their lengths.
fn write_collection(folder: &Path) {
    let word =
        |number: usize| format!("{}{}", ["ka", "lo", "mi", "nu", "pe"][number % 5], ["ra", "so", "ti"][number % 3]);
    let document = |number: usize| {
        let title = format!("{} {}", word(number), word(number + 1));
        let tail = format!(" with {}", word(3 * number)).repeat(1 + number / 10);
        let text = format!("about {} and {}{tail}", word(number), word(number + 4));
        format!("{{\"_id\": \"d{number:02}\", \"title\": \"{title}\", \"text\": \"{text}\"}}\n")
    };
    let query = |number: usize| {
        let text = format!("{} {} {number}", word(number), word(number + 4));
        format!("{{\"_id\": \"{number}\", \"text\": \"{text}\"}}\n")
    };
    let qrel = |number: usize| format!("{number}\td{number:02}\t3\n{number}\td{:02}\t1\n", number + 15);
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("corpus.jsonl"), (0..60).map(document).collect::<String>()).unwrap();
    fs::write(folder.join("queries.jsonl"), (1..=QUERIES).map(query).collect::<String>()).unwrap();
    let qrels: String = (1..=QUERIES).map(qrel).collect();
    fs::write(folder.join("qrels.tsv"), format!("query-id\tcorpus-id\tscore\n{qrels}")).unwrap();
}

fn stage(sandbox: &Sandbox, stage: &str, sets: &[&str]) -> Outcome {
    let sets: Vec<&str> = TINY.iter().chain(sets).flat_map(|set| ["--set", *set]).collect();
    finish(command(&sandbox.path(""), stage, &[&["--config", CONFIG], &sets[..]].concat()))
}

fn table(sandbox: &Sandbox, run: &str, stage: &str, table: &str) -> Columns {
    StageDir::open(&sandbox.path("runs").join(run), stage).unwrap().table(table).unwrap()
}

/// Queries of a run's table `runs`.
fn tested(sandbox: &Sandbox, run: &str) -> BTreeSet<String> {
    let runs = table(sandbox, run, "evaluate", "runs");
    let ids = runs.strings("query_id").unwrap();
    (0..runs.rows()).map(|row| ids.value(row).to_string()).collect()
}

#[test]
fn folds_share_the_titles_and_are_evaluated_as_one() {
    let sandbox = Sandbox::finished();
    copy(&sandbox.run_path("distill/student"), &sandbox.path("encoder"));
    write_config(&sandbox.path(CONFIG));
    write_collection(&sandbox.path("collection"));

    for fold in ["0", "1"] {
        let sets = [format!("run.name=fold-{fold}"), format!("ingest.split.test_fold={fold}")];
        for name in stages() {
            let said = stage(&sandbox, name, &sets.each_ref().map(String::as_str)).succeeded().stderr;
            let taken_over = said.contains("teacher: phase titles is taken over from ./runs/fold-0/teacher");
            assert_eq!(taken_over, name == "teacher" && fold == "1", "{said}");
        }
    }
    let file = |path: &str| fs::read(sandbox.path("runs").join(path)).unwrap();
    let titles = file("fold-0/teacher/titles/model.safetensors");
    assert_eq!(file("fold-1/teacher/titles/model.safetensors"), titles);
    assert_ne!(file("fold-0/teacher/rank/model.safetensors"), titles);
    assert_ne!(file("fold-0/teacher/rank/model.safetensors"), file("fold-1/teacher/rank/model.safetensors"));

    let (first, second) = (tested(&sandbox, "fold-0"), tested(&sandbox, "fold-1"));
    assert!(first.is_disjoint(&second));
    assert_eq!((first.len(), second.len()), (QUERIES / 2, QUERIES / 2));

    let pool = ["run.name=pooled", "evaluate.merge_runs=[\"fold-0\", \"fold-1\"]", "evaluate.interpolate=true"];
    let pooled = stage(&sandbox, "evaluate", &pool).succeeded();
    assert!(pooled.stdout.contains("24 queries"), "{}", pooled.stdout);
    assert_eq!(tested(&sandbox, "pooled"), &first | &second);
    let models = ["teacher", "student", "student_labels_only"];
    let expected: BTreeSet<String> =
        models.iter().flat_map(|model| [model.to_string(), format!("{model}+bm25")]).collect();
    let metrics = table(&sandbox, "pooled", "evaluate", "metrics");
    let systems = metrics.strings("system").unwrap();
    let systems: BTreeSet<String> = (0..metrics.rows()).map(|row| systems.value(row).to_string()).collect();
    assert_eq!(systems, &expected | &["bm25", "log_order"].map(String::from).into());
    let report = fs::read_to_string(sandbox.path("runs/pooled/evaluate/report.html")).unwrap();
    assert!(report.contains("fold-0, fold-1"));
    for section in ["cost", "clicks", "training", "data"] {
        let link = format!("<a href=\"../../fold-1/evaluate/report.html#{section}\">fold-1</a>");
        assert!(report.contains(&format!("<section id=\"{section}\">")) && report.contains(&link), "{section}");
    }
    assert!(report.contains("student_labels_only (the student from judged labels alone)"));
    let manifest = Manifest::read(&sandbox.path("runs/pooled/evaluate"), "evaluate").unwrap();
    assert_eq!(manifest.facts["weights_teacher+bm25"].as_array().unwrap().len(), 2);

    let again = stage(&sandbox, "evaluate", &pool).succeeded();
    assert!(again.stderr.contains("evaluate: up to date"), "{}", again.stderr);
    let twice = stage(&sandbox, "evaluate", &["run.name=pooled", "evaluate.merge_runs=[\"fold-0\", \"fold-0\"]"]);
    let expected =
        "error: stage evaluate: evaluate.merge_runs: expected runs that test different queries, found query `";
    assert!(twice.error(3).starts_with(expected), "{}", twice.stderr);
    let alone = stage(&sandbox, "evaluate", &["run.name=pooled", "evaluate.merge_runs=[\"fold-0\"]", pool[2]]);
    let expected = "error: stage evaluate: evaluate.interpolate: expected judged queries to choose a weight on";
    assert!(alone.error(3).starts_with(expected), "{}", alone.stderr);
    let own = ["run.name=fold-0", "ingest.split.test_fold=0", "evaluate.interpolate=true"];
    stage(&sandbox, "evaluate", &own).succeeded();
    let manifest = Manifest::read(&sandbox.path("runs/fold-0/evaluate"), "evaluate").unwrap();
    for model in models {
        let weights = manifest.facts[&format!("weights_{model}+bm25")].as_array().unwrap();
        assert_eq!(weights.len(), 1);
        assert!((0.0..=1.0).contains(&weights[0].as_f64().unwrap()), "{model}: {weights:?}");
    }
    stage(&sandbox, "ingest", &["run.name=fold-1", "ingest.split.test_fold=1", "ingest.split.train=0.1"]).succeeded();
    let stale = stage(&sandbox, "evaluate", &pool);
    let expected = "error: stage evaluate: ./runs/fold-1/evaluate: expected an evaluation of the run's present tables";
    assert!(stale.error(3).starts_with(expected), "{}", stale.stderr);
    let deeper = ["run.name=pooled", "evaluate.merge_runs=[\"fold-0\"]", "evaluate.depth=20"];
    let deeper = stage(&sandbox, "evaluate", &deeper);
    assert!(
        deeper.error(3).contains("runs/fold-0/evaluate/runs: expected a score of system `bm25`"),
        "{}",
        deeper.stderr
    );
}
