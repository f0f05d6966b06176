//! Behind an instance's doors: asks for the log, holds a term, stands by, tries again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stateset_sequencer::{
    EventLog, EventStore, Holder, LogError, LogErrorKind, Opening, RetryPreset, Sequencer, StartError,
    SystemClock, Workers,
};
use tokio::sync::{oneshot, watch};

use crate::forward::{AnswerTimes, Forwarder};
use crate::front::{Post, Posts};
use crate::instance::{InstanceConfig, InstanceError, Stage, reached};
use crate::router::doors;

/// Between two tries of a standby: bounds the time in which nobody writes after a writer went.
const STANDBY_PAUSE: Duration = Duration::from_millis(250);

pub(crate) struct Supervisor {
    store: Arc<dyn EventStore>,
    config: InstanceConfig,
    posts: Posts,
    stages: watch::Receiver<Stage>,
    failure: watch::Sender<Option<Arc<InstanceError>>>,
    forwarder: Forwarder,
    /// Of the store, in a row.
    failures: u32,
    /// This instance wrote or stood by before: then its store and its configuration are sound, and what goes wrong
    /// may pass.
    served: bool,
}

/// Who waits for the first state.
type First = Option<oneshot::Sender<Result<(), InstanceError>>>;

impl Supervisor {
    pub fn new(
        store: Arc<dyn EventStore>,
        config: InstanceConfig,
        posts: Posts,
        stages: watch::Receiver<Stage>,
        failure: watch::Sender<Option<Arc<InstanceError>>>,
    ) -> Self {
        let times = AnswerTimes { rest: config.api.request_time_max, grpc: config.api.grpc_request_time_max };
        let (breakers, tracer) = (config.sequencer.breakers.clone(), config.sequencer.tracer.clone());
        let forwarder = Forwarder::new(times, config.api.proxies.clone(), breakers, tracer);
        Self { store, config, posts, stages, failure, forwarder, failures: 0, served: false }
    }

    /// Until it is told to stop, or trying again would not help.
    pub async fn run(mut self, known: oneshot::Sender<Result<(), InstanceError>>) {
        let mut first: First = Some(known);
        loop {
            let Some(opening) = self.open().await else { return };
            let wait = match opening {
                Ok(Opening::Held(holder)) => {
                    self.stand_by(holder);
                    tell(&mut first);
                    jittered(STANDBY_PAUSE)
                }
                Ok(Opening::Writer(log)) => match self.term(log, &mut first).await {
                    Ok(lasted) => {
                        // A store that fails each term soon is asked less and less often.
                        if lasted >= RetryPreset::REOPENING.cap {
                            self.failures = 0;
                        }
                        self.next_pause()
                    }
                    Err(error) if self.may_pass(&error) => self.away(&error, &mut first),
                    Err(error) => return self.fail(error, first),
                },
                Err(error) => match InstanceError::Open(error) {
                    error if self.may_pass(&error) => self.away(&error, &mut first),
                    error => return self.fail(error, first),
                },
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = reached(self.stages.clone(), Stage::Draining) => return,
            }
        }
    }

    /// Asks the store; `None` when the instance stops meanwhile.
    async fn open(&self) -> Option<Result<Opening, LogError>> {
        let store = self.store.clone();
        // A thread of its own: reads that wait for a stalled store must not keep it from being opened again. An
        // opening that nobody takes any more is dropped, which gives the log back.
        let opening = off_runtime("open", move || store.open());
        tokio::select! {
            opening = opening => Some(opening.unwrap_or_else(|problem| {
                Err(LogError::Io { doing: "opening the event store".into(), problem })
            })),
            () = reached(self.stages.clone(), Stage::Draining) => None,
        }
    }

