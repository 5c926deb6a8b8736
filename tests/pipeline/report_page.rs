//! `report.html` in a browser: drawn, readable on a telephone and in both colour schemes, and usable by keyboard. Runs where
//! there is a chromedriver.

use std::path::Path;

use serde_json::{Value, json};

use crate::browser::{Browser, ENTER, RIGHT, TAB};
use crate::evaluate_files::evaluated_outside;
use crate::sandbox::Sandbox;

/// The checks in the page.
const CHECKS: &str = include_str!("report_page.js");

const TELEPHONE: (u32, u32) = (390, 844);
const DESKTOP: (u32, u32) = (1280, 900);

#[test]
fn the_page_is_drawn_readable_and_usable_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::finished();
    let [charts, details] = checked(&browser, &sandbox.run_path("evaluate/report.html"));
    assert!(charts >= 15 && details >= 40, "{charts} charts, {details} details");
    // Runs of other systems have neither trainings nor titles.
    evaluated_outside(&sandbox);
    let [charts, details] = checked(&browser, &sandbox.path("outside/report.html"));
    assert!(charts >= 2 && details >= 10, "{charts} charts, {details} details");
}

/// Checks a page; returns how many charts and details it has.
#[track_caller]
fn checked(browser: &Browser, path: &Path) -> [u64; 2] {
    browser.show(TELEPHONE, "light");
    browser.open(path);
    browser.run(CHECKS);
    keyboard(browser);
    browser.run("page.openAll()");
    for (size, scheme) in [(TELEPHONE, "light"), (TELEPHONE, "dark"), (DESKTOP, "dark"), (DESKTOP, "light")] {
        browser.show(size, scheme);
        browser.wait_until("return page.settled()");
        assert_eq!(browser.run("return page.isDark()"), scheme == "dark");
        for check in ["undrawn", "tooWide", "faint", "brokenNumbers"] {
            assert_eq!(browser.run(&format!("return page.{check}()")), json!([]), "{check} at {size:?}, {scheme}");
        }
    }
    for check in ["unlabelled", "misplacedHeadings", "brokenLinks", "loaded"] {
        assert_eq!(browser.run(&format!("return page.{check}()")), json!([]), "{check}");
    }
    assert_eq!(browser.console(), [""; 0]);
    ["charts", "details"].map(|what| browser.run(&format!("return page.{what}()")).as_u64().unwrap())
}

/// The Tab key reaches every chart and everything that opens; Enter opens, arrows go through a chart.
#[track_caller]
fn keyboard(browser: &Browser) {
    browser.wait_until("return page.settled()");
    browser.run("page.watchFocus()");
    let stops = browser.run("return page.focusable()").as_u64().unwrap();
    browser.press(TAB, stops as usize + 2);
    assert_eq!(browser.run("return page.unreached()"), json!([]));
    browser.run("document.querySelector('.chart').focus()");
    assert_eq!(browser.run("return page.hovered()"), 0);
    browser.press(RIGHT, 2);
    browser.wait_until("return page.hovered() > 0");
    browser.run("document.querySelector('summary').focus()");
    let is_open = || browser.run("return document.querySelector('details').open");
    assert_eq!(is_open(), Value::Bool(false));
    browser.press(ENTER, 1);
    assert_eq!(is_open(), Value::Bool(true));
}
