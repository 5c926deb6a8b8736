//! Phase `titles`: the ranker learns which text belongs to which title of the collection itself. A title takes the place of
//! a query; its own text is relevant, and BM25's first other texts for the title are not. Where no document has a title, the first
//! sentence of each text is its title. No judgment is used, so the result is the same for every split of the queries.

use anyhow::Context;
use collection::{Collection, GradedList};
use models::training_precision;
use nn::folder::{InputChoice, Settings, load_ranker, save_ranker};
use nn::models::Model;
use nn::text::PairTokenizer;
use pipeline::config::{RetrievalConfig, TitlesConfig};
use pipeline::{BadInput, StageContext};
use ranking::rng::{permutation, stream};
use training::{Card, LabelledList, ListTask, Objective, Phase, TrainingLog, Validator, reading, train_phase};

use crate::parts::{Parts, TITLES, note, remove_stale};
use crate::start::adapted;
use crate::takeover::{fingerprint_fact, take_over};

/// Trains `ranker` on titles, where the pipeline has such a phase. `made_from` is the digest of all that decides the result.
pub(crate) fn learn(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    (config, retrieval): (Option<&TitlesConfig>, &RetrievalConfig),
    (ranker, made_from): (Model, &str),
) -> anyhow::Result<Model> {
    let folder = context.out().join(TITLES);
    let Some(config) = config else {
        remove_stale(&folder)?;
        return Ok(ranker);
    };
    if !take_over(context, log, TITLES, made_from)? {
        train(context, log, parts, (config, retrieval), (&ranker, made_from))?;
    }
    context.fact(&fingerprint_fact(TITLES), made_from);
    Ok(load_ranker(&folder, &InputChoice::default()).context("the ranker of phase titles")?.ranker)
}

fn train(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    (config, retrieval): (&TitlesConfig, &RetrievalConfig),
    (ranker, made_from): (&Model, &str),
) -> anyhow::Result<()> {
    let Parts { shared, start, tokenizer } = *parts;
    let ingest = context.input("ingest")?;
    // Of a large collection, only as many titles as the steps read.
    let needed = config.steps * config.accumulation_steps * config.lists_per_step;
    let (collection, mut lists) =
        lessons(&Collection::read(|stage| context.input(stage), retrieval)?, needed, shared.seed);
    if lists.is_empty() {
        Err(BadInput(format!(
            "{}: expected documents with a title and a summary, or with several sentences, for phase titles, found none; remove the \
             table teacher.titles",
            ingest.path().join("documents").display()
        )))?;
    }
    collection.add_negatives(&mut lists, &config.negative_ranks())?;
    let pairs = PairTokenizer::new(tokenizer, &start.scoring)?;
    let ranker = &adapted(shared, ranker)?;
    let lists: Vec<LabelledList> = lists.into_iter().map(LabelledList::from).collect();
    let validator = Validator::default();
    let mut task = ListTask {
        ranker,
        tokenizer: &pairs,
        corpus: &collection.corpus,
        lists: &lists,
        validator,
        config: &config.list_training(),
        objective: Objective::default(),
        stream: TITLES,
        seed: shared.seed,
        precision: training_precision(shared.precision),
    };
    let phase = Phase {
        name: TITLES,
        table: "teacher.titles",
        config: &config.training(),
        validation: &validator.name(),
        start_validation: None,
        made_from: Some(made_from),
    };
    let summary = train_phase(context, log, &phase, &mut task)?;
    note(context, TITLES, &summary);
    context.fact("titles_lists", lists.len());
    let settings = Settings { scoring: start.scoring.clone(), standardisation: None };
    let card = Card {
        title: "Teacher after titles",
        about: &format!(
            "Scores a title and a text of the collection with one raw logit.{}",
            reading(ranker, &start.scoring)
        ),
        pipeline_tag: "text-ranking",
        library: "transformers",
        base: shared.base.as_ref(),
        validation: phase.validation,
        seed: shared.seed,
        summary: &summary,
    };
    Ok(save_ranker(&context.out().join(TITLES), &ranker.merged()?, tokenizer, &settings, &card.of_phase())?)
}

/// Random documents with a title and a summary, at most `count`: those titles as queries of the collection, and a list for
/// each, whose own text alone is relevant. Without any such document, first sentences are titles.
fn lessons(collection: &Collection, count: usize, seed: u64) -> (Collection, Vec<GradedList>) {
    let corpus = &collection.corpus;
    let asked = corpus.asked_as_titles();
    let documents: Vec<usize> =
        (0..corpus.documents().len()).filter(|&document| !corpus.as_query(document, asked).is_empty()).collect();
    let order = permutation(&mut stream(seed, TITLES, 0), documents.len());
    let drawn: Vec<usize> = order.into_iter().take(count).map(|at| documents[at]).collect();
    let list = |(query, &document): (usize, &usize)| GradedList {
        query,
        documents: vec![document],
        grades: vec![1],
        negatives: Vec::new(),
    };
    let lists = drawn.iter().enumerate().map(list).collect();
    (collection.asked_by(&drawn, asked), lists)
}

#[cfg(test)]
mod tests {
    use analysis::AnalyzerName;
    use collection::Corpus;

    use super::*;

    #[test]
    fn a_title_asks_for_its_own_text() {
        let documents = [
            ("a", "", "a red bowl"),
            ("b", "Red Bowl", "of glass"),
            ("c", "untold", " "),
            ("d", "Cup", "red glass cup"),
        ];
        let corpus = Corpus::new(Vec::new(), documents).unwrap();
        let all = Collection::new(corpus, AnalyzerName::Unicode).unwrap();
        let (collection, mut lists) = lessons(&all, 9, 1);
        lists.sort_by_key(|list| list.documents[0]);
        let corpus = &collection.corpus;
        let texts: Vec<_> = lists.iter().map(|list| corpus.texts(list.query, list.documents[0])).collect();
        assert_eq!(
            texts.iter().map(|pair| (pair.query, pair.title, pair.summary)).collect::<Vec<_>>(),
            [("red bowl", "", "of glass"), ("cup", "", "red glass cup")]
        );
        collection.add_negatives(&mut lists, &(1..=5)).unwrap();
        let negatives: Vec<_> = lists[0].negatives.iter().map(|&document| corpus.doc_id(document)).collect();
        assert_eq!(negatives, ["a", "d"]);
        assert!(lists[1].negatives.is_empty());
        assert_eq!(lessons(&all, 1, 1).1.len(), 1);
    }

    #[test]
    fn without_titles_a_first_sentence_asks_for_the_rest() {
        let documents =
            [("a", "", "Is a red bowl made of glass? It is of clay."), ("b", "", "Tin."), ("c", " ", "A cup.")];
        let corpus = Corpus::new(Vec::new(), documents).unwrap();
        let (collection, lists) = lessons(&Collection::new(corpus, AnalyzerName::Unicode).unwrap(), 9, 1);
        let [list] = &lists[..] else { panic!("{lists:?}") };
        let pair = collection.corpus.texts(list.query, list.documents[0]);
        assert_eq!((pair.query, pair.title, pair.summary), ("is a red bowl made of glass?", "", "It is of clay."));
    }
}
