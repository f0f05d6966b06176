//! One process of the event service: its doors stay open while terms of writing come and go.
//!
//! One process at a time writes a log (see [`EventStore`]). An instance writes when the store lets it, passes every
//! request on to the one that does otherwise, and opens the log again when its own term ends. Its callers see 503 with
//! `Retry-After` in between, and nothing that was acknowledged is lost: the next term reads it from the store.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use stateset_sequencer::{EventStore, Holder, LogError, Sequencer, StartError, Worker};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::ApiConfig;
use crate::front::{Door, Post, Posts};
use crate::server::{ServerConfig, serve};
use crate::supervisor::Supervisor;

/// What is done when a term begins, before its first request: the bootstrap key, keys of the configuration.
pub type OnTerm = Arc<dyn Fn(Sequencer) -> TermStart + Send + Sync>;
type TermStart = Pin<Box<dyn Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// Configuration of one instance.
#[derive(Clone)]
pub struct InstanceConfig {
    pub sequencer: stateset_sequencer::Config,
    pub api: ApiConfig,
    pub server: ServerConfig,
    pub on_term: OnTerm,
    /// What runs beside each term of writing.
    pub workers: Vec<Arc<dyn Worker>>,
}

/// Why an instance could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("the event store cannot be opened: {0}")]
    Open(#[source] LogError),
    #[error("the service cannot start: {0}")]
    Start(#[source] StartError),
    #[error("the service cannot be prepared: {0}")]
    Prepare(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the service did not stop in order: {0}")]
    Stop(#[source] io::Error),
}

/// What an instance does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It writes the log.
    Writer,
    /// Another process writes the log, and is sent what comes here.
    Standby(Holder),
    /// The store can't be reached, or a term has just ended; it is tried again.
    Away,
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Running,
    /// Requests in flight are finished, new ones refused.
    Draining,
    /// Nobody asks any more: the log is closed.
    Closing,
}

/// A running instance. Dropping it leaves it running; [`Instance::stop`] ends it in order.
pub struct Instance {
    posts: Posts,
    stage: watch::Sender<Stage>,
    failure: watch::Receiver<Option<Arc<InstanceError>>>,
    listeners: Vec<JoinHandle<io::Result<()>>>,
    supervisor: JoinHandle<()>,
    config: ServerConfig,
}

impl Instance {
    /// Opens the doors, then the store. Returns once it is known whether this instance writes, stands by, or must
    /// wait for a store that can't be reached ([`Role::Away`]); the doors answer 503 until then.
    ///
    /// # Errors
    /// [`InstanceError`], where trying again would not help; the doors are closed then.
    pub async fn start(
        store: Arc<dyn EventStore>,
        rest: TcpListener,
        grpc: Option<TcpListener>,
        config: InstanceConfig,
    ) -> Result<Self, InstanceError> {
        let posts = Posts::new(store.me().and_then(|me| me.secret.clone()));
        let (stage, stages) = watch::channel(Stage::Running);
        let (fail, failure) = watch::channel(None);
        let (known, first) = oneshot::channel();
        let server = config.server;
        let shares = 2 * server.share();
        let of_requests = ServerConfig { drain_time_max: server.drain_time_max - shares, ..server };
        let supervisor = Supervisor::new(store, config, posts.clone(), stages.clone(), fail);
        let supervisor = tokio::spawn(supervisor.run(known));
        let doors = [(Some(rest), Door::Rest), (grpc, Door::Grpc)];
        let listeners = doors.into_iter().filter_map(|(listener, door)| Some((listener?, door)));
        let listeners = listeners
            .map(|(listener, door)| {
                let draining = reached(stages.clone(), Stage::Draining);
                tokio::spawn(serve(listener, posts.door(door), of_requests, draining))
            })
            .collect();
        let instance = Self { posts, stage, failure, listeners, supervisor, config: server };
        // The supervisor always tells, unless it panicked.
        match first.await {
            Ok(Ok(())) => Ok(instance),
            Ok(Err(error)) => {
                let _ = instance.stop().await;
                Err(error)
            }
            Err(_) => {
                let _ = instance.stop().await;
                Err(InstanceError::Stop(io::Error::other("its supervisor is gone")))
            }
        }
    }

    /// What this instance does now.
    pub fn role(&self) -> Role {
        match &*self.posts.now() {
            Post::Writer { .. } => Role::Writer,
            Post::Standby(peer) => Role::Standby(peer.holder().clone()),
            Post::Away => Role::Away,
        }
    }

    /// The sequencer of the present term, if this instance writes.
    pub fn sequencer(&self) -> Option<Sequencer> {
        match &*self.posts.now() {
            Post::Writer { sequencer, .. } => Some(sequencer.clone()),
            Post::Standby(_) | Post::Away => None,
        }
    }

    /// Comes back if the instance ends by itself, since trying again would not help. Its doors stay open, and not
    /// ready, until [`Self::stop`].
    pub fn ended(&self) -> impl Future<Output = Arc<InstanceError>> + Send + use<> {
        let mut failure = self.failure.clone();
        async move {
            if let Ok(failure) = failure.wait_for(Option::is_some).await
                && let Some(error) = &*failure
            {
                return error.clone();
            }
            // Stopped in order: it will never fail.
            std::future::pending().await
        }
    }

    /// Ends it in order: live readers are dismissed, requests in flight finished and answered, new ones refused; then
    /// the log is closed, so that another process can take over at once. All of it takes at most
    /// [`ServerConfig::drain_time_max`].
    ///
    /// # Errors
    /// [`InstanceError::Stop`] when requests were cut off, or the store did not let go in the same time.
    pub async fn stop(self) -> Result<(), InstanceError> {
        let deadline = tokio::time::Instant::now() + self.config.drain_time_max;
        self.stage.send_replace(Stage::Draining);
        let mut stopped = Ok(());
        for listener in self.listeners {
            let drained = listener.await.map_err(io::Error::other).and_then(|drained| drained);
            stopped = stopped.and(drained);
        }
        self.stage.send_replace(Stage::Closing);
        let closed = tokio::time::timeout_at(deadline, self.supervisor).await;
        let closed = match closed {
            Ok(ended) => ended.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the event store did not close in time")),
        };
        stopped.and(closed).map_err(InstanceError::Stop)
    }
}

/// Comes back once the stop has come as far as `stage`, or nobody is left to say.
pub(crate) async fn reached(mut stages: watch::Receiver<Stage>, stage: Stage) {
    let _ = stages.wait_for(|now| *now >= stage).await;
}
