//! `kill -9` at any moment, and run again.

use std::fs;
use std::time::{Duration, Instant};

use ranking::rng::number;

use crate::process::{kill, start, wait_until, was_killed, without_digests};
use crate::sandbox::Sandbox;

/// Trainings long enough to be killed on their way.
const TEACHER: [&str; 8] = [
    "--set",
    "teacher.cpt.steps=120",
    "--set",
    "teacher.cpt.checkpoint_every=10",
    "--set",
    "teacher.rank.steps=120",
    "--set",
    "teacher.rank.checkpoint_every=10",
];
const DISTILL: [&str; 8] = [
    "--set",
    "distill.steps=120",
    "--set",
    "distill.checkpoint_every=10",
    "--set",
    "distill.labels_only.steps=120",
    "--set",
    "distill.labels_only.checkpoint_every=10",
];

#[test]
fn a_killed_teacher_goes_on_to_the_same_bytes() {
    killed_training_goes_on("teacher", &TEACHER, ["cpt", "rank"]);
}

#[test]
fn a_killed_distillation_goes_on_to_the_same_bytes() {
    killed_training_goes_on("distill", &DISTILL, ["student", "student_labels_only"]);
}

#[test]
fn a_killed_distillation_with_a_term_control_layer_goes_on_to_the_same_bytes() {
    let arguments = [&DISTILL[..], &["--set", "distill.term_control.weight=0.5"]].concat();
    killed_training_goes_on("distill", &arguments, ["student", "student_labels_only"]);
}

/// Kills a training in each of its phases, while its metrics can be read and the earlier output stands.
fn killed_training_goes_on(stage: &str, arguments: &[&str], phases: [&str; 2]) {
    let undisturbed = Sandbox::finished();
    undisturbed.stage(stage, arguments);

    let sandbox = Sandbox::finished();
    let earlier = sandbox.digests(stage);
    let metrics = format!(".{stage}.partial/training_metrics/part-00000.parquet");
    for phase in phases {
        let checkpoint = format!(".{stage}.partial/{phase}.checkpoint");
        sandbox.kill_stage_at(stage, arguments, &[&checkpoint, &metrics]);
        assert_eq!(sandbox.digests(stage), earlier);
        sandbox.assert_whole(stage);
    }
    let stderr = sandbox.stage(stage, arguments).stderr;
    assert!(stderr.contains(&format!("{}: resumed after step", phases[1])), "{stderr}");
    assert_eq!(sandbox.digests(stage), undisturbed.digests(stage));
    sandbox.assert_whole(stage);
    sandbox.assert_tidy();
}

/// Checkpoints as often as they can be, so that every round goes a little further.
const FREQUENT: [&str; 8] = [
    "--set",
    "teacher.cpt.steps=120",
    "--set",
    "teacher.cpt.checkpoint_every=1",
    "--set",
    "teacher.rank.steps=120",
    "--set",
    "teacher.rank.checkpoint_every=1",
];

#[test]
fn ten_kills_at_random_moments_change_no_byte() {
    const KILLS: u64 = 10;
    let undisturbed = Sandbox::finished();
    let begin = Instant::now();
    undisturbed.stage("teacher", &FREQUENT);
    let whole = begin.elapsed();

    let sandbox = Sandbox::finished();
    let checkpoints = || {
        ["cpt", "rank"].map(|phase| fs::read(sandbox.run_path(&format!(".teacher.partial/{phase}.checkpoint"))).ok())
    };
    let (mut killed, mut progressed) = (0, 0);
    for round in 0..KILLS {
        let before = checkpoints();
        let child = start(sandbox.command("teacher", &FREQUENT));
        // A fiftieth to a tenth of the whole run.
        std::thread::sleep(whole.mul_f64(0.02 + 0.08 * number(42, "kill", round) as f64 / u64::MAX as f64));
        if was_killed(kill(child)) {
            killed += 1;
            progressed += u64::from(checkpoints() != before);
        }
    }
    assert!(killed > KILLS / 2 && progressed > KILLS / 3, "{killed} kills, {progressed} of them after some steps");
    let stderr = sandbox.stage("teacher", &FREQUENT).stderr;
    // On a machine that has become much faster meanwhile, the last rounds may find nothing to do.
    assert!(stderr.contains(": resumed after step") || killed < KILLS, "{stderr}");
    assert_eq!(sandbox.digests("teacher"), undisturbed.digests("teacher"));
    sandbox.assert_whole("teacher");
    sandbox.assert_tidy();
}

#[test]
fn a_checkpoint_of_another_configuration_is_set_aside() {
    let sandbox = Sandbox::finished();
    sandbox.kill_stage_at("teacher", &TEACHER, &[".teacher.partial/cpt.checkpoint"]);
    let checkpoint = fs::read(sandbox.run_path(".teacher.partial/cpt.checkpoint")).unwrap();

    let other = [&TEACHER[..], &["--set", "teacher.cpt.learning_rate=0.001"]].concat();
    let foreign = sandbox.try_stage("teacher", &[&other[..], &["--resume"]].concat());
    let foreign = without_digests(foreign.error(3));
    assert_eq!(
        foreign,
        "error: stage teacher: ./runs/tiny/.teacher.partial/cpt.checkpoint: expected a checkpoint of this data and \
         configuration, <sha256> (remove the file to train from the start), found one of <sha256>"
    );
    let stderr = sandbox.stage("teacher", &other).stderr;
    let said = "cpt: the interrupted training was of other data or another configuration: it starts anew, and the old \
                checkpoint is kept as ./runs/tiny/.teacher.aside/cpt.checkpoint";
    assert!(stderr.contains(said), "{stderr}");
    assert_eq!(fs::read(sandbox.run_path(".teacher.aside/cpt.checkpoint")).unwrap(), checkpoint);
    let undisturbed = Sandbox::finished();
    undisturbed.stage("teacher", &other);
    assert_eq!(sandbox.digests("teacher"), undisturbed.digests("teacher"));
    sandbox.assert_whole("teacher");
}

