//! Scoring a file of pairs with a saved ranker, without a pipeline.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Int64Array, NullArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tables::Columns;

use crate::process::{Outcome, command, finish};
use crate::sandbox::Sandbox;

pub(crate) const MODEL: &str = "runs/tiny/teacher/rank";

/// A scored pair of the pipeline.
struct Pair {
    query: String,
    title: String,
    summary: String,
    score: f32,
}

/// What the pipeline's teacher scored.
fn scored(sandbox: &Sandbox) -> Vec<Pair> {
    let column = |table: &Columns, name: &str| -> Vec<String> {
        table.strings(name).unwrap().iter().map(|text| text.unwrap().to_string()).collect()
    };
    let by_id = |table: &Columns, id: &str, name: &str| -> BTreeMap<String, String> {
        column(table, id).into_iter().zip(column(table, name)).collect()
    };
    let (queries, documents) = (sandbox.table("ingest", "queries"), sandbox.table("ingest", "documents"));
    let texts = by_id(&queries, "query_id", "query");
    let (titles, summaries) = (by_id(&documents, "doc_id", "title"), by_id(&documents, "doc_id", "summary"));
    let scores = sandbox.table("score", "teacher_scores");
    let rows = column(&scores, "query_id").into_iter().zip(column(&scores, "doc_id"));
    rows.zip(scores.float32s("score").unwrap().values())
        .map(|((query, document), &score)| Pair {
            query: texts[&query].clone(),
            title: titles[&document].clone(),
            summary: summaries[&document].clone(),
            score,
        })
        .collect()
}

fn score(sandbox: &Sandbox, pairs: &str, out: &str) -> Outcome {
    finish(command(&sandbox.path(""), "score", &["--model", MODEL, "--pairs", pairs, "--out", out]))
}

/// Scores, and replaces an output that is there.
fn score_anew(sandbox: &Sandbox, model: &str, pairs: &str, out: &str) -> Outcome {
    finish(command(&sandbox.path(""), "score", &["--model", model, "--pairs", pairs, "--out", out, "--force"]))
}

/// The scores of rows that the command wrote.
fn written(path: &Path) -> Vec<f64> {
    let score = |line: &str| serde_json::from_str::<Value>(line).unwrap()["score"].as_f64().unwrap();
    fs::read_to_string(path).unwrap().lines().map(score).collect()
}

#[test]
fn a_precision_rounds_what_is_multiplied() {
    let sandbox = Sandbox::finished();
    let line = |pair: &Pair| json!({ "query": pair.query, "title": pair.title, "summary": pair.summary }).to_string();
    let lines: Vec<String> = scored(&sandbox).iter().take(50).map(line).collect();
    fs::write(sandbox.path("pairs.jsonl"), lines.join("\n")).unwrap();
    let scores = |precision: &str| {
        let arguments =
            ["--model", MODEL, "--pairs", "pairs.jsonl", "--out", "out.jsonl", "--force", "--precision", precision];
        finish(command(&sandbox.path(""), "score", &arguments)).succeeded();
        written(&sandbox.path("out.jsonl"))
    };
    let (exact, rounded) = (scores("f32"), scores("bf16"));
    assert_ne!(exact, rounded);
    let far = exact.iter().zip(&rounded).find(|(a, b)| (*a - *b).abs() > 0.05 * a.abs().max(1.0));
    assert_eq!(far, None);
    assert!([&exact, &rounded].contains(&&scores("auto")));
    let arguments = ["--model", MODEL, "--pairs", "pairs.jsonl", "--out", "out.jsonl", "--precision", "f16"];
    let refused = finish(command(&sandbox.path(""), "score", &arguments));
    assert!(refused.stderr.contains("one of `f32`, `bf16`, `auto`"), "{}", refused.stderr);
}

#[test]
fn json_lines_get_the_scores_of_the_pipeline() {
    let sandbox = Sandbox::finished();
    let pairs = scored(&sandbox);
    let line = |(row, pair): (usize, &Pair)| {
        let Pair { query, title, summary, .. } = pair;
        json!({ "row": row, "summary": summary, "query": query, "kept": [row, null], "title": title }).to_string()
    };
    let lines: Vec<String> = pairs.iter().enumerate().map(line).collect();
    fs::write(sandbox.path("pairs.jsonl"), lines.join("\n")).unwrap();
    score(&sandbox, "pairs.jsonl", "out.jsonl").succeeded();
    let out = fs::read_to_string(sandbox.path("out.jsonl")).unwrap();
    assert_eq!(out.lines().count(), pairs.len());
    for ((before, after), pair) in lines.iter().zip(out.lines()).zip(&pairs) {
        assert!(after.starts_with(before.trim_end_matches('}')), "{after}");
        let score = serde_json::from_str::<Value>(after).unwrap()["score"].as_f64().unwrap();
        assert!((score as f32 - pair.score).abs() < 1e-5, "{score}, the pipeline says {}", pair.score);
    }
}

