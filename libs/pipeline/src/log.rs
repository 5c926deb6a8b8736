//! Logs on stderr: text on a terminal, plain text or JSON lines elsewhere.

use std::io::IsTerminal;

use clap::ValueEnum;

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text, with progress bars on a terminal.
    #[default]
    Text,
    /// One JSON object a line, without progress bars.
    Json,
}

/// Of several ranks, the first alone logs.
pub(crate) fn start(format: LogFormat) {
    if !group::is_first() {
        return;
    }
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).without_time().compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    // A second start in one process (tests) keeps the first subscriber.
    drop(started);
}
