//! What this process holds of one entity: where it is found, the connections to it, the questions that it was asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stateset_ledger_types::ids::EntityId;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::CONNECTIONS_OF_ENTITY_MAX;
use crate::error::ConnectionError;
use crate::frame::Frame;
use crate::message::Answer;

/// A connection that was greeted.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) id: u64,
    /// Frames without a place in a session.
    pub(crate) control: mpsc::Sender<Frame>,
    /// There is something to write.
    pub(crate) wake: Arc<Notify>,
    /// The state has changed: is the peer still a member?
    pub(crate) recheck: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

/// How the connections to an entity stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkState {
    pub(crate) connected: usize,
    /// Attempts to dial that failed.
    pub(crate) failures: u64,
    /// Why the last attempt failed or the last connection ended.
    pub(crate) last_error: Option<Arc<ConnectionError>>,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) entity: EntityId,
    addresses: Mutex<Vec<String>>,
    /// Oldest first; messages go by the last one.
    connections: Mutex<Vec<Connected>>,
    questions: Mutex<BTreeMap<u64, Question>>,
    /// There may be a reason to dial.
    pub(crate) dial: Notify,
    /// Somebody waits for a connection.
    asked: AtomicBool,
    /// This side dialled with success before: it dials again whenever the connection is lost, since the other side may
    /// have something to say and no address to say it to.
    is_kept: AtomicBool,
    /// The inbox has something.
    pub(crate) arrived: Notify,
    /// The inbox has room again.
    pub(crate) room: Notify,
    pub(crate) state: watch::Sender<LinkState>,
}

#[derive(Debug)]
struct Question {
    connection: u64,
    answer: oneshot::Sender<Answer>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here panics while it holds a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub(crate) fn new(entity: EntityId) -> Self {
        Self {
            entity,
            addresses: Mutex::default(),
            connections: Mutex::default(),
            questions: Mutex::default(),
            dial: Notify::new(),
            asked: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
            arrived: Notify::new(),
            room: Notify::new(),
            state: watch::Sender::new(LinkState::default()),
        }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        lock(&self.addresses).clone()
    }
    pub(crate) fn set_addresses(&self, addresses: Vec<String>) {
        *lock(&self.addresses) = addresses;
        self.dial.notify_one();
    }

    /// The connection that messages go by.
    pub(crate) fn current(&self) -> Option<Connected> {
        lock(&self.connections).last().cloned()
    }
    pub(crate) fn recheck(&self) {
        lock(&self.connections).iter().for_each(|connection| connection.recheck.notify_one());
    }
    pub(crate) fn is_connected(&self) -> bool {
        !lock(&self.connections).is_empty()
    }

    /// Takes a new connection, which becomes the current one. Closes the oldest above the bound.
    pub(crate) fn add(&self, connection: Connected) {
        let count = {
            let mut connections = lock(&self.connections);
            connections.push(connection.clone());
            let surplus = connections.len().saturating_sub(CONNECTIONS_OF_ENTITY_MAX);
            for old in connections.drain(..surplus) {
                old.stop.cancel();
            }
            connections.len()
        };
        self.asked.store(false, Ordering::Relaxed);
        self.state.send_modify(|state| state.connected = count);
        connection.wake.notify_one();
    }

    /// Forgets a connection that ended; another one goes on with what it left.
    pub(crate) fn remove(&self, id: u64, why: ConnectionError) {
        let (count, current) = {
            let mut connections = lock(&self.connections);
            connections.retain(|connection| connection.id != id);
            (connections.len(), connections.last().cloned())
        };
        lock(&self.questions).retain(|_, question| question.connection != id);
        self.state.send_modify(|state| {
            state.connected = count;
            state.last_error = Some(Arc::new(why));
        });
        if let Some(current) = current {
            current.wake.notify_one();
        }
        self.dial.notify_one();
    }

    pub(crate) fn failed(&self, why: ConnectionError) {
        self.asked.store(false, Ordering::Relaxed);
        self.state.send_modify(|state| {
            state.failures += 1;
            state.last_error = Some(Arc::new(why));
        });
    }

    /// Asks for a connection, now.
    pub(crate) fn ask_for_connection(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.dial.notify_one();
    }
    pub(crate) fn is_asked_for(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
    pub(crate) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// There is something to send: by the current connection, or by one that is to be made.
    pub(crate) fn wake(&self) {
        match self.current() {
            Some(connection) => connection.wake.notify_one(),
            None => self.dial.notify_one(),
        }
    }

    /// Waits for the answer `id` by `connection`.
    pub(crate) fn expect_answer(&self, id: u64, connection: u64) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        lock(&self.questions).insert(id, Question { connection, answer });
        receiver
    }
    pub(crate) fn forget_question(&self, id: u64) {
        lock(&self.questions).remove(&id);
    }
    /// Hands an answer to whoever asked; one that nobody waits for any more is dropped.
    pub(crate) fn answered(&self, id: u64, connection: u64, answer: Answer) {
        let mut questions = lock(&self.questions);
        if questions.get(&id).is_some_and(|question| question.connection == connection)
            && let Some(question) = questions.remove(&id)
        {
            let _ = question.answer.send(answer);
        }
    }
}
