//! Options that a run is compared with and without: where the teacher's score is read, grades as classes, the term control layer,
//! and lists that count by the agreement of several teachers.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use toml::Table;

use crate::base_models::{start_from, with_bases};
use crate::sandbox::{Sandbox, copy};

const MEAN: [&str; 2] = ["--set", "teacher.pooling=mean"];
const GRADES: [&str; 4] =
    ["--set", "teacher.rank.loss=grade_cross_entropy", "--set", "distill.labels_only.loss=grade_cross_entropy"];
const TERMS: [&str; 2] = ["--set", "distill.term_control.weight=0.5"];

fn json(sandbox: &Sandbox, path: &str) -> Value {
    serde_json::from_slice(&fs::read(sandbox.run_path(path)).unwrap()).unwrap()
}

fn card(sandbox: &Sandbox, folder: &str) -> String {
    fs::read_to_string(sandbox.run_path(folder).join("README.md")).unwrap()
}

fn scores(sandbox: &Sandbox) -> Vec<f32> {
    sandbox.table("score", "teacher_scores").float32s("score").unwrap().values().to_vec()
}

/// The names of what a training logged.
fn logged(sandbox: &Sandbox) -> BTreeSet<String> {
    let table = sandbox.table("distill", "training_metrics");
    table.strings("metric").unwrap().iter().map(|name| name.unwrap().to_string()).collect()
}

fn set_teachers(sandbox: &Sandbox, text: &str) {
    let table: Table = toml::from_str(text).unwrap();
    sandbox.edit_config(|config| {
        config["score"].as_table_mut().unwrap().insert("teacher".into(), table["teacher"].clone());
    });
}

#[test]
fn a_teacher_read_at_the_mean_of_its_tokens_is_read_back_so() {
    let sandbox = Sandbox::finished();
    let at_last = scores(&sandbox);
    let said = sandbox.stage("teacher", &MEAN).stderr;
    assert!(said.contains("teacher: phase cpt is taken over from "), "{said}");
    assert_eq!(json(&sandbox, "teacher/rank/disranker.json")["scoring"]["pooling"], "mean");
    let told = card(&sandbox, "teacher/rank");
    assert!(told.contains("raw logit. It is read from the mean over all tokens"), "{told}");
    assert!(told.contains("Other libraries would read the last token"), "{told}");
    for stage in ["score", "distill", "evaluate"] {
        sandbox.stage(stage, &MEAN);
    }
    let own = scores(&sandbox);
    assert_ne!(own, at_last);
    copy(&sandbox.run_path("teacher/rank"), &sandbox.path("means"));
    set_teachers(&sandbox, "teacher = { use = 'means' }");
    sandbox.stage("score", &MEAN);
    assert_eq!(scores(&sandbox), own);
}

#[test]
fn an_encoder_is_read_at_its_own_token() {
    let sandbox = with_bases();
    start_from(&sandbox, "teacher", "encoder");
    let outcome = sandbox.try_stage("cpt", &MEAN);
    let line = outcome.error(2);
    let expected = "teacher.pooling: expected a decoder as teacher.base, found the architecture Bert; remove the key";
    assert!(line.contains(expected), "{line}");
}

#[test]
fn a_teacher_of_grades_scores_by_the_expected_grade() {
    let sandbox = Sandbox::finished();
    for stage in ["teacher", "score", "distill", "evaluate"] {
        sandbox.stage(stage, &GRADES);
    }
    for folder in ["teacher/rank", "distill/student_labels_only"] {
        assert_eq!(json(&sandbox, &format!("{folder}/disranker.json"))["grades"], 5, "{folder}");
        let labels = json(&sandbox, &format!("{folder}/config.json"))["id2label"].as_object().unwrap().len();
        assert_eq!(labels, 5, "{folder}");
        assert!(card(&sandbox, folder).contains("It has 5 logits, one for each grade from 0"), "{folder}");
    }
    assert!(json(&sandbox, "distill/student/disranker.json").get("grades").is_none());
    let own = scores(&sandbox);
    assert!(own.iter().all(|score| (0.0..=4.0).contains(score)), "{own:?}");
    copy(&sandbox.run_path("teacher/rank"), &sandbox.path("grades"));
    set_teachers(&sandbox, "teacher = { use = 'grades' }");
    sandbox.stage("score", &GRADES);
    assert_eq!(scores(&sandbox), own);
}

