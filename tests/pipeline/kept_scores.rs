//! Scores that `evaluate` keeps: used again for other metrics, never for another model.

use std::collections::BTreeMap;
use std::fs;

use crate::sandbox::Sandbox;

const OTHER_METRIC: [&str; 4] = ["--set", "evaluate.metrics=[\"map\"]", "--set", "evaluate.primary=map"];

/// The systems of which `evaluate` said that it used lists scored before, and how many lists of how many.
fn kept(stderr: &str) -> Vec<(String, usize, usize)> {
    let told = stderr.lines().filter_map(|line| line.split_once(" lists were scored before")).map(|(told, _)| {
        let words: Vec<&str> = told.split(' ').collect();
        let [.., name, kept, "of", all] = words[..] else { panic!("{told}") };
        (name.trim_end_matches(':').to_string(), kept.parse().unwrap(), all.parse().unwrap())
    });
    told.collect()
}

#[test]
fn another_metric_scores_nothing_again() {
    let sandbox = Sandbox::finished();
    let before = sandbox.digests("evaluate");
    let told = kept(&sandbox.stage("evaluate", &OTHER_METRIC).stderr);
    let names: Vec<&str> = told.iter().map(|(name, ..)| &name[..]).collect();
    assert_eq!(names, ["teacher", "student", "student_labels_only"]);
    assert!(told.iter().all(|(_, kept, all)| kept == all), "{told:?}");
    // The same systems, the same scores; and as if nothing had been kept.
    let runs = |digests: &BTreeMap<String, String>| -> Vec<String> {
        digests.iter().filter(|(path, _)| path.starts_with("runs/")).map(|(_, digest)| digest.clone()).collect()
    };
    let after = sandbox.digests("evaluate");
    assert_eq!(runs(&after), runs(&before));
    assert!(kept(&sandbox.stage("evaluate", &[&OTHER_METRIC[..], &["--force"]].concat()).stderr).is_empty());
    assert_eq!(sandbox.digests("evaluate"), after);
}

#[test]
fn other_conventions_and_draws_score_nothing_again() {
    let sandbox = Sandbox::finished();
    let others =
        ["gain=linear", "no_relevant=zero", "permutations=900", "margin=0.1", "slices=[\"words\"]", "bootstrap=100"];
    for other in others {
        let told = kept(&sandbox.stage("evaluate", &["--set", &format!("evaluate.{other}")]).stderr);
        assert_eq!(told.len(), 3, "{other}: {told:?}");
        assert!(told.iter().all(|(_, kept, all)| kept == all), "{other}: {told:?}");
    }
}

#[test]
fn another_model_is_scored_again_and_damage_is_mended() {
    let sandbox = Sandbox::finished();
    let expected = sandbox.digests("evaluate");
    let steps = ["--set", "distill.steps=3", "--set", "distill.validate_every=0"];
    sandbox.stage("distill", &steps);
    let told = kept(&sandbox.stage("evaluate", &steps).stderr);
    let is_kept = |system: &str| told.iter().any(|(name, ..)| name == system);
    assert!(is_kept("teacher") && !is_kept("student"), "{told:?}");
    assert_ne!(sandbox.digests("evaluate"), expected);

    let sandbox = Sandbox::finished();
    let part = sandbox.run_path("evaluate.parts/student/part-00000.parquet");
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    sandbox.stage("evaluate", &OTHER_METRIC);
    let told = kept(&sandbox.stage("evaluate", &[]).stderr);
    assert!(told.iter().all(|(_, kept, all)| kept == all), "{told:?}");
    assert_eq!(sandbox.digests("evaluate"), expected);
}

#[test]
fn shards_make_the_scores_that_one_process_makes() {
    let undisturbed = Sandbox::finished();
    undisturbed.stage("evaluate", &["--force"]);

    let sandbox = Sandbox::finished();
    let earlier = sandbox.digests("evaluate");
    fs::remove_dir_all(sandbox.run_path("evaluate.parts")).unwrap();
    fs::remove_file(sandbox.run_path("evaluate/manifest.json")).unwrap();
    for shard in ["2/3", "1/3", "2/3"] {
        let stderr = sandbox.stage("evaluate", &["--shard", shard]).stderr;
        assert!(stderr.contains(&format!("evaluate: shard {shard} is finished")), "{stderr}");
    }
    let stderr = sandbox.stage("evaluate", &[]).stderr;
    assert!(stderr.contains(" lists were scored before"), "{stderr}");
    assert_eq!(sandbox.digests("evaluate"), earlier);
    assert_eq!(sandbox.digests("evaluate"), undisturbed.digests("evaluate"));
}

#[test]
fn a_shard_says_what_it_cannot_do() {
    let sandbox = Sandbox::finished();
    let alone =
        sandbox.try_stage("evaluate", &[&OTHER_METRIC[..], &["--shard", "1/2", "--fail-on-regression"]].concat());
    let expected = "--fail-on-regression: expected a run that evaluates, found shard 1/2";
    assert!(alone.error(2).contains(expected), "{}", alone.stderr);
    // Scores of another student are not made anew by a shard.
    sandbox.stage("distill", &["--set", "distill.steps=3"]);
    let foreign = sandbox.try_stage("evaluate", &["--shard", "1/2"]);
    assert!(
        foreign.error(3).contains("remove it while no shard is at work, and start the shards again"),
        "{}",
        foreign.stderr
    );
    sandbox.stage("evaluate", &[]);
}
