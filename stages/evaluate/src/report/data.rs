//! What became of the raw rows.

use tables::StageDir;

use super::html::{paragraph, table};
use crate::number;

/// A row of the table `ingest_report`.
#[derive(Debug)]
pub(crate) struct Fate {
    input: String,
    fate: String,
    reason: String,
    rows: i64,
    row_share: f64,
    clicks: i64,
    click_share: f64,
}

/// What became of the rows of every input.
///
/// # Errors
/// [`tables::Error`].
pub(crate) fn read(ingest: &StageDir) -> tables::Result<Vec<Fate>> {
    let table = ingest.table("ingest_report")?;
    let (inputs, fates, reasons) = (table.strings("input")?, table.strings("fate")?, table.strings("reason")?);
    let (rows, row_shares) = (table.int64s("rows")?, table.float64s("row_share")?);
    let (clicks, click_shares) = (table.int64s("clicks")?, table.float64s("click_share")?);
    let fate = |row| Fate {
        input: inputs.value(row).into(),
        fate: fates.value(row).into(),
        reason: reasons.value(row).into(),
        rows: rows.value(row),
        row_share: row_shares.value(row),
        clicks: clicks.value(row),
        click_share: click_shares.value(row),
    };
    Ok((0..table.rows()).map(fate).collect())
}

/// Rows and clicks by input, fate and reason, the largest first. Examples of lines stay in the table, as they may name people.
pub(super) fn html(fates: &[Fate]) -> String {
    if fates.is_empty() {
        return String::new();
    }
    let mut html = String::new();
    for of_input in fates.chunk_by(|a, b| a.input == b.input) {
        html += &paragraph(&lost(of_input));
    }
    let mut sorted: Vec<&Fate> = fates.iter().collect();
    sorted.sort_by(|a, b| a.input.cmp(&b.input).then(b.rows.cmp(&a.rows)));
    let row = |fate: &&Fate| {
        let count = |count: i64| number::count(count.unsigned_abs());
        let names = [fate.input.replace('_', " "), fate.fate.replace('_', " "), fate.reason.clone()];
        let clicks = match fate.clicks {
            0 => ["–".to_string(), "–".to_string()],
            clicks => [count(clicks), number::percent(fate.click_share)],
        };
        [names.to_vec(), vec![count(fate.rows), number::percent(fate.row_share)], clicks.to_vec()].concat()
    };
    let header = ["input", "fate", "reason", "rows", "of the input", "clicks", "of the input"];
    html + &table("What became of the rows", &header, &sorted.iter().map(row).collect::<Vec<_>>(), 3)
        + &paragraph(
            "A value row counts optional values that could not be read and were dropped, not rows. The tables ingest_report and \
             rejects have examples.",
        )
}

/// What was lost of an input, in a sentence.
fn lost(fates: &[Fate]) -> String {
    let sum = |wanted: &[&str], of: fn(&Fate) -> f64| {
        fates.iter().filter(|fate| wanted.contains(&fate.fate.as_str())).map(of).sum::<f64>()
    };
    let all = ["kept", "merged", "left_out", "rejected", "no_row"];
    let losses = ["left_out", "rejected"];
    let rows = |wanted: &[&str]| number::count(sum(wanted, |fate| fate.rows as f64) as u64);
    let input = fates.first().map_or(String::new(), |fate| fate.input.replace('_', " "));
    let mut text = format!("{input}: of {} rows {} were lost", rows(&all), rows(&losses));
    text += &format!(" ({})", number::percent(sum(&losses, |fate| fate.row_share)));
    if sum(&all, |fate| fate.clicks as f64) > 0.0 {
        text += &format!(", with {} of the clicks", number::percent(sum(&losses, |fate| fate.click_share)));
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_told_by_input() {
        let fate = |fate: &str, reason: &str, rows, clicks| Fate {
            input: "log".into(),
            fate: fate.into(),
            reason: reason.into(),
            rows,
            row_share: rows as f64 / 2000.0,
            clicks,
            click_share: clicks as f64 / 50.0,
        };
        let fates = [
            fate("kept", "", 1700, 40),
            fate("left_out", "<robot>", 200, 10),
            fate("rejected", "no_query", 50, 0),
            fate("no_row", "header", 50, 0),
            fate("value", "dwell", 9, 0),
        ];
        let html = html(&fates);
        assert!(
            html.contains("log: of 2\u{202f}000 rows 250 were lost (12.5\u{a0}%), with 20.0\u{a0}% of the clicks."),
            "{html}"
        );
        assert!(html.contains("&lt;robot&gt;") && html.contains("no_query") && html.contains("left out"), "{html}");
    }
}
