//! Which runs there are, what each is configured as, and which of its stages it makes itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pipeline::stages;
use toml::{Table, Value};

use crate::comparisons::{Comparison, Comparisons, Row, SHARED, Trains};

/// The configuration of a run, in its folder: with it every stage can be run again by hand.
pub(crate) const CONFIG: &str = "pipeline.toml";

/// Rate of the one distillation step of the shared run's student: it changes nothing, so that the weights are those of the
/// pre-training, from which the students start.
const NO_RATE: f64 = 1e-12;

/// The pre-trained student, as the configuration of another run of the seed names it.
const PRETRAINED_FOLDER: &str = "../shared/distill/student";

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
    /// Its folder.
    pub(crate) dir: PathBuf,
}

/// The runs of a seed's folder, the shared one first.
pub(crate) fn runs(
    all: &Comparisons,
    wanted: &[&Comparison],
    base: &Table,
    root: &Path,
    seed: u64,
) -> anyhow::Result<Vec<Run>> {
    let seed_dir = seed_dir(root, seed);
    let mut names = BTreeSet::from([SHARED]);
    let mut runs = vec![Run::new(all, base, (&seed_dir, seed), None)?];
    for row in wanted.iter().flat_map(|comparison| &comparison.rows).filter(|row| row.run != SHARED) {
        let definition = all.definition(&row.run).with_context(|| format!("run {} has no definition", row.run))?;
        if names.insert(&row.run) {
            runs.push(Run::new(all, base, (&seed_dir, seed), Some(definition))?);
        }
    }
    Ok(runs)
}

/// The folder of a seed's runs.
pub(crate) fn seed_dir(root: &Path, seed: u64) -> PathBuf {
    root.join(format!("seed-{seed}"))
}

impl Run {
    fn new(all: &Comparisons, base: &Table, (seed_dir, seed): (&Path, u64), row: Option<&Row>) -> anyhow::Result<Run> {
        let name = row.map_or(SHARED, |row| &row.run);
        let trains = row.and_then(|row| row.trains).unwrap_or(Trains::Shared);
        let mut config = base.clone();
        set(&mut config, "run.name", Value::from(name))?;
        set(&mut config, "run.root", Value::from(".."))?;
        set(&mut config, "run.seed", Value::from(i64::try_from(seed)?))?;
        // A baseline of its own row, where it is a row.
        unset(&mut config, "distill.labels_only");
        match trains {
            Trains::Shared => {
                set(&mut config, "distill.steps", Value::from(1))?;
                set(&mut config, "distill.learning_rate", Value::from(NO_RATE))?;
                set(&mut config, "distill.accept_collapse", Value::from(true))?;
            }
            Trains::Student | Trains::Scores => {
                for table in ["distill.model", "distill.pretrain", "cpt.student_tokenizer"] {
                    unset(&mut config, table);
                }
                set(&mut config, "distill.base", Value::from(PRETRAINED_FOLDER))?;
            }
            Trains::Teacher | Trains::NewStudent => {}
        }
        for table in row.into_iter().flat_map(|row| &row.unset) {
            unset(&mut config, table);
        }
        for (key, value) in row.into_iter().flat_map(|row| &row.set) {
            set(&mut config, key, value.clone())?;
        }
        Ok(Run {
            seed,
            name: name.to_string(),
            trains,
            cost: all.cost(row),
            embeds: config.get("retrieval").is_some_and(|retrieval| retrieval.get("dense").is_some()),
            config: toml::to_string(&config)?,
            dir: seed_dir.join(name),
        })
    }

    /// The stages that the run makes itself, in their order.
    pub(crate) fn stages(&self) -> Vec<&'static str> {
        let own = |stage: &&str| match self.trains {
            Trains::Shared => *stage != "embed" || self.embeds,
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
            Trains::Shared => &[],
            Trains::Teacher => &["ingest", "embed", "cpt", "distill"],
            Trains::Scores => &["ingest", "embed", "cpt", "teacher"],
            Trains::Student | Trains::NewStudent => &["ingest", "embed", "cpt", "teacher", "score"],
        };
        stages().filter(|stage| linked.contains(stage) && (*stage != "embed" || self.embeds)).collect()
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
    use super::*;

    fn base() -> Table {
        toml::from_str(&std::fs::read_to_string("../../configs/ablation.toml").unwrap()).unwrap()
    }

    #[test]
    fn every_run_has_a_configuration_that_stages_take() {
        let all = Comparisons::built_in().unwrap();
        let wanted: Vec<&Comparison> = all.comparisons.iter().collect();
        let dir = tempfile::tempdir().unwrap();
        for run in runs(&all, &wanted, &base(), dir.path(), 3).unwrap() {
            let path = dir.path().join(CONFIG);
            std::fs::write(&path, &run.config).unwrap();
            let pipeline = pipeline::config::load(&path, &[]).unwrap();
            assert_eq!((pipeline.run.seed, &pipeline.run.name), (3, &run.name));
        }
    }

    #[test]
    fn runs_of_two_comparisons_are_made_once() {
        let all = Comparisons::built_in().unwrap();
        let wanted = all.only(&["alpha".into(), "labels".into()]).unwrap();
        let runs = runs(&all, &wanted, &base(), Path::new("root"), 1).unwrap();
        let names: Vec<&str> = runs.iter().map(|run| &run.name[..]).collect();
        assert_eq!(names.iter().filter(|&&name| name == "hybrid-0.5").count(), 1);
        assert_eq!(names.iter().filter(|&&name| name == SHARED).count(), 1);
        assert_eq!(runs[0].dir, Path::new("root/seed-1/shared"));
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
