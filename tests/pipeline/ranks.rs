//! Trainings by several ranks under `mpirun`: the same bytes as one process with as many threads.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::lora::{PROJECTIONS, adapted};
use crate::process::{binary, finish, start, wait_until};
use crate::sandbox::Sandbox;

/// The binary of a stage whose processes are ranks; `None`, with the reason printed, where it or `mpirun` is missing.
fn of_ranks(stage: &str) -> Option<PathBuf> {
    let path = binary(stage).with_file_name(format!("{stage}-mpi"));
    if !path.exists() {
        eprintln!(
            "skipped: {} is not built: it needs libopenmpi-dev and libclang-dev, then `just build-mpi`",
            path.display()
        );
        return None;
    }
    if Command::new("mpirun").arg("--version").output().is_err() {
        eprintln!("skipped: mpirun is not installed");
        return None;
    }
    Some(path)
}

/// A stage of a sandbox under `mpirun`.
fn mpirun(sandbox: &Sandbox, stage: &str, (ranks, threads): (usize, usize), arguments: &[&str]) -> Command {
    let plain = sandbox.command(stage, arguments);
    let mut command = Command::new("mpirun");
    command.args([
        "--oversubscribe",
        "--bind-to",
        "none",
        "--mca",
        "mpi_yield_when_idle",
        "1",
        "-n",
        &ranks.to_string(),
    ]);
    command.arg(binary(stage).with_file_name(format!("{stage}-mpi"))).args(plain.get_args());
    command.arg("--set").arg(format!("run.threads={threads}"));
    command.current_dir(plain.get_current_dir().unwrap());
    command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
    command
}

#[test]
fn the_default_build_links_no_mpi() {
    let linked = |path: PathBuf| String::from_utf8(Command::new("ldd").arg(path).output().unwrap().stdout).unwrap();
    for stage in ["teacher", "distill"] {
        let libraries = linked(binary(stage));
        assert!(libraries.contains("libc.so") && !libraries.contains("libmpi"), "{libraries}");
        if let Some(path) = of_ranks(stage) {
            assert!(linked(path).contains("libmpi"));
        }
    }
}

#[test]
fn ranks_and_threads_train_the_same_models() {
    for stage in ["teacher", "distill"] {
        if of_ranks(stage).is_none() {
            return;
        }
        for threads in [2, 4] {
            let alone = Sandbox::finished();
            alone.stage(stage, &["--force", "--set", &format!("run.threads={threads}")]);
            for ranks in [2, threads].into_iter().skip(usize::from(threads == 2)) {
                let together = Sandbox::finished();
                let of_each = threads / ranks;
                let outcome = finish(mpirun(&together, stage, (ranks, of_each), &["--force"])).succeeded();
                let plural = if of_each == 1 { "" } else { "s" };
                let told = format!("{ranks} ranks of {of_each} thread{plural}\n");
                assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
                assert_eq!(outcome.stderr.matches(": done in ").count(), 1, "{}", outcome.stderr);
                assert_eq!(
                    together.digests(stage),
                    alone.digests(stage),
                    "{stage}: {ranks} ranks of {of_each} threads"
                );
                together.assert_whole(stage);
                together.assert_tidy();
            }
        }
    }
}

/// What the small pipeline does not do by itself.
const TEACHER_OPTIONS: [&str; 6] = [
    "--set",
    "teacher.rank.accumulation_steps=2",
    "--set",
    "teacher.rank.gradient_checkpointing=true",
    "--set",
    "teacher.mined={ loss = 'softmax', steps = 6, learning_rate = 1e-3, lists_per_step = 2, list_size = 4, candidates = 6, negatives_depth = 4, validate_every = 3 }",
];
const DISTILL_OPTIONS: [&str; 6] = [
    "--set",
    "distill.term_control.weight=0.5",
    "--set",
    "distill.pretrain={ steps = 6, learning_rate = 1e-3, examples_per_step = 5, validate_every = 3 }",
    "--set",
    "distill.average_last=0.5",
];

#[test]
fn ranks_train_with_every_option() {
    for (stage, options) in [("teacher", &TEACHER_OPTIONS[..]), ("distill", &DISTILL_OPTIONS)] {
        if of_ranks(stage).is_none() {
            return;
        }
        let alone = Sandbox::finished();
        alone.stage(stage, &[options, &["--force", "--set", "run.threads=2"]].concat());
        let together = Sandbox::finished();
        finish(mpirun(&together, stage, (2, 1), &[options, &["--force"]].concat())).succeeded();
        assert_eq!(together.digests(stage), alone.digests(stage), "{stage}");
    }
}

#[test]
fn ranks_train_an_adapter() {
    if of_ranks("teacher").is_none() {
        return;
    }
    let sandbox = adapted("decoder", PROJECTIONS, false);
    let mut trained = Vec::new();
    for ranks in [1, 2] {
        finish(mpirun(&sandbox, "teacher", (ranks, 2 / ranks), &["--force"])).succeeded();
        trained.push(sandbox.digests("teacher"));
    }
    assert!(trained[0].contains_key("rank/adapter_model.safetensors"));
    assert_eq!(trained[0], trained[1]);
}

