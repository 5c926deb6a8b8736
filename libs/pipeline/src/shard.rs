//! Which share of a stage's parts a process makes.

use std::env::VarError;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory};

use crate::BadInput;

/// One of several processes that divide the parts among themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: usize,
    count: usize,
}

/// The option of stages whose parts several processes can make.
#[derive(Debug, Args)]
pub struct ShardArgument {
    /// Makes one share of the parts, i of n, beside other processes, and leaves the output to a run without this option; `all` is
    /// such a run, also where the variables of a Slurm job array or an indexed Kubernetes job name a share
    #[arg(long, value_name = "I/N", conflicts_with = "force")]
    shard: Option<String>,
}

impl ShardArgument {
    /// The share that the option, or else the scheduler, names; `None` for all parts. Ends the process where neither can be
    /// understood, and where a share is to begin anew with `forced`, which would remove the parts of all.
    pub fn shard<C: CommandFactory>(&self, forced: bool) -> Option<Shard> {
        let shard = match &self.shard {
            Some(text) => Shard::parse(text),
            None => Shard::of_environment(|name| std::env::var(name)),
        };
        let shard = match shard {
            Ok(Some(shard)) if forced => Err(format!(
                "--force removes the parts of all shards, found it in shard {shard}; remove their folder once, or say --shard {ALL}"
            )),
            shard => shard,
        };
        shard.unwrap_or_else(refuse::<C, _>)
    }

    /// The share that the option names; `None` without it, whatever a scheduler says.
    pub fn given<C: CommandFactory>(&self) -> Option<Shard> {
        let shard = self.shard.as_deref().map(Shard::parse).transpose();
        shard.unwrap_or_else(refuse::<C, _>).flatten()
    }
}

fn refuse<C: CommandFactory, T>(problem: String) -> T {
    C::command().error(ErrorKind::ValueValidation, problem).exit()
}

/// Sets nothing apart: one process makes every part that is missing, and commits.
const ALL: &str = "all";

impl Shard {
    /// What a shard says of a part of another computation: it cannot begin anew by itself.
    #[must_use]
    pub fn without_force(error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<tables::Error>() {
            Ok(tables::Error::BadPart { path, found }) => BadInput(format!(
                "{}: expected a part of this computation, found {found}; remove it while no shard is at work, and start the shards \
                 again",
                path.display()
            ))
            .into(),
            Ok(error) => error.into(),
            Err(error) => error,
        }
    }

    /// True if the part is one of this shard's.
    pub fn has(self, part: usize) -> bool {
        part % self.count == self.index
    }

    /// What `--shard` says; `None` for all parts.
    fn parse(text: &str) -> Result<Option<Shard>, String> {
        if text == ALL {
            return Ok(None);
        }
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((number, count)) if (1..=count).contains(&number) => Ok(Some(Shard { index: number - 1, count })),
            _ => Err(format!("expected `{ALL}` or two numbers such as 1/4, from 1/4 to 4/4, found `{text}`")),
        }
    }

    /// The shard of a task of a Slurm job array or of an indexed Kubernetes job, whose variables `get` reads.
    fn of_environment(get: impl Fn(&str) -> Result<String, VarError>) -> Result<Option<Shard>, String> {
        let number = |name: &str| match get(name) {
            Err(VarError::NotPresent) => Ok(None),
            value => {
                let number = value.ok().and_then(|value| value.parse::<usize>().ok());
                let unusable = format!("{name}: expected a number; correct it, or say --shard i/n or --shard {ALL}");
                number.map(Some).ok_or(unusable)
            }
        };
        if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            let index = id.checked_sub(first).map(|since| since / step);
            return Shard::at(
                "SLURM_ARRAY_TASK_ID",
                index,
                ("SLURM_ARRAY_TASK_COUNT", number("SLURM_ARRAY_TASK_COUNT")?),
            );
        }
        match number("JOB_COMPLETION_INDEX")? {
            Some(index) => {
                Shard::at("JOB_COMPLETION_INDEX", Some(index), ("JOB_COMPLETIONS", number("JOB_COMPLETIONS")?))
            }
            None => Ok(None),
        }
    }

    fn at(name: &str, index: Option<usize>, (of, count): (&str, Option<usize>)) -> Result<Option<Shard>, String> {
        let Some(count) = count else {
            return Err(format!(
                "{name} is set without {of}: set {of} to the number of tasks, or say --shard i/n or --shard {ALL}"
            ));
        };
        match index {
            Some(index) if index < count => Ok(Some(Shard { index, count })),
            _ => Err(format!("{name}: expected one of the {count} tasks of {of}, found another; say --shard i/n")),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_divide_the_parts() {
        let shards: Vec<Shard> = (1..=3).filter_map(|i| Shard::parse(&format!("{i}/3")).unwrap()).collect();
        for part in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(part)).count(), 1);
        }
        assert_eq!(shards[1].to_string(), "2/3");
        assert_eq!(Shard::parse("all"), Ok(None));
        for text in ["0/4", "5/4", "1/0", "1", "a/b", "", "-1/4"] {
            assert!(Shard::parse(text).unwrap_err().contains("such as 1/4"), "{text}");
        }
    }

    #[test]
    fn schedulers_say_the_shard() {
        let shard = |variables: &[(&str, &str)]| {
            let get = |name: &str| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| value.to_string()).ok_or(VarError::NotPresent)
            };
            Shard::of_environment(get).map(|shard| shard.map(|shard| shard.to_string()))
        };
        let slurm = |id| [("SLURM_ARRAY_TASK_ID", id), ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "1")];
        assert_eq!(shard(&[]), Ok(None));
        assert_eq!(shard(&slurm("1")), Ok(Some("1/4".into())));
        assert_eq!(shard(&slurm("4")), Ok(Some("4/4".into())));
        assert!(shard(&slurm("0")).unwrap_err().contains("one of the 4 tasks"));
        assert!(shard(&slurm("x")).unwrap_err().contains("expected a number"));
        let stepped = [&slurm("7")[..], &[("SLURM_ARRAY_TASK_STEP", "2")]].concat();
        assert_eq!(shard(&stepped), Ok(Some("4/4".into())));
        let kubernetes = [("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "2")];
        assert_eq!(shard(&kubernetes), Ok(Some("1/2".into())));
        assert!(shard(&kubernetes[..1]).unwrap_err().contains("without JOB_COMPLETIONS"));
    }
}
