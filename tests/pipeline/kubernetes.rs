//! The manifests of cluster/kubernetes and the script that applies them, without a cluster. The manifests are checked where
//! `DISRANKER_CLUSTER_PYTHON` names a Python with the packages of cluster/requirements.txt.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use pipeline::stages;
use tempfile::TempDir;

use crate::process::{Outcome, binary, finish};

/// What the check reads of the repository.
const READ: [&str; 3] = ["Cargo.toml", "schemas/pipeline.schema.json", "stages/order"];

/// A file, one of its lines' parts, what takes its place, and what the check says of it.
const MISTAKES: [(&str, &str, &str, &str); 24] = [
    ("kubernetes/score.yaml", "backoffLimitPerIndex", "backOffLimitPerIndex", "'backOffLimitPerIndex' was unexpected"),
    ("kubernetes/score.yaml", "  parallelism: 4", "  parallelism: four", "'four' is not of type 'integer'"),
    ("kubernetes/score.yaml", "  parallelism: 4", "  parallelism: 5", "expected a parallelism of 4 at most"),
    ("kubernetes/score.yaml", "  completions: 4", "  completions: 8", "expected JOB_COMPLETIONS 8"),
    (
        "kubernetes/score.yaml",
        "values: [2, 3]",
        "values: [1, 3]",
        "expected exit codes [2, 3] to fail the job, found [1, 3]",
    ),
    ("kubernetes/score.yaml", "containerName: stage", "containerName: score", "one of the containers ['stage']"),
    ("kubernetes/score.yaml", "DisruptionTarget", "Ready", "expected DisruptionTarget to be ignored"),
    ("kubernetes/score.yaml", "[score,", "[scores,", "expected a stage of stages/order, found scores"),
    ("kubernetes/score.yaml", "--config,", "--configuration,", "score has no option --configuration"),
    ("kubernetes/score.yaml", "run.root=", "run.roots=", "expected a key of [run], found run.roots"),
    ("kubernetes/score.yaml", "=/data/runs", "=data/runs", "expected run.root=/data/runs"),
    ("kubernetes/ingest.yaml", "restartPolicy: Never", "restartPolicy: OnFailure", "needs restartPolicy: Never"),
    ("kubernetes/ingest.yaml", "image: disranker:", "image: disrankers:", "expected the image disranker:"),
    ("kubernetes/ingest.yaml", "limits: { cpu: \"8\"", "limits: { cpu: \"9\"", "expected requests as the limits"),
    ("kubernetes/stage.yaml", "claimName: disranker", "claimName: runs", "expected the claim disranker of volume.yaml"),
    ("kubernetes/stage.yaml", "runAsUser: 1000", "runAsUser: 0", "expected the user [1000, 1000] of the Containerfile"),
    (
        "kubernetes/stage.yaml",
        "      restartPolicy",
        "      containers: []\n      restartPolicy",
        "key containers stands there twice",
    ),
    ("kubernetes/train.yaml", "launcherCreationPolicy", "launcherPolicy", "'launcherPolicy' was unexpected"),
    ("kubernetes/train.yaml", "tcpSocket:", "tcp:", "'tcp' was unexpected"),
    ("kubernetes/train.yaml", "run.threads=8", "run.threads=4", "expected run.threads 8/1"),
    ("kubernetes/train.yaml", "- teacher-mpi", "- cpt-mpi", "cpt-mpi does not run here"),
    ("kubernetes/train.yaml", "port: 2222", "port: 22", "expected the Containerfile's port, found 22"),
    ("kubernetes/run-all", "configmap disranker", "configmap pipeline", "expected the ConfigMap pipeline of run-all"),
    ("Containerfile", "ARG RUST=1.", "ARG RUST=0.", "or later, found 0."),
];

#[test]
fn manifests_are_valid_and_agree() {
    let Some(python) = std::env::var_os("DISRANKER_CLUSTER_PYTHON") else {
        println!("skipped: DISRANKER_CLUSTER_PYTHON names no Python with cluster/requirements.txt");
        return;
    };
    let copies = MISTAKES.map(|(file, right, wrong, _)| copy_of_cluster(file, right, wrong));
    let check = |roots: &mut dyn Iterator<Item = &Path>| {
        let mut command = Command::new(&python);
        command.arg("cluster/kubernetes_check.py").arg(binary("score").parent().unwrap()).args(roots);
        finish(command)
    };
    check(&mut [Path::new("..")].into_iter()).succeeded();
    let outcome = check(&mut copies.iter().map(TempDir::path));
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    for (copy, (file, _, wrong, message)) in copies.iter().zip(MISTAKES) {
        let said = format!("{}: ", copy.path().display());
        let said: Vec<&str> = outcome.stdout.lines().filter_map(|line| line.strip_prefix(&said)).collect();
        assert!(said.iter().any(|line| line.contains(message)), "{file}: {wrong}: {said:?}");
    }
}

