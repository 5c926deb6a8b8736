//! The ranked documents of a query with their judgments.

use std::cmp::Reverse;
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
        }
        let judged = GradeCounts::of(judged_grades.iter().copied());
        let listed = GradeCounts::of(documents.iter().filter_map(|document| document.grade));
        let missing = listed.iter().find(|&(grade, listed)| listed > judged.count(grade));
        if let Some((grade, listed)) = missing {
            let (query_id, judged) = (query_id.to_owned(), judged.count(grade));
            return Err(MetricError::MissingJudgments { query_id, grade, listed, judged });
        }
        Ok(Self { documents, ideal_grades: judged.best_first() })
    }

    /// The ranking that the scores make of the documents.
    pub fn ranking(self, conventions: &Conventions) -> Ranking<'a> {
        let documents = self.documents;
        // The first half of a score and a place are one number, and numbers sort fastest.
        let sorted = |(place, document): (u32, &Document<'_>)| first_half(document.score) << 32 | u64::from(place);
        let mut order: Vec<u64> = (0..).zip(&documents).map(sorted).collect();
        order.sort_unstable();
        let mut retrieved: Vec<Document<'_>> =
            order.into_iter().map(|sorted| documents[sorted as u32 as usize]).collect();
        for near in retrieved.chunk_by_mut(|a, b| first_half(a.score) == first_half(b.score)) {
            let by_score = |a: &Document<'_>, b: &Document<'_>| descending(a.score).cmp(&descending(b.score));
            match conventions.ties {
                Ties::DocIdDescending => near.sort_by(|a, b| by_score(a, b).then_with(|| b.doc_id.cmp(a.doc_id))),
                // Equal scores stay in the order of their places.
                Ties::Stable => near.sort_by(by_score),
            }
        }
        Ranking { retrieved, ideal_grades: self.ideal_grades, conventions: *conventions }
    }
}

/// A number that is smaller for a larger score, and the same for 0 and -0.
fn descending(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { bits } else { !(bits | 1 << 63) }
}

/// The first half of [`descending`], which a few scores share that hardly differ.
fn first_half(score: f64) -> u64 {
    descending(score) >> 32
}

/// Grades below this one are counted by their place in an array.
const USUAL_GRADES: usize = 8;

/// How many documents have each grade.
#[derive(Debug, Default)]
pub(super) struct GradeCounts {
    usual: [usize; USUAL_GRADES],
    higher: BTreeMap<Grade, usize>,
}

impl GradeCounts {
    fn of(grades: impl Iterator<Item = Grade>) -> Self {
        let mut counts = Self::default();
        grades.for_each(|grade| counts.add(grade, 1));
        counts
    }

    pub(super) fn add(&mut self, grade: Grade, documents: usize) {
        match self.usual.get_mut(grade as usize) {
            Some(count) => *count += documents,
            None => *self.higher.entry(grade).or_default() += documents,
        }
    }

    fn count(&self, grade: Grade) -> usize {
        self.usual.get(grade as usize).or_else(|| self.higher.get(&grade)).copied().unwrap_or(0)
    }

    /// Each grade with its number of documents, the lowest grade first; grades without a document may be among them.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Grade, usize)> {
        let usual = (0..USUAL_GRADES as Grade).zip(self.usual);
        usual.chain(self.higher.iter().map(|(&grade, &count)| (grade, count)))
    }

    /// The grade of each document, the highest first.
    fn best_first(&self) -> Vec<Grade> {
        let mut grades = Vec::with_capacity(self.iter().map(|(_, count)| count).sum());
        self.iter().rev().for_each(|(grade, count)| grades.extend(std::iter::repeat_n(grade, count)));
        grades
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
        self.ideal_grades.partition_point(|&grade| grade >= self.conventions.relevant_grade)
    }
}
