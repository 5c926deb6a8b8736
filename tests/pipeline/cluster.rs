//! Three hosts with Slurm, one of which is lost: tables and models have the bytes that one host makes. `cluster/hosts` makes the
//! hosts on this machine; where it cannot, the tests are skipped with its reason.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Outcome, binary, finish, start, wait_until};
use crate::sandbox::{CONFIG, Sandbox, active_stages};

/// Long enough for any machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(180);

/// Three hosts and the one where jobs are submitted; all end with it.
struct Cluster {
    dir: TempDir,
}

impl Cluster {
    /// Starts the hosts; `None`, with the reason printed, where they cannot be had, or the binaries of ranks where those are needed.
    fn start(ranks: bool) -> Option<Cluster> {
        let check = finish(hosts(&["check"]));
        if check.code != Some(0) {
            println!("skipped: {}", check.stderr.trim());
            return None;
        }
        if ranks && !binary("teacher").with_file_name("teacher-mpi").exists() {
            println!("skipped: teacher-mpi is not built: `just build-mpi`");
            return None;
        }
        let cluster = Cluster { dir: tempfile::tempdir().unwrap() };
        cluster.hosts("up", &[]);
        Some(cluster)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("hosts")
    }

    /// What `cluster/hosts` does with these hosts, where it has to succeed.
    #[track_caller]
    fn hosts(&self, verb: &str, arguments: &[&str]) {
        finish(hosts(&[&[verb, self.path().to_str().unwrap()], arguments].concat())).succeeded();
    }

    /// A command where jobs are submitted, in a sandbox.
    fn command(&self, sandbox: &Sandbox, line: &[&str]) -> Command {
        let mut command = hosts(&[&["on", self.path().to_str().unwrap(), "head"], line].concat());
        command.current_dir(sandbox.path("")).env("DISRANKER_BIN", binary("simulate").parent().unwrap());
        command
    }

    /// The training of the teacher by a rank on each node, without Slurm.
    fn command_of_ranks(&self, sandbox: &Sandbox, options: &[&str]) -> Command {
        let program = binary("teacher").with_file_name("teacher-mpi");
        let program = ["--host", "node1,node2,node3", program.to_str().unwrap(), "--config", CONFIG];
        let line = [&["mpirun"], &KEEP_ALIVE[..], &program, options, &["--set", "run.threads=1"]].concat();
        self.command(sandbox, &line)
    }

    /// Submits a recipe for a stage with its options; returns the id of the job.
    #[track_caller]
    fn submit(&self, sandbox: &Sandbox, options: &[&str], recipe: &str, arguments: &[&str]) -> String {
        let recipe = recipes(recipe);
        let recipe = [recipe.to_str().unwrap()];
        let line = [&["sbatch", "--parsable"], options, &recipe, arguments, &["--config", CONFIG]].concat();
        finish(self.command(sandbox, &line)).succeeded().stdout.trim().to_string()
    }

    /// What Slurm says of a job.
    fn job(&self, sandbox: &Sandbox, job: &str) -> String {
        finish(self.command(sandbox, &["scontrol", "show", "job", job])).stdout
    }

    /// The states of a job's tasks; one that is not an array has one.
    fn states(&self, sandbox: &Sandbox, job: &str) -> Vec<String> {
        let line = ["squeue", "--noheader", "--states=all", "--array", "--format=%T", "--jobs", job];
        finish(self.command(sandbox, &line)).stdout.lines().map(String::from).collect()
    }

