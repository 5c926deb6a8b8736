//! The document: every table with the command that made it.

use std::fmt::Write;

use anyhow::Context;
use ranking::significance::{Interval, t_interval};

use crate::claims::{Claim, LEVEL, System, Tested, adjusted, mean, p_value};
use crate::estimate::duration;
use crate::measure::{PAGE, latency, parameters};
use crate::plan::seed_dir;
use crate::results::Results;
use crate::study::{Comparison, Observation, Row, SHARED, Study};

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
pub(crate) fn text(study: &Study, results: &Results<'_>, made: &Made) -> anyhow::Result<String> {
    let mut text = introduction(study, results, made);
    text += &claims_text(study, results)?;
    for comparison in &study.comparisons {
        text += &comparison_text(&study.command, comparison, results)?;
    }
    Ok(text)
}

fn introduction(study: &Study, results: &Results<'_>, made: &Made) -> String {
    let seeds: Vec<String> = results.seeds.iter().map(u64::to_string).collect();
    let Made { config, seconds, runs } = made;
    let Study { command, about, .. } = study;
    let observation = match study.observation {
        Observation::Seed => "A seed is one observation: values are means over seeds",
        Observation::Query => {
            "A test query is one observation, its value the mean over seeds: values are means over queries"
        }
    };
    format!(
        "# Results of `{command}`\n\n\
         Written by the command; no figure here is typed by hand. The pipeline is `{config}`, with {runs} runs of each seed. {about}\n\n\
         - seeds: {}\n- finished: {}\n- processor: {}\n- time of all stages: {}\n\n\
         **How to read the tables.** {observation} with 95 % intervals by the t distribution. NDCG@10 and PNR (pairs in the right order \
         over pairs in the wrong order) are those of the test queries, which no training saw. A difference is to the first row of \
         its table, observation by observation; `p` is that of the two-sided paired t test. Only the claims were declared \
         beforehand and are corrected for their number; all other tables are exploratory, and their p-values are not \
         corrected.\n\n",
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

fn claims_text(study: &Study, results: &Results<'_>) -> anyhow::Result<String> {
    let Study { claims, command, .. } = study;
    let tests = claims.iter().map(|claim| tests(claim, results)).collect::<anyhow::Result<Vec<_>>>()?;
    let p_values: Vec<Option<f64>> = tests.iter().map(|tests| tests.as_deref().map(p_value)).collect();
    let adjusted = adjusted(&p_values)?;
    let mut text = format!(
        "## The claims\n\n    {command}\n\nOne-sided paired t tests, corrected by Holm for the {} claims, at the level {LEVEL}. \
         A claim of two inequalities has the larger of their p-values. The sizes: {}.\n\n\
         | claim | tested | mean [95 % interval] | p | p after Holm | verdict |\n| --- | --- | --- | --- | --- | --- |\n",
        claims.len(),
        sizes(study, results)?
    );
    let mut failed = Vec::new();
    for ((claim, tests), adjusted) in claims.iter().zip(&tests).zip(adjusted) {
        let Claim { text: claim_text, tested, .. } = claim;
        let Some(tests) = tests else {
            writeln!(text, "| {claim_text} | {tested} | | | | not tested: too few observations |")?;
            continue;
        };
        let holds = adjusted < LEVEL;
        let intervals: Vec<String> = tests.iter().map(|test| signed(test.mean, test.interval)).collect();
        let verdict = if holds { "holds" } else { "not shown" };
        let (intervals, p) = (intervals.join("; "), p_value(tests));
        writeln!(text, "| {claim_text} | {tested} | {intervals} | {} | {} | {verdict} |", shown(p), shown(adjusted))?;
        if !holds {
            failed.push(why(claim, tests, (adjusted, claims.len())));
        }
    }
    text.push('\n');
    for line in failed {
        writeln!(text, "{line}\n")?;
    }
    Ok(text)
}

/// Parameters of the claims' student beside the teacher's, and the share of NDCG@10 that it keeps.
fn sizes(study: &Study, results: &Results<'_>) -> anyhow::Result<String> {
    let Study { claimed, size, .. } = study;
    let Some(seed) = results.first_seed(&claimed.run) else { return Ok("not known yet".into()) };
    let dir = seed_dir(results.root, seed);
    let (teacher, student) =
        (parameters(&dir.join(SHARED), "teacher")?, parameters(&dir.join(&claimed.run), &claimed.system)?);
    let teachers = System { run: SHARED.into(), system: "teacher".into() };
    let (students, teachers) = results.of(claimed)?.paired(&results.of(&teachers)?);
    let share = student as f64 / teacher as f64 * 100.0;
    let bound = if share <= size * 100.0 { "at most" } else { "**more than**" };
    let kept = mean(&students) / mean(&teachers) * 100.0;
    Ok(format!(
        "the teacher has {teacher} parameters, the student {student}, {share:.1} % of them ({bound} the {:.0} % asked for), and \
         {kept:.1} % of its NDCG@10",
        size * 100.0
    ))
}

/// Why a claim is not shown, as far as the figures tell.
fn why(claim: &Claim, tests: &[Tested], (adjusted, claims): (f64, usize)) -> String {
    let weakest = tests.iter().zip(&claim.inequalities).max_by(|a, b| a.0.p_value.total_cmp(&b.0.p_value));
    let Some((test, inequality)) = weakest else { return String::new() };
    let reason = match test.mean + inequality.slack {
        wanted if wanted <= 0.0 => "the mean itself is on the wrong side".into(),
        _ if test.p_value < LEVEL => {
            format!("the test alone is significant, but not after the correction for {claims} claims")
        }
        _ => "the mean is on the right side, but it varies too much between so few observations".into(),
    };
    format!("*{}* is not shown (p = {} after Holm): {reason}.", claim.text, shown(adjusted))
}

/// The tests of a claim; `None` with fewer than two observations.
fn tests(claim: &Claim, results: &Results<'_>) -> anyhow::Result<Option<Vec<Tested>>> {
    let mut tests = Vec::new();
    for inequality in &claim.inequalities {
        let (better, worse) = results.of(&inequality.better)?.paired(&results.of(&inequality.worse)?);
        if better.len() < 2 {
            return Ok(None);
        }
        tests.push(inequality.test(&better, &worse)?);
    }
    Ok(Some(tests))
}

fn comparison_text(command: &str, comparison: &Comparison, results: &Results<'_>) -> anyhow::Result<String> {
    let Comparison { name, title, about, shape, rows, .. } = comparison;
    let (shape_head, shape_line) = if *shape { (" parameters | ms a list |", " ---: | ---: |") } else { ("", "") };
    let mut text = format!(
        "## {title}\n\n    {command} --only {name}\n\n{about}\n\n\
         | condition |{shape_head} NDCG@10 [95 % interval] | difference [95 % interval] | p | PNR |\n\
         | --- |{shape_line} --- | --- | --- | ---: |\n"
    );
    let first = results.of_row(comparison, rows.first().context("a comparison without rows")?)?;
    for (number, row) in rows.iter().enumerate() {
        let values = results.of_row(comparison, row)?;
        let difference = if number == 0 { None } else { values.difference(&first) };
        let shape = if *shape { shape_cells(comparison, row, results)? } else { String::new() };
        let (difference, p) =
            difference.map_or_else(Default::default, |(mean, interval, p)| (signed(mean, interval), shown(p)));
        let (mean, pnr) = (value(&values.ndcg()), values.pnr());
        let pnr = if pnr.is_nan() { String::new() } else { format!("{pnr:.2}") };
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
fn shape_cells(comparison: &Comparison, row: &Row, results: &Results<'_>) -> anyhow::Result<String> {
    let Some(seed) = results.first_seed(&row.run) else { return Ok(" | |".into()) };
    let (dir, system) = (seed_dir(results.root, seed).join(&row.run), comparison.system(row));
    Ok(format!(" {} | {:.2} |", parameters(&dir, system)?, latency(&dir, system)?))
}

/// What a reader must know of rows that do not have all seeds.
fn notes(comparison: &Comparison, results: &Results<'_>) -> anyhow::Result<String> {
    let (mut notes, mut missing) = (String::new(), Vec::new());
    for row in &comparison.rows {
        let (found, all) = (results.of_row(comparison, row)?.seeds, results.seeds.len());
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
