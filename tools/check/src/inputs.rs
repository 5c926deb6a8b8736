//! What the first records of an input are, as text.

use std::fmt::Write;

use ingest::sample::{DocumentSample, Found, Input, JudgmentSample, LogSample};
use jiff::Timestamp;
use pipeline::counted;

use crate::numbers;

/// Names of fields that a line shows.
const SHOWN: usize = 30;

/// What is understood of an input. Files that are neither there nor refused are still to be made.
pub(crate) fn text(input: &Input, is_refused: bool) -> String {
    let mut text = format!("\n{} ({})\n", input.name, input.table);
    let Some(((first, packing), others)) = input.files.split_first() else {
        if !is_refused {
            text += "  files: made by stage simulate, which has not run yet\n";
        }
        return text;
    };
    let size: u64 = input.files.iter().map(|(_, packing)| packing.bytes).sum();
    let packed = packing.compression.map_or("not compressed".to_string(), |name| format!("compressed by {name}"));
    let packed = if input.format == "parquet" { String::new() } else { format!(", {packed}") };
    let last = others.last().map(|(last, _)| format!(" to {}", last.name)).unwrap_or_default();
    let (count, size) = (input.files.len(), numbers::bytes(size as f64));
    let count = counted(count, "file");
    line(&mut text, "files", &format!("{count}, {size}, {}{packed}: {}{last}", input.format, first.name));
    let remote = input.files.iter().filter(|(file, _)| objects::is_url(&file.name));
    let copied: u64 = remote.map(|(_, packing)| packing.bytes).sum();
    if copied > 0 {
        let cache = objects::Cache::from_env();
        let copies = format!("{} of disk, in {}", numbers::bytes(copied as f64), cache.folder().display());
        line(&mut text, "copies of objects", &copies);
    }
    add_columns(&mut text, input);
    if input.records > 0 {
        let read = match (input.is_whole, input.all_records()) {
            (false, Some(all)) => {
                format!("the first {}, of about {}", counted(input.records, "record"), numbers::count(all as f64))
            }
            (false, None) => format!("the first {}", counted(input.records, "record")),
            (true, _) => format!("all {}", counted(input.records, "record")),
        };
        line(&mut text, "read", &read);
    }
    match &input.found {
        Found::Nothing => {}
        Found::Log(log) => add_log(&mut text, log),
        Found::Documents(documents) => add_documents(&mut text, documents),
        Found::Judgments(judgments) => add_judgments(&mut text, judgments),
        Found::Queries(queries) => line(&mut text, "found", &counted(queries, "query")),
    }
    for aside in &input.set_aside {
        let (fate, rows) = (aside.fate.replace('_', " "), aside.rows);
        line(&mut text, &fate, &format!("{rows} for \"{}\", such as `{}`", aside.reason, aside.example));
    }
    text
}

fn line(text: &mut String, name: &str, content: &str) {
    let _ = writeln!(text, "  {name}: {content}");
}

fn add_columns(text: &mut String, input: &Input) {
    for (kind, columns) in &input.mapped {
        let pairs: Vec<String> = columns.iter().map(|(column, field)| format!("{column} = `{field}`")).collect();
        let of_kind = if kind.is_empty() { String::new() } else { format!("{kind}: ") };
        line(text, "columns", &format!("{of_kind}{}", pairs.join(", ")));
    }
    if !input.absent.is_empty() {
        line(text, "columns not found", &names(&input.absent));
    }
    if !input.unused.is_empty() {
        line(text, "columns not used", &names(&input.unused));
    }
}

fn names(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn add_log(text: &mut String, log: &LogSample) {
    let LogSample { searches, results, clicks, queries, .. } = log;
    let share = numbers::share(*clicks, *results);
    let were = if *clicks == 1 { "was" } else { "were" };
    let shown = format!(
        "{} for {}, with {}, of which {clicks} {were} clicked ({share})",
        counted(searches, "search"),
        counted(queries, "query"),
        counted(results, "result")
    );
    line(text, "found", &shown);
    if let Some((first, last)) = log.positions {
        line(text, "positions", &format!("{first} to {last}, counted from 1"));
    }
    if let Some((first, last)) = log.times {
        let forms: Vec<String> = log.forms.iter().map(|(form, count)| format!("{count} written {form}")).collect();
        line(text, "times", &format!("{} to {}; {}", moment(first), moment(last), forms.join(", ")));
    }
}

/// A time in UTC, to the second.
fn moment(microseconds: i64) -> String {
    Timestamp::from_second(microseconds.div_euclid(1_000_000)).map_or_else(|_| "?".into(), |time| time.to_string())
}

fn add_documents(text: &mut String, sample: &DocumentSample) {
    let DocumentSample { documents, repeated, without_title, without_summary, .. } = sample;
    let mut parts = vec![counted(documents, "document")];
    if *repeated > 0 {
        parts.push(format!("{repeated} of them with an id that an earlier one has"));
    }
    parts.extend(without_title.map(|without| format!("{without} without a title")));
    parts.extend(without_summary.map(|without| format!("{without} without a summary")));
    line(text, "found", &parts.join(", "));
}

fn add_judgments(text: &mut String, sample: &JudgmentSample) {
    let grades = sample.grades.iter().enumerate().filter(|(_, count)| **count > 0);
    let grades: Vec<String> = grades.map(|(grade, count)| format!("{count} of grade {grade}")).collect();
    let found = if grades.is_empty() { "no judgments".into() } else { grades.join(", ") };
    line(text, "found", &format!("{}; {found}", counted(sample.queries, "query")));
}
