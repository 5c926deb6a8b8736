//! The document: every table with the command that made it.

use std::fmt::Write;

use anyhow::Context;
use ranking::significance::{Interval, t_interval};

use crate::claims::{Claim, LEVEL, SIZE, STUDENT, System, Tested, adjusted, claims, mean, p_value};
use crate::comparisons::{Comparison, Comparisons, Row, SHARED};
use crate::estimate::duration;
use crate::measure::{PAGE, latency, parameters};
use crate::plan::seed_dir;
use crate::results::{Results, Values};

/// What the document says of how it was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// The pipeline file of the base run.
    pub(crate) config: String,
    /// Seconds that all stages took together.
    pub(crate) seconds: f64,
    /// Runs of each seed.
    pub(crate) runs: usize,
}

/// The text of the document.
pub(crate) fn text(all: &Comparisons, results: &Results<'_>, made: &Made) -> anyhow::Result<String> {
    let mut text = introduction(&all.about, results, made);
    text += &claims_text(results)?;
    for comparison in &all.comparisons {
        text += &comparison_text(comparison, results)?;
    }
    Ok(text)
}

fn introduction(about: &str, results: &Results<'_>, made: &Made) -> String {
    let seeds: Vec<String> = results.seeds.iter().map(u64::to_string).collect();
    let Made { config, seconds, runs } = made;
    format!(
        "# Results of the ablation\n\n\
         Written by `just ablation`; no figure here is typed by hand. The pipeline is `{config}`. Each seed makes its own simulated \
         search engine, log and judgments, and trains {runs} runs on them that differ in one thing at a time. All runs of a seed \
         share the world and, unless the table is about them, the teacher, its scores and the student's pre-trained weights. {about}\n\n\
         - seeds: {}\n- finished: {}\n- processor: {}\n- time of all stages: {}\n\n\
         **How to read the tables.** A seed is one observation: values are means over seeds with 95 % intervals by the t \
         distribution. NDCG@10 and PNR (pairs in the right order over pairs in the wrong order) are those of the test queries, which no \
         training saw. A difference is to the first row of its table, seed by seed; `p` is that of the two-sided paired t \
         test. Only the four claims were declared beforehand and are corrected for their number; all other tables are \
         exploratory, and their p-values are not corrected.\n\n",
        seeds.join(", "),
        date(),
        processor(),
        duration(*seconds),
    )
}

/// The day, in UTC.
fn date() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// The processor's name and the number of threads, as the operating system has them.
fn processor() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {threads} threads", name.unwrap_or("unknown").trim())
}

fn claims_text(results: &Results<'_>) -> anyhow::Result<String> {
    let claims = claims();
    let tests = claims.iter().map(|claim| tests(claim, results)).collect::<anyhow::Result<Vec<_>>>()?;
    let p_values: Vec<Option<f64>> = tests.iter().map(|tests| tests.as_deref().map(p_value)).collect();
    let adjusted = adjusted(&p_values)?;
    let mut text = format!(
        "## The four claims\n\n    just ablation\n\nOne-sided paired t tests over seeds, corrected by Holm for the four claims, at the level {LEVEL}. \
         A claim of two inequalities has the larger of their p-values. The sizes: {}.\n\n\
         | claim | tested | mean [95 % interval] | p | p after Holm | verdict |\n| --- | --- | --- | --- | --- | --- |\n",
        sizes(results)?
    );
    let mut failed = Vec::new();
    for ((claim, tests), adjusted) in claims.iter().zip(&tests).zip(adjusted) {
        let Claim { text: claim_text, tested, .. } = claim;
        let Some(tests) = tests else {
            writeln!(text, "| {claim_text} | {tested} | | | | not tested: too few seeds |")?;
            continue;
        };
        let holds = adjusted < LEVEL;
        let intervals: Vec<String> = tests.iter().map(|test| signed(test.mean, test.interval)).collect();
        let verdict = if holds { "holds" } else { "not shown" };
        let (intervals, p) = (intervals.join("; "), p_value(tests));
        writeln!(text, "| {claim_text} | {tested} | {intervals} | {} | {} | {verdict} |", shown(p), shown(adjusted))?;
        if !holds {
            failed.push(why(claim, tests, adjusted));
        }
    }
    text.push('\n');
    for line in failed {
        writeln!(text, "{line}\n")?;
    }
    Ok(text)
}

/// Parameters of the claims' student beside the teacher's, and the share of NDCG@10 that it keeps.
fn sizes(results: &Results<'_>) -> anyhow::Result<String> {
    let Some(&seed) = results
        .seeds
        .iter()
        .find(|&&seed| seed_dir(results.root, seed).join(STUDENT.run).join("distill/student").is_dir())
    else {
        return Ok("not known yet".into());
    };
    let dir = seed_dir(results.root, seed);
    let (teacher, student) =
        (parameters(&dir.join(SHARED), "teacher")?, parameters(&dir.join(STUDENT.run), "student")?);
    let (students, teachers) = results.of(STUDENT.run, STUDENT.system)?.paired(&results.of(SHARED, "teacher")?);
    let share = student as f64 / teacher as f64;
    let verdict = if share <= SIZE { "at most a tenth" } else { "**more than a tenth**" };
    let kept = mean(&students) / mean(&teachers) * 100.0;
    Ok(format!(
        "the teacher has {teacher} parameters, the student {student}, {:.1} % of them ({verdict}), and {kept:.1} % of its NDCG@10",
        share * 100.0
    ))
}

