//! `evaluate --qrels FILE --run NAME=FILE ...`: runs of any system on judgments of any collection, outside a pipeline.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pipeline::config::EvaluateConfig;
use pipeline::{BadInput, ConfigError, RunPaths, StageContext};
use ranking::metrics::{Conventions, Document, Gain, Grade, JudgedList};
use tables::{Manifest, OutputDir, StageDir};

use crate::evaluation::Evaluation;
use crate::input::TestQuery;
use crate::measure::Answers;
use crate::report::Subject;
use crate::trec_files::{self, ByQuery, Scored};
use crate::{output, print, verdicts};

/// Seed of intervals and tests.
const SEED: u64 = 42;

/// Highest grade whose exponential gain is a finite number.
const HIGHEST_EXPONENT: Grade = 1000;

/// What is evaluated, and where the tables and the report go.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The judgments.
    pub(crate) qrels: &'a Path,
    /// Names and files of the runs.
    pub(crate) runs: &'a [(String, PathBuf)],
    /// The folder that is written.
    pub(crate) out: &'a Path,
    /// The run that the others are compared with; the first without it.
    pub(crate) baseline: Option<&'a str>,
    /// Keys of `[evaluate]`.
    pub(crate) overrides: &'a [String],
    /// Replaces a folder that is there.
    pub(crate) force: bool,
    /// Ends with an error where a run is a regression beside the baseline.
    pub(crate) fail_on_regression: bool,
}

/// Measures and compares the runs, and writes what the stage writes.
///
/// # Errors
/// [`ConfigError`] for options that cannot be used, [`BadInput`] for files that cannot be read; [`pipeline::Regression`].
pub(crate) fn evaluate_files(request: &Request<'_>) -> anyhow::Result<()> {
    let Request { qrels, runs, out, overrides, .. } = *request;
    let baseline = request.check()?;
    let others = runs.iter().filter(|(name, _)| name != baseline);
    let family = others.map(|(name, _)| [name.clone(), baseline.to_string()]).collect();
    let config = EvaluateConfig::alone(overrides, family)?;
    let highest = if config.gain == Gain::Exponential { HIGHEST_EXPONENT } else { Grade::MAX };
    let judgments = trec_files::judgments(qrels, highest)?;
    let queries: Vec<TestQuery> = judgments.iter().map(|(query, grades)| judged_query(query, grades)).collect();
    let found = runs.iter().map(|(name, path)| Ok((name.as_str(), path, trec_files::run(path)?)));
    let found: Vec<(&str, &PathBuf, ByQuery<Scored>)> = found.collect::<anyhow::Result<_>>()?;
    let answers = found.iter().map(|(name, path, run)| {
        check_overlap((name, path.as_path()), run, &judgments, qrels)?;
        answers(name, run, &judgments, &config.conventions())
    });
    let evaluation = Evaluation::of(&queries, answers.collect::<anyhow::Result<_>>()?, &config, SEED)?;
    write(out, &config, &evaluation)?;
    if request.fail_on_regression {
        let (folder, name) = place(out)?;
        verdicts::refuse_regressions(&StageDir::open(folder, name)?, baseline)?;
    }
    Ok(())
}

impl Request<'_> {
    /// The baseline.
    fn check(&self) -> Result<&str, ConfigError> {
        let unusable = |problem: String| Err(ConfigError::Unusable(problem));
        for (i, (name, _)) in self.runs.iter().enumerate() {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
            if name.is_empty() || !name.chars().all(is_name) {
                return unusable(format!(
                    "--run: expected a name of letters, digits, `.`, `_`, `+` and `-`, found `{name}`"
                ));
            }
            if self.runs[..i].iter().any(|(other, _)| other == name) {
                return unusable(format!("--run: expected runs of different names, found {name} twice"));
            }
        }
        let first = self.runs.first().map_or("", |(name, _)| name);
        let baseline = self.baseline.unwrap_or(first);
        if self.runs.iter().all(|(name, _)| name != baseline) {
            return unusable(format!("--baseline: expected the name of a --run, found {baseline}"));
        }
        if self.fail_on_regression && self.runs.len() < 2 {
            return unusable("--fail-on-regression: expected a run beside the baseline, found none".into());
        }
        if self.out.exists() && !self.force {
            let out = self.out.display();
            return unusable(format!(
                "{out}: expected no folder of this name, found one; name another, or replace it with --force"
            ));
        }
        if self.out.exists() && !self.out.join(tables::MANIFEST_FILE).is_file() {
            let out = self.out.display();
            return unusable(format!(
                "{out}: expected an evaluation to replace, found something else; name another folder"
            ));
        }
        Ok(baseline)
    }
}

