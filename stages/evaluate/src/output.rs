//! The stage's tables and facts.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray};
use pipeline::StageRun;

use crate::evaluation::Evaluation;
use crate::measure::{MEAN_METRICS, Measured, PNR, PRIMARY};

/// Writes `runs`, `query_metrics`, `metrics` and `comparisons`, and notes the special cases in the manifest.
///
/// # Errors
/// [`tables::Error`].
pub(crate) fn write(run: &mut StageRun, evaluation: &Evaluation) -> anyhow::Result<()> {
    runs(run, evaluation)?;
    query_metrics(run, evaluation)?;
    metrics(run, evaluation)?;
    comparisons(run, evaluation)?;
    facts(run, evaluation);
    Ok(())
}

fn runs(run: &mut StageRun, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut table = run.create_table("runs", &[])?;
    let queries = by_query_id(evaluation);
    for system in by_name(evaluation) {
        for &i in &queries {
            let ranking = &system.rankings[i];
            let query_id = evaluation.queries[i].query_id.as_str();
            table.write(vec![
                strings(ranking.iter().map(|_| system.system)),
                strings(ranking.iter().map(|_| query_id)),
                strings(ranking.iter().map(|document| document.doc_id)),
                floats(ranking.iter().map(|document| document.score)),
                Arc::new(Int32Array::from_iter_values(1..=ranking.len() as i32)),
            ])?;
        }
    }
    run.finish_table("runs", table)?;
    Ok(())
}

fn query_metrics(run: &mut StageRun, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut rows: Vec<(&str, String, &str, f64)> = Vec::new();
    for system in &evaluation.systems {
        for (i, query) in evaluation.queries.iter().enumerate() {
            let mut push = |metric: String, value: f64| {
                rows.push((system.system, metric, &query.query_id, value));
            };
            for (metric, values) in MEAN_METRICS.iter().zip(&system.values) {
                if let Some(value) = values[i].value {
                    push(metric.name(), value);
                }
            }
            let pairs = system.pairs[i];
            if let Some(ratio) = pairs.pnr() {
                push(PNR.into(), ratio);
            }
            push("concordant".into(), pairs.concordant as f64);
            push("discordant".into(), pairs.discordant as f64);
            push("tied".into(), pairs.tied as f64);
        }
    }
    rows.sort_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
    let mut table = run.create_table("query_metrics", &[])?;
    table.write(vec![
        strings(rows.iter().map(|row| row.0)),
        strings(rows.iter().map(|row| row.2)),
        strings(rows.iter().map(|row| row.1.as_str())),
        floats(rows.iter().map(|row| row.3)),
    ])?;
    run.finish_table("query_metrics", table)?;
    Ok(())
}

fn metrics(run: &mut StageRun, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut rows: Vec<_> = evaluation.estimates.iter().collect();
    rows.sort_by(|a, b| (a.slice, &a.metric, &a.system).cmp(&(b.slice, &b.metric, &b.system)));
    let mut table = run.create_table("metrics", &[])?;
    let optional = |values: Vec<Option<f64>>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
    table.write(vec![
        strings(rows.iter().map(|row| row.system.as_str())),
        strings(rows.iter().map(|row| row.metric.as_str())),
        strings(rows.iter().map(|row| row.slice)),
        optional(rows.iter().map(|row| row.value).collect()),
        optional(rows.iter().map(|row| Some(row.interval?.low)).collect()),
        optional(rows.iter().map(|row| Some(row.interval?.high)).collect()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.queries as i64))),
    ])?;
    run.finish_table("metrics", table)?;
    Ok(())
}

fn comparisons(run: &mut StageRun, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut rows: Vec<_> = evaluation.comparisons.iter().collect();
    rows.sort_by(|a, b| {
        (a.slice, &a.metric, &a.system_a, &a.system_b).cmp(&(b.slice, &b.metric, &b.system_a, &b.system_b))
    });
    let mut table = run.create_table("comparisons", &[])?;
    table.write(vec![
        strings(rows.iter().map(|row| row.system_a.as_str())),
        strings(rows.iter().map(|row| row.system_b.as_str())),
        strings(rows.iter().map(|row| row.metric.as_str())),
        strings(rows.iter().map(|row| row.slice)),
        floats(rows.iter().map(|row| row.difference)),
        floats(rows.iter().map(|row| row.interval.low)),
        floats(rows.iter().map(|row| row.interval.high)),
        floats(rows.iter().map(|row| row.p_value)),
        floats(rows.iter().map(|row| row.p_value_t)),
        floats(rows.iter().map(|row| row.p_adjusted)),
    ])?;
    run.finish_table("comparisons", table)?;
    Ok(())
}

fn facts(run: &mut StageRun, evaluation: &Evaluation) {
    let cases = evaluation.special_cases();
    run.fact("test_queries", cases.queries);
    run.fact("candidates", cases.candidates);
    run.fact("judged_documents", cases.judged);
    run.fact("queries_without_relevant", cases.no_relevant);
    run.fact("queries_of_one_grade", cases.one_grade);
    for (system, tied) in cases.tied_pairs {
        run.fact(&format!("tied_pairs_{system}"), tied);
    }
    for system in &evaluation.systems {
        if !system.weights.is_empty() {
            run.fact(&format!("weights_{}", system.system), system.weights.clone());
        }
        let primary = PRIMARY.name();
        let estimate = evaluation.estimate(system.system, &primary, "all");
        if let Some(value) = estimate.and_then(|estimate| estimate.value) {
            run.fact(&format!("{primary}_{}", system.system), value);
        }
    }
}

fn by_name<'a, 'b>(evaluation: &'b Evaluation<'a>) -> Vec<&'b Measured<'a>> {
    let mut systems: Vec<_> = evaluation.systems.iter().collect();
    systems.sort_by_key(|system| system.system);
    systems
}

fn by_query_id(evaluation: &Evaluation) -> Vec<usize> {
    let mut order: Vec<usize> = (0..evaluation.queries.len()).collect();
    order.sort_by_key(|&i| &evaluation.queries[i].query_id);
    order
}

fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn floats(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}
