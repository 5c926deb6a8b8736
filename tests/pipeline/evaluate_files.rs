//! Verdicts, and `evaluate` on TREC files outside a pipeline.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use tables::{Columns, StageDir};

use crate::process::{Outcome, command, finish};
use crate::sandbox::{Sandbox, copy};

const TREC: &str = "runs/tiny/evaluate/trec";

fn evaluate(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    finish(command(&sandbox.path(""), "evaluate", arguments))
}

fn table(sandbox: &Sandbox, name: &str) -> Columns {
    StageDir::open(&sandbox.path(""), "outside").unwrap().table(name).unwrap()
}

/// Value, ends of the interval and queries of each metric of a system on all queries.
fn metrics(table: &Columns, system: &str) -> BTreeMap<String, (f64, f64, f64, i64)> {
    let (systems, metrics) = (table.strings("system").unwrap(), table.strings("metric").unwrap());
    let (slices, queries) = (table.strings("slice").unwrap(), table.int64s("queries").unwrap());
    let [value, low, high] = ["value", "ci_low", "ci_high"].map(|name| table.float64s(name).unwrap());
    let rows = (0..table.rows()).filter(|&row| systems.value(row) == system && slices.value(row) == "all");
    let of = |row| (value.value(row), low.value(row), high.value(row), queries.value(row));
    rows.map(|row| (metrics.value(row).to_string(), of(row))).collect()
}

/// The verdicts of a table `comparisons`, by the pair of systems.
fn verdicts(table: &Columns) -> BTreeMap<(String, String), String> {
    let (a, b) = (table.strings("system_a").unwrap(), table.strings("system_b").unwrap());
    let verdicts = table.strings("verdict").unwrap();
    let rows = (0..table.rows()).filter(|&row| !verdicts.value(row).is_empty());
    rows.map(|row| ((a.value(row).into(), b.value(row).into()), verdicts.value(row).into())).collect()
}

#[test]
fn runs_of_a_pipeline_have_the_same_figures_outside_of_it() {
    let sandbox = Sandbox::finished();
    let told = evaluated_outside(&sandbox);
    assert!(told.stdout.contains("student - bm25: ndcg@10"), "{}", told.stdout);
    let (inside, outside) = (sandbox.table("evaluate", "metrics"), table(&sandbox, "metrics"));
    for system in ["bm25", "student"] {
        let (mut inside, outside) = (metrics(&inside, system), metrics(&outside, system));
        inside.remove("kendall_tau");
        assert_eq!(inside.keys().collect::<Vec<_>>(), outside.keys().collect::<Vec<_>>());
        for (metric, (value, low, high, queries)) in inside {
            let found = outside[&metric];
            for (inside, outside) in [(value, found.0), (low, found.1), (high, found.2)] {
                assert!((inside - outside).abs() < 1e-9 || inside == outside, "{metric}: {inside} and {outside}");
            }
            assert_eq!(queries, found.3, "{metric}");
        }
    }
    let verdicts = verdicts(&table(&sandbox, "comparisons"));
    assert_eq!(verdicts.keys().collect::<Vec<_>>(), [&("student".to_string(), "bm25".to_string())]);
    assert!(sandbox.path("outside/report.html").is_file());

    let arguments = arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let twice = evaluate(&sandbox, &arguments);
    assert!(twice.error(2).contains("outside: expected no folder of this name, found one"), "{}", twice.stderr);
    evaluate(&sandbox, &[&arguments[..], &["--force"]].concat()).succeeded();
}

/// What evaluates two systems of a finished run from its files of TREC's format.
fn arguments() -> Vec<String> {
    let files = ["--qrels", &format!("{TREC}/qrels.txt"), "--run", &format!("bm25={TREC}/bm25.run"), "--run"];
    let student = [&format!("student={TREC}/student.run"), "--out", "outside"];
    let set = ["--set", "evaluate.bootstrap=200", "--set", "evaluate.permutations=500"];
    files.iter().chain(&student).chain(&set).map(ToString::to_string).collect()
}

/// Evaluates them into the folder `outside` of the run's sandbox.
pub(crate) fn evaluated_outside(sandbox: &Sandbox) -> Outcome {
    let arguments = arguments();
    evaluate(sandbox, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).succeeded()
}

/// Runs of 40 queries, of which one is answered by the grades, one by their reverse, and one by nothing that is judged.
fn write_runs(sandbox: &Sandbox) {
    let (mut qrels, mut best, mut worst, mut other) = (String::new(), String::new(), String::new(), String::new());
    for query in 0..40 {
        for (document, grade) in [-2, -1, 0, 1, 3, 1000].into_iter().enumerate() {
            let id = (document * 5 + query) % 7;
            writeln!(qrels, "q{query} 0 d{id} {grade}").unwrap();
            // Not all is answered.
            if query != 7 {
                writeln!(best, "q{query} Q0 d{id} 1 {} best", document as f64 / 8.0).unwrap();
            }
            writeln!(worst, "q{query}\tQ0\td{id}\t1\t{}\tworst", -(document as f64)).unwrap();
        }
        writeln!(best, "unknown Q0 d{query} 1 1 best").unwrap();
        writeln!(other, "other{query} Q0 d1 1 1 other").unwrap();
    }
    for (name, text) in [("qrels.txt", &qrels), ("best.run", &best), ("worst.run", &worst), ("other.run", &other)] {
        fs::write(sandbox.path(name), text).unwrap();
    }
}

