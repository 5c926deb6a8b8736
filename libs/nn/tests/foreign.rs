//! Rankers that transformers and sentence-transformers saved score as they do there (`golden/foreign.py`), and what is saved
//! here scores the same in sentence-transformers, where `DISRANKER_PYTHON` names a Python that has it.

// A failed unwrap is a failed test, which is what a test is for.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{Base, InputChoice, Settings, load_ranker, save_ranker};
use nn::models::Head;
use nn::text::{PairTokenizer, Texts};
use serde::Deserialize;

const FOLDER: &str = "tests/golden/foreign";

#[derive(Deserialize)]
struct Golden {
    /// (query, title, summary)
    pairs: Vec<(String, String, String)>,
    folders: BTreeMap<String, Expected>,
}

/// What the library makes of each pair.
#[derive(Deserialize)]
struct Expected {
    scores: Vec<f32>,
    tokens: Vec<Vec<String>>,
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(Path::new(FOLDER).join("scores.json")).unwrap()).unwrap()
}

fn texts(golden: &Golden) -> Vec<Texts<'_>> {
    golden.pairs.iter().map(|(query, title, summary)| Texts { query, title, summary }).collect()
}

#[track_caller]
fn close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{name}: expected {expected}, found {found}");
    }
}

#[test]
fn every_family_scores_as_the_library_that_saved_it() {
    let golden = golden();
    assert_eq!(golden.folders.len(), 6);
    for (name, expected) in &golden.folders {
        let folder = Path::new(FOLDER).join(name);
        let cross_encoder = CrossEncoder::open(&folder, Execution::default()).unwrap();
        close(name, &cross_encoder.score(&texts(&golden)).unwrap(), &expected.scores);
        assert!(load_ranker(&folder, &InputChoice::default()).unwrap().is_foreign);
    }
}

/// Saves rankers with these folders as their bases into folders of `root`, by name.
fn saved(golden: &Golden, root: &Path) -> Vec<PathBuf> {
    let save = |name: &String| {
        let base = Base::open(&Path::new(FOLDER).join(name)).unwrap();
        let (base, scoring) = base.for_training(&InputChoice::default()).unwrap();
        let ranker = base.model(Head::Score, 1).unwrap();
        let settings = Settings { scoring, standardisation: None };
        save_ranker(&root.join(name), &ranker, &base.tokenizer, &settings, "").unwrap();
        root.join(name)
    };
    golden.folders.keys().map(save).collect()
}

#[test]
fn what_is_saved_of_them_scores_the_same() {
    let (golden, root) = (golden(), tempfile::tempdir().unwrap());
    for (folder, (name, expected)) in saved(&golden, root.path()).iter().zip(&golden.folders) {
        let cross_encoder = CrossEncoder::open(folder, Execution::default()).unwrap();
        close(name, &cross_encoder.score(&texts(&golden)).unwrap(), &expected.scores);
    }
}

#[test]
fn sentence_transformers_reads_what_is_saved_of_them() {
    let Some(python) = std::env::var_os("DISRANKER_PYTHON") else {
        println!("skipped: DISRANKER_PYTHON names no Python with sentence-transformers");
        return;
    };
    let (golden, root) = (golden(), tempfile::tempdir().unwrap());
    let pairs: Vec<[String; 2]> = texts(&golden).iter().map(|texts| [texts.query(), texts.document()]).collect();
    let mut child = Command::new(python)
        .arg("tests/golden/score.py")
        .args(saved(&golden, root.path()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&pairs).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<Vec<f32>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(theirs.len(), golden.folders.len());
    for (theirs, (name, expected)) in theirs.iter().zip(&golden.folders) {
        close(name, theirs, &expected.scores);
    }
}

#[test]
fn sequences_have_the_tokens_of_the_library() {
    let golden = golden();
    for (name, expected) in &golden.folders {
        let base = Base::open(&Path::new(FOLDER).join(name)).unwrap();
        let (base, scoring) = base.for_training(&InputChoice::default()).unwrap();
        let sequences = PairTokenizer::new(&base.tokenizer, &scoring).unwrap().encode_batch(&texts(&golden)).unwrap();
        for (sequence, tokens) in sequences.iter().zip(&expected.tokens) {
            let found: Vec<String> = sequence.ids.iter().map(|&id| base.tokenizer.token(id).unwrap()).collect();
            assert_eq!(&found, tokens, "{name}");
        }
        let mask = base.tokenizer.token(base.tokenizer.mask_id().unwrap()).unwrap();
        assert_eq!(mask, if name.ends_with("roberta") { "<mask>" } else { "[MASK]" });
    }
}
