//! Which runs there are, what each is configured as, and which of its stages it makes itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pipeline::stages;
use toml::{Table, Value};

use crate::study::{Changes, Comparison, Row, SHARED, Study, Trains};

/// The configuration of a run, in its folder: with it every stage can be run again by hand.
pub(crate) const CONFIG: &str = "pipeline.toml";

/// The systems that are models of a stage.
const SYSTEMS: [(&str, &str); 3] = [("teacher", "teacher"), ("distill", "student"), ("distill", "student_labels_only")];

/// In a study: the folder of the file of judged queries.
const COLLECTION: &str = "{collection}";

/// One run of the pipeline for one seed.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) name: String,
    pub(crate) trains: Trains,
    /// Time of its training as a multiple of the shared shape's.
    pub(crate) cost: f64,
    /// The whole configuration.
    pub(crate) config: String,
    /// True if the pipeline names a bi-encoder, so that there are vectors to make.
    pub(crate) embeds: bool,
    /// True if the pipeline simulates a log.
    pub(crate) simulates: bool,
    /// Its folder.
    pub(crate) dir: PathBuf,
}

/// The runs of a seed's folder, the shared one first.
pub(crate) fn runs(
    study: &Study,
    wanted: &[&Comparison],
    base: &Table,
    root: &Path,
    seed: u64,
) -> anyhow::Result<Vec<Run>> {
    let seed_dir = seed_dir(root, seed);
    let mut names = BTreeSet::from([SHARED]);
    let mut runs = vec![Run::new(study, base, (&seed_dir, seed), None)?];
    for row in wanted.iter().flat_map(|comparison| &comparison.rows).filter(|row| row.run != SHARED) {
        let definition = study.definition(&row.run).with_context(|| format!("run {} has no definition", row.run))?;
        if names.insert(&row.run) {
            runs.push(Run::new(study, base, (&seed_dir, seed), Some(definition))?);
        }
    }
    Ok(runs)
}

/// The folder of a seed's runs.
pub(crate) fn seed_dir(root: &Path, seed: u64) -> PathBuf {
    root.join(format!("seed-{seed}"))
}

impl Run {
    fn new(study: &Study, base: &Table, (seed_dir, seed): (&Path, u64), row: Option<&Row>) -> anyhow::Result<Run> {
        let name = row.map_or(SHARED, |row| &row.run);
        let trains = row.and_then(|row| row.trains).unwrap_or(Trains::Shared);
        let mut config = base.clone();
        set(&mut config, "run.name", Value::from(name))?;
        set(&mut config, "run.root", Value::from(".."))?;
        set(&mut config, "run.seed", Value::from(i64::try_from(seed)?))?;
        study.every.apply(&mut config)?;
        match trains {
            Trains::Shared => study.shared.apply(&mut config)?,
            Trains::Student | Trains::Scores => study.student.apply(&mut config)?,
            Trains::Teacher | Trains::NewStudent | Trains::Everything => {}
        }
        if let Some(Row { unset, set, .. }) = row {
            Changes { unset: unset.clone(), set: set.clone() }.apply(&mut config)?;
        }
        Ok(Run {
            seed,
            name: name.to_string(),
            trains,
            cost: study.cost(row),
            embeds: config.get("retrieval").is_some_and(|retrieval| retrieval.get("dense").is_some()),
            simulates: config.contains_key("simulate"),
            config: toml::to_string(&config)?,
            dir: seed_dir.join(name),
        })
    }

    /// The stages that the run makes itself, in their order.
    pub(crate) fn stages(&self) -> Vec<&'static str> {
        let own = |stage: &&str| match self.trains {
            Trains::Shared | Trains::Everything => {
                (*stage != "embed" || self.embeds) && (*stage != "simulate" || self.simulates)
            }
            Trains::Teacher => ["teacher", "evaluate"].contains(stage),
            Trains::Scores => ["score", "distill", "evaluate"].contains(stage),
            Trains::Student | Trains::NewStudent => ["distill", "evaluate"].contains(stage),
        };
        stages().filter(own).collect()
    }

    /// The stages whose outputs are those of the shared run. A run with another teacher has its student measured beside it,
    /// but not the scores in between, which are of the shared teacher.
    pub(crate) fn linked(&self) -> Vec<&'static str> {
        let linked: &[&str] = match self.trains {
            Trains::Shared | Trains::Everything => &[],
            Trains::Teacher => &["ingest", "embed", "cpt", "distill"],
            Trains::Scores => &["ingest", "embed", "cpt", "teacher"],
            Trains::Student | Trains::NewStudent => &["ingest", "embed", "cpt", "teacher", "score"],
        };
        stages().filter(|stage| linked.contains(stage) && (*stage != "embed" || self.embeds)).collect()
    }
}

impl Run {
    /// The systems whose models are the shared run's.
    pub(crate) fn linked_systems(&self) -> impl Iterator<Item = &'static str> {
        let linked = self.linked();
        SYSTEMS.into_iter().filter(move |(stage, _)| linked.contains(stage)).map(|(_, system)| system)
    }
}

