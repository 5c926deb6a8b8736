//! Documents, queries and a teacher that exists, without a log and without judgments: from raw files to the report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use toml::Table;

use crate::sandbox::{CONFIG, Sandbox, copy};

const DOCUMENTS: usize = 60;
const QUERIES: usize = 40;
/// Documents that the teacher scored for a query.
const LIST: usize = 12;

const PIPELINE: &str = r#"
[run]
name = "tiny"
root = "runs"
threads = 2

[ingest]
documents = { paths = ["documents.jsonl"], format = "jsonl", columns = { doc_id = "id", title = "title", summary = ["text"] } }
queries = { paths = ["queries.tsv"], format = "tsv", id = "id", text = "query" }

[score.teacher]
scores = { path = "scores.jsonl", format = "jsonl" }

[cpt]
student_tokenizer = { vocab_size = 400 }

[distill]
steps = 80
learning_rate = 3e-3
lists_per_step = 4
list_size = 6

[distill.model]
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 1
num_attention_heads = 2

[evaluate]
bootstrap = 200
permutations = 500
"#;

fn word(number: usize) -> String {
    format!("{}{}", ["ka", "lo", "mi", "nu", "pe"][number % 5], ["ra", "so", "ti"][number % 3])
}

/// What the teacher thinks: documents with an even number are good, those with a word of the query a little better; no two scores
/// of a query are equal.
fn opinion(query: usize, document: usize) -> f64 {
    let about = f64::from(u8::from(word(query) == word(document)));
    2.0 * f64::from(u8::from(document.is_multiple_of(2))) + 0.5 * about + document as f64 / 1000.0
}

fn query_id(number: usize) -> String {
    format!("q{number:02}")
}

fn doc_id(number: usize) -> String {
    format!("d{number:02}")
}

/// The documents that the teacher scored for a query.
fn scored(query: usize) -> impl Iterator<Item = usize> {
    (0..LIST).map(move |place| (7 * query + 5 * place) % DOCUMENTS)
}

/// A line of the file of scores for each document of the `queries`.
fn scores(queries: impl Iterator<Item = usize>) -> String {
    let line = |query: usize, document: usize| {
        let (query_id, doc_id) = (query_id(query), doc_id(document));
        format!("{{\"query_id\": \"{query_id}\", \"doc_id\": \"{doc_id}\", \"score\": {}}}\n", opinion(query, document))
    };
    queries.flat_map(|query| scored(query).map(move |document| line(query, document))).collect()
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let document = |number: usize| {
        let quality = if number.is_multiple_of(2) { "prime" } else { "poor" };
        let (id, title) = (doc_id(number), format!("{} {quality}", word(number)));
        format!(
            "{{\"id\": \"{id}\", \"title\": \"{title}\", \"text\": \"a {quality} text with {}\"}}\n",
            word(3 * number)
        )
    };
    let query = |number: usize| format!("{}\t{} {number}\n", query_id(number), word(number));
    fs::write(sandbox.path("documents.jsonl"), (0..DOCUMENTS).map(document).collect::<String>()).unwrap();
    fs::write(sandbox.path("queries.tsv"), format!("id\tquery\n{}", (0..QUERIES).map(query).collect::<String>()))
        .unwrap();
    fs::write(sandbox.path("scores.jsonl"), scores(0..QUERIES)).unwrap();
    fs::write(sandbox.path(CONFIG), PIPELINE).unwrap();
    sandbox
}

/// Sets keys of the pipeline file.
fn set(sandbox: &Sandbox, keys: &str) {
    let keys: Table = toml::from_str(keys).unwrap();
    sandbox.edit_config(|config| {
        for (name, table) in keys {
            let merged = config.entry(name).or_insert_with(|| Table::new().into());
            merged.as_table_mut().unwrap().extend(table.as_table().unwrap().clone());
        }
    });
}

/// The ids of the queries of each split.
fn splits(sandbox: &Sandbox) -> BTreeMap<String, BTreeSet<String>> {
    let queries = sandbox.table("ingest", "queries");
    let (ids, splits) = (queries.strings("query_id").unwrap(), queries.strings("split").unwrap());
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in 0..queries.rows() {
        found.entry(splits.value(row).into()).or_default().insert(ids.value(row).into());
    }
    found
}

fn query_ids(sandbox: &Sandbox, stage: &str, table: &str) -> BTreeSet<String> {
    let rows = sandbox.table(stage, table);
    rows.strings("query_id").unwrap().iter().map(|id| id.unwrap().to_string()).collect()
}

/// By system and query: the documents in the order of the system, with its scores.
fn rankings(sandbox: &Sandbox) -> BTreeMap<(String, String), Vec<(usize, f64)>> {
    let runs = sandbox.table("evaluate", "runs");
    let (systems, queries) = (runs.strings("system").unwrap(), runs.strings("query_id").unwrap());
    let (documents, scores) = (runs.strings("doc_id").unwrap(), runs.float64s("score").unwrap());
    let mut found: BTreeMap<(String, String), Vec<(usize, f64)>> = BTreeMap::new();
    for row in 0..runs.rows() {
        let ranked = found.entry((systems.value(row).into(), queries.value(row).into())).or_default();
        ranked.push((documents.value(row)[1..].parse().unwrap(), scores.value(row)));
    }
    found
}