#[test]
fn parquet_gets_the_scores_of_the_pipeline() {
    let sandbox = Sandbox::finished();
    let pairs = scored(&sandbox);
    let text = |of: fn(&Pair) -> &String| -> ArrayRef { Arc::new(StringArray::from_iter_values(pairs.iter().map(of))) };
    let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(0..pairs.len() as i64));
    let columns = [
        ("row", rows),
        ("title", text(|pair| &pair.title)),
        ("summary", text(|pair| &pair.summary)),
        ("query", text(|pair| &pair.query)),
    ];
    let before = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(sandbox.path("pairs.parquet")).unwrap(), before.schema(), None);
    writer.as_mut().unwrap().write(&before).unwrap();
    writer.unwrap().close().unwrap();
    score(&sandbox, "pairs.parquet", "out.parquet").succeeded();

    let after = read(&sandbox.path("out.parquet"));
    let names: Vec<_> = after.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["row", "title", "summary", "query", "score"]);
    assert_eq!(after.columns()[..4], before.columns()[..]);
    let scores = after.column(4).as_any().downcast_ref::<Float32Array>().unwrap();
    for (&score, pair) in scores.values().iter().zip(&pairs) {
        assert!((score - pair.score).abs() < 1e-5, "{score}, the pipeline says {}", pair.score);
    }
}

/// A text with each of its line ends as CSV files of Windows have it.
fn with_crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// The rows of pairs as CSV, with columns whose bytes another writer would change.
fn csv_rows(pairs: &[Pair]) -> Vec<String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let row = |(row, pair): (usize, &Pair)| {
        let Pair { query, title, summary, .. } = pair;
        format!("0{row},{},\"say \"\"hi\"\",\n{row}\", x ,{},{query}", quoted(title), quoted(summary))
    };
    pairs.iter().enumerate().map(row).collect()
}

#[test]
fn csv_keeps_its_bytes_and_gets_the_scores_of_the_pipeline() {
    let sandbox = Sandbox::finished();
    let pairs = scored(&sandbox);
    assert!(pairs.iter().all(|pair| !pair.query.contains(['"', ',', '\n'])));
    let rows = csv_rows(&pairs);
    let text = format!("id,title,note,\"x\",summary,query\n{}\n", rows.join("\n"));
    fs::write(sandbox.path("pairs.csv"), &text).unwrap();
    score(&sandbox, "pairs.csv", "out.csv").succeeded();
    let out = fs::read_to_string(sandbox.path("out.csv")).unwrap();
    let mut rest = out.strip_prefix("id,title,note,\"x\",summary,query,score\n").unwrap();
    for (row, pair) in rows.iter().zip(&pairs) {
        let (score, after) = rest.strip_prefix(&format!("{row},")).unwrap().split_once('\n').unwrap();
        let score: f32 = score.parse().unwrap();
        assert!((score - pair.score).abs() < 1e-5, "{score}, the pipeline says {}", pair.score);
        rest = after;
    }
    assert_eq!(rest, "");
    let read: Vec<csv::StringRecord> =
        csv::Reader::from_reader(out.as_bytes()).into_records().map(Result::unwrap).collect();
    assert_eq!(read.len(), pairs.len());
    for (row, (record, pair)) in read.iter().zip(&pairs).enumerate() {
        let (id, note) = (format!("0{row}"), format!("say \"hi\",\n{row}"));
        let expected = [&id, &pair.title, &note, " x ", &pair.summary, &pair.query];
        assert_eq!(record.iter().take(6).collect::<Vec<_>>(), expected);
    }

    fs::write(sandbox.path("windows.csv"), format!("\u{feff}{}", with_crlf(&text))).unwrap();
    score(&sandbox, "windows.csv", "out_windows.csv").succeeded();
    assert_eq!(fs::read_to_string(sandbox.path("out_windows.csv")).unwrap(), with_crlf(&out));
}