/// A copy of what the check reads, with a mistake.
fn copy_of_cluster(file: &str, right: &str, wrong: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let manifests = fs::read_dir("../cluster/kubernetes").unwrap().map(|entry| entry.unwrap().path());
    let of_cluster = manifests.chain(["../cluster/Containerfile".into()]);
    for from in of_cluster.chain(READ.map(|file| Path::new("..").join(file))) {
        let to = copy.path().join(from.strip_prefix("..").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    let path = copy.path().join("cluster").join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(right), "{file} without {right}");
    fs::write(&path, text.replace(right, wrong)).unwrap();
    copy
}

/// A `kubectl` whose objects are files of the folder `OBJECTS`. One is at work when it is asked about for the first time, and then
/// finished, with the object that `FAILS` names as a failure.
const KUBECTL: &str = r#"#!/usr/bin/env bash
cd "$OBJECTS" || exit
case $1 in
    apply)
        [ "$3" = - ] || exit 0
        cat >manifest
        object=$(sed -nE 's/^kind: (.*)/\L\1/p' manifest)/$(sed -nE 's/^  name: //p' manifest | head -n 1)
        echo "apply $object" >>calls
        mkdir -p "${object%/*}"
        cp manifest "$object.yaml"
        touch "$object"
        ;;
    create) printf '%s\n' 'kind: ConfigMap' 'metadata:' "  name: $3" ;;
    delete)
        echo "delete $3" >>calls
        rm "$3"
        ;;
    get)
        [ -e "$2" ] || exit 0
        echo "${2#*/} $(cat "$2")"
        case $2 in "$FAILS") end=Failed ;; mpijob/*) end=Succeeded ;; *) end="SuccessCriteriaMet Complete" ;; esac
        echo "$end" >"$2"
        ;;
    logs) echo "error: of $3" ;;
esac
"#;

/// The objects of a cluster that `run-all` speaks to.
#[derive(Debug)]
struct Cluster(TempDir);

impl Cluster {
    fn new() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        for (program, text) in [("kubectl", KUBECTL), ("sleep", "#!/bin/sh\n")] {
            let path = folder.path().join(program);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Cluster(folder)
    }

    fn run_all(&self, variables: &[(&str, &str)]) -> Outcome {
        let mut command = Command::new("../cluster/kubernetes/run-all");
        command.args(["--config", "configs/tiny.toml"]).env("OBJECTS", self.0.path()).env("FAILS", "");
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).envs(variables.iter().copied());
        finish(command)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join(file)).unwrap()
    }

    /// What was applied and deleted, in this order.
    fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(String::from).collect()
    }
}

/// What `run-all` applies where `training` is the kind of a training.
fn expected(training: &str) -> Vec<String> {
    let object = |stage: &str| match stage {
        "ingest" | "score" => vec![format!("job/disranker-{stage}-shards"), format!("job/disranker-{stage}")],
        "teacher" | "distill" => vec![format!("{training}/disranker-{stage}")],
        _ => vec![format!("job/disranker-{stage}")],
    };
    let objects = ["configmap/disranker".to_string()].into_iter().chain(stages().flat_map(object));
    objects.map(|object| format!("apply {object}")).collect()
}

#[test]
fn every_stage_is_applied_in_its_order() {
    let cluster = Cluster::new();
    let numbers = [("SHARDS", "32"), ("RANKS", "4"), ("THREADS", "16"), ("IMAGE", "images.example.org:5000/disranker")];
    cluster.run_all(&numbers).succeeded();
    assert_eq!(cluster.calls(), expected("mpijob"));
    let shares = cluster.read("job/disranker-score-shards.yaml");
    for text in ["completions: 32 ", "parallelism: 32 ", "JOB_COMPLETIONS, value: \"32\"", "limits: { cpu: \"16\""] {
        assert!(shares.contains(text), "{text} in {shares}");
    }
    let commit = cluster.read("job/disranker-score.yaml");
    assert!(commit.contains("command: [score,") && !commit.contains("JOB_COMPLETIONS"), "{commit}");
    let training = cluster.read("mpijob/disranker-distill.yaml");
    let texts = [
        "distill-mpi",
        "replicas: 4",
        "run.threads=16 ",
        "cpu: \"16\"",
        "image: images.example.org:5000/disranker:0.1.0-mpi",
    ];
    for text in texts {
        assert!(training.contains(text), "{text} in {training}");
    }
    assert!(!training.contains("teacher"), "{training}");
}

#[test]
fn without_variables_manifests_are_as_they_are() {
    let cluster = Cluster::new();
    cluster.run_all(&[]).succeeded();
    for (object, file) in [
        ("job/disranker-ingest-shards", "ingest"),
        ("job/disranker-score-shards", "score"),
        ("job/disranker-evaluate", "stage"),
        ("mpijob/disranker-teacher", "train"),
    ] {
        let manifest = fs::read_to_string(format!("../cluster/kubernetes/{file}.yaml")).unwrap();
        assert_eq!(cluster.read(&format!("{object}.yaml")), manifest);
    }
}

#[test]
fn a_failure_ends_the_run_and_the_next_one_makes_it_anew() {
    let cluster = Cluster::new();
    let outcome = cluster.run_all(&[("RANKS", "1"), ("FAILS", "job/disranker-cpt")]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("job/disranker-cpt failed"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("error: of batch.kubernetes.io/job-name=disranker-cpt"), "{}", outcome.stderr);
    let all = expected("job");
    let first = cluster.calls();
    assert_eq!(first, all[..first.len()]);
    assert_eq!(first.last().unwrap(), "apply job/disranker-cpt");

    // One that is still at work is waited for.
    fs::write(cluster.0.path().join("job/disranker-simulate"), "").unwrap();
    cluster.run_all(&[("RANKS", "1")]).succeeded();
    let calls = cluster.calls();
    let second = &calls[first.len()..];
    let deleted = second.iter().filter_map(|call| call.strip_prefix("delete job/disranker-")).collect::<Vec<_>>();
    assert_eq!(deleted, ["ingest-shards", "ingest", "embed", "cpt"]);
    let applied: Vec<String> = second.iter().filter(|call| call.starts_with("apply")).cloned().collect();
    assert_eq!(applied, all);
}

#[test]
fn a_pipeline_file_has_to_be_named() {
    let outcome = finish(Command::new("../cluster/kubernetes/run-all"));
    assert_eq!(outcome.code, Some(2));
    assert_eq!(outcome.stderr, "usage: run-all --config FILE\n");
}
