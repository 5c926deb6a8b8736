//! Writes the stage's files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use pipeline::config::SimulateConfig;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::json;
use zstd::Encoder;

use crate::beir::QRELS_HEADER;
use crate::calendar::timestamp;
use crate::collection::{Collection, JudgedQuery};
use crate::lexicon::Lexicon;
use crate::visitors::{self, Search};

/// zstd level: fast, and a fifth of the plain size.
const ZSTD_LEVEL: i32 = 3;

/// One shown result in the log.
#[derive(Serialize)]
struct Event<'a> {
    search_id: &'a str,
    session_id: &'a str,
    user_id: &'a str,
    query: &'a str,
    doc_id: &'a str,
    position: usize,
    clicked: bool,
    dwell_seconds: Option<f64>,
    shown_at: &'a str,
}

/// The place of an event in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Number of the search, from 0.
    pub(crate) search: usize,
    /// Number of the day, from 0.
    pub(crate) day: usize,
}

/// JSON objects, one a line, compressed.
pub(crate) struct JsonLines {
    path: PathBuf,
    encoder: Encoder<'static, BufWriter<File>>,
}

impl JsonLines {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<JsonLines> {
        let encoder = File::create(&path)
            .and_then(|file| Encoder::new(BufWriter::new(file), ZSTD_LEVEL))
            .with_context(|| format!("{}: creating failed", path.display()))?;
        Ok(JsonLines { path, encoder })
    }

    /// Writes `record` `copies` times.
    fn write(&mut self, record: &impl Serialize, copies: usize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let written = (0..copies).try_for_each(|_| self.encoder.write_all(&line));
        written.with_context(|| format!("{}: writing failed", self.path.display()))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// If the rest cannot be written.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let finish = |encoder: Encoder<'static, BufWriter<File>>| -> io::Result<()> { encoder.finish()?.flush() };
        finish(self.encoder).with_context(|| format!("{}: writing failed", self.path.display()))
    }
}

/// Writes the events of a search, each a second time with the chance `duplicates`; returns how many were.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_search(
    log: &mut JsonLines,
    collection: &Collection,
    search: &Search,
    place: Place,
    duplicates: f64,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<u64> {
    let mut written_twice = 0;
    let search_id = format!("s{:08}", place.search);
    let session_id = format!("v{:08}", search.session);
    let user_id = format!("u{:06}", search.user);
    let shown_at = timestamp(place.day, search.second);
    for (index, result) in search.results.iter().enumerate() {
        let event = Event {
            search_id: &search_id,
            session_id: &session_id,
            user_id: &user_id,
            query: &collection.queries[search.query].text,
            doc_id: &collection.documents[result.document].doc_id,
            position: index + 1,
            clicked: result.dwell_seconds.is_some(),
            dwell_seconds: result.dwell_seconds,
            shown_at: &shown_at,
        };
        let twice = rng.random_bool(duplicates);
        written_twice += u64::from(twice);
        log.write(&event, 1 + usize::from(twice))?;
    }
    Ok(written_twice)
}

/// Writes the documents.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_documents(out: &Path, collection: &Collection) -> anyhow::Result<()> {
    let mut file = JsonLines::create(out.join("documents.jsonl.zst"))?;
    for document in &collection.documents {
        file.write(document, 1)?;
    }
    file.finish()
}

/// Writes the judged queries and their judgments, sorted by their numbers.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_judgments(out: &Path, collection: &Collection, judged: &[JudgedQuery]) -> anyhow::Result<()> {
    let mut queries = String::new();
    let mut qrels = format!("{QRELS_HEADER}\n");
    for JudgedQuery { query, judgments } in judged {
        let query = &collection.queries[*query];
        queries += &format!("{}\n", json!({"_id": query.id, "text": query.text}));
        for judgment in judgments {
            let doc_id = &collection.documents[judgment.document].doc_id;
            qrels += &format!("{}\t{doc_id}\t{}\n", query.id, judgment.grade);
        }
    }
    write_text(&out.join("queries.jsonl"), &queries)?;
    write_text(&out.join("qrels.tsv"), &qrels)
}

/// Writes the grades of the pairs that were shown.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_grades(
    truth: &Path,
    collection: &Collection,
    shown: &BTreeSet<(usize, usize)>,
) -> anyhow::Result<()> {
    let mut file = JsonLines::create(truth.join("grades.jsonl.zst"))?;
    for &(query, document) in shown {
        let query = &collection.queries[query];
        let doc_id = &collection.documents[document].doc_id;
        let grade = query.grade(document);
        file.write(&json!({"query": query.text, "doc_id": doc_id, "grade": grade}), 1)?;
    }
    file.finish()
}

/// Writes the parameters of the click model: a line for each grade, and one for each position with an examination
/// probability of its own.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_click_model(truth: &Path, config: &SimulateConfig, page_size: usize) -> anyhow::Result<()> {
    let grades = visitors::appeals(config.clicks.noise).into_iter().enumerate();
    let mut lines: Vec<_> = grades
        .map(|(grade, appeal)| json!({"grade": grade, "attractiveness": appeal.attractiveness, "satisfaction": appeal.satisfaction}))
        .collect();
    if config.clicks.model == pipeline::config::ClickModelKind::PositionBased {
        let chances = visitors::examination(config, page_size).into_iter().enumerate();
        lines.extend(chances.map(|(index, chance)| json!({"position": index + 1, "examination": chance})));
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write_text(&truth.join("click_model.jsonl"), &text)
}

/// Writes the synonyms.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_lexicon(truth: &Path, lexicon: &Lexicon) -> anyhow::Result<()> {
    let concepts = lexicon.concepts.iter().map(|concept| ("concept", &concept.words));
    let qualifiers = lexicon.qualifiers.iter().map(|words| ("qualifier", words));
    let text: String = concepts
        .chain(qualifiers)
        .map(|(kind, words)| format!("{}\n", json!({"kind": kind, "document": words.document, "query": words.query})))
        .collect();
    write_text(&truth.join("words.jsonl"), &text)
}

fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{}: writing failed", path.display()))
}
