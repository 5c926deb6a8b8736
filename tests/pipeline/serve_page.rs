//! The page of `serve` in a browser: it ranks, is readable on a telephone and in both colour schemes, and is usable by keyboard.
//! Runs where there is a chromedriver.

use serde_json::{Value, json};

use crate::browser::{Browser, ENTER, TAB};
use crate::serving::{Serving, logits};

/// The checks in the page, shared with the report's.
const CHECKS: &str = include_str!("report_page.js");

const TELEPHONE: (u32, u32) = (390, 844);
const DESKTOP: (u32, u32) = (1280, 900);

#[test]
fn the_page_ranks_and_is_readable_and_usable_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let serving = Serving::start(&[]);
    browser.show(TELEPHONE, "light");
    browser.open_url(&serving.url("/"));
    browser.run(CHECKS);
    let texts =
        ["old table", "red shoes", "<b>blue</b> lamp and a word that does not end ".repeat(9).trim().to_owned().leak()];
    fill(&browser, "red shoes", &texts.join("\n\n"));
    assert_eq!(focused_by_tab(&browser), json!(["query", "documents", "SUMMARY", "BUTTON"]));
    browser.press(ENTER, 1);
    browser.wait_until("return document.querySelectorAll('#list li').length === 3");
    let shown = browser.run("return [...document.querySelectorAll('#list p')].map((text) => text.textContent)");
    let texts = texts.map(str::to_owned);
    let scores = logits(&serving.model(), "red shoes", &texts);
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    assert_eq!(shown, json!(order.map(|index| texts[index].as_str())));
    assert!(
        browser
            .run("return document.getElementById('status').textContent")
            .as_str()
            .unwrap()
            .starts_with("3 documents in ")
    );
    for (size, scheme) in [(TELEPHONE, "light"), (TELEPHONE, "dark"), (DESKTOP, "dark"), (DESKTOP, "light")] {
        browser.show(size, scheme);
        assert_eq!(browser.run("return page.isDark()"), scheme == "dark");
        for check in ["tooWide", "faint"] {
            assert_eq!(browser.run(&format!("return page.{check}()")), json!([]), "{check} at {size:?}, {scheme}");
        }
    }
    assert_eq!(browser.run("return page.misplacedHeadings()"), json!([]));
    assert_eq!(
        browser.run(
            "return [...document.querySelectorAll('input, textarea')].filter((field) => !field.labels.length).length"
        ),
        0
    );
    // Nothing is asked of another server.
    let loaded = browser.run("return page.loaded()");
    assert_eq!(loaded, json!([serving.url("/rerank")]));
    assert_eq!(browser.console(), [""; 0]);
    let policy = serving.get("/").headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn the_page_asks_for_a_key_and_tells_what_is_wrong() {
    let Some(browser) = Browser::start() else { return };
    let serving = Serving::start_with(16, &[], |command| {
        command.env("DISRANKER_API_KEYS", "secret");
    });
    browser.open_url(&serving.url("/"));
    fill(&browser, "red", "shoes");
    browser.run("document.querySelector('button').click()");
    browser.wait_until("return document.getElementById('status').classList.contains('wrong')");
    let said = browser.run("return document.getElementById('status').textContent");
    assert!(said.as_str().unwrap().starts_with("expected the header"), "{said}");
    browser.run("document.getElementById('key').value = 'secret'; document.querySelector('button').click()");
    browser.wait_until("return document.querySelectorAll('#list li').length === 1");
}

fn fill(browser: &Browser, query: &str, documents: &str) {
    let (query, documents) = (json!(query), json!(documents));
    let values = format!("{{ query: {query}, documents: {documents} }}");
    browser
        .run(&format!("for (const [id, text] of Object.entries({values})) document.getElementById(id).value = text"));
}

/// What the Tab key reaches up to the button, from the top of the page.
fn focused_by_tab(browser: &Browser) -> Value {
    let name = "({ target }) => window.reached.push(target.id || target.tagName)";
    browser.run(&format!("window.reached = []; document.addEventListener('focusin', {name})"));
    browser.press(TAB, 4);
    browser.run("return window.reached")
}
