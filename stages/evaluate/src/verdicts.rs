//! What continuous integration asks: is there a regression?

use pipeline::{BadInput, Regression};
use ranking::significance::{Interval, Verdict};
use tables::StageDir;

use crate::number;

/// Refuses a finished evaluation that found a regression beside a system.
///
/// # Errors
/// [`Regression`], naming each; [`BadInput`] where nothing was compared with the system, [`tables::Error`].
pub(crate) fn refuse_regressions(evaluation: &StageDir, beside: &str) -> anyhow::Result<()> {
    let table = evaluation.table("comparisons")?;
    let (a, b, verdicts) = (table.strings("system_a")?, table.strings("system_b")?, table.strings("verdict")?);
    let (metrics, differences) = (table.strings("metric")?, table.float64s("difference")?);
    let (lows, highs) = (table.float64s("ci_low")?, table.float64s("ci_high")?);
    let key: Vec<usize> =
        (0..table.rows()).filter(|&row| b.value(row) == beside && !verdicts.value(row).is_empty()).collect();
    if key.is_empty() {
        Err(BadInput(format!(
            "{}: expected a verdict beside {beside}, found none; add a pair with it to evaluate.family",
            evaluation.path().join("comparisons").display()
        )))?;
    }
    let found = key.iter().filter(|&&row| verdicts.value(row) == Verdict::Regression.name()).map(|&row| {
        let interval = Interval { low: lows.value(row), high: highs.value(row) };
        let (difference, interval) = (number::signed(differences.value(row)), number::signed_interval(interval));
        format!("{} - {beside}: {} {difference} {interval}", a.value(row), metrics.value(row))
    });
    let found: Vec<String> = found.collect();
    match found.is_empty() {
        true => Ok(()),
        false => Err(Regression(format!("{} by more than evaluate.margin, or not ruled out", found.join("; "))))?,
    }
}
