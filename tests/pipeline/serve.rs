//! The APIs of `serve`: what they answer and what they refuse, and the command line.

use std::fs;
use std::net::TcpListener;

use nn::text::Tokenizer;
use serde_json::{Value, json};

use crate::process::{command, finish};
use crate::serving::{Serving, WINDOW, documents, logits, save_model};

const QUERY: &str = "cheap red shoes";

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Places by falling logits, equal ones in their order.
fn ranked(logits: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..logits.len()).collect();
    places.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    places
}

/// A number as the JSON of an answer has it, whose digits are those of `f32`.
fn shortest(number: f32) -> Value {
    serde_json::from_str(&serde_json::to_string(&number).unwrap()).unwrap()
}

/// A number of an answer as the server had it.
fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

#[test]
fn texts_are_ranked_as_text_embeddings_inference_does() {
    let serving = Serving::start(&[]);
    let texts = documents(40);
    let logits = logits(&serving.model(), QUERY, &texts);
    let order = ranked(&logits);
    for (raw_scores, return_text) in [(false, true), (true, false)] {
        let body = json!({ "query": QUERY, "texts": texts, "raw_scores": raw_scores, "return_text": return_text, "unknown": 1 });
        for path in ["/rerank", "/"] {
            let answer = serving.post(path, &body);
            let ranks = answer.with_status(200);
            for (rank, &index) in ranks.as_array().unwrap().iter().zip(&order) {
                let expected = if raw_scores { logits[index] } else { sigmoid(logits[index]) };
                assert_eq!(number(&rank["score"]).to_bits(), expected.to_bits());
                assert_eq!(
                    (&rank["index"], rank.get("text")),
                    (&json!(index), return_text.then(|| json!(texts[index])).as_ref())
                );
            }
            assert_eq!(ranks.as_array().unwrap().len(), texts.len());
            let tokens: usize = answer.headers["x-compute-tokens"].to_str().unwrap().parse().unwrap();
            assert!(tokens > 40 * 5 && tokens <= 40 * WINDOW, "{tokens}");
        }
    }
    let info = serving.get("/info").with_status(200);
    assert_eq!(info["max_input_length"], WINDOW);
    assert_eq!((info["model_sha"].as_str().unwrap().len(), &info["model_dtype"]), (64, &json!("float32")));
    assert_eq!(info["model_type"]["reranker"], json!({ "id2label": { "0": "LABEL_0" }, "label2id": { "LABEL_0": 0 } }));
    assert_eq!(serving.get("/health").status, 200);
}

#[test]
fn pairs_are_labelled_as_text_embeddings_inference_does() {
    let serving = Serving::start(&[]);
    let texts = documents(3);
    let logits = logits(&serving.model(), QUERY, &texts);
    let one = serving.post("/predict", &json!({ "inputs": [QUERY, texts[0]], "raw_scores": true })).with_status(200);
    assert_eq!(one, json!([{ "score": shortest(logits[0]), "label": "LABEL_0" }]));
    let batch: Vec<[&str; 2]> = texts.iter().map(|text| [QUERY, text]).collect();
    let all = serving.post("/predict", &json!({ "inputs": batch })).with_status(200);
    let expected: Vec<Value> =
        logits.iter().map(|&logit| json!([{ "score": shortest(sigmoid(logit)), "label": "LABEL_0" }])).collect();
    assert_eq!(all, json!(expected));
}