/// Kendall's tau-b by counting all pairs.
fn tau(pairs: &[(f64, f64)]) -> f64 {
    let (mut difference, mut untied) = (0.0, [0.0, 0.0]);
    for (at, a) in pairs.iter().enumerate() {
        for b in &pairs[at + 1..] {
            let (teacher, system) = (a.0 - b.0, a.1 - b.1);
            let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
            difference += sign(teacher) * sign(system);
            untied[0] += sign(teacher).abs();
            untied[1] += sign(system).abs();
        }
    }
    if untied[1] == 0.0 { 0.0 } else { difference / f64::sqrt(untied[0] * untied[1]) }
}

/// NDCG@10 of a ranking, given as the teacher's scores in its order, no two of them equal.
fn ndcg(teacher: &[f64]) -> f64 {
    let rank = |score: f64| teacher.iter().filter(|&&other| other > score).count() + 1;
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let first = teacher.len().min(10);
    let found: f64 = (0..first).map(|place| discount(place) / rank(teacher[place]) as f64).sum();
    found / (0..first).map(|place| discount(place) / (place as f64 + 1.0)).sum::<f64>()
}

#[test]
fn foreign_scores_distil_and_are_what_systems_are_measured_by() {
    let sandbox = sandbox();
    let said = sandbox.run_all(&[]);
    let stages: Vec<&str> = said.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, ["ingest", "cpt", "score", "distill", "evaluate"]);
    let stderr = sandbox.stage("teacher", &[]).stderr;
    assert!(stderr.contains("teacher: nothing to do: the pipeline file has no table [teacher]"), "{stderr}");

    // Every query of the file has a split; the student's tokenizer is all that is made of texts.
    let splits = splits(&sandbox);
    assert_eq!(splits.values().map(BTreeSet::len).sum::<usize>(), QUERIES);
    assert_eq!(sandbox.manifest("ingest").tables["judgments"].rows, 0);
    assert_eq!(sandbox.manifest("cpt").tables["cpt_examples"].rows, 0);
    assert!(sandbox.run_path("cpt/student_tokenizer").exists() && !sandbox.run_path("cpt/teacher_tokenizer").exists());

    // The student sees the training split alone.
    assert_eq!(query_ids(&sandbox, "score", "teacher_scores"), splits["train"]);
    let held_out = &splits["validation"] | &splits["test"];
    assert_eq!(query_ids(&sandbox, "score", "held_out_scores"), held_out);
    assert_eq!(sandbox.manifest("score").facts["held_out_lists"], held_out.len());
    assert_eq!(query_ids(&sandbox, "evaluate", "runs"), splits["test"]);

    let rankings = rankings(&sandbox);
    let systems: BTreeSet<&str> = rankings.keys().map(|(system, _)| system.as_str()).collect();
    assert_eq!(systems, BTreeSet::from(["bm25", "student"]));
    let (mut taus, mut ndcgs) = (BTreeMap::new(), BTreeMap::new());
    for ((system, query), ranked) in &rankings {
        let number: usize = query[1..].parse().unwrap();
        assert_eq!(ranked.len(), LIST);
        let teacher = |&(document, _): &(usize, f64)| f64::from(opinion(number, document) as f32);
        let pairs: Vec<(f64, f64)> = ranked.iter().map(|it| (teacher(it), it.1)).collect();
        taus.insert((system.as_str(), query.as_str()), tau(&pairs));
        ndcgs.insert((system.as_str(), query.as_str()), ndcg(&ranked.iter().map(teacher).collect::<Vec<_>>()));
    }
    let values = sandbox.table("evaluate", "query_metrics");
    let (system, query) = (values.strings("system").unwrap(), values.strings("query_id").unwrap());
    let (metric, value) = (values.strings("metric").unwrap(), values.float64s("value").unwrap());
    assert_eq!(values.rows(), 2 * rankings.len());
    for row in 0..values.rows() {
        let expected = if metric.value(row) == "kendall_tau" { &taus } else { &ndcgs };
        let expected = expected[&(system.value(row), query.value(row))];
        assert!((value.value(row) - expected).abs() < 1e-9, "{row}: {} and {expected}", value.value(row));
    }

    let table = sandbox.table("evaluate", "metrics");
    let (system, metric) = (table.strings("system").unwrap(), table.strings("metric").unwrap());
    let (slice, value) = (table.strings("slice").unwrap(), table.float64s("value").unwrap());
    let (low, high) = (table.float64s("ci_low").unwrap(), table.float64s("ci_high").unwrap());
    let mean = |values: &BTreeMap<(&str, &str), f64>, system: &str| {
        let of_system: Vec<f64> = values.iter().filter(|((of, _), _)| *of == system).map(|(_, &value)| value).collect();
        of_system.iter().sum::<f64>() / of_system.len() as f64
    };
    let mut found = 0;
    for row in (0..table.rows()).filter(|&row| slice.value(row) == "all") {
        let values = match metric.value(row) {
            "kendall_tau" => &taus,
            "teacher_ndcg@10" => &ndcgs,
            other => panic!("{other}"),
        };
        assert!((value.value(row) - mean(values, system.value(row))).abs() < 1e-9);
        assert!(low.value(row) <= value.value(row) && value.value(row) <= high.value(row));
        found += 1;
    }
    assert_eq!(found, 4);
    let of_student = mean(&taus, "student");
    assert!(of_student > 0.2, "{of_student}");

    let report = fs::read_to_string(sandbox.run_path("evaluate/report.html")).unwrap();
    assert!(report.contains("Nobody judged these queries") && report.contains("kendall_tau"));
    assert!(!report.contains("Queries without a relevant document") && !report.contains("ndcg@1<"));
    for (stage, stderr) in sandbox.run_all(&[]) {
        assert!(stderr.contains(&format!("{stage}: up to date")), "{stderr}");
    }
    sandbox.assert_tidy();
}

