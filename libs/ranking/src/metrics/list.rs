//! The ranked documents of a query with their judgments.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use hashbrown::HashSet;

use super::conventions::{Conventions, Ties, Unjudged};

/// Relevance: 0 is not relevant, higher is more relevant.
pub type Grade = u32;

/// A scored document of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Document<'a> {
    /// Its id, which breaks ties.
    pub doc_id: &'a str,
    /// The system's score, higher is better.
    pub score: f64,
    /// Its grade; `None` if nobody judged it.
    pub grade: Option<Grade>,
}

/// Input that the metrics refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// A score is NaN and has no place in an order.
    #[error("query {query_id}, document {doc_id}: expected a score, found NaN")]
    NanScore {
        /// The query.
        query_id: String,
        /// The document.
        doc_id: String,
    },
    /// A document is listed twice, which could push NDCG over 1.
    #[error("query {query_id}, document {doc_id}: expected one row for each query and document, found a duplicate")]
    Duplicate {
        /// The query.
        query_id: String,
        /// The document.
        doc_id: String,
    },
    /// More documents of the list have a grade than were judged with it.
    #[error(
        "query {query_id}: expected the grades of all its judged documents, \
         found {judged} of grade {grade} for {listed} in the list"
    )]
    MissingJudgments {
        /// The query.
        query_id: String,
        /// The grade that falls short.
        grade: Grade,
        /// Documents of the grade in the list.
        listed: usize,
        /// Documents of the grade among all judged documents.
        judged: usize,
    },
}

/// The scored documents of one query beside the grades of all its judged documents, scored or not.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedList<'a> {
    pub(super) documents: Vec<Document<'a>>,
    /// Best first.
    ideal_grades: Vec<Grade>,
}

impl<'a> JudgedList<'a> {
    /// Takes the scored documents of `query_id` in the order of the system, and the grades of all judged documents of
    /// the query in any order; those are what the ideal ranking and recall count.
    ///
    /// # Errors
    /// [`MetricError`] on a NaN score, a document listed twice or a listed grade that `judged_grades` lacks.
    pub fn new(query_id: &str, documents: Vec<Document<'a>>, judged_grades: &[Grade]) -> Result<Self, MetricError> {
        let mut seen = HashSet::with_capacity(documents.len());
        let mut unlisted: BTreeMap<Grade, i64> = BTreeMap::new();
        judged_grades.iter().for_each(|&grade| *unlisted.entry(grade).or_default() += 1);
        for document in &documents {
            let named = || (query_id.to_owned(), document.doc_id.to_owned());
            if document.score.is_nan() {
                let (query_id, doc_id) = named();
                return Err(MetricError::NanScore { query_id, doc_id });
            }
            if !seen.insert(document.doc_id) {
                let (query_id, doc_id) = named();
                return Err(MetricError::Duplicate { query_id, doc_id });
            }
            if let Some(grade) = document.grade {
                *unlisted.entry(grade).or_default() -= 1;
            }
        }
        if let Some((&grade, _)) = unlisted.iter().find(|&(_, &unlisted)| unlisted < 0) {
            let listed = documents.iter().filter(|document| document.grade == Some(grade)).count();
            let judged = judged_grades.iter().filter(|&&judged| judged == grade).count();
            return Err(MetricError::MissingJudgments { query_id: query_id.to_owned(), grade, listed, judged });
        }
        let mut ideal_grades = judged_grades.to_vec();
        ideal_grades.sort_unstable_by_key(|&grade| Reverse(grade));
        Ok(Self { documents, ideal_grades })
    }

    /// The ranking that the scores make of the documents.
    pub fn ranking(self, conventions: &Conventions) -> Ranking<'a> {
        let by_score = |a: &Document, b: &Document| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
        let mut retrieved = self.documents;
        match conventions.ties {
            // No two documents have the same id.
            Ties::DocIdDescending => {
                retrieved.sort_unstable_by(|a, b| by_score(a, b).then_with(|| b.doc_id.cmp(a.doc_id)))
            }
            Ties::Stable => retrieved.sort_by(by_score),
        }
        Ranking { retrieved, ideal_grades: self.ideal_grades, conventions: *conventions }
    }
}

/// The order of documents with equal scores that a ranking gains or loses most by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TieOrder {
    /// The highest grade first.
    Best,
    /// The lowest grade first.
    Worst,
}

/// The documents of a query from the highest score to the lowest, under the conventions that metrics follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking<'a> {
    retrieved: Vec<Document<'a>>,
    ideal_grades: Vec<Grade>,
    conventions: Conventions,
}

impl<'a> Ranking<'a> {
    /// All documents, best first.
    pub fn retrieved(&self) -> &[Document<'a>] {
        &self.retrieved
    }

    /// The ranking with documents of equal scores in the order that is best for every metric, the highest grade first, or in the
    /// worst: between the two lies what the system could have got by other ids of the documents.
    ///
    /// Cabanac et al., "Tie-Breaking Bias: Effect of an Uncontrolled Parameter on Information Retrieval Evaluation", CLEF 2010.
    #[must_use]
    pub fn with_ties(&self, order: TieOrder) -> Self {
        let mut ranking = self.clone();
        for tied in ranking.retrieved.chunk_by_mut(|a, b| a.score == b.score) {
            match order {
                TieOrder::Best => tied.sort_by_key(|document| Reverse(document.grade)),
                TieOrder::Worst => tied.sort_by_key(|document| document.grade),
            }
        }
        ranking
    }

    /// The conventions.
    pub fn conventions(&self) -> &Conventions {
        &self.conventions
    }

    /// The documents that metrics measure, best first: all, or the judged ones, as [`Unjudged`] says.
    pub(super) fn measured(&self) -> impl Iterator<Item = &Document<'a>> {
        let all = self.conventions.unjudged == Unjudged::Irrelevant;
        self.retrieved.iter().filter(move |document| all || document.grade.is_some())
    }

    /// The grades of the measured documents, best document first; 0 without a judgment.
    pub(super) fn grades(&self) -> impl Iterator<Item = Grade> {
        self.measured().map(|document| document.grade.unwrap_or(0))
    }

    /// True for each measured document that is relevant, best document first.
    pub(super) fn relevance(&self) -> impl Iterator<Item = bool> {
        let lowest = self.conventions.relevant_grade;
        self.measured().map(move |document| document.grade.is_some_and(|grade| grade >= lowest))
    }

    /// The grades of all judged documents of the query, the highest first.
    pub(super) fn ideal_grades(&self) -> &[Grade] {
        &self.ideal_grades
    }

    /// The number of judged documents of the query that are relevant, retrieved or not.
    pub fn relevant(&self) -> usize {
        self.ideal_grades.iter().filter(|&&grade| grade >= self.conventions.relevant_grade).count()
    }
}