    /// Waits until a job has ended, which must be well.
    #[track_caller]
    fn wait(&self, sandbox: &Sandbox, job: &str) {
        let begin = Instant::now();
        loop {
            let states = self.states(sandbox, job);
            if !states.is_empty() && states.iter().all(|state| state == "COMPLETED") {
                return;
            }
            let failed = states.iter().any(|state| ["FAILED", "CANCELLED", "NODE_FAIL"].contains(&state.as_str()));
            let problem = || format!("{states:?}\n{}\n{}", self.job(sandbox, job), logs(sandbox));
            assert!(!failed && begin.elapsed() < PATIENCE, "{}", problem());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until `ready` holds.
    #[track_caller]
    fn until(&self, sandbox: &Sandbox, job: &str, what: &str, ready: impl Fn() -> bool) {
        let begin = Instant::now();
        while !ready() {
            let problem = || format!("no {what}\n{}\n{}", self.job(sandbox, job), logs(sandbox));
            assert!(begin.elapsed() < PATIENCE, "{}", problem());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let outcome = finish(hosts(&["down", self.path().to_str().unwrap()]));
        assert!(std::thread::panicking() || outcome.code == Some(0), "{}", outcome.stderr);
    }
}

fn hosts(arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new("cluster/hosts").canonicalize().unwrap());
    command.args(arguments);
    command
}

fn recipes(name: &str) -> PathBuf {
    Path::new("../cluster/slurm").join(name).canonicalize().unwrap()
}

/// What the jobs of a sandbox have said.
fn logs(sandbox: &Sandbox) -> String {
    let mut logs = String::new();
    for entry in std::fs::read_dir(sandbox.path("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs += &std::fs::read_to_string(path).unwrap();
        }
    }
    logs
}

/// Lists so long that each is a part.
const PARTS: [&str; 2] = ["--set", "score.random_documents=4096"];

#[test]
fn a_host_lost_while_it_scores_changes_no_byte() {
    let Some(cluster) = Cluster::start(false) else { return };
    let alone = Sandbox::finished();
    alone.stage("score", &PARTS);

    let sandbox = Sandbox::finished();
    // One task a host.
    let job = cluster.submit(&sandbox, &["--array=1-3", "--cpus-per-task=2"], "score.sbatch", &PARTS);
    let on_node3 = ["squeue", "--noheader", "--states=running", "--nodelist=node3", "--format=%K"];
    let task = || finish(cluster.command(&sandbox, &on_node3)).stdout.trim().parse::<usize>().ok();
    cluster.until(&sandbox, &job, "task on node3", || task().is_some());
    let part = sandbox.run_path(&format!("score.parts/1/part-{:05}.parquet", task().unwrap() - 1 + 3));
    cluster.until(&sandbox, &job, "second part of the task", || part.exists());
    cluster.hosts("kill", &["node3"]);
    cluster.wait(&sandbox, &job);
    assert!(cluster.job(&sandbox, &job).contains("Restarts=1"), "{}", cluster.job(&sandbox, &job));

    let job = cluster.submit(&sandbox, &["--cpus-per-task=2"], "stage.sbatch", &[&["score"], &PARTS[..]].concat());
    cluster.wait(&sandbox, &job);
    assert!(logs(&sandbox).contains("score: 0 of "), "{}", logs(&sandbox));
    assert_eq!(sandbox.digests("score"), alone.digests("score"));
    sandbox.assert_whole("score");
}

/// So many steps that a host is lost in the middle, and where the checkpoints are.
const TEACHER: [&str; 4] = ["--set", "teacher.rank.steps=400", "--set", "teacher.rank.checkpoint_every=10"];
const TEACHER_CHECKPOINT: &str = ".teacher.partial/rank.checkpoint";
const DISTILL: [&str; 4] = ["--set", "distill.steps=400", "--set", "distill.checkpoint_every=10"];
const DISTILL_CHECKPOINT: &str = ".distill.partial/student.checkpoint";

/// A sandbox where one process with three threads has trained.
fn trained_alone(stage: &str, options: &[&str]) -> Sandbox {
    let alone = Sandbox::finished();
    alone.stage(stage, &[options, &["--set", "run.threads=3"]].concat());
    alone
}

#[test]
fn a_training_goes_on_when_a_host_is_lost() {
    let Some(cluster) = Cluster::start(true) else { return };
    let alone = trained_alone("teacher", &TEACHER);
    let sandbox = Sandbox::finished();
    let ranks = ["--ntasks=3", "--cpus-per-task=1", "--spread-job"];
    let job = cluster.submit(&sandbox, &ranks, "train.sbatch", &[&["teacher"], &TEACHER[..]].concat());
    cluster.until(&sandbox, &job, "checkpoint", || sandbox.run_path(TEACHER_CHECKPOINT).exists());
    cluster.hosts("kill", &["node3"]);
    cluster.wait(&sandbox, &job);
    let end = cluster.job(&sandbox, &job);
    assert!(end.contains("Restarts=1") && end.contains(" NodeList=node[1-2]"), "{end}");
    assert!(logs(&sandbox).contains("rank: resumed after step"), "{}", logs(&sandbox));
    assert_eq!(sandbox.digests("teacher"), alone.digests("teacher"));
    sandbox.assert_whole("teacher");
}

#[test]
fn a_training_goes_on_after_its_time_and_on_a_host_that_was_lost() {
    let Some(cluster) = Cluster::start(true) else { return };
    let alone = trained_alone("distill", &DISTILL);
    let sandbox = Sandbox::finished();
    let ranks = ["--ntasks=3", "--cpus-per-task=1", "--nodes=3"];
    let job = cluster.submit(&sandbox, &ranks, "train.sbatch", &[&["distill"], &DISTILL[..]].concat());
    cluster.until(&sandbox, &job, "checkpoint", || sandbox.run_path(DISTILL_CHECKPOINT).exists());
    // What Slurm does two minutes before the time limit.
    finish(cluster.command(&sandbox, &["scancel", "--signal=USR1", "--batch", &job])).succeeded();
    let state = |state: &str| cluster.states(&sandbox, &job) == [state];
    cluster.until(&sandbox, &job, "end of the first run", || state("PENDING"));
    cluster.until(&sandbox, &job, "second run", || state("RUNNING"));
    // The host of the first rank, and of the job's script.
    cluster.hosts("kill", &["node1"]);
    cluster.until(&sandbox, &job, "end of the second run", || state("PENDING"));
    cluster.hosts("start", &["node1"]);
    cluster.wait(&sandbox, &job);
    let end = cluster.job(&sandbox, &job);
    assert!(end.contains("Restarts=2") && end.contains(" NodeList=node[1-3]"), "{end}");
    assert!(logs(&sandbox).contains("resumed after step"), "{}", logs(&sandbox));
    assert_eq!(sandbox.digests("distill"), alone.digests("distill"));
    sandbox.assert_whole("distill");
}

/// What `mpirun` needs to find out within seconds that a host does not answer.
const KEEP_ALIVE: [&str; 9] = [
    "--mca",
    "oob_tcp_keepalive_time",
    "5",
    "--mca",
    "oob_tcp_keepalive_intvl",
    "2",
    "--mca",
    "oob_tcp_keepalive_probes",
    "3",
];

#[test]
fn a_cut_cable_ends_mpirun_and_the_next_one_goes_on() {
    const SOON: Duration = Duration::from_secs(30);
    let Some(cluster) = Cluster::start(true) else { return };
    let alone = trained_alone("teacher", &TEACHER);
    let sandbox = Sandbox::finished();
    let earlier = sandbox.digests("teacher");
    let training = || cluster.command_of_ranks(&sandbox, &TEACHER);

    let mut child = start(training());
    wait_until(&mut child, "a checkpoint", || sandbox.run_path(TEACHER_CHECKPOINT).exists());
    cluster.hosts("cut", &["node3"]);
    let cut = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(cut.elapsed() < SOON, "mpirun is still at work {SOON:?} after the cable was cut");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(!status.success(), "{status}");
    assert_eq!(sandbox.digests("teacher"), earlier);

    cluster.hosts("join", &["node3"]);
    let Outcome { stderr, .. } = finish(training()).succeeded();
    assert!(stderr.contains("rank: resumed after step"), "{stderr}");
    assert_eq!(sandbox.digests("teacher"), alone.digests("teacher"));
}

#[test]
fn hosts_that_do_not_reach_each_other_end_mpirun() {
    let Some(cluster) = Cluster::start(true) else { return };
    let sandbox = Sandbox::finished();
    let earlier = sandbox.digests("teacher");
    // As behind a firewall: what node3 sends to node2 is lost.
    let nobody = ["lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent"];
    cluster.hosts("on", &[&["node3", "ip", "neigh", "replace", "10.77.0.2"], &nobody[..]].concat());
    let outcome = finish(cluster.command_of_ranks(&sandbox, &TEACHER));
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let between = |(own, other): (usize, usize)| {
        format!("error (rank {own}): expected a connection with rank {other} within 30s, found none on node{}", own + 1)
    };
    assert!([(1, 2), (2, 1)].map(between).iter().any(|line| outcome.stderr.contains(line)), "{}", outcome.stderr);
    assert_eq!(sandbox.digests("teacher"), earlier);
}

/// Submits a whole pipeline; returns the ids of the jobs and what they are.
fn run_all(cluster: &Cluster, sandbox: &Sandbox, arguments: &[&str]) -> Vec<(String, String)> {
    let program = recipes("run-all");
    let line = [&[program.to_str().unwrap(), "--config", CONFIG], arguments].concat();
    let mut command = cluster.command(sandbox, &line);
    // As many threads as the pipeline file says: two.
    command.envs([("SHARDS", "3"), ("RANKS", "2"), ("THREADS", "1")]);
    let stdout = finish(command).succeeded().stdout;
    let job = |line: &str| line.split_once(' ').map(|(id, name)| (id.to_string(), name.to_string()));
    stdout.lines().map(|line| job(line).unwrap()).collect()
}

#[test]
fn a_pipeline_on_three_hosts_makes_what_one_process_after_the_other_makes() {
    let Some(cluster) = Cluster::start(true) else { return };
    let sandbox = Sandbox::new();
    let jobs = run_all(&cluster, &sandbox, &[]);
    let names: Vec<&str> = jobs.iter().map(|(_, name)| name.as_str()).collect();
    let expected = pipeline::stages().flat_map(|stage| match stage {
        "ingest" => vec!["ingest-shards", stage],
        "score" => vec!["score-shards", stage],
        _ => vec![stage],
    });
    assert_eq!(names, expected.collect::<Vec<_>>());
    for (id, _) in &jobs {
        cluster.wait(&sandbox, id);
    }
    let alone = Sandbox::finished();
    for stage in active_stages() {
        assert_eq!(sandbox.digests(stage), alone.digests(stage), "{stage}");
        sandbox.assert_whole(stage);
    }
    sandbox.assert_tidy();
}

#[test]
fn a_wrong_configuration_takes_everything_out_of_the_queue() {
    let Some(cluster) = Cluster::start(true) else { return };
    let sandbox = Sandbox::finished();
    let wrong = ["--set", "teacher.nonsense=1"];
    let jobs = run_all(&cluster, &sandbox, &wrong);
    let (first, last) = (&jobs[0].0, &jobs[jobs.len() - 1].0);
    cluster.until(&sandbox, last, "end of the last job", || cluster.states(&sandbox, last) == ["CANCELLED"]);
    let end = cluster.job(&sandbox, first);
    assert!(end.contains("JobState=FAILED") && end.contains("ExitCode=2:0"), "{end}");

    let ranks = ["--ntasks=3", "--cpus-per-task=1"];
    let job = cluster.submit(&sandbox, &ranks, "train.sbatch", &[&["teacher"], &wrong[..]].concat());
    cluster.until(&sandbox, &job, "end of the training", || cluster.states(&sandbox, &job) == ["FAILED"]);
    let end = cluster.job(&sandbox, &job);
    assert!(end.contains("ExitCode=2:0") && end.contains("Restarts=0"), "{end}");
}
