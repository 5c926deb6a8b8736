//! Phase `titles`: the ranker learns which text belongs to which title of the collection itself. A title takes the place of
//! a query; its own text is relevant, and BM25's first other texts for the title are not. No judgment is used, so the
//! result is the same for every split of the queries.

use anyhow::Context;
use collection::{Collection, Corpus, Document, GradedList, Query, TRAIN};
use models::arithmetic;
use nn::folder::{Settings, load_ranker, save_ranker};
use nn::models::Model;
use nn::text::PairTokenizer;
use pipeline::config::TitlesConfig;
use pipeline::{BadInput, StageContext};
use ranking::rng::{permutation, stream};
use training::{Card, LabelledList, ListTask, Phase, TrainingLog, Validator, train_phase};

use crate::parts::{Body, Parts, TITLES, note, remove_stale};
use crate::start::adapted;
use crate::takeover::{fingerprint, fingerprint_fact, take_over};

/// Trains `body` on titles, where the pipeline has such a phase.
pub(crate) fn learn(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    config: Option<&TitlesConfig>,
    body: Body,
) -> anyhow::Result<Model> {
    let folder = context.out().join(TITLES);
    let Some(config) = config else {
        remove_stale(&folder)?;
        return Ok(body.ranker);
    };
    let fingerprint = fingerprint(context, parts.shared, &(&body.made_from, config), &["ingest/documents"])?;
    if !take_over(context, log, TITLES, &fingerprint)? {
        train(context, log, parts, (&body.ranker, config))?;
    }
    context.fact(&fingerprint_fact(TITLES), fingerprint);
    Ok(load_ranker(&folder).context("the ranker of phase titles")?.ranker)
}

fn train(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    (ranker, config): (&Model, &TitlesConfig),
) -> anyhow::Result<()> {
    let Parts { shared, start, tokenizer } = *parts;
    let ingest = context.input("ingest")?;
    let (collection, mut lists) = lessons(Corpus::read(&ingest)?);
    if lists.is_empty() {
        Err(BadInput(format!(
            "{}: expected documents with a title and a summary for phase titles, found none; remove the table \
             teacher.titles",
            ingest.path().join("documents").display()
        )))?;
    }
    // Of a large collection, only as many titles as the steps read.
    let needed = config.steps * config.accumulation_steps * config.lists_per_step;
    let order = permutation(&mut stream(shared.seed, TITLES, 0), lists.len());
    let mut lists: Vec<GradedList> =
        order.into_iter().take(needed).map(|list| std::mem::take(&mut lists[list])).collect();
    collection.add_negatives(&mut lists, config.negatives_depth)?;
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
        stream: TITLES,
        seed: shared.seed,
        precision: arithmetic(shared.precision),
    };
    let phase = Phase { name: TITLES, config: &config.training(), validation: &validator.name() };
    let summary = train_phase(context, log, &phase, &mut task)?;
    note(context, TITLES, &summary);
    context.fact("titles_lists", lists.len());
    let settings = Settings { scoring: start.scoring.clone(), standardisation: None };
    let card = Card {
        title: "Teacher after titles",
        about: "Scores a title and a text of the collection with one raw logit.",
        pipeline_tag: "text-ranking",
        library: "transformers",
        base: shared.base.as_ref(),
        validation: phase.validation,
        seed: shared.seed,
        summary: &summary,
    };
    Ok(save_ranker(&context.out().join(TITLES), &ranker.merged()?, tokenizer, &settings, &card.of_phase())?)
}

/// A collection of the documents' texts without their titles, with the titles as queries, and a list for each title whose
/// own text alone is relevant.
fn lessons(corpus: Corpus) -> (Collection, Vec<GradedList>) {
    let (mut queries, mut documents, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    for Document { doc_id, title, summary } in corpus.documents {
        if summary.trim().is_empty() {
            continue;
        }
        if !title.trim().is_empty() {
            lists.push(GradedList {
                query: queries.len(),
                documents: vec![documents.len()],
                grades: vec![1],
                negatives: Vec::new(),
            });
            // Queries are in lower case.
            let text = title.to_lowercase();
            queries.push(Query { query_id: doc_id.clone(), text, searches: 0, split: TRAIN.into() });
        }
        documents.push(Document { doc_id, title: String::new(), summary });
    }
    (Collection::new(Corpus::new(queries, documents)), lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_asks_for_its_own_text() {
        let document = |doc_id: &str, title: &str, summary: &str| Document {
            doc_id: doc_id.into(),
            title: title.into(),
            summary: summary.into(),
        };
        let documents = vec![
            document("a", "", "a red bowl"),
            document("b", "Red Bowl", "of glass"),
            document("c", "untold", " "),
            document("d", "Cup", "red glass cup"),
        ];
        let (collection, mut lists) = lessons(Corpus::new(Vec::new(), documents));
        let corpus = &collection.corpus;
        let texts: Vec<_> = lists.iter().map(|list| corpus.texts(list.query, list.documents[0])).collect();
        assert_eq!(
            texts.iter().map(|pair| (pair.query, pair.title, pair.summary)).collect::<Vec<_>>(),
            [("red bowl", "", "of glass"), ("cup", "", "red glass cup")]
        );
        collection.add_negatives(&mut lists, 5).unwrap();
        let negatives: Vec<_> = lists[0].negatives.iter().map(|&document| &corpus.documents[document].doc_id).collect();
        assert_eq!(negatives, ["a", "d"]);
        assert!(lists[1].negatives.is_empty());
    }
}
