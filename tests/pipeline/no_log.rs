//! A collection without a log: documents, queries and judgments with official splits, from raw files to the report.

use std::collections::BTreeSet;
use std::fs;

use toml::Table;

use crate::sandbox::Sandbox;

const DOCUMENTS: usize = 60;
/// The first of the queries train or validate, the others test.
const QUERIES: usize = 24;
const TRAINING_QUERIES: usize = 16;

/// The keys that take the place of the simulated search engine's.
const OWN: &str = r#"
    documents = { paths = ["documents.jsonl"], format = "jsonl", columns = { doc_id = "_id", title = "title", summary = ["text"] } }

    [judgments]
    format = "beir"
    queries = "queries.jsonl"
    splits = { train = ["train.tsv"], test = ["test.tsv"] }
"#;

/// What the student learns first; it reads the same examples as the teacher.
const PRETRAIN: &str = "steps = 4\nlearning_rate = 1e-3\nexamples_per_step = 4";

fn word(number: usize) -> String {
    format!("{}{}", ["ka", "lo", "mi", "nu", "pe"][number % 5], ["ra", "so", "ti"][number % 3])
}

/// Writes documents, queries and judgments: each query is about two words, which some documents share.
fn write_files(sandbox: &Sandbox) {
    let document = |number: usize| {
        let title = format!("{} {}", word(number), word(number + 1));
        let text = format!("about {} and {} with {}", word(number), word(number + 4), word(3 * number));
        format!("{{\"_id\": \"d{number:02}\", \"title\": \"{title}\", \"text\": \"{text}\"}}\n")
    };
    let query = |number: usize| {
        let text = format!("{} {} {number}", word(number), word(number + 4));
        format!("{{\"_id\": \"{number}\", \"text\": \"{text}\"}}\n")
    };
    let judgment = |number: usize| format!("{number}\td{number:02}\t3\n{number}\td{:02}\t1\n", number + 15);
    let judgments = |numbers: std::ops::RangeInclusive<usize>| {
        format!("query-id\tcorpus-id\tscore\n{}", numbers.map(judgment).collect::<String>())
    };
    fs::write(sandbox.path("documents.jsonl"), (0..DOCUMENTS).map(document).collect::<String>()).unwrap();
    fs::write(sandbox.path("queries.jsonl"), (1..=QUERIES).map(query).collect::<String>()).unwrap();
    fs::write(sandbox.path("train.tsv"), judgments(1..=TRAINING_QUERIES)).unwrap();
    fs::write(sandbox.path("test.tsv"), judgments(TRAINING_QUERIES + 1..=QUERIES)).unwrap();
}

/// A sandbox whose pipeline has neither a simulated search engine nor a log.
pub(crate) fn without_log() -> Sandbox {
    let sandbox = Sandbox::new();
    write_files(&sandbox);
    sandbox.edit_config(|tables| {
        let own: Table = toml::from_str(OWN).unwrap();
        tables.remove("simulate");
        tables.insert("ingest".into(), own.into());
        let pretrain: Table = toml::from_str(PRETRAIN).unwrap();
        tables["distill"].as_table_mut().unwrap().insert("pretrain".into(), pretrain.into());
        let evaluate = tables["evaluate"].as_table_mut().unwrap();
        evaluate.insert("candidates".into(), "bm25".into());
        evaluate.insert("depth".into(), 8.into());
    });
    sandbox
}

/// The distinct values of a text column.
fn distinct(sandbox: &Sandbox, stage: &str, table: &str, column: &str) -> BTreeSet<String> {
    let rows = sandbox.table(stage, table);
    let values = rows.strings(column).unwrap();
    (0..rows.rows()).map(|row| values.value(row).to_string()).collect()
}

#[test]
fn test_judgments_alone_train_nothing() {
    let sandbox = without_log();
    let alone = "ingest.judgments.splits.train=[]";
    let outcome = sandbox.try_stage("ingest", &["--set", alone]);
    let expected = "error: tiny.toml: ingest.judgments.splits.train: expected files, as validation takes a part of the training \
                    queries; or name all judgments in ingest.judgments.paths in place of splits, and cross-validate them: \
                    ingest.split.folds, found none";
    assert_eq!(outcome.error(2), expected);
    // Nothing trains and nothing validates where a model that exists is measured.
    sandbox.try_stage("ingest", &["--set", alone, "--set", "ingest.split.validation=0"]).succeeded();
}

