//! `report.html`: one file that opens anywhere. What it needs is inside, and its policy keeps the browser from loading anything else.

mod chart;
mod clicks;
mod compared;
mod configuration;
mod conventions;
mod costs;
mod data;
mod html;
mod queries;
mod scores;
mod slices;
mod student;
mod training;

use std::path::Path;

use collection::Corpus;
use pipeline::config::EvaluateConfig;
use pipeline::{Stage, StageContext, stages};
use serde_json::Value;
use tables::{Manifest, StageDir};

use crate::cost::Cost;
use crate::evaluation::Evaluation;
use crate::input::Background;
use crate::measure::Measured;
use crate::{Config, Evaluate, number, systems};
use html::{Section, escape, paragraph, sections};

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded, and nothing is sent.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

/// Writes `report.html`.
///
/// # Errors
/// [`tables::Error`] where an earlier stage's output cannot be read, or the file not be written.
pub(crate) fn write(
    config: &Config,
    context: &StageContext,
    evaluation: &Evaluation,
    background: &Background,
) -> anyhow::Result<()> {
    let root = context.paths().run_dir();
    // A pipeline on real logs has no `simulate`, so that a stage may be absent.
    let earlier = stages().filter(|&stage| stage != Evaluate::NAME);
    let opened = earlier.filter_map(|stage| StageDir::open(&root, stage).ok());
    let manifests: Vec<Manifest> = opened.map(|stage| stage.manifest().clone()).collect();
    let mut subject = Subject {
        name: context.paths().name(),
        seed: config.seed,
        config: &config.evaluate,
        settings: context.config(),
        grades_from_clicks: config.grades_from_clicks,
        corpora: &background.corpora,
        costs: &background.costs,
        manifests: &manifests,
        curves: Vec::new(),
        positions: Vec::new(),
        fates: Vec::new(),
    };
    if !config.merges_runs() {
        let ingest = context.input("ingest")?;
        subject.curves = training::read(context, config.teacher)?;
        subject.positions = clicks::read(&ingest)?;
        subject.fates = data::read(&ingest)?;
    }
    subject.write(context.out(), evaluation)
}

/// What was evaluated.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    pub(crate) seed: u64,
    pub(crate) config: &'a EvaluateConfig,
    /// All of the configuration that the evaluation read.
    pub(crate) settings: &'a Value,
    pub(crate) grades_from_clicks: bool,
    /// Where titles of documents are looked up.
    pub(crate) corpora: &'a [Corpus],
    pub(crate) costs: &'a [Cost],
    /// Of the earlier stages, where there are any.
    pub(crate) manifests: &'a [Manifest],
    /// Of the trainings, where there are any.
    pub(crate) curves: Vec<(String, training::Curves)>,
    /// Of the log's result pages, where there is a log.
    pub(crate) positions: Vec<clicks::Position>,
    /// Of the raw rows, where there are any.
    pub(crate) fates: Vec<data::Fate>,
}

impl Subject<'_> {
    /// Writes `report.html` into a folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, out: &Path, evaluation: &Evaluation) -> anyhow::Result<()> {
        Ok(files::write_atomically(&out.join("report.html"), page(self, evaluation).as_bytes())?)
    }

    /// The title of a document, where it has one.
    fn title(&self, doc_id: &str) -> Option<String> {
        self.corpora.iter().find_map(|corpus| Some(corpus.title(corpus.document(doc_id)?).to_string()))
    }
}

