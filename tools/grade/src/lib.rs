//! Has a sample of a run's queries and documents graded from 0 to 3 by a language model, as the table `[grade]` of the pipeline
//! file says, and writes the grades as judgments. Where documents are judged already, it tells how far the two agree.
//!
//! Answers are kept beside the output as they come, so that a run that was killed goes on; no stage reads any of this.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answers;
mod judgments;
mod report;
mod sample;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use clap::Parser;
use pipeline::config::{GradingConfig, load};
use pipeline::{ConfigError, EXIT_CODES, LogFormat, Pipeline, Progress};
use remote::Pool;
use remote::chat::Grader;

use crate::answers::{Answer, Answers, answers_beside};
use crate::sample::Sample;

/// Queries whose documents are in memory at once.
const QUERIES_AT_ONCE: usize = 256;

/// The command line.
#[derive(Debug, Parser)]
#[command(version, about = "Has a sample of a run's queries and documents graded by a language model", after_help = EXIT_CODES)]
pub struct Arguments {
    /// The pipeline file, with the table `[grade]`; relative paths in it start at its folder
    #[arg(long, value_name = "FILE", default_value = "pipeline.toml")]
    pub config: PathBuf,
    /// Overrides one key of the pipeline file; may be given many times, later ones win
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where the grades are written, tab-separated, as `[ingest.judgments]` reads them: by the columns `query`, `corpus-id` and
    /// `score`, or without a log, with `format = "beir"`. All answers are kept in `<FILE>.answers.jsonl`; what is answered
    /// there is not asked again
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replaces an output that is there. Answers to the same prompts about the same texts are used again, unless their file is
    /// removed
    #[arg(long)]
    pub force: bool,
    /// How log lines are written to stderr
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Does what the command line asks for.
///
/// # Errors
/// [`ConfigError`] for a bad configuration, [`pipeline::BadInput`] for a run without what is sampled or without a usable answer,
/// and [`remote::Error`] where servers fail.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pipeline = load(&arguments.config, &arguments.overrides)?;
    let Some(config) = &pipeline.grade else {
        let path = arguments.config.display();
        Err(ConfigError::Unusable(format!(
            "{path}: expected the table [grade] with the servers that grade, found none"
        )))?
    };
    let out = &arguments.out;
    if out.exists() && !arguments.force {
        let refused =
            format!("{}: expected no such file, found one; choose another --out, or say --force", out.display());
        Err(ConfigError::Unusable(refused))?;
    }
    let (grader, mut pool) = open(&pipeline, config)?;
    let sample = Sample::draw(&pipeline, config)?;
    let asked = Asked { config, grader, sample: &sample };
    let answers = Answers::open(&answers_beside(out))?;
    asked.ask(&mut pool, &answers, arguments.log_format == LogFormat::Text)?;
    let graded = asked.graded(&answers)?;
    report::tell_ungraded(&graded, out);
    let grades = graded.iter().filter(|pair| pair.answer.grade.is_some()).count();
    ensure!(
        grades > 0,
        "grade.prompt: expected grades from 0 to 3, found none; change the template or the model, or raise max_tokens"
    );
    judgments::write(out, &graded)?;
    let report = report::text(&graded, pipeline.ingest.grades_from_clicks());
    std::io::stdout().write_all(report.as_bytes()).context("stdout: writing failed")?;
    tracing::info!("grade: {grades} grades in {}", out.display());
    Ok(())
}

fn open(pipeline: &Pipeline, config: &GradingConfig) -> anyhow::Result<(Grader, Pool)> {
    let mut prompt = config.prompt.clone();
    prompt.template = prompt.template.map(|path| pipeline.paths().resolve(&path.to_string_lossy()));
    let grader = Grader::new(&prompt).map_err(|error| asking("grade.prompt", error))?;
    Ok((grader, Pool::new(&config.servers).map_err(|error| asking("grade.servers", error))?))
}

fn asking(table: &'static str, error: remote::Error) -> anyhow::Error {
    if error.is_bad_input() {
        return ConfigError::Unusable(format!("{table}: {error}")).into();
    }
    anyhow::Error::new(error).context(table)
}

