use std::path::Path;

use pipeline::Input;
use pipeline::config::{EvaluateConfig, load};
use ranking::metrics::{Metric, MetricError, NoRelevant, Unjudged};
use tables::{Manifest, OutputDir, Rows, StageDir, TableWriter, WriteOptions};

use super::*;
use crate::compare::PValue;
use crate::fixture::{queries, system, systems};

fn config() -> EvaluateConfig {
    EvaluateConfig { bootstrap: 200, permutations: 300, ..EvaluateConfig::default() }
}

fn value(evaluation: &Evaluation, system: &str, metric: &str) -> Option<f64> {
    evaluation.estimate(system, metric, "all").unwrap().value
}

#[test]
fn perfect_constant_and_reversed_scores_have_their_known_metrics() {
    let queries = queries(40);
    let perfect = system("perfect", &queries, 0.0);
    let map = |name: &str, f: fn(f64) -> f64| SystemRun {
        system: name.into(),
        scores: perfect.scores.iter().map(|s| s.iter().map(|&x| f(x)).collect()).collect(),
        weights: Vec::new(),
    };
    let runs = [perfect.clone(), map("constant", |_| 0.0), map("reversed", |x| -x)];
    let evaluation = Evaluation::new(&queries, &runs, &config(), 1).unwrap();
    for metric in ["ndcg@1", "ndcg@3", "ndcg@5", "ndcg@10", "mrr@10"] {
        assert_eq!(value(&evaluation, "perfect", metric), Some(1.0), "{metric}");
        assert!(value(&evaluation, "constant", metric) < Some(0.7), "{metric}");
    }
    assert_eq!(value(&evaluation, "perfect", "pnr"), Some(f64::INFINITY));
    assert_eq!(value(&evaluation, "constant", "pnr"), None);
    assert_eq!(value(&evaluation, "reversed", "pnr"), Some(0.0));
    assert_eq!(value(&evaluation, "reversed", "ndcg@1"), Some(0.0));
}

#[test]
fn special_cases_are_counted_and_the_convention_applies() {
    let queries = queries(40);
    let runs = [system("bm25", &queries, 0.3)];
    let evaluation = Evaluation::new(&queries, &runs, &config(), 1).unwrap();
    let cases = evaluation.special_cases();
    assert_eq!((cases.queries, cases.no_relevant, cases.one_grade), (40, 4, 4));
    assert_eq!((cases.candidates, cases.judged), (480, 480));
    assert_eq!(evaluation.estimate("bm25", "ndcg@10", "all").unwrap().queries, 36);
    let zero = EvaluateConfig { no_relevant: NoRelevant::Zero, ..config() };
    let zero = Evaluation::new(&queries, &runs, &zero, 1).unwrap();
    let skipped = value(&evaluation, "bm25", "ndcg@10").unwrap();
    let as_zero = value(&zero, "bm25", "ndcg@10").unwrap();
    assert!((as_zero - 0.9 * skipped).abs() < 1e-12, "{as_zero} {skipped}");
}

#[test]
fn an_unjudged_candidate_counts_as_grade_zero() {
    let mut queries = queries(3);
    for query in &mut queries {
        query.doc_ids.push("unjudged".into());
        query.grades.push(None);
    }
    let runs = [system("bm25", &queries, 0.0)];
    let evaluation = Evaluation::new(&queries, &runs, &config(), 1).unwrap();
    assert_eq!(value(&evaluation, "bm25", "ndcg@10"), Some(1.0));
    assert_eq!(value(&evaluation, "bm25", "pnr"), Some(f64::INFINITY));
}

