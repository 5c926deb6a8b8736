//! What the grades are, and how far they agree with the judgments of the run.

use std::fmt::Write;
use std::path::Path;

use ranking::agreement::{Confusion, Weights};

use crate::GradedPair;
use crate::answers::answers_beside;

/// Pairs without a grade that are named one by one.
const NAMED: usize = 10;
/// Characters of an answer that are shown.
const EXCERPT: usize = 80;

/// Names the pairs whose answers have no grade; none of them gets one.
pub(crate) fn tell_ungraded(graded: &[GradedPair<'_>], out: &Path) {
    let ungraded: Vec<_> = graded.iter().filter(|pair| pair.answer.grade.is_none()).collect();
    for pair in ungraded.iter().take(NAMED) {
        let answer: String = pair.answer.answer.chars().take(EXCERPT).collect();
        tracing::warn!(
            "query {}, document {}: expected a grade from 0 to 3, found {answer:?}",
            pair.query_id,
            pair.doc_id
        );
    }
    if !ungraded.is_empty() {
        let answers = answers_beside(out);
        tracing::warn!(
            "{} of {} answers have no grade and are left out; all answers are in {}",
            ungraded.len(),
            graded.len(),
            answers.display()
        );
    }
}

/// The numbers of grades, and the agreement where people have graded too.
pub(crate) fn text(graded: &[GradedPair<'_>], judged_by_clicks: bool) -> String {
    let mut text = "grade     pairs\n".to_string();
    let count = |grade: Option<u8>| graded.iter().filter(|pair| pair.answer.grade == grade).count();
    for grade in (0..=3).rev() {
        line(&mut text, format_args!("{grade:>5} {:>9}", count(Some(grade))));
    }
    line(&mut text, format_args!(" none {:>9}", count(None)));
    if judged_by_clicks {
        text += "agreement: not measured, as the run's judgments come from clicks\n";
        return text;
    }
    let pairs = graded.iter().filter_map(|pair| Some((pair.judged?, pair.answer.grade?)));
    agreement(&mut text, &Confusion::of(pairs));
    text
}

fn agreement(text: &mut String, confusion: &Confusion<4>) {
    if confusion.total() == 0 {
        text.push_str("agreement: not measured, as no graded pair is judged\n");
        return;
    }
    *text += "\njudged (rows; 4 counts as 3) and graded (columns)\n           0       1       2       3\n";
    for (grade, row) in confusion.rows().iter().enumerate() {
        line(text, format_args!("{grade:>4}{:>8}{:>8}{:>8}{:>8}", row[0], row[1], row[2], row[3]));
    }
    let kappa = |weights| {
        let kappa = confusion.weighted_kappa(weights);
        kappa.map_or("undefined, as all grades are the same".to_string(), |kappa| format!("{kappa:.3}"))
    };
    let (quadratic, linear) = (kappa(Weights::Quadratic), kappa(Weights::Linear));
    let pairs = confusion.total();
    line(text, format_args!("weighted kappa of {pairs} pairs: quadratic {quadratic}, linear {linear}"));
}

/// Adds a line; writing to a text cannot fail.
fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::Answer;

    fn pair(judged: Option<u8>, grade: Option<u8>) -> GradedPair<'static> {
        let answer =
            Answer { query_id: "q".into(), doc_id: "d".into(), grade, answer: String::new(), asked: String::new() };
        GradedPair { query_id: "q", query: "red bowl", doc_id: "d", judged, answer }
    }

    #[test]
    fn agreement_is_told_where_there_is_something_to_compare() {
        let graded = [(Some(4), Some(3)), (Some(0), Some(0)), (Some(2), Some(1)), (None, Some(3)), (Some(1), None)];
        let graded = graded.map(|(judged, grade)| pair(judged, grade));
        let expected = "grade     pairs
    3         2
    2         0
    1         1
    0         1
 none         1

judged (rows; 4 counts as 3) and graded (columns)
           0       1       2       3
   0       1       0       0       0
   1       0       0       0       0
   2       0       1       0       0
   3       0       0       0       1
weighted kappa of 3 pairs: quadratic 0.897, linear 0.769
";
        assert_eq!(text(&graded, false), expected);
        assert!(text(&graded, true).contains("judgments come from clicks"));
        assert!(text(&graded[3..], false).contains("as no graded pair is judged"));
        assert!(text(&graded[..1], false).contains("quadratic undefined"));
    }
}