#[test]
fn documents_are_ranked_as_cohere_and_jina_do() {
    let serving = Serving::start(&[]);
    let texts = documents(20);
    let logits = logits(&serving.model(), QUERY, &texts);
    let order = ranked(&logits);
    let objects: Vec<Value> = texts.iter().map(|text| json!({ "text": text, "price": 3 })).collect();
    let body = |documents: Value| json!({ "model": "any", "query": QUERY, "documents": documents, "top_n": 5 });
    let score = |index: usize| shortest(sigmoid(logits[index]));
    let result = |index: usize, document: Value| json!({ "index": index, "relevance_score": score(index), "document": document });
    let v1 = serving.post("/v1/rerank", &body(json!(texts))).with_status(200);
    let expected: Vec<Value> = order[..5].iter().map(|&index| result(index, json!({ "text": texts[index] }))).collect();
    assert_eq!(v1["results"], json!(expected));
    assert_eq!((&v1["object"], &v1["model"]), (&json!("list"), &json!("model")));
    assert_eq!(v1["usage"]["total_tokens"], v1["meta"]["tokens"]["input_tokens"]);
    let v1 = serving.post("/v1/rerank", &body(json!(objects))).with_status(200);
    let expected: Vec<Value> = order[..5].iter().map(|&index| result(index, objects[index].clone())).collect();
    assert_eq!(v1["results"], json!(expected));
    let v2 = serving.post("/v2/rerank", &body(json!(texts))).with_status(200);
    let expected: Vec<Value> = order[..5]
        .iter()
        .map(|&index| json!({ "index": index, "relevance_score": shortest(sigmoid(logits[index])) }))
        .collect();
    assert_eq!(v2["results"], json!(expected));
    assert_eq!((v2["id"].as_str().unwrap().len(), v2.get("usage")), (36, None));
    assert_eq!(v2["meta"]["billed_units"]["search_units"], 1);
}

#[test]
fn a_score_is_the_same_alone_and_among_others() {
    // Batches that split requests, and batches that join them.
    for batch_tokens in ["50", "4096"] {
        let serving = Serving::start_with(48, &["--max-batch-tokens", batch_tokens], |_| {});
        let texts = documents(60);
        let expected = logits(&serving.model(), QUERY, &texts);
        let scores = |texts: &[String]| -> Vec<u32> {
            let ranks = serving
                .post("/rerank", &json!({ "query": QUERY, "texts": texts, "raw_scores": true }))
                .with_status(200);
            let mut scores = vec![0; texts.len()];
            for rank in ranks.as_array().unwrap() {
                scores[rank["index"].as_u64().unwrap() as usize] = number(&rank["score"]).to_bits();
            }
            scores
        };
        let expected: Vec<u32> = expected.iter().map(|score| score.to_bits()).collect();
        let alone: Vec<u32> = texts.iter().flat_map(|text| scores(std::slice::from_ref(text))).collect();
        assert_eq!(alone, expected);
        let scores = &scores;
        std::thread::scope(|scope| {
            let sizes = [60, 1, 7, 33, 60, 2, 59, 13];
            let asked = sizes.map(|size| {
                (
                    size,
                    scope.spawn({
                        let texts = &texts;
                        move || scores(&texts[..size])
                    }),
                )
            });
            for (size, scores) in asked {
                assert_eq!(scores.join().unwrap(), expected[..size]);
            }
        });
    }
}