fn judged_query(query: &str, grades: &HashMap<String, Grade>) -> TestQuery {
    TestQuery {
        query_id: query.into(),
        query: query.into(),
        attributes: Vec::new(),
        doc_ids: Vec::new(),
        grades: Vec::new(),
        all_grades: grades.values().copied().collect(),
        missing: 0,
        teacher: Vec::new(),
    }
}

/// Tells how many queries a run and the judgments share, and refuses a run that answers no judged query.
fn check_overlap(
    (name, path): (&str, &Path),
    run: &ByQuery<Scored>,
    judgments: &ByQuery<Grade>,
    qrels: &Path,
) -> Result<(), BadInput> {
    let (path, qrels) = (path.display(), qrels.display());
    let unanswered = judgments.keys().filter(|query| !run.contains_key(*query)).count();
    let unjudged = run.keys().filter(|query| !judgments.contains_key(*query)).count();
    if unanswered == judgments.len() {
        return Err(BadInput(format!("{path}: expected answers to queries of {qrels}, found none; look at the ids")));
    }
    if unanswered > 0 {
        let judged = judgments.len();
        tracing::warn!(
            "{name}: no answer to {unanswered} of {judged} judged queries, which count as rankings without a document"
        );
    }
    if unjudged > 0 {
        tracing::info!("{name}: {unjudged} queries without judgments are left out");
    }
    Ok(())
}

/// A run's rankings for all judged queries.
fn answers<'a>(
    name: &'a str,
    run: &'a ByQuery<Scored>,
    judgments: &'a ByQuery<Grade>,
    conventions: &Conventions,
) -> anyhow::Result<Answers<'a>> {
    let ranking = |(query, grades): (&'a String, &HashMap<String, Grade>)| {
        let mut answer: Vec<(&'a String, &Scored)> = run.get(query).into_iter().flatten().collect();
        answer.sort_unstable_by_key(|(_, scored)| scored.place);
        let document = |(doc_id, scored): (&'a String, &Scored)| Document {
            doc_id,
            score: scored.score,
            grade: grades.get(doc_id).copied(),
        };
        let documents = answer.into_iter().map(document).collect();
        let all_grades: Vec<Grade> = grades.values().copied().collect();
        Ok(JudgedList::new(query, documents, &all_grades)?.ranking(conventions))
    };
    let rankings = judgments.iter().map(ranking).collect::<anyhow::Result<_>>()?;
    Ok(Answers { system: name, rankings, weights: Vec::new() })
}

/// The folder that a folder lies in, and its name.
fn place(out: &Path) -> Result<(&Path, &str), ConfigError> {
    let name = out.file_name().and_then(|name| name.to_str());
    let unusable = || ConfigError::Unusable(format!("--out: expected the path of a folder, found {}", out.display()));
    let folder = out.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    Ok((folder, name.ok_or_else(unusable)?))
}

fn write(out: &Path, config: &EvaluateConfig, evaluation: &Evaluation) -> anyhow::Result<()> {
    let (folder, name) = place(out)?;
    let output = OutputDir::open(folder, name, false)?;
    let paths = RunPaths::new(folder, "", name);
    let mut context = StageContext::new(paths, output.path().to_path_buf(), Vec::new());
    output::write(&mut context, evaluation)?;
    let settings = serde_json::to_value(config).context("the configuration cannot be written as JSON")?;
    let subject = Subject {
        name,
        seed: SEED,
        config,
        settings: &settings,
        grades_from_clicks: false,
        corpora: &[],
        costs: &[],
        manifests: &[],
        curves: Vec::new(),
        positions: Vec::new(),
        fates: Vec::new(),
    };
    subject.write(context.out(), evaluation)?;
    output.commit(context.into_manifest(Manifest {
        stage: "evaluate".into(),
        config: settings,
        ..Manifest::default()
    }))?;
    print(evaluation, config)
}