#[test]
fn exactly_the_named_metrics_are_measured_and_compared() {
    let mut queries = queries(30);
    for query in &mut queries {
        query.doc_ids.push("unjudged".into());
        query.grades.push(None);
    }
    let names = ["map", "judged@13", "pnr", "rbp@0.8"];
    let metrics: Vec<Metric> = names.iter().map(|name| name.parse().unwrap()).collect();
    let config = EvaluateConfig { primary: metrics[0], metrics, unjudged: Unjudged::Removed, ..config() };
    let runs = [system("bm25", &queries, 0.6), system("teacher", &queries, 0.2)];
    let evaluation = Evaluation::new(&queries, &runs, &config, 1).unwrap();
    let of_teacher = evaluation.estimates.iter().filter(|e| e.system == "teacher" && e.slice == "all");
    let reported: Vec<&str> = of_teacher.map(|e| e.metric.as_str()).collect();
    assert_eq!(reported, [&names[..], &["kendall_tau"]].concat());
    let compared: Vec<&str> =
        evaluation.comparisons.iter().filter(|c| c.slice == "all").map(|c| c.metric.as_str()).collect();
    assert_eq!(compared, names);
    let share = |metric: &str| evaluation.estimate("teacher", metric, "all").unwrap().judged.unwrap();
    assert!((share("map") - 12.0 / 13.0).abs() < 1e-12 && (share("judged@13") - 12.0 / 13.0).abs() < 1e-12);
    let judged = value(&evaluation, "teacher", "judged@13").unwrap();
    assert!((judged - 12.0 / 13.0).abs() < 1e-12, "{judged}");
    assert_eq!(evaluation.comparison("teacher", "bm25").unwrap().metric, "map");
    let text = summary::text(&evaluation, &config);
    assert!(text.contains("rbp@0.8") && text.contains("judged 92 %") && !text.contains("ndcg"), "{text}");
}

#[test]
fn a_nan_score_names_system_query_and_document() {
    let queries = queries(3);
    let mut run = system("teacher", &queries, 0.1);
    run.scores[1][2] = f64::NAN;
    let error = Evaluation::new(&queries, &[run], &config(), 1).unwrap_err();
    assert_eq!(format!("{error:#}"), "system teacher: query q001, document d02: expected a score, found NaN");
    assert!(error.chain().any(|cause| cause.is::<MetricError>()));
}

#[test]
fn each_pair_is_compared_once_on_every_slice() {
    let queries = queries(60);
    let runs = systems(&queries);
    let evaluation = Evaluation::new(&queries, &runs, &config(), 1).unwrap();
    for slice in ["all", "head", "tail"] {
        let metrics = evaluation.comparisons.iter().filter(|c| c.slice == slice);
        assert_eq!(metrics.count(), 10 * 6, "{slice}");
    }
    let better = evaluation.comparison("teacher", "bm25").unwrap();
    assert!(better.difference > 0.1 && better.interval.low > 0.0);
    // In the direction of the family alone.
    assert!(evaluation.comparison("bm25", "teacher").is_none());
    for comparison in &evaluation.comparisons {
        assert!(comparison.interval.low <= comparison.difference);
        assert!(comparison.interval.high >= comparison.difference);
        assert_eq!(comparison.p_value_t.is_none(), comparison.metric == "pnr");
    }
    let pnr = |a: &str, b: &str| {
        let found =
            |c: &&compare::Comparison| c.metric == "pnr" && c.slice == "all" && c.system_a == a && c.system_b == b;
        evaluation.comparisons.iter().find(found).unwrap()
    };
    let of = |system| value(&evaluation, system, "pnr").unwrap();
    assert!((pnr("teacher", "bm25").difference - (of("teacher") - of("bm25"))).abs() < 1e-12);
    assert!(pnr("teacher", "bm25").p_value.at_floor);
    let alike = [system("a", &queries, 0.2), SystemRun { system: "b".into(), ..system("a", &queries, 0.2) }];
    let evaluation = Evaluation::new(&queries, &alike, &config(), 1).unwrap();
    let even = |c: &compare::Comparison| {
        c.p_value == PValue { value: 1.0, at_floor: false } && c.p_value_t.unwrap_or(1.0) == 1.0
    };
    assert!(evaluation.comparisons.iter().all(even));
}