/// More tokens than are kept of a step at once, so that it is computed in several rounds.
const TOKENS_OF_ROUNDS: f64 = 2.0 * 2.0 * 16_384.0;

#[test]
fn ranks_train_steps_of_several_rounds() {
    for (stage, table) in [("teacher", "teacher.rank"), ("distill", "distill")] {
        if of_ranks(stage).is_none() {
            return;
        }
        let options =
            [format!("{table}.lists_per_step=600"), format!("{table}.steps=2"), format!("{table}.validate_every=0")];
        let options: Vec<&str> = options.iter().flat_map(|option| ["--set", option]).chain(["--force"]).collect();
        let [alone, together] = [(1, 2), (2, 1)].map(|shape| {
            let sandbox = Sandbox::finished();
            finish(mpirun(&sandbox, stage, shape, &options)).succeeded();
            sandbox
        });
        let metrics = alone.table(stage, "training_metrics");
        let (names, steps) = (metrics.strings("metric").unwrap(), metrics.int64s("step").unwrap());
        let values = metrics.float64s("value").unwrap();
        let is_first = |row: &usize| names.value(*row) == "tokens" && steps.value(*row) == 1;
        let most = (0..metrics.rows()).filter(is_first).map(|row| values.value(row)).fold(0.0, f64::max);
        assert!(most > TOKENS_OF_ROUNDS, "{stage}: {most} tokens");
        assert_eq!(together.digests(stage), alone.digests(stage), "{stage}");
    }
}

#[test]
fn a_killed_rank_ends_all_and_the_next_run_goes_on() {
    let arguments = ["--set", "teacher.rank.steps=400", "--set", "teacher.rank.checkpoint_every=10"];
    if of_ranks("teacher").is_none() {
        return;
    }
    let alone = Sandbox::finished();
    alone.stage("teacher", &[&arguments[..], &["--set", "run.threads=2"]].concat());
    for rank in [0, 1] {
        let sandbox = Sandbox::finished();
        let earlier = sandbox.digests("teacher");
        let mut child = start(mpirun(&sandbox, "teacher", (2, 1), &arguments));
        let checkpoint = sandbox.run_path(".teacher.partial/rank.checkpoint");
        wait_until(&mut child, "a checkpoint", || checkpoint.exists());
        kill_rank(child.id(), rank);
        let status = child.wait().unwrap();
        assert!(!status.success(), "{status}");
        assert_eq!(sandbox.digests("teacher"), earlier);
        let stderr = finish(mpirun(&sandbox, "teacher", (2, 1), &arguments)).succeeded().stderr;
        assert!(stderr.contains("rank: resumed after step"), "{stderr}");
        assert_eq!(sandbox.digests("teacher"), alone.digests("teacher"));
    }
}

/// Ends a rank that `mpirun` has started as `kill -9` does.
fn kill_rank(mpirun: u32, rank: usize) {
    let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
    let mut killed = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(2)).and_then(|id| id.parse().ok());
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if parent == Some(mpirun) && environment.split(|&byte| byte == 0).any(|found| found == variable.as_bytes()) {
            let status = Command::new("kill").arg("-9").arg(entry.file_name()).status().unwrap();
            killed += usize::from(status.success());
        }
    }
    assert_eq!(killed, 1, "rank {rank} of {mpirun}");
}

#[test]
fn exit_codes_and_one_error_line_survive_mpirun() {
    if of_ranks("teacher").is_none() {
        return;
    }
    let (sandbox, temporary) = (Sandbox::finished(), tempfile::tempdir().unwrap());
    let line = |arguments: &[&str], threads: usize, code: i32| {
        let mut command = mpirun(&sandbox, "teacher", (2, threads), arguments);
        let outcome = finish(std::mem::replace(command.env("TMPDIR", temporary.path()), Command::new("true")));
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        let lines: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("error")).collect();
        assert_eq!(lines.len(), 1, "{}", outcome.stderr);
        lines[0].to_string()
    };
    let refused = line(&["--force"], 3, 2);
    assert_eq!(refused, "error: expected a power of two as the threads of each rank, found 3; set run.threads");
    let refused = line(&["--set", "teacher.nonsense=1"], 1, 2);
    assert!(refused.contains("nonsense"), "{refused}");
    fs::remove_file(sandbox.run_path("cpt/manifest.json")).unwrap();
    let refused = line(&["--force"], 1, 3);
    assert!(refused.contains("run `cpt` first"), "{refused}");
}

#[test]
fn a_rank_that_sees_something_else_is_named() {
    if of_ranks("teacher").is_none() {
        return;
    }
    let sandbox = Sandbox::finished();
    let mut command = mpirun(&sandbox, "teacher", (1, 1), &["--force"]);
    // A second rank with another configuration.
    let stage = binary("teacher").with_file_name("teacher-mpi");
    command.arg(":").args(["-n", "1"]).arg(stage).args(["--config", crate::sandbox::CONFIG, "--force"]);
    command.args(["--set", "run.threads=1", "--set", "teacher.rank.steps=7"]);
    let outcome = finish(command);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("error: inputs, configuration and version of the program: rank 1 sees something else"),
        "{}",
        outcome.stderr
    );
    let earlier = Sandbox::finished().digests("teacher");
    assert_eq!(sandbox.digests("teacher"), earlier);
}
