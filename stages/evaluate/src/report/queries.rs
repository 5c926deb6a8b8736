//! The test queries on which a system wins and loses most.

use std::collections::HashMap;

use pipeline::config::{BASELINE, EvaluateConfig};
use ranking::metrics::{Document, Ranking};

use super::html::{bare_table, escape, paragraph, part, prose};
use crate::evaluation::{Evaluation, Paired};
use crate::input::TestQuery;
use crate::number;
use crate::systems::{BM25, LOG_ORDER, STUDENT, TEACHER};

/// Queries at either end.
const MOST_QUERIES: usize = 20;
/// Documents shown of a ranking.
const TOP: usize = 5;
/// What the student is compared with, the first that there is.
const REFERENCES: [&str; 4] = [BASELINE, LOG_ORDER, BM25, TEACHER];

/// For each pair of [`pairs`] the queries with the largest differences, with what both systems rank first. `title` gives the title
/// of a document by its id, where there is one.
pub(super) fn html(config: &EvaluateConfig, evaluation: &Evaluation, title: &dyn Fn(&str) -> Option<String>) -> String {
    let pairs = pairs(config, evaluation);
    let shown = pairs.iter().map(|(system, reference)| of_pair(evaluation, system, reference, title));
    shown.collect()
}

/// The student and the first of [`REFERENCES`]; of runs from files each with the baseline.
fn pairs<'a>(config: &'a EvaluateConfig, evaluation: &Evaluation) -> Vec<(&'a str, &'a str)> {
    if evaluation.is_of_files() {
        return config.family.iter().map(|[system, baseline]| (system.as_str(), baseline.as_str())).collect();
    }
    let reference = REFERENCES.into_iter().find(|&name| evaluation.system(name).is_some());
    reference
        .filter(|_| evaluation.system(STUDENT).is_some())
        .map(|reference| (STUDENT, reference))
        .into_iter()
        .collect()
}

fn of_pair(evaluation: &Evaluation, system: &str, reference: &str, title: &dyn Fn(&str) -> Option<String>) -> String {
    let Some(pairs) = evaluation.paired(system, reference) else { return String::new() };
    let Extremes { best, worst } = extremes(&pairs, evaluation.queries);
    let primary = evaluation.primary;
    let list = |pairs: &[Paired]| -> String {
        pairs.iter().map(|pair| query(evaluation, pair, [system, reference], title)).collect()
    };
    let introduction = format!(
        "{system} beside {reference} by {primary}, query by query; each opens to what both rank first. The number before a query is \
         the difference."
    );
    let none = |what: &str| paragraph(&format!("{system} is {what} than {reference} on no query."));
    let or = |list: String, what: &str| if list.is_empty() { none(what) } else { list };
    paragraph(&introduction)
        + &part(&format!("Largest losses of {system}"), &or(list(&worst), "worse"))
        + &part(&format!("Largest wins of {system}"), &or(list(&best), "better"))
}

/// The queries at both ends.
#[derive(Debug, PartialEq)]
struct Extremes {
    /// Largest gain first.
    best: Vec<Paired>,
    /// Largest loss first.
    worst: Vec<Paired>,
}

/// The queries with the largest differences, equal ones by their ids; those without a difference are in neither list.
fn extremes(pairs: &[Paired], queries: &[TestQuery]) -> Extremes {
    let sorted = |sign: f64| {
        let mut found: Vec<Paired> = pairs.iter().copied().filter(|pair| sign * pair.difference() > 0.0).collect();
        let key = |pair: &Paired| (sign * pair.difference(), &queries[pair.query].query_id);
        found.sort_by(|a, b| key(b).0.total_cmp(&key(a).0).then(key(a).1.cmp(key(b).1)));
        found.truncate(MOST_QUERIES);
        found
    };
    Extremes { best: sorted(1.0), worst: sorted(-1.0) }
}

fn query(evaluation: &Evaluation, pair: &Paired, systems: [&str; 2], title: &dyn Fn(&str) -> Option<String>) -> String {
    let query = &evaluation.queries[pair.query];
    let side = |(system, value): (&str, f64)| {
        let ranking = evaluation.system(system).map(|system| &system.rankings[pair.query]);
        format!(
            "<div>\n<p class=\"side\"><strong>{}</strong> <span class=\"number\">{}</span></p>\n{}</div>\n",
            escape(system),
            number::value(Some(value)),
            ranking.map_or(String::new(), |ranking| top(query, ranking, title))
        )
    };
    let sides: String = systems.into_iter().zip([pair.a, pair.b]).map(side).collect();
    format!(
        "<details>\n<summary><span class=\"number\">{}</span> {}</summary>\n<div class=\"sides\">\n{sides}</div>\n</details>\n",
        number::signed(pair.difference()),
        escape(&query.query)
    )
}

