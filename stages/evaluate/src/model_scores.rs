//! Scores of the models, kept beside the output: another metric, or a run after one that was interrupted, computes those alone that
//! are missing or are of another model or other pairs.

use std::path::PathBuf;

use collection::{CandidateList, Corpus};
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{InputChoice, load_scorer};
use nn::text::Texts;
use pipeline::{Progress, Shard, StageContext};
use tables::{Error, FileEntry, Parts, Rows};

use crate::Config;
use crate::cost::{Cost, KeptCost, milliseconds};

/// The table of a part.
const TABLE: &str = "pair_scores";

/// Lists of a part.
const LISTS_PER_PART: usize = 16;

/// A system that is a model, and where its folder is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelSystem {
    /// The system's name.
    pub(crate) name: &'static str,
    /// The stage that made it.
    pub(crate) stage: &'static str,
    /// Its folder in the output of that stage.
    pub(crate) folder: &'static str,
}

impl ModelSystem {
    /// The scores of the candidates of every list, and what the model costs.
    pub(crate) fn scores(
        self,
        context: &StageContext,
        config: &Config,
        (corpus, lists): (&Corpus, &[CandidateList]),
    ) -> anyhow::Result<(Vec<Vec<f64>>, Cost)> {
        let parts = self.open(context, config)?;
        let mut progress = self.progress(context, lists);
        let mut model = Model { system: self, context, execution: config.execution(), opened: None };
        let mut scores = Vec::with_capacity(lists.len());
        let mut kept_lists = 0;
        for (number, lists) in lists.chunks(LISTS_PER_PART).enumerate() {
            let texts: Vec<Vec<Texts<'_>>> = lists.iter().map(|list| texts(corpus, list)).collect();
            let inputs = digest(&texts);
            let part = match kept(&parts, number, &inputs)? {
                Some(scores) => {
                    kept_lists += lists.len();
                    scores
                }
                None => model.make(&parts, (number, &inputs), &texts)?,
            };
            let mut rest = part.into_iter().map(f64::from);
            scores.extend(lists.iter().map(|list| rest.by_ref().take(list.documents.len()).collect()));
            progress.add(lists.len() as u64);
        }
        if kept_lists > 0 {
            tracing::info!("evaluate: {}: {kept_lists} of {} lists were scored before", self.name, lists.len());
        }
        let kept = KeptCost::of(&self.folder_of_parts(context), self.decides_cost(context, config)?);
        let cost = match kept.read() {
            Some(cost) => cost,
            None => {
                let cost = model.cost(corpus, lists)?;
                kept.write(&cost)?;
                cost
            }
        };
        Ok((scores, cost))
    }

    /// Makes those parts that are the shard's and are missing. A part of another model is an error: shards cannot begin anew.
    pub(crate) fn make_share(
        self,
        context: &StageContext,
        config: &Config,
        (corpus, lists): (&Corpus, &[CandidateList]),
        shard: Shard,
    ) -> anyhow::Result<()> {
        let mut progress = self.progress(context, lists);
        let parts = Parts::open(&self.folder_of_parts(context), TABLE, &self.fingerprint(context, config)?)?;
        let mut model = Model { system: self, context, execution: config.execution(), opened: None };
        for (number, lists) in lists.chunks(LISTS_PER_PART).enumerate() {
            if shard.has(number) {
                let texts: Vec<Vec<Texts<'_>>> = lists.iter().map(|list| texts(corpus, list)).collect();
                let inputs = digest(&texts);
                if kept(&parts, number, &inputs)?.is_none() {
                    model.make(&parts, (number, &inputs), &texts)?;
                }
            }
            progress.add(lists.len() as u64);
        }
        Ok(())
    }

    /// A progress of its own, as a teacher takes many times as long as a student.
    fn progress(self, context: &StageContext, lists: &[CandidateList]) -> Progress {
        context.progress(&format!("scores of {}", self.name), lists.len() as u64)
    }

    fn folder_of_parts(self, context: &StageContext) -> PathBuf {
        context.paths().run_dir().join("evaluate.parts").join(self.name)
    }

    /// A digest of all that decides what the model costs on one machine.
    fn decides_cost(self, context: &StageContext, config: &Config) -> anyhow::Result<String> {
        let scores = self.fingerprint(context, config)?;
        let decides = (scores, rayon::current_num_threads(), config.batch_tokens);
        Ok(files::sha256(&serde_json::to_vec(&decides)?))
    }

