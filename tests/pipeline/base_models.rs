//! Base models in either role: by folder, and fetched from a server on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::hub::{COMMIT, Hub};
use crate::process::finish;
use crate::sandbox::{Sandbox, active_stages, copy};

/// A finished sandbox whose folder `encoder` holds a BERT of three layers, and `decoder` a pre-trained Llama.
pub(crate) fn with_bases() -> Sandbox {
    let sandbox = Sandbox::finished();
    let deep = ["distill.model.num_hidden_layers=3", "distill.steps=1", "distill.labels_only.steps=1"];
    sandbox.stage("distill", &deep.map(|set| ["--set", set]).concat());
    copy(&sandbox.run_path("distill/student"), &sandbox.path("encoder"));
    copy(&sandbox.run_path("teacher/cpt"), &sandbox.path("decoder"));
    sandbox
}

/// Rewrites the sandbox's pipeline: `role` starts from `base` and no longer from a table and a tokenizer of its own.
pub(crate) fn start_from(sandbox: &Sandbox, role: &str, base: &str) {
    let tokenizer = if role == "teacher" { "teacher_tokenizer" } else { "student_tokenizer" };
    sandbox.edit_config(|tables| {
        let table = tables[role].as_table_mut().unwrap();
        table.remove("model").unwrap();
        table.insert("base".into(), base.into());
        tables["cpt"].as_table_mut().unwrap().remove(tokenizer).unwrap();
    });
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_encoder_teaches_a_student_of_its_own_layers() {
    let sandbox = with_bases();
    start_from(&sandbox, "teacher", "encoder");
    start_from(&sandbox, "distill", "encoder");
    let keep = ["--set", "distill.keep_layers=[0, 2]"];
    let said = sandbox.run_all(&keep);
    let teacher = &said.iter().find(|(stage, _)| *stage == "teacher").unwrap().1;
    let skipped = "teacher: phase cpt is skipped: the base model is an encoder, which predicts no next token";
    assert!(teacher.contains(skipped), "{teacher}");
    assert!(!sandbox.run_path("teacher/cpt").exists());
    for (folder, layers) in [("teacher/rank", 3), ("distill/student", 2), ("distill/student_labels_only", 2)] {
        let config = json(&sandbox.run_path(folder).join("config.json"));
        assert_eq!((&config["model_type"], &config["num_hidden_layers"]), (&"bert".into(), &layers.into()), "{folder}");
        let tokenizer = fs::read(sandbox.run_path(folder).join("tokenizer.json")).unwrap();
        assert_eq!(tokenizer, fs::read(sandbox.path("encoder/tokenizer.json")).unwrap(), "{folder}");
    }
    for stage in active_stages() {
        let stderr = sandbox.stage(stage, &keep).stderr;
        assert!(stderr.contains(&format!("{stage}: up to date")), "{stderr}");
    }

    let companion = sandbox.path("encoder/tokenizer_config.json");
    fs::write(&companion, fs::read_to_string(&companion).unwrap() + "\n").unwrap();
    for stage in ["cpt", "teacher", "score", "distill"] {
        let stderr = sandbox.stage(stage, &keep).stderr;
        assert!(stderr.contains(&format!("{stage}: running")), "{stderr}");
    }
}

#[test]
fn a_decoder_is_pre_trained_further_with_its_own_tokenizer() {
    let sandbox = with_bases();
    start_from(&sandbox, "teacher", "decoder");
    for stage in ["cpt", "teacher", "score"] {
        let stderr = sandbox.stage(stage, &[]).stderr;
        assert!(stderr.contains(&format!("{stage}: running")) && !stderr.contains("skipped"), "{stderr}");
    }
    let own = fs::read(sandbox.path("decoder/tokenizer.json")).unwrap();
    for folder in ["cpt/teacher_tokenizer", "teacher/cpt", "teacher/rank"] {
        assert_eq!(fs::read(sandbox.run_path(folder).join("tokenizer.json")).unwrap(), own, "{folder}");
    }
    assert_eq!(json(&sandbox.run_path("teacher/rank/config.json"))["model_type"], "llama");
}

#[test]
fn what_does_not_fit_a_base_is_refused() {
    let sandbox = with_bases();
    start_from(&sandbox, "distill", "encoder");
    sandbox.stage("cpt", &[]);
    let refusal = |set: &str, code| {
        let outcome = sandbox.try_stage("distill", &["--set", set]);
        outcome.error(code).to_string()
    };
    assert_eq!(
        refusal("distill.keep_layers=[0, 3]", 2),
        "error: stage distill: distill.keep_layers = [0, 3]: expected layers below 3 of the base model, in increasing order"
    );
    let long = refusal("distill.input.max_length=500", 2);
    assert!(
        long.starts_with("error: stage distill: distill.base = encoder: tokenizer: sequences take up to 500"),
        "{long}"
    );
    let missing = refusal("distill.base=nowhere", 3);
    assert_eq!(missing, "error: ./nowhere: expected the folder of a Hugging Face model, found no folder");
    let weights = sandbox.path("encoder/model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let damaged = sandbox.try_stage("distill", &[]);
    let expected = "error: stage distill: distill.base: ./encoder/model.safetensors: expected a whole safetensors file";
    assert!(damaged.error(3).starts_with(expected), "{}", damaged.stderr);
}

#[test]
fn a_base_of_the_hub_is_fetched_once() {
    let sandbox = with_bases();
    start_from(&sandbox, "distill", "hf:org/tiny");
    let home = sandbox.path("home");
    let hub = Hub::serve(&sandbox.path("encoder"));
    let command = |environment: &[(&str, &str)]| -> Command {
        let mut command = sandbox.command("cpt", &["--force"]);
        command.env("HF_HOME", &home).env_remove("HF_HUB_OFFLINE").env_remove("HF_TOKEN");
        for proxy in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy).env_remove(proxy.to_uppercase());
        }
        command.env("HF_ENDPOINT", &hub.endpoint).envs(environment.iter().copied());
        command
    };

    let offline = [("HF_HUB_OFFLINE", "1")];
    let outcome = finish(command(&offline));
    assert_eq!(
        outcome.error(3),
        format!(
            "error: hf:org/tiny@main: expected it in the cache {}, as HF_HUB_OFFLINE is set, found no whole copy; unset it \
             once, or name a folder",
            home.join("hub").display()
        )
    );
    assert_eq!(hub.requests(), 0);
    let outcome = finish(command(&[("HF_ENDPOINT", "http://127.0.0.1:1")]));
    let unreachable = "error: hf:org/tiny@main: fetching the list of files failed: request error: ";
    assert!(outcome.error(1).starts_with(unreachable), "{}", outcome.stderr);

    finish(command(&[])).succeeded();
    let snapshot = home.join("hub/models--org--tiny/snapshots").join(COMMIT);
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        assert_eq!(
            fs::read(snapshot.join(file)).unwrap(),
            fs::read(sandbox.path("encoder").join(file)).unwrap(),
            "{file}"
        );
    }
    assert!(!snapshot.join("README.md").exists(), "only what a model needs is fetched");
    let requests = hub.requests();
    assert!(requests > 0);
    for environment in [&offline[..], &[]] {
        finish(command(environment)).succeeded();
    }
    assert_eq!(hub.requests(), requests);

    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    assert!(finish(command(&offline)).error(3).contains("found no whole copy"));
}
