//! What is compared: a study is a file of `studies`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use serde::Deserialize;

use crate::claims::{Claim, System};

/// The run of a seed whose outputs the others share.
pub(crate) const SHARED: &str = "shared";

/// The studies that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// The paper's comparisons, every seed in a simulated world of its own.
    Simulated,
    /// The whole method with real models on a test collection, and the paper's comparisons there.
    Collection,
}

/// A study: comparisons and claims, what its runs share, and what a first estimate of the time is made of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Study {
    /// The command that runs it.
    pub(crate) command: String,
    /// The pipeline file of the base run, where the command line names none.
    pub(crate) config: PathBuf,
    /// The document, likewise.
    pub(crate) out: PathBuf,
    /// The seeds, likewise.
    pub(crate) seeds: Vec<u64>,
    /// What is one observation of a test.
    pub(crate) observation: Observation,
    /// What a reader of the document must know of its runs.
    pub(crate) about: String,
    /// What every run changes in the configuration.
    #[serde(default)]
    pub(crate) every: Changes,
    /// What the shared run changes then.
    #[serde(default)]
    pub(crate) shared: Changes,
    /// What the runs with a student that starts as the shared run's change then, before their own changes.
    #[serde(default)]
    pub(crate) student: Changes,
    /// Time of the shared run's trainings as a multiple of another run's.
    shared_cost: f64,
    /// Seconds of each stage on the machine that the file names.
    pub(crate) seconds: BTreeMap<String, f64>,
    /// The student that the claims are about.
    pub(crate) claimed: System,
    /// The most parameters of that student, as a share of the teacher's.
    pub(crate) size: f64,
    /// The claims, declared beforehand.
    pub(crate) claims: Vec<Claim>,
    /// In the order of the document.
    pub(crate) comparisons: Vec<Comparison>,
}

/// What is one observation of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Observation {
    /// A seed, as each has queries of its own.
    Seed,
    /// A test query, the same for all seeds: the mean of its values over them.
    Query,
}

/// Changes of a configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Changes {
    /// Tables that are left out.
    pub(crate) unset: Vec<String>,
    /// Keys that differ.
    pub(crate) set: toml::Table,
}

/// Conditions that differ in one thing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comparison {
    /// What `--only` takes.
    pub(crate) name: String,
    /// The heading.
    pub(crate) title: String,
    /// What a reader must know of it.
    pub(crate) about: String,
    /// What is measured.
    pub(crate) system: String,
    /// True if the models differ in their size, so that parameters and latency are told.
    #[serde(default)]
    pub(crate) shape: bool,
    /// The conditions; the others are compared with the first.
    pub(crate) rows: Vec<Row>,
}

/// A condition.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Name of the run that it is measured in.
    pub(crate) run: String,
    /// What the table calls it.
    pub(crate) text: String,
    /// What is measured, in place of the comparison's system.
    system: Option<String>,
    /// What the run trains; the row that has it defines the run.
    pub(crate) trains: Option<Trains>,
    /// Keys of the configuration that differ.
    #[serde(default)]
    pub(crate) set: toml::Table,
    /// Tables of the configuration that are left out.
    #[serde(default)]
    pub(crate) unset: Vec<String>,
    /// Time of its training as a multiple of the shared shape's.
    #[serde(default = "one")]
    cost: f64,
}

/// What a run trains itself; all else is the shared run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trains {
    /// What the other runs share.
    #[serde(skip)]
    Shared,
    /// A teacher.
    Teacher,
    /// A student that starts from the shared pre-trained weights.
    Student,
    /// The same, learning from scores of its own.
    Scores,
    /// A student from random weights.
    NewStudent,
    /// Everything, from other data.
    Everything,
}

fn one() -> f64 {
    1.0
}

impl Study {
    /// The study of this name.
    pub(crate) fn of(name: Name) -> anyhow::Result<Study> {
        let text = match name {
            Name::Simulated => include_str!("../studies/simulated.toml"),
            Name::Collection => include_str!("../studies/collection.toml"),
        };
        toml::from_str(text).with_context(|| format!("study {name:?}"))
    }

    /// The comparisons called `names`, or all without any.
    ///
    /// # Errors
    /// A name that none has.
    pub(crate) fn only(&self, names: &[String]) -> anyhow::Result<Vec<&Comparison>> {
        let known: Vec<&str> = self.comparisons.iter().map(|comparison| &comparison.name[..]).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(&&name[..])) {
            anyhow::bail!("--only {unknown}: expected one of {}", known.join(", "));
        }
        let wanted = |comparison: &&Comparison| names.is_empty() || names.contains(&comparison.name);
        Ok(self.comparisons.iter().filter(wanted).collect())
    }

    /// Time of a run's trainings as a multiple of those of a run that starts from the shared weights.
    pub(crate) fn cost(&self, row: Option<&Row>) -> f64 {
        row.map_or(self.shared_cost, |row| row.cost)
    }

    /// The row that defines a run.
    pub(crate) fn definition(&self, run: &str) -> Option<&Row> {
        self.comparisons
            .iter()
            .flat_map(|comparison| &comparison.rows)
            .find(|row| row.run == run && row.trains.is_some())
    }
}

impl Comparison {
    /// What is measured for a row.
    pub(crate) fn system<'a>(&'a self, row: &'a Row) -> &'a str {
        row.system.as_deref().unwrap_or(&self.system)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_defined_once() {
        for name in Name::value_variants() {
            let study = Study::of(*name).unwrap();
            let rows: Vec<&Row> = study.comparisons.iter().flat_map(|comparison| &comparison.rows).collect();
            for row in &rows {
                let definitions = rows.iter().filter(|other| other.run == row.run && other.trains.is_some()).count();
                assert_eq!(definitions, usize::from(row.run != SHARED), "{}", row.run);
                let changes = !row.set.is_empty() || !row.unset.is_empty();
                assert!(row.trains.is_some() || !changes, "{}: changes stand where the run is defined", row.run);
            }
        }
    }

    #[test]
    fn claims_are_about_runs_that_there_are() {
        for name in Name::value_variants() {
            let study = Study::of(*name).unwrap();
            let sides =
                study.claims.iter().flat_map(|claim| &claim.inequalities).flat_map(|it| [&it.better, &it.worse]);
            for System { run, system } in sides.chain([&study.claimed]) {
                let mut rows = study.comparisons.iter().flat_map(|it| it.rows.iter().map(move |row| (it, row)));
                assert!(rows.any(|(it, row)| row.run == *run && it.system(row) == system), "{run}: {system}");
            }
        }
    }

    #[test]
    fn every_loss_is_compared() {
        let all = Study::of(Name::Simulated).unwrap();
        let rows = || all.comparisons.iter().flat_map(|comparison| &comparison.rows);
        for name in ranking::loss::Loss::NAMES {
            assert!(rows().any(|row| row.text.starts_with(name)), "{name}");
        }
    }

    #[test]
    fn an_unknown_comparison_is_refused() {
        let error = Study::of(Name::Simulated).unwrap().only(&["depht".to_string()]).unwrap_err().to_string();
        assert!(error.starts_with("--only depht: expected one of cpt, "), "{error}");
    }
}