#[test]
fn a_finished_phase_is_kept_where_a_later_one_is_changed() {
    let sandbox = Sandbox::finished();
    sandbox.kill_stage_at("teacher", &TEACHER, &[".teacher.partial/rank.checkpoint"]);
    let other = [&TEACHER[..], &["--set", "teacher.rank.learning_rate=0.002"]].concat();
    let stderr = sandbox.stage("teacher", &other).stderr;
    assert!(stderr.contains("cpt: resumed after step") && stderr.contains(", its last"), "{stderr}");
    assert!(stderr.contains("rank: the interrupted training was of other data or another configuration"), "{stderr}");
    let undisturbed = Sandbox::finished();
    undisturbed.stage("teacher", &other);
    assert_eq!(sandbox.digests("teacher"), undisturbed.digests("teacher"));
    sandbox.assert_whole("teacher");
}

#[test]
fn another_number_of_threads_is_said() {
    let sandbox = Sandbox::finished();
    let with = |threads: &'static str| [&TEACHER[..], &["--set", threads]].concat();
    sandbox.kill_stage_at("teacher", &with("run.threads=1"), &[".teacher.partial/cpt.checkpoint"]);
    sandbox.kill_stage_at("teacher", &with("run.threads=1"), &[".teacher.partial/rank.checkpoint"]);
    let stderr = sandbox.stage("teacher", &with("run.threads=2")).stderr;
    for phase in ["cpt", "rank"] {
        let said = format!(
            "{phase}: goes on with 2 threads, of all ranks together, where the interrupted training had 1: the result will not \
             be equal byte for byte to that of an undisturbed run; run it with 1 threads for that"
        );
        assert_eq!(stderr.matches(&said).count(), 1, "{stderr}");
    }
    let sandbox = Sandbox::finished();
    sandbox.kill_stage_at("teacher", &with("run.threads=1"), &[".teacher.partial/cpt.checkpoint"]);
    let stderr = sandbox.stage("teacher", &with("run.threads=1")).stderr;
    assert!(stderr.contains("cpt: resumed after step") && !stderr.contains("goes on with"), "{stderr}");
}

#[test]
fn only_an_interrupted_training_can_be_asked_to_go_on() {
    let sandbox = Sandbox::finished();
    let resume = [&TEACHER[..], &["--resume"]].concat();
    assert_eq!(
        sandbox.try_stage("teacher", &resume).error(2),
        "error: stage teacher: --resume: ./runs/tiny/.teacher.partial: expected checkpoints of an interrupted run, found \
         none; run without --resume to begin one"
    );
    sandbox.kill_stage_at("teacher", &TEACHER, &[".teacher.partial/cpt.checkpoint"]);
    let stderr = sandbox.stage("teacher", &resume).stderr;
    assert!(stderr.contains("resumed after step"), "{stderr}");
    let stderr = sandbox.stage("teacher", &resume).stderr;
    assert!(stderr.contains("teacher: up to date"), "{stderr}");
    assert_eq!(
        sandbox.try_stage("score", &["--resume"]).error(2),
        "error: --resume: stage score keeps no checkpoints; run it without --resume"
    );
}

#[test]
fn a_stage_runs_once_at_a_time() {
    let sandbox = Sandbox::finished();
    let mut child = start(sandbox.command("teacher", &TEACHER));
    let checkpoint = sandbox.run_path(".teacher.partial/cpt.checkpoint");
    wait_until(&mut child, "a checkpoint", || checkpoint.exists());
    let second = sandbox.try_stage("teacher", &TEACHER);
    kill(child);
    assert_eq!(
        second.error(2),
        "error: ./runs/tiny/.teacher.lock: stage teacher of this run is being run by another process; wait for it or set \
         another run.name"
    );
}

#[test]
fn stages_without_checkpoints_survive_a_kill_at_any_moment() {
    let sandbox = Sandbox::finished();
    for stage in ["simulate", "ingest", "cpt", "score", "evaluate"] {
        let expected = sandbox.digests(stage);
        for milliseconds in [1, 8, 30, 80, 160, 300] {
            let child = start(sandbox.command(stage, &["--force"]));
            std::thread::sleep(Duration::from_millis(milliseconds));
            kill(child);
            // Wherever the kill fell: an output with a manifest is whole, and one without is not finished.
            if sandbox.run_path(stage).join("manifest.json").exists() {
                sandbox.assert_whole(stage);
                assert_eq!(sandbox.digests(stage), expected, "{stage} after {milliseconds} ms");
            }
        }
        sandbox.stage(stage, &["--force"]);
        assert_eq!(sandbox.digests(stage), expected, "{stage}");
        sandbox.assert_tidy();
    }
}

#[test]
fn an_output_without_a_manifest_is_not_finished() {
    let sandbox = Sandbox::finished();
    fs::remove_file(sandbox.run_path("score/manifest.json")).unwrap();
    let outcome = sandbox.try_stage("distill", &[]);
    assert_eq!(
        outcome.error(3),
        "error: ./runs/tiny/score/manifest.json: no finished output of stage `score`; run `score` first"
    );
    let expected = Sandbox::finished().digests("score");
    let stderr = sandbox.stage("score", &[]).stderr;
    assert!(stderr.contains("score: running"), "{stderr}");
    assert_eq!(sandbox.digests("score"), expected);
}
