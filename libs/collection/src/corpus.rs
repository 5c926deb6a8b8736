//! Queries and documents of a run, by id.

use std::ops::Range;
use std::sync::Arc;

use analysis::sentences;
use nn::text::Texts;
use pipeline::BadInput;
use tables::StageDir;

use crate::generated::SENTENCE_WORDS;

/// A query of the run.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its id.
    pub query_id: String,
    /// Normalised text.
    pub text: String,
    /// How often it was searched.
    pub searches: i64,
    /// train, validation or test.
    pub split: String,
}

/// All queries and documents, each in the order of its id, addressed by index. The queries are in memory, the documents'
/// texts in a mapped file.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// The queries: those of the run in the order of their ids, then generated ones in theirs.
    pub queries: Vec<Query>,
    /// Queries that are not generated.
    own_queries: usize,
    documents: Arc<search::Texts>,
    /// What documents do not show of themselves.
    asked: Option<Asked>,
}

/// The part of a document that is asked as a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Its title.
    Title,
    /// The first sentence of its summary.
    FirstSentence,
}

impl Corpus {
    /// Reads the table `queries` of ingest and opens the texts of its folder `collection`.
    ///
    /// # Errors
    /// [`tables::Error`], or texts that cannot be opened.
    pub fn read(ingest: &StageDir) -> anyhow::Result<Corpus> {
        let documents = search::open_texts(&ingest.folder(search::FOLDER)?)?;
        let queries = queries(ingest)?;
        Ok(Corpus { own_queries: queries.len(), queries, documents: Arc::new(documents), asked: None })
    }

    /// A corpus in memory: queries and documents (id, title, summary), each in the order of its id.
    ///
    /// # Errors
    /// Documents out of order.
    pub fn new<'a>(
        queries: Vec<Query>,
        documents: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> search::Result<Corpus> {
        let documents = Arc::new(search::Texts::of(documents)?);
        Ok(Corpus { own_queries: queries.len(), queries, documents, asked: None })
    }

    /// The same documents without the part that is asked; those of `documents` are the queries.
    #[must_use]
    pub fn asked_by(&self, documents: &[usize], asked: Asked) -> Corpus {
        let query = |&document: &usize| Query {
            query_id: self.doc_id(document).into(),
            text: self.as_query(document, asked),
            searches: 0,
            split: crate::TRAIN.into(),
        };
        let queries: Vec<Query> = documents.iter().map(query).collect();
        Corpus { own_queries: queries.len(), queries, documents: self.documents.clone(), asked: Some(asked) }
    }

    /// The same documents with `generated` queries, in the order of their ids, behind the corpus's own. The indices of these stay.
    ///
    /// # Errors
    /// [`BadInput`] for an id that an own query has.
    pub fn with_generated(mut self, generated: Vec<Query>) -> Result<Corpus, BadInput> {
        if let Some(query) = generated.iter().find(|query| self.query(&query.query_id).is_ok()) {
            let id = &query.query_id;
            return Err(BadInput(format!(
                "query `{id}`: expected no query of the run with the id of a generated one, found one; leave out score.generated"
            )));
        }
        self.queries.truncate(self.own_queries);
        self.queries.extend(generated);
        Ok(self)
    }

    /// The indices of the generated queries.
    #[must_use]
    pub fn generated(&self) -> Range<usize> {
        self.own_queries..self.queries.len()
    }

    /// The texts of the documents.
    #[must_use]
    pub fn documents(&self) -> &search::Texts {
        &self.documents
    }

    /// The id of a document.
    #[must_use]
    pub fn doc_id(&self, document: usize) -> &str {
        self.documents.id(document)
    }

    /// The title of a document.
    #[must_use]
    pub fn title(&self, document: usize) -> &str {
        if self.asked == Some(Asked::Title) { "" } else { self.documents.title(document) }
    }

    /// The summary of a document.
    #[must_use]
    pub fn summary(&self, document: usize) -> &str {
        let summary = self.documents.summary(document);
        match self.asked {
            Some(Asked::FirstSentence) => first_sentence(summary).map_or(summary, |(_, rest)| rest),
            Some(Asked::Title) | None => summary,
        }
    }

    /// Identity of the queries' texts in their order.
    #[must_use]
    pub fn digest_of_queries(&self) -> String {
        let texts: Vec<&str> = self.queries.iter().map(|query| query.text.as_str()).collect();
        files::sha256(texts.join("\n").as_bytes())
    }

    /// Index of a query.
    ///
    /// # Errors
    /// [`BadInput`] where the table `queries` lacks it.
    pub fn query(&self, query_id: &str) -> Result<usize, BadInput> {
        let (own, generated) = self.queries.split_at(self.own_queries);
        let find = |queries: &[Query]| queries.binary_search_by(|query| query.query_id.as_str().cmp(query_id)).ok();
        find(own).or_else(|| Some(self.own_queries + find(generated)?)).ok_or_else(|| {
            BadInput(format!("query `{query_id}` is not in ingest's table `queries`; re-run ingest with --force"))
        })
    }

