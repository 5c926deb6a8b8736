//! How near the order of a system is to the teacher's: beside the metrics, or in their place where nobody judged.

use std::collections::HashMap;

use ranking::clicks::kendall_tau;
use ranking::metrics::{QueryValue, Ranking};

use crate::input::TestQuery;

/// Ranks that [`ndcg`] looks at.
const CUTOFF: usize = 10;

/// The teacher's scores of the documents of a query.
#[derive(Debug)]
pub(crate) struct TeachersScores<'a> {
    scores: Vec<f64>,
    places: HashMap<&'a str, usize>,
}

impl<'a> TeachersScores<'a> {
    /// Those that take the place of judgments.
    pub(crate) fn of_query(query: &'a TestQuery) -> TeachersScores<'a> {
        TeachersScores::of(query.doc_ids.iter().map(String::as_str).zip(query.teacher.iter().copied()))
    }

    /// Those of the system that is the teacher.
    pub(crate) fn of_ranking(ranking: &Ranking<'a>) -> TeachersScores<'a> {
        TeachersScores::of(ranking.retrieved().iter().map(|document| (document.doc_id, document.score)))
    }

    fn of(scores: impl Iterator<Item = (&'a str, f64)>) -> TeachersScores<'a> {
        let (ids, scores): (Vec<&str>, Vec<f64>) = scores.unzip();
        TeachersScores { scores, places: ids.into_iter().enumerate().map(|(place, id)| (id, place)).collect() }
    }

    /// A value of the query; a query that the teacher orders not at all is left out.
    fn of_ordered(&self, value: f64) -> QueryValue {
        let is_ordered = self.scores.windows(2).any(|pair| pair[0] != pair[1]);
        QueryValue { value: is_ordered.then_some(value), no_relevant: false }
    }
}

/// Kendall's tau-b of the teacher's scores of a query and a system's, of the documents that both ranked. A system that gives all
/// documents one score orders nothing and has 0; a query for which the teacher does so is left out.
pub(crate) fn tau(teacher: &TeachersScores<'_>, ranking: &Ranking<'_>) -> QueryValue {
    let pair = |(doc_id, score): (&str, f64)| Some((teacher.scores[*teacher.places.get(doc_id)?], score));
    let documents = ranking.retrieved().iter().map(|document| (document.doc_id, document.score));
    let pairs: Vec<(f64, f64)> = documents.filter_map(pair).collect();
    teacher.of_ordered(kendall_tau(&pairs).unwrap_or(0.0))
}

/// NDCG@10 of the teacher's order: DCG@10 of a ranking over that of the teacher's own.
///
/// ```text
/// DCG@10 = sum over ranks r = 1..10 of gain(document at r) / log2(r + 1)
/// gain   = 1 / rank in the teacher's order; documents of equal scores share the mean of their gains
/// ```
///
/// The reciprocal of the rank is the label that `RankGPT` distils its permutations with (arXiv 2304.09542, `specialization.py`).
pub(crate) fn ndcg(teacher: &TeachersScores<'_>, ranking: &Ranking<'_>) -> QueryValue {
    let gains = gains(&teacher.scores);
    let gain = |doc_id: &str| teacher.places.get(doc_id).map_or(0.0, |&place| gains[place]);
    let found = dcg(ranking.retrieved().iter().map(|document| gain(document.doc_id)));
    let mut ideal = gains.clone();
    ideal.sort_unstable_by(|a, b| b.total_cmp(a));
    teacher.of_ordered(found / dcg(ideal.into_iter()))
}

fn dcg(gains: impl Iterator<Item = f64>) -> f64 {
    gains.take(CUTOFF).enumerate().map(|(index, gain)| gain / (index as f64 + 2.0).log2()).sum()
}

/// What each document gains by the teacher's scores.
fn gains(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut gains = vec![0.0; scores.len()];
    let mut rank = 0;
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let ranks = rank + 1..=rank + tied.len();
        let mean = ranks.map(|rank| 1.0 / rank as f64).sum::<f64>() / tied.len() as f64;
        tied.iter().for_each(|&document| gains[document] = mean);
        rank += tied.len();
    }
    gains
}

#[cfg(test)]
mod tests {
    use ranking::metrics::{Conventions, Document, JudgedList};

    use super::*;

    fn query(teacher: &[f64]) -> TestQuery {
        let doc_ids: Vec<String> = (0..teacher.len()).map(|number| format!("d{number:02}")).collect();
        TestQuery {
            query_id: "q".into(),
            query: "q".into(),
            attributes: Vec::new(),
            grades: vec![None; doc_ids.len()],
            doc_ids,
            all_grades: Vec::new(),
            missing: 0,
            teacher: teacher.to_vec(),
        }
    }

    fn both(query: &TestQuery, scores: &[f64]) -> (Option<f64>, Option<f64>) {
        let documents = query.doc_ids.iter().zip(scores);
        let documents = documents.map(|(doc_id, &score)| Document { doc_id, score, grade: None }).collect();
        let ranking = JudgedList::new("q", documents, &[]).unwrap().ranking(&Conventions::default());
        let teacher = TeachersScores::of_query(query);
        (tau(&teacher, &ranking).value, ndcg(&teacher, &ranking).value)
    }

    #[test]
    fn the_teachers_order_is_the_best() {
        let query = query(&[0.1, 3.0, -2.0, 1.0]);
        assert_eq!(both(&query, &[0.2, 0.9, 0.1, 0.3]), (Some(1.0), Some(1.0)));
        // d02, d00, d03, d01: gains 1/4, 1/3, 1/2, 1.
        let log = f64::log2;
        let ideal = 1.0 + 0.5 / log(3.0) + 1.0 / 3.0 / 2.0 + 0.25 / log(5.0);
        let found = 0.25 + 1.0 / 3.0 / log(3.0) + 0.5 / 2.0 + 1.0 / log(5.0);
        let (tau, ndcg) = both(&query, &[-0.1, -3.0, 2.0, -1.0]);
        assert_eq!(tau, Some(-1.0));
        assert!((ndcg.unwrap() - found / ideal).abs() < 1e-12, "{ndcg:?}");
    }

    #[test]
    fn ties_share_their_gains_and_order_nothing() {
        assert_eq!(gains(&[1.0, 5.0, 1.0]), [(0.5 + 1.0 / 3.0) / 2.0, 1.0, (0.5 + 1.0 / 3.0) / 2.0]);
        let ordered = query(&[1.0, 2.0, 2.0]);
        assert_eq!(both(&ordered, &[0.0, 0.0, 0.0]).0, Some(0.0));
        // Which of the teacher's equals comes first does not matter.
        assert_eq!(both(&ordered, &[0.0, 2.0, 1.0]).1, Some(1.0));
        assert_eq!(both(&ordered, &[0.0, 1.0, 2.0]).1, Some(1.0));
        assert_eq!(both(&query(&[1.0, 1.0]), &[0.0, 1.0]), (None, None));
    }

    #[test]
    fn only_the_first_ten_ranks_count() {
        let query = query(&(0..12).map(|number| -f64::from(number)).collect::<Vec<_>>());
        let mut scores: Vec<f64> = query.teacher.clone();
        scores.swap(10, 11);
        let (tau, ndcg) = both(&query, &scores);
        assert_eq!(ndcg, Some(1.0));
        assert!((tau.unwrap() - (1.0 - 2.0 / 66.0)).abs() < 1e-12, "{tau:?}");
    }
}
