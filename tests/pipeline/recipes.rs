//! The recipes of the justfile: options reach the programs as they were given. Only `just` is real here; the programs are
//! scripts that write down what they are started with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use pipeline::stages;
use tempfile::TempDir;

/// Values that a shell would take apart: quotes, brackets, spaces, a `$`.
const OPTIONS: [&str; 4] = ["--set", "ingest.documents.paths=[\"a b.jsonl\", '$c']", "--out", "d e.md"];

/// Recipes, what they are called with before options, and the programs that they start with these.
const RECIPES: [(&str, &[&str], &str); 10] = [
    ("ablation", &[], "ablation"),
    ("analyze", &[], "analyze"),
    ("bench", &["peers"], "bench"),
    ("check", &[], "check"),
    ("compare", &["run a", "run b"], "evaluate"),
    ("cranfield", &[], "teacher"),
    ("export", &[], "export"),
    ("grade", &[], "grade"),
    ("scifact", &[], "ablation"),
    ("serve", &[], "serve"),
];

/// A folder of programs that write their arguments, a line each, into a file beside them.
fn programs() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let release = dir.path().join("target/release");
    fs::create_dir_all(&release).unwrap();
    script(&dir.path().join("cargo"), "exit 0");
    let others = RECIPES.map(|(_, _, program)| program);
    for program in stages().chain(others) {
        script(&release.join(program), "printf '%s\\n' \"$@\" > \"$0.arguments\"");
    }
    dir
}

fn script(path: &Path, line: &str) {
    fs::write(path, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// The arguments that a program is started with when `just` is called with these words and then the options; `None` where
/// `just` is not installed.
fn arguments(words: &[&str], program: &str) -> Option<Vec<String>> {
    if Command::new("just").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: just is not installed");
        return None;
    }
    let dir = programs();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("just");
    command.args(["--justfile", concat!(env!("CARGO_MANIFEST_DIR"), "/../justfile")]);
    command.args(words).args(OPTIONS).env("PATH", path).env("CARGO_TARGET_DIR", dir.path().join("target"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let written = fs::read_to_string(dir.path().join("target/release").join(format!("{program}.arguments"))).unwrap();
    Some(written.lines().map(String::from).collect())
}

#[test]
fn options_reach_the_programs_as_they_were_given() {
    let of_stages = stages().map(|stage| (stage, &[][..], stage));
    for (recipe, before, program) in of_stages.chain(RECIPES) {
        let Some(found) = arguments(&[&[recipe], before].concat(), program) else { return };
        assert_eq!(found[found.len() - OPTIONS.len()..], OPTIONS, "{recipe}");
    }
}

#[test]
fn arguments_before_options_have_their_places() {
    let Some(bench) = arguments(&["bench", "peers"], "bench") else { return };
    assert_eq!(bench[..bench.len() - OPTIONS.len()], ["peers"]);
    let compare = arguments(&["compare", "run a", "run b"], "evaluate").unwrap();
    let run = |name: &str| format!("{name}={name}/evaluate/trec/student.run");
    let before = ["--qrels", "run b/evaluate/trec/qrels.txt", "--out", "run a/compared/run b", "--force"];
    let (b, a) = (run("run b"), run("run a"));
    let expected = [&before[..], &["--run", &b, "--run", &a]].concat();
    assert_eq!(compare[..compare.len() - OPTIONS.len()], expected);
}

#[test]
fn the_method_alone_is_what_scifact_runs() {
    let Some(found) = arguments(&["scifact"], "ablation") else { return };
    let method = ["--only", "method", "--seeds", "1"].map(String::from);
    assert!(found.windows(4).any(|window| window == method), "{found:?}");
    let found = arguments(&["scifact", "--seeds", "1,2,3"], "ablation").unwrap();
    assert!(!found.contains(&"--only".to_string()) && !found.contains(&"1".to_string()), "{found:?}");
}

#[test]
fn another_pipeline_file_reaches_every_recipe_that_works_on_one() {
    let others = [("ablation", "ablation"), ("scifact", "ablation"), ("check", "check"), ("grade", "grade")];
    for (recipe, program) in stages().map(|stage| (stage, stage)).chain(others) {
        let Some(found) = arguments(&["config=m y.toml", recipe], program) else { return };
        assert!(found.windows(2).any(|window| window == ["--config", "m y.toml"]), "{recipe}: {found:?}");
    }
}
