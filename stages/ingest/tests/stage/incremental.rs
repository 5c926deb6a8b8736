//! A further file reads that file alone, and the tables are those of one run over all files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::run::{CONFIG, World, csv_log, digests, rows};

/// What the runs before have read: each file, and when it was written.
fn parts(world: &World) -> BTreeMap<PathBuf, SystemTime> {
    let folder = std::fs::read_dir(world.path("runs/r/ingest.parts")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap())).collect()
}

/// The number of parts that are in `after` as they were in `before`, and of those that are not.
fn kept_and_new(before: &BTreeMap<PathBuf, SystemTime>, after: &BTreeMap<PathBuf, SystemTime>) -> (usize, usize) {
    let kept = after.iter().filter(|(path, time)| before.get(*path) == Some(*time)).count();
    (kept, after.len() - kept)
}

/// A log in two files.
fn two_days() -> World {
    let world = World::new(CONFIG);
    world.file("log-1.csv", csv_log(&["a", "b", "c", "d"]));
    world.file("log-2.csv", csv_log(&["c", "d", "e"]));
    world
}

#[test]
fn a_further_file_is_the_only_one_that_is_read() {
    let world = two_days();
    world.output(&[]);
    let before = parts(&world);
    assert_eq!(before.len(), 2);

    let third = csv_log(&["e", "f", "g"]).replace("s-e,e,d1,1,false", "s-e,e,unknown,1,false");
    world.file("log-3.csv", &third);
    let stage = world.output(&[]);
    assert_eq!(kept_and_new(&before, &parts(&world)), (2, 1));

    let rebuilt = two_days();
    rebuilt.file("log-3.csv", &third);
    let rebuilt = rebuilt.output(&[]);
    assert_eq!(digests(&stage).len(), 8);
    assert_eq!(digests(&stage), digests(&rebuilt));
    assert_eq!(stage.manifest().facts, rebuilt.manifest().facts);
}

#[test]
fn parts_follow_their_files() {
    let world = two_days();
    let first = digests(&world.output(&[]));
    let before = parts(&world);
    // A changed file is read again, and its old part goes.
    world.file("log-2.csv", csv_log(&["c", "d", "x"]));
    world.output(&[]);
    assert_eq!(kept_and_new(&before, &parts(&world)), (1, 1));
    // A removed file is forgotten.
    std::fs::remove_file(world.path("log-2.csv")).unwrap();
    world.output(&[]);
    assert_eq!(kept_and_new(&before, &parts(&world)), (1, 0));
    // The first state gives the first tables.
    world.file("log-2.csv", csv_log(&["c", "d", "e"]));
    assert_eq!(digests(&world.output(&[])), first);
}

#[test]
fn settings_that_decide_what_is_read_make_all_parts_anew() {
    let world = two_days();
    world.output(&[]);
    let before = parts(&world);
    for setting in
        ["ingest.clean.max_query_chars=50", "ingest.log.doc_id_width=1", "ingest.clean.null_values=[\"none\"]"]
    {
        world.output(&[setting]);
        assert_eq!(kept_and_new(&before, &parts(&world)), (0, 2), "{setting}");
    }
    world.output(&[]);
    let before = parts(&world);
    for setting in
        ["ingest.clean.min_grade_impressions=2", "ingest.clean.max_searches_per_session=9", "ingest.split.train=0.5"]
    {
        world.output(&[setting]);
        assert_eq!(kept_and_new(&before, &parts(&world)), (2, 0), "{setting}");
    }
}

#[test]
fn a_damaged_part_is_noticed() {
    let world = two_days();
    let whole = digests(&world.output(&[]));
    let paths: Vec<PathBuf> = parts(&world).into_keys().collect();
    let bytes = std::fs::read(&paths[0]).unwrap();
    // The end, which says what is where, is missing or wrong: the file is read again.
    std::fs::write(&paths[0], &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(digests(&world.output(&["ingest.clean.max_session_click_rate=0.9"])), whole);
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&paths[0], &damaged).unwrap();
    assert_eq!(digests(&world.output(&["ingest.clean.max_session_click_rate=0.8"])), whole);
    assert_eq!(std::fs::read(&paths[0]).unwrap(), bytes);
    // A wrong byte elsewhere is found when it is read.
    let mut damaged = bytes.clone();
    damaged[4] ^= 1;
    std::fs::write(&paths[0], &damaged).unwrap();
    world.refuses(
        &["ingest.clean.max_session_click_rate=0.9"],
        ".part: expected the bytes that were written, found others; remove \
        the file and run ingest again",
    );
    std::fs::remove_file(&paths[0]).unwrap();
    assert_eq!(digests(&world.output(&["ingest.clean.max_session_click_rate=0.9"])), whole);
}

