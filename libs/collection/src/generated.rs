//! Queries made of documents, where a collection has few of its own.

use std::ops::RangeInclusive;

use analysis::{normalised_query, sentences};
use pipeline::config::GeneratedQueries;
use rand::seq::SliceRandom;
use ranking::rng::stream;
use tables::StageDir;

use crate::{Asked, Corpus, Query, TRAIN};

/// The table of stage `score` that holds them.
pub const GENERATED: &str = "generated_queries";

/// Words of a sentence that is a query.
pub(crate) const SENTENCE_WORDS: RangeInclusive<usize> = 5..=40;

/// A query that was made of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedQuery {
    /// Its id.
    pub query_id: String,
    /// Normalised text.
    pub text: String,
    /// Index of the document in the corpus.
    pub document: usize,
    /// What of the document it is: `title`, or what takes its place, or `sentence`.
    pub source: &'static str,
}

/// Queries made of the documents of `corpus`, in the order of their ids: titles, and sentences of the summaries, each from documents
/// drawn by `seed`. More of them contain the fewer. In a collection without titles, first sentences take their place.
#[must_use]
pub fn generate(corpus: &Corpus, config: &GeneratedQueries, seed: u64) -> Vec<GeneratedQuery> {
    let (mut made, asked) = (Vec::new(), corpus.asked_as_titles());
    let titles = drawn_documents(corpus, seed, "score/titles").into_iter().filter_map(|document| {
        let text = normalised_query(&corpus.as_query(document, asked));
        Some(made_of(corpus, document, "title", "", text)).filter(|query| !query.text.is_empty())
    });
    made.extend(titles.take(config.titles));
    let of_document = |document: usize| {
        let mut found: Vec<(usize, &str)> = sentences(corpus.summary(document), SENTENCE_WORDS).enumerate().collect();
        if asked == Asked::FirstSentence {
            let title = corpus.as_query(document, asked);
            found.retain(|(_, sentence)| sentence.to_lowercase() != title);
        }
        found.shuffle(&mut stream(seed, &format!("score/sentences/{}", corpus.doc_id(document)), 0));
        found.truncate(config.sentences_per_document);
        let query =
            move |(number, text)| made_of(corpus, document, "sentence", &format!(":{number}"), normalised_query(text));
        found.into_iter().map(query)
    };
    let documents = drawn_documents(corpus, seed, "score/sentences");
    made.extend(documents.into_iter().flat_map(of_document).take(config.sentences));
    made.sort_by(|a, b| a.query_id.cmp(&b.query_id));
    made
}

fn made_of(corpus: &Corpus, document: usize, source: &'static str, number: &str, text: String) -> GeneratedQuery {
    let query_id = format!("{source}:{}{number}", corpus.doc_id(document));
    GeneratedQuery { query_id, text, document, source }
}

/// All documents in a random order.
fn drawn_documents(corpus: &Corpus, seed: u64, purpose: &str) -> Vec<usize> {
    let mut documents: Vec<usize> = (0..corpus.documents().len()).collect();
    documents.shuffle(&mut stream(seed, purpose, 0));
    documents
}

/// The table as queries of the training split, in the order of their ids.
///
/// # Errors
/// [`tables::Error`].
pub fn read_generated(score: &StageDir) -> tables::Result<Vec<Query>> {
    let table = score.table(GENERATED)?;
    let (ids, texts) = (table.strings("query_id")?, table.strings("query")?);
    let query = |row| query_of(ids.value(row), texts.value(row));
    Ok((0..table.rows()).map(query).collect())
}

impl From<&GeneratedQuery> for Query {
    fn from(query: &GeneratedQuery) -> Query {
        query_of(&query.query_id, &query.text)
    }
}

fn query_of(query_id: &str, text: &str) -> Query {
    Query { query_id: query_id.into(), text: text.into(), searches: 0, split: TRAIN.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus {
        let summary =
            "It is made of red glass. It holds half a litre of water! Short. One more sentence of five words.";
        let documents =
            [("a", "Red Bowl", summary), ("b", "", "No title stands above this sentence."), ("c", "Cup", " ")];
        let query = Query { query_id: "q".into(), text: "bowl".into(), searches: 3, split: "test".into() };
        Corpus::new(vec![query], documents).unwrap()
    }

    fn ids(titles: usize, sentences: usize, sentences_per_document: usize) -> Vec<String> {
        let config = GeneratedQueries { titles, sentences, sentences_per_document };
        generate(&corpus(), &config, 7).into_iter().map(|query| query.query_id).collect()
    }

    #[test]
    fn titles_and_sentences_become_queries() {
        // A title without a text below it asks for nothing.
        assert_eq!(ids(9, 9, 9), ["sentence:a:0", "sentence:a:1", "sentence:a:2", "sentence:b:0", "title:a"]);
        assert_eq!(ids(9, 9, 1).len(), 3);
        assert_eq!(ids(0, 0, 1), [""; 0]);
        let (few, many) = (ids(0, 2, 9), ids(0, 3, 9));
        assert!(few.len() == 2 && few.iter().all(|id| many.contains(id)), "{few:?} {many:?}");
    }

    #[test]
    fn without_titles_first_sentences_take_their_place() {
        let summary = "It is made of red glass. It holds half a litre of water! Short.";
        let corpus = Corpus::new(Vec::new(), [("a", "", summary), ("b", "", "Short.")]).unwrap();
        let config = GeneratedQueries { titles: 9, sentences: 9, sentences_per_document: 9 };
        let made = generate(&corpus, &config, 7);
        let ids: Vec<&str> = made.iter().map(|query| query.query_id.as_str()).collect();
        assert_eq!(ids, ["sentence:a:1", "title:a"]);
        assert!(made[1].text.starts_with("it is made of red glass"), "{}", made[1].text);
    }

    #[test]
    fn a_corpus_has_them_behind_its_own_queries() {
        let corpus = corpus();
        let config = GeneratedQueries { titles: 1, sentences: 1, sentences_per_document: 1 };
        let made = generate(&corpus, &config, 1);
        let all = corpus.with_generated(made.iter().map(Query::from).collect()).unwrap();
        assert_eq!(all.query("q").unwrap(), 0);
        assert_eq!(all.generated(), 1..3);
        let title = all.query("title:a").unwrap();
        assert_eq!((all.queries[title].text.as_str(), all.queries[title].split.as_str()), ("red bowl", TRAIN));
        assert!(all.query("title:b").is_err());
        let again = all.with_generated(vec![query_of("q", "bowl")]);
        assert!(again.unwrap_err().to_string().contains("`q`"));
    }
}
