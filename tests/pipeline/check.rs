//! `check`: what it understands of a pipeline's inputs, what it refuses, and that it writes nothing.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use toml::Table;

use crate::process::{Outcome, command, finish};
use crate::sandbox::{CONFIG, Sandbox};

/// A log, documents and judgments in the forms that most people have, as the table `[ingest]`.
const INGEST: &str = r#"
[log]
paths = ["log*.csv"]
format = "csv"
columns = { search_id = "sid", query = "q", doc_id = "doc", position = "rank", clicked = "click", shown_at = "time" }

[documents]
paths = ["documents.jsonl"]
format = "jsonl"
columns = { doc_id = "id", title = "title", summary = ["text"] }

[judgments]
format = "csv"
paths = ["judgments.csv"]
columns = { query = "query", doc_id = "doc", grade = "grade" }
"#;

const HEADER: &str = "sid,q,doc,rank,click,time,country\n";

/// 2026-01-01T00:00:00Z in seconds.
const NEW_YEAR: u64 = 1_767_225_600;

/// Rows of `searches` searches with three results each, of which the first `clicked` are clicked.
fn rows(searches: u64, clicked: u64, ticks_per_second: u64) -> String {
    let mut text = String::new();
    for search in 0..searches {
        for position in 1..=3 {
            let (query, document, click) = (search % 10, search % 10 * 3 + position, u8::from(position <= clicked));
            let time = (NEW_YEAR + search * 60) * ticks_per_second;
            let _ = writeln!(text, "s{search},query {query},d{document},{position},{click},{time},fr");
        }
    }
    text
}

/// A sandbox with `log.csv`, documents and judgments, and the table `[ingest]` of its pipeline file.
fn world(ingest: &str, log: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let ingest: Table = toml::from_str(ingest).unwrap();
    sandbox.edit_config(|tables| {
        tables.remove("simulate");
        tables.insert("ingest".into(), ingest.into());
    });
    let mut documents = String::new();
    let mut judgments = "query,doc,grade\n".to_string();
    for document in 1..=30 {
        let text = if document == 7 { String::new() } else { format!("Text {document}") };
        let _ = writeln!(
            documents,
            "{{\"id\": \"d{document}\", \"title\": \"Title {document}\", \"text\": \"{text}\", \"price\": 1}}"
        );
        let _ = writeln!(judgments, "query {},d{document},{}", (document - 1) / 3, document % 3);
    }
    fs::write(sandbox.path("documents.jsonl"), documents).unwrap();
    fs::write(sandbox.path("judgments.csv"), judgments).unwrap();
    fs::write(sandbox.path("log.csv"), log).unwrap();
    sandbox
}