fn page(subject: &Subject, evaluation: &Evaluation) -> String {
    let Subject { config, manifests, settings, .. } = *subject;
    let name = escape(subject.name);
    let section = |id, heading, body| Section { id, heading, body };
    let of_run = |id, heading, body| {
        let runs = &config.merge_runs;
        section(id, heading, if runs.is_empty() { body } else { of_each_run(runs, id) })
    };
    let today =
        if evaluation.is_of_files() { "How do the runs compare?" } else { "Is it better than what is shown today?" };
    let answers = [
        section("teacher", "Did the student keep up with the teacher?", student::html(config, evaluation)),
        section("today", today, compared::html(config, evaluation)),
        section(
            "queries",
            "Where does it lose, and where does it win?",
            queries::html(config, evaluation, &|doc_id| subject.title(doc_id)),
        ),
        of_run("cost", "What does it cost?", costs::html(subject.costs)),
        section("scores", "Scores of teacher and student", scores::html(evaluation)),
        of_run("clicks", "Clicks by position", clicks::html(&subject.positions)),
        of_run("training", "Training", training::html(&subject.curves, config.primary)),
        of_run("data", "What became of the data", data::html(&subject.fates)),
        section("slices", "Slices", slices::html(config, evaluation)),
        section("conventions", "Conventions and special cases", conventions::html(config, evaluation)),
        section("configuration", "Configuration", configuration::configuration(manifests, settings)),
        section(
            "versions",
            "Stages and versions",
            configuration::stages(manifests, (crate::VERSION, Evaluate::VERSION)),
        ),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>disranker: {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the results</a>\n{}{}{}</body>\n</html>\n",
        header(subject, &name, evaluation),
        sections(&answers),
        chart::scripts(),
    )
}

fn header(subject: &Subject, name: &str, evaluation: &Evaluation) -> String {
    let mut html = format!("<header>\n<h1>disranker: {name}</h1>\n");
    html += &paragraph(&format!(
        "Seed {}. {} systems on {} test queries.",
        subject.seed,
        evaluation.systems.len(),
        number::count(evaluation.queries.len() as u64)
    ));
    if !evaluation.is_of_files() {
        html += &paragraph(&names(evaluation));
    }
    if let Some(ingest) = subject.manifests.iter().find(|manifest| manifest.stage == "ingest") {
        let entry = |table: &&str| Some(format!("{} {table}", number::count(ingest.tables.get(*table)?.rows)));
        let sizes: Vec<String> =
            ["queries", "documents", "impressions", "judgments"].iter().filter_map(entry).collect();
        html += &paragraph(&format!("Rows after cleaning: {}.", sizes.join(", ")));
    }
    if subject.grades_from_clicks {
        html += "<p class=\"note\"><strong>The grades are derived from clicks.</strong> Nobody judged these documents: \
                 every figure below says how well a system predicts debiased click-through rates, not what experts \
                 would call relevant.</p>\n";
    }
    if evaluation.is_by_teacher() {
        html += "<p class=\"note\"><strong>Nobody judged these queries.</strong> Every figure below says how near a system is to \
                 the teacher's order of held-out queries, not what experts would call relevant.</p>\n";
    }
    for system in evaluation.unranked() {
        html += &format!(
            "<p class=\"note\"><strong>{}</strong> gives several documents the highest score of most queries: its figures are \
             those of the order of ties.</p>\n",
            escape(system)
        );
    }
    html += "<noscript><p class=\"note\">Charts are drawn by a script, which is off. The tables below them have their values.</p>\
             </noscript>\n";
    html + "</header>\n"
}

/// The names of the systems with what they are.
fn names(evaluation: &Evaluation) -> String {
    let name = |system: &Measured| match systems::about(system.system) {
        Some(about) => format!("{} ({about})", system.system),
        None => system.system.to_string(),
    };
    let names: Vec<String> = evaluation.systems.iter().map(name).collect();
    format!("The systems: {}.", names.join(", "))
}

/// What stands for a section that each of the merged runs has for itself.
fn of_each_run(runs: &[String], id: &str) -> String {
    let link = |run: &String| {
        let run = escape(run);
        format!("<a href=\"../../{run}/evaluate/report.html#{id}\">{run}</a>")
    };
    let links: Vec<String> = runs.iter().map(link).collect();
    format!("<p>Each of the merged runs has its own, in its report: {}.</p>\n", links.join(", "))
}

#[cfg(test)]
mod tests;