    /// Index of a document; `None` where the collection lacks it, as judgments may name unknown ones.
    #[must_use]
    pub fn document(&self, doc_id: &str) -> Option<usize> {
        self.documents.find(doc_id)
    }

    /// The texts of a pair, as models read them.
    #[must_use]
    pub fn texts(&self, query: usize, document: usize) -> Texts<'_> {
        Texts { query: &self.queries[query].text, title: self.title(document), summary: self.summary(document) }
    }

    /// The part that is asked as a title: the first sentence where no document has both a title and a summary.
    #[must_use]
    pub fn asked_as_titles(&self) -> Asked {
        let has_title = |document| !self.as_query(document, Asked::Title).is_empty();
        if (0..self.documents.len()).any(has_title) { Asked::Title } else { Asked::FirstSentence }
    }

    /// A part of a document as a query, in lower case as queries are. A title is empty where it or the summary is blank, a first
    /// sentence where the summary does not begin with a sentence, or has no other text.
    #[must_use]
    pub fn as_query(&self, document: usize, asked: Asked) -> String {
        let (title, summary) = (self.documents.title(document), self.documents.summary(document));
        let text = match asked {
            Asked::Title if title.trim().is_empty() || summary.trim().is_empty() => "",
            Asked::Title => title,
            Asked::FirstSentence => first_sentence(summary).map_or("", |(sentence, _)| sentence),
        };
        text.to_lowercase()
    }

    /// The texts of a document below its own title, which [`Corpus::as_query`] made: the summary, or all its text
    /// below an empty one.
    #[must_use]
    pub fn texts_of_title<'a>(&'a self, title: &'a str, document: usize) -> Texts<'a> {
        let own = if title.is_empty() { self.documents.title(document) } else { "" };
        Texts { query: title, title: own, summary: self.documents.summary(document) }
    }
}

/// The sentence that a text begins with, and the rest of the text.
fn first_sentence(text: &str) -> Option<(&str, &str)> {
    let sentence = sentences(text, SENTENCE_WORDS).next()?;
    let rest = text.trim_start().strip_prefix(sentence)?.trim();
    (!rest.is_empty()).then_some((sentence, rest))
}

fn queries(ingest: &StageDir) -> tables::Result<Vec<Query>> {
    let table = ingest.table("queries")?;
    let (ids, texts) = (table.strings("query_id")?, table.strings("query")?);
    let (searches, splits) = (table.int64s("searches")?, table.strings("split")?);
    let query = |row| Query {
        query_id: ids.value(row).into(),
        text: texts.value(row).into(),
        searches: searches.value(row),
        split: splits.value(row).into(),
    };
    Ok((0..table.rows()).map(query).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_takes_the_place_of_a_query_where_it_has_a_text() {
        let documents = [("a", "Red Bowl", "of glass"), ("b", "Cup", " "), ("c", "", "tin")];
        let corpus = Corpus::new(Vec::new(), documents).unwrap();
        let titles = [0, 1, 2].map(|document| corpus.as_query(document, Asked::Title));
        assert_eq!(titles, ["red bowl", "", ""]);
        let texts = |document: usize| corpus.texts_of_title(&titles[document], document);
        assert_eq!(texts(0), Texts { query: "red bowl", title: "", summary: "of glass" });
        assert_eq!(texts(1), Texts { query: "", title: "Cup", summary: " " });
        assert_eq!(texts(2), Texts { query: "", title: "", summary: "tin" });
    }

    #[test]
    fn a_text_does_not_show_the_title_that_is_asked() {
        let corpus = Corpus::new(Vec::new(), [("a", "Red Bowl", "of glass"), ("b", "Cup", "of tin")]).unwrap();
        let asked = corpus.asked_by(&[1], Asked::Title);
        assert_eq!(asked.texts(0, 1), Texts { query: "cup", title: "", summary: "of tin" });
        assert_eq!(asked.texts(0, 0), Texts { query: "cup", title: "", summary: "of glass" });
        assert_eq!((asked.query("b").unwrap(), asked.document("a")), (0, Some(0)));
    }

    #[test]
    fn a_text_does_not_show_the_first_sentence_that_is_asked() {
        let summaries = [
            " Is a red bowl made of glass? No. It is of clay.",
            "No! Is a red bowl made of glass?",
            "Is it so, or is it not?",
        ];
        let documents = ["a", "b", "c"].into_iter().zip(summaries).map(|(id, summary)| (id, "", summary));
        let corpus = Corpus::new(Vec::new(), documents).unwrap();
        let sentences = [0, 1, 2].map(|document| corpus.as_query(document, Asked::FirstSentence));
        assert_eq!(sentences, ["is a red bowl made of glass?", "", ""]);
        let asked = corpus.asked_by(&[0], Asked::FirstSentence);
        assert_eq!(asked.texts(0, 0), Texts { query: &sentences[0], title: "", summary: "No. It is of clay." });
        assert_eq!([1, 2].map(|document| asked.summary(document)), summaries[1..]);
    }
}