/// Why a claim is not shown, as far as the figures tell.
fn why(claim: &Claim, tests: &[Tested], adjusted: f64) -> String {
    let weakest = tests.iter().zip(&claim.inequalities).max_by(|a, b| a.0.p_value.total_cmp(&b.0.p_value));
    let Some((test, inequality)) = weakest else { return String::new() };
    let reason = match test.mean + inequality.slack {
        wanted if wanted <= 0.0 => "the mean itself is on the wrong side",
        _ if test.p_value < LEVEL => "the test alone is significant, but not after the correction for four claims",
        _ => "the mean is on the right side, but it varies too much between seeds for so few of them",
    };
    format!("*{}* is not shown (p = {} after Holm): {reason}.", claim.text, shown(adjusted))
}

/// The tests of a claim; `None` with fewer than two seeds.
fn tests(claim: &Claim, results: &Results<'_>) -> anyhow::Result<Option<Vec<Tested>>> {
    let of = |system: System| results.of(system.run, system.system);
    let mut tests = Vec::new();
    for inequality in &claim.inequalities {
        let (better, worse) = of(inequality.better)?.paired(&of(inequality.worse)?);
        if better.len() < 2 {
            return Ok(None);
        }
        tests.push(inequality.test(&better, &worse)?);
    }
    Ok(Some(tests))
}

fn comparison_text(comparison: &Comparison, results: &Results<'_>) -> anyhow::Result<String> {
    let Comparison { name, title, about, shape, rows, .. } = comparison;
    let (shape_head, shape_line) = if *shape { (" parameters | ms a list |", " ---: | ---: |") } else { ("", "") };
    let mut text = format!(
        "## {title}\n\n    just ablation --only {name}\n\n{about}\n\n\
         | condition |{shape_head} NDCG@10 [95 % interval] | difference [95 % interval] | p | PNR |\n\
         | --- |{shape_line} --- | --- | --- | ---: |\n"
    );
    let first = results.of_row(comparison, rows.first().context("a comparison without rows")?)?;
    for (number, row) in rows.iter().enumerate() {
        let values = results.of_row(comparison, row)?;
        let difference = if number == 0 { None } else { values.difference(&first) };
        let shape = if *shape { shape_cells(comparison, row, &values, results)? } else { String::new() };
        let (difference, p) =
            difference.map_or_else(Default::default, |(mean, interval, p)| (signed(mean, interval), shown(p)));
        let (mean, pnr) = (
            value(&values.ndcg()),
            if values.ndcg().is_empty() { String::new() } else { format!("{:.2}", values.pnr()) },
        );
        writeln!(text, "| {} |{shape} {mean} | {difference} | {p} | {pnr} |", row.text)?;
    }
    let mut notes = notes(comparison, results)?;
    if *shape {
        writeln!(
            notes,
            "\nms a list: median time from the texts of {PAGE} documents to their scores, one thread, batch of {PAGE}, f32."
        )?;
    }
    Ok(format!("{text}{notes}\n"))
}

/// Parameters and latency of a row's model, measured on the first seed that has it.
fn shape_cells(comparison: &Comparison, row: &Row, values: &Values, results: &Results<'_>) -> anyhow::Result<String> {
    let Some(at) = values.0.iter().position(Option::is_some) else { return Ok(" | |".into()) };
    let (dir, system) = (seed_dir(results.root, results.seeds[at]).join(&row.run), comparison.system(row));
    Ok(format!(" {} | {:.2} |", parameters(&dir, system)?, latency(&dir, system)?))
}

/// What a reader must know of rows that do not have all seeds.
fn notes(comparison: &Comparison, results: &Results<'_>) -> anyhow::Result<String> {
    let (mut notes, mut missing) = (String::new(), Vec::new());
    for row in &comparison.rows {
        let (found, all) = (results.of_row(comparison, row)?.ndcg().len(), results.seeds.len());
        if let Some((message, seeds)) = results.failure(&row.run) {
            writeln!(notes, "\n{}: failed for seeds {seeds:?}: {message}", row.text)?;
        } else if found < all {
            missing.push(format!("{} ({found} of {all} seeds)", row.text));
        }
    }
    if !missing.is_empty() {
        writeln!(notes, "\nNot run for every seed yet: {}.", missing.join(", "))?;
    }
    Ok(notes)
}

/// A mean with its interval, where there are seeds enough for one.
fn value(values: &[f64]) -> String {
    match (values.len(), t_interval(values)) {
        (0, _) => String::new(),
        (_, Ok(Interval { low, high })) => format!("{:.4} [{low:.4}, {high:.4}]", mean(values)),
        _ => format!("{:.4}", mean(values)),
    }
}

fn signed(mean: f64, Interval { low, high }: Interval) -> String {
    // What is written as 0 has no sign.
    let signed = |value: f64| if value.abs() < 0.00005 { "0.0000".to_string() } else { format!("{value:+.4}") };
    format!("{} [{}, {}]", signed(mean), signed(low), signed(high))
}

/// A p-value with the digits that matter.
fn shown(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".into() } else { format!("{p:.4}") }
}
