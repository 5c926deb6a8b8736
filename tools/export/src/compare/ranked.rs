//! NDCG@10 of the order that scores give.

use std::collections::BTreeMap;

use ranking::metrics::{Conventions, Document, JudgedList, Metric};
use score_pairs::JudgedPair;

/// The mean over queries that have a relevant document; `None` where no row has a grade.
///
/// # Errors
/// A score that is no number.
pub(super) fn ndcg(pairs: &[JudgedPair], scores: &[f32]) -> anyhow::Result<Option<f64>> {
    if pairs.iter().all(|pair| pair.grade.is_none()) {
        return Ok(None);
    }
    let ids: Vec<String> = (0..pairs.len()).map(|row| format!("{row:09}")).collect();
    let mut queries: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, pair) in pairs.iter().enumerate() {
        queries.entry(&pair.query).or_default().push(row);
    }
    let list = |(query, rows): (&&str, &Vec<usize>)| {
        let document =
            |&row: &usize| Document { doc_id: &ids[row], score: scores[row].into(), grade: pairs[row].grade };
        let grades: Vec<u32> = rows.iter().filter_map(|&row| pairs[row].grade).collect();
        JudgedList::new(query, rows.iter().map(document).collect(), &grades)
    };
    let lists = queries.iter().map(list).collect::<Result<Vec<_>, _>>()?;
    let rankings: Vec<_> = lists.into_iter().map(|list| list.ranking(&Conventions::default())).collect();
    Ok(Metric::PRIMARY.measure(&rankings).value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_each_query_counts() {
        let pair = |query: &str, grade| JudgedPair {
            query: query.into(),
            title: String::new(),
            summary: String::new(),
            grade: Some(grade),
        };
        let pairs = [pair("a", 1), pair("a", 0), pair("b", 2), pair("b", 0)];
        assert_eq!(ndcg(&pairs, &[1.0, 0.0, 5.0, 4.0]).unwrap(), Some(1.0));
        let half = ndcg(&pairs, &[0.0, 1.0, 5.0, 4.0]).unwrap().unwrap();
        assert!((half - (1.0 + 1.0 / 3f64.log2()) / 2.0).abs() < 1e-9, "{half}");
        assert_eq!(ndcg(&[JudgedPair { grade: None, ..pair("a", 0) }], &[1.0]).unwrap(), None);
    }
}
