//! A student that is distilled in phases: contrastive first, then by the teacher's lists.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// Two phases before the teacher's scores, with `steps` steps each.
fn phases(steps: usize) -> String {
    let shared = format!(
        "steps = {steps}, learning_rate = 1e-3, checkpoint_every = 10, validate_every = {}, lists_per_step = 2, list_size = 4",
        steps / 2
    );
    format!(
        "distill.phases=[{{ name = \"contrastive\", labels = \"best\", loss = \"infonce\", sampler = \"rotating\", \
         negatives_from_rank = 3, negatives_relative_margin = 0.001, {shared} }}, \
         {{ name = \"judged\", labels = \"judgments\", loss = \"softmax\", sampler = \"log_random\", negatives_depth = 20, \
         negatives_from_rank = 2, negatives_max_score = 50, {shared} }}]"
    )
}

/// The steps of each phase in the log.
fn logged(sandbox: &Sandbox) -> BTreeMap<String, i64> {
    let table = sandbox.table("distill", "training_metrics");
    let (phases, steps) = (table.strings("phase").unwrap(), table.int64s("step").unwrap());
    let mut last = BTreeMap::new();
    for row in 0..table.rows() {
        let step = last.entry(phases.value(row).to_string()).or_default();
        *step = steps.value(row).max(*step);
    }
    last
}

#[test]
fn a_student_goes_through_its_phases() {
    let sandbox = Sandbox::finished();
    let before = sandbox.digests("distill");
    let stderr = sandbox.stage("distill", &["--set", &phases(8)]).stderr;
    assert!(stderr.contains("distill: phase contrastive: ") && stderr.contains("distill: phase judged: "), "{stderr}");
    let steps = [("contrastive", 8), ("judged", 8), ("student", 40), ("student_labels_only", 30)];
    assert_eq!(logged(&sandbox), steps.map(|(phase, step)| (phase.to_string(), step)).into());

    let facts = sandbox.manifest("distill").facts;
    let told: Vec<&Value> = facts["phases"].as_array().unwrap().iter().map(|phase| &phase["name"]).collect();
    assert_eq!(told, ["contrastive", "judged"]);
    assert!(facts["phases"][1]["best_validation"].as_f64().is_some(), "{facts:?}");
    let card = fs::read_to_string(sandbox.run_path("distill/student/README.md")).unwrap();
    let said = "Phase `contrastive` before: the teacher's best document of each list against others, loss infonce.";
    assert!(card.contains(said), "{card}");

    // The phases change the student, and not the label-only one.
    let after = sandbox.digests("distill");
    let same = |name: &str| before[name] == after[name];
    assert!(!same("student/model.safetensors") && same("student_labels_only/model.safetensors"));
    sandbox.assert_tidy();
}

#[test]
fn a_run_killed_in_its_second_phase_goes_on_there() {
    let phases = phases(120);
    let arguments = ["--set", &phases, "--set", "distill.sampler=rotating"];
    let undisturbed = Sandbox::finished();
    undisturbed.stage("distill", &arguments);

    let sandbox = Sandbox::finished();
    let metrics = ".distill.partial/training_metrics/part-00000.parquet";
    sandbox.kill_stage_at("distill", &arguments, &[".distill.partial/judged.checkpoint", metrics]);
    assert!(!sandbox.run_path(".distill.partial/student.checkpoint").exists());
    let stderr = sandbox.stage("distill", &[&arguments[..], &["--resume"]].concat()).stderr;
    assert!(stderr.contains("contrastive: resumed after step 120"), "{stderr}");
    assert!(stderr.contains("judged: resumed after step"), "{stderr}");
    assert_eq!(sandbox.digests("distill"), undisturbed.digests("distill"));
    sandbox.assert_whole("distill");
    sandbox.assert_tidy();
}

#[test]
fn a_phase_without_a_list_or_with_labels_that_its_loss_does_not_know_is_named() {
    let sandbox = Sandbox::finished();
    let phase = |keys: &str| {
        format!(
            "distill.phases=[{{ name = \"first\", steps = 1, learning_rate = 1e-3, lists_per_step = 1, list_size = 2, {keys} }}]"
        )
    };
    let refused = |keys: &str, expected: &str| {
        let outcome = sandbox.try_stage("distill", &["--set", &phase(keys), "--set", "distill.standardise=false"]);
        let line = outcome.error(3);
        assert!(line.contains(expected), "{line}");
    };
    refused(
        "labels = \"best\", loss = \"infonce\", negatives_max_score = -1e9",
        "distill.phases[0]: expected lists with a negative, found none; widen its negatives_from_rank,",
    );
    refused(
        "labels = \"teacher\", loss = \"lambda\"",
        "teacher_scores: expected scores from 0 to 31 for distill.phases[0].loss = \"lambda\", found -",
    );
}
