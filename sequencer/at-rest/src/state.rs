//! What the store itself knows of its keys: which ones may have sealed something, and how far a rotation has come.
//!
//! | key in `reencryption_progress` | text | content |
//! |---|---|---|
//! | `state` | what is sealed with now, since which generation, which kinds are all in that form | |
//! | `key:` and a key's name | whose key it is, how often it sealed | a known text, sealed with it |
//! | `at:` and a kind (and a stream) | how far that kind was looked through in this generation | |
//!
//! A key is on record before it seals anything, and leaves it when nothing is sealed with it any more: so a start knows
//! which keys it must have, and a wrong one is noticed before anything is read with it.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, LogError, LogReader, Table};
use ves::at_rest;
use ves::hash::Hasher;
use ves::{Digest, StreamKey, TenantId};

use crate::derived;
use crate::events::nonces;
use crate::keys::{KeyName, Keys, Mode, Ring};

const STATE: &[u8] = b"state";
const KEY: &[u8] = b"key:";
const PROGRESS: &[u8] = b"at:";
/// What every key seals once, to be known by.
const KNOWN_TEXT: &[u8] = b"stateset payload encryption at rest";
/// Keys read at once: more are never on record.
const KEYS_MAX: usize = 10_000;

/// What can be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Payloads of signed events.
    Events = 1,
    /// Payloads of events of older streams.
    LegacyEvents = 2,
    ValidityProofs = 3,
    ComplianceProofs = 4,
    /// Why events were refused.
    DeadLetters = 5,
    RejectedEvents = 6,
    /// What projections made of payloads.
    ProjectionStates = 7,
    ProjectionSnapshots = 8,
    /// Receivers of webhooks, for their secrets.
    WebhookEndpoints = 9,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Events,
        Self::LegacyEvents,
        Self::ValidityProofs,
        Self::ComplianceProofs,
        Self::DeadLetters,
        Self::RejectedEvents,
        Self::ProjectionStates,
        Self::ProjectionSnapshots,
        Self::WebhookEndpoints,
    ];

    /// What is derived from payloads, and changes after it was written.
    pub const DERIVED: [Self; 5] = [
        Self::DeadLetters,
        Self::RejectedEvents,
        Self::ProjectionStates,
        Self::ProjectionSnapshots,
        Self::WebhookEndpoints,
    ];

    pub(crate) fn is_proofs(self) -> bool {
        matches!(self, Self::ValidityProofs | Self::ComplianceProofs)
    }

    /// Whether others write it again: what is derived, and a proof that leaves its place to another one.
    pub(crate) fn is_changing(self) -> bool {
        self.is_proofs() || Self::DERIVED.contains(&self)
    }
}

/// How the store as a whole is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// What everything is to be sealed with: see [`Keys::target`].
    pub target: String,
    /// Rises with every other target, and with a key that was given back.
    pub generation: u64,
    /// Nothing lies in clear.
    pub sealed_only: bool,
    /// The kinds that are all in the form of the target.
    pub done: Vec<Kind>,
    /// Records that no key opened when they were looked through.
    pub unopened: u64,
    /// The keys of the last start: see [`Keys::given`]. Another one may open what these did not.
    #[serde(default)]
    pub given: BTreeSet<String>,
    /// Whether all of this speaks of derived documents too. Before they were sealed it did not.
    #[serde(default)]
    pub derived: bool,
}

impl State {
    /// The same state, of derived documents too.
    fn with_derived(mut self, reader: &dyn LogReader) -> Result<Self, LogError> {
        if self.derived {
            return Ok(self);
        }
        self.derived = true;
        match holds_nothing_derived(reader)? {
            true => self.done.extend(Kind::DERIVED),
            false => self.sealed_only = false,
        }
        Ok(self)
    }

