//! The scores of teacher and student: how they lie, how they agree, and what they say about grades.

use std::collections::HashMap;

use plotly::common::{Marker, Mode};
use plotly::layout::RangeMode;
use plotly::{Bar, Scatter};
use ranking::metrics::Grade;

use super::chart::{Chart, FIRST, SECOND, axis, layout, row};
use crate::evaluation::Evaluation;
use crate::number;
use crate::systems::{STUDENT, TEACHER};

/// Bars of a histogram.
const BINS: usize = 30;
/// Most points of a cloud.
const MOST_POINTS: usize = 2000;
/// Parts of equal size that documents are divided into.
const DECILES: usize = 10;

/// A document of a test query.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scored {
    student: f64,
    teacher: Option<f64>,
    grade: Option<Grade>,
}

/// Histograms of both models' scores, the one against the other, and what the student's are worth.
pub(super) fn html(evaluation: &Evaluation) -> String {
    let documents = scored(evaluation);
    if documents.is_empty() {
        return String::new();
    }
    let students: Vec<f64> = documents.iter().map(|document| document.student).collect();
    let teachers: Vec<f64> = documents.iter().filter_map(|document| document.teacher).collect();
    let mut charts = Vec::new();
    charts.extend((!teachers.is_empty()).then(|| histogram(TEACHER, SECOND, &teachers)));
    charts.push(histogram(STUDENT, FIRST, &students));
    charts.extend(cloud(&documents));
    charts.extend(calibration(&documents));
    row(charts)
}

/// The student's documents in the order of queries and ranks.
fn scored(evaluation: &Evaluation) -> Vec<Scored> {
    let Some(student) = evaluation.system(STUDENT).filter(|_| !evaluation.is_of_files()) else { return Vec::new() };
    let teacher = evaluation.system(TEACHER);
    let mut documents = Vec::new();
    for (i, (query, ranking)) in evaluation.queries.iter().zip(&student.rankings).enumerate() {
        let own = query.doc_ids.iter().map(String::as_str).zip(query.teacher.iter().copied());
        let mut scores: HashMap<&str, f64> = own.collect();
        let retrieved = teacher.map_or(&[][..], |teacher| teacher.rankings[i].retrieved());
        scores.extend(retrieved.iter().map(|document| (document.doc_id, document.score)));
        documents.extend(ranking.retrieved().iter().map(|document| Scored {
            student: document.score,
            teacher: scores.get(document.doc_id).copied(),
            grade: document.grade,
        }));
    }
    documents
}

fn histogram(system: &str, colour: &'static str, scores: &[f64]) -> Chart {
    let bins = bins(scores);
    let (middles, counts): (Vec<f64>, Vec<usize>) =
        bins.iter().map(|&(low, high, count)| (0.5 * (low + high), count)).unzip();
    let row = |&(low, high, count): &(f64, f64, usize)| {
        vec![number::value(Some(low)), number::value(Some(high)), number::count(count as u64)]
    };
    let documents = number::count(scores.len() as u64);
    Chart {
        title: format!("Scores of the {system}"),
        caption: format!("Of {documents} documents of test queries, each for its query."),
        traces: vec![Bar::new(middles, counts).marker(Marker::new().color(colour)).show_legend(false)],
        layout: layout("score", "documents").bar_gap(0.05),
        header: vec!["from", "to", "documents"],
        rows: bins.iter().map(row).collect(),
        numbers: 0,
    }
}

/// Bins of equal width over all scores: lower end, upper end, number.
fn bins(scores: &[f64]) -> Vec<(f64, f64, usize)> {
    let (low, high) =
        scores.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &score| (low.min(score), high.max(score)));
    let (low, width) = if high > low { (low, (high - low) / BINS as f64) } else { (low - 0.5, 1.0 / BINS as f64) };
    let mut counts = [0; BINS];
    for score in scores {
        // The highest score belongs to the last bin.
        counts[(((score - low) / width) as usize).min(BINS - 1)] += 1;
    }
    let ends = |i: usize| (low + width * i as f64, low + width * (i + 1) as f64);
    counts.into_iter().enumerate().map(|(i, count)| (ends(i).0, ends(i).1, count)).collect()
}

