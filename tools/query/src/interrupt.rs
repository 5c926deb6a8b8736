//! Ctrl-C ends the statement that runs, not the program; a second one and SIGTERM end both.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use duckdb::{Connection, InterruptHandle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Added to a signal, it is the exit code that a shell gives a process which the signal ended.
const ENDED_BY_SIGNAL: i32 = 128;

/// Whether the user has asked for an end.
#[derive(Clone)]
pub(crate) struct Interrupts {
    asked: Arc<AtomicBool>,
    statement: Arc<InterruptHandle>,
}

impl Interrupts {
    /// Of the statements on a connection.
    pub(crate) fn of(connection: &Connection) -> Interrupts {
        Interrupts { asked: Arc::default(), statement: connection.interrupt_handle() }
    }

    /// Takes Ctrl-C and SIGTERM from now on. A second Ctrl-C before the statement has ended, and SIGTERM, remove the folder
    /// `scratch` and end the program.
    ///
    /// # Errors
    /// Where the system refuses it.
    pub(crate) fn listen(&self, scratch: &Path) -> anyhow::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("Ctrl-C cannot be taken")?;
        let (this, scratch) = (self.clone(), scratch.to_path_buf());
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if signal == SIGTERM || this.asked.swap(true, Ordering::SeqCst) {
                    // What cannot be removed is left to the system's temporary folder.
                    let _ = std::fs::remove_dir_all(&scratch);
                    std::process::exit(ENDED_BY_SIGNAL + signal);
                }
                this.statement.interrupt();
            }
        });
        Ok(())
    }

    /// True after Ctrl-C.
    pub(crate) fn pending(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Forgets a Ctrl-C, before what it did not mean.
    pub(crate) fn clear(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }
}
