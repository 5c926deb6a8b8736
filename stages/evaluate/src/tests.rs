use std::path::Path;

use collection::Corpus;
use pipeline::Input;
use pipeline::config::{EvaluateConfig, load};
use ranking::metrics::{Metric, MetricError, NoRelevant, Unjudged};
use tables::{Manifest, OutputDir, Rows, StageDir, TableWriter, WriteOptions};

use super::*;
use crate::compare::PValue;
use crate::cost::Cost;
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
    let columns = Rows::of(&rows)
        .strings("phase", |row| row.0)
        .int64s("step", |row| row.1)
        .strings("metric", |row| row.2)
        .float64s("value", |row| row.3);
    let mut manifest = manifest(stage);
    add_table(&output, &mut manifest, "training_metrics", columns);
    manifest.facts.insert("steps".into(), 300.into());
    manifest.config = serde_json::json!({ "loss": "<hybrid>", "base": null });
    output.commit(manifest).unwrap();
}

fn add_table<T>(output: &OutputDir, manifest: &mut Manifest, name: &str, rows: Rows<'_, T>) {
    let mut table = TableWriter::create(output.path(), name, WriteOptions::default(), &[]).unwrap();
    table.write(rows).unwrap();
    manifest.tables.insert(name.into(), table.finish().unwrap());
}

/// What `ingest` tells of a log that lost some rows.
fn commit_ingest(root: &Path) {
    let output = OutputDir::open(root, "ingest", false).unwrap();
    let mut manifest = manifest("ingest");
    let fates = [("kept", "", 0.9), ("left_out", "<robot>", 0.1)];
    let columns = Rows::of(&fates)
        .strings("input", |_| "log")
        .strings("fate", |row| row.0)
        .strings("reason", |row| row.1)
        .int64s("rows", |row| (row.2 * 12_000.0) as i64)
        .float64s("row_share", |row| row.2)
        .int64s("clicks", |row| (row.2 * 1000.0) as i64)
        .float64s("click_share", |row| row.2)
        .strings("example", |_| "a secret line");
    add_table(&output, &mut manifest, "ingest_report", columns);
    let positions = [1, 2, 3];
    let columns = Rows::of(&positions)
        .int32s("position", |&position| position)
        .float64s("propensity", |&position| 1.0 / f64::from(position))
        .strings("method", |_| "likelihood")
        .bools("measured", |_| true)
        .int64s("impressions", |_| 4000)
        .int64s("clicks", |&position| 600 / i64::from(position))
        .float64s("ctr", |&position| 0.15 / f64::from(position))
        .float64s("expected_ctr", |_| 0.1);
    add_table(&output, &mut manifest, "propensities", columns);
    output.commit(manifest).unwrap();
}

/// Documents with titles, and models with a size.
fn background() -> Background {
    let ids: Vec<String> = (0..12).map(|i| format!("d{i:02}")).collect();
    let documents = ids.iter().map(|id| (id.as_str(), "A <red> bowl", ""));
    let cost = |system: &str, parameters| Cost {
        system: system.into(),
        parameters,
        bytes: 4096,
        milliseconds: [Some(2.5), Some(0.5)],
        threads: 2,
    };
    Background {
        corpora: vec![Corpus::new(Vec::new(), documents).unwrap()],
        costs: vec![cost("teacher", 4000), cost("student", 1000)],
    }
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
    commit_ingest(&run_dir);
    let read = [
        ("teacher", "training_metrics"),
        ("distill", "training_metrics"),
        ("ingest", "ingest_report"),
        ("ingest", "propensities"),
    ];
    let declared = read.map(|(stage, table)| Input::Table { stage, table });
    let mut context = StageContext::new(paths, output.path().to_path_buf(), declared.to_vec());
    let queries = queries(120);
    let mut runs = systems(&queries);
    runs.push(system("<b>&\"odd\"", &queries, 2.0));
    evaluate(&Config::of(&pipeline), &mut context, &queries, &runs, &background()).unwrap();
    let run = std::fs::read_to_string(output.path().join("trec/student.run")).unwrap();
    assert_eq!(run.lines().count(), 120 * 12);
    assert!(run.starts_with("q000 Q0 d") && run.lines().all(|line| line.ends_with(" student")), "{run}");
    for table in ["runs", "query_metrics", "metrics", "comparisons"] {
        assert!(output.path().join(table).join("part-00000.parquet").exists(), "{table}");
    }
    output.commit(manifest("evaluate")).unwrap()
}

/// The report without its scripts, whose text is not ours.
fn report(stage: &StageDir) -> String {
    let report = std::fs::read_to_string(stage.path().join("report.html")).unwrap();
    let (page, scripts) = report.split_once("<script type=\"text/javascript\">").unwrap();
    assert_eq!(scripts.matches("</script>").count(), 2);
    page.to_string()
}

#[test]
fn the_report_stands_alone_and_is_escaped() {
    let root = tempfile::tempdir().unwrap();
    let stage = evaluated(root.path(), &[]);
    let report = report(&stage);
    for outside in
        ["http:", "https:", "src=", "@import", "url(", "<b>", "<red>", "<robot>", "<hybrid>", "a secret line"]
    {
        assert!(!report.contains(outside), "{outside}");
    }
    assert!(report.contains("&lt;b&gt;&amp;&quot;odd&quot;"));
    let charts = report.matches("<div class=\"chart\"").count();
    assert!(charts >= 17 && report.matches("<script type=\"application/json\">").count() == charts, "{charts}");
    assert!(!report.contains("NaN") && !report.contains("derived from clicks"));
}

#[test]
fn the_report_answers_in_order() {
    let root = tempfile::tempdir().unwrap();
    let report = report(&evaluated(root.path(), &[]));
    let answers = [
        "id=\"teacher\"",
        "of the teacher's ndcg@10",
        "<strong class=\"verdict regression\">REGRESSION</strong>",
        "id=\"today\"",
        "<td>WIN</td>",
        "tail: ndcg@10",
        "id=\"queries\"",
        "Largest losses of student",
        "A &lt;red&gt; bowl",
        "Largest wins of student",
        "id=\"cost\"",
        "4\u{202f}000",
        "student / teacher",
        "25.0\u{a0}%",
        "id=\"scores\"",
        "Scores of the teacher",
        "Calibration: mean grade",
        "id=\"clicks\"",
        "The most likely values",
        "id=\"training\"",
        "rank: validation ndcg@10",
        "student_labels_only: loss",
        "id=\"data\"",
        "of 12\u{202f}000 rows 1\u{202f}200 were lost (10.0\u{a0}%)",
        "&lt;robot&gt;",
        "id=\"slices\"",
        "id=\"conventions\"",
        "log2(rank + 1)",
        "id=\"configuration\"",
        "loss = &quot;&lt;hybrid&gt;&quot;",
        "id=\"versions\"",
    ];
    let mut rest = report.as_str();
    for answer in answers {
        let at = rest.find(answer).unwrap_or_else(|| panic!("{answer} is not there, or too early"));
        rest = &rest[at + answer.len()..];
    }
}

#[test]
fn a_report_on_grades_from_clicks_says_so() {
    let root = tempfile::tempdir().unwrap();
    let clicks = ["ingest.judgments={ format = \"clicks\" }"];
    let report = report(&evaluated(root.path(), &clicks));
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
    let error = evaluate(&Config::of(&pipeline), &mut context, &[], &[], &Background::default()).unwrap_err();
    assert!(error.is::<BadInput>());
    assert!(error.to_string().contains("expected judged queries"), "{error}");
}