/// A pair that was sampled and asked about.
#[derive(Debug)]
pub(crate) struct GradedPair<'a> {
    pub(crate) query_id: &'a str,
    pub(crate) query: &'a str,
    pub(crate) doc_id: &'a str,
    /// The grade of the run's judgments, where they have one.
    pub(crate) judged: Option<u8>,
    pub(crate) answer: Answer,
}

/// A sample and what is asked about it.
struct Asked<'a> {
    config: &'a GradingConfig,
    grader: Grader,
    sample: &'a Sample,
}

impl<'a> Asked<'a> {
    /// Identity of all that decides the answer about a pair.
    fn digest(&self, query: usize, document: usize) -> String {
        let texts = self.sample.corpus().texts(query, document);
        let servers = &self.config.servers;
        let messages = self.grader.messages(texts.query, &texts.document());
        let decides = serde_json::json!([servers.name(), servers.extra, self.config.prompt.max_tokens, messages]);
        files::sha256(decides.to_string().as_bytes())
    }

    /// Has the pairs graded that have no answer yet.
    fn ask(&self, pool: &mut Pool, answers: &Answers, bars: bool) -> anyhow::Result<()> {
        let missing: Vec<(usize, usize)> =
            self.sample.pairs().filter(|&(query, document)| !answers.has(&self.digest(query, document))).collect();
        let (all, known) = (self.sample.pairs().count(), self.sample.pairs().count() - missing.len());
        if known > 0 {
            tracing::info!("grade: {known} of {all} pairs are answered already");
        }
        let mut progress = Progress::new("grade", all as u64, bars);
        progress.go_on_from(known as u64);
        let progress = Mutex::new(progress);
        let mut lists: Vec<&[(usize, usize)]> = missing.chunk_by(|a, b| a.0 == b.0).collect();
        while !lists.is_empty() {
            let chunk: Vec<_> = lists.drain(..lists.len().min(QUERIES_AT_ONCE)).collect();
            self.ask_about(pool, &chunk, answers, &progress)?;
        }
        Ok(())
    }

    /// Asks about the pairs of some queries, and keeps each answer at once.
    fn ask_about(
        &self,
        pool: &mut Pool,
        lists: &[&[(usize, usize)]],
        answers: &Answers,
        progress: &Mutex<Progress>,
    ) -> anyhow::Result<()> {
        let corpus = self.sample.corpus();
        let texts: Vec<Vec<String>> = lists
            .iter()
            .map(|list| list.iter().map(|&(query, document)| corpus.texts(query, document).document()).collect())
            .collect();
        let asked: Vec<remote::List<'_>> = lists
            .iter()
            .zip(&texts)
            .map(|(list, texts)| {
                let query = &corpus.queries[list[0].0];
                let documents = list.iter().zip(texts);
                let documents =
                    documents.map(|(&(_, document), text)| remote::Text { id: corpus.doc_id(document), text });
                let query = remote::Text { id: &query.query_id, text: &query.text };
                remote::List { query, documents: documents.collect() }
            })
            .collect();
        let seen = |list: usize, place: usize, graded: &remote::chat::Graded| {
            let (query, document) = lists[list][place];
            answers.keep(Answer {
                query_id: corpus.queries[query].query_id.clone(),
                doc_id: corpus.doc_id(document).into(),
                grade: graded.grade,
                answer: graded.answer.clone(),
                asked: self.digest(query, document),
            });
            progress.lock().unwrap_or_else(PoisonError::into_inner).add(1);
        };
        let outcome = self.grader.grade(pool, &asked, &seen);
        answers.check()?;
        outcome.map(drop).map_err(|error| asking("grade.servers", error))
    }

    /// The pairs with their answers, by query and document.
    fn graded(&self, answers: &Answers) -> anyhow::Result<Vec<GradedPair<'a>>> {
        let corpus = self.sample.corpus();
        let pairs = self.sample.judged_pairs().map(|(query, document, judged)| {
            let answer = answers.of(&self.digest(query, document)).context("a pair without an answer")?;
            let doc_id = corpus.doc_id(document);
            let query = &corpus.queries[query];
            Ok(GradedPair { query_id: &query.query_id, query: &query.text, doc_id, judged, answer })
        });
        pairs.collect()
    }
}
