//! A headless Chromium, driven as W3C WebDriver says.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Long enough for a page of many charts on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The Tab key of WebDriver's actions.
pub(crate) const TAB: char = '\u{e004}';
/// The Enter key.
pub(crate) const ENTER: char = '\u{e007}';
/// The right arrow key.
pub(crate) const RIGHT: char = '\u{e014}';

/// A browser with one window, which is closed at the end.
pub(crate) struct Browser {
    driver: Child,
    /// What the driver says; a closed pipe would end it.
    said: BufReader<ChildStdout>,
    agent: ureq::Agent,
    /// The address of its session.
    session: String,
}

impl Browser {
    /// Starts a browser; where there is none, prints why the test is skipped.
    pub(crate) fn start() -> Option<Browser> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut driver) = command.spawn() else {
            println!("skipped: there is no chromedriver; on Debian, the packages chromium and chromium-driver have it");
            return None;
        };
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let session = format!("http://127.0.0.1:{}", port(&mut said));
        let settings = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let mut browser = Browser { driver, said, agent: settings.proxy(None).build().new_agent(), session };
        let options = json!({ "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let answer = browser.command("/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        browser.session += &format!("/session/{}", answer["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// Opens a file.
    pub(crate) fn open(&self, path: &Path) {
        let path = path.canonicalize().unwrap();
        self.open_url(&format!("file://{}", path.display()));
    }

    /// Opens an address.
    pub(crate) fn open_url(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    /// Sets the size of the window in pixels of CSS, and the colour scheme that its user prefers.
    pub(crate) fn show(&self, (width, height): (u32, u32), scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// What a script in the page returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script in the page returns true.
    #[track_caller]
    pub(crate) fn wait_until(&self, script: &str) {
        let began = Instant::now();
        while self.run(script) != true {
            assert!(began.elapsed() < PATIENCE, "{script}: not true after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses a key some times.
    pub(crate) fn press(&self, key: char, times: usize) {
        let once = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let all: Vec<Value> = std::iter::repeat_n(once, times).flatten().collect();
        self.command("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": all }] }));
    }

    /// What the browser wrote to its console.
    pub(crate) fn console(&self) -> Vec<String> {
        let log = self.command("/se/log", &json!({ "type": "browser" }));
        log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        self.command("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        let sent = self.agent.post(format!("{}{path}", self.session)).send(body.to_string());
        let mut answer = sent.unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{path}: {text}");
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value["value"].take()
    }
}

/// The port that the driver chose.
fn port(said: &mut BufReader<ChildStdout>) -> u16 {
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        if let Some((_, port)) = line.trim_end().split_once("successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
        line.clear();
    }
    panic!("chromedriver ended without the port that it listens on");
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // Whatever it still said is not of interest.
        let _ = std::io::copy(&mut self.said, &mut std::io::sink());
    }
}
