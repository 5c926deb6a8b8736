//! Scoring in parts: killed, shared between processes, and interrupted for other reasons.

use std::fs;
use std::time::Instant;

use ranking::rng::number;
use toml::Table;

use crate::process::{Outcome, finish, kill, start, was_killed};
use crate::sandbox::{Sandbox, copy};

/// Lists so long that each is a part.
const PARTS: [&str; 2] = ["--set", "score.random_documents=4096"];
const FOLDER: &str = "score.parts/1";

fn refused(outcome: &Outcome, found: &str) {
    let line = outcome.error(3);
    assert!(line.contains(found), "{line}");
}

/// A sandbox whose scoring was killed when its first part was finished.
fn interrupted() -> Sandbox {
    let sandbox = Sandbox::finished();
    sandbox.kill_stage_at("score", &PARTS, &[&format!("{FOLDER}/part-00001.parquet")]);
    sandbox
}

#[test]
fn twenty_kills_at_random_moments_change_no_byte() {
    const KILLS: u64 = 20;
    let undisturbed = Sandbox::finished();
    let begin = Instant::now();
    undisturbed.stage("score", &PARTS);
    let whole = begin.elapsed();

    let assert_undisturbed = |sandbox: &Sandbox| {
        assert_eq!(sandbox.digests("score"), undisturbed.digests("score"));
        assert!(!sandbox.run_path("score.parts").exists());
        sandbox.assert_tidy();
    };
    let mut sandbox = Sandbox::finished();
    let mut killed = 0;
    for round in 0.. {
        assert!(round < 20 * KILLS, "{killed} kills");
        let child = start(sandbox.command("score", &PARTS));
        std::thread::sleep(whole.mul_f64(0.9 * number(42, "kill", round) as f64 / u64::MAX as f64));
        if was_killed(kill(child)) {
            killed += 1;
        } else {
            // It had come to its end, so that the next kill needs another run.
            assert_undisturbed(&sandbox);
            sandbox = Sandbox::finished();
        }
        if killed == KILLS {
            break;
        }
    }
    sandbox.stage("score", &PARTS);
    assert_undisturbed(&sandbox);
}

#[test]
fn finished_parts_are_not_made_again() {
    let sandbox = interrupted();
    let finished = fs::read_dir(sandbox.run_path(FOLDER)).unwrap();
    let finished = finished.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "parquet"));
    let finished = finished.count();
    let stderr = sandbox.stage("score", &PARTS).stderr;
    let line = stderr.lines().find(|line| line.ends_with(" parts to make")).unwrap();
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(finished >= 2, "{finished}");
    assert_eq!(numbers[0] + finished, numbers[1], "{stderr}");
}