    /// Whether everything was looked through, and what could be opened has the form of the target.
    pub fn is_done(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.done.contains(kind))
    }

    /// Whether there may be records that were passed over for want of a key that is given now.
    fn may_open_more(&self, given: &BTreeSet<String>) -> bool {
        let is_whole = self.is_done() && self.unopened == 0;
        !is_whole && !given.is_subset(&self.given)
    }

    pub fn read(reader: &dyn LogReader) -> Result<Option<Self>, LogError> {
        reader.document(Table::Reencryption, STATE)?.as_ref().map(parse).transpose()
    }

    pub fn change(&self) -> DocumentChange {
        put(STATE.to_vec(), self, Vec::new())
    }
}

/// A key that may have sealed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyText {
    /// Whose; `None`: of every tenant without keys of its own.
    pub tenant: Option<TenantId>,
    pub seals: u64,
}

/// How far a kind was looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub generation: u64,
    /// Of events: the last number. Of others: the last key, in hexadecimal.
    #[serde(default)]
    pub through: u64,
    #[serde(default)]
    pub after: String,
    pub unopened: u64,
}

fn parse<T: DeserializeOwned>(document: &Document) -> Result<T, LogError> {
    serde_json::from_str(&document.text)
        .map_err(|error| LogError::corrupt(Table::Reencryption.name(), error.to_string()))
}

fn put(key: Vec<u8>, text: &impl Serialize, content: Vec<u8>) -> DocumentChange {
    let text = serde_json::to_string(text).expect("plain structures are JSON");
    DocumentChange::Put(Table::Reencryption, Document { key, text, content })
}

fn progress_key(kind: Kind, stream: Option<&StreamKey>) -> Vec<u8> {
    let mut key = [PROGRESS, &[kind as u8]].concat();
    if let Some(stream) = stream {
        key.extend(stream.tenant_id.as_bytes());
        key.extend(stream.store_id.as_bytes());
    }
    key
}

impl Progress {
    /// Of this generation; `None` where none was made.
    pub fn read(
        reader: &dyn LogReader,
        kind: Kind,
        stream: Option<&StreamKey>,
        generation: u64,
    ) -> Result<Option<Self>, LogError> {
        let document = reader.document(Table::Reencryption, &progress_key(kind, stream))?;
        let progress: Option<Self> = document.as_ref().map(parse).transpose()?;
        Ok(progress.filter(|progress| progress.generation == generation))
    }

    pub fn change(&self, kind: Kind, stream: Option<&StreamKey>) -> DocumentChange {
        put(progress_key(kind, stream), self, Vec::new())
    }
}

/// The keys on record.
pub(crate) fn recorded(reader: &dyn LogReader) -> Result<Vec<(KeyName, KeyText, Document)>, LogError> {
    let documents = reader.documents(Table::Reencryption, KEY, None, KEYS_MAX)?;
    let read = |document: Document| {
        let name = document.key[KEY.len()..].try_into().map(KeyName);
        let name = name.map_err(|_| LogError::corrupt(Table::Reencryption.name(), "a key has no name"))?;
        Ok((name, parse(&document)?, document))
    };
    documents.into_iter().map(read).collect()
}

fn key_of(name: KeyName) -> Vec<u8> {
    [KEY, &name.0].concat()
}

/// Puts the newest key of a ring on record, or its count of seals.
pub(crate) fn record(tenant: Option<TenantId>, ring: &Ring, seals: u64) -> Result<DocumentChange, LogError> {
    let name = ring.newest();
    let known = at_rest::seal(&ring.keys, nonces(1)?[0], &known_aad(name), KNOWN_TEXT);
    let known = known.map_err(|error| keys_error(error.to_string()))?;
    Ok(put(key_of(name), &KeyText { tenant, seals }, known))
}

pub(crate) fn forget(name: KeyName) -> DocumentChange {
    DocumentChange::Remove(Table::Reencryption, key_of(name))
}

fn known_aad(name: KeyName) -> Digest {
    Hasher::bare().bytes(b"STATESET_AT_REST_KNOWN_TEXT_V1").bytes(&name.0).finish()
}

fn keys_error(problem: String) -> LogError {
    LogError::Keys { problem }
}

