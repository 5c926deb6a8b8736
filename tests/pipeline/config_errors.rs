//! A slip in the pipeline file or on the command line: exit code 2, one line that names the key.

use pipeline::config::json_schema;

use crate::process::finish;
use crate::sandbox::Sandbox;

#[test]
fn a_slip_in_a_key_is_named() {
    let sandbox = Sandbox::finished();
    let cases = [
        (
            "distil.steps=1",
            "error: tiny.toml: distil: unknown field `distil`, expected one of `run`, `simulate`, `ingest`, `retrieval`, `cpt`, \
             `teacher`, `score`, `distill`, `evaluate`, `grade`",
        ),
        (
            "teacher.rank.steps=\"many\"",
            "error: tiny.toml: teacher.rank.steps: invalid type: string \"many\", expected usize",
        ),
        ("distill.alpha=2", "error: tiny.toml: distill.alpha: expected a number from 0 to 1, found 2"),
        (
            "run.name=\"a/b\"",
            "error: tiny.toml: run.name: expected letters, digits, `-`, `_` and `.`, not starting with a dot, found a/b",
        ),
        (
            "distill.learning_rate",
            "error: --set distill.learning_rate: expected table.key=value, such as --set distill.learning_rate=0.001",
        ),
        ("steps=1", "error: --set steps=1: expected table.key=value, such as --set distill.learning_rate=0.001"),
    ];
    let before = sandbox.digests("simulate");
    for (given, expected) in cases {
        // The first stage already sees a slip in the table of the last one.
        assert_eq!(sandbox.try_stage("simulate", &["--set", given]).error(2), expected);
    }
    assert_eq!(sandbox.digests("simulate"), before);
    sandbox.assert_tidy();
}

#[test]
fn an_unknown_key_is_named_beside_the_known_ones() {
    let schema = json_schema().to_value();
    let known = schema.pointer("/definitions/DistillConfig/properties").unwrap().as_object().unwrap();
    let known: Vec<String> = known.keys().map(|key| format!("`{key}`")).collect();
    let expected = "error: tiny.toml: distill.learning_rat: unknown field `learning_rat`, expected one of ";
    let outcome = Sandbox::new().try_stage("simulate", &["--set", "distill.learning_rat=0.1"]);
    assert_eq!(outcome.error(2), format!("{expected}{}", known.join(", ")));
}

#[test]
fn a_missing_pipeline_file_is_named() {
    let sandbox = Sandbox::new();
    let outcome = finish(crate::process::command(&sandbox.path(""), "ingest", &["--config", "nowhere.toml"]));
    assert_eq!(
        outcome.error(2),
        "error: nowhere.toml: cannot be read: No such file or directory (os error 2); name a pipeline file with --config"
    );
}

#[test]
fn a_file_that_is_not_toml_is_named_with_its_line() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("tiny.toml"), "[run]\nname = \"tiny\nseed = 1\n").unwrap();
    let outcome = sandbox.try_stage("ingest", &[]);
    assert_eq!(
        outcome.error(2),
        "error: tiny.toml: TOML parse error at line 2, column 13: invalid basic string, expected `\"`"
    );
}

#[test]
fn an_unknown_option_is_bad_usage() {
    let outcome = Sandbox::new().try_stage("ingest", &["--frobnicate"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("error: unexpected argument '--frobnicate' found\n"), "{}", outcome.stderr);
}

#[test]
fn a_stage_names_the_stage_to_run_first() {
    let sandbox = Sandbox::new();
    let before = [
        ("ingest", "simulate"),
        ("cpt", "ingest"),
        ("teacher", "ingest"),
        ("score", "ingest"),
        ("distill", "ingest"),
        ("evaluate", "ingest"),
    ];
    for (stage, first) in before {
        let expected = format!(
            "error: ./runs/tiny/{first}/manifest.json: no finished output of stage `{first}`; run `{first}` first"
        );
        assert_eq!(sandbox.try_stage(stage, &[]).error(3), expected);
        assert!(!sandbox.run_path(stage).exists());
    }
    sandbox.assert_tidy();
}
