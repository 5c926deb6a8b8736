//! `kill -9` at any moment, and run again.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Instant;

use ranking::rng::number;

use crate::run::{CONFIG, World, digests, ingest};

/// A log of six files, which takes long enough to be killed on its way.
fn six_files() -> World {
    let world = World::new(CONFIG);
    for file in 0..6u64 {
        let mut log = String::from("session,query,doc,rank,click\n");
        for search in 0..6000 {
            let draw = |what: &str, below: u64| number(file, what, search) % below;
            let (query, clicked) = (draw("query", 500), draw("click", 4));
            for place in 0..4 {
                let document = 1 + (query + place) % 9;
                let rank = place + 1;
                log += &format!("s{file}-{search},query {query},d{document},{rank},{}\n", place == clicked);
            }
        }
        world.file(&format!("log-{file}.csv"), log);
    }
    world
}

#[test]
fn ten_kills_at_random_moments_change_no_byte() {
    const KILLS: u64 = 10;
    let undisturbed = six_files();
    let begin = Instant::now();
    let expected = digests(&undisturbed.output(&[]));
    let whole = begin.elapsed();

    let world = six_files();
    let (mut killed, mut round) = (0, 0);
    while killed < KILLS {
        round += 1;
        let mut child = ingest(&world.path("pipeline.toml")).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(number(42, "kill", round) as f64 / u64::MAX as f64));
        // One that has just ended by itself cannot be killed; its status tells.
        let _ = child.kill();
        let status = child.wait().unwrap();
        if status.signal() == Some(9) {
            killed += 1;
        } else {
            assert!(status.success(), "{status}");
            std::fs::remove_dir_all(world.path("runs")).unwrap();
        }
    }
    assert_eq!(digests(&world.output(&[])), expected);
    let left = |folder: &str| {
        let entries = std::fs::read_dir(world.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(left("runs/r"), ["ingest", "ingest.parts"]);
    assert!(
        left("runs/r/ingest.parts").iter().all(|name| name.ends_with(".part")),
        "{:?}",
        left("runs/r/ingest.parts")
    );
    assert_eq!(left("runs/r/ingest.parts").len(), 6);
}