#[test]
fn an_adapter_scores_as_the_merged_teacher_of_grades() {
    let [adapter, merged] = [false, true].map(|merge| {
        let sandbox = with_bases();
        start_from(&sandbox, "teacher", "decoder");
        let text = format!("rank = 2\nalpha = 4\ntargets = ['q_proj']\nmerge = {merge}");
        let lora: Table = toml::from_str(&text).unwrap();
        sandbox.edit_config(|config| {
            config["teacher"].as_table_mut().unwrap().insert("lora".into(), lora.into());
        });
        for stage in ["cpt", "teacher", "score"] {
            sandbox.stage(stage, &[&GRADES[..2], &MEAN].concat());
        }
        assert_eq!(sandbox.run_path("teacher/rank/model.safetensors").exists(), merge);
        scores(&sandbox)
    });
    assert!(adapter.iter().zip(&merged).all(|(a, b)| (a - b).abs() < 1e-3 && (0.0..=4.0).contains(a)));
}

#[test]
fn a_term_control_layer_trains_the_student_and_is_not_saved() {
    let sandbox = Sandbox::finished();
    let plain = sandbox.digests("distill");
    sandbox.stage("distill", &TERMS);
    assert!(logged(&sandbox).contains("term_loss"));
    let trained = sandbox.digests("distill");
    let weights = |folder: &str| format!("{folder}/model.safetensors");
    assert_ne!(trained[&weights("student")], plain[&weights("student")]);
    assert_eq!(trained[&weights("student_labels_only")], plain[&weights("student_labels_only")]);
    assert!(trained.keys().eq(plain.keys()));
    let bytes = |sandbox: &Sandbox| fs::metadata(sandbox.run_path("distill/student/model.safetensors")).unwrap().len();
    let with_layer = bytes(&sandbox);
    sandbox.stage("evaluate", &TERMS);
    sandbox.stage("distill", &[]);
    assert_eq!(bytes(&sandbox), with_layer);
    assert_eq!(sandbox.digests("distill"), plain);
    assert!(!logged(&sandbox).contains("term_loss"));
}

#[test]
fn a_decoder_has_no_term_control_layer() {
    let sandbox = with_bases();
    start_from(&sandbox, "distill", "decoder");
    for stage in ["cpt", "teacher", "score"] {
        sandbox.stage(stage, &[]);
    }
    let outcome = sandbox.try_stage("distill", &TERMS);
    let line = outcome.error(2);
    assert!(line.contains("distill.term_control: ") && line.contains("found the architecture Llama"), "{line}");
}

#[test]
fn lists_on_which_teachers_disagree_count_less() {
    let sandbox = Sandbox::finished();
    sandbox.stage("teacher", &["--set", "run.seed=7"]);
    copy(&sandbox.run_path("teacher/rank"), &sandbox.path("other"));
    set_teachers(&sandbox, "[[teacher]]\nuse = 'teacher'\n[[teacher]]\nuse = 'other'");
    let weight = |weight: &str| ["--set".to_string(), format!("distill.spread_weight={weight}")];
    sandbox.stage("teacher", &[]);
    sandbox.stage("score", &[]);
    let student = |arguments: &[&str]| {
        sandbox.stage("distill", arguments);
        sandbox.digests("distill")["student/model.safetensors"].clone()
    };
    let [set, none] = &weight("0");
    let [_, strong] = &weight("4");
    let plain = student(&[]);
    assert_eq!(student(&[set, none]), plain);
    assert_ne!(student(&[set, strong]), plain);
}

#[test]
fn one_teacher_has_no_spread() {
    let sandbox = Sandbox::finished();
    let outcome = sandbox.try_stage("distill", &["--set", "distill.spread_weight=1"]);
    let line = outcome.error(2);
    let expected = "distill.spread_weight: expected none, or several teachers in [[score.teacher]], found 1";
    assert!(line.contains(expected), "{line}");
}

