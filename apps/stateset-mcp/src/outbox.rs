//! The outbox of the tools joined to `stateset-sync`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use stateset_client::{Client, ClientError, Identity};
use stateset_mcp::{Clock, EntryState, NewEvent, Outbox, PortError, SyncReport, SyncStatus, SystemClock};
use stateset_sync::conflict::Strategy;
use stateset_sync::entry::State;
use stateset_sync::{Audience, Author, Entry, NewEvent as SyncEvent, Store, SyncError};
use ves::EventId;
use ves_wire::ErrorCode;

/// One file, opened twice: the desk's part is never held while the network is waited for.
pub struct Joined {
    desk: Arc<Mutex<Store>>,
    exchange: Mutex<(Store, Client)>,
    author: Author,
    identity: Identity,
}

impl Joined {
    pub fn new(
        desk: Arc<Mutex<Store>>,
        exchange: (Store, Client),
        author: Author,
        identity: Identity,
    ) -> Self {
        Self { desk, exchange: Mutex::new(exchange), author, identity }
    }

    fn desk(&self) -> MutexGuard<'_, Store> {
        held(&self.desk)
    }
}

/// A store whose user panicked is as good as before: each of its changes is one transaction.
pub fn held(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox for Joined {
    fn append(&self, event: &NewEvent) -> Result<EntryState, PortError> {
        let payload = serde_json::to_string(&event.payload).and_then(RawValue::from_string);
        let payload = payload.map_err(|error| PortError::lasting("bad_payload", error.to_string()))?;
        let new = SyncEvent {
            entity_type: event.entity_type.to_owned(),
            entity_id: event.entity_id.clone(),
            event_type: event.event_type.to_owned(),
            payload,
            event_id: Some(event.event_id),
            created_at: Some(event.created_at.to_string()),
            command_id: None,
            base_version: event.base_version,
        };
        let mut store = self.desk();
        let appended = store.append(&self.author, &new, &Audience::default(), SystemClock.now());
        let appended = appended.map_err(|error| port_error(&error))?;
        store.entry(&appended.event_id).map(|entry| state_of(&entry)).map_err(|error| port_error(&error))
    }

    fn entry(&self, event: EventId) -> Result<Option<EntryState>, PortError> {
        match self.desk().entry(&event) {
            Ok(entry) => Ok(Some(state_of(&entry))),
            Err(SyncError::NoSuchEntry { .. }) => Ok(None),
            Err(error) => Err(port_error(&error)),
        }
    }

    fn status(&self) -> Result<SyncStatus, PortError> {
        let store = self.desk();
        let counts = store.counts().map_err(|error| port_error(&error))?;
        let pulled_to = store.replica_head().map_err(|error| port_error(&error))?;
        Ok(SyncStatus {
            pending: counts.open(),
            receipted: counts.receipted,
            refused: counts.refused,
            conflicts: counts.conflict,
            pulled_to: pulled_to.get(),
        })
    }

    fn push(&self) -> Result<SyncReport, PortError> {
        let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let (store, client) = &mut *exchange;
        let _turn = store.take_turn().map_err(|error| port_error(&error))?;
        // A conflict is for a person: what the agent decided may not hold on another version.
        let pushed = store.push(client, &self.identity, Strategy::Ask, || SystemClock.now(), |_| {});
        let pushed = pushed.map_err(|error| port_error(&error))?;
        Ok(SyncReport {
            events: pushed.receipted,
            refused: pushed.refused,
            conflicts: pushed.conflicts,
            head: pushed.head.get(),
        })
    }

    fn pull(&self) -> Result<SyncReport, PortError> {
        let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let (store, client) = &mut *exchange;
        let _turn = store.take_turn().map_err(|error| port_error(&error))?;
        let pulled = store.pull(client, &self.identity, || SystemClock.now(), |_, _| {});
        let pulled = pulled.map_err(|error| port_error(&error))?;
        Ok(SyncReport { events: pulled.events, refused: 0, conflicts: 0, head: pulled.head.get() })
    }
}

fn state_of(entry: &Entry) -> EntryState {
    let reason = || entry.reason.clone().unwrap_or_default();
    match entry.state {
        State::Pending | State::Sent => EntryState::Pending,
        State::Receipted { at } => EntryState::Receipted { sequence_number: at.get() },
        State::Refused => EntryState::Refused { code: "refused".to_owned(), message: reason() },
        State::Conflict { actual } => EntryState::Conflict {
            message: format!("the entity is at version {actual}, the event was written for another one"),
        },
    }
}

/// An error of the outbox in the words of the tools.
pub fn port_error(error: &SyncError) -> PortError {
    let message = error.to_string();
    match error {
        SyncError::Client(error) => client_error(error),
        SyncError::Fault(_) => PortError::lasting("server_not_believed", message),
        SyncError::Behind { .. } => PortError::passing("server_behind", message),
        SyncError::InUse { .. } => PortError::passing("sync_in_use", message),
        SyncError::DiskFull { .. } => PortError::passing("disk_full", message),
        SyncError::Draft { .. } => PortError::lasting("bad_event", message),
        SyncError::EventIdTaken { .. } => PortError::lasting("idempotency_key_reused", message),
        SyncError::Signing(_) => PortError::passing("signing_failed", message),
        _ => PortError::lasting("outbox_failed", message),
    }
}

/// An error of the client in the words of the tools. Lasting is what the server refuses by a name of the protocol: what else answers
/// may be another program at its place, and says nothing of what the server did.
pub fn client_error(error: &ClientError) -> PortError {
    let message = error.to_string();
    match error {
        ClientError::Unreachable { .. } => PortError::passing("server_unreachable", message),
        ClientError::Unreadable { .. } => PortError::passing("server_failed", message),
        ClientError::Untrue(_) => PortError::passing("server_not_believed", message),
        ClientError::Refused { code, .. } if ErrorCode::parse(code).is_none() => {
            PortError::passing("server_failed", message)
        }
        ClientError::Refused { status: 404, .. } => PortError::lasting("not_found", message),
        ClientError::Refused { status: 401 | 403, .. } => PortError::lasting("not_allowed", message),
        ClientError::Refused { status: 429 | 500.., .. } => PortError::passing("server_busy", message),
        ClientError::Refused { .. } => PortError::lasting("server_refused", message),
        ClientError::Address { .. } | ClientError::Signing(_) | ClientError::MixedEvents => {
            PortError::lasting("server_failed", message)
        }
    }
}
