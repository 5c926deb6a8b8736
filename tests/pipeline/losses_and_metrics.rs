//! Any loss on any labels, and any list of metrics, by the configuration alone.

use std::collections::BTreeSet;

use crate::sandbox::Sandbox;

const FEW_STEPS: [&str; 6] =
    ["--set", "distill.steps=4", "--set", "distill.labels_only.steps=4", "--set", "distill.validate_every=0"];

/// The metrics in a table, in alphabetical order.
fn names(sandbox: &Sandbox, stage: &str, table: &str) -> BTreeSet<String> {
    let table = sandbox.table(stage, table);
    let metrics = table.strings("metric").unwrap();
    (0..table.rows()).map(|row| metrics.value(row).to_string()).collect()
}

#[test]
fn students_learn_by_losses_of_either_kind_of_label() {
    let sandbox = Sandbox::finished();
    for (loss, labels_only) in [("hinge", "hybrid"), ("margin_mse", "pointwise_mse")] {
        let losses = [format!("distill.loss={loss}"), format!("distill.labels_only.loss={labels_only}")];
        sandbox.stage("distill", &[&FEW_STEPS[..], &["--set", &losses[0], "--set", &losses[1]]].concat());
        let parts = names(&sandbox, "distill", "training_metrics").contains("margin_mse");
        assert_eq!(parts, labels_only == "hybrid", "{loss} {labels_only}");
    }
}

#[test]
fn teacher_scores_that_have_no_gain_are_refused() {
    let sandbox = Sandbox::finished();
    let lambda = ["--set", "distill.loss=lambda", "--set", "distill.standardise=false"];
    let outcome = sandbox.try_stage("distill", &lambda);
    let error = outcome.error(3);
    let expected = "/score/teacher_scores: expected scores from 0 to 31 for distill.loss = \"lambda\", found -";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn exactly_the_named_metrics_are_reported() {
    let sandbox = Sandbox::finished();
    let metrics = "evaluate.metrics=[\"map\", \"err@10\", \"judged@5\"]";
    let outcome = sandbox.stage("evaluate", &["--set", metrics, "--set", "evaluate.primary=map"]);
    let expected = BTreeSet::from(["map", "err@10", "judged@5"].map(String::from));
    assert_eq!(names(&sandbox, "evaluate", "comparisons"), expected);
    // Agreement with the teacher is no metric that could be left out.
    let expected = &expected | &BTreeSet::from(["kendall_tau".to_string()]);
    for table in ["metrics", "query_metrics"] {
        assert_eq!(names(&sandbox, "evaluate", table), expected, "{table}");
    }
    assert!(outcome.stdout.contains("% of the teacher's map ["), "{}", outcome.stdout);
}

#[test]
fn trainings_validate_by_the_primary_metric() {
    let sandbox = Sandbox::finished();
    sandbox.stage("distill", &["--set", "evaluate.metrics=[\"mrr\"]", "--set", "evaluate.primary=mrr"]);
    let logged = names(&sandbox, "distill", "training_metrics");
    assert!(logged.contains("validation_mrr") && !logged.contains("validation_ndcg@10"), "{logged:?}");
}