/// The digests of all tables but `rejects`, which names lines.
fn tables_of(world: &World, overrides: &[&str]) -> BTreeMap<String, String> {
    let mut found = digests(&world.output(overrides));
    found.remove("rejects");
    found
}

/// A log of many searches with clicks at other positions, repeated events, unknown documents and empty queries.
fn many() -> Vec<String> {
    let mut lines = Vec::new();
    for search in 0..400 {
        let (session, query, shift) = (search % 90, search % 37, search % 3);
        for rank in 1..=5 {
            let document = (rank + shift) % 6;
            lines.push(format!("s{session},tea {query},d{document},{rank},0"));
        }
        let document = search % 11;
        lines.push(format!("s{session},tea {query},d{document},{shift}9,1"));
        if search % 40 == 0 {
            lines.push(format!("alone-{search},,d1,1,1"));
        }
    }
    lines
}

fn lines_to_file(lines: &[String]) -> String {
    format!("session,query,doc,rank,click\n{}\n", lines.join("\n"))
}

#[test]
fn neither_order_nor_threads_nor_memory_change_a_byte() {
    let lines = many();
    let world = World::new(CONFIG);
    world.file("log-1.csv", lines_to_file(&lines[..1000]));
    world.file("log-2.csv", lines_to_file(&lines[1000..]));
    let first = tables_of(&world, &["run.threads=1"]);
    assert_eq!(first.len(), 7);

    let other = World::new(CONFIG);
    let reversed: Vec<String> = lines.iter().rev().cloned().collect();
    let turn = lines.len() - 1000;
    other.file("log-1.csv", lines_to_file(&reversed[turn..]));
    other.file("log-2.csv", lines_to_file(&reversed[..turn]));
    assert_eq!(tables_of(&other, &["run.threads=3"]), first);
    let small = ["ingest.memory_limit=\"1KiB\"", "ingest.log.paths=[\"log-2.csv\", \"log-1.csv\"]"];
    assert_eq!(tables_of(&other, &small), first);
}

#[test]
fn a_click_that_fits_two_searches_goes_to_the_same_one_in_any_order() {
    let given = ["v,tea,d1,1,0", "v,pot,d1,2,0", "v,pot,d2,1,0", "v,,d1,,1", "w,cup,d1,1,0", "w,mug,d1,1,1"];
    let lines: Vec<String> = given.iter().map(|row| row.to_string()).collect();
    let world = World::new(CONFIG);
    world.file("log.csv", lines_to_file(&lines));
    let first = tables_of(&world, &[]);
    let reversed: Vec<String> = lines.iter().rev().cloned().collect();
    world.file("log.csv", lines_to_file(&reversed));
    assert_eq!(tables_of(&world, &[]), first);
}

#[test]
fn the_division_into_files_changes_no_table_but_the_source() {
    let lines = many();
    let one = World::new(CONFIG);
    one.file("log.csv", lines_to_file(&lines));
    let mut first = tables_of(&one, &[]);
    let stage = one.output(&[]);
    let columns = ["search_id", "session_id", "query_id", "doc_id", "position", "clicked", "dwell_seconds", "shown_at"];
    let impressions = rows(&stage, "impressions", &columns);

    let several = World::new(CONFIG);
    for (number, part) in lines.chunks(300).enumerate() {
        several.file(&format!("log-{number}.csv"), lines_to_file(part));
    }
    let mut found = tables_of(&several, &[]);
    assert_eq!(rows(&several.output(&[]), "impressions", &columns), impressions);
    first.remove("impressions");
    found.remove("impressions");
    assert_eq!(found, first);
    let sources: BTreeSet<String> = rows(&several.output(&[]), "impressions", &["source"]).into_iter().collect();
    assert!(sources.len() > 4, "{sources:?}");
}