#[test]
fn shards_in_any_order_make_what_one_process_makes() {
    let undisturbed = Sandbox::finished();
    undisturbed.stage("score", &PARTS);

    let sandbox = Sandbox::finished();
    let earlier = sandbox.digests("score");
    for shard in ["3/4", "1/4", "4/4", "3/4"] {
        let stderr = sandbox.stage("score", &[&PARTS[..], &["--shard", shard]].concat()).stderr;
        assert!(stderr.contains(&format!("shard {shard} is finished")), "{stderr}");
    }
    let mut array = sandbox.command("score", &PARTS);
    array.envs([("SLURM_ARRAY_TASK_ID", "2"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_COUNT", "4")]);
    let stderr = finish(array).succeeded().stderr;
    assert!(stderr.contains("shard 2/4 is finished"), "{stderr}");
    assert_eq!(sandbox.digests("score"), earlier);
    let stderr = sandbox.stage("score", &PARTS).stderr;
    assert!(stderr.contains("score: 0 of "), "{stderr}");
    assert_eq!(sandbox.digests("score"), undisturbed.digests("score"));
    assert!(!sandbox.run_path("score.parts").exists());
}

#[test]
fn two_processes_may_make_the_same_shard() {
    let undisturbed = Sandbox::finished();
    undisturbed.stage("score", &PARTS);
    let sandbox = Sandbox::finished();
    let shard = [&PARTS[..], &["--shard", "1/1"]].concat();
    let mut children = [0, 1].map(|_| start(sandbox.command("score", &shard)));
    let is_at_work = || sandbox.run_path("score.parts").exists();
    while !is_at_work() && children[0].try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    // A run that commits waits for nobody: it is refused while shards are at work, and they while it is.
    let refused = sandbox.try_stage("score", &PARTS);
    assert!(refused.code == Some(2) || refused.code == Some(0), "{}", refused.stderr);
    let codes = children.each_mut().map(|child| child.wait().unwrap().code());
    assert!(codes.contains(&Some(0)) && codes.iter().all(|code| [Some(0), Some(2)].contains(code)), "{codes:?}");
    sandbox.stage("score", &PARTS);
    assert_eq!(sandbox.digests("score"), undisturbed.digests("score"));
}

#[test]
fn parts_of_another_configuration_are_refused_by_name() {
    let sandbox = interrupted();
    let others = ["--set", "score.random_documents=4096", "--set", "score.list_size=3"];
    let expected = "score.parts/1: expected a part of this computation, found one of other data, another model or another \
                    configuration; remove it, or begin anew with --force";
    refused(&sandbox.try_stage("score", &others), expected);
    // A shard cannot begin anew by itself.
    let expected = "score.parts/1: expected a part of this computation, found one of other data, another model or another \
                    configuration; remove it while no shard is at work, and start the shards again";
    refused(&sandbox.try_stage("score", &[&others[..], &["--shard", "1/2"]].concat()), expected);
    sandbox.stage("score", &[&others[..], &["--force"]].concat());
    assert!(!sandbox.run_path("score.parts").exists());

    let undisturbed = Sandbox::finished();
    undisturbed.stage("score", &others);
    assert_eq!(sandbox.digests("score"), undisturbed.digests("score"));
}

#[test]
fn a_changed_teacher_leaves_the_parts_of_the_others() {
    let sandbox = Sandbox::finished();
    copy(&sandbox.run_path("teacher/rank"), &sandbox.path("ranker"));
    // As another library would have saved it, so that the pipeline says what it reads.
    fs::remove_file(sandbox.path("ranker/disranker.json")).unwrap();
    let template = "query: {query} document: {document}</s>";
    let teachers = |weight: f64, length: usize| {
        let input = format!("{{ template = '{template}', max_length = {length} }}");
        let text =
            format!("[[teacher]]\nuse = 'teacher'\nweight = {weight:?}\n[[teacher]]\nuse = 'ranker'\ninput = {input}");
        let mut table: Table = toml::from_str(&text).unwrap();
        sandbox.edit_config(|config| {
            let score = config["score"].as_table_mut().unwrap();
            score.insert("teacher".into(), table.remove("teacher").unwrap());
        });
    };
    let shard = [&PARTS[..], &["--shard", "1/1"]].concat();
    // How many parts of each teacher were there.
    let parts_to_make = || {
        let stderr = sandbox.stage("score", &shard).stderr;
        stderr.lines().filter(|line| line.contains("score: 0 of ")).count()
    };
    teachers(1.0, 40);
    assert_eq!(parts_to_make(), 0);
    assert_eq!(parts_to_make(), 2);
    // Weights decide the average alone.
    teachers(3.0, 40);
    assert_eq!(parts_to_make(), 2);
    teachers(3.0, 30);
    refused(
        &sandbox.try_stage("score", &PARTS),
        "score.parts/2: expected a part of this computation, found one of other data",
    );
    fs::remove_dir_all(sandbox.run_path("score.parts/2")).unwrap();
    assert_eq!(parts_to_make(), 1);
    sandbox.stage("score", &PARTS);
    let interrupted = sandbox.digests("score");
    sandbox.stage("score", &[&PARTS[..], &["--force"]].concat());
    assert_eq!(sandbox.digests("score"), interrupted);
    assert!(!sandbox.run_path("score.parts").exists());
}

#[test]
fn a_damaged_part_is_refused_by_name() {
    let sandbox = interrupted();
    let part = sandbox.run_path(&format!("{FOLDER}/part-00000.parquet"));
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 0x20;
    fs::write(&part, bytes).unwrap();
    refused(&sandbox.try_stage("score", &PARTS), "part-00000.parquet: expected a part of this computation, found");
    fs::remove_file(&part).unwrap();
    sandbox.stage("score", &PARTS);
}

#[test]
fn a_share_that_does_not_exist_is_refused() {
    let sandbox = Sandbox::finished();
    let outcome = sandbox.try_stage("score", &["--shard", "5/4"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("from 1/4 to 4/4, found `5/4`"), "{}", outcome.stderr);
    let mut command = sandbox.command("score", &[]);
    command.env("JOB_COMPLETION_INDEX", "1");
    let outcome = finish(command);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("without JOB_COMPLETIONS"), "{}", outcome.stderr);
    let mut command = sandbox.command("score", &["--force"]);
    command.envs([("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_ARRAY_TASK_COUNT", "2")]);
    let outcome = finish(command);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.stderr.contains("--force removes the parts of all shards, found it in shard 1/2"),
        "{}",
        outcome.stderr
    );
}