#[test]
fn grades_of_any_size_and_unanswered_queries_are_measured() {
    let sandbox = Sandbox::new();
    write_runs(&sandbox);
    let files = ["--qrels", "qrels.txt", "--run", "best=best.run", "--run", "worst=worst.run", "--out", "outside"];
    let told = evaluate(&sandbox, &files).succeeded();
    assert!(told.stderr.contains("best: no answer to 1 of 40 judged queries"), "{}", told.stderr);
    assert!(told.stderr.contains("best: 1 queries without judgments are left out"), "{}", told.stderr);
    let (best, worst) = (metrics(&table(&sandbox, "metrics"), "best"), metrics(&table(&sandbox, "metrics"), "worst"));
    // 39 perfect answers of 40. Grades below 0 form no pair with 0.
    assert!((best["ndcg@10"].0 - 39.0 / 40.0).abs() < 1e-12 && best["ndcg@10"].3 == 40, "{best:?}");
    assert_eq!((best["pnr"].0, best["pnr"].3, worst["pnr"].0), (f64::INFINITY, 39, 0.0));
    assert!((worst["mrr@10"].0 - 0.25).abs() < 1e-12, "{worst:?}");
    let grades = ["--set", "evaluate.relevant_grade=1000", "--set", "evaluate.gain=linear", "--force"];
    evaluate(&sandbox, &[&files[..], &grades].concat()).succeeded();
    let worst = metrics(&table(&sandbox, "metrics"), "worst");
    assert!((worst["mrr@10"].0 - 1.0 / 6.0).abs() < 1e-12, "{worst:?}");
}

#[test]
fn a_regression_has_an_exit_code_of_its_own() {
    let sandbox = Sandbox::new();
    write_runs(&sandbox);
    let run = |runs: &[&str]| {
        let runs: Vec<&str> = runs.iter().flat_map(|run| ["--run", run]).collect();
        let rest = ["--out", "outside", "--force", "--fail-on-regression"];
        evaluate(&sandbox, &[&["--qrels", "qrels.txt"][..], &runs, &rest].concat())
    };
    let worse = run(&["best=best.run", "worst=worst.run"]);
    assert!(worse.error(4).starts_with("error: regression: worst - best: ndcg@10 −0."), "{}", worse.stderr);
    assert_eq!(verdicts(&table(&sandbox, "comparisons")).values().collect::<Vec<_>>(), ["REGRESSION"]);
    assert!(run(&["best=best.run", "same=best.run"]).succeeded().stdout.contains("after Holm: EQUAL"));
    assert!(run(&["worst=worst.run", "best=best.run"]).succeeded().stdout.contains("after Holm: WIN"));

    let cases = [
        (vec!["best=best.run"], 2, "--fail-on-regression: expected a run beside the baseline"),
        (vec!["a=best.run", "a=worst.run"], 2, "--run: expected runs of different names, found a twice"),
        (vec!["a=best.run", "b/c=worst.run"], 2, "--run: expected a name of letters, digits"),
        (vec!["a=best.run", "b=other.run"], 3, "other.run: expected answers to queries of qrels.txt, found none"),
        (vec!["a=best.run", "b=qrels.txt"], 3, "qrels.txt:1: expected columns of a TREC file"),
    ];
    for (runs, code, expected) in cases {
        let refused = run(&runs);
        assert!(refused.error(code).contains(expected), "{}", refused.stderr);
    }
    fs::create_dir(sandbox.path("precious")).unwrap();
    let files = ["--qrels", "qrels.txt", "--run", "a=best.run", "--out", "precious", "--force"];
    assert!(evaluate(&sandbox, &files).error(2).contains("precious: expected an evaluation to replace"));
    let depth = [&files[..5], &["new", "--set", "evaluate.depth=9"]].concat();
    assert!(evaluate(&sandbox, &depth).error(2).contains("evaluate.depth: expected keys of evaluate"));
}

#[test]
fn the_student_is_compared_with_that_of_an_earlier_run() {
    let sandbox = Sandbox::finished();
    copy(&sandbox.run_path(""), &sandbox.path("runs/earlier"));
    let gate = |more: &[&str]| {
        let baseline = ["--set", "evaluate.baseline=earlier", "--set", "evaluate.margin=0", "--fail-on-regression"];
        sandbox.try_stage("evaluate", &[&baseline[..], more].concat())
    };
    let same = gate(&[]).succeeded();
    assert!(same.stdout.contains("student - baseline: ndcg@10 0.000 [0.000, 0.000]"), "{}", same.stdout);
    let student = ("student".to_string(), "baseline".to_string());
    assert_eq!(verdicts(&sandbox.table("evaluate", "comparisons"))[&student], "EQUAL");

    let few = ["--set", "distill.steps=1", "--set", "distill.learning_rate=1e-9", "--set", "distill.validate_every=0"];
    sandbox.stage("distill", &few);
    let expected = "error: regression: student - baseline: ndcg@10 ";
    for up_to_date in [false, true] {
        let worse = gate(&few);
        assert!(worse.error(4).starts_with(expected), "{}", worse.stderr);
        assert_eq!(worse.stderr.contains("evaluate: up to date"), up_to_date, "{}", worse.stderr);
    }
    assert_eq!(verdicts(&sandbox.table("evaluate", "comparisons"))[&student], "REGRESSION");
    let without = sandbox.try_stage("evaluate", &[&few[..], &["--fail-on-regression"]].concat());
    assert!(
        without.error(2).contains("--fail-on-regression: expected a run in evaluate.baseline"),
        "{}",
        without.stderr
    );
}