#[test]
fn packed_texts_are_read_and_written() {
    let sandbox = Sandbox::finished();
    let text = "query\ttitle\tsummary\tid\nred \"shoes\"\tshoes\t\t1\nblue\t\tall, blue\t2\n";
    fs::write(sandbox.path("pairs.tsv"), text).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    fs::write(sandbox.path("pairs.tsv.gz"), gzip.finish().unwrap()).unwrap();
    fs::write(sandbox.path("pairs.tsv.zst"), zstd::encode_all(text.as_bytes(), 3).unwrap()).unwrap();
    for pairs in ["pairs.tsv", "pairs.tsv.gz", "pairs.tsv.zst"] {
        score_anew(&sandbox, MODEL, pairs, "out.tsv").succeeded();
        score_anew(&sandbox, MODEL, pairs, "out.tsv.gz").succeeded();
        score_anew(&sandbox, MODEL, pairs, "out.tsv.zst").succeeded();
        let plain = fs::read_to_string(sandbox.path("out.tsv")).unwrap();
        let scores: Vec<&str> = plain.lines().map(|line| line.rsplit_once('\t').unwrap().1).collect();
        assert!(scores[0] == "score" && scores[1..].iter().all(|score| score.parse::<f32>().is_ok()), "{plain}");
        let before: Vec<&str> = plain.lines().map(|line| line.rsplit_once('\t').unwrap().0).collect();
        assert_eq!(before.join("\n") + "\n", text);
        let mut unpacked = String::new();
        let packed = fs::read(sandbox.path("out.tsv.gz")).unwrap();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
        let packed = fs::read(sandbox.path("out.tsv.zst")).unwrap();
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), plain.as_bytes());
    }
    assert!(score(&sandbox, "pairs.tsv", "out.tsv.bz2").error(2).ends_with("packed and end in .gz or .zst"));
}

#[test]
fn columns_of_nothing_are_empty_texts_or_carried_along() {
    let sandbox = Sandbox::finished();
    let nothing: ArrayRef = Arc::new(NullArray::new(2));
    let query: ArrayRef = Arc::new(StringArray::from(vec!["red", "blue"]));
    let columns = [("query", query), ("title", nothing.clone()), ("summary", nothing.clone()), ("note", nothing)];
    let before = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(sandbox.path("p.parquet")).unwrap(), before.schema(), None);
    writer.as_mut().unwrap().write(&before).unwrap();
    writer.unwrap().close().unwrap();
    score(&sandbox, "p.parquet", "out.parquet").succeeded();
    let after = read(&sandbox.path("out.parquet"));
    assert_eq!(after.columns()[..4], before.columns()[..]);

    let rows = ["red", "blue"].map(|query| json!({ "query": query, "title": "", "summary": null }).to_string());
    fs::write(sandbox.path("p.jsonl"), rows.join("\n")).unwrap();
    score(&sandbox, "p.jsonl", "out.jsonl").succeeded();
    let scores = after.column(4).as_any().downcast_ref::<Float32Array>().unwrap();
    for (parquet, json) in scores.values().iter().zip(written(&sandbox.path("out.jsonl"))) {
        assert!((f64::from(*parquet) - json).abs() < 1e-6);
    }
}

