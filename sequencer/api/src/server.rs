//! The listener: HTTP/1.1 and HTTP/2 on one port, bounded, drained on request.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Service, ServiceExt as _};

use crate::in_flight::InFlight;
use crate::opening::Opening;
use crate::peer::PeerAddress;
use crate::sending::Sending;

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct ServerConfig {
    /// Connections held at once; the next ones wait in the system's queue.
    pub connections_max: usize,
    /// Time a caller has to send the first bytes of a connection, and then the head of each request.
    pub header_time_max: Duration,
    /// Longest time in which the other side of a connection takes nothing of what is to be sent.
    pub write_time_max: Duration,
    /// Time that requests in flight get after the shutdown began.
    pub drain_time_max: Duration,
}

/// Longest share of workers, and of the store's close, in the time of a stop.
const SHARE_MAX: Duration = Duration::from_secs(5);

impl ServerConfig {
    /// What workers get of `drain_time_max` where that is the time of a whole stop, and the close of the store as much
    /// again: a sixth, and no more than is of use. The rest is for requests.
    pub(crate) fn share(&self) -> Duration {
        (self.drain_time_max / 6).min(SHARE_MAX)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_time_max: Duration::from_secs(15),
            write_time_max: Duration::from_secs(30),
            drain_time_max: Duration::from_secs(30),
        }
    }
}

/// Connections that this process serves now, over all its listeners.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn connections_active() -> u64 {
    CONNECTIONS.load(Relaxed)
}

/// Counts a connection as long as it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        CONNECTIONS.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        CONNECTIONS.fetch_sub(1, Relaxed);
    }
}

/// Wait after a failed accept: it fails when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener serves: a [`axum::Router`], or what stands in front of several.
pub trait Answers:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Answers for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Serves `service` until `shutdown` ends, then lets requests in flight finish.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when some were cut off at the drain deadline.
pub async fn serve(
    listener: TcpListener,
    service: impl Answers,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(config.connections_max));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(config.header_time_max);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(config.header_time_max);
    let connections = Connections {
        builder,
        service,
        in_flight: InFlight::default(),
        graceful: GracefulShutdown::new(),
        opening_time_max: config.header_time_max,
        write_time_max: config.write_time_max,
    };
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => connections.open(stream, peer, permit),
            Err(problem) => {
                tracing::warn!(%problem, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let Connections { graceful, in_flight, .. } = connections;
    let open = graceful.count();
    tracing::info!(connections = open, requests = in_flight.count(), "finishing what is in flight");
    match tokio::time::timeout(config.drain_time_max, graceful.shutdown()).await {
        Ok(()) => Ok(()),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, cut_off(&in_flight))),
    }
}

/// What is cut off, in words; its requests are named in the log.
fn cut_off(in_flight: &InFlight) -> String {
    let (requests, oldest) = (in_flight.count(), in_flight.oldest().join(", "));
    tracing::warn!(requests, oldest, "cut off at the deadline of the stop");
    match requests {
        0 => "answers that were still being read were cut off at the drain deadline".to_owned(),
        _ => format!("{requests} requests were cut off at the drain deadline, the oldest: {oldest}"),
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, PeerAddress, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // A receipt is one small write: it must not wait for more.
    stream.set_nodelay(true)?;
    Ok((stream, PeerAddress(peer), permit))
}

struct Connections<S> {
    builder: auto::Builder<TokioExecutor>,
    service: S,
    in_flight: InFlight,
    graceful: GracefulShutdown,
    opening_time_max: Duration,
    write_time_max: Duration,
}

impl<S: Answers> Connections<S> {
    fn open(&self, stream: TcpStream, peer: PeerAddress, permit: OwnedSemaphorePermit) {
        let (builder, watcher) = (self.builder.clone(), self.graceful.watcher());
        let (service, in_flight) = (self.service.clone(), self.in_flight.clone());
        let service = tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let pass = in_flight.enter(request.method(), request.uri());
            let answer = service.clone().oneshot(request);
            async move {
                let _pass = pass;
                answer.await
            }
        });
        let service = TowerToHyperService::new(service);
        let stream = Sending::new(Opening::new(stream, self.opening_time_max), self.write_time_max);
        let counted = Counted::new();
        tokio::spawn(async move {
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // A caller that breaks off is the caller's business.
            if let Err(problem) = watcher.watch(connection).await {
                tracing::debug!(%problem, "a connection ended early");
            }
            drop((permit, counted));
        });
    }
}