/// Runs `check` in a sandbox, which must stay as it is.
fn check(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let listed = || {
        let entries = fs::read_dir(sandbox.path("")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listed();
    let outcome = sandbox.try_stage("check", arguments);
    assert_eq!(listed(), before);
    outcome
}

/// Requires that the lines stand in the output, in this order.
#[track_caller]
fn says(outcome: &Outcome, lines: &[&str]) {
    let mut rest = outcome.stdout.lines();
    for line in lines {
        assert!(rest.any(|found| found == *line), "no {line:?} in\n{}\n{}", outcome.stdout, outcome.stderr);
    }
}

/// Requires success, and this one warning.
#[track_caller]
fn warns(outcome: &Outcome, warning: &str) {
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
    let found = outcome.stderr.lines().filter(|line| line.contains(warning)).count();
    assert_eq!(found, 1, "no {warning:?} in\n{}", outcome.stderr);
}

#[test]
fn the_default_pipeline_is_still_to_be_simulated() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("runs");
    let root = format!("run.root={:?}", root.display().to_string());
    let outcome = finish(command(Path::new(".."), "check", &["--set", &root])).succeeded();
    says(
        &outcome,
        &[
            "log (ingest.log)",
            "  files: made by stage simulate, which has not run yet",
            "documents (ingest.documents)",
            "  files: made by stage simulate, which has not run yet",
            "judgments (ingest.judgments)",
            "models",
            "  teacher: a decoder from random weights, 1.1 million weights in 4 layers of width 128",
            "  student: a BERT from random weights, 852 thousand weights in 3 layers of width 128",
            "estimate for a machine that does nothing else; it may be off by a factor of two",
            "  counted for: 400 thousand rows of the log, 3000 queries, 6000 documents, 400 judged queries",
        ],
    );
    assert!(outcome.stdout.contains(" of checkpoints while models are trained\n"), "{}", outcome.stdout);
    assert!(!folder.path().join("runs").exists());
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
}

#[test]
fn outputs_of_simulate_are_read_where_they_are() {
    let sandbox = Sandbox::finished();
    let outcome = sandbox.stage("check", &[]);
    let text = outcome.stdout;
    assert!(text.contains("  files: 2 files, ") && text.contains("jsonl, compressed by zstd: "), "{text}");
    assert!(text.contains("  read: the first 1000 records, of about "), "{text}");
    assert!(text.contains("positions: 1 to 10, counted from 1"), "{text}");
    sandbox.assert_tidy();
}

#[test]
fn the_sample_is_understood_line_by_line() {
    let outcome = finish(command(Path::new(".."), "check", &["--config", "configs/sample.toml"])).succeeded();
    says(
        &outcome,
        &[
            "log (ingest.log)",
            "  files: 1 file, 127 kB, jsonl, not compressed: ../data/sample/log.jsonl",
            "  columns: search_id = `search_id`, session_id = `session_id`, user_id = `user_id`, query = `query`, doc_id = `doc_id`, \
             position = `position`, clicked = `clicked`, dwell_seconds = `dwell_seconds`, shown_at = `shown_at`",
            "  read: all 657 records",
            "  positions: 1 to 8, counted from 1",
            "documents (ingest.documents)",
            "  read: all 122 records",
            "queries (ingest.judgments.queries)",
            "  read: all 41 records",
            "  found: 41 queries",
            "judgments (ingest.judgments)",
            "  read: all 322 records",
        ],
    );
    // The reasons are those of the README of the sample.
    let robots = "  left out: 24 for \"session of a robot\", such as `(session_id=";
    for line in [
        "  rejected: 1 for \"position is outside of the page\", such as `",
        "  rejected: 1 for \"NUL byte\", such as `",
    ] {
        assert!(outcome.stdout.contains(line), "no {line:?} in {}", outcome.stdout);
    }
    assert!(outcome.stdout.contains(&robots[..37]), "{}", outcome.stdout);
}

#[test]
fn a_log_in_csv_is_understood() {
    let sandbox = world(INGEST, &format!("{HEADER}{}", rows(20, 1, 1000)));
    let outcome = check(&sandbox, &[]).succeeded();
    says(
        &outcome,
        &[
            "tiny.toml: the keys are valid; the run will be in ./runs/tiny",
            "log (ingest.log)",
            "  columns: search_id = `sid`, query = `q`, doc_id = `doc`, position = `rank`, clicked = `click`, shown_at = `time`",
            "  columns not used: `country`",
            "  read: all 60 records",
            "  found: 20 searches for 10 queries, with 60 results, of which 20 were clicked (33.3 %)",
            "  positions: 1 to 3, counted from 1",
            "  times: 2026-01-01T00:00:00Z to 2026-01-01T00:19:00Z; 60 written as milliseconds since 1970",
            "documents (ingest.documents)",
            "  columns: doc_id = `id`, title = `title`, summary = `text`",
            "  columns not used: `price`",
            "  read: all 30 records",
            "  found: 30 documents, 0 without a title, 1 without a summary",
            "judgments (ingest.judgments)",
            "  columns: query = `query`, doc_id = `doc`, grade = `grade`",
            "  found: 10 queries; 10 of grade 0, 10 of grade 1, 10 of grade 2",
            "models",
            "estimate for a machine that does nothing else; it may be off by a factor of two",
            "  counted for: 60 rows of the log, 10 queries, 30 documents, 10 judged queries",
        ],
    );
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
    // What was understood is what `ingest` makes of it.
    sandbox.stage("ingest", &[]);
    assert_eq!(sandbox.manifest("ingest").tables["impressions"].rows, 60);
}

#[test]
fn one_of_a_kind_is_told_in_the_singular() {
    let sandbox = world(INGEST, &format!("{HEADER}s0,query 1,d1,1,1,{NEW_YEAR},fr\n"));
    fs::write(sandbox.path("judgments.csv"), "query,doc,grade\nquery 1,d1,1\n").unwrap();
    let outcome = check(&sandbox, &[]);
    says(
        &outcome,
        &[
            "  read: all 1 record",
            "  found: 1 search for 1 query, with 1 result, of which 1 was clicked (100.0 %)",
            "judgments (ingest.judgments)",
            "  read: all 1 record",
            "  found: 1 query; 1 of grade 1",
        ],
    );
}

#[test]
fn text_of_two_bytes_a_character_is_not_counted_twice() {
    let sandbox = world(INGEST, "");
    let text = format!("\u{feff}{HEADER}{}", rows(1000, 1, 1));
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(sandbox.path("log.csv"), wide).unwrap();
    let outcome = check(&sandbox, &[]).succeeded();
    // 3000 rows, estimated from the size of the text.
    assert!(outcome.stdout.contains("  read: the first 1000 records, of about 30"), "{}", outcome.stdout);
}

#[test]
fn judgments_by_ids_that_the_log_lacks_are_refused_as_ingest_refuses_them() {
    let ingest = INGEST.replace("query = \"query\", doc_id", "query_id = \"query\", doc_id");
    let sandbox = world(&ingest, &format!("{HEADER}{}", rows(20, 1, 1)));
    let refused = check(&sandbox, &[]).error(3).to_string();
    let expected = "error: judgments: expected query ids that the log has too, found `query 0` and no ingest.log.columns.query_id;";
    assert!(refused.starts_with(expected), "{refused}");
    assert_eq!(sandbox.try_stage("ingest", &[]).error(3), refused.replace("error: ", "error: stage ingest: "));
    // Without ids of its own, a query has the first digits of its text's SHA-256.
    let judgments = "query,doc,grade\n734728678c3654fa,d1,1\n";
    fs::write(sandbox.path("judgments.csv"), judgments).unwrap();
    check(&sandbox, &[]).succeeded();
}

#[test]
fn what_is_packed_is_read_all_the_same() {
    let sandbox = world(INGEST, "");
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(format!("{HEADER}{}", rows(1000, 1, 1)).as_bytes()).unwrap();
    fs::write(sandbox.path("log.csv"), packed.finish().unwrap()).unwrap();
    let outcome = check(&sandbox, &[]).succeeded();
    assert!(outcome.stdout.contains("csv, compressed by gzip: log.csv"), "{}", outcome.stdout);
    says(&outcome, &["  times: 2026-01-01T00:00:00Z to 2026-01-01T05:33:00Z; 1000 written as seconds since 1970"]);
    // 3000 rows, estimated from the size of the text.
    assert!(outcome.stdout.contains("  read: the first 1000 records, of about 30"), "{}", outcome.stdout);
}

#[test]
fn a_column_that_is_not_there_is_named_beside_those_that_are() {
    let log = format!("{}{}", HEADER.replace("rank", "place"), rows(20, 1, 1));
    let outcome = check(&world(INGEST, &log), &[]);
    says(
        &outcome,
        &[
            "  columns not found: `rank`",
            "  columns not used: `place`, `country`",
            "  rejected: 40 for \"position is missing\", such as `s0,query 0,d2,2,0,1767225600,fr`",
            "documents (ingest.documents)",
        ],
    );
    assert_eq!(
        outcome.error(3),
        "error: log.csv: expected a column `rank`, found `sid`, `q`, `doc`, `place`, `click`, `time`, `country`; no record \
         of any file has it; correct the columns in the configuration, or remove the key's line where it is optional"
    );
}

#[test]
fn a_column_that_the_header_lacks_is_refused_however_long_the_file_is() {
    let ingest = INGEST.replace("shown_at = \"time\"", "shown_at = \"when\"");
    let outcome = check(&world(&ingest, &format!("{HEADER}{}", rows(1000, 1, 1))), &[]);
    assert!(
        outcome.error(3).starts_with("error: log.csv: expected a column `when`, found `sid`"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_log_of_clicks_alone_is_refused_if_it_is_whole() {
    let all = format!("{HEADER}{}", rows(20, 3, 1));
    let outcome = check(&world(INGEST, &all), &[]);
    says(&outcome, &["  found: 20 searches for 10 queries, with 60 results, of which 60 were clicked (100.0 %)"]);
    assert!(
        outcome.error(3).starts_with("error: log: expected shown results that were not clicked, found clicks alone")
    );
    let more = format!("{HEADER}{}{}", rows(400, 3, 1), rows(1, 1, 1));
    let outcome = check(&world(INGEST, &more), &[]);
    warns(&outcome, "log: in the first records, expected shown results that were not clicked, found clicks alone");
}

#[test]
fn a_log_without_clicks_warns() {
    let outcome = check(&world(INGEST, &format!("{HEADER}{}", rows(400, 0, 1))), &[]);
    warns(&outcome, "log: in the first records, expected clicks, found none in any row");
    says(&outcome, &["  found: 334 searches for 10 queries, with 1000 results, of which 0 were clicked (0.0 %)"]);
}

#[test]
fn what_ingest_will_refuse_of_the_rest_too_is_refused() {
    let all = format!("{HEADER}{}", rows(400, 1, 1));
    let refused = |ingest: &str, log: &str| check(&world(ingest, log), &[]).error(3).to_string();
    let from_0 = INGEST.replace("[log]", "[log]\nfirst_position = 0");
    let nothing_at_top = "expected results at position 1, found none; correct ingest.log.first_position";
    assert_eq!(refused(&from_0, &format!("{HEADER}{}", rows(20, 1, 1))), format!("error: log: {nothing_at_top}"));
    warns(&check(&world(&from_0, &all), &[]), &format!("log: in the first records, {nothing_at_top}"));
    let unread = all.replace(",17672", ",x17672");
    let told = refused(INGEST, &unread);
    assert!(told.starts_with("error: log: 1000 of 1000 values of shown_at cannot be read"), "{told}");
}

#[test]
fn documents_longer_than_the_window_are_told() {
    let told = |more: &str| {
        let sandbox = world(INGEST, &format!("{HEADER}{}", rows(20, 1, 1)));
        let documents = fs::read_to_string(sandbox.path("documents.jsonl")).unwrap();
        fs::write(sandbox.path("documents.jsonl"), documents.replace("Text", &format!("Text{}", more.repeat(100))))
            .unwrap();
        let stdout = check(&sandbox, &[]).succeeded().stdout;
        stdout.lines().find(|line| line.starts_with("  documents are cut: ")).map(String::from)
    };
    assert_eq!(told(""), None);
    let line = told(" and more").unwrap();
    assert!(line.contains("distill.input reads ") && line.contains("a larger max_length, or passages"), "{line}");
}

#[test]
fn a_missing_file_is_named_and_the_others_are_read() {
    let sandbox = world(INGEST, HEADER);
    fs::remove_file(sandbox.path("log.csv")).unwrap();
    fs::remove_file(sandbox.path("judgments.csv")).unwrap();
    let outcome = check(&sandbox, &[]);
    says(
        &outcome,
        &[
            "log (ingest.log)",
            "  refused: ./log*.csv: expected at least one file, found none; correct ingest.log.paths",
            "documents (ingest.documents)",
            "  read: all 30 records",
            "judgments (ingest.judgments)",
            "  refused: ./judgments.csv: expected at least one file, found none; correct ingest.judgments.paths",
        ],
    );
    assert_eq!(outcome.error(3), "error: ./log*.csv: expected at least one file, found none; correct ingest.log.paths");
}

#[test]
fn a_malformed_file_is_refused_as_ingest_refuses_it() {
    let sandbox = world(INGEST, &format!("{HEADER}{}", rows(20, 1, 1).replace(",fr", "")));
    let outcome = check(&sandbox, &[]);
    let refused = outcome.error(3).to_string();
    assert!(
        refused.starts_with(
            "error: log.csv:2: wrong number of fields: `s0,query 0,d1,1,1,1767225600`, and no other record"
        )
    );
    assert_eq!(sandbox.try_stage("ingest", &[]).error(3), refused.replace("error: ", "error: stage ingest: "));

    let sandbox = world(INGEST, &format!("{HEADER}{}", rows(20, 1, 1)));
    fs::write(sandbox.path("judgments.csv"), "query,doc,grade\nquery 1,d1,good\n").unwrap();
    let refused = check(&sandbox, &[]).error(3).to_string();
    let expected = "error: ./judgments.csv:2: expected a grade from 0 to 4, found good; map it, such as ingest.judgments.grade_map";
    assert!(refused.starts_with(expected), "{refused}");
    assert_eq!(sandbox.try_stage("ingest", &[]).error(3), refused.replace("error: ", "error: stage ingest: "));
}

#[test]
fn a_bad_configuration_is_another_exit_code() {
    let sandbox = world(INGEST, &format!("{HEADER}{}", rows(20, 1, 1)));
    let outcome = check(&sandbox, &["--set", "distill.alpha=2"]);
    assert_eq!(outcome.error(2), "error: tiny.toml: distill.alpha: expected a number from 0 to 1, found 2");
    let outcome = check(&sandbox, &["--set", "ingest.log.time.format=\"%H\""]);
    assert!(outcome.error(2).contains("ingest.log.time.format: expected a strptime format"), "{}", outcome.stderr);
}

#[test]
fn warnings_can_be_json() {
    let outcome = check(&world(INGEST, &format!("{HEADER}{}", rows(400, 0, 1))), &["--log-format", "json"]);
    let line: serde_json::Value = serde_json::from_str(outcome.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "WARN");
}

/// A search with its page, and a click on its second result.
fn events(search: u64) -> String {
    format!(
        "{{\"type\": \"search\", \"sid\": \"s{search}\", \"q\": \"query {}\", \"at\": \"2026-01-01 10:00:00\", \"docs\": [\"d1\", \"d2\", \"d3\"]}}\n\
         {{\"type\": \"click\", \"sid\": \"s{search}\", \"doc\": \"d2\", \"at\": \"2026-01-01 10:00:30\"}}\n\
         {{\"type\": \"login\", \"sid\": \"s{search}\"}}\n",
        search % 10
    )
}

#[test]
fn events_are_joined_to_searches() {
    let kinds = r#"
        paths = ["log.csv"]
        format = "jsonl"
        kinds = [
            { when_column = "type", when_values = ["search"], columns = { search_id = "sid", query = "q", shown = "docs", shown_at = "at" } },
            { when_column = "type", when_values = ["click"], clicked = true, columns = { search_id = "sid", doc_id = "doc", shown_at = "at" } },
        ]"#;
    let (head, tail) = INGEST.split_once("[documents]").unwrap();
    assert!(head.starts_with("\n[log]"));
    let ingest = format!("[log]\n{kinds}\n[documents]{tail}");
    let log: String = (0..20).map(events).collect();
    let outcome = check(&world(&ingest, &log), &[]).succeeded();
    says(
        &outcome,
        &[
            "  columns: records whose `type` is search: search_id = `sid`, query = `q`, shown = `docs`, shown_at = `at`",
            "  columns: records whose `type` is click: search_id = `sid`, doc_id = `doc`, shown_at = `at`",
            "  read: all 60 records",
            "  found: 20 searches for 10 queries, with 60 results, of which 20 were clicked (33.3 %)",
            "  times: 2026-01-01T10:00:00Z to 2026-01-01T10:00:00Z; 40 written as date and time",
            "  merged: 20 for \"event of a result that has another row\", such as `search_id=s0 doc_id=d2 clicked=true`",
            "  no row: 20 for \"record of another kind\", such as `{\"type\": \"login\", \"sid\": \"s0\"}`",
        ],
    );
}

#[test]
fn pages_are_taken_apart() {
    let columns = r#"columns = { search_id = "sid", query = "q", shown = "docs", shown_marks_clicks = true }"#;
    let (_, tail) = INGEST.split_once("[documents]").unwrap();
    let ingest = format!("[log]\npaths = [\"log.csv\"]\nformat = \"csv\"\n{columns}\n[documents]{tail}");
    let mut log = "sid,q,docs\n".to_string();
    (0..20).for_each(|search| {
        let _ = writeln!(log, "s{search},query {},d1-0 d2-1 d3-0 d4-0", search % 10);
    });
    let outcome = check(&world(&ingest, &log), &[]).succeeded();
    says(
        &outcome,
        &[
            "  columns: search_id = `sid`, query = `q`, shown = `docs`",
            "  read: all 20 records",
            "  found: 20 searches for 10 queries, with 80 results, of which 20 were clicked (25.0 %)",
            "  positions: 1 to 4, counted from 1",
        ],
    );
}

#[test]
fn a_preset_maps_the_columns() {
    let documents = INGEST.split_once("[documents]").unwrap().1.split_once("[judgments]").unwrap().0;
    let ingest = format!("preset = \"ubi\"\nlog = {{ paths = [\"log.csv\"] }}\n[documents]{documents}");
    let mut log = String::new();
    for search in 0..20 {
        let time = "2025-03-01T10:00:00Z";
        let _ = writeln!(
            log,
            "{{\"query_id\": \"q{search}\", \"client_id\": \"c{search}\", \"user_query\": \"query {}\", \"timestamp\": \"{time}\", \
             \"query_response_hit_ids\": [\"d1\", \"d2\", \"d3\"]}}\n\
             {{\"action_name\": \"click\", \"query_id\": \"q{search}\", \"client_id\": \"c{search}\", \"timestamp\": \"{time}\", \
             \"event_attributes\": {{\"object\": {{\"object_id\": \"d2\"}}, \"position\": {{\"ordinal\": 2}}}}}}",
            search % 10
        );
    }
    let outcome = check(&world(&ingest, &log), &[]).succeeded();
    says(
        &outcome,
        &[
            "  columns: records with `action_name`: search_id = `query_id`, session_id = `client_id`, user_id = `client_id`, query = \
             `user_query`, doc_id = `event_attributes.object.object_id`, position = `event_attributes.position.ordinal`, clicked = \
             `action_name`, shown_at = `timestamp`",
            "  found: 20 searches for 10 queries, with 60 results, of which 20 were clicked (33.3 %)",
            "judgments (ingest.judgments)",
            "  grades from 0 to 4 are made of the log's clicks",
        ],
    );
}

#[test]
fn a_base_model_that_is_not_there_is_refused_and_one_of_the_hub_is_not_fetched() {
    let sandbox = world(INGEST, &format!("{HEADER}{}", rows(20, 1, 1)));
    sandbox.edit_config(|tables| {
        let teacher = tables["teacher"].as_table_mut().unwrap();
        teacher.remove("model");
        teacher.remove("cpt");
        teacher.insert("base".into(), "models/none".into());
        tables["cpt"].as_table_mut().unwrap().remove("teacher_tokenizer");
    });
    let outcome = check(&sandbox, &[]);
    assert!(outcome.error(3).contains("models/none"), "{}", outcome.stderr);
    let home = tempfile::tempdir().unwrap();
    let hub = ["--config", CONFIG, "--set", "teacher.base=hf:org/none"];
    let mut online = command(&sandbox.path(""), "check", &hub);
    // No server is asked: at this address there is none.
    online.env("HF_HOME", home.path()).env("HF_ENDPOINT", "http://127.0.0.1:1").env_remove("HF_HUB_OFFLINE");
    says(
        &finish(online).succeeded(),
        &["  teacher: hf:org/none@main is not in the cache of the Hugging Face tools; the run downloads it"],
    );
    let mut offline = command(&sandbox.path(""), "check", &hub);
    offline.env("HF_HOME", home.path()).env("HF_HUB_OFFLINE", "1");
    assert!(finish(offline).error(3).contains("hf:org/none@main: expected it in the cache"));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}
