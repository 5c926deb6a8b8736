//! Queries and documents of a run, by id.

use std::collections::HashMap;

use nn::text::Texts;
use pipeline::BadInput;
use tables::StageDir;

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

/// A document of the run.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its id.
    pub doc_id: String,
    /// Title.
    pub title: String,
    /// Summary.
    pub summary: String,
}

/// All queries and documents, each in the order of its id, addressed by index.
#[derive(Debug)]
pub struct Corpus {
    /// The queries.
    pub queries: Vec<Query>,
    /// The documents.
    pub documents: Vec<Document>,
    query_index: HashMap<String, usize>,
    document_index: HashMap<String, usize>,
}

impl Corpus {
    /// Reads the tables `queries` and `documents` of ingest.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn read(ingest: &StageDir) -> tables::Result<Corpus> {
        let table = ingest.table("queries")?;
        let (ids, texts) = (table.strings("query_id")?, table.strings("query")?);
        let (searches, splits) = (table.int64s("searches")?, table.strings("split")?);
        let queries: Vec<Query> = (0..table.rows())
            .map(|row| Query {
                query_id: ids.value(row).into(),
                text: texts.value(row).into(),
                searches: searches.value(row),
                split: splits.value(row).into(),
            })
            .collect();
        let table = ingest.table("documents")?;
        let (ids, titles, summaries) = (table.strings("doc_id")?, table.strings("title")?, table.strings("summary")?);
        let documents: Vec<Document> = (0..table.rows())
            .map(|row| Document {
                doc_id: ids.value(row).into(),
                title: titles.value(row).into(),
                summary: summaries.value(row).into(),
            })
            .collect();
        Ok(Corpus::new(queries, documents))
    }

    /// A corpus of queries and documents, each in the order of its id.
    #[must_use]
    pub fn new(queries: Vec<Query>, documents: Vec<Document>) -> Corpus {
        let query_index = queries.iter().enumerate().map(|(i, query)| (query.query_id.clone(), i)).collect();
        let document_index = documents.iter().enumerate().map(|(i, doc)| (doc.doc_id.clone(), i)).collect();
        Corpus { queries, documents, query_index, document_index }
    }

    /// Index of a query.
    ///
    /// # Errors
    /// [`BadInput`] where the table `queries` lacks it.
    pub fn query(&self, query_id: &str) -> Result<usize, BadInput> {
        let found = self.query_index.get(query_id).copied();
        found.ok_or_else(|| {
            BadInput(format!("query `{query_id}` is not in ingest's table `queries`; re-run ingest with --force"))
        })
    }

    /// Index of a document; `None` where the table `documents` lacks it, as judgments may name unknown ones.
    #[must_use]
    pub fn document(&self, doc_id: &str) -> Option<usize> {
        self.document_index.get(doc_id).copied()
    }

    /// The texts of a pair, as models read them.
    #[must_use]
    pub fn texts(&self, query: usize, document: usize) -> Texts<'_> {
        let Document { title, summary, .. } = &self.documents[document];
        Texts { query: &self.queries[query].text, title, summary }
    }

    /// The title of a document as a query, in lower case as queries are; empty where title or summary is blank, so that
    /// there is nothing to ask, or nothing to ask for.
    #[must_use]
    pub fn title_as_query(&self, document: usize) -> String {
        let Document { title, summary, .. } = &self.documents[document];
        if title.trim().is_empty() || summary.trim().is_empty() { String::new() } else { title.to_lowercase() }
    }

    /// The texts of a document below its own title, which [`Corpus::title_as_query`] made: the summary, or all its text
    /// below an empty one.
    #[must_use]
    pub fn texts_of_title<'a>(&'a self, title: &'a str, document: usize) -> Texts<'a> {
        let Document { title: own, summary, .. } = &self.documents[document];
        Texts { query: title, title: if title.is_empty() { own.as_str() } else { "" }, summary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_takes_the_place_of_a_query_where_it_has_a_text() {
        let document = |doc_id: &str, title: &str, summary: &str| Document {
            doc_id: doc_id.into(),
            title: title.into(),
            summary: summary.into(),
        };
        let documents =
            vec![document("a", "Red Bowl", "of glass"), document("b", "Cup", " "), document("c", "", "tin")];
        let corpus = Corpus::new(Vec::new(), documents);
        let titles = [0, 1, 2].map(|document| corpus.title_as_query(document));
        assert_eq!(titles, ["red bowl", "", ""]);
        let texts = |document: usize| corpus.texts_of_title(&titles[document], document);
        assert_eq!(texts(0), Texts { query: "red bowl", title: "", summary: "of glass" });
        assert_eq!(texts(1), Texts { query: "", title: "Cup", summary: " " });
        assert_eq!(texts(2), Texts { query: "", title: "", summary: "tin" });
    }
}
