//! The file of answers beside an output: a JSON line for each, written as soon as it is there.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use pipeline::{BadInput, ConfigError};
use serde::{Deserialize, Serialize};

/// What a model said of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) query_id: String,
    pub(crate) doc_id: String,
    /// The grade; none where the answer has no clear one.
    pub(crate) grade: Option<u8>,
    /// The answer's text.
    pub(crate) answer: String,
    /// Digest of the model, the prompt and the texts.
    pub(crate) asked: String,
}

/// The file of answers of the output `out`.
pub(crate) fn answers_beside(out: &Path) -> PathBuf {
    let mut name = OsString::from(out);
    name.push(".answers.jsonl");
    PathBuf::from(name)
}

/// All answers of a file. Several threads add to it.
#[derive(Debug)]
pub(crate) struct Answers {
    path: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    /// By the digest of what was asked.
    answers: HashMap<String, Answer>,
    /// Why an answer could not be written.
    failure: Option<std::io::Error>,
}

impl Answers {
    /// Opens the file, or makes it. A line that was not finished when a run was killed is removed.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Answers> {
        let shown = path.display();
        let opened = File::options().read(true).append(true).create(true).open(path);
        let mut file = opened.with_context(|| format!("{shown}: opening failed"))?;
        if file.try_lock().is_err() {
            Err(ConfigError::Unusable(format!("{shown}: another process writes these answers; wait for it")))?;
        }
        let failed = || format!("{shown}: reading failed");
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(failed)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64).with_context(failed)?;
        }
        let mut answers = HashMap::new();
        for (number, line) in (1..).zip(text[..whole].split_inclusive(|&byte| byte == b'\n')) {
            let answer: Answer = serde_json::from_slice(line).map_err(|error| {
                BadInput(format!("{shown}:{number}: expected an answer, found {error}; correct the line"))
            })?;
            if answer.grade.is_some_and(|grade| grade > 3) {
                Err(BadInput(format!("{shown}:{number}: expected a grade from 0 to 3; correct the line")))?;
            }
            answers.insert(answer.asked.clone(), answer);
        }
        Ok(Answers { path: path.into(), kept: Mutex::new(Kept { file, answers, failure: None }) })
    }

    /// True if there is an answer to what has this digest.
    pub(crate) fn has(&self, asked: &str) -> bool {
        self.lock().answers.contains_key(asked)
    }

    /// The answer to what has this digest.
    pub(crate) fn of(&self, asked: &str) -> Option<Answer> {
        self.lock().answers.get(asked).cloned()
    }

    /// Writes an answer at once. A failure is told by [`Answers::check`].
    pub(crate) fn keep(&self, answer: Answer) {
        let mut kept = self.lock();
        let line = serde_json::to_string(&answer).map_err(std::io::Error::other);
        match line.and_then(|line| kept.file.write_all(format!("{line}\n").as_bytes())) {
            Ok(()) => drop(kept.answers.insert(answer.asked.clone(), answer)),
            Err(cause) => drop(kept.failure.get_or_insert(cause)),
        }
    }

    /// Brings the answers to the disk.
    ///
    /// # Errors
    /// The first failure to write one.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let mut kept = self.lock();
        let written = kept.failure.take().map_or(Ok(()), Err).and_then(|()| kept.file.sync_all());
        written.with_context(|| format!("{}: writing failed", self.path.display()))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(asked: &str, grade: Option<u8>) -> Answer {
        Answer { query_id: "q".into(), doc_id: "d".into(), grade, answer: "a\nb".into(), asked: asked.into() }
    }

    #[test]
    fn answers_outlive_a_killed_run_but_for_an_unfinished_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = answers_beside(&folder.path().join("out.tsv"));
        let answers = Answers::open(&path).unwrap();
        answers.keep(answer("1", Some(3)));
        answers.keep(answer("2", None));
        answers.check().unwrap();
        assert!(Answers::open(&path).unwrap_err().to_string().contains("another process writes these answers"));
        drop(answers);
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"query_id\": \"q")).unwrap();
        let again = Answers::open(&path).unwrap();
        assert_eq!(
            (again.of("1"), again.of("2"), again.has("3")),
            (Some(answer("1", Some(3))), Some(answer("2", None)), false)
        );
        again.keep(answer("3", Some(0)));
        drop(again);
        assert!(Answers::open(&path).unwrap().has("3"));
        std::fs::write(&path, format!("{whole}nonsense\n")).unwrap();
        let error = Answers::open(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:3: expected an answer, found", path.display())), "{error}");
    }
}
