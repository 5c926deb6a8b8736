//! Teachers of `[score.teacher]`: saved rankers, servers over HTTP, and the average of several.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tables::Columns;
use toml::Table;

use crate::sandbox::Sandbox;
use crate::small_server::server;

/// What the server thinks of a text: longer ones are better.
fn opinion(text: &str) -> f64 {
    text.len() as f64 / 10.0 - 5.0
}

fn rerank(path: &str, body: &Value) -> Value {
    assert_eq!((path, &body["raw_scores"]), ("/rerank", &json!(true)));
    let texts = body["texts"].as_array().unwrap().iter().enumerate();
    let mut scores: Vec<Value> =
        texts.map(|(index, text)| json!({ "index": index, "score": opinion(text.as_str().unwrap()) })).collect();
    scores.reverse();
    json!(scores)
}

/// Orders passages by length, but never names passage 2.
fn permute(path: &str, body: &Value) -> Value {
    assert_eq!(path, "/v1/chat/completions");
    let prompt = body["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap());
    let prompt = prompt.collect::<Vec<_>>().join("\n");
    let passages = prompt.lines().filter_map(|line| line.strip_prefix('[')?.split_once("] "));
    let mut passages: Vec<(usize, usize)> =
        passages.filter_map(|(number, text)| Some((number.parse().ok()?, text.len()))).collect();
    passages.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
    let named = passages.iter().filter(|&&(number, _)| number != 2).map(|(number, _)| format!("[{number}]"));
    let content = named.collect::<Vec<_>>().join(" > ");
    json!({ "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content } }] })
}

/// Sets `[score.teacher]`.
pub(crate) fn teacher(sandbox: &Sandbox, table: &str) {
    let table: Table = toml::from_str(table).unwrap();
    sandbox.edit_config(|config| {
        let score = config.entry("score").or_insert_with(|| toml::Value::Table(Table::new()));
        score.as_table_mut().unwrap().insert("teacher".into(), table["teacher"].clone());
    });
}

/// A column of text.
pub(crate) fn strings(table: &Columns, name: &str) -> Vec<String> {
    table.strings(name).unwrap().iter().map(|text| text.unwrap().to_string()).collect()
}

/// Title and summary of each document.
fn texts(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let documents = sandbox.table("ingest", "documents");
    let texts = strings(&documents, "title").into_iter().zip(strings(&documents, "summary"));
    let texts = texts.map(|(title, summary)| format!("{title} {summary}"));
    strings(&documents, "doc_id").into_iter().zip(texts).collect()
}

#[test]
fn servers_score_what_the_own_teacher_would() {
    let sandbox = Sandbox::finished();
    let own = strings(&sandbox.table("score", "teacher_scores"), "doc_id");
    let addresses = [server(rerank), server(rerank)];
    teacher(&sandbox, &format!("teacher = {{ servers = {{ api = 'tei', addresses = {addresses:?}, batch = 3 }} }}"));
    sandbox.stage("score", &[]);
    let (table, texts) = (sandbox.table("score", "teacher_scores"), texts(&sandbox));
    let doc_ids = strings(&table, "doc_id");
    for (doc_id, &score) in doc_ids.iter().zip(table.float32s("score").unwrap().values()) {
        assert_eq!(score, opinion(&texts[doc_id]) as f32, "{doc_id}");
    }
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(doc_ids), sorted(own));
    sandbox.stage("distill", &[]);
}

#[test]
fn a_language_model_orders_lists() {
    let sandbox = Sandbox::finished();
    let servers = format!("servers = {{ api = 'chat', addresses = [{:?}], model = 'orders' }}", server(permute));
    teacher(&sandbox, &format!("teacher = {{ {servers}, permutations = {{ window = 40, step = 20 }} }}"));
    let stderr = sandbox.stage("score", &[]).stderr;
    assert!(stderr.contains("repaired: "), "{stderr}");
    let (table, texts) = (sandbox.table("score", "teacher_scores"), texts(&sandbox));
    let (query_ids, doc_ids) = (strings(&table, "query_id"), strings(&table, "doc_id"));
    let (scores, left_out) = (table.float32s("score").unwrap().values(), table.bools("left_out").unwrap());
    for (row, list) in (0..table.rows()).zip(query_ids.windows(2)) {
        let last = list[0] != list[1];
        assert!(if last { scores[row] == 0.0 } else { scores[row] > scores[row + 1] });
        // The one that is left out stands at the end, the others by length.
        assert_eq!(left_out.value(row), last, "{row}");
        let longer = |row: usize| texts[&doc_ids[row]].len();
        assert!(last || left_out.value(row + 1) || longer(row) >= longer(row + 1));
    }
    assert_eq!(strings(&table, "teacher")[0], "orders");
}

/// The score of each query and document of `teacher_scores`.
fn scores(sandbox: &Sandbox) -> BTreeMap<(String, String), f32> {
    let table = sandbox.table("score", "teacher_scores");
    let pairs = strings(&table, "query_id").into_iter().zip(strings(&table, "doc_id"));
    pairs.zip(table.float32s("score").unwrap().values().iter().copied()).collect()
}

fn standardised(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    values.iter().map(|value| if variance > 0.0 { (value - mean) / variance.sqrt() } else { 0.0 }).collect()
}

#[test]
fn a_teacher_and_bm25_are_averaged_list_by_list() {
    let sandbox = Sandbox::finished();
    let own = scores(&sandbox);
    teacher(&sandbox, "teacher = { retriever = 'bm25' }");
    sandbox.stage("score", &[]);
    let bm25 = scores(&sandbox);
    assert!(bm25.values().any(|&score| score > 0.0) && bm25.len() == own.len());
    teacher(&sandbox, "[[teacher]]\nuse = 'teacher'\nweight = 0.7\n[[teacher]]\nretriever = 'bm25'\nweight = 0.3");
    sandbox.stage("score", &["--set", "score.standardise_over=list"]);
    let both: Vec<((String, String), f32)> = scores(&sandbox).into_iter().collect();
    for list in both.chunk_by(|a, b| a.0.0 == b.0.0) {
        let of = |scores: &BTreeMap<(String, String), f32>| {
            standardised(&list.iter().map(|(pair, _)| f64::from(scores[pair])).collect::<Vec<_>>())
        };
        for ((pair, found), (own, bm25)) in list.iter().zip(of(&own).into_iter().zip(of(&bm25))) {
            assert!((f64::from(*found) - (0.7 * own + 0.3 * bm25)).abs() < 1e-4, "{pair:?}");
        }
    }
    // The same weights, were they those that are best on the validation queries.
    let list = ["--set", "score.standardise_over=list"];
    let chosen = ["--set", "score.choose_weights=true"];
    let line = sandbox.try_stage("score", &[&list[..], &chosen].concat()).error(2).to_string();
    assert!(line.contains("score.teacher.weight: expected none beside choose_weights = true, found 0.7"), "{line}");
    teacher(&sandbox, "[[teacher]]\nuse = 'teacher'\n[[teacher]]\nretriever = 'bm25'");
    sandbox.stage("score", &[&list[..], &chosen].concat());
    let weights = sandbox.manifest("score").facts["weights"].clone();
    let [own, other] = [0, 1].map(|teacher| weights[teacher].as_f64().unwrap());
    assert!((own + other - 1.0).abs() < 1e-9 && (own * 20.0 - (own * 20.0).round()).abs() < 1e-9, "{weights}");
    let best = scores(&sandbox);
    if own > 0.0 && other > 0.0 {
        let given = [format!("use = 'teacher'\nweight = {own}"), format!("retriever = 'bm25'\nweight = {other}")];
        teacher(&sandbox, &format!("[[teacher]]\n{}\n[[teacher]]\n{}", given[0], given[1]));
        sandbox.stage("score", &list);
        assert_eq!(scores(&sandbox), best);
    }
    sandbox.stage("distill", &list);
}

#[test]
fn several_teachers_are_averaged() {
    let sandbox = Sandbox::finished();
    let own = scores(&sandbox);
    let address = server(rerank);
    let tables = format!(
        "[[teacher]]\nuse = 'teacher'\nweight = 3.0\n[[teacher]]\nservers = {{ api = 'tei', addresses = [{address:?}] }}"
    );
    teacher(&sandbox, &tables);
    sandbox.stage("score", &[]);
    let (table, texts) = (sandbox.table("score", "teacher_scores"), texts(&sandbox));
    let pairs: Vec<_> = strings(&table, "query_id").into_iter().zip(strings(&table, "doc_id")).collect();
    assert_eq!(pairs.len(), own.len());
    let first: Vec<f64> = pairs.iter().map(|pair| f64::from(own[pair])).collect();
    let second: Vec<f64> = pairs.iter().map(|(_, doc_id)| f64::from(opinion(&texts[doc_id]) as f32)).collect();
    let (first, second) = (standardised(&first), standardised(&second));
    let (scores, spreads) = (table.float32s("score").unwrap(), table.float32s("spread").unwrap());
    for row in 0..table.rows() {
        let mean = 0.75 * first[row] + 0.25 * second[row];
        let spread = (0.75 * (first[row] - mean).powi(2) + 0.25 * (second[row] - mean).powi(2)).sqrt();
        assert!((f64::from(scores.value(row)) - mean).abs() < 1e-3, "{row}: {} and {mean}", scores.value(row));
        assert!((f64::from(spreads.value(row)) - spread).abs() < 1e-3, "{row}");
    }
}

#[test]
fn a_saved_ranker_scores_as_the_folder_says() {
    let sandbox = Sandbox::finished();
    let before = sandbox.table("score", "teacher_scores").float32s("score").unwrap().values().to_vec();
    teacher(&sandbox, "teacher = { use = 'runs/tiny/teacher/rank' }");
    sandbox.stage("score", &[]);
    assert_eq!(sandbox.table("score", "teacher_scores").float32s("score").unwrap().values()[..], before);
}

#[test]
fn unusable_teachers_are_named() {
    let sandbox = Sandbox::finished();
    let refused = |table: &str, code: i32, expected: &str| {
        teacher(&sandbox, table);
        let outcome = sandbox.try_stage("score", &[]);
        let line = outcome.error(code);
        assert!(line.contains(expected), "{line}");
    };
    refused(
        "teacher = { weight = 1.0 }",
        2,
        "score.teacher: expected one of the keys `use`, `servers`, `scores` and `retriever`, found 0",
    );
    refused(
        "teacher = { retriever = 'dense' }",
        2,
        "score.teacher.retriever: expected bm25, or retrieval.dense beside it, found dense, without the model retrieval.dense",
    );
    refused("teacher = 'x'", 2, "score.teacher: invalid type: string \"x\", expected a table or an array of tables");
    refused(
        "teacher = { servers = { api = 'chat', addresses = ['http://localhost:1'] } }",
        2,
        "expected one of the tables `permutations` and `yes_no` beside api = \"chat\", found 0",
    );
    refused(
        "teacher = { servers = { api = 'tei', addresses = ['http://localhost:1'], key_env = 'NO_SUCH_KEY' } }",
        2,
        "NO_SUCH_KEY",
    );
    refused(
        "teacher = { servers = { api = 'tei', addresses = ['http://127.0.0.1:1'], retries = 0 } }",
        1,
        "expected a server that answers, found none: http://127.0.0.1:1",
    );
    let rubbish = server(|_, _| json!([{ "index": 0, "score": null }]));
    refused(
        &format!("teacher = {{ servers = {{ api = 'tei', addresses = [{rubbish:?}] }} }}"),
        1,
        "expected a finite number in score, found null",
    );
}

/// The scores of the own teacher as a TREC run, with `change` made to each line.
fn run_file(sandbox: &Sandbox, change: impl Fn(usize, String) -> String) {
    let table = sandbox.table("score", "teacher_scores");
    let (query_ids, doc_ids) = (strings(&table, "query_id"), strings(&table, "doc_id"));
    let scores = table.float32s("score").unwrap().values();
    let line = |row: usize| format!("{} Q0 {} 1 {} own", query_ids[row], doc_ids[row], scores[row]);
    let lines: Vec<String> = (0..table.rows()).map(|row| change(row, line(row))).collect();
    std::fs::write(sandbox.path("own.run"), lines.join("\n")).unwrap();
}

const FILE: &str = "teacher = { scores = { path = 'own.run', format = 'trec' } }";

#[test]
fn a_file_of_scores_is_a_teacher() {
    let sandbox = Sandbox::finished();
    let before = sandbox.table("score", "teacher_scores");
    run_file(&sandbox, |_, line| line);
    teacher(&sandbox, FILE);
    let stderr = sandbox.stage("score", &[]).stderr;
    assert!(stderr.contains(&format!("own.run: {} rows: ", before.rows())), "{stderr}");
    let after = sandbox.table("score", "teacher_scores");
    for column in ["query_id", "doc_id"] {
        assert_eq!(strings(&after, column), strings(&before, column));
    }
    assert_eq!(after.float32s("score").unwrap(), before.float32s("score").unwrap());
    // Another file is another input.
    run_file(&sandbox, |_, line| line.replace("e-", "e-0"));
    std::fs::write(sandbox.path("own.run"), format!("{}\n", std::fs::read_to_string(sandbox.path("own.run")).unwrap()))
        .unwrap();
    assert!(!sandbox.stage("score", &[]).stderr.contains("up to date"));
    sandbox.stage("distill", &[]);
}

#[test]
fn unusable_files_of_scores_are_named() {
    let sandbox = Sandbox::finished();
    let whole = Sandbox::finished();
    teacher(&sandbox, FILE);
    let refused = |change: &dyn Fn(usize, String) -> String, expected: &str| {
        run_file(&whole, change);
        std::fs::copy(whole.path("own.run"), sandbox.path("own.run")).unwrap();
        let outcome = sandbox.try_stage("score", &[]);
        let line = outcome.error(3);
        assert!(line.contains(expected), "{line}");
    };
    let score = |line: String, score: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        [&fields[..4], &[score, "own"]].concat().join(" ")
    };
    refused(
        &|row, line| if row == 4 { score(line, "NaN") } else { line },
        "own.run:5: expected a finite number as the score, found NaN",
    );
    refused(&|row, line| if row == 0 { score(line, "1e999") } else { line }, "own.run:1: expected a finite number");
    refused(&|row, line| if row == 2 { "q Q0".into() } else { line }, "own.run:3: ");
    refused(
        &|_, line| format!("x{line}"),
        "expected scores of training queries and documents of this collection, found",
    );
    refused(
        &|row, line| if row == 1 { format!("{line}\n{}", score(line.clone(), "77")) } else { line },
        "own.run:3: expected one score of query",
    );
}

#[test]
fn scores_that_are_no_numbers_are_named_with_their_row() {
    let sandbox = Sandbox::finished();
    let refused = |name: &str, text: &str, expected: &str| {
        std::fs::write(sandbox.path(name), text).unwrap();
        let format = name.split('.').next_back().unwrap();
        teacher(&sandbox, &format!("teacher = {{ scores = {{ path = '{name}', format = '{format}' }} }}"));
        let outcome = sandbox.try_stage("score", &[]);
        let line = outcome.error(3);
        assert!(line.contains(expected), "{line}");
    };
    let good = r#"{"query_id": "q", "doc_id": "d", "score": 1}"#;
    for bad in ["NaN", "null"] {
        let text = format!("{good}\n{{\"query_id\": \"q\", \"doc_id\": \"e\", \"score\": {bad}}}\n");
        let expected =
            "scores.jsonl:2: expected a finite number as the score, found none, null or NaN; correct or remove the row";
        refused("scores.jsonl", &text, expected);
    }
    refused("scores.csv", "query_id,doc_id,score\n", "scores.csv: expected rows of scores, found none");
}

/// By query, the documents in the order of the teacher.
fn orders(table: &Columns) -> BTreeMap<String, Vec<String>> {
    let mut orders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (query, document) in strings(table, "query_id").into_iter().zip(strings(table, "doc_id")) {
        orders.entry(query).or_default().push(document);
    }
    orders
}

/// Checks that the table has these orders, the scores falling from 1 to 0 in equal steps.
fn assert_orders(sandbox: &Sandbox, expected: &BTreeMap<String, Vec<String>>) {
    let table = sandbox.table("score", "teacher_scores");
    assert_eq!(orders(&table), *expected);
    let (ranks, sizes) = (table.int32s("rank").unwrap(), table.int32s("list_size").unwrap());
    for (row, &score) in table.float32s("score").unwrap().values().iter().enumerate() {
        let expected = 1.0 - (ranks.value(row) - 1) as f32 / (sizes.value(row) - 1) as f32;
        assert!((score - expected).abs() < 1e-6, "{row}: {score} and {expected}");
    }
}

#[test]
fn lists_of_rank_llm_and_rank_gpt_are_teachers() {
    let sandbox = Sandbox::finished();
    let before = orders(&sandbox.table("score", "teacher_scores"));
    let write = |name: &str, value: &Value| std::fs::write(sandbox.path(name), value.to_string()).unwrap();
    let file =
        |path: &str, more: &str| teacher(&sandbox, &format!("teacher = {{ scores = {{ path = '{path}', {more} }} }}"));

    // A document that the collection does not have is counted and left out.
    let result = |(query, documents): (&String, &Vec<String>)| {
        let documents = documents.iter().map(String::as_str).chain(["unknown"]);
        let candidates: Vec<Value> = documents.map(|id| json!({ "docid": id, "score": 0.5, "doc": {} })).collect();
        json!({ "query": { "text": "any", "qid": query }, "candidates": candidates })
    };
    let results: Vec<Value> = before.iter().map(result).collect();
    write("results.json", &json!(results));
    file("results.json", "format = 'rank_llm'");
    let stderr = sandbox.stage("score", &[]).stderr;
    let (all, known) =
        (before.values().map(|list| list.len() + 1).sum::<usize>(), before.values().map(Vec::len).sum::<usize>());
    assert!(
        stderr.contains(&format!("results.json: {all} rows: {all} of known queries, {known} of known documents")),
        "{stderr}"
    );
    assert_orders(&sandbox, &before);
    let lines: String = results.iter().map(|result| format!("{result}\n")).collect();
    std::fs::write(sandbox.path("results.jsonl"), lines).unwrap();
    file("results.jsonl", "format = 'rank_llm'");
    sandbox.stage("score", &[]);
    assert_orders(&sandbox, &before);

    let hits = |(query, documents): (&String, &Vec<String>)| {
        let hits: Vec<Value> =
            documents.iter().map(|id| json!({ "content": "c", "qid": query, "docid": id })).collect();
        json!({ "query": "any", "hits": hits })
    };
    write("hits.json", &json!(before.iter().map(hits).collect::<Vec<_>>()));
    file("hits.json", "format = 'rankgpt'");
    sandbox.stage("score", &[]);
    assert_orders(&sandbox, &before);
    write("twice.json", &json!([hits(before.iter().next().unwrap()), hits(before.iter().next().unwrap())]));
    file("twice.json", "format = 'rankgpt'");
    assert!(sandbox.try_stage("score", &[]).error(3).contains("twice.json:1: expected one list of query"));
}

#[test]
fn answers_of_another_file_order_the_lists_of_rank_gpt() {
    let sandbox = Sandbox::finished();
    let queries = sandbox.table("ingest", "queries");
    let texts: BTreeMap<String, String> =
        strings(&queries, "query_id").into_iter().zip(strings(&queries, "query")).collect();
    let before = orders(&sandbox.table("score", "teacher_scores"));
    // The training data has no ids, but texts in any spelling.
    let passages = |(query, documents): (&String, &Vec<String>)| {
        let passages: Vec<Value> = documents.iter().map(|id| json!({ "docid": id, "text": "c" })).collect();
        json!({ "query": texts[query].to_uppercase(), "positive_passages": [], "retrieved_passages": passages })
    };
    let lines: String = before.iter().map(|list| format!("{}\n", passages(list))).collect();
    std::fs::write(sandbox.path("train.jsonl"), lines).unwrap();
    // Each answer names the second place twice, one that does not exist, and the first place; the others follow.
    let answers = vec!["[2] > [2] > [99] > [1]"; before.len()];
    std::fs::write(sandbox.path("answers.json"), json!(answers).to_string()).unwrap();
    let file = |answers: &str| {
        let scores = format!("{{ path = 'train.jsonl', format = 'rankgpt', permutations = '{answers}' }}");
        teacher(&sandbox, &format!("teacher = {{ scores = {scores} }}"));
    };
    file("answers.json");
    let stderr = sandbox.stage("score", &[]).stderr;
    let missing: usize = before.values().map(|list| list.len() - 2).sum();
    let lists = before.len();
    let said = format!("{lists} repeated, {lists} unknown and {missing} missing places were mended");
    assert!(stderr.contains(&said), "{stderr}");
    let swapped = before.iter().map(|(query, list)| {
        let mut list = list.clone();
        list.swap(0, 1);
        (query.clone(), list)
    });
    assert_orders(&sandbox, &swapped.collect());
    let table = sandbox.table("score", "teacher_scores");
    let (ranks, left_out) = (table.int32s("rank").unwrap(), table.bools("left_out").unwrap());
    assert!((0..table.rows()).all(|row| left_out.value(row) == (ranks.value(row) > 2)));

    std::fs::write(sandbox.path("few.json"), r#"["[1]"]"#).unwrap();
    file("few.json");
    let line = sandbox.try_stage("score", &[]);
    let expected = format!("few.json: expected an answer for each of the {lists} lists of train.jsonl, found 1");
    assert!(line.error(3).contains(&expected), "{}", line.stderr);
    teacher(&sandbox, "teacher = { scores = { path = 'train.jsonl', format = 'jsonl', permutations = 'few.json' } }");
    let line = sandbox.try_stage("score", &[]);
    assert!(line.error(2).contains("score.teacher.scores.permutations: expected none beside"), "{}", line.stderr);
}
