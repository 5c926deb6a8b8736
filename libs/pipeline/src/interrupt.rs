//! Ctrl-C: the process ends with a line that says what is kept and how to go on.

use std::io::{IsTerminal, Write};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// From now on, Ctrl-C or SIGTERM logs `said`, calls `at_end`, and ends the process as the signal does by itself.
///
/// # Errors
/// Where the system refuses to hand over the signals.
pub(crate) fn on_interrupt(said: String, at_end: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be taken")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if std::io::stderr().is_terminal() {
                // The cursor is behind `^C`, or behind a progress bar.
                let _ = writeln!(std::io::stderr());
            }
            tracing::warn!("interrupted: {said}");
            at_end();
            // It does not return for these signals; should it, the next one ends the process.
            let _ = emulate_default_handler(signal);
        }
    });
    Ok(())
}
