//! Bad input: one clear line, exit code 3, nothing half-written, earlier output intact.

use crate::run::{CONFIG, World, csv_log};

type Bytes = Vec<u8>;

#[test]
fn bad_logs_are_named_and_leave_the_earlier_output() {
    let good = csv_log(&["a", "b", "c"]);
    let packed = zstd::encode_all(good.repeat(50).as_bytes(), 3).unwrap();
    let zst = "ingest.log.paths=[\"log.csv.zst\"]";
    let gz = "ingest.log.paths=[\"log.csv.gz\"]";
    let cases: [(&str, Bytes, &[&str], &str); 10] = [
        (
            "log.csv",
            good.replace("doc,", "document,").into(),
            &[],
            "log.csv: expected a column `doc`, found `session`, `query`, `document`, `rank`, `click` in the first record",
        ),
        (
            "log.csv",
            good.replace(",1,", ",x,").replace(",2,", ",y,").into(),
            &[],
            "log.csv:2: position is not a whole number: `s-a,a,d1,x,false`",
        ),
        ("log.csv", good.replace("s-a,a,d1,1", "s-a,a,d1,x").into(), &[], "the first of 1 malformed among 6 lines"),
        ("log.csv", Bytes::new(), &[], "log.csv: expected records, found an empty file"),
        (
            "log.csv.zst",
            packed[..packed.len() - 9].to_vec(),
            &[zst],
            "log.csv.zst: expected a whole zstd file, found a truncated or damaged one",
        ),
        ("log.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), &[gz], "log.csv.gz: expected a whole gzip file"),
        (
            "log.csv",
            [good.as_bytes(), b"s,\xff,d1,1,0\n"].concat(),
            &[],
            "log.csv:8: expected text, found invalid UTF-8",
        ),
        ("log.csv", [good.as_bytes(), b"s,\0,d1,1,0\n"].concat(), &[], "log.csv:8: expected text, found NUL byte"),
        (
            "log.csv",
            good.replace(",1,", ",5,").replace(",2,", ",6,").into(),
            &[],
            "expected results at position 1, found none; correct ingest.log.first_position",
        ),
        (
            "log.csv",
            good.clone().into(),
            &["ingest.log.paths=[\"nothing-*.csv\"]"],
            "nothing-*.csv: expected at least one file, found none; correct ingest.log.paths",
        ),
    ];
    let world = World::new(CONFIG);
    world.file("log.csv", &good);
    world.output(&[]);
    let manifest = world.path("runs/r/ingest").join(tables::MANIFEST_FILE);
    let before = std::fs::read(&manifest).unwrap();
    for (name, bytes, overrides, expected) in cases {
        world.file(name, bytes);
        let (code, stderr) = world.run(overrides);
        assert_eq!(code, 3, "{expected}: {stderr}");
        let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{expected}: {stderr}");
        assert!(!world.path("runs/r/.ingest.partial").exists(), "{expected}");
        assert_eq!(std::fs::read(&manifest).unwrap(), before, "{expected}");
    }
    world.file("log.csv", &good);
    let (_, stderr) = world.run(&[]);
    assert!(stderr.contains("up to date"), "{stderr}");
}

#[test]
fn the_stage_that_makes_an_input_is_named() {
    let world = World::new(CONFIG);
    let (code, stderr) = world.run(&["ingest.log.paths=[\"{run}/simulate/log/*.csv\"]"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("run `simulate` first"), "{stderr}");
}

#[test]
fn a_log_that_cleaning_empties_is_an_error() {
    let world = World::new(CONFIG);
    world.file("log.csv", csv_log(&["a"]).replace("d1", "x").replace("d2", "y"));
    let (code, stderr) = world.run(&[]);
    assert_eq!(code, 3);
    let expected = "log: 2 of 2 rows are lost, which is more than ingest.clean.max_lost_fraction = 0.2; 2 of them for \
        \"document not in the document table\", such as `session_id=s-a query=a doc_id=x position=1 clicked=false`";
    assert!(stderr.contains(expected), "{stderr}");
}
