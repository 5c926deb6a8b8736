//! A teacher that exists, and faults of models that the first stage tells.

use std::fs;

use serde_json::{Value, json};
use toml::Table;

use crate::base_models::with_bases;
use crate::sandbox::{Sandbox, active_stages, copy};

/// A finished sandbox with its own teacher in the folder `ranker`, which is to teach as it is.
fn with_ranker() -> Sandbox {
    let sandbox = Sandbox::finished();
    copy(&sandbox.run_path("teacher/rank"), &sandbox.path("ranker"));
    sandbox.edit_config(|tables| {
        let mut teacher = Table::new();
        teacher.insert("use".into(), "ranker".into());
        tables.insert("teacher".into(), teacher.into());
        tables["cpt"].as_table_mut().unwrap().remove("teacher_tokenizer").unwrap();
    });
    sandbox
}

/// Leaves the folder as another library would have saved it: without `disranker.json` and without a chat template.
fn estrange(sandbox: &Sandbox) {
    fs::remove_file(sandbox.path("ranker/disranker.json")).unwrap();
    let path = sandbox.path("ranker/tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["chat_template"] = Value::Null;
    fs::write(path, config.to_string()).unwrap();
}

#[test]
fn a_saved_ranker_teaches_as_it_is() {
    let sandbox = with_ranker();
    let scores =
        |sandbox: &Sandbox| sandbox.table("score", "teacher_scores").float32s("score").unwrap().values().to_vec();
    let trained = scores(&sandbox);
    sandbox.edit_config(|tables| drop(tables["distill"].as_table_mut().unwrap().remove("labels_only")));
    let said = sandbox.run_all(&[]);
    let teacher = &said.iter().find(|(stage, _)| *stage == "teacher").unwrap().1;
    assert!(teacher.contains("teacher: ranker as it is"), "{teacher}");
    assert_eq!(scores(&sandbox), trained);
    let systems = sandbox.table("evaluate", "runs");
    let systems: std::collections::BTreeSet<&str> = systems.strings("system").unwrap().iter().flatten().collect();
    assert_eq!(systems.into_iter().collect::<Vec<_>>(), ["bm25", "log_order", "student", "teacher"]);
    for stage in active_stages() {
        let stderr = sandbox.stage(stage, &[]).stderr;
        assert!(stderr.contains(&format!("{stage}: up to date")), "{stderr}");
    }
}

#[test]
fn a_decoder_that_does_not_say_its_template_is_refused_by_the_first_stage_with_the_line_that_sets_it() {
    let sandbox = with_ranker();
    estrange(&sandbox);
    let outcome = sandbox.try_stage("cpt", &[]);
    let error = outcome.error(2);
    assert!(
        error.contains("teacher.use = ranker: ./ranker: expected a ranker whose input template is known"),
        "{error}"
    );
    let line = "teacher.input.template = \"query: {query} document: {document}</s>\"";
    assert!(error.ends_with(line), "{error}");
    let set = ["--set", line];
    sandbox.stage("cpt", &set);
    sandbox.stage("teacher", &set);
    let saved: Value =
        serde_json::from_slice(&fs::read(sandbox.run_path("teacher/rank/disranker.json")).unwrap()).unwrap();
    let template = json!({"kind": "prompt", "text": "query: {query} document: {document}</s>", "special_tokens": true});
    assert_eq!(saved["scoring"]["template"], template);
}

#[test]
fn what_a_later_stage_would_refuse_is_told_by_the_first() {
    let sandbox = with_bases();
    sandbox.edit_config(|tables| {
        for role in ["teacher", "distill"] {
            let table = tables[role].as_table_mut().unwrap();
            table.remove("model").unwrap();
            table.insert("base".into(), "encoder".into());
        }
        let cpt = tables["cpt"].as_table_mut().unwrap();
        cpt.remove("teacher_tokenizer").unwrap();
        cpt.remove("student_tokenizer").unwrap();
    });
    let error = |set: &[&str]| {
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        sandbox.try_stage("cpt", &set).error(2).to_string()
    };
    assert_eq!(
        error(&["distill.keep_layers=[0, 3]"]),
        "error: distill.keep_layers = [0, 3]: expected layers below 3 of the base model, in increasing order"
    );
    let lora = error(&["teacher.lora.rank=2", "teacher.lora.alpha=4", "teacher.lora.targets=[\"q_proj\"]"]);
    assert!(lora.contains("teacher.lora.targets = q_proj: expected all-linear, or linear layers"), "{lora}");
    let long = error(&["distill.input.max_length=500"]);
    assert!(long.contains("distill.base = encoder: tokenizer: sequences take up to 500 tokens"), "{long}");
}

#[test]
fn a_training_that_diverges_names_its_rate_and_keeps_the_earlier_output() {
    let sandbox = Sandbox::finished();
    let earlier = sandbox.digests("distill");
    for rate in ["1", "50"] {
        let set = format!("distill.learning_rate={rate}");
        let outcome = sandbox.try_stage("distill", &["--set", &set]);
        let error = outcome.error(1);
        assert!(error.contains(&format!("lower distill.learning_rate = {rate}")), "{error}");
        assert_eq!(sandbox.digests("distill"), earlier);
    }
}