#[test]
fn a_collection_without_a_log_runs_to_its_report() {
    let sandbox = without_log();
    let said = sandbox.run_all(&[]);
    let of_cpt = said.iter().find(|(stage, _)| *stage == "cpt").map(|(_, stderr)| stderr).unwrap();
    assert!(of_cpt.contains("cpt: the examples are the documents below their own titles"), "{of_cpt}");

    let ingest = sandbox.manifest("ingest");
    let rows = |table: &str| ingest.tables[table].rows;
    let found = ["impressions", "pairs", "queries", "documents"].map(rows);
    assert_eq!(found, [0, 0, QUERIES as u64, DOCUMENTS as u64]);

    // Titles ask, so that no example has a query.
    assert_eq!(sandbox.manifest("cpt").facts["examples_from"], "titles, as there are no clicks");
    let examples = sandbox.table("cpt", "cpt_examples");
    assert_eq!(examples.rows(), DOCUMENTS);
    assert!(examples.strings("query_id").unwrap().iter().all(|query| query == Some("")));
    let splits = examples.strings("split").unwrap();
    assert_eq!((0..examples.rows()).filter(|&row| splits.value(row) == "validation").count(), DOCUMENTS / 10);

    // Every training query has a list: BM25's first 8 + 2 documents, and up to 2 random ones.
    let queries = sandbox.table("ingest", "queries");
    let (ids, splits) = (queries.strings("query_id").unwrap(), queries.strings("split").unwrap());
    let of = |split: &str| -> BTreeSet<String> {
        (0..queries.rows()).filter(|&row| splits.value(row) == split).map(|row| ids.value(row).to_string()).collect()
    };
    assert_eq!(of("train").len() + of("validation").len(), TRAINING_QUERIES);
    assert_eq!(distinct(&sandbox, "score", "teacher_scores", "query_id"), of("train"));
    let scores = sandbox.table("score", "teacher_scores");
    let sizes = scores.int32s("list_size").unwrap();
    assert!(sizes.values().iter().all(|size| (2..=12).contains(size)), "{sizes:?}");

    // There is no log whose order could be a system.
    let systems = ["bm25", "teacher", "student", "student_labels_only"].map(String::from);
    assert_eq!(distinct(&sandbox, "evaluate", "runs", "system"), BTreeSet::from(systems));
    assert_eq!(distinct(&sandbox, "evaluate", "runs", "query_id"), of("test"));
    let official: BTreeSet<String> = (TRAINING_QUERIES + 1..=QUERIES).map(|number| number.to_string()).collect();
    assert_eq!(of("test"), official);

    for (stage, stderr) in sandbox.run_all(&[]) {
        assert!(stderr.contains(&format!("{stage}: ")) && !stderr.contains("running"), "{stderr}");
    }
    sandbox.assert_tidy();
}

#[test]
fn queries_without_candidates_are_left_out_and_lists_of_one_document_are_no_obstacle() {
    let sandbox = without_log();
    let (mut queries, mut judgments) = (String::new(), String::new());
    for number in 90..96 {
        // The first three find no document, the others one alone; each has one judged document.
        let text = if number < 93 { format!("unheard {number}") } else { format!("unique{number}") };
        queries += &format!("{{\"_id\": \"{number}\", \"text\": \"{text}\"}}\n");
        judgments += &format!("{number}\td{:02}\t2\n", number - 90);
    }
    let unique = (93..96)
        .map(|number| format!("{{\"_id\": \"u{number}\", \"title\": \"unique{number}\", \"text\": \"a text\"}}\n"));
    for (file, more) in [("queries.jsonl", queries), ("train.tsv", judgments), ("documents.jsonl", unique.collect())] {
        let text = fs::read_to_string(sandbox.path(file)).unwrap();
        fs::write(sandbox.path(file), text + &more).unwrap();
    }
    let arguments = ["--set", "score.random_documents=0"];
    let stderr = sandbox.run_all(&arguments);
    let rows = sandbox.table("ingest", "queries");
    let (ids, splits) = (rows.strings("query_id").unwrap(), rows.strings("split").unwrap());
    let is_odd = |id: &str| ("90".."96").contains(&id) && id.len() == 2;
    let odd = (0..rows.rows()).filter(|&row| splits.value(row) == "train" && is_odd(ids.value(row))).count();
    assert!(odd > 2, "{odd}");
    let manifest = sandbox.manifest("score");
    assert_eq!(manifest.facts["queries_without_list"], odd);
    assert!(distinct(&sandbox, "score", "teacher_scores", "query_id").iter().all(|id| !is_odd(id)));
    assert!(distinct(&sandbox, "score", "teacher_scores", "source").iter().eq(["found"]));
    let of_score = stderr.iter().find(|(stage, _)| *stage == "score").map(|(_, stderr)| stderr).unwrap();
    assert!(
        of_score.contains(&format!("score: queries left out, as they have fewer than two documents: {odd}")),
        "{of_score}"
    );
    // Judged lists of one document teach nothing, and do no harm.
    assert_eq!(sandbox.manifest("distill").facts["labels_only_steps"], 30);
}
