//! Chat servers on this machine that order, judge and grade numbers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::mock::{Answer, Mock, Request, config, lists, numbers};
use proptest::prelude::*;
use remote::Pool;
use remote::chat::{
    GradeConfig, Graded, Grader, PermutationConfig, Permuter, Ranking, Repairs, YesNo, YesNoConfig, YesNoScores,
};
use remote::pool::Api;
use serde_json::{Value, json};

fn says(text: &str) -> Answer {
    Answer::Json(
        json!({ "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] }),
    )
}

/// What the user said last.
fn prompt(request: &Request) -> String {
    let messages = request.body["messages"].as_array().unwrap();
    messages.last().unwrap()["content"].as_str().unwrap().to_string()
}

/// The numbered passages of a prompt, which are numbers.
fn passages(request: &Request) -> Vec<usize> {
    let prompt = prompt(request);
    let passage = |line: &str| line.strip_prefix('[')?.split_once("] ")?.1.parse().ok();
    prompt.lines().filter_map(passage).collect()
}

/// The order of the passages' numbers, the greatest first.
fn true_order(request: &Request) -> Vec<usize> {
    let passages = passages(request);
    let mut order: Vec<usize> = (0..passages.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(passages[place]));
    order.into_iter().map(|place| place + 1).collect()
}

fn written(order: &[usize]) -> String {
    order.iter().map(|number| format!("[{number}]")).collect::<Vec<_>>().join(" > ")
}

fn oracle() -> Mock {
    Mock::start(|request| says(&written(&true_order(request))))
}

fn pool(server: &Mock) -> Pool {
    let mut config = config(Api::Chat, &[server]);
    config.model = Some("m".into());
    config.extra.insert("temperature".into(), json!(0.5));
    Pool::new(&config).unwrap()
}

fn permuter(window: usize, step: usize) -> Permuter {
    Permuter::new(&PermutationConfig { window, step, ..PermutationConfig::default() }).unwrap()
}

#[test]
fn the_best_documents_rise_to_the_start() {
    let server = oracle();
    // The best stand last, and 37 is no multiple of the step.
    let texts: Vec<Vec<String>> = (0..6).map(|at| numbers((0..37).map(|number| (number * 7 + at) % 37))).collect();
    let ranked = permuter(10, 5).rank(&mut pool(&server), &lists(&texts)).unwrap();
    for (ranking, texts) in ranked.rankings.iter().zip(&texts) {
        let best: Vec<&str> = ranking.order[..5].iter().map(|&place| texts[place].as_str()).collect();
        assert_eq!(best, ["36", "35", "34", "33", "32"]);
        let mut sorted = ranking.order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..37));
        assert_eq!(ranking.omissions, vec![0; 37]);
    }
    // Windows end at 37, 32, 27, 22, 17, 12 and 7.
    assert_eq!(ranked.repairs, Repairs { well_formed: 6 * 7, ..Repairs::default() });
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 6 * 7);
    let first = &requests[0];
    assert_eq!(first.path, "/v1/chat/completions");
    assert_eq!((&first.body["model"], &first.body["temperature"]), (&json!("m"), &json!(0.5)));
    assert!(prompt(first).contains("Search query: which number?") && prompt(first).contains("all 10 passages"));
}

#[test]
fn a_window_as_long_as_the_list_sorts_it() {
    let server = oracle();
    let texts = [numbers(0..9), numbers([5]), vec![], numbers([1, 2])];
    let ranked = permuter(20, 10).rank(&mut pool(&server), &lists(&texts)).unwrap();
    let orders: Vec<Vec<usize>> = ranked.rankings.into_iter().map(|ranking| ranking.order).collect();
    assert_eq!(orders, [(0..9).rev().collect(), vec![0], vec![], vec![1, 0]]);
    assert_eq!(server.count(), 2);
}

#[test]
fn answers_are_repaired_and_counted() {
    let answers =
        ["[3] > [1] > [2]", "[3] > [3] > [7]", "I cannot do that.", "<think>[1] [2]</think>[2] > [1]", "<think>[1]"];
    for (answer, order, omissions, repairs) in [
        (0, [2, 0, 1], [0, 0, 0], Repairs { well_formed: 1, ..Repairs::default() }),
        (1, [2, 0, 1], [1, 1, 0], Repairs { repaired: 1, repeated: 1, unknown: 1, missing: 2, ..Repairs::default() }),
        (2, [0, 1, 2], [0, 0, 0], Repairs { empty: 1, ..Repairs::default() }),
        (3, [1, 0, 2], [0, 0, 1], Repairs { repaired: 1, missing: 1, ..Repairs::default() }),
        (4, [0, 1, 2], [0, 0, 0], Repairs { empty: 1, ..Repairs::default() }),
    ] {
        let server = Mock::start(move |_| says(answers[answer]));
        let ranked = permuter(4, 2).rank(&mut pool(&server), &lists(&[numbers(0..3)])).unwrap();
        assert_eq!(ranked.rankings, [Ranking { order: order.into(), omissions: omissions.into() }], "{answer}");
        assert_eq!(ranked.repairs, repairs, "{answer}");
    }
}

