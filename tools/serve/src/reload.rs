//! The change of the model while requests come: on SIGHUP, or when its folder changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;

use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::ranker::{Loader, Ranker};

/// How often a folder is looked at. A change counts when it is seen twice, so that a folder is not read while it is written.
const LOOK: Duration = Duration::from_secs(1);

/// The model that is served.
#[derive(Debug)]
pub(crate) struct Served {
    ranker: RwLock<Arc<Ranker>>,
    pub(crate) loader: Loader,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
}

impl Served {
    pub(crate) fn new(ranker: Arc<Ranker>, loader: Loader, queue: Arc<Queue>, metrics: Arc<Metrics>) -> Served {
        Served { ranker: RwLock::new(ranker), loader, queue, metrics }
    }

    /// The model for a request that comes now.
    pub(crate) fn ranker(&self) -> Arc<Ranker> {
        self.ranker.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads the folder again. The model that is served stays if that fails.
    fn reload(&self) {
        let folder = self.loader.folder().display();
        let loaded = match self.loader.load() {
            Ok((ranker, _)) if ranker.identity == self.ranker().identity => {
                tracing::info!(model = %ranker.identity, "{folder}: the model that is served already");
                self.metrics.load("unchanged");
                return;
            }
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!("{folder}: the model was not changed: {error:#}");
                self.metrics.load("failed");
                return;
            }
        };
        let (ranker, speed) = loaded;
        tracing::info!(model = %ranker.identity, "{folder}: another model is served from now on");
        self.metrics.load("changed");
        self.metrics.served(&ranker.identity);
        self.queue.set_speed(speed);
        *self.ranker.write().unwrap_or_else(PoisonError::into_inner) = ranker;
    }
}

/// Starts the thread that loads the folder for each message, and where `watch` is set when the folder has changed. It ends with
/// the sender.
///
/// # Errors
/// Where no thread can be started.
pub(crate) fn start(served: Arc<Served>, watch: bool) -> anyhow::Result<Sender<()>> {
    let (sender, receiver) = channel();
    let work = move || listen(&served, &receiver, watch);
    std::thread::Builder::new().name("reload".into()).spawn(work).context("starting a thread failed")?;
    Ok(sender)
}

fn listen(served: &Served, receiver: &Receiver<()>, watch: bool) {
    let folder = served.loader.folder();
    let mut loaded = state(folder);
    let mut seen = loaded.clone();
    loop {
        let message = if watch { receiver.recv_timeout(LOOK) } else { receiver.recv().map_err(Into::into) };
        let now = state(folder);
        match message {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) if now == seen && now != loaded => {}
            Err(RecvTimeoutError::Timeout) => {
                seen = now;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // What changes from here on is seen as a change.
        (loaded, seen) = (now.clone(), now);
        served.reload();
    }
}

/// Where a folder is, and its files with their sizes and times. A folder that cannot be read has none.
fn state(folder: &Path) -> (PathBuf, Vec<(PathBuf, u64, Option<SystemTime>)>) {
    let place = folder.canonicalize().unwrap_or_default();
    let of_entry = |entry: fs::DirEntry| {
        let about = fs::metadata(entry.path()).ok()?;
        Some((entry.path(), about.len(), about.modified().ok()))
    };
    let mut files: Vec<_> = fs::read_dir(&place).into_iter().flatten().flatten().filter_map(of_entry).collect();
    files.sort();
    (place, files)
}
