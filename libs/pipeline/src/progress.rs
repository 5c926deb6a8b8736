//! Progress: a bar with rate and remaining time on a terminal, a log line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

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
            if let Ok(style) = ProgressStyle::with_template("{prefix:>20} {wide_bar} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(label.to_string());
            bar
        });
        let now = Instant::now();
        Progress { label: label.into(), total, done: 0, before: 0, bar, started: now, last_line: now }
    }

    /// Notes how much an interrupted run had done; the rate is that of what is done from now on.
    pub fn go_on_from(&mut self, done: u64) {
        (self.done, self.before, self.started) = (done, done, Instant::now());
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Sets how much is done, with a message such as the current loss.
    pub fn set(&mut self, done: u64, message: &str) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(joined(&[&self.speed(self.started.elapsed()), message]));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let done = format!("{done}/{}", self.total);
            tracing::info!("{}: {}", self.label, joined(&[&done, &self.speed(self.started.elapsed()), message]));
        }
    }

    /// Adds to what is done.
    pub fn add(&mut self, more: u64) {
        self.set(self.done + more, "");
    }

    /// Steps a second and the remaining time, after `elapsed`; nothing while no step says what they are.
    fn speed(&self, elapsed: Duration) -> String {
        let (done, seconds) = (self.done.saturating_sub(self.before), elapsed.as_secs_f64());
        if done == 0 || seconds == 0.0 {
            return String::new();
        }
        let rate = done as f64 / seconds;
        let left =
            Duration::try_from_secs_f64(self.total.saturating_sub(self.done) as f64 / rate).unwrap_or(Duration::MAX);
        format!("{}/s, {} left", three_digits(rate), HumanDuration(left))
    }
}

/// The parts that say something, with commas between them.
fn joined(parts: &[&str]) -> String {
    parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// A positive number with three digits that count, and all digits before the point.
fn three_digits(number: f64) -> String {
    let before_point = number.log10().floor() as i32 + 1;
    let decimals = usize::try_from(3 - before_point).unwrap_or(0).min(6);
    format!("{number:.decimals$}")
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_this_run_with_three_digits() {
        let mut progress = Progress::new("x", 1000, false);
        assert_eq!(progress.speed(Duration::from_secs(5)), "");
        progress.go_on_from(900);
        assert_eq!(progress.speed(Duration::from_secs(5)), "");
        progress.set(910, "");
        assert_eq!(progress.speed(Duration::from_secs(5)), "2.00/s, 45 seconds left");
        progress.set(1000, "");
        assert_eq!(progress.speed(Duration::from_secs(3000)), "0.0333/s, 0 seconds left");
    }

    #[test]
    fn rates_have_three_digits_that_count() {
        let cases = [(0.012_345, "0.0123"), (1.0, "1.00"), (9.996, "10.00"), (597.3496, "597"), (18_512.6, "18513")];
        for (rate, text) in cases {
            assert_eq!(three_digits(rate), text);
        }
    }
}