#[test]
fn a_student_may_be_pre_trained_on_titles() {
    let sandbox = sandbox();
    set(&sandbox, "distill = { pretrain = { steps = 4, learning_rate = 1e-3, examples_per_step = 4 } }");
    for stage in ["ingest", "cpt", "score", "distill"] {
        sandbox.stage(stage, &[]);
    }
    assert_eq!(sandbox.manifest("cpt").tables["cpt_examples"].rows, DOCUMENTS as u64);
    assert_eq!(sandbox.manifest("distill").facts["pretrain_steps"], 4);
}

#[test]
fn another_teacher_scores_the_held_out_queries_too() {
    let sandbox = sandbox();
    copy(&Sandbox::finished().run_path("teacher/rank"), &sandbox.path("ranker"));
    sandbox.edit_config(|config| drop(config.remove("score")));
    set(&sandbox, "score = { list_size = 6, max_queries = 10, teacher = { use = 'ranker' } }");
    for stage in ["ingest", "score"] {
        sandbox.stage(stage, &[]);
    }
    let splits = splits(&sandbox);
    let train = query_ids(&sandbox, "score", "teacher_scores");
    assert!(train.len() <= 10 && train.is_subset(&splits["train"]), "{train:?}");
    let held_out = query_ids(&sandbox, "score", "held_out_scores");
    assert!(!held_out.is_empty() && held_out.is_subset(&(&splits["validation"] | &splits["test"])), "{held_out:?}");
    let table = sandbox.table("score", "held_out_scores");
    assert!(table.int32s("list_size").unwrap().values().iter().all(|size| (2..=6).contains(size)));
}

#[test]
fn what_cannot_be_measured_or_learnt_is_refused() {
    let sandbox = sandbox();
    let refused = |given: &str, expected: &str| {
        let outcome = sandbox.try_stage("ingest", &["--set", given]);
        let line = outcome.error(2);
        assert!(line.contains(expected), "{line}");
    };
    refused("distill.validate_every=2", "distill.validate_every: expected 0 without ingest.judgments, found 2");
    refused("evaluate.primary=mrr@10", "evaluate.primary: expected none without ingest.judgments");
    refused("evaluate.candidates=bm25", "evaluate.candidates: expected none without ingest.judgments");
    refused(
        "distill.labels_only={ loss = \"hinge\", steps = 1, learning_rate = 1, lists_per_step = 1, list_size = 2 }",
        "distill.labels_only: expected none without ingest.judgments, which it learns from (format = \"clicks\" makes grades of a \
         log's clicks), found a table",
    );
    refused("score.teacher={ use = \"teacher\" }", "teacher: expected this table, or other teachers in score.teacher");
    refused("cpt.teacher_tokenizer={}", "cpt.teacher_tokenizer: expected none without the table teacher");
    refused("distill.base=teacher", "distill.base: expected ");
    refused(
        "ingest.judgments={ format = \"trec\", paths = [\"qrels.txt\"], queries = \"queries.jsonl\" }",
        "ingest.queries: expected query texts without a log and without ingest.judgments, and none beside one of these, found some",
    );
    refused("ingest.split.folds=3", "ingest.split.folds: expected none without ingest.judgments");

    // Scores of the training split alone leave nothing to measure by.
    sandbox.stage("ingest", &[]);
    let train = &splits(&sandbox)["train"];
    fs::write(sandbox.path("scores.jsonl"), scores((0..QUERIES).filter(|&query| train.contains(&query_id(query)))))
        .unwrap();
    for stage in ["cpt", "score", "distill"] {
        sandbox.stage(stage, &[]);
    }
    let outcome = sandbox.try_stage("evaluate", &[]);
    let line = outcome.error(3);
    let expected =
        "held_out_scores: expected the teacher's scores of at least two documents of a test query, found none";
    assert!(line.contains(expected), "{line}");
}
