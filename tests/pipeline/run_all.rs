//! The whole pipeline: what it leaves, and what a second run does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::SystemTime;

use tables::{MANIFEST_FILE, StageDir};

use crate::sample::counted;
use crate::sandbox::{Sandbox, active_stages};

#[test]
fn every_stage_leaves_a_whole_output() {
    let sandbox = Sandbox::finished();
    for stage in active_stages() {
        sandbox.assert_whole(stage);
    }
    sandbox.assert_tidy();
}

#[test]
fn metrics_hold_every_system_and_metric() {
    let metrics = Sandbox::finished().table("evaluate", "metrics");
    let (systems, names) = (metrics.strings("system").unwrap(), metrics.strings("metric").unwrap());
    let (slices, values) = (metrics.strings("slice").unwrap(), metrics.float64s("value").unwrap());
    let (low, high) = (metrics.float64s("ci_low").unwrap(), metrics.float64s("ci_high").unwrap());
    let mut found = BTreeSet::new();
    for row in (0..metrics.rows()).filter(|&row| slices.value(row) == "all") {
        found.insert((systems.value(row), names.value(row)));
        let (value, low, high) = (values.value(row), low.value(row), high.value(row));
        assert!(low <= value && value <= high, "{} {}: {low} {value} {high}", systems.value(row), names.value(row));
        let least = if names.value(row) == "kendall_tau" { -1.0 } else { f64::MIN_POSITIVE };
        assert!(value >= least && (names.value(row) == "pnr" || value <= 1.0), "{value}");
    }
    let metrics = ["ndcg@1", "ndcg@3", "ndcg@5", "ndcg@10", "mrr@10", "pnr", "kendall_tau"];
    let systems = ["log_order", "bm25", "teacher", "student", "student_labels_only"];
    let expected = systems.iter().flat_map(|&system| metrics.map(|metric| (system, metric)));
    assert_eq!(found, expected.collect());
}

#[test]
fn the_report_loads_nothing_from_outside() {
    let report = fs::read_to_string(Sandbox::finished().run_path("evaluate/report.html")).unwrap();
    // Behind the page stands the library of the charts, and what draws them. What it may load is the browser's to say.
    let (report, scripts) = report.split_once("<script type=\"text/javascript\">").unwrap();
    assert!(report.contains("default-src 'none'") && scripts.contains("Plotly.react"), "{} bytes", report.len());
    assert!(report.contains("class=\"chart\"") && report.contains("student_labels_only"));
    for attribute in ["src=", "href=", "url(", "@import"] {
        for (at, _) in report.match_indices(attribute) {
            let target = report[at + attribute.len()..].trim_start_matches(['"', '\'']);
            let inside = target.starts_with('#') || target.starts_with("data:");
            assert!(inside, "{attribute}{}", target.chars().take(60).collect::<String>());
        }
    }
    for tag in ["<iframe", "<link", "<script src"] {
        assert!(!report.contains(tag), "{tag}");
    }
}

#[test]
fn every_line_of_the_log_is_a_row_or_a_reject() {
    let sandbox = Sandbox::finished();
    let (simulate, ingest) = (sandbox.manifest("simulate"), sandbox.manifest("ingest"));
    let rows = |table: &str| ingest.tables[table].rows;
    let stage = StageDir::open(&sandbox.run_path(""), "ingest").unwrap();
    let mut rejects = 0;
    for (input, table) in [("log", "impressions"), ("documents", "documents"), ("judgments", "judgments")] {
        let totals = counted(&stage, input);
        assert_eq!(totals.rows, rows(table), "{input}");
        assert_eq!(totals.records, totals.rows + totals.rejects, "{input}");
        rejects += totals.rejects;
    }
    assert_eq!(rejects, rows("rejects"));
    let written = ["shown", "duplicates"].map(|name| simulate.facts[name].as_u64().unwrap());
    assert_eq!(counted(&stage, "log").records, written.iter().sum::<u64>());
    assert!(rejects >= written[1] && written[1] > 0, "{rejects} rejects, {} duplicates", written[1]);
    assert_eq!(counted(&stage, "documents").records, 300);
    assert_eq!(counted(&stage, "judgments").records, 800);
}

#[test]
fn no_query_crosses_a_split() {
    let sandbox = Sandbox::finished();
    let queries = sandbox.table("ingest", "queries");
    let (ids, texts) = (queries.strings("query_id").unwrap(), queries.strings("query").unwrap());
    let splits = queries.strings("split").unwrap();
    let split_of: BTreeMap<_, _> = (0..queries.rows()).map(|row| (ids.value(row), splits.value(row))).collect();
    let distinct: BTreeSet<_> = (0..queries.rows()).map(|row| texts.value(row)).collect();
    assert_eq!(distinct.len(), queries.rows(), "a query text stands twice");
    assert_eq!(split_of.len(), queries.rows(), "a query id stands twice");
    assert_eq!(split_of.values().copied().collect::<BTreeSet<_>>(), BTreeSet::from(["test", "train", "validation"]));

    for (stage, table) in
        [("ingest", "pairs"), ("ingest", "judgments"), ("cpt", "cpt_examples"), ("score", "teacher_scores")]
    {
        let rows = sandbox.table(stage, table);
        let (ids, splits) = (rows.strings("query_id").unwrap(), rows.strings("split").unwrap());
        for row in 0..rows.rows() {
            assert_eq!(splits.value(row), split_of[ids.value(row)], "{table}: {}", ids.value(row));
        }
    }
    for (stage, table, only) in [("score", "teacher_scores", "train"), ("evaluate", "runs", "test")] {
        let rows = sandbox.table(stage, table);
        let ids = rows.strings("query_id").unwrap();
        assert!((0..rows.rows()).all(|row| split_of[ids.value(row)] == only), "{table}: not only {only}");
    }
}

#[test]
fn a_second_run_is_up_to_date() {
    let sandbox = Sandbox::finished();
    let before = manifest_times(&sandbox);
    for (stage, stderr) in sandbox.run_all(&[]) {
        assert!(stderr.contains(&format!("{stage}: up to date")), "{stderr}");
    }
    assert_eq!(manifest_times(&sandbox), before);
}

#[test]
fn a_changed_key_runs_its_stage_and_what_reads_it() {
    let sandbox = Sandbox::finished();
    let (before, student) = (manifest_times(&sandbox), sandbox.digests("distill"));
    let change = ["--set", "distill.learning_rate=0.002"];
    for (stage, stderr) in sandbox.run_all(&change) {
        let reads = matches!(stage, "distill" | "evaluate");
        assert_eq!(stderr.contains(&format!("{stage}: up to date")), !reads, "{stderr}");
    }
    let after = manifest_times(&sandbox);
    let ran: Vec<&str> = active_stages().filter(|stage| before[stage] != after[stage]).collect();
    assert_eq!(ran, ["distill", "evaluate"]);
    assert_ne!(sandbox.digests("distill"), student);
    for (stage, stderr) in sandbox.run_all(&change) {
        assert!(stderr.contains(&format!("{stage}: up to date")), "{stderr}");
    }
}

fn manifest_times(sandbox: &Sandbox) -> BTreeMap<&'static str, SystemTime> {
    let time = |stage| fs::metadata(sandbox.run_path(stage).join(MANIFEST_FILE)).unwrap().modified().unwrap();
    active_stages().map(|stage| (stage, time(stage))).collect()
}
