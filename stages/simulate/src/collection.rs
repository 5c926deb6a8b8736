//! A search engine's collection: documents, queries and the grade of each document for each query.

use serde::Serialize;

/// The highest grade; grades run from 0 (irrelevant) to 4 (perfect).
pub(crate) const TOP_GRADE: u8 = 4;

/// A document as visitors see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Document {
    /// Its identity in every file.
    pub(crate) doc_id: String,
    /// Its title.
    pub(crate) title: String,
    /// Its summary, or its whole text.
    pub(crate) summary: String,
}

/// A query and its relevant documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// Its identity in the judgments.
    pub(crate) id: String,
    /// Its text.
    pub(crate) text: String,
    /// Numbers of its documents of grade 1, 2, 3 and 4, each in rising order; all others have grade 0.
    pub(crate) relevant: [Vec<usize>; TOP_GRADE as usize],
}

impl Query {
    /// The grade of `document`.
    pub(crate) fn grade(&self, document: usize) -> u8 {
        (1..=TOP_GRADE).find(|&grade| self.of_grade(grade).binary_search(&document).is_ok()).unwrap_or(0)
    }

    /// Its documents of `grade`, which is at least 1.
    pub(crate) fn of_grade(&self, grade: u8) -> &[usize] {
        &self.relevant[usize::from(grade) - 1]
    }
}

/// A judged document of one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgment {
    /// Number of the document.
    pub(crate) document: usize,
    /// Its grade.
    pub(crate) grade: u8,
}

/// The judged documents of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JudgedQuery {
    /// Number of the query.
    pub(crate) query: usize,
    /// Its judged documents.
    pub(crate) judgments: Vec<Judgment>,
}

/// Documents and queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collection {
    /// The documents; elsewhere they are referred to by their index here.
    pub(crate) documents: Vec<Document>,
    /// The queries, the most frequent first.
    pub(crate) queries: Vec<Query>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_outside_of_all_grades_has_grade_0() {
        let query = Query { id: "q".into(), text: "x".into(), relevant: [vec![1, 5], vec![], vec![2], vec![0, 9]] };
        let grades: Vec<u8> = (0..10).map(|document| query.grade(document)).collect();
        assert_eq!(grades, [4, 1, 3, 0, 0, 1, 0, 0, 0, 4]);
    }
}
