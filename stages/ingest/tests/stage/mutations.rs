//! Damaged lines by the hundred thousand: whatever they hold, every one ends as a row or with a reason.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::run::{CONFIG, World, report};

/// Lines of all formats together.
const LINES: usize = 100_000;

/// Anything that stands where a value should: numbers out of every range, nested values, halves of characters, escapes.
const ODD_VALUES: [&str; 14] = [
    "1e999",
    "-0",
    "184467440737095516161844674407370955161",
    "null",
    "NaN",
    "{\"a\": {\"b\": [1, {\"c\": []}]}}",
    "[[[[[[[[]]]]]]]]",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\\u001b[31m\\u202e\"",
    "\"\"",
    "true",
    "\"9999-99-99T99:99:99Z\"",
    "1.7976931348623157e308",
];

fn json_line(rng: &mut ChaCha8Rng, number: usize) -> Vec<u8> {
    let mut values = [
        format!("\"s{}\"", number / 3),
        "\"tea\"".into(),
        format!("\"d{}\"", number % 3),
        format!("{}", number % 3 + 1),
        "0".into(),
    ];
    if rng.random_bool(0.1) {
        let at = rng.random_range(0..values.len());
        values[at] = ODD_VALUES[rng.random_range(0..ODD_VALUES.len())].to_string();
    }
    let [search, query, document, position, clicked] = values;
    format!(r#"{{"search_id":{search},"query":{query},"doc_id":{document},"position":{position},"clicked":{clicked}}}"#)
        .into()
}

fn csv_line(rng: &mut ChaCha8Rng, number: usize) -> Vec<u8> {
    let mut fields = [
        format!("s{}", number / 3),
        "tea".into(),
        format!("d{}", number % 3),
        format!("{}", number % 3 + 1),
        "0".into(),
    ];
    if rng.random_bool(0.1) {
        let at = rng.random_range(0..fields.len());
        fields[at] = ODD_VALUES[rng.random_range(0..ODD_VALUES.len())].replace(['"', ','], "");
    }
    fields.join(",").into()
}

/// Flips bits, cuts, or repeats a part of some lines; line ends and, in CSV, quotes are left out, which join lines.
fn mutate(rng: &mut ChaCha8Rng, line: &mut Vec<u8>) {
    match rng.random_range(0..20) {
        0 => {
            let at = rng.random_range(0..line.len());
            line[at] ^= 1 << rng.random_range(0..8);
        }
        1 => line.truncate(rng.random_range(0..line.len())),
        2 => {
            let (from, to) = (rng.random_range(0..line.len()), rng.random_range(0..line.len()));
            let part = line[from.min(to)..from.max(to)].to_vec();
            line.extend(part);
        }
        _ => {}
    }
    line.retain(|byte| !matches!(byte, b'\n' | b'\r'));
}

/// Reads a log in which all may go wrong, and checks that all its rows are accounted for.
fn survives(name: &str, format: &str, header: &str, line: fn(&mut ChaCha8Rng, usize) -> Vec<u8>) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut log = header.as_bytes().to_vec();
    let clicked = if format == "jsonl" {
        r#"{"search_id":"ok","query":"tea","doc_id":"d1","position":1,"clicked":1}"#
    } else {
        "ok,tea,d1,1,1"
    };
    log.extend_from_slice(clicked.as_bytes());
    log.push(b'\n');
    for number in 0..LINES / 2 {
        let mut line = line(&mut rng, number);
        mutate(&mut rng, &mut line);
        if format == "csv" {
            line.retain(|&byte| byte != b'"');
        }
        log.extend(line);
        log.push(b'\n');
    }
    // A line of 10 MB.
    log.extend(std::iter::repeat_n(b'x', 10 << 20));
    log.push(b'\n');
    for query in ["pot", "cup", "can"] {
        let more = if format == "jsonl" {
            format!(
                "{{\"search_id\":\"{query}\",\"query\":\"{query}\",\"doc_id\":\"d2\",\"position\":1,\"clicked\":0}}\n"
            )
        } else {
            format!("{query},{query},d2,1,0\n")
        };
        log.extend_from_slice(more.as_bytes());
    }
    let world = World::new(CONFIG);
    world.file(name, log);
    let columns = "ingest.log.columns={ search_id = \"search_id\", query = \"query\", doc_id = \"doc_id\", \
                   position = \"position\", clicked = \"clicked\" }";
    let stage = world.output(&[
        &format!("ingest.log.paths=[\"{name}\"]"),
        &format!("ingest.log.format={format}"),
        columns,
        "ingest.clean={ min_grade_impressions = 1, max_reject_fraction = 1, binary = \"reject\", max_lost_fraction = 1, \
         max_lost_click_fraction = 1, max_session_fraction = 1, max_session_click_rate = 1 }",
    ]);
    // The report checks that its rows sum to those of the log.
    assert!(report(&stage, "log").iter().any(|line| line.starts_with("rejected")));
}

#[test]
fn damaged_json_lines_are_rows_or_rejects() {
    survives("log.jsonl", "jsonl", "", json_line);
}

#[test]
fn damaged_csv_lines_are_rows_or_rejects() {
    survives("log.csv", "csv", "search_id,query,doc_id,position,clicked\n", csv_line);
}
