//! A log that several processes read.

use std::fs;

use crate::process::{finish, start};
use crate::sandbox::Sandbox;

/// A sandbox whose log has a file for every 200 lines.
fn of_many_files() -> Sandbox {
    let sandbox = Sandbox::finished();
    let mut lines = Vec::new();
    for entry in fs::read_dir(sandbox.run_path("simulate/log")).unwrap() {
        let packed = fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
        lines.extend(text.lines().map(String::from));
    }
    fs::create_dir(sandbox.path("log")).unwrap();
    for (number, lines) in lines.chunks(200).enumerate() {
        fs::write(sandbox.path(&format!("log/{number:03}.jsonl")), lines.join("\n") + "\n").unwrap();
    }
    sandbox
}

const LOG: [&str; 2] = ["--set", "ingest.log.paths=[\"log/*.jsonl\"]"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&LOG[..], more].concat()
}

#[test]
fn shards_in_any_order_make_what_one_process_makes() {
    let alone = of_many_files();
    alone.stage("ingest", &LOG);
    let files = fs::read_dir(alone.path("log")).unwrap().count();
    assert!(files > 3, "{files}");

    let sandbox = of_many_files();
    let earlier = sandbox.digests("ingest");
    let parts = || fs::read_dir(sandbox.run_path("ingest.parts")).unwrap().count();
    let before = parts();
    for shard in ["3/3", "1/3", "3/3"] {
        let stderr = sandbox.stage("ingest", &with(&["--shard", shard])).stderr;
        assert!(stderr.contains(&format!("shard {shard} is finished, ")), "{stderr}");
        assert!(stderr.contains(&format!(" of {files} files")), "{stderr}");
    }
    assert_eq!(parts() - before, files - (files + 1) / 3, "all files but those of shard 2");
    let mut indexed = sandbox.command("ingest", &LOG);
    indexed.envs([("JOB_COMPLETION_INDEX", "1"), ("JOB_COMPLETIONS", "3")]);
    let stderr = finish(indexed).succeeded().stderr;
    assert!(stderr.contains("shard 2/3 is finished"), "{stderr}");
    assert_eq!(sandbox.digests("ingest"), earlier);
    sandbox.stage("ingest", &LOG);
    assert_eq!(parts(), files);
    assert_eq!(sandbox.digests("ingest"), alone.digests("ingest"));
    sandbox.assert_tidy();
}

#[test]
fn a_missing_shard_is_made_and_a_doubled_one_harmless() {
    let alone = of_many_files();
    alone.stage("ingest", &LOG);
    let sandbox = of_many_files();
    let mut children = [0, 1].map(|_| start(sandbox.command("ingest", &with(&["--shard", "1/2"]))));
    let codes = children.each_mut().map(|child| child.wait().unwrap().code());
    assert_eq!(codes, [Some(0), Some(0)]);
    sandbox.stage("ingest", &LOG);
    assert_eq!(sandbox.digests("ingest"), alone.digests("ingest"));
}

#[test]
fn a_shard_cannot_begin_anew() {
    let sandbox = Sandbox::finished();
    for arguments in [&["--shard", "1/2", "--force"][..], &["--shard", "3/2"]] {
        assert_eq!(sandbox.try_stage("ingest", arguments).code, Some(2));
    }
}