    /// The parts of this system; those of another model are removed.
    fn open(self, context: &StageContext, config: &Config) -> anyhow::Result<Parts> {
        let folder = self.folder_of_parts(context);
        if context.forced() {
            Parts::remove(&folder)?;
        }
        Ok(Parts::open_anew(&folder, TABLE, &self.fingerprint(context, config)?)?)
    }

    /// A digest of all but the pairs that decides scores: the model, with the outside files that an adapter stands on, and the
    /// precision.
    fn fingerprint(self, context: &StageContext, config: &Config) -> anyhow::Result<String> {
        let folder = format!("{}/{}", self.stage, self.folder);
        let files = context.inputs().iter().filter(|input| input.name == folder || input.bytes.is_some());
        let digests: Vec<&str> = files.map(|input| input.digest.as_str()).collect();
        let Config { precision, adapter_base, .. } = config;
        Ok(files::sha256(&serde_json::to_vec(&(&folder, digests, precision, adapter_base))?))
    }
}

/// The model of a system, which is opened when it is needed first.
struct Model<'a> {
    system: ModelSystem,
    context: &'a StageContext,
    execution: Execution,
    opened: Option<Opened>,
}

struct Opened {
    encoder: CrossEncoder,
    parameters: usize,
}

impl Model<'_> {
    fn score(&mut self, texts: &[Texts<'_>]) -> anyhow::Result<Vec<f32>> {
        Ok(self.open()?.encoder.score(texts)?)
    }

    /// Makes the part of this number, of these lists.
    fn make(
        &mut self,
        parts: &Parts,
        (number, inputs): (usize, &str),
        lists: &[Vec<Texts<'_>>],
    ) -> anyhow::Result<Vec<f32>> {
        let scores = lists.iter().map(|texts| self.score(texts)).collect::<anyhow::Result<Vec<_>>>()?.concat();
        parts.write_made_of(number, inputs, Rows::of(&scores).float32s("score", |&score| score))?;
        Ok(scores)
    }

    fn open(&mut self) -> anyhow::Result<&Opened> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => {
                let ModelSystem { stage, folder, .. } = self.system;
                let folder = self.context.input(stage)?.folder(folder)?;
                let saved = load_scorer(&folder, None, &InputChoice::default(), self.execution.precision)?;
                let parameters = saved.ranker.params().count();
                Opened { encoder: CrossEncoder::of_saved(&saved, self.execution)?, parameters }
            }
        };
        Ok(self.opened.insert(opened))
    }

    fn cost(&mut self, corpus: &Corpus, lists: &[CandidateList]) -> anyhow::Result<Cost> {
        let ModelSystem { name, stage, folder } = self.system;
        let output = self.context.input(stage)?;
        let is_own = |file: &&FileEntry| file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let bytes = output.manifest().files.iter().filter(is_own).map(|file| file.bytes).sum();
        let queries: Vec<Vec<Texts<'_>>> = lists.iter().take(LISTS_PER_PART).map(|list| texts(corpus, list)).collect();
        let milliseconds = milliseconds(&queries, |list| self.score(list).map(drop))?;
        let (parameters, threads) = (self.open()?.parameters, rayon::current_num_threads());
        Ok(Cost { system: name.into(), parameters, bytes, milliseconds, threads })
    }
}

/// The scores of the part of this number where it was made of these pairs. A damaged one is made again.
fn kept(parts: &Parts, number: usize, inputs: &str) -> tables::Result<Option<Vec<f32>>> {
    let read = || match parts.is_made_of(number, inputs)? {
        true => Ok(Some(parts.read(number)?.float32s("score")?.values().to_vec())),
        false => Ok(None),
    };
    match read() {
        Err(Error::BadPart { .. }) => Ok(None),
        read => read,
    }
}

fn texts<'a>(corpus: &'a Corpus, list: &CandidateList) -> Vec<Texts<'a>> {
    list.documents.iter().map(|&document| corpus.texts(list.query, document)).collect()
}

/// A digest of pairs, their lists and their order.
fn digest(lists: &[Vec<Texts<'_>>]) -> String {
    let mut bytes = Vec::new();
    let mut add = |length: usize, text: &str| {
        bytes.extend((length as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    for list in lists {
        add(list.len(), "");
        for Texts { query, title, summary } in list {
            [query, title, summary].into_iter().for_each(|text| add(text.len(), text));
        }
    }
    files::sha256(&bytes)
}
