//! Connections: how many, for how long, and their end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::arguments::Arguments;
use crate::routes::{Server, router};

/// The pause after a connection could not be taken, as where the process has too many files open.
const PAUSE: Duration = Duration::from_millis(50);
/// How much longer than the deadline of a request the end may take.
const GRACE: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT, and then answers the requests that were read. SIGHUP sends a message to `reload`.
///
/// # Errors
/// An address that cannot be listened on.
pub(crate) async fn serve(arguments: &Arguments, server: Arc<Server>, reload: Sender<()>) -> anyhow::Result<()> {
    let address = SocketAddr::new(arguments.host, arguments.port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("{address}: listening failed"))?;
    let take = |kind| signal(kind).context("signals cannot be taken");
    let mut hangup = take(SignalKind::hangup())?;
    let (mut terminate, mut interrupt) = (take(SignalKind::terminate())?, take(SignalKind::interrupt())?);
    let (address, model) = (listener.local_addr().context("an address")?, server.served.ranker().identity.clone());
    tracing::info!(%address, model, "serving {}", arguments.model.display());
    let connections = Connections {
        router: router(server.clone()),
        free: Arc::new(Semaphore::new(arguments.max_connections)),
        read_timeout: arguments.read_timeout(),
        graceful: GracefulShutdown::new(),
        server,
    };
    loop {
        tokio::select! {
            taken = connections.take(&listener) => connections.start(taken),
            // A thread that ended has logged why.
            _ = hangup.recv() => drop(reload.send(())),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop(listener);
    connections.end(arguments.deadline() + GRACE).await;
    Ok(())
}

struct Connections {
    router: Router,
    /// One permit for each connection that may still come.
    free: Arc<Semaphore>,
    read_timeout: Duration,
    graceful: GracefulShutdown,
    server: Arc<Server>,
}

impl Connections {
    /// The next connection, when there is room for it.
    async fn take(&self, listener: &TcpListener) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        // The semaphore is never closed.
        let permit = self.free.clone().acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, _)) => Some((stream, permit)),
            Err(error) => {
                tracing::warn!("a connection was not taken: {error}");
                sleep(PAUSE).await;
                None
            }
        }
    }

    /// Serves a connection in a task of its own.
    fn start(&self, taken: Option<(TcpStream, OwnedSemaphorePermit)>) {
        let Some((stream, permit)) = taken else { return };
        // Without these the connection is served all the same.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(self.read_timeout));
        let service = TowerToHyperService::new(self.router.clone());
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.read_timeout);
        let connection = self.graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        let open = self.server.metrics.connections.clone();
        open.inc();
        tokio::spawn(async move {
            // What clients break off is their matter.
            let _ = connection.await;
            open.dec();
            drop(permit);
        });
    }

    /// Waits for the answers of the requests that were read, at most `time`.
    async fn end(self, time: Duration) {
        self.server.ends.store(true, Ordering::Relaxed);
        tracing::info!("ending: no new connections; {} are open", self.graceful.count());
        if timeout(time, self.graceful.shutdown()).await.is_err() {
            tracing::warn!("ended with connections whose requests did not come to an end");
        } else {
            tracing::info!("ended: all requests are answered");
        }
    }
}