/// Compares the keys that were given with those on record, and finds what has to be written before the first seal.
///
/// # Errors
/// [`LogError::Keys`], naming the variable and the cure.
pub(crate) fn prepare(reader: &dyn LogReader, keys: &Keys) -> Result<(State, Vec<DocumentChange>), LogError> {
    let recorded = recorded(reader)?;
    for (name, text, document) in &recorded {
        check_key(keys, *name, text, &document.content)?;
    }
    let recorded_state = State::read(reader)?;
    let before = recorded_state.clone().map(|state| state.with_derived(reader)).transpose()?;
    let (target, given) = (keys.target(), keys.given());
    let mut changes = Vec::new();
    let state = match before {
        Some(mut state) if state.target == target && !state.may_open_more(&given) => {
            // Also when one is gone: given back later, it is a new one.
            state.given = given;
            changes.extend((Some(&state) != recorded_state.as_ref()).then(|| state.change()));
            state
        }
        before => {
            let is_fresh = before.is_none() && holds_nothing(reader)?;
            let (generation, was_sealed) =
                before.as_ref().map_or((0, is_fresh), |state| (state.generation, state.sealed_only));
            let done = if is_fresh { Kind::ALL.to_vec() } else { Vec::new() };
            let state = State {
                target,
                generation: generation + 1,
                sealed_only: was_sealed && keys.seal_everything(),
                done,
                unopened: 0,
                given,
                derived: true,
            };
            changes.push(state.change());
            state
        }
    };
    if keys.mode() == Mode::Required && !state.sealed_only {
        return Err(keys_error(
            "PAYLOAD_ENCRYPTION_MODE=required: the database still holds payloads in clear, or what is derived from them. Start with \
             PAYLOAD_ENCRYPTION_MODE=optional until the re-encryption is done (sequencer_at_rest_rotating is 0), or run the \
             three reencrypt commands of stateset-sequencer-admin while no service runs"
                .to_owned(),
        ));
    }
    for (tenant, ring) in keys.rings().filter(|_| keys.mode() != Mode::Disabled) {
        let known = recorded.iter().find(|(name, ..)| *name == ring.newest());
        match known {
            Some((_, text, _)) => {
                ring.seals.fetch_max(text.seals, std::sync::atomic::Ordering::Relaxed);
            }
            None => changes.push(record(tenant, ring, 0)?),
        }
    }
    Ok((state, changes))
}

fn check_key(keys: &Keys, name: KeyName, text: &KeyText, known: &[u8]) -> Result<(), LogError> {
    let Some(ring) = keys.find(name) else {
        if keys.is_lost(name) {
            tracing::warn!(key = %name, "a key is given up as lost: what it sealed cannot be read");
            return Ok(());
        }
        let variable = match text.tenant {
            None => "PAYLOAD_ENCRYPTION_KEYS".to_owned(),
            Some(tenant) => format!("PAYLOAD_ENCRYPTION_KEYS_BY_TENANT (tenant {tenant})"),
        };
        return Err(keys_error(format!(
            "the database holds what was sealed with key {name}, which is not among the keys that were given: put it into \
             {variable}, behind the newest one, until the re-encryption is done; if it is lost for good, name it in \
             PAYLOAD_ENCRYPTION_LOST_KEYS, and what it sealed stays unreadable"
        )));
    };
    match at_rest::open_blob(&ring.keys, &known_aad(name), known) {
        Ok((text, _)) if text == KNOWN_TEXT => Ok(()),
        _ => Err(keys_error(format!(
            "the record of key {name} in the database is not what that key sealed; restore the database from a backup"
        ))),
    }
}

/// Whether there is nothing yet that could lie in clear.
fn holds_nothing(reader: &dyn LogReader) -> Result<bool, LogError> {
    let is_empty = |table| Ok::<_, LogError>(reader.documents(table, b"", None, 1)?.is_empty());
    Ok(reader.streams()?.is_empty()
        && is_empty(Table::LegacyEvents)?
        && is_empty(Table::ProofIds)?
        && holds_nothing_derived(reader)?)
}

fn holds_nothing_derived(reader: &dyn LogReader) -> Result<bool, LogError> {
    for table in derived::TABLES {
        if !reader.documents(table, b"", None, 1)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
