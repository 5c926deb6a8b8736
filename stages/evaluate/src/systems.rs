//! What every system answers: the log's own order, where there is a log, BM25, dense retrieval and both fused, where there
//! are vectors, the teacher, where the run has one and its order is not the measure, and the two students.

use std::collections::HashMap;

use collection::{CandidateList, Collection, Corpus};
use pipeline::config::{BASELINE, Retriever};
use pipeline::{Shard, StageContext};
use tables::StageDir;

use crate::cost::Cost;
use crate::model_scores::ModelSystem;
use crate::{Config, SystemRun};

/// The order in which the logged engine showed the documents.
pub(crate) const LOG_ORDER: &str = "log_order";

/// The lexical baseline, which every model is interpolated with.
pub(crate) const BM25: &str = "bm25";

/// The systems in the order they are reported, each with what it is where the name does not say it.
const SYSTEMS: [(&str, &str); 8] = [
    (LOG_ORDER, "the log's own order"),
    (BM25, ""),
    ("dense", "by vectors"),
    ("fused", "BM25 and vectors"),
    (TEACHER, ""),
    (STUDENT, "distilled"),
    (LABELS_ONLY, "the student from judged labels alone"),
    (BASELINE, "the student of an earlier run"),
];

/// First-stage retrieval: the system's name, and what scores the candidates. The latter two need vectors.
const RETRIEVERS: [(&str, Retriever); 3] =
    [(BM25, Retriever::Bm25), ("dense", Retriever::Dense), ("fused", Retriever::Fused)];

/// The systems that are models.
const MODELS: [ModelSystem; 3] = [
    ModelSystem { name: TEACHER, stage: "teacher", folder: "rank" },
    ModelSystem { name: STUDENT, stage: "distill", folder: "student" },
    ModelSystem { name: LABELS_ONLY, stage: "distill", folder: LABELS_ONLY },
];

/// This run's own teacher, where it is measured.
pub(crate) const TEACHER: &str = "teacher";

/// What the run is made for.
pub(crate) const STUDENT: &str = "student";

/// The student that saw no teacher, where there is one.
const LABELS_ONLY: &str = "student_labels_only";

/// Scores of every system for every candidate, and what the models among them cost.
pub(crate) fn runs(
    config: &Config,
    context: &StageContext,
    ingest: &StageDir,
    collection: &Collection,
    lists: &[CandidateList],
) -> anyhow::Result<(Vec<SystemRun>, Vec<Cost>)> {
    let (mut runs, mut costs) = (Vec::new(), Vec::new());
    if let Some(scores) = log_order(ingest, collection, lists)? {
        runs.push(SystemRun { system: LOG_ORDER.into(), scores, weights: Vec::new() });
    }
    let wanted: Vec<(usize, &[usize])> = lists.iter().map(|list| (list.query, &list.documents[..])).collect();
    for (system, by) in RETRIEVERS {
        if by == Retriever::Bm25 || collection.is_dense() {
            let scores = collection.scores(by, &wanted)?;
            runs.push(SystemRun { system: system.into(), scores, weights: Vec::new() });
        }
    }
    for model in models(config) {
        let (scores, cost) = model.scores(context, config, (&collection.corpus, lists))?;
        costs.push(cost);
        runs.push(SystemRun { system: model.name.into(), scores, weights: Vec::new() });
    }
    Ok((runs, costs))
}

/// Makes the share of the models' scores that is the shard's, and leaves them beside the output.
pub(crate) fn make_share(
    config: &Config,
    context: &StageContext,
    lists: (&Corpus, &[CandidateList]),
    shard: Shard,
) -> anyhow::Result<()> {
    for model in models(config) {
        model.make_share(context, config, lists, shard)?;
    }
    tracing::info!("evaluate: shard {shard} is finished; when all are, evaluate without --shard writes the tables");
    Ok(())
}

/// The models among the systems.
fn models(config: &Config) -> Vec<ModelSystem> {
    let is_there = |name: &str| match name {
        TEACHER => config.teacher,
        LABELS_ONLY => config.labels_only,
        _ => true,
    };
    MODELS.into_iter().filter(|model| is_there(model.name)).collect()
}

/// True if a system is one of the models.
pub(crate) fn is_model(system: &str) -> bool {
    MODELS.iter().any(|model| model.name == system)
}

/// What a system is, where its name does not say it.
pub(crate) fn about(system: &str) -> Option<&'static str> {
    let known = SYSTEMS.iter().find(|(name, _)| *name == system);
    known.map(|(_, about)| *about).filter(|about| !about.is_empty())
}

/// True if a system interpolates a model with BM25.
pub(crate) fn is_interpolated(system: &str) -> bool {
    system.strip_suffix("+bm25").is_some_and(is_model)
}

/// The place of a system in reports: the interpolated ones follow the others.
pub(crate) fn order(system: &str) -> usize {
    let place = |name: &str| SYSTEMS.iter().position(|&(known, _)| known == name).unwrap_or(SYSTEMS.len());
    match system.strip_suffix("+bm25") {
        Some(model) => SYSTEMS.len() + place(model),
        None => place(system),
    }
}

/// Where the engine showed each document: minus its mean position; below all of these where it never did. `None` where
/// nothing was shown at all, as there is no log.
fn log_order(
    ingest: &StageDir,
    collection: &Collection,
    lists: &[CandidateList],
) -> anyhow::Result<Option<Vec<Vec<f64>>>> {
    let wanted: HashMap<&str, usize> =
        lists.iter().map(|list| (&collection.corpus.queries[list.query].query_id[..], list.query)).collect();
    let table = ingest.table("impressions")?;
    if table.rows() == 0 {
        return Ok(None);
    }
    let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
    let positions = table.int32s("position")?;
    let mut shown: HashMap<(usize, usize), (i64, i64)> = HashMap::new();
    let mut last = 0;
    for row in 0..table.rows() {
        let position = i64::from(positions.value(row));
        last = last.max(position);
        if let Some(&query) = wanted.get(query_ids.value(row))
            && let Some(document) = collection.corpus.document(doc_ids.value(row))
        {
            let (sum, count) = shown.entry((query, document)).or_default();
            *sum += position;
            *count += 1;
        }
    }
    let score = |query: usize, document: usize| match shown.get(&(query, document)) {
        Some(&(sum, count)) => -(sum as f64) / count as f64,
        None => -(last + 1) as f64,
    };
    let scores = |list: &CandidateList| list.documents.iter().map(|&document| score(list.query, document)).collect();
    Ok(Some(lists.iter().map(scores).collect()))
}
