//! The listener: HTTP/1.1 and HTTP/2 on one port, bounded, drained on request.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

use crate::connection::{Connection, Connections, Entered};
use crate::in_flight::InFlight;
use crate::lingering::Lingering;
use crate::opening::Opening;
use crate::peer::PeerAddress;
use crate::sending::Sending;
use crate::taking::taken;

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct ServerConfig {
    /// Connections held at once. For the next ones those that were idle for longest make room; where all are in use
    /// they wait in the system's queue.
    pub connections_max: usize,
    /// Time a caller has to send the first bytes of a connection, and then the head of each request.
    pub header_time_max: Duration,
    /// Longest time in which the other side of a connection takes nothing of what is to be sent, or in HTTP/2 less than
    /// 16 KiB of an answer that ends by itself.
    pub write_time_max: Duration,
    /// A connection of HTTP/2 on which nothing was asked for so long is closed.
    pub idle_time_max: Duration,
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
            idle_time_max: Duration::from_secs(600),
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
#[derive(Debug)]
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
/// For a connection that is told to leave to do so in order.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);
/// One in so many connections makes room at once where all places are taken.
const LEAVING_PART: usize = 100;
/// Looks at each connection in the time that an answer may lie.
const LOOKS: u32 = 4;

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
    let (draining, _) = watch::channel(false);
    let in_flight = InFlight::default();
    let connections =
        Served { builder, service, all: Arc::default(), in_flight: in_flight.clone(), draining, config };
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &room, &connections.all) => accepted,
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
    let (open, requests) = (connections.all.count(), in_flight.count());
    tracing::info!(connections = open, requests, "finishing what is in flight");
    connections.draining.send_replace(true);
    // Each connection listens as long as it lives.
    match tokio::time::timeout(config.drain_time_max, connections.draining.closed()).await {
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
    all: &Arc<Connections>,
) -> io::Result<(TcpStream, PeerAddress, OwnedSemaphorePermit)> {
    let (stream, peer) = listener.accept().await?;
    let permit = loop {
        if let Ok(permit) = room.clone().try_acquire_owned() {
            break permit;
        }
        all.make_room((all.count() / LEAVING_PART).max(1));
        // Those that were told need a moment; where nobody was idle, someone may be by then.
        let waited = tokio::time::timeout(ACCEPT_PAUSE, room.clone().acquire_owned());
        if let Ok(permit) = waited.await {
            break permit.map_err(io::Error::other)?;
        }
    };
    // A receipt is one small write: it must not wait for more.
    stream.set_nodelay(true)?;
    Ok((stream, PeerAddress(peer), permit))
}

/// What a connection has of its listener. A request that goes on without it, as WebSocket does, keeps this: its place is
/// taken, and a stop waits for it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
    draining: watch::Receiver<bool>,
}

impl Held {
    /// Comes back once the listener closes.
    pub async fn is_to_end(&self) {
        drained(&mut self.draining.clone()).await;
    }
}

struct Served<S> {
    builder: auto::Builder<TokioExecutor>,
    service: S,
    all: Arc<Connections>,
    in_flight: InFlight,
    draining: watch::Sender<bool>,
    config: ServerConfig,
}

impl<S: Answers> Served<S> {
    fn open(&self, stream: TcpStream, peer: PeerAddress, permit: OwnedSemaphorePermit) {
        let (builder, draining, config) = (self.builder.clone(), self.draining.subscribe(), self.config);
        let held = Arc::new(Held { _permit: permit, _counted: Counted::new(), draining });
        let entered = self.all.enter();
        let service = Observed {
            service: self.service.clone(),
            peer,
            connection: entered.connection.clone(),
            held: Arc::downgrade(&held),
            in_flight: self.in_flight.clone(),
        };
        let stream = Opening::new(stream, config.header_time_max);
        let stream = Lingering::new(Sending::new(stream, config.write_time_max), entered.connection.clone());
        let stream = TokioIo::new(stream);
        tokio::spawn(async move {
            serve_one(&builder, stream, service, &entered, held.draining.clone(), config).await;
            drop((held, entered));
        });
    }
}

/// Serves one connection until it ends, or has to.
async fn serve_one<I, S>(
    builder: &auto::Builder<TokioExecutor>,
    stream: I,
    service: Observed<S>,
    entered: &Entered,
    mut draining: watch::Receiver<bool>,
    config: ServerConfig,
) where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: Answers,
{
    let mut serving = pin!(builder.serve_connection_with_upgrades(stream, TowerToHyperService::new(service)));
    let mut looks = tokio::time::interval((config.write_time_max / LOOKS).max(Duration::from_millis(1)));
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut is_draining, mut leaves_by) = (false, None::<Instant>);
    loop {
        tokio::select! {
            // A caller that breaks off is the caller's business.
            ended = serving.as_mut() => {
                if let Err(problem) = ended {
                    tracing::debug!(%problem, "a connection ended early");
                }
                return;
            }
            () = drained(&mut draining), if !is_draining => {
                is_draining = true;
                serving.as_mut().graceful_shutdown();
            }
            () = entered.connection.told_to_leave(), if leaves_by.is_none() => {
                leaves_by = Some(Instant::now() + LEAVE_TIME_MAX);
                serving.as_mut().graceful_shutdown();
            }
            () = passed(leaves_by) => {
                if entered.connection.idle_since().is_some() {
                    return;
                }
                // It asked once more before it was told; the answer is its last.
                leaves_by = Some(Instant::now() + LEAVE_TIME_MAX);
            }
            _ = looks.tick() => {
                if entered.connection.is_stalled(config.write_time_max) {
                    tracing::debug!("a connection is closed on which an answer was left lying");
                    return;
                }
                let idle = entered.connection.idle_since().map(|since| since.elapsed());
                if leaves_by.is_none() && idle.is_some_and(|idle| idle >= config.idle_time_max) {
                    leaves_by = Some(Instant::now() + LEAVE_TIME_MAX);
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Comes back once the listener closes, or is gone.
async fn drained(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Comes back at that time; never, without one.
async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The service of one connection: it knows who is at the other side, and what is asked on it.
#[derive(Clone)]
struct Observed<S> {
    service: S,
    peer: PeerAddress,
    connection: Arc<Connection>,
    held: Weak<Held>,
    in_flight: InFlight,
}

impl<S: Answers> Service<Request<Incoming>> for Observed<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.connection.clone());
        if let Some(held) = self.held.upgrade() {
            request.extensions_mut().insert(held);
        }
        let (asked, version) = (self.connection.ask(), request.version());
        let pass = self.in_flight.enter(request.method(), request.uri());
        let answering = self.service.call(request);
        Box::pin(async move {
            let answer = taken(answering.await?, version, asked);
            drop(pass);
            Ok(answer)
        })
    }
}
