//! The lists that the teacher scores: where their documents come from, and lists that are odd.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use serde_json::Value;
use tables::Columns;

use crate::sandbox::Sandbox;

fn strings(table: &Columns, name: &str) -> Vec<String> {
    table.strings(name).unwrap().iter().map(|text| text.unwrap().to_string()).collect()
}

/// Query and document of each row.
fn pairs(table: &Columns) -> Vec<(String, String)> {
    strings(table, "query_id").into_iter().zip(strings(table, "doc_id")).collect()
}

#[test]
fn the_table_says_where_each_document_comes_from() {
    let sandbox = Sandbox::finished();
    let stderr = sandbox.stage("score", &["--force"]).stderr;
    let table = sandbox.table("score", "teacher_scores");
    let shown: BTreeSet<_> = pairs(&sandbox.table("ingest", "pairs")).into_iter().collect();
    let (pairs, sources) = (pairs(&table), strings(&table, "source"));
    let mut of_list: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut sums: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for ((pair, source), score) in pairs.iter().zip(&sources).zip(table.float32s("score").unwrap().values()) {
        // What was shown more often than the others fills the list's eight places; the others are found or random.
        assert!(source != "shown" || shown.contains(pair), "{pair:?}");
        *of_list.entry((&pair.0, source)).or_default() += 1;
        let (count, sum) = sums.entry(source).or_default();
        (*count, *sum) = (*count + 1, *sum + f64::from(*score));
    }
    for ((query, source), count) in of_list {
        assert!(
            count <= BTreeMap::from([("shown", 8), ("found", 2), ("random", 2)])[source],
            "{query} {source} {count}"
        );
    }
    let facts = &sandbox.manifest("score").facts;
    let figures = facts["sources"].as_object().unwrap();
    assert_eq!(figures.keys().collect::<Vec<_>>(), ["shown", "found", "random"]);
    for (source, (count, sum)) in sums {
        let near = |key: &str, expected: f64| (figures[source][key].as_f64().unwrap() - expected).abs() < 1e-9;
        assert_eq!(figures[source]["documents"], count, "{source}");
        assert!(near("share", count as f64 / pairs.len() as f64), "{source}");
        assert!(near("mean_score", sum / count as f64), "{source}");
        assert!(stderr.contains(&format!("{source} {count} (")), "{stderr}");
    }
    assert!(stderr.contains("score: documents by source: shown "), "{stderr}");
    assert_eq!(facts["queries_without_list"], 0);
}

#[test]
fn unseen_documents_come_from_the_ranks_and_by_the_sampler_that_are_asked_for() {
    let sandbox = Sandbox::finished();
    let found = |arguments: &[&str]| -> BTreeSet<(String, String)> {
        sandbox.stage("score", arguments);
        let table = sandbox.table("score", "teacher_scores");
        let rows = pairs(&table).into_iter().zip(strings(&table, "source"));
        rows.filter(|(_, source)| source == "found").map(|(pair, _)| pair).collect()
    };
    let (first, many) = (found(&[]), found(&["--set", "score.unseen_documents=30"]));
    let later = found(&["--set", "score.unseen_from_rank=20"]);
    assert!(first.is_subset(&many) && first.is_disjoint(&later) && !later.is_empty());
    let random = ["--set", "score.unseen_sampler=random", "--set", "score.unseen_depth=30"];
    let random = found(&random);
    assert!(random.is_subset(&many) && random != first);
}

/// A file of scores for three training queries, `documents` documents each; `score` of a document's number.
fn scores(sandbox: &Sandbox, documents: usize, score: impl Fn(usize) -> usize) -> Vec<String> {
    let table = sandbox.table("ingest", "queries");
    let rows = strings(&table, "query_id").into_iter().zip(strings(&table, "split"));
    let queries: Vec<String> = rows.filter(|(_, split)| split == "train").map(|(query, _)| query).take(3).collect();
    let doc_ids = strings(&sandbox.table("ingest", "documents"), "doc_id");
    let mut lines = String::new();
    for query in &queries {
        for (number, doc_id) in doc_ids.iter().enumerate().take(documents) {
            writeln!(lines, "{query} Q0 {doc_id} 1 {} file", score(number)).unwrap();
        }
    }
    fs::write(sandbox.path("scores.run"), lines).unwrap();
    queries
}

const FILE: [&str; 2] = ["--set", "score.teacher={ scores = { path = \"scores.run\", format = \"trec\" } }"];

#[test]
fn scores_that_are_all_the_same_are_refused() {
    let sandbox = Sandbox::finished();
    let refused = |score: fn(usize) -> usize, more: &[&str], expected: &str| {
        scores(&sandbox, 5, score);
        sandbox.stage("score", &FILE);
        let outcome = sandbox.try_stage("distill", more);
        assert_eq!(outcome.error(3), expected);
    };
    let table = "error: stage distill: ./runs/tiny/score/teacher_scores: expected";
    let teacher =
        "the teacher `scores.run` puts no documents in order; train it, or look at its scores, and run score again";
    refused(|_| 7, &[], &format!("{table} scores that differ, found 7 everywhere: {teacher}"));
    refused(
        |_| 7,
        &["--set", "distill.standardise=false"],
        &format!("{table} scores that differ within a list, found the same for all documents of each: {teacher}"),
    );
    // One list tells an order.
    scores(&sandbox, 5, |number| number);
    let lines = fs::read_to_string(sandbox.path("scores.run")).unwrap();
    let lines: Vec<String> =
        lines.lines().enumerate().map(|(row, line)| if row < 5 { line.into() } else { flat(line) }).collect();
    fs::write(sandbox.path("scores.run"), lines.join("\n")).unwrap();
    sandbox.stage("score", &FILE);
    let stderr = sandbox.stage("distill", &["--set", "distill.steps=4"]).stderr;
    assert!(stderr.contains("distill: 2 of 3 lists have the same score for all documents"), "{stderr}");
}

