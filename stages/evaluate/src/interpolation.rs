//! A model and BM25 together: `w * model + (1 - w) * bm25`, scores standardised query by query.

use std::ops::Range;

use pipeline::BadInput;
use pipeline::config::Validation;
use ranking::interpolation::{best_weights, standardised};

use crate::input::{SystemRun, TestQuery};
use crate::measure::rankings;
use crate::systems::{BM25, is_model};

/// Every model among `runs` interpolated with BM25, as systems `<model>+bm25`. `tested` queries are followed by those of the
/// validation split, which decide on a model's weight by the metric of `by`.
///
/// # Errors
/// Scores that are NaN or do not match the candidates of the validation queries.
pub(crate) fn with_bm25(
    runs: &[SystemRun],
    queries: &[TestQuery],
    tested: usize,
    by: &Validation,
) -> anyhow::Result<Vec<SystemRun>> {
    let Some(bm25) = runs.iter().find(|run| run.system == BM25) else { return Ok(Vec::new()) };
    let models = runs.iter().filter(|run| is_model(&run.system));
    let interpolated = models.map(|model| {
        let weight = fitted(model, bm25, queries, tested..queries.len(), by)?;
        Ok(mixed(model, bm25, weight))
    });
    interpolated.collect()
}

/// Every model among `runs` of a cross-validation interpolated with BM25. `folds` are the ends of the folds in `queries`; a
/// fold's weight is the best on all others, so no query's own ranking decides on the weight it gets.
///
/// # Errors
/// As [`with_bm25`].
pub(crate) fn across_folds(
    runs: &[SystemRun],
    queries: &[TestQuery],
    folds: &[usize],
    by: &Validation,
) -> anyhow::Result<Vec<SystemRun>> {
    let Some(bm25) = runs.iter().find(|run| run.system == BM25) else { return Ok(Vec::new()) };
    let models = runs.iter().filter(|run| is_model(&run.system));
    let interpolated = models.map(|model| {
        let (mut scores, mut weights) = (Vec::with_capacity(queries.len()), Vec::with_capacity(folds.len()));
        for &end in folds {
            let fold = scores.len()..end;
            let weight = fitted_without(model, bm25, queries, &fold, by)?;
            scores.extend(mixed(model, bm25, weight).scores.drain(fold));
            weights.push(weight);
        }
        Ok(SystemRun { system: format!("{}+{}", model.system, bm25.system), scores, weights })
    });
    interpolated.collect()
}

/// The weight of the model that is best on all queries but those of a range.
fn fitted_without(
    model: &SystemRun,
    bm25: &SystemRun,
    queries: &[TestQuery],
    left_out: &Range<usize>,
    by: &Validation,
) -> anyhow::Result<f64> {
    let others = |run: &SystemRun| {
        let mut run = run.clone();
        run.scores.drain(left_out.clone());
        run
    };
    let mut queries = queries.to_vec();
    queries.drain(left_out.clone());
    fitted(&others(model), &others(bm25), &queries, 0..queries.len(), by)
}

/// The weight of the model that is best on a range of the queries; of equal ones, the largest.
fn fitted(
    model: &SystemRun,
    bm25: &SystemRun,
    queries: &[TestQuery],
    range: Range<usize>,
    by: &Validation,
) -> anyhow::Result<f64> {
    let best = best_weights(2, |weights| {
        let mut run = mixed(model, bm25, weights[0]);
        run.scores = run.scores.drain(range.clone()).collect();
        value(&queries[range.clone()], &run, by)
    });
    let Some((weights, _)) = best? else {
        Err(BadInput(
            "evaluate.interpolate: expected judged queries to choose a weight on, found none: raise \
             ingest.split.validation, or merge two runs or more"
                .into(),
        ))?
    };
    Ok(weights[0])
}

/// The metric that decides; `None` where no query counts.
fn value(queries: &[TestQuery], run: &SystemRun, by: &Validation) -> anyhow::Result<Option<f64>> {
    Ok(by.metric.measure(&rankings(queries, run, &by.conventions)?).value())
}

/// Both systems with a given weight of the first.
fn mixed(model: &SystemRun, bm25: &SystemRun, weight: f64) -> SystemRun {
    let mix = |(model, bm25): (&Vec<f64>, &Vec<f64>)| {
        let both = standardised(model).into_iter().zip(standardised(bm25));
        both.map(|(model, bm25)| weight * model + (1.0 - weight) * bm25).collect()
    };
    let scores = model.scores.iter().zip(&bm25.scores).map(mix).collect();
    SystemRun { system: format!("{}+{}", model.system, bm25.system), scores, weights: vec![weight] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{queries, system};
    use pipeline::config::EvaluateConfig;

    fn by() -> Validation {
        EvaluateConfig::default().validation()
    }

    /// The weight of a teacher with BM25 that is fitted on `queries`.
    fn weight(queries: &[TestQuery], tested: usize, teacher: f64, bm25: f64) -> f64 {
        let runs =
            [system("log_order", queries, 1.0), system(BM25, queries, bm25), system("teacher", queries, teacher)];
        let found = with_bm25(&runs, queries, tested, &by()).unwrap();
        assert_eq!(found.iter().map(|run| run.system.as_str()).collect::<Vec<_>>(), ["teacher+bm25"]);
        assert_eq!(found[0].scores.len(), queries.len());
        found[0].weights[0]
    }

    #[test]
    fn the_better_system_gets_the_weight() {
        let queries = queries(60);
        assert_eq!(weight(&queries, 0, 0.0, 2.0), 1.0);
        assert!(weight(&queries, 0, 5.0, 0.0) < 0.5);
        let alike = weight(&queries, 0, 0.4, 0.4);
        assert!((0.2..0.8).contains(&alike), "{alike}");
    }

    #[test]
    fn a_fold_does_not_decide_on_its_own_weight() {
        let queries = queries(60);
        let mut teacher = system("teacher", &queries, 0.1);
        teacher.scores[40..].iter_mut().flatten().for_each(|score| *score = -*score);
        let runs = [system(BM25, &queries, 5.0), teacher];
        let found = across_folds(&runs, &queries, &[40, 60], &by()).unwrap();
        // The first fold's weight comes from the second, where the teacher is upside down; and the other way round.
        let [first, second] = found[0].weights[..] else { panic!("{:?}", found[0].weights) };
        assert!(first < 0.3, "{first}");
        assert!(second > 0.7, "{second}");
        let with = |weight| mixed(&runs[1], &runs[0], weight).scores;
        assert_eq!(found[0].scores[..40], with(first)[..40]);
        assert_eq!(found[0].scores[40..], with(second)[40..]);
        assert_eq!(found[0].scores.len(), 60);
    }

    #[test]
    fn queries_that_are_tested_do_not_decide() {
        let queries = queries(60);
        let mut teacher = system("teacher", &queries, 0.1);
        teacher.scores[..40].iter_mut().flatten().for_each(|score| *score = -*score);
        let runs = [system(BM25, &queries, 5.0), teacher];
        let weight = |tested| with_bm25(&runs, &queries, tested, &by()).unwrap()[0].weights[0];
        assert!(weight(40) > 0.8, "{:?}", weight(40));
        assert!(weight(0) < 0.5, "{:?}", weight(0));
    }
}
