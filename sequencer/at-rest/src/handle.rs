//! What the sealed log, the rotation and whoever reports on them share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use stateset_event_log::{DocumentChange, EventLog, LogError, LogReader, SealingStatus};

use crate::keys::{Keys, Mode};
use crate::state::{self, State};
use crate::store::{SealedLog, SealedReader};

/// Keys and the present term's log. Clones share them; never shown.
#[derive(Clone, Default, Debug)]
pub struct AtRest(Arc<Inner>);

#[derive(Default)]
struct Inner {
    keys: Keys,
    /// The log of the present term as it lies, beside which a rotation reads.
    raw: Mutex<Option<Arc<dyn LogReader>>>,
    failures: AtomicU64,
    rewritten: AtomicU64,
    is_rotating: AtomicBool,
    /// Records that the last look through everything left as they were.
    unopened: AtomicU64,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.keys.fmt(f)
    }
}

impl AtRest {
    pub fn new(keys: Keys) -> Self {
        Self(Arc::new(Inner { keys, ..Inner::default() }))
    }

    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// The same reader, with what is sealed opened: for tools beside whoever writes. What no key opens stays sealed.
    pub fn opening(&self, reader: Arc<dyn LogReader>) -> Arc<dyn LogReader> {
        match self.keys().has_keys() {
            true => Arc::new(SealedReader { reader, at_rest: self.clone() }),
            false => reader,
        }
    }

    /// Takes a log over that was just opened.
    ///
    /// # Errors
    /// [`LogError::Keys`]; what the log says.
    pub fn take(&self, mut log: Box<dyn EventLog>) -> Result<Box<dyn EventLog>, LogError> {
        let reader = log.reader();
        if self.keys().mode() == Mode::Disabled && State::read(reader.as_ref())?.is_none() {
            return Ok(log);
        }
        let (state, changes) = state::prepare(reader.as_ref(), self.keys())?;
        if !changes.is_empty() {
            log.put_documents(&changes)?;
        }
        self.rotating(!state.is_done(), state.unopened);
        *self.0.raw.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader.clone());
        let reader = Arc::new(SealedReader { reader, at_rest: self.clone() });
        Ok(Box::new(SealedLog { log, reader }))
    }

    /// The present term's log as it lies; `None` before one was taken, and where nothing is sealed.
    pub fn raw(&self) -> Option<Arc<dyn LogReader>> {
        self.0.raw.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn status(&self) -> SealingStatus {
        let seals = self.keys().rings().map(|(_, ring)| ring.seals.load(Relaxed)).sum();
        SealingStatus {
            mode: self.keys().mode().text(),
            seals,
            failures: self.0.failures.load(Relaxed),
            rewritten: self.0.rewritten.load(Relaxed),
            is_rotating: self.0.is_rotating.load(Relaxed),
        }
    }

    /// Something could not be opened. Told less and less often: a reader may ask for it again and again.
    pub(crate) fn failed(&self, place: &str) {
        let failures = self.0.failures.fetch_add(1, Relaxed) + 1;
        if failures.is_power_of_two() {
            tracing::error!(
                place,
                failures,
                "sealed at rest, and no key of PAYLOAD_ENCRYPTION_KEYS opens it"
            );
        }
    }

    pub(crate) fn rewrote(&self, records: u64) {
        self.0.rewritten.fetch_add(records, Relaxed);
    }

    pub(crate) fn rotating(&self, is_rotating: bool, unopened: u64) {
        self.0.unopened.store(unopened, Relaxed);
        self.0.is_rotating.store(is_rotating, Relaxed);
    }

    /// Once nothing is rotating any more: how many records no key opened. They still need the keys that sealed them.
    pub fn unopened(&self) -> u64 {
        self.0.unopened.load(Relaxed)
    }

    /// What puts the present counts of seals on record, where they have grown.
    pub(crate) fn counts(&self, reader: &dyn LogReader) -> Result<Vec<DocumentChange>, LogError> {
        if self.keys().mode() == Mode::Disabled {
            return Ok(Vec::new());
        }
        let recorded = state::recorded(reader)?;
        let mut changes = Vec::new();
        for (tenant, ring) in self.keys().rings() {
            let now = ring.seals.load(Relaxed);
            let known = recorded.iter().find(|(name, ..)| *name == ring.newest());
            if known.is_some_and(|(_, text, _)| text.seals < now) {
                changes.push(state::record(tenant, ring, now)?);
            }
        }
        Ok(changes)
    }

    pub(crate) fn save_counts(&self, log: &mut dyn EventLog, reader: &dyn LogReader) -> Result<(), LogError> {
        let changes = self.counts(reader)?;
        if changes.is_empty() { Ok(()) } else { log.put_documents(&changes) }
    }
}
