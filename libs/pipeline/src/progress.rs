//! Progress: a bar with rate and remaining time on a terminal, a log line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one loop of known length.
#[derive(Debug)]
pub struct Progress {
    label: String,
    total: u64,
    done: u64,
    /// What was done before this run: it says nothing of the rate.
    before: u64,
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Begins a loop of `total` steps; `bars` allows a bar where stderr is a terminal. Stages take
    /// [`StageContext::progress`](crate::StageContext::progress).
    #[must_use]
    pub fn new(label: &str, total: u64, bars: bool) -> Progress {
        let bar = (bars && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = "{prefix:>20} {wide_bar} {pos}/{len} {per_sec} eta {eta} {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(label.to_string());
            bar
        });
        let now = Instant::now();
        Progress { label: label.into(), total, done: 0, before: 0, bar, started: now, last_line: now }
    }

    /// Notes how much an interrupted run had done.
    pub fn go_on_from(&mut self, done: u64) {
        (self.done, self.before) = (done, done);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    /// Sets how much is done, with a message such as the current loss.
    pub fn set(&mut self, done: u64, message: &str) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message.to_string());
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let rate = done.saturating_sub(self.before) as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
            let eta = self.total.saturating_sub(done) as f64 / rate.max(1e-9);
            tracing::info!("{}: {done}/{} {rate:.1}/s eta {eta:.0}s {message}", self.label, self.total);
        }
    }

    /// Adds to what is done.
    pub fn add(&mut self, more: u64) {
        self.set(self.done + more, "");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
