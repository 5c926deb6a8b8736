//! Ctrl-C: a line says what is kept, and the same command goes on from there.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use crate::process::wait_until;
use crate::sandbox::Sandbox;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

const TEACHER: [&str; 6] = [
    "--set",
    "teacher.cpt.steps=120",
    "--set",
    "teacher.cpt.checkpoint_every=10",
    "--set",
    "teacher.rank.checkpoint_every=10",
];

/// Sends `signal` to a stage as soon as `file` of the run exists.
fn interrupted(sandbox: &Sandbox, stage: &str, arguments: &[&str], (file, signal): (&str, i32)) -> Output {
    let mut command = sandbox.command(stage, arguments);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(&mut child, file, || sandbox.run_path(file).exists());
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(signal), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[track_caller]
fn assert_last_line(output: &Output, expected: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.lines().last().unwrap().ends_with(expected), "{stderr}");
}

#[test]
fn an_interrupted_training_says_that_it_goes_on() {
    for signal in [SIGINT, SIGTERM] {
        let sandbox = Sandbox::finished();
        let output = interrupted(&sandbox, "teacher", &TEACHER, (".teacher.partial/cpt.checkpoint", signal));
        assert_last_line(
            &output,
            "interrupted: stage teacher keeps its finished phases and the checkpoint of each checkpoint_every steps; the same \
             command goes on from there",
        );
        assert!(!sandbox.run_path(".teacher.lock").exists());
        let stderr = sandbox.stage("teacher", &TEACHER).stderr;
        let resumed = stderr.lines().position(|line| line.contains("cpt: resumed after step"));
        assert!(resumed.is_some(), "{stderr}");
        sandbox.assert_tidy();
    }
}

#[test]
fn an_interrupted_stage_that_keeps_nothing_says_so() {
    let sandbox = Sandbox::finished();
    let expected = sandbox.digests("simulate");
    let arguments = ["--set", "simulate.searches=2000000"];
    let output = interrupted(&sandbox, "simulate", &arguments, (".simulate.partial", SIGINT));
    assert_last_line(
        &output,
        "interrupted: stage simulate keeps nothing of this run, and its earlier output as it was; the same command begins again",
    );
    assert!(!sandbox.run_path(".simulate.lock").exists());
    assert_eq!(sandbox.digests("simulate"), expected);
    sandbox.assert_whole("simulate");
}

#[test]
fn a_stage_that_fails_leaves_no_lock() {
    let sandbox = Sandbox::finished();
    std::fs::remove_file(sandbox.run_path("score/manifest.json")).unwrap();
    sandbox.try_stage("distill", &[]).error(3);
    assert!(!sandbox.run_path(".distill.lock").exists());
}