#[test]
fn a_teacher_learns_from_the_negatives_that_it_finds_hardest() {
    let sandbox = Sandbox::finished();
    let before = fs::read(sandbox.run_path("teacher/rank/model.safetensors")).unwrap();
    let keys =
        "loss = 'softmax', steps = 4, accumulation_steps = 2, learning_rate = 1e-3, lists_per_step = 1, list_size = 4";
    let mined = format!("teacher.mined={{ {keys}, candidates = 6, negatives_depth = 3 }}");
    let said = sandbox.stage("teacher", &["--set", &mined]).stderr;
    let facts = sandbox.manifest("teacher").facts;
    let (lists, negatives) = (facts["judged_lists"].as_u64().unwrap(), facts["mined_negatives"].as_u64().unwrap());
    assert!(lists > 8, "{lists}");
    assert_eq!(facts["mined_lists"], 8, "those that the steps read alone");
    assert!((1..=3 * 8).contains(&negatives), "{said}");
    assert_eq!(facts["mined_steps"], 4);
    assert!(fs::read(sandbox.run_path("teacher/rank/model.safetensors")).unwrap() != before);
    assert!(!sandbox.run_path("teacher/mined.parts").exists());
    let table = sandbox.table("teacher", "training_metrics");
    let phases: BTreeSet<&str> = table.strings("phase").unwrap().iter().flatten().collect();
    assert_eq!(phases, ["cpt", "mined", "rank"].into());
    let too_deep = sandbox.try_stage("teacher", &["--set", &mined.replace("depth = 3", "depth = 7")]);
    let line = too_deep.error(2);
    assert!(
        line.contains("teacher.mined.negatives_depth: expected a number from 1 to candidates = 6, found 7"),
        "{line}"
    );
}

#[test]
fn long_documents_are_read_in_passages() {
    let keys = |table: &str| format!("{table}.input={{ max_length = 24, passages = {{ most = 3, overlap = 4 }} }}");
    let (teacher, student) = (keys("teacher"), keys("distill"));
    let options = ["--set", teacher.as_str(), "--set", student.as_str()];
    let sandbox = Sandbox::finished();
    for stage in ["cpt", "teacher", "score", "distill", "evaluate"] {
        sandbox.stage(stage, &options);
    }
    for folder in ["teacher/rank", "distill/student"] {
        let saved = &json(&sandbox, &format!("{folder}/disranker.json"))["scoring"]["passages"];
        assert_eq!(*saved, serde_json::json!({ "most": 3, "overlap": 4 }), "{folder}");
        assert!(card(&sandbox, folder).contains("in up to 3 passages"), "{folder}");
    }
    let in_passages = scores(&sandbox);
    let too_few = sandbox.try_stage("teacher", &["--set", &teacher.replace("most = 3", "most = 1")]);
    let line = too_few.error(2);
    assert!(line.contains("teacher.input.passages.most: expected at least 2, found 1"), "{line}");
    // The saved teacher reads passages by itself.
    copy(&sandbox.run_path("teacher/rank"), &sandbox.path("saved"));
    set_teachers(&sandbox, "teacher = { use = 'saved' }");
    sandbox.stage("score", &options);
    assert_eq!(scores(&sandbox), in_passages);
}

#[test]
fn the_steps_of_a_phase_read_shorter_sequences_than_the_result() {
    let sandbox = Sandbox::finished();
    let too_short = sandbox.try_stage("distill", &["--set", "distill.labels_only.max_length=3"]);
    let line = too_short.error(2);
    assert!(line.contains("distill.labels_only.max_length = 3: expected at least "), "{line}");
    assert!(!too_short.stderr.contains(" parameters"), "trained before the refusal: {}", too_short.stderr);
    let window = ["--set", "teacher.input={ max_length = 24 }"];
    let of_rank = |length: usize| format!("teacher.rank.max_length={length}");
    sandbox.stage("cpt", &window);
    sandbox.stage("teacher", &[&window[..], &["--set", &of_rank(18)]].concat());
    let table = sandbox.table("teacher", "training_metrics");
    let (phases, metrics) = (table.strings("phase").unwrap(), table.strings("metric").unwrap());
    let values = table.float64s("value").unwrap();
    let logged = |phase: &str, metric: &str| -> Vec<f64> {
        let is_asked = |&row: &usize| phases.value(row) == phase && metrics.value(row) == metric;
        (0..values.len()).filter(is_asked).map(|row| values.value(row)).collect()
    };
    let (tokens, examples) = (logged("rank", "tokens"), logged("rank", "examples"));
    let longest = tokens.iter().zip(&examples).map(|(tokens, examples)| tokens / examples).fold(0.0, f64::max);
    assert!(longest > 15.0 && longest <= 18.0, "{longest} tokens a sequence");
    assert_eq!(json(&sandbox, "teacher/rank/disranker.json")["scoring"]["window"]["max_length"], 24);
    let too_short = sandbox.try_stage("teacher", &[&window[..], &["--set", &of_rank(3)]].concat());
    let line = too_short.error(2);
    assert!(line.contains("teacher.rank.max_length = 3: expected at least "), "{line}");
}
