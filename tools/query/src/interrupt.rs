//! Ctrl-C ends the statement that runs, not the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use duckdb::{Connection, InterruptHandle};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

/// What the shell's own exit code is for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

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

    /// Takes Ctrl-C from now on. A second one before the statement has ended ends the program.
    ///
    /// # Errors
    /// Where the system refuses it.
    pub(crate) fn listen(&self) -> anyhow::Result<()> {
        let mut signals = Signals::new([SIGINT]).context("Ctrl-C cannot be taken")?;
        let this = self.clone();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                if this.asked.swap(true, Ordering::SeqCst) {
                    std::process::exit(INTERRUPTED);
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