#[test]
fn long_texts_are_cut_as_the_request_says() {
    let serving = Serving::start(&[]);
    let [long, short] = ["red shoes blue lamp cheap ".repeat(20), "old table".to_owned()];
    let raw = |path: &str, mut body: Value| {
        body["raw_scores"] = json!(true);
        let answer = serving.post(path, &body).with_status(200);
        number(&answer[0]["score"])
    };
    let rerank = |text: &str, more: Value| {
        let mut body = json!({ "query": QUERY, "texts": [text] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        raw("/rerank", body)
    };
    let by_default = rerank(&long, json!({}));
    assert_eq!(by_default.to_bits(), logits(&serving.model(), QUERY, std::slice::from_ref(&long))[0].to_bits());
    let directions =
        ["right", "Right", "left", "Left"].map(|side| rerank(&long, json!({ "truncation_direction": side })));
    assert_eq!(directions[..2], [by_default; 2]);
    assert!(directions[2] == directions[3] && directions[2] != by_default, "{directions:?}");
    let refused =
        serving.post("/rerank", &json!({ "query": QUERY, "texts": [short, long], "truncate": false })).with_status(422);
    let error = refused["error"].as_str().unwrap();
    assert!(error.starts_with(&format!("`inputs` must have at most {WINDOW} tokens. Given: ")), "{error}");
    assert_eq!(refused["error_type"], "Validation");
    rerank(&short, json!({ "truncate": false }));
    // The first tokens of a document.
    let cohere = |documents: Value, more: Value| {
        let mut body = json!({ "query": QUERY, "documents": documents });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serving.post("/v2/rerank", &body).with_status(200)["results"][0]["relevance_score"].clone()
    };
    let first = cohere(json!(["red shoes"]), json!({}));
    let count = Tokenizer::load(&serving.model()).unwrap().encode("red shoes").unwrap().0.len();
    assert_eq!(cohere(json!(["red shoes blue lamp"]), json!({ "max_tokens_per_doc": count })), first);
    assert_ne!(cohere(json!(["red shoes blue lamp"]), json!({ "max_tokens_per_doc": count + 1 })), first);
}

#[test]
fn what_cannot_be_answered_is_refused_in_the_words_of_the_api() {
    let serving = Serving::start(&["--max-documents", "3", "--max-body-bytes", "2000"]);
    let (many, long) = (json!(vec!["a"; 4]), json!(["a".repeat(3000)]));
    let cases = [
        ("/rerank", json!({ "query": "a", "texts": [] }), 400, "`texts` cannot be empty"),
        ("/rerank", json!({ "query": "", "texts": [""] }), 400, "`inputs` cannot be empty"),
        ("/rerank", json!({ "query": "a", "texts": many }), 422, "batch size 4 > maximum allowed batch size 3"),
        ("/rerank", json!({ "query": "a", "texts": long }), 413, "the body is longer than 2000 bytes"),
        ("/rerank", json!({ "texts": ["a"] }), 422, "missing field `query`"),
        (
            "/rerank",
            json!({ "query": "a", "texts": ["a", null] }),
            422,
            "texts[1]: invalid type: null, expected a string",
        ),
        ("/predict", json!({ "inputs": "a" }), 422, "inputs: expected a pair of strings"),
        (
            "/predict",
            json!({ "inputs": [["a", "b"], ["c"]] }),
            422,
            "`inputs`: expected pairs of 2 strings, found 1 string(s)",
        ),
        ("/predict", json!({ "inputs": [] }), 422, "`inputs`: expected pairs of 2 strings, found 0 string(s)"),
        ("/predict", json!({ "inputs": 3 }), 422, "inputs: expected a pair of strings"),
        (
            "/v1/rerank",
            json!({ "query": "a", "documents": [] }),
            400,
            "invalid request: documents: expected at least one",
        ),
        ("/v1/rerank", json!({ "query": "a", "documents": many }), 400, "batch size 4"),
        ("/v2/rerank", json!({ "query": "a", "documents": long }), 413, "the body is longer than 2000 bytes"),
        ("/v2/rerank", json!({ "query": "a", "documents": ["a"], "top_n": -1 }), 400, "top_n: invalid value"),
        ("/v1/none", json!({}), 404, "no such path"),
        ("/none", json!({}), 404, "no such path"),
    ];
    for (path, body, status, message) in cases {
        let answer = serving.post(path, &body).with_status(status);
        let fields: &[&str] = if path.starts_with("/v") { &["message", "detail"] } else { &["error"] };
        for field in fields {
            let said = answer[field].as_str().unwrap();
            assert!(said.starts_with(message), "{path}: {said}");
            assert!(!said.contains('\n'), "{said}");
        }
        assert!(path.starts_with("/v") || answer["error_type"].is_string());
    }
    let broken: [&[u8]; 4] = [b"", b"{", b"\xff\xfe", b"{\"query\": \"\xc3\", \"texts\": [\"a\"]}"];
    for body in broken {
        let answer = serving.post_bytes("/rerank", body).with_status(400);
        assert!(answer["error"].as_str().unwrap().starts_with("not JSON: "), "{answer}");
    }
    assert_eq!(serving.get("/rerank").status, 405);
}

#[test]
fn a_key_is_asked_for_and_never_told() {
    let serving = Serving::start_with(16, &[], |command| {
        command.env("DISRANKER_API_KEYS", "first-secret, second-secret");
    });
    let body = json!({ "query": "a", "texts": ["b"] }).to_string();
    let with = |path: &str, key: &str| serving.post_with(path, body.as_bytes(), &[("authorization", key)]);
    for key in ["Bearer first-secret", "bearer second-secret"] {
        with("/rerank", key).with_status(200);
    }
    for key in ["Bearer third-secret", "first-secret", "Bearer "] {
        let refused = with("/rerank", key);
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
        assert!(refused.with_status(401)["error"].as_str().unwrap().starts_with("expected the header"));
    }
    assert!(with("/v2/rerank", "Bearer no").with_status(401)["message"].is_string());
    for (path, status) in [("/info", 401), ("/openapi.json", 401), ("/health", 200), ("/metrics", 200), ("/", 200)] {
        assert_eq!(serving.get(path).status, status, "{path}");
    }
    assert!(!serving.log().contains("secret"), "{}", serving.log());
}

#[test]
fn requests_are_logged_and_counted() {
    let mut serving = Serving::start(&[]);
    serving.post("/rerank", &json!({ "query": QUERY, "texts": documents(7) })).with_status(200);
    let line = serving.wait_for_line("the request", |line| line["path"] == "/rerank");
    assert_eq!((&line["status"], &line["documents"], &line["method"]), (&json!(200), &json!(7), &json!("POST")));
    assert!(line["tokens"].as_u64().unwrap() > 20 && line["ms"].as_f64() >= line["queue_ms"].as_f64(), "{line}");
    assert_eq!(serving.counter("disranker_documents_total"), 7.0);
    assert_eq!(serving.counter("disranker_requests_total{path=\"/rerank\",status=\"200\"}"), 1.0);
    assert!(!serving.log().contains("red shoes"), "texts are not logged");
    let openapi = serving.get("/openapi.json").with_status(200);
    let paths: Vec<&String> = openapi["paths"].as_object().unwrap().keys().collect();
    for path in
        ["/rerank", "/predict", "/v1/rerank", "/v2/rerank", "/info", "/health", "/metrics", "/openapi.json", "/"]
    {
        assert!(paths.iter().any(|found| *found == path), "{path}: {paths:?}");
    }
}

#[test]
fn what_cannot_be_served_ends_with_one_line_and_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    save_model(&folder.path().join("model"), 16, 1);
    fs::create_dir(folder.path().join("empty")).unwrap();
    save_model(&folder.path().join("broken"), 16, 1);
    let weights = folder.path().join("broken/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let serve = |arguments: &[&str], keys: Option<&str>| {
        let mut command = command(folder.path(), "serve", arguments);
        command.env_remove("DISRANKER_API_KEYS").envs(keys.map(|keys| ("DISRANKER_API_KEYS", keys)));
        finish(command)
    };
    for model in ["none", "empty", "broken"] {
        let outcome = serve(&["--model", model], None);
        assert!(outcome.error(3).contains(model), "{}", outcome.stderr);
    }
    let outcome = serve(&["--model", "model", "--port", &port], None);
    assert!(outcome.error(1).contains("listening failed: Address already in use"), "{}", outcome.stderr);
    let outcome = serve(&["--model", "model"], Some("a,,b"));
    assert!(outcome.error(2).contains("DISRANKER_API_KEYS: expected keys"), "{}", outcome.stderr);
    for bad in [["--precision", "f8"], ["--max-documents", "0"], ["--deadline-ms", "0"], ["--port", "70000"]] {
        let outcome = serve(&[&["--model", "model"][..], &bad].concat(), None);
        assert_eq!(outcome.code, Some(2), "{bad:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(bad[0]), "{}", outcome.stderr);
    }
}
