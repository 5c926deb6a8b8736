//! What scores: saved rankers, servers that are asked over HTTP, files of scores, and what finds documents.

use std::sync::Arc;

use anyhow::Context;
use collection::{Collection, Corpus};
use models::saved_teacher;
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::identity;
use pipeline::config::{Retriever, ScoringTeacher};
use pipeline::{BadInput, ConfigError, RunPaths, StageContext};
use remote::Pool;
use remote::chat::{Permutations, Permuter, YesNo, YesNoScores};
use remote::pool::PoolConfig;

use crate::lists::{Queries, UnlabelledList, pairs};
use crate::scores_file::FileScores;

/// One of the teachers of a run.
pub(crate) struct Teacher<'a> {
    /// What the table calls it.
    pub(crate) name: String,
    /// Its part of the average.
    pub(crate) weight: f64,
    scorer: Scorer<'a>,
}

enum Scorer<'a> {
    Ranker(Box<CrossEncoder>),
    Servers(Pool),
    Permutations(Permuter, Pool),
    YesNo(YesNo, Pool),
    File(Arc<FileScores>),
    Retriever(&'a Collection, Retriever),
}

/// The scores of the documents of some lists, one list after the other.
pub(crate) struct Scores {
    pub(crate) scores: Vec<f32>,
    /// For each document, whether an answer left it out; none where no such answers are given.
    pub(crate) left_out: Option<Vec<bool>>,
}

impl<'a> Teacher<'a> {
    /// Opens a teacher; servers are not asked yet.
    pub(crate) fn open(
        context: &StageContext,
        (collection, queries): (&'a Collection, Queries),
        (config, execution): (&ScoringTeacher, Execution),
    ) -> anyhow::Result<Teacher<'a>> {
        if let Some(by) = config.retriever {
            let scorer = Scorer::Retriever(collection, by);
            return Ok(Teacher { name: by.to_string(), weight: config.weight, scorer });
        }
        if let Some(file) = &config.scores {
            let scores = FileScores::read(context.paths(), file, (&collection.corpus, queries))?;
            let scorer = Scorer::File(Arc::new(scores));
            return Ok(Teacher { name: file.path.clone(), weight: config.weight, scorer });
        }
        let (name, scorer) = match (&config.servers, &config.ranker) {
            (Some(servers), _) => (servers.name(), asked(context.paths(), config, servers)?),
            (None, Some(saved)) if !config.is_own() => {
                let saved = saved_teacher(context.paths(), "score.teacher", saved, &config.input, execution.precision)?;
                let ranker = CrossEncoder::of_saved(&saved, execution)?;
                (config.ranker.as_ref().map(ToString::to_string).unwrap_or_default(), Scorer::Ranker(Box::new(ranker)))
            }
            _ => {
                let folder = context.input("teacher")?.folder("rank")?;
                (identity(&folder)?, Scorer::Ranker(Box::new(CrossEncoder::open(&folder, execution)?)))
            }
        };
        Ok(Teacher { name, weight: config.weight, scorer })
    }

    /// The lists that a file of scores has.
    pub(crate) fn given(&self) -> Option<Arc<FileScores>> {
        match &self.scorer {
            Scorer::File(scores) => Some(scores.clone()),
            _ => None,
        }
    }

    /// How many lists to score between two looks at the progress: a model here may take minutes for more, others are asked for
    /// all at once.
    pub(crate) fn lists_at_once(&self) -> usize {
        match self.scorer {
            Scorer::Ranker(_) => 32,
            _ => usize::MAX,
        }
    }

    /// Scores the documents of `lists`.
    pub(crate) fn score(&mut self, corpus: &Corpus, lists: &[UnlabelledList]) -> anyhow::Result<Scores> {
        let (scores, left_out) = match &mut self.scorer {
            Scorer::Ranker(ranker) => {
                let texts: Vec<_> = pairs(lists).map(|(query, document)| corpus.texts(query, document)).collect();
                (ranker.score(&texts)?, None)
            }
            Scorer::File(file) => (file.scores(corpus, lists)?, file.left_out(lists)),
            Scorer::Retriever(collection, by) => {
                let wanted: Vec<(usize, &[usize])> =
                    lists.iter().map(|list| (list.query, &list.documents[..])).collect();
                (flat(&collection.scores(*by, &wanted)?), None)
            }
            Scorer::Servers(pool) => {
                let texts = Texts::of(corpus, lists);
                (flat(&pool.score(&texts.lists(corpus)).map_err(asking)?), None)
            }
            Scorer::YesNo(yes_no, pool) => {
                let texts = Texts::of(corpus, lists);
                let answered = yes_no.score(pool, &texts.lists(corpus)).map_err(asking)?;
                let YesNoScores { scores, without_yes, without_no } = answered;
                if without_yes + without_no > 0 {
                    tracing::info!("score: answers without yes: {without_yes}, without no: {without_no}");
                }
                (flat(&scores), None)
            }
            Scorer::Permutations(permuter, pool) => {
                let texts = Texts::of(corpus, lists);
                let Permutations { rankings, repairs } = permuter.rank(pool, &texts.lists(corpus)).map_err(asking)?;
                tracing::info!("score: answers as they should be: {}, others: {repairs:?}", repairs.well_formed);
                let omitted = rankings.iter().flat_map(|ranking| ranking.omissions.iter().map(|&times| times > 0));
                (rankings.iter().flat_map(|it| scores_of_order(&it.order)).collect(), Some(omitted.collect()))
            }
        };
        check_finite(corpus, lists, &scores)?;
        Ok(Scores { scores, left_out })
    }
}

