//! The stage's tables and facts.

use pipeline::StageContext;
use ranking::metrics::Measurements;
use tables::Rows;

use crate::evaluation::Evaluation;
use crate::measure::Measured;
use crate::slices::ALL;

/// Writes `runs`, `query_metrics`, `metrics` and `comparisons`, and notes the special cases in the manifest.
///
/// # Errors
/// [`tables::Error`].
pub(crate) fn write(context: &mut StageContext, evaluation: &Evaluation) -> anyhow::Result<()> {
    runs(context, evaluation)?;
    query_metrics(context, evaluation)?;
    metrics(context, evaluation)?;
    comparisons(context, evaluation)?;
    facts(context, evaluation);
    Ok(())
}

fn runs(context: &mut StageContext, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut table = context.create_table("runs", &[])?;
    let queries = by_query_id(evaluation);
    for system in by_name(evaluation) {
        for &i in &queries {
            let ranking = system.rankings[i].retrieved();
            let query_id = evaluation.queries[i].query_id.as_str();
            let mut ranks = 1..;
            let rows = Rows::of(ranking)
                .strings("system", |_| system.system)
                .strings("query_id", |_| query_id)
                .strings("doc_id", |document| document.doc_id)
                .float64s("score", |document| document.score)
                .int32s("rank", |_| ranks.next());
            table.write(rows)?;
        }
    }
    context.finish_table("runs", table)?;
    Ok(())
}

fn query_metrics(context: &mut StageContext, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut rows: Vec<(&str, String, &str, f64)> = Vec::new();
    for system in &evaluation.systems {
        for (i, query) in evaluation.queries.iter().enumerate() {
            let mut push = |metric: String, value: f64| {
                rows.push((system.system, metric, &query.query_id, value));
            };
            for (metric, values) in evaluation.metrics.iter().zip(&system.metrics) {
                if let Some(value) = values.found.of_query(i) {
                    push(metric.to_string(), value);
                }
                if let Measurements::Pooled(pairs) = &values.found {
                    push("concordant".into(), pairs[i].concordant as f64);
                    push("discordant".into(), pairs[i].discordant as f64);
                    push("tied".into(), pairs[i].tied as f64);
                }
            }
        }
    }
    rows.sort_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
    let mut table = context.create_table("query_metrics", &[])?;
    let columns = Rows::of(&rows)
        .strings("system", |row| row.0)
        .strings("query_id", |row| row.2)
        .strings("metric", |row| row.1.as_str())
        .float64s("value", |row| row.3);
    table.write(columns)?;
    context.finish_table("query_metrics", table)?;
    Ok(())
}

fn metrics(context: &mut StageContext, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut rows: Vec<_> = evaluation.estimates.iter().collect();
    rows.sort_by(|a, b| (&a.slice, &a.metric, &a.system).cmp(&(&b.slice, &b.metric, &b.system)));
    let mut table = context.create_table("metrics", &[])?;
    let columns = Rows::of(&rows)
        .strings("system", |row| row.system.as_str())
        .strings("metric", |row| row.metric.as_str())
        .strings("slice", |row| row.slice.as_str())
        .float64s("value", |row| row.value)
        .float64s("ci_low", |row| Some(row.interval?.low))
        .float64s("ci_high", |row| Some(row.interval?.high))
        .int64s("queries", |row| row.queries as i64)
        .float64s("judged", |row| row.judged)
        .float64s("ties_low", |row| Some(row.ties?[0]))
        .float64s("ties_high", |row| Some(row.ties?[1]));
    table.write(columns)?;
    context.finish_table("metrics", table)?;
    Ok(())
}

fn comparisons(context: &mut StageContext, evaluation: &Evaluation) -> anyhow::Result<()> {
    let mut rows: Vec<_> = evaluation.comparisons.iter().collect();
    rows.sort_by(|a, b| {
        (&a.slice, &a.metric, &a.system_a, &a.system_b).cmp(&(&b.slice, &b.metric, &b.system_a, &b.system_b))
    });
    let mut table = context.create_table("comparisons", &[])?;
    let columns = Rows::of(&rows)
        .strings("system_a", |row| row.system_a.as_str())
        .strings("system_b", |row| row.system_b.as_str())
        .strings("metric", |row| row.metric.as_str())
        .strings("slice", |row| row.slice.as_str())
        .float64s("difference", |row| row.difference)
        .float64s("ci_low", |row| row.interval.low)
        .float64s("ci_high", |row| row.interval.high)
        .float64s("p_value", |row| row.p_value.value)
        .bools("p_at_floor", |row| row.p_value.at_floor)
        .float64s("p_value_t", |row| row.p_value_t)
        .float64s("p_adjusted", |row| Some(row.key?.p_adjusted.value))
        .strings("verdict", |row| row.key.map(|key| key.verdict.name()));
    table.write(columns)?;
    context.finish_table("comparisons", table)?;
    Ok(())
}

fn facts(context: &mut StageContext, evaluation: &Evaluation) {
    let cases = evaluation.special_cases();
    context.fact("test_queries", cases.queries);
    if !evaluation.is_of_files() {
        context.fact("candidates", cases.candidates);
    }
    for (system, tied) in cases.tied_tops {
        context.fact(&format!("tied_tops_{system}"), tied);
    }
    if !evaluation.is_by_teacher() {
        context.fact("judged_documents", cases.judged);
        if !evaluation.is_of_files() {
            context.fact("judged_documents_missing", cases.missing);
        }
        context.fact("queries_without_relevant", cases.no_relevant);
        context.fact("queries_of_one_grade", cases.one_grade);
        for (system, tied) in cases.tied_pairs {
            context.fact(&format!("tied_pairs_{system}"), tied);
        }
    }
    for system in &evaluation.systems {
        if !system.weights.is_empty() {
            context.fact(&format!("weights_{}", system.system), system.weights.clone());
        }
        let primary = evaluation.primary.to_string();
        let estimate = evaluation.estimate(system.system, &primary, ALL);
        if let Some(value) = estimate.and_then(|estimate| estimate.value) {
            context.fact(&format!("{primary}_{}", system.system), value);
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