    /// One term of writing, from the open log to its close; how long it lasted.
    async fn term(&mut self, log: Box<dyn EventLog>, first: &mut First) -> Result<Duration, InstanceError> {
        let config = self.config.sequencer.clone();
        let starting = off_runtime("start", move || Sequencer::start(log, config, Arc::new(SystemClock)));
        let started =
            starting.await.unwrap_or_else(|problem| Err(StartError::Thread(io::Error::other(problem))));
        let sequencer = started.map_err(InstanceError::Start)?;
        if let Err(problem) = (self.config.on_term)(sequencer.clone()).await {
            let is_over = sequencer.has_ended();
            sequencer.shutdown().await;
            return match is_over {
                // The term is to blame, not what was asked of it.
                true => {
                    tell(first);
                    Ok(Duration::ZERO)
                }
                false => Err(InstanceError::Prepare(problem)),
            };
        }
        let since = Instant::now();
        tracing::info!(store = %self.store.name(), "this instance writes the event log");
        let doors = doors(sequencer.clone(), self.config.api.clone());
        self.posts.change(Post::Writer { doors, sequencer: sequencer.clone() });
        self.served = true;
        tell(first);
        let workers = Workers::start(&self.config.workers, &sequencer);
        tokio::select! {
            () = sequencer.ended() => {
                tracing::warn!(store = %self.store.name(), "this term of writing is over; the event log is opened again");
            }
            () = reached(self.stages.clone(), Stage::Draining) => {
                sequencer.dismiss();
                reached(self.stages.clone(), Stage::Closing).await;
            }
        }
        self.posts.change(Post::Away);
        workers.stop(self.config.server.share()).await;
        sequencer.shutdown().await;
        Ok(since.elapsed())
    }

    fn stand_by(&mut self, holder: Holder) {
        let is_known = match &*self.posts.now() {
            Post::Standby(peer) => *peer.holder() == holder,
            Post::Writer { .. } | Post::Away => false,
        };
        (self.served, self.failures) = (true, 0);
        if is_known {
            return;
        }
        tracing::info!(holder = %holder.instance, store = %self.store.name(), "this instance stands by");
        self.posts.change(Post::Standby(Box::new(self.forwarder.peer(holder))));
    }

    /// The store can't be used now. Gives the time until it is asked again.
    fn away(&mut self, error: &InstanceError, first: &mut First) -> Duration {
        tracing::warn!(%error, store = %self.store.name(), "trying again");
        self.posts.change(Post::Away);
        tell(first);
        self.next_pause()
    }

    fn fail(self, error: InstanceError, first: First) {
        self.posts.change(Post::Away);
        match first {
            Some(first) => drop(first.send(Err(error))),
            None => {
                tracing::error!(%error, store = %self.store.name(), "this instance is over");
                self.failure.send_replace(Some(Arc::new(error)));
            }
        }
    }

    /// Whether trying again may help.
    fn may_pass(&self, error: &InstanceError) -> bool {
        let log = |error: &LogError| match error.kind() {
            LogErrorKind::Unavailable | LogErrorKind::Fenced => true,
            LogErrorKind::NewerSchema => false,
            _ => self.served,
        };
        match error {
            InstanceError::Open(error) | InstanceError::Start(StartError::Log(error)) => log(error),
            InstanceError::Start(StartError::KeyVersionTaken { .. }) => false,
            InstanceError::Start(_) | InstanceError::Prepare(_) => self.served,
            InstanceError::Stop(_) => false,
        }
    }

    fn next_pause(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        RetryPreset::REOPENING.pause(self.failures)
    }
}

/// The first state is known.
fn tell(first: &mut First) {
    if let Some(first) = first.take() {
        // Whoever started the instance may have given up.
        let _ = first.send(Ok(()));
    }
}

/// Up to a quarter more, so that instances that lost the same store do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes they come back in step.
    let _ = getrandom::fill(&mut byte);
    pause + pause.mul_f64(f64::from(byte[0]) / 1024.0)
}

/// Runs what blocks on a thread of its own; an error only when that thread could not be made, or panicked.
async fn off_runtime<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || drop(tell.send(work()))).map_err(|error| error.to_string())?;
    told.await.map_err(|_| format!("the thread {name} panicked"))
}
