//! Phase `titles`: the ranker learns which text belongs to which title of the collection itself. A title takes the place of
//! a query; its own text is relevant, and BM25's first other texts for the title are not. No judgment is used, so the
//! result is the same for every split of the queries.

use anyhow::Context;
use nn::folder::{Settings, load_ranker, save_ranker};
use nn::model::Ranker;
use nn::text::Encoder;
use nn::tokenizer::Tokenizer;
use pipeline::config::TitlesConfig;
use pipeline::{BadInput, StageRun};
use ranking::rng::{permutation, stream};
use training::{
    Card, Collection, Corpus, Document, GradedList, Phase, Query, RankTask, Start, TRAIN, TrainingLog, precision,
    train_phase,
};

use crate::takeover::{fingerprint_fact, take_over};
use crate::{Body, note, remove_stale, start::adapted};

/// The phase: in the log, of the checkpoint, and its folder.
pub(crate) const TITLES: &str = "titles";

/// Trains `body` on titles, where the pipeline has such a phase.
pub(crate) fn learn(
    run: &mut StageRun,
    log: &mut TrainingLog,
    start: &Start,
    tokenizer: &Tokenizer,
    body: Body,
) -> anyhow::Result<Ranker> {
    let folder = run.out().join(TITLES);
    let Some(config) = run.pipeline().teacher.titles.clone() else {
        remove_stale(&folder)?;
        return Ok(body.ranker);
    };
    let fingerprint = fingerprint(run, &config, &body)?;
    if !take_over(run, log, TITLES, &fingerprint)? {
        train(run, log, start, tokenizer, (&body.ranker, &config))?;
    }
    run.fact(&fingerprint_fact(TITLES), fingerprint);
    Ok(load_ranker(&folder).context("the ranker of phase titles")?.ranker)
}

/// Digest of all that decides the phase.
fn fingerprint(run: &StageRun, config: &TitlesConfig, body: &Body) -> anyhow::Result<String> {
    let (ingest, cpt) = (run.input("ingest")?, run.input("cpt")?);
    let inputs = (ingest.manifest().table_digest("documents"), cpt.manifest().folder_digest("teacher_tokenizer"));
    let budgets = (run.pipeline().cpt.max_query_tokens, run.pipeline().cpt.max_document_tokens);
    let arithmetic = run.pipeline().run.precision;
    let decides = (env!("CARGO_PKG_VERSION"), run.seed(), arithmetic, &body.made_from, config, budgets, inputs);
    Ok(tables::sha256_bytes(&serde_json::to_vec(&decides)?))
}

fn train(
    run: &mut StageRun,
    log: &mut TrainingLog,
    start: &Start,
    tokenizer: &Tokenizer,
    (ranker, config): (&Ranker, &TitlesConfig),
) -> anyhow::Result<()> {
    let ingest = run.input("ingest")?;
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
    let order = permutation(&mut stream(run.seed(), TITLES, 0), lists.len());
    let mut lists: Vec<GradedList> =
        order.into_iter().take(needed).map(|list| std::mem::take(&mut lists[list])).collect();
    collection.add_negatives(&mut lists, config.negatives_depth)?;
    let encoder = Encoder::new(tokenizer, &start.scoring)?;
    let ranker = &adapted(run.pipeline(), ranker)?;
    let mut task = RankTask {
        ranker,
        encoder: &encoder,
        corpus: &collection.corpus,
        train: &lists,
        validation: &[],
        config,
        phase: TITLES,
        seed: run.seed(),
        precision: precision(run.pipeline()),
    };
    let phase = Phase { name: TITLES, config: &config.training(), validation: "" };
    let summary = train_phase(run, log, &phase, &mut task)?;
    note(run, TITLES, &summary);
    run.fact("titles_lists", lists.len());
    let settings = Settings { scoring: start.scoring.clone(), standardisation: None };
    let card = Card {
        title: "Teacher after titles",
        about: "Scores a title and a text of the collection with one raw logit.",
        pipeline_tag: "text-ranking",
        library: "transformers",
        base: run.pipeline().teacher.base.as_ref(),
        validation: phase.validation,
        summary: &summary,
    };
    Ok(save_ranker(&run.out().join(TITLES), &ranker.merged()?, tokenizer, &settings, &card.of_phase(run.seed()))?)
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