#[test]
fn a_ranker_of_another_library_is_scored_and_a_base_is_refused() {
    let sandbox = Sandbox::finished();
    fs::write(sandbox.path("p.jsonl"), r#"{"query": "red shoes", "title": "shoes", "summary": "all red"}"#).unwrap();
    for model in [MODEL, "runs/tiny/distill/student"] {
        let own = score_anew(&sandbox, model, "p.jsonl", "own.jsonl").succeeded();
        assert!(!own.stderr.contains("disranker.json"), "{}", own.stderr);
        fs::remove_file(sandbox.path(model).join("disranker.json")).unwrap();
        let foreign = score_anew(&sandbox, model, "p.jsonl", "foreign.jsonl").succeeded();
        assert!(foreign.stderr.contains("saved by another library; it reads"), "{}", foreign.stderr);
        assert_eq!(written(&sandbox.path("foreign.jsonl")), written(&sandbox.path("own.jsonl")), "{model}");
    }
    assert_eq!(
        score_anew(&sandbox, "runs/tiny/teacher/cpt", "p.jsonl", "out.jsonl").error(3),
        "error: runs/tiny/teacher/cpt/config.json: expected a model that scores: architectures \
         [\"...ForSequenceClassification\"], or a language model whose tokenizer has the tokens [\"yes\", \"no\"], found \
         LlamaForCausalLM without the token \"yes\""
    );
}

#[test]
fn weights_that_are_not_numbers_are_bad_data() {
    let sandbox = Sandbox::finished();
    fs::write(sandbox.path("p.jsonl"), r#"{"query": "a", "title": "b", "summary": "c"}"#).unwrap();
    let weights = sandbox.path(MODEL).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, bytes).unwrap();
    let outcome = score(&sandbox, "p.jsonl", "out.jsonl");
    let expected = "error: runs/tiny/teacher/rank/model.safetensors: expected finite numbers in weight `";
    assert!(outcome.error(3).starts_with(expected) && outcome.error(3).ends_with("`, found NaN"), "{outcome:?}");
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[test]
fn bad_pairs_are_one_line_and_leave_the_earlier_output() {
    let sandbox = Sandbox::finished();
    fs::write(sandbox.path("out.jsonl"), "earlier").unwrap();
    fs::write(sandbox.path("out.jsonl.tmp"), "the user's own").unwrap();
    let good = r#"{"query": "a", "title": "b", "summary": "c"}"#;
    let cases = [
        (format!("{good}\n\n{{\"query\": \"a\"}}\n"), "pairs.jsonl:3: expected a column `title`, found `query`"),
        (
            format!("{good}\n{{\"query\": \"a\", \"query\": \"b\"}}\n"),
            "pairs.jsonl:2: expected a JSON object, found at column 28: `query` for the second time",
        ),
        ("\u{1f}".to_string() + "\n", "pairs.jsonl:1: expected a JSON object, found at column 1: expected value"),
        (format!("{good}\n{{oops\n"), "pairs.jsonl:2: expected a JSON object, found at column 2: key must be a string"),
    ];
    for (text, expected) in cases {
        fs::write(sandbox.path("pairs.jsonl"), text).unwrap();
        let error = score_anew(&sandbox, MODEL, "pairs.jsonl", "out.jsonl");
        assert_eq!(error.error(3), format!("error: {expected}"));
    }
    fs::write(sandbox.path("pairs.jsonl"), b"\x1f\x8b\x08\x00").unwrap();
    let error = score_anew(&sandbox, MODEL, "pairs.jsonl", "out.jsonl");
    let expected = "error: pairs.jsonl: expected a whole gzip file, found a truncated or damaged one (";
    assert!(error.error(3).starts_with(expected), "{error:?}");
    fs::write(sandbox.path("pairs.parquet"), "PAR1 no more").unwrap();
    let error = score(&sandbox, "pairs.parquet", "out.parquet");
    assert!(error.error(3).starts_with("error: pairs.parquet: expected a readable Parquet file, found "), "{error:?}");
    assert_eq!(
        score(&sandbox, "pairs.json", "out.json").error(2),
        "error: pairs.json: expected a file name that ends in .parquet, or in .jsonl, .csv or .tsv, which may be packed and \
         end in .gz, .zst, .bz2 or .lz4"
    );
    assert_eq!(
        score(&sandbox, "pairs.jsonl", "out.parquet").error(2),
        "error: out.parquet: expected the format of pairs.jsonl, .jsonl, found another"
    );
    assert_eq!(
        score(&sandbox, "pairs.jsonl", "nowhere/out.jsonl").error(2),
        "error: nowhere/out.jsonl: expected the folder nowhere, found none; make it first"
    );
    assert_eq!(fs::read_to_string(sandbox.path("out.jsonl")).unwrap(), "earlier");
    assert_eq!(fs::read_to_string(sandbox.path("out.jsonl.tmp")).unwrap(), "the user's own");
    let left = fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|name| name.ends_with(".tmp") || name.ends_with(".parts")).collect();
    assert_eq!(left, ["out.jsonl.tmp"], "nothing of ours stays");
    assert!(!sandbox.path("out.parquet").exists());
    let both = sandbox.try_stage("score", &["--model", MODEL, "--pairs", "a.jsonl", "--out", "b.jsonl"]);
    assert_eq!(both.code, Some(2));
    assert!(both.stderr.contains("cannot be used with '--model <DIR>'"), "{}", both.stderr);
}