impl Changes {
    fn apply(&self, config: &mut Table) -> anyhow::Result<()> {
        self.unset.iter().for_each(|table| unset(config, table));
        let queries = config.get("ingest").and_then(|ingest| ingest.get("judgments")?.get("queries")?.as_str());
        let collection = queries.and_then(|queries| Path::new(queries).parent()).unwrap_or(Path::new("."));
        let collection = Value::from(collection.display().to_string());
        let value = |value: &Value| if value.as_str() == Some(COLLECTION) { collection.clone() } else { value.clone() };
        self.set.iter().try_for_each(|(key, given)| set(config, key, value(given)))
    }
}

/// Sets `table.key`.
fn set(config: &mut Table, key: &str, value: Value) -> anyhow::Result<()> {
    let (tables, last) = key.rsplit_once('.').with_context(|| format!("{key}: expected table.key"))?;
    let mut table = config;
    for name in tables.split('.') {
        let entry = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().with_context(|| format!("{key}: {name} is no table"))?;
    }
    table.insert(last.to_string(), value);
    Ok(())
}

/// Keys whose values are paths, as of the pipeline file.
const PATHS: [&str; 11] = [
    "simulate.collection",
    "ingest.documents.paths",
    "ingest.judgments.paths",
    "ingest.judgments.queries",
    "ingest.judgments.splits.train",
    "ingest.judgments.splits.validation",
    "ingest.judgments.splits.test",
    "ingest.log.paths",
    "retrieval.dense",
    "teacher.base",
    "distill.base",
];

/// Makes relative paths of a pipeline file in `folder` absolute, since the runs have files of their own elsewhere.
pub(crate) fn anchor(config: &mut Table, folder: &Path) {
    let anchored = |value: &mut Value| {
        if let Value::String(path) = value
            && !["{run}", "hf:"].iter().any(|start| path.starts_with(start))
            && path != "teacher"
        {
            *path = folder.join(&*path).display().to_string();
        }
    };
    for key in PATHS {
        let (tables, last) = key.rsplit_once('.').unwrap_or(("", key));
        let table = tables.split('.').try_fold(&mut *config, |table, name| table.get_mut(name)?.as_table_mut());
        match table.and_then(|table| table.get_mut(last)) {
            Some(Value::Array(values)) => values.iter_mut().for_each(anchored),
            Some(value) => anchored(value),
            None => {}
        }
    }
}

/// Removes `table.key`, where it is there.
fn unset(config: &mut Table, key: &str) {
    let (tables, last) = key.rsplit_once('.').unwrap_or(("", key));
    let names = tables.split('.').filter(|name| !name.is_empty());
    let table = names.into_iter().try_fold(config, |table, name| table.get_mut(name)?.as_table_mut());
    if let Some(table) = table {
        table.remove(last);
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::study::Name;

    fn base(study: &Study) -> Table {
        let path = Path::new("../..").join(&study.config);
        toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn every_run_has_a_configuration_that_stages_take() {
        for name in Name::value_variants() {
            let study = Study::of(*name).unwrap();
            let wanted: Vec<&Comparison> = study.comparisons.iter().collect();
            let dir = tempfile::tempdir().unwrap();
            for run in runs(&study, &wanted, &base(&study), dir.path(), 3).unwrap() {
                let path = dir.path().join(CONFIG);
                std::fs::write(&path, &run.config).unwrap();
                let pipeline = pipeline::config::load(&path, &[]).unwrap();
                assert_eq!((pipeline.run.seed, &pipeline.run.name), (3, &run.name));
            }
        }
    }

    #[test]
    fn runs_of_two_comparisons_are_made_once() {
        let study = Study::of(Name::Simulated).unwrap();
        let wanted = study.only(&["alpha".into(), "labels".into()]).unwrap();
        let runs = runs(&study, &wanted, &base(&study), Path::new("root"), 1).unwrap();
        let names: Vec<&str> = runs.iter().map(|run| &run.name[..]).collect();
        assert_eq!(names.iter().filter(|&&name| name == "hybrid-0.5").count(), 1);
        assert_eq!(names.iter().filter(|&&name| name == SHARED).count(), 1);
        assert_eq!(runs[0].dir, Path::new("root/seed-1/shared"));
    }

    #[test]
    fn paths_are_those_of_the_file_that_names_them() {
        let text =
            "[teacher]\nbase = 'm'\n[distill]\nbase = 'hf:a/b'\n[ingest.documents]\npaths = ['/d', 'e', '{run}/f']\n";
        let mut config: Table = toml::from_str(text).unwrap();
        anchor(&mut config, Path::new("/home"));
        assert_eq!(config["teacher"]["base"].as_str(), Some("/home/m"));
        assert_eq!(config["distill"]["base"].as_str(), Some("hf:a/b"));
        let paths: Vec<&str> =
            config["ingest"]["documents"]["paths"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(paths, ["/d", "/home/e", "{run}/f"]);
    }

    #[test]
    fn keys_are_set_and_tables_left_out() {
        let mut config: Table = toml::from_str("[a]\nb = 1\n[a.c]\nd = 2").unwrap();
        set(&mut config, "a.e.f", Value::from("g")).unwrap();
        unset(&mut config, "a.c");
        unset(&mut config, "x.y");
        assert_eq!(toml::to_string(&config).unwrap(), "[a]\nb = 1\n\n[a.e]\nf = \"g\"\n");
        assert_eq!(set(&mut config, "a.b.c", Value::from(1)).unwrap_err().to_string(), "a.b.c: b is no table");
    }
}
