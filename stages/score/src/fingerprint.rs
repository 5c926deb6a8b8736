//! What decides the parts of each teacher: parts of another teacher, configuration or input are foreign.

use anyhow::Context;
use pipeline::config::{ScoreConfig, ScoringTeacher, StandardiseOver};
use pipeline::{Stage, StageContext};
use tables::InputEntry;

use crate::{Config, Score};

/// For each teacher, a digest of all that decides its parts: what all teachers have in common, the lists among it, and what this
/// teacher alone reads. Weights, chosen or given, and `standardise_over` decide the average, not the parts.
pub(crate) fn fingerprints(config: &Config, context: &StageContext) -> anyhow::Result<Vec<String>> {
    let (common, own) = config.inputs(context.paths())?;
    // The inputs of a run are in the order in which the stage declares them.
    let mut rest = context.inputs();
    let mut digests = |count: usize| -> anyhow::Result<Vec<(&str, &str)>> {
        let (first, others) = rest.split_at_checked(count).context("fewer inputs than the stage declares")?;
        rest = others;
        Ok(first.iter().map(|InputEntry { name, digest, .. }| (name.as_str(), digest.as_str())).collect())
    };
    let mut common = digests(common.len())?;
    common.retain(|(name, _)| *name != "ingest/judgments");
    let own = own.iter().map(|inputs| digests(inputs.len())).collect::<anyhow::Result<Vec<_>>>()?;
    let teachers = config.score.teachers();
    // A file of scores decides the lists of all.
    let lists = teachers.iter().zip(&own).find(|(teacher, _)| teacher.scores.is_some());
    let lists = lists.map(|(teacher, digests)| (&teacher.scores, digests));
    let standardise_over = StandardiseOver::default();
    let score = ScoreConfig { teacher: Vec::new(), standardise_over, choose_weights: false, ..config.score.clone() };
    let Config { seed, precision, retrieval, held_out, .. } = config;
    let shared = (Score::NAME, Score::VERSION, seed, precision, &score, retrieval, held_out, common, lists);
    let fingerprint = |(teacher, digests): (&ScoringTeacher, &Vec<(&str, &str)>)| -> anyhow::Result<String> {
        let adapter_base = config.adapter_base.as_ref().filter(|_| teacher.is_own());
        let alone = (ScoringTeacher { weight: 1.0, ..teacher.clone() }, adapter_base, digests);
        let decides = serde_json::to_vec(&(&shared, alone)).context("the configuration cannot be written as JSON")?;
        Ok(files::sha256(&decides))
    };
    teachers.iter().zip(&own).map(fingerprint).collect()
}