/// What the servers of a teacher are asked.
fn asked(paths: &RunPaths, config: &ScoringTeacher, servers: &PoolConfig) -> anyhow::Result<Scorer<'static>> {
    let template = config.template().map(|path| paths.resolve(&path.to_string_lossy()));
    let pool = Pool::new(servers).map_err(asking)?;
    Ok(match (&config.permutations, &config.yes_no) {
        (Some(permutations), _) => {
            let mut permutations = permutations.clone();
            permutations.template = template;
            Scorer::Permutations(Permuter::new(&permutations).map_err(asking)?, pool)
        }
        (None, Some(yes_no)) => {
            let mut yes_no = yes_no.clone();
            yes_no.template = template;
            Scorer::YesNo(YesNo::new(&yes_no).map_err(asking)?, pool)
        }
        (None, None) => Scorer::Servers(pool),
    })
}

fn asking(error: remote::Error) -> anyhow::Error {
    if error.is_bad_input() {
        return ConfigError::Unusable(format!("score.teacher: {error}")).into();
    }
    anyhow::Error::new(error).context("score.teacher")
}

/// The documents of lists as one text each: title and summary.
struct Texts<'a> {
    lists: &'a [UnlabelledList],
    documents: Vec<Vec<String>>,
}

impl<'a> Texts<'a> {
    fn of(corpus: &Corpus, lists: &'a [UnlabelledList]) -> Texts<'a> {
        let texts = |list: &UnlabelledList| {
            list.documents.iter().map(|&document| corpus.texts(list.query, document).document()).collect()
        };
        let documents = lists.iter().map(texts).collect();
        Texts { lists, documents }
    }

    fn lists<'t>(&'t self, corpus: &'t Corpus) -> Vec<remote::List<'t>> {
        let list = |(list, texts): (&'t UnlabelledList, &'t Vec<String>)| {
            let query = &corpus.queries[list.query];
            let documents = list.documents.iter().zip(texts);
            let documents = documents.map(|(&document, text)| remote::Text { id: corpus.doc_id(document), text });
            remote::List {
                query: remote::Text { id: &query.query_id, text: &query.text },
                documents: documents.collect(),
            }
        };
        self.lists.iter().zip(&self.documents).map(list).collect()
    }
}

fn flat(scores: &[Vec<f64>]) -> Vec<f32> {
    scores.iter().flatten().map(|&score| score as f32).collect()
}

/// From 1, the first document of an order, to 0, the last, in equal steps; in the list's order.
pub(crate) fn scores_of_order(order: &[usize]) -> Vec<f32> {
    let mut scores = vec![0.0; order.len()];
    let steps = order.len().saturating_sub(1).max(1) as f32;
    for (rank, &document) in order.iter().enumerate() {
        scores[document] = 1.0 - rank as f32 / steps;
    }
    scores
}

/// Refuses a score that is not a finite number, and names its pair.
fn check_finite(corpus: &Corpus, lists: &[UnlabelledList], scores: &[f32]) -> anyhow::Result<()> {
    let Some(at) = scores.iter().position(|score| !score.is_finite()) else { return Ok(()) };
    let (query, document) = pairs(lists).nth(at).context("a score without a pair")?;
    let (query, document) = (&corpus.queries[query].query_id, corpus.doc_id(document));
    Err(BadInput(format!(
        "score.teacher: query `{query}`, document `{document}`: expected a finite score, found {}; look at the teacher",
        scores[at]
    )))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_becomes_equal_steps() {
        assert_eq!(scores_of_order(&[2, 0, 1]), [0.5, 0.0, 1.0]);
        assert_eq!(scores_of_order(&[0]), [1.0]);
    }
}