#[test]
fn the_family_alone_is_corrected_and_has_verdicts() {
    let queries = queries(60);
    let runs = systems(&queries);
    let config = config();
    let evaluation = Evaluation::new(&queries, &runs, &config, 1).unwrap();
    let found: Vec<_> = evaluation.key_comparisons(&config).collect();
    let pairs: Vec<(&str, &str)> = found.iter().map(|(c, _)| (c.system_a.as_str(), c.system_b.as_str())).collect();
    let expected = [
        ("student", "teacher"),
        ("student", "log_order"),
        ("student", "bm25"),
        ("student", "student_labels_only"),
        ("teacher", "bm25"),
    ];
    assert_eq!(pairs, expected);
    assert_eq!(evaluation.comparisons.iter().filter(|c| c.key.is_some()).count(), 5);
    for (comparison, key) in &found {
        assert!(key.p_adjusted.value >= comparison.p_value.value && comparison.slice == "all");
        assert_eq!(comparison.metric, "ndcg@10");
    }
    let (better, key) = &found[2];
    assert_eq!((key.verdict.name(), better.p_value.at_floor, key.p_adjusted.at_floor), ("WIN", true, true));
    // Five comparisons at most, of the smallest p-value there can be.
    assert!(key.p_adjusted.value <= 5.0 * better.p_value.value + 1e-12);
    let (worse, key) = &found[0];
    assert!(worse.difference < 0.0 && worse.interval.low < -0.02, "{worse:?}");
    assert_eq!(key.verdict.name(), "REGRESSION");
    let lenient = EvaluateConfig { margin: 0.5, ..config.clone() };
    let evaluation = Evaluation::new(&queries, &runs, &lenient, 1).unwrap();
    assert_eq!(evaluation.comparison("student", "teacher").unwrap().key.unwrap().verdict.name(), "EQUAL");
    let unknown = EvaluateConfig { family: vec![["student".into(), "dense".into()]], ..config };
    let error = Evaluation::new(&queries, &runs, &unknown, 1).unwrap_err().to_string();
    assert!(error.starts_with("evaluate.family: expected systems of this run, log_order, bm25,"), "{error}");
    assert!(error.ends_with("found dense"), "{error}");
}

#[test]
fn agreement_with_the_teacher_stands_beside_the_metrics() {
    let queries = queries(60);
    let runs = systems(&queries);
    let evaluation = Evaluation::new(&queries, &runs, &config(), 1).unwrap();
    assert_eq!(value(&evaluation, "teacher", "kendall_tau"), Some(1.0));
    let tau = |system| value(&evaluation, system, "kendall_tau").unwrap();
    assert!(tau("student") > tau("log_order") && tau("log_order") > 0.0);
    assert!(evaluation.comparisons.iter().all(|comparison| comparison.metric != "kendall_tau"));
    let alone = Evaluation::new(&queries, &runs[..2], &config(), 1).unwrap();
    assert!(alone.estimates.iter().all(|estimate| estimate.metric != "kendall_tau"));
}

#[test]
fn what_ties_decide_is_told() {
    let queries = queries(40);
    let mut tied = system("bm25", &queries, 0.6);
    tied.scores.iter_mut().flatten().for_each(|score| *score = score.round());
    let runs = [tied, system("teacher", &queries, 0.16)];
    let evaluation = Evaluation::new(&queries, &runs, &config(), 1).unwrap();
    let sensitive: Vec<&str> = evaluation.tie_sensitive().map(|estimate| estimate.system.as_str()).collect();
    assert_eq!(sensitive, ["bm25"]);
    for estimate in evaluation.estimates.iter().filter(|estimate| estimate.value.is_some()) {
        let ([low, high], value) = (estimate.ties.unwrap(), estimate.value.unwrap());
        assert!(low - 1e-12 <= value && value <= high + 1e-12, "{estimate:?}");
        assert!(low == high || estimate.system == "bm25");
    }
    let text = summary::text(&evaluation, &config());
    assert!(text.contains("bm25 gives documents equal scores: its ndcg@10 of 0."), "{text}");
}

fn manifest(stage: &str) -> Manifest {
    Manifest { stage: stage.into(), wall_seconds: 83.4, peak_memory_bytes: Some(700 << 20), ..Manifest::default() }
}

/// A finished stage with falling losses and rising validation NDCG.
fn commit_training(root: &Path, stage: &str, phases: &[&str]) {
    let mut rows: Vec<(&str, i64, &str, f64)> = Vec::new();
    for phase in phases {
        for step in 1..=300 {
            let wave = 0.2 * (step as f64 * 2.1).sin();
            rows.push((phase, step, "loss", 0.1 + (8.0 + wave) / (1.0 + step as f64 / 8.0)));
            if step % 30 == 0 {
                rows.push((phase, step, "validation_ndcg@10", 0.8 - 3.0 / (step as f64 + 8.0)));
            }
        }
    }
    let output = OutputDir::open(root, stage, false).unwrap();
    let mut table = TableWriter::create(output.path(), "training_metrics", WriteOptions::default(), &[]).unwrap();
    let columns = Rows::of(&rows)
        .strings("phase", |row| row.0)
        .int64s("step", |row| row.1)
        .strings("metric", |row| row.2)
        .float64s("value", |row| row.3);
    table.write(columns).unwrap();
    let mut manifest = manifest(stage);
    manifest.tables.insert("training_metrics".into(), table.finish().unwrap());
    manifest.facts.insert("steps".into(), 300.into());
    output.commit(manifest).unwrap();
}