/// Both scores of each document, and their means by decile of the teacher's.
fn cloud(documents: &[Scored]) -> Option<Chart> {
    let pairs: Vec<(f64, f64)> =
        documents.iter().filter_map(|document| Some((document.teacher?, document.student))).collect();
    let step = pairs.len().div_ceil(MOST_POINTS).max(1);
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().copied().step_by(step).unzip();
    let sample = if step > 1 { format!(" One of {step} is drawn.") } else { String::new() };
    let correlation = correlation(&pairs).map_or(String::new(), |r| format!("Correlation {}.", number::value(Some(r))));
    let rows = parts(&pairs, |pair| pair.0).into_iter().enumerate().map(|(i, part)| {
        let (teacher, student) = (mean(part.iter().map(|pair| pair.0)), mean(part.iter().map(|pair| pair.1)));
        vec![(i + 1).to_string(), number::count(part.len() as u64), number::value(teacher), number::value(student)]
    });
    (!pairs.is_empty()).then(|| Chart {
        title: "Teacher's score and student's score".into(),
        caption: format!("A point is a document for its query. {correlation}{sample}"),
        traces: vec![
            Scatter::new(x, y)
                .mode(Mode::Markers)
                .marker(Marker::new().color(FIRST).size(4).opacity(0.5))
                .show_legend(false),
        ],
        layout: layout("teacher's score", "student's score"),
        header: vec!["decile of the teacher's score", "documents", "teacher's mean", "student's mean"],
        rows: rows.collect(),
        numbers: 0,
    })
}

/// What documents of the same student's scores are worth.
#[derive(Debug, Clone, PartialEq)]
struct Decile {
    documents: usize,
    /// Mean, lowest and highest score of the student.
    student: f64,
    from: f64,
    to: f64,
    /// Means of the teacher's scores and of the grades, of the documents that have one.
    teacher: Option<f64>,
    grade: Option<f64>,
    /// Documents that have a grade.
    judged: usize,
}

fn deciles(documents: &[Scored]) -> Vec<Decile> {
    let decile = |part: Vec<Scored>| {
        let grades: Vec<f64> = part.iter().filter_map(|document| document.grade.map(f64::from)).collect();
        Some(Decile {
            documents: part.len(),
            student: mean(part.iter().map(|document| document.student))?,
            from: part.first()?.student,
            to: part.last()?.student,
            teacher: mean(part.iter().filter_map(|document| document.teacher)),
            judged: grades.len(),
            grade: mean(grades.into_iter()),
        })
    };
    parts(documents, |document| document.student).into_iter().filter_map(decile).collect()
}

/// The mean grade by decile of the student's score, or the teacher's mean score where nobody judged.
fn calibration(documents: &[Scored]) -> Option<Chart> {
    let deciles = deciles(documents);
    let is_judged = deciles.iter().any(|decile| decile.judged > 0);
    let what = if is_judged { "mean grade" } else { "teacher's mean score" };
    let value = |decile: &Decile| if is_judged { decile.grade } else { decile.teacher };
    let y: Vec<Option<f64>> = deciles.iter().map(value).collect();
    let row = |(i, decile): (usize, &Decile)| {
        let scores = [decile.from, decile.to, decile.student].map(|score| number::value(Some(score)));
        let counts = [decile.documents, decile.judged].map(|count| number::count(count as u64));
        let means = [decile.teacher, decile.grade].map(number::value);
        [&[(i + 1).to_string()][..], &counts[..1], &scores[..], &means[..1], &counts[1..], &means[1..]].concat()
    };
    y.iter().any(Option::is_some).then(|| Chart {
        title: format!("Calibration: {what} by decile of the student's score"),
        caption:
            "Each tenth of the documents, from the lowest scores to the highest: it should rise from left to right."
                .into(),
        traces: vec![
            Scatter::new((1..=y.len()).collect(), y)
                .mode(Mode::LinesMarkers)
                .marker(Marker::new().color(FIRST).size(8))
                .show_legend(false),
        ],
        layout: layout("decile of the student's score", "").y_axis(axis(what).range_mode(RangeMode::ToZero)),
        header: vec!["decile", "documents", "from", "to", "student's mean", "teacher's mean", "judged", "mean grade"],
        rows: deciles.iter().enumerate().map(row).collect(),
        numbers: 0,
    })
}