#[test]
fn documents_after_a_cut_are_no_omissions() {
    let server = Mock::start(|_| {
        Answer::Json(json!({ "choices": [{ "message": { "content": "[2] > [" }, "finish_reason": "length" }] }))
    });
    let ranked = permuter(4, 2).rank(&mut pool(&server), &lists(&[numbers(0..3)])).unwrap();
    assert_eq!(ranked.rankings, [Ranking { order: vec![1, 0, 2], omissions: vec![0; 3] }]);
    assert_eq!(ranked.repairs, Repairs { repaired: 1, cut: 1, missing: 2, ..Repairs::default() });
}

#[test]
fn answers_of_another_form_are_errors() {
    let server = Mock::start(|_| Answer::Json(json!({ "text": "[1]" })));
    let message = permuter(4, 2).rank(&mut pool(&server), &lists(&[numbers(0..3)])).unwrap_err().to_string();
    let expected =
        "query q0, documents d0 to d2 (3): expected a text in choices[0].message.content, found {\"text\":\"[1]\"}";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn bad_configurations_are_refused() {
    let refused = |config: PermutationConfig| Permuter::new(&config).unwrap_err().to_string();
    let config = PermutationConfig::default;
    assert!(refused(PermutationConfig { window: 1, ..config() }).starts_with("window: expected at least 2, found 1"));
    assert!(refused(PermutationConfig { step: 20, ..config() }).starts_with("step: expected at least 1 and less than"));
    assert!(refused(PermutationConfig { max_tokens: 0, ..config() }).starts_with("max_tokens:"));
    let no = YesNo::new(&YesNoConfig { no: " YES".into(), ..YesNoConfig::default() }).unwrap_err();
    assert!(no.to_string().starts_with("no: expected a word other than `yes`"), "{no}");
    assert!(serde_json::from_str::<PermutationConfig>(r#"{"windows": 3}"#).is_err());
}

#[test]
fn templates_are_files_of_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.txt");
    std::fs::write(&path, "--- user\nRank {query}: {passages}\n").unwrap();
    let server = oracle();
    let config = PermutationConfig { template: Some(path.clone()), ..PermutationConfig::default() };
    Permuter::new(&config).unwrap().rank(&mut pool(&server), &lists(&[numbers(0..2)])).unwrap();
    assert_eq!(prompt(&server.requests.lock().unwrap()[0]), "Rank which number?: [1] 0\n[2] 1");
    let grades = GradeConfig { template: Some(path.clone()), ..GradeConfig::default() };
    let message = Grader::new(&grades).unwrap_err().to_string();
    assert_eq!(
        message,
        format!("{}: expected the place {{document}}, found none; correct the template", path.display())
    );
}

/// An answer whose first token has these alternatives.
fn tokens(tokens: &[(&str, f64)]) -> Value {
    let top: Vec<Value> = tokens.iter().map(|(token, logprob)| json!({ "token": token, "logprob": logprob })).collect();
    let first = json!({ "token": top[0]["token"], "logprob": top[0]["logprob"], "top_logprobs": top });
    json!({ "choices": [{ "message": { "content": tokens[0].0 }, "logprobs": { "content": [first] } }] })
}

fn judged(answer: Value) -> Result<YesNoScores, String> {
    let server = Mock::start(move |_| Answer::Json(answer.clone()));
    let judge = YesNo::new(&YesNoConfig::default()).unwrap();
    let scores = judge.score(&mut pool(&server), &lists(&[numbers(0..1)])).map_err(|error| error.to_string());
    let requests = server.requests.lock().unwrap();
    let body = &requests[0].body;
    assert_eq!((&body["logprobs"], &body["top_logprobs"], &body["max_tokens"]), (&json!(true), &json!(20), &json!(1)));
    scores
}

#[test]
fn yes_and_no_are_weighed_by_their_probabilities() {
    let ln = f64::ln;
    let answer =
        tokens(&[("Yes", ln(0.4)), (" yes", ln(0.2)), ("No", ln(0.1)), ("\u{2581}NO", ln(0.05)), ("Maybe", ln(0.02))]);
    let found = judged(answer).unwrap();
    assert!((found.scores[0][0] - (ln(0.6) - ln(0.15))).abs() < 1e-12, "{found:?}");
    assert_eq!((found.without_yes, found.without_no), (0, 0));
    let without_no = judged(tokens(&[("Yes", -0.5), ("Maybe", -4.0), ("Well", -3.0)])).unwrap();
    assert_eq!(without_no, YesNoScores { scores: vec![vec![3.5]], without_yes: 0, without_no: 1 });
    let without_yes = judged(tokens(&[("no", -0.25), ("Maybe", -9999.0)])).unwrap();
    assert_eq!(without_yes, YesNoScores { scores: vec![vec![-9998.75]], without_yes: 1, without_no: 0 });
}

#[test]
fn answers_without_both_words_or_probabilities_are_errors() {
    let message = judged(tokens(&[("<think>", -0.1), ("Maybe", -4.0)])).unwrap_err();
    assert!(
        message.contains("query q0, document d0: expected \"yes\" or \"no\" as the first token, found"),
        "{message}"
    );
    assert!(
        message.ends_with("raise top_logprobs, or change the template so that the model answers with the word alone")
    );
    let missing = judged(json!({ "choices": [{ "message": { "content": "Yes" }, "logprobs": null }] })).unwrap_err();
    assert!(missing.contains("expected tokens with finite log-probabilities"), "{missing}");
    assert!(missing.contains("ask a server that returns log-probabilities"), "{missing}");
    let token = json!({ "token": "Yes", "top_logprobs": [{ "token": "Yes", "logprob": null }] });
    let null = judged(json!({ "choices": [{ "message": {}, "logprobs": { "content": [token] } }] })).unwrap_err();
    assert!(null.contains("expected tokens with finite log-probabilities"), "{null}");
}

#[test]
fn scores_and_grades_stand_in_the_order_of_the_documents() {
    let number = |request: &Request| -> f64 {
        let prompt = prompt(request);
        prompt.lines().find_map(|line| line.strip_prefix("Document: ")).unwrap().parse().unwrap()
    };
    let server = Mock::start(move |request| {
        let number = number(request);
        match request.body.get("logprobs") {
            Some(_) => Answer::Json(tokens(&[("Yes", -1.0), ("No", -1.0 - number)])),
            None => says(&format!("{}", number % 4.0)),
        }
    });
    let texts = [numbers(0..5), vec![], numbers(5..8)];
    let lists = lists(&texts);
    let found = YesNo::new(&YesNoConfig::default()).unwrap().score(&mut pool(&server), &lists).unwrap();
    assert_eq!(found.scores, [vec![0.0, 1.0, 2.0, 3.0, 4.0], vec![], vec![5.0, 6.0, 7.0]]);
    let seen = Mutex::new(Vec::new());
    let see = |list: usize, document: usize, graded: &Graded| seen.lock().unwrap().push((list, document, graded.grade));
    let found = Grader::new(&GradeConfig::default()).unwrap().grade(&mut pool(&server), &lists, &see).unwrap();
    let grades: Vec<Vec<u8>> =
        found.iter().map(|list| list.iter().filter_map(|graded| graded.grade).collect()).collect();
    assert_eq!(grades, [vec![0, 1, 2, 3, 0], vec![], vec![1, 2, 3]]);
    let places = found
        .iter()
        .enumerate()
        .flat_map(|(list, all)| all.iter().enumerate().map(move |(document, graded)| (list, document, graded.grade)));
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert!(places.eq(seen));
}

#[test]
fn a_grade_is_asked_for_twice() {
    let count = AtomicUsize::new(0);
    let server =
        Mock::start(move |_| says(if count.fetch_add(1, Ordering::SeqCst) == 0 { "Well, 2 or 3." } else { "2" }));
    let grader = Grader::new(&GradeConfig::default()).unwrap();
    let grade = |server: &Mock| grader.grade(&mut pool(server), &lists(&[numbers(0..1)]), &|_, _, _| ());
    let graded = |grade, answer: &str| vec![vec![Graded { grade, answer: answer.into(), is_second: true }]];
    assert_eq!(grade(&server).unwrap(), graded(Some(2), "2"));
    let requests = server.requests.lock().unwrap();
    let (first, second) = (&requests[0].body["messages"], &requests[1].body["messages"]);
    assert_eq!(second[2], json!({ "role": "assistant", "content": "Well, 2 or 3." }));
    assert_eq!((first.as_array().unwrap().len(), second.as_array().unwrap().len()), (2, 4));

    let never = Mock::start(|_| says("It depends."));
    assert_eq!(grade(&never).unwrap(), graded(None, "It depends."));
    assert_eq!(never.count(), 2);

    let other = Mock::start(|_| Answer::Json(json!({ "text": "2" })));
    let message = grade(&other).unwrap_err().to_string();
    let expected = "query q0, document d0: expected a text in choices[0].message.content, found";
    assert!(message.contains(expected), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With windows that overlap by half, the best half window is found whatever the order and length of the list.
    #[test]
    fn windows_find_the_best(texts in (2_usize..30).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
                             half in 1_usize..5) {
        let server = oracle();
        let all = [numbers(texts.iter().copied())];
        let ranked = permuter(2 * half, half).rank(&mut pool(&server), &lists(&all)).unwrap();
        let best = ranked.rankings[0].order.iter().take(half.min(texts.len())).map(|&place| texts[place]);
        prop_assert!(best.eq((0..texts.len()).rev().take(half)));
    }
}
