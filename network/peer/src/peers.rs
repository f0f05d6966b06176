//! The transport of one node: what it is asked to send, and whom it is connected to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stateset_ledger_types::ids::EntityId;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{CONNECTIONS_MAX, Config, HANDSHAKES_MAX};
use crate::error::{AskError, ConnectionError, SendError, StartError};
use crate::frame::SessionId;
use crate::handler::{AnyHandler, Handler};
use crate::link::{Connected, Link};
use crate::members::{Members, member_of};
use crate::message::{Answer, Message, Question};
use crate::store::{SessionStore, StoreError};
use crate::tls::{Identity, Tls};
use crate::{accept, deliver, dial};

/// The transport. Clones are the same transport; it ends by [`close`](Self::close).
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
    address: Option<SocketAddr>,
}

/// How this node stands with one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    pub entity: EntityId,
    pub addresses: Vec<String>,
    pub connections: usize,
    /// Why the last attempt to dial failed, or the last connection ended.
    pub last_error: Option<ConnectionError>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tls: Tls,
    pub(crate) members: Arc<dyn Members>,
    store: Arc<dyn SessionStore>,
    pub(crate) handler: Arc<dyn AnyHandler>,
    links: Mutex<BTreeMap<EntityId, Arc<Link>>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Where connections are served.
    runtime: Handle,
    ids: AtomicU64,
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) connections: Arc<Semaphore>,
    /// Strangers in a handshake, by address.
    pub(crate) strangers: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Shared {
    /// Of a connection, or of a question: never twice in a process.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs `work` on the store, which may block.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn SessionStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&*store)).await;
        done.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<EntityId, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this process holds of `entity`; begins to hold it, and to serve it.
    pub(crate) fn link(self: &Arc<Self>, entity: EntityId) -> Arc<Link> {
        let mut links = self.links();
        if let Some(link) = links.get(&entity) {
            return link.clone();
        }
        let link = Arc::new(Link::new(entity));
        links.insert(entity, link.clone());
        drop(links);
        // Callers come from threads of their own too.
        self.tasks.spawn_on(dial::run(self.clone(), link.clone()), &self.runtime);
        self.tasks.spawn_on(deliver::run(self.clone(), link.clone()), &self.runtime);
        link
    }
}

impl Peers {
    /// Listens, if the settings say so, and goes on with what waits in the store. Its tasks run where this is called.
    ///
    /// # Errors
    /// [`StartError`]; a certificate of this node that peers would refuse is refused here.
    pub async fn start<H: Handler>(
        config: Config,
        identity: Identity,
        members: Arc<dyn Members>,
        store: Arc<dyn SessionStore>,
        handler: Arc<H>,
    ) -> Result<Self, StartError> {
        let own = member_of(&*members, &identity.chain)?;
        let (expected, found) = (config.entity, own.entity().entity_id());
        if expected != found {
            return Err(StartError::OtherEntity { expected, found });
        }
        let listener = match config.listen {
            Some(address) => {
                let listening = TcpListener::bind(address).await;
                Some(listening.map_err(|error| StartError::Listen { address, error })?)
            }
            None => None,
        };
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let shared = Arc::new(Shared {
            tls: Tls::new(&identity, members.clone())?,
            config,
            members,
            store,
            handler,
            links: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            ids: AtomicU64::new(1),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            strangers: Mutex::default(),
        });
        for entity in shared.store(|store| store.peers()).await? {
            shared.link(entity);
        }
        if let Some(listener) = listener {
            shared.tasks.spawn(accept::run(shared.clone(), listener));
        }
        Ok(Self { shared, address })
    }

    /// Where this node listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Writes the address book: where `entity` is found, `HOST:PORT`, tried in this order. Replaces what was there.
    pub fn know(&self, entity: EntityId, addresses: Vec<String>) {
        self.shared.link(entity).set_addresses(addresses);
    }