/// A line of a run with score 0.
fn flat(line: &str) -> String {
    let mut fields: Vec<&str> = line.split(' ').collect();
    fields[4] = "0";
    fields.join(" ")
}

#[test]
fn a_file_with_a_document_for_a_query_has_no_list_for_it() {
    let sandbox = Sandbox::finished();
    let queries = scores(&sandbox, 4, |number| number);
    let lines = fs::read_to_string(sandbox.path("scores.run")).unwrap();
    fs::write(sandbox.path("scores.run"), lines.lines().take(5).collect::<Vec<_>>().join("\n")).unwrap();
    let stderr = sandbox.stage("score", &FILE).stderr;
    assert!(stderr.contains("score: queries left out, as they have fewer than two documents: 1"), "{stderr}");
    assert!(stderr.contains("score: documents by source: file 4 (100.0 %), mean score 1.500"), "{stderr}");
    let manifest = sandbox.manifest("score");
    assert_eq!([&manifest.facts["lists"], &manifest.facts["queries_without_list"]], [&Value::from(1), &Value::from(1)]);
    assert_eq!(BTreeSet::from_iter(strings(&sandbox.table("score", "teacher_scores"), "query_id")).len(), 1);
    assert_eq!(queries.len(), 3);
}

/// A collection of a thousand documents, whose lists have them all.
#[test]
fn lists_of_a_thousand_documents_are_learnt_in_bounded_memory() {
    let sandbox = Sandbox::new();
    let large = ["--set", "simulate.world.documents=1000"];
    for stage in ["simulate", "ingest", "cpt"] {
        sandbox.stage(stage, &large);
    }
    scores(&sandbox, 1000, |number| number);
    let arguments = [&large[..], &FILE].concat();
    sandbox.stage("score", &arguments);
    let sizes = sandbox.table("score", "teacher_scores");
    assert!(sizes.rows() == 3000 && sizes.int32s("list_size").unwrap().values().iter().all(|&size| size == 1000));
    let peak = |lists_per_step: &str| {
        let whole = ["--set", "distill.list_size=1000", "--set", "distill.steps=2", "--set", lists_per_step];
        sandbox.stage("distill", &[&arguments[..], &whole].concat());
        let manifest = sandbox.manifest("distill");
        (manifest.facts["student_examples"].as_u64().unwrap(), manifest.peak_memory_bytes.unwrap() >> 20)
    };
    // With one list, a thread has less at hand than it may keep.
    let ((three, peak_of_three), (twelve, peak_of_twelve)) =
        (peak("distill.lists_per_step=3"), peak("distill.lists_per_step=12"));
    assert_eq!((three, twelve), (6000, 24000));
    assert!(peak_of_three > 20 && peak_of_twelve < peak_of_three * 3 / 2, "{peak_of_three} and {peak_of_twelve} MiB");
}

#[test]
fn queries_made_of_documents_are_scored_and_learnt() {
    let sandbox = Sandbox::finished();
    let before = pairs(&sandbox.table("score", "teacher_scores"));
    let generated = ["--set", "score.generated={ titles = 4, sentences = 6 }"];
    sandbox.stage("score", &generated);
    let made = sandbox.table("score", "generated_queries");
    let (ids, texts, doc_ids) = (strings(&made, "query_id"), strings(&made, "query"), strings(&made, "doc_id"));
    let of = |source: &str| strings(&made, "source").iter().filter(|found| *found == source).count();
    assert_eq!(of("title"), 4);
    assert_eq!(of("title") + of("sentence"), ids.len());
    let documents = sandbox.table("ingest", "documents");
    let titles: BTreeMap<String, String> =
        strings(&documents, "doc_id").into_iter().zip(strings(&documents, "title")).collect();
    for (id, (text, doc_id)) in ids.iter().zip(texts.iter().zip(&doc_ids)) {
        assert!(id.starts_with("sentence:") || *text == titles[doc_id].to_lowercase(), "{id}: {text}");
    }

    // The run's own lists stay as they are, and each made query has a list that holds its document.
    let scored = pairs(&sandbox.table("score", "teacher_scores"));
    let is_made = |query: &String| ids.contains(query);
    let own: Vec<_> = scored.iter().filter(|(query, _)| !is_made(query)).cloned().collect();
    assert_eq!(own, before);
    for (id, doc_id) in ids.iter().zip(doc_ids) {
        assert!(scored.contains(&(id.clone(), doc_id.clone())), "{id} {doc_id}");
    }
    sandbox.stage("distill", &generated);
    let facts = sandbox.manifest("distill").facts;
    assert!(facts["student_steps"].as_u64().unwrap() > 0);

    let line = sandbox.try_stage("score", &["--set", "score.generated={}"]).error(2).to_string();
    assert!(line.contains("score.generated: expected titles or sentences above 0, found none"), "{line}");
}