/// Parts of equal size, but for one, in the order of a value; none is empty.
fn parts<T: Copy>(values: &[T], key: impl Fn(&T) -> f64) -> Vec<Vec<T>> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let end = |part: usize| part * sorted.len() / DECILES;
    let parts = (0..DECILES).map(|part| sorted[end(part)..end(part + 1)].to_vec());
    parts.filter(|part| !part.is_empty()).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Pearson's correlation; `None` where one of both does not vary.
fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let (x, y) = (mean(pairs.iter().map(|pair| pair.0))?, mean(pairs.iter().map(|pair| pair.1))?);
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    let shared = sum(&|pair| (pair.0 - x) * (pair.1 - y));
    let spread = (sum(&|pair| (pair.0 - x).powi(2)) * sum(&|pair| (pair.1 - y).powi(2))).sqrt();
    (spread > 0.0).then(|| shared / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(student: f64, teacher: Option<f64>, grade: Option<Grade>) -> Scored {
        Scored { student, teacher, grade }
    }

    #[test]
    fn deciles_hold_a_tenth_each_in_the_order_of_scores() {
        let documents: Vec<Scored> = (0..50)
            .rev()
            .map(|i| document(f64::from(i), Some(10.0 * f64::from(i)), (i % 5 < 2).then_some(i as u32 / 5)))
            .collect();
        let found = deciles(&documents);
        assert_eq!(found.len(), DECILES);
        let third = &found[2];
        assert_eq!((third.documents, third.judged, third.from, third.to), (5, 2, 10.0, 14.0));
        assert_eq!((third.student, third.teacher, third.grade), (12.0, Some(120.0), Some(2.0)));
        // Fewer documents than tenths: each is one of its own.
        let few = deciles(&[document(2.0, None, None), document(1.0, None, Some(3))]);
        assert_eq!(
            few.iter().map(|decile| (decile.student, decile.grade)).collect::<Vec<_>>(),
            [(1.0, Some(3.0)), (2.0, None)]
        );
    }

    #[test]
    fn the_calibration_is_of_grades_where_there_are_any() {
        let judged = [document(1.0, Some(0.5), Some(2)), document(2.0, Some(0.75), None)];
        assert!(calibration(&judged).unwrap().title.contains("mean grade"));
        let unjudged = [document(1.0, Some(0.5), None), document(2.0, Some(0.75), None)];
        assert!(calibration(&unjudged).unwrap().title.contains("teacher's mean score"));
        assert!(calibration(&[document(1.0, None, None)]).is_none());
    }

    #[test]
    fn every_score_is_in_a_bin() {
        let scores = [-2.0, 0.0, 1.0, 4.0, 4.0];
        let found = bins(&scores);
        assert_eq!((found.len(), found[0], found[BINS - 1].2), (BINS, (-2.0, -1.8, 1), 2));
        assert_eq!(found.iter().map(|bin| bin.2).sum::<usize>(), 5);
        assert_eq!(bins(&[3.0, 3.0]).iter().map(|bin| bin.2).sum::<usize>(), 2);
    }

    #[test]
    fn the_correlation_is_pearsons() {
        assert_eq!(correlation(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), Some(1.0));
        // By hand: 1 / sqrt(2 * 2).
        assert!((correlation(&[(0.0, 1.0), (1.0, 0.0), (2.0, 2.0)]).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(correlation(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
