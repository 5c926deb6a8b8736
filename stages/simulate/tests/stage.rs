//! The stage as a whole: small runs, and what is in their files.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use analysis::{Analyzer, AnalyzerName};
use pipeline::config::load;
use pipeline::{BadInput, Pipeline, Stage, StageContext};
use ranking::metrics::{Conventions, Document, JudgedList, Metric, Ranking};
use serde_json::Value;
use simulate::Simulate;

const SMALL: [&str; 7] = [
    "simulate.days=3",
    "simulate.searches=600",
    "simulate.world.documents=400",
    "simulate.world.queries=150",
    "simulate.world.judged_queries=20",
    "simulate.world.concepts=20",
    "simulate.world.qualifiers=10",
];

/// Runs the stage into `out` under the default pipeline with `overrides`.
fn simulate(out: &Path, overrides: &[&str]) -> anyhow::Result<()> {
    let path = Path::new("../../pipeline.toml");
    let overrides: Vec<String> = overrides.iter().map(|given| given.to_string()).collect();
    let pipeline = load(path, &overrides)?;
    run(&pipeline, out)
}

/// Runs the stage of `pipeline` into `out`.
fn run(pipeline: &Pipeline, out: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(out)?;
    let mut context = StageContext::new(pipeline.paths(), out.to_path_buf(), Vec::new());
    Simulate.run(&Simulate.configure(pipeline).unwrap(), &mut context)
}

/// The bytes of every file below `folder`.
fn bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(bytes(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.insert(PathBuf::from(path.file_name().unwrap()), content);
        }
    }
    found
}

/// The lines of a compressed file.
fn lines(path: &Path) -> Vec<Value> {
    let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All events, in the order of the log.
fn events(out: &Path) -> Vec<Value> {
    let folder = fs::read_dir(out.join("log")).unwrap();
    let days: BTreeSet<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    days.iter().flat_map(|day| lines(day)).collect()
}

fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap()
}

#[test]
fn equal_seeds_give_equal_bytes_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, seed: &str| {
        let out = folder.path().join(name);
        simulate(&out, &[&SMALL[..], &[seed]].concat()).unwrap();
        bytes(&out)
    };
    let first = run("a", "run.seed=1");
    let names: Vec<&str> = first.keys().filter_map(|path| path.to_str()).collect();
    let expected = [
        "click_model.jsonl",
        "day-2025-01-01.jsonl.zst",
        "day-2025-01-02.jsonl.zst",
        "day-2025-01-03.jsonl.zst",
        "documents.jsonl.zst",
        "grades.jsonl.zst",
        "qrels.tsv",
        "queries.jsonl",
        "words.jsonl",
    ];
    assert_eq!(names, expected);
    assert_eq!(first, run("b", "run.seed=1"));
    let other = run("c", "run.seed=2");
    for (name, content) in &first {
        let fixed = name == Path::new("click_model.jsonl");
        assert_eq!(content == &other[name], fixed, "{}", name.display());
    }
}

#[test]
fn the_log_holds_whole_pages_in_order_of_time() {
    for model in ["position_based", "dynamic_bayesian"] {
        let folder = tempfile::tempdir().unwrap();
        let model = format!("simulate.clicks.model={model}");
        let exact = [model.as_str(), "simulate.clicks.duplicates=0"];
        simulate(folder.path(), &[&SMALL[..], &exact].concat()).unwrap();
        let events = events(folder.path());
        assert_eq!(events.len(), 6000);
        for page in events.chunks(10) {
            for (index, event) in page.iter().enumerate() {
                assert_eq!(event["position"], index + 1);
                assert_eq!(event["search_id"], page[0]["search_id"]);
                assert_eq!(event["clicked"].as_bool(), Some(event["dwell_seconds"].is_f64()));
            }
        }
        assert!(events.is_sorted_by_key(|event| text(event, "shown_at")));
        assert!(events.is_sorted_by_key(|event| text(event, "search_id")));
    }
}

#[test]
fn duplicates_are_the_same_line_again() {
    let folder = tempfile::tempdir().unwrap();
    simulate(folder.path(), &[&SMALL[..], &["simulate.clicks.duplicates=1"]].concat()).unwrap();
    let events = events(folder.path());
    assert_eq!(events.len(), 12_000);
    assert!(events.chunks(2).all(|twice| twice[0] == twice[1]));
}

#[test]
fn robots_click_nearly_everything_of_many_results() {
    let folder = tempfile::tempdir().unwrap();
    let robots = ["simulate.clicks.robots=1", "simulate.clicks.duplicates=0"];
    simulate(folder.path(), &[&SMALL[..], &robots].concat()).unwrap();
    let mut sessions: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for event in events(folder.path()) {
        let counts = sessions.entry(text(&event, "session_id").into()).or_default();
        counts[0] += 1;
        counts[1] += usize::from(event["clicked"] == true);
    }
    let robots = sessions.values().filter(|counts| counts[0] >= 30).count();
    // The last sessions of a day may be too short to be a robot's.
    assert!(robots + 12 > sessions.len(), "{robots} of {}", sessions.len());
    assert!(sessions.values().filter(|counts| counts[0] >= 30 && counts[1] * 10 > counts[0] * 8).count() == robots);
}

