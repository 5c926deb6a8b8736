//! One seed, the same bytes.

use crate::sandbox::{Sandbox, active_stages};

#[test]
fn two_runs_of_one_seed_are_equal() {
    let (first, second) = (Sandbox::finished(), Sandbox::new());
    second.run_all(&[]);
    for stage in active_stages() {
        assert_eq!(first.digests(stage), second.digests(stage), "{stage}");
    }
}

#[test]
fn another_seed_changes_every_stage() {
    let (first, second) = (Sandbox::finished(), Sandbox::new());
    second.run_all(&["--set", "run.seed=7"]);
    for stage in active_stages() {
        assert_ne!(first.digests(stage), second.digests(stage), "{stage}");
    }
}

#[test]
fn a_stage_made_again_is_equal() {
    let sandbox = Sandbox::finished();
    for stage in active_stages() {
        let before = sandbox.digests(stage);
        let stderr = sandbox.stage(stage, &["--force"]).stderr;
        assert!(stderr.contains(&format!("{stage}: running")), "{stderr}");
        assert_eq!(sandbox.digests(stage), before, "{stage}");
        sandbox.assert_whole(stage);
    }
    sandbox.assert_tidy();
}

#[test]
fn another_precision_makes_every_model_anew() {
    let sandbox = Sandbox::finished();
    for stage in active_stages() {
        let before = sandbox.digests(stage);
        sandbox.stage(stage, &["--set", "run.precision=bf16"]);
        let computes_models = ["teacher", "score", "distill", "evaluate"].contains(&stage);
        assert_eq!(sandbox.digests(stage) != before, computes_models, "{stage}");
    }
}