/// Evaluates made-up systems in a run below `root` and commits the output.
fn evaluated(root: &Path, overrides: &[&str]) -> StageDir {
    let file = "../../pipeline.toml";
    let root = format!("run.root={:?}", root.display().to_string());
    let fast = ["evaluate.bootstrap=200", "evaluate.permutations=300"];
    let overrides: Vec<String> = [root.as_str()].iter().chain(&fast).chain(overrides).map(|s| s.to_string()).collect();
    let pipeline = load(Path::new(file), &overrides).unwrap();
    let (paths, run_dir) = (pipeline.paths(), pipeline.paths().run_dir());
    std::fs::create_dir_all(&run_dir).unwrap();
    commit_training(&run_dir, "teacher", &["cpt", "rank"]);
    commit_training(&run_dir, "distill", &["student", "student_labels_only"]);
    let output = OutputDir::open(&run_dir, "evaluate", false).unwrap();
    let declared = ["teacher", "distill"].map(|stage| Input::Table { stage, table: "training_metrics" });
    let mut context = StageContext::new(paths, output.path().to_path_buf(), declared.to_vec());
    let queries = queries(120);
    let mut runs = systems(&queries);
    runs.push(system("<b>&\"odd\"", &queries, 2.0));
    evaluate(&Config::of(&pipeline), &mut context, &queries, &runs).unwrap();
    let run = std::fs::read_to_string(output.path().join("trec/student.run")).unwrap();
    assert_eq!(run.lines().count(), 120 * 12);
    assert!(run.starts_with("q000 Q0 d") && run.lines().all(|line| line.ends_with(" student")), "{run}");
    for table in ["runs", "query_metrics", "metrics", "comparisons"] {
        assert!(output.path().join(table).join("part-00000.parquet").exists(), "{table}");
    }
    output.commit(manifest("evaluate")).unwrap()
}

#[test]
fn the_report_stands_alone_and_is_escaped() {
    let root = tempfile::tempdir().unwrap();
    let stage = evaluated(root.path(), &[]);
    let report = std::fs::read_to_string(stage.path().join("report.html")).unwrap();
    for outside in ["http", "<script", "@import", "url(", "<b>"] {
        assert!(!report.contains(outside), "{outside}");
    }
    assert!(report.contains("&lt;b&gt;&amp;&quot;odd&quot;"));
    for part in [
        "student_labels_only: loss",
        "rank: validation ndcg@10",
        "95 % interval",
        "log2(rank + 1)",
        "<td>WIN</td>",
        "tail: ndcg@10",
    ] {
        assert!(report.contains(part), "{part}");
    }
    assert!(!report.contains("derived from clicks"));
    assert_eq!(report.matches("<svg").count(), report.matches("</svg>").count());
    assert!(report.matches("<svg").count() >= 11);
    assert!(!report.contains("NaN"));
}

#[test]
fn a_report_on_grades_from_clicks_says_so() {
    let root = tempfile::tempdir().unwrap();
    let clicks = ["ingest.judgments={ format = \"clicks\" }"];
    let stage = evaluated(root.path(), &clicks);
    let report = std::fs::read_to_string(stage.path().join("report.html")).unwrap();
    assert!(report.contains("The grades are derived from clicks."));
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (evaluated(a.path(), &[]), evaluated(b.path(), &[]));
    assert_eq!(a.manifest().files, b.manifest().files);
}

#[test]
fn the_summary_shows_intervals_and_the_share() {
    let queries = queries(60);
    let runs = systems(&queries);
    let evaluation = Evaluation::new(&queries, &runs, &config(), 1).unwrap();
    let text = summary::text(&evaluation, &config());
    for part in ["60 queries", "student_labels_only", "ndcg@10", "% of the teacher's ndcg@10", "after Holm: WIN"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn no_test_query_is_bad_input() {
    let root = tempfile::tempdir().unwrap();
    let file = "../../pipeline.toml";
    let pipeline = load(Path::new(file), &[]).unwrap();
    let mut context = StageContext::new(pipeline.paths(), root.path().to_path_buf(), Vec::new());
    let error = evaluate(&Config::of(&pipeline), &mut context, &[], &[]).unwrap_err();
    assert!(error.is::<BadInput>());
    assert!(error.to_string().contains("expected judged queries"), "{error}");
}