/// BM25's ranking of the judged documents of a query; `qrels` are the fields of all judgments.
fn bm25_ranking<'a>(index: &search::Index, query: &Value, qrels: &'a [Vec<&'a str>]) -> Ranking<'a> {
    let words = Analyzer::new(AnalyzerName::Unicode).tokens(text(query, "text"));
    let judged = qrels.iter().filter(|fields| fields[0] == text(query, "_id"));
    let documents: Vec<Document> = judged
        .map(|fields| Document {
            doc_id: fields[1],
            score: index.score(&words, fields[1][1..].parse().unwrap()),
            grade: Some(fields[2].parse().unwrap()),
        })
        .collect();
    assert_eq!(documents.len(), 20);
    let grades: Vec<u32> = documents.iter().filter_map(|document| document.grade).collect();
    JudgedList::new("", documents, &grades).unwrap().ranking(&Conventions::default())
}

#[test]
fn words_alone_rank_better_than_chance_and_far_from_perfectly() {
    for seed in ["run.seed=1", "run.seed=2", "run.seed=3"] {
        let folder = tempfile::tempdir().unwrap();
        simulate(folder.path(), &["simulate.searches=2000", seed]).unwrap();
        let documents = lines(&folder.path().join("documents.jsonl.zst"));
        let texts = documents.iter().map(|document| [text(document, "title"), text(document, "summary")]);
        let index = search::index_in_memory(&Analyzer::new(AnalyzerName::Unicode), "", texts).unwrap();
        let qrels = fs::read_to_string(folder.path().join("qrels.tsv")).unwrap();
        let qrels: Vec<Vec<&str>> = qrels.lines().map(|line| line.split('\t').collect()).collect();
        let queries = fs::read_to_string(folder.path().join("queries.jsonl")).unwrap();
        let rankings: Vec<Ranking> =
            queries.lines().map(|line| bm25_ranking(&index, &serde_json::from_str(line).unwrap(), &qrels)).collect();
        assert_eq!(rankings.len(), 400);
        let mean = "ndcg@10".parse::<Metric>().unwrap().measure(&rankings).value().unwrap();
        assert!((0.5..0.65).contains(&mean), "{seed}: {mean}");
    }
}

#[test]
fn visitors_search_a_beir_collection_too() {
    let folder = tempfile::tempdir().unwrap();
    let beir = folder.path().join("beir");
    fs::create_dir_all(&beir).unwrap();
    let corpus = "{\"_id\":\"a\",\"title\":\"one\",\"text\":\"two\"}\n{\"_id\":\"b\",\"text\":\"\"}\n";
    fs::write(beir.join("corpus.jsonl"), corpus).unwrap();
    fs::write(beir.join("queries.jsonl"), "{\"_id\":\"q\",\"text\":\"one\"}\n").unwrap();
    let qrels = "query-id\tcorpus-id\tscore\nq\ta\t0\nq\tb\t3\n";
    fs::write(beir.join("qrels.tsv"), qrels).unwrap();

    let pipeline = folder.path().join("pipeline.toml");
    let mut tables: toml::Table = toml::from_str(include_str!("../../../pipeline.toml")).unwrap();
    let simulate = tables["simulate"].as_table_mut().unwrap();
    simulate.remove("world").unwrap();
    simulate.insert("collection".into(), "beir".into());
    fs::write(&pipeline, toml::to_string(&tables).unwrap()).unwrap();
    let pipeline = load(&pipeline, &["simulate.searches=50".to_string()]).unwrap();
    let out = folder.path().join("out");
    let config = Simulate.configure(&pipeline).unwrap();
    assert_eq!(Simulate.inputs(&config, &pipeline.paths()).unwrap().len(), 3);
    run(&pipeline, &out).unwrap();
    assert_eq!(fs::read_to_string(out.join("qrels.tsv")).unwrap(), qrels);
    assert_eq!(lines(&out.join("documents.jsonl.zst"))[1]["summary"], "");
    let searches: BTreeSet<String> = events(&out).iter().map(|event| text(event, "search_id").into()).collect();
    assert_eq!(searches.len(), 50);

    fs::write(beir.join("qrels.tsv"), format!("{qrels}q\tc\t1\n")).unwrap();
    let error = run(&pipeline, &out).unwrap_err();
    assert!(error.is::<BadInput>() && error.to_string().contains("qrels.tsv:4: "), "{error}");
}