    /// Keeps a message for `to` until that entity has it, also over restarts of both. Returns its sequence when the
    /// message is durable, long before it is sent.
    ///
    /// A node that writes the message with its own journal uses [`SessionStore::push`] in its own transaction, and
    /// [`wake`](Self::wake) after it.
    ///
    /// # Errors
    /// [`SendError`]; [`StoreError::OutboxFull`] while too much waits for the entity.
    pub async fn send(&self, to: EntityId, session: SessionId, message: &Message) -> Result<u32, SendError> {
        if session == SessionId::CONNECTION {
            return Err(SendError::ConnectionSession);
        }
        if !message.is_sequenced() {
            return Err(SendError::NotSequenced(message.kind()));
        }
        if self.shared.members.entity(&to).is_none() {
            return Err(SendError::UnknownEntity(to));
        }
        let frame = message.frame(session, 1);
        frame.encode(self.shared.config.frame_bytes_max, &mut Vec::new())?;
        let push = move |store: &dyn SessionStore| store.push(&to, session, frame.kind, &frame.payload);
        let sequence = self.shared.store(push).await?;
        self.wake(to);
        Ok(sequence)
    }

    /// Something was put into the store for `entity`.
    pub fn wake(&self, entity: EntityId) {
        self.shared.link(entity).wake();
    }

    /// Asks `of`, over a connection that is made if there is none. Nothing of it outlives the connection.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, of: EntityId, question: Question) -> Result<Answer, AskError> {
        if self.shared.members.entity(&of).is_none() {
            return Err(AskError::UnknownEntity(of));
        }
        let link = self.shared.link(of);
        let connection = self.connected(&link).await.map_err(AskError::NotConnected)?;
        let kind = Message::from(question.clone()).kind();
        let id = self.shared.next_id();
        let frame = Message::from(question).frame(SessionId(id), 0);
        frame.encode(self.shared.config.frame_bytes_max, &mut Vec::new())?;
        let answer = link.expect_answer(id, connection.id);
        let asked = timeout(self.shared.config.timing.answer_max, async {
            connection.control.send(frame).await.map_err(|_| AskError::ConnectionLost)?;
            answer.await.map_err(|_| AskError::ConnectionLost)
        });
        let answer =
            asked.await.unwrap_or(Err(AskError::TimedOut)).inspect_err(|_| link.forget_question(id))?;
        match answer {
            Answer::Reject(reject) => Err(AskError::Refused(reject)),
            answer if Message::from(answer.clone()).kind() == kind => Ok(answer),
            _ => Err(AskError::OtherAnswer),
        }
    }

    /// Makes a connection to `to` if there is none, and from then on makes it again whenever it is lost. A node that
    /// peers cannot dial does this at start with whoever may have something for it.
    ///
    /// # Errors
    /// Why the attempt failed.
    pub async fn connect(&self, to: EntityId) -> Result<(), ConnectionError> {
        let link = self.shared.link(to);
        self.connected(&link).await.map(drop)
    }

    async fn connected(&self, link: &Link) -> Result<Connected, ConnectionError> {
        let mut state = link.state.subscribe();
        let failures = state.borrow_and_update().failures;
        link.ask_for_connection();
        let wait = async {
            loop {
                if let Some(connection) = link.current() {
                    return Ok(connection);
                }
                {
                    let state = state.borrow_and_update();
                    if state.failures > failures {
                        return Err(state.last_error.as_deref().cloned().unwrap_or(ConnectionError::Ended));
                    }
                }
                if state.changed().await.is_err() {
                    return Err(ConnectionError::Closed);
                }
            }
        };
        tokio::select! {
            found = timeout(self.shared.config.timing.answer_max, wait) => found.unwrap_or(Err(ConnectionError::HandshakeSlow)),
            () = self.shared.stop.cancelled() => Err(ConnectionError::Closed),
        }
    }

    /// The state has changed: ends the connections of entities that are no longer members, and of nodes whose keys or
    /// certificates hold no more. To be called after each block that changes entities or roots.
    pub fn recheck(&self) {
        for link in self.shared.links().values() {
            link.recheck();
        }
    }

    /// Every entity that this process has to do with.
    pub fn status(&self) -> Vec<PeerStatus> {
        let of = |link: &Arc<Link>| {
            let state = link.state.borrow();
            PeerStatus {
                entity: link.entity,
                addresses: link.addresses(),
                connections: state.connected,
                last_error: state.last_error.as_deref().cloned(),
            }
        };
        self.shared.links().values().map(of).collect()
    }

    /// Ends all connections: what was received is acknowledged, TLS is closed, nothing new is taken. What waits, waits
    /// in the store.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if timeout(self.shared.config.timing.close_max, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("connections did not end in time");
        }
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("address", &self.address).finish_non_exhaustive()
    }
}
