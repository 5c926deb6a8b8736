//! Folders with tokenizers of every class, also ones that contradict themselves, give the ids that transformers gives them
//! (`golden/token_ids.py`), and so does what is saved of them. Runs where `DISRANKER_PYTHON` names a Python with transformers.

// A failed unwrap is a failed test, which is what a test is for.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use nn::text::{Kind, PairTokenizer, Scoring, Texts, Tokenizer, Window};
use serde::Deserialize;

/// What the library makes of the texts.
#[derive(Deserialize)]
struct Expected {
    /// The ids of each text without special tokens.
    ids: Vec<Vec<u32>>,
    /// Ids and token types of neighbouring texts as pairs, where the tokenizer separates the two.
    pairs: Option<Vec<(Vec<u32>, Vec<u32>)>>,
}

fn run(python: &std::ffi::OsStr, arguments: &[&str]) {
    let output = Command::new(python).arg("tests/golden/token_ids.py").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The first differences of a tokenizer from what is expected, as lines.
fn differences(tokenizer: &Tokenizer, texts: &[String], expected: &Expected) -> Vec<String> {
    let mut lines = Vec::new();
    for (text, ids) in texts.iter().zip(&expected.ids) {
        let found = tokenizer.encode(text).unwrap().0;
        if found != *ids {
            lines.push(format!("{text:?}: expected {ids:?}, found {found:?}"));
        }
    }
    let Some(pairs) = &expected.pairs else { return lines };
    let pair_tokenizer =
        PairTokenizer::new(tokenizer, &Scoring::of(Kind::Encoder, Window::LongestFirst { max_length: 20_000 }))
            .unwrap();
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    for ([query, document], pair) in texts.as_chunks::<2>().0.iter().zip(pairs) {
        let query = or(Texts { query, title: "", summary: "" }.query(), "a");
        let title = or(Texts { query: document, title: "", summary: "" }.query(), "b");
        let found = pair_tokenizer.encode(&Texts { query: &query, title: &title, summary: "" }).unwrap();
        if (&found.ids, &found.type_ids) != (&pair.0, &pair.1) {
            lines.push(format!("{query:?}, {title:?}: expected {pair:?}, found {found:?}"));
        }
    }
    lines
}

#[test]
fn ids_are_those_of_the_library() {
    let Some(python) = std::env::var_os("DISRANKER_PYTHON") else {
        println!("skipped: DISRANKER_PYTHON names no Python with transformers");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    run(&python, &["make", root.to_str().unwrap()]);
    let read = |path: &Path| std::fs::read(path).unwrap();
    let texts: Vec<String> = serde_json::from_slice(&read(&root.join("texts.json"))).unwrap();
    let mut folders: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(folders.len() > 80);
    let mut wrong = Vec::new();
    for folder in folders {
        let expected: Expected = serde_json::from_slice(&read(&folder.join("expected.json"))).unwrap();
        let saved = folder.join("saved");
        std::fs::create_dir(&saved).unwrap();
        if folder.join("config.json").exists() {
            std::fs::copy(folder.join("config.json"), saved.join("config.json")).unwrap();
        }
        let tokenizer = match Tokenizer::load(&folder) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        tokenizer.save(&saved).unwrap();
        let again = Tokenizer::load(&saved).unwrap();
        assert_eq!(again.identity(), tokenizer.identity(), "{}", folder.display());
        for (what, tokenizer) in [("read", tokenizer), ("read again", again)] {
            let lines = differences(&tokenizer, &texts, &expected);
            let first = lines.iter().take(2).map(String::as_str).collect::<Vec<_>>().join("\n  ");
            if !lines.is_empty() {
                wrong.push(format!(
                    "{} {what}: {} of {} differ\n  {first}",
                    folder.display(),
                    lines.len(),
                    expected.ids.len()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    run(&python, &["check", root.to_str().unwrap()]);
}