/// The first documents of a ranking with their grades, or with the teacher's scores where nobody judged.
fn top(query: &TestQuery, ranking: &Ranking<'_>, title: &dyn Fn(&str) -> Option<String>) -> String {
    let teacher: HashMap<&str, f64> =
        query.doc_ids.iter().map(String::as_str).zip(query.teacher.iter().copied()).collect();
    let judgment = |document: &Document<'_>| match teacher.get(document.doc_id) {
        Some(&score) => number::value(Some(score)),
        None => document.grade.map_or("–".into(), |grade| grade.to_string()),
    };
    let row = |(i, document): (usize, &Document<'_>)| {
        let title = title(document.doc_id).filter(|title| !title.trim().is_empty());
        vec![(i + 1).to_string(), title.unwrap_or_else(|| document.doc_id.to_string()), judgment(document)]
    };
    let rows: Vec<Vec<String>> = ranking.retrieved().iter().take(TOP).enumerate().map(row).collect();
    if rows.is_empty() {
        return format!("<p>{}</p>\n", prose("No document."));
    }
    bare_table(&["rank", "document", if teacher.is_empty() { "grade" } else { "teacher" }], &rows, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{queries, systems};

    fn pair(query: usize, difference: f64) -> Paired {
        Paired { query, a: 0.5 + difference, b: 0.5 }
    }

    #[test]
    fn both_ends_are_sorted_and_hold_real_differences_alone() {
        let queries = queries(60);
        let pairs = [pair(3, 0.25), pair(1, 0.25), pair(0, 0.0), pair(2, -0.125), pair(5, -0.5), pair(4, 0.5)];
        let Extremes { best, worst } = extremes(&pairs, &queries);
        let ids = |pairs: &[Paired]| pairs.iter().map(|pair| pair.query).collect::<Vec<_>>();
        assert_eq!((ids(&best), ids(&worst)), (vec![4, 1, 3], vec![5, 2]));
        let many: Vec<Paired> = (0..60).map(|query| pair(query, query as f64 - 30.0)).collect();
        let Extremes { best, worst } = extremes(&many, &queries);
        assert_eq!((ids(&best)[0], best.len(), ids(&worst)[0], worst.len()), (59, MOST_QUERIES, 0, MOST_QUERIES));
    }

    #[test]
    fn the_student_is_compared_with_what_is_shown_today() {
        let queries = queries(30);
        let config = EvaluateConfig { bootstrap: 100, permutations: 200, ..EvaluateConfig::default() };
        let mut runs = systems(&queries);
        let reference = |runs: &[crate::SystemRun]| {
            let evaluation = Evaluation::new(&queries, runs, &config, 1).unwrap();
            pairs(&config, &evaluation).first().map(|&(_, reference)| reference)
        };
        assert_eq!(reference(&runs), Some(LOG_ORDER));
        runs.push(crate::fixture::system(BASELINE, &queries, 1.0));
        assert_eq!(reference(&runs), Some(BASELINE));
        assert_eq!(reference(&runs[1..5]), Some(BM25));
        assert_eq!(reference(&runs[2..5]), Some(TEACHER));
        assert_eq!(reference(&runs[..3]), None);
    }

    #[test]
    fn the_first_documents_of_both_stand_side_by_side() {
        let mut queries = queries(12);
        queries.iter_mut().for_each(|query| query.query = "<i>bowl</i>".into());
        let config = EvaluateConfig { bootstrap: 100, permutations: 200, ..EvaluateConfig::default() };
        let runs = systems(&queries);
        let evaluation = Evaluation::new(&queries, &runs, &config, 1).unwrap();
        let title = |id: &str| (id != "d03").then(|| format!("Title <{id}>"));
        let html = html(&config, &evaluation, &title);
        assert!(html.contains("&lt;i&gt;bowl&lt;/i&gt;") && !html.contains("<i>"));
        assert!(
            html.contains("Title &lt;d04&gt;") && !html.contains("Title &lt;d03&gt;") && html.contains("<td>d03</td>")
        );
        assert_eq!(html.matches("<table>").count(), 2 * html.matches("<details>").count());
        assert_eq!(html.matches("<tr>").count(), (TOP + 1) * html.matches("<table>").count());
    }
}
