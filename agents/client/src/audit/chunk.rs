//! The checks that need one event only, for a chunk of events at once.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use ves::ed25519::{Check, CheckKey, KeyTable, PublicKey, verify_many};
use ves::merkle::leaf_hash;
use ves::receipt::receipt_hash;
use ves::{AgentId, Digest, KeyId, SequenceNumber, StreamKey};

use super::{Entry, Keys, Source};
use crate::KnownKey;

/// A table of multiples pays off from this many signatures of one key on, over all chunks.
const TABLE_FROM_SIGNATURES: usize = 64;
/// Tables held at once: each is some hundred kilobytes.
const TABLES_MAX: usize = 64;

/// One verifying key with a table that is made when it is worth it.
struct FastKey {
    key: PublicKey,
    /// Signatures checked without a table.
    seen: AtomicUsize,
    table: OnceLock<KeyTable>,
}

impl FastKey {
    fn new(key: &PublicKey) -> Self {
        Self { key: *key, seen: AtomicUsize::new(0), table: OnceLock::new() }
    }

    /// How to check `signatures` more; makes the table when it is due and `tables` made so far leave room.
    fn check_key(&self, signatures: usize, tables: &AtomicUsize) -> CheckKey<'_> {
        if let Some(table) = self.table.get() {
            return CheckKey::Table(table);
        }
        let seen = self.seen.fetch_add(signatures, Ordering::Relaxed) + signatures;
        if seen < TABLE_FROM_SIGNATURES || tables.load(Ordering::Relaxed) >= TABLES_MAX {
            return CheckKey::Plain(&self.key);
        }
        CheckKey::Table(self.table.get_or_init(|| {
            tables.fetch_add(1, Ordering::Relaxed);
            KeyTable::new(&self.key)
        }))
    }
}

/// The key of an agent: its Ed25519 part is checked with many others, the rest at once.
struct AgentKey {
    known: KnownKey,
    fast: Option<FastKey>,
}

impl AgentKey {
    fn new(known: &KnownKey) -> Self {
        Self { known: known.clone(), fast: known.ed25519().map(FastKey::new) }
    }
}

/// Checks chunks; shared by the workers.
pub(super) struct Checker<'a> {
    stream: &'a StreamKey,
    agents: BTreeMap<(AgentId, KeyId), AgentKey>,
    sequencer: BTreeMap<u32, FastKey>,
    /// Tables made so far.
    tables: AtomicUsize,
}

/// What a worker found in its chunk.
#[derive(Default)]
pub(super) struct Checked {
    pub leaves: Vec<Digest>,
    pub signatures: u64,
    pub receipts_unsigned: u64,
    pub payloads_sealed: u64,
    /// Event and command ids with their places.
    pub event_ids: Vec<([u8; 16], u64)>,
    pub command_ids: Vec<([u8; 16], u64)>,
    /// The source gave fewer events than it announced: what follows is not asked for.
    pub short: bool,
    pub problems: Vec<String>,
}

/// One signature of the chunk, still to be checked.
struct Pending<'k> {
    key: &'k FastKey,
    message: Digest,
    signature: [u8; 64],
    at: SequenceNumber,
    what: &'static str,
}

impl<'a> Checker<'a> {
    pub fn new(stream: &'a StreamKey, keys: &Keys<'_>) -> Self {
        Self {
            stream,
            agents: keys.agents.iter().map(|(id, key)| (*id, AgentKey::new(key))).collect(),
            sequencer: keys
                .sequencer
                .keys
                .iter()
                .map(|(version, key)| (*version, FastKey::new(key)))
                .collect(),
            tables: AtomicUsize::new(0),
        }
    }

    /// Checks `count` events from `from` on; fewer than asked is a problem of the chunk.
    pub fn check(&self, source: &dyn Source, from: SequenceNumber, count: u64) -> Result<Checked, String> {
        let mut checked = Checked::default();
        let mut pending: Vec<Pending<'_>> = Vec::with_capacity(2 * count as usize);
        let mut expected = from.get();
        source.read(self.stream, from, count, &mut |entry| {
            if entry.sequence_number.get() != expected {
                checked
                    .problems
                    .push(format!("event {expected}: the source gives {} instead", entry.sequence_number));
            }
            expected = entry.sequence_number.get().saturating_add(1);
            self.check_entry(&entry, &mut checked, &mut pending);
        })?;
        checked.short = (checked.leaves.len() as u64) < count;
        if checked.short || expected != from.get().saturating_add(count) {
            checked.problems.push(format!("event {expected}: missing"));
        }
        self.check_signatures(&mut pending, &mut checked);
        Ok(checked)
    }

    fn check_entry<'s>(
        &'s self,
        entry: &Entry<'_, '_>,
        checked: &mut Checked,
        pending: &mut Vec<Pending<'s>>,
    ) {
        let (event, at) = (entry.envelope, entry.sequence_number);
        let mut problem =
            |text: String| checked.problems.push(format!("event {at} ({}): {text}", event.event_id));
        if event.stream != *self.stream {
            problem("it belongs to another stream".to_owned());
        }
        if !entry.is_sealed
            && let Err(rejection) = event.check_payload_hash()
        {
            problem(rejection.to_string());
        }
        checked.payloads_sealed += u64::from(entry.is_sealed);
        let signing_hash = event.signing_hash();
        if entry.signing_hash.is_some_and(|kept| kept != signing_hash) {
            problem("the signing hash kept beside it is not its signing hash".to_owned());
        }
        match self.agents.get(&(event.source_agent_id, event.agent_key_id)) {
            Some(key) if !key.known.verifies_beside_ed25519(event, &signing_hash) => {
                problem("it is not signed as the registered key of its agent asks".to_owned());
            }
            Some(key) => match &key.fast {
                Some(key) => {
                    let signature = event.agent_signature;
                    pending.push(Pending {
                        key,
                        message: signing_hash,
                        signature,
                        at,
                        what: "agent_signature",
                    });
                }
                None => checked.signatures += 1,
            },
            None => problem(format!(
                "key {} of agent {} is not registered",
                event.agent_key_id, event.source_agent_id
            )),
        }
        match (entry.receipt_signature, self.sequencer.get(&entry.key_version)) {
            (Some(signature), Some(key)) => {
                let message = receipt_hash(self.stream, &event.event_id, at, &signing_hash);
                pending.push(Pending { key, message, signature, at, what: "the receipt's signature" });
            }
            (Some(_), None) => {
                problem(format!("its receipt names an unknown sequencer key, version {}", entry.key_version))
            }
            (None, _) => {
                // A stored receipt is one that was given out, and the sequencer signs those. Without this, a receipt
                // that no longer fits its event could be erased instead of forged.
                if !self.sequencer.is_empty() {
                    problem("its receipt carries no signature, though the sequencer has a key".to_owned());
                }
                checked.receipts_unsigned += 1;
            }
        }
        checked.event_ids.push((*event.event_id.as_bytes(), at.get()));
        if let Some(command) = &event.command_id {
            checked.command_ids.push((*command.as_bytes(), at.get()));
        }
        checked.leaves.push(leaf_hash(self.stream, at, &signing_hash, &event.agent_signature));
    }

    fn check_signatures(&self, pending: &mut [Pending<'_>], checked: &mut Checked) {
        // Signatures of one key stand together, so that its table stays in the cache.
        pending.sort_by_key(|check| std::ptr::from_ref(check.key) as usize);
        let mut checks = Vec::with_capacity(pending.len());
        for group in pending.chunk_by(|a, b| std::ptr::eq(a.key, b.key)) {
            let key = group[0].key.check_key(group.len(), &self.tables);
            checks.extend(group.iter().map(|check| Check {
                key,
                message: check.message.as_bytes(),
                signature: &check.signature,
            }));
        }
        for (verdict, check) in verify_many(&checks).into_iter().zip(pending.iter()) {
            if !verdict {
                checked.problems.push(format!("event {}: {} does not verify", check.at, check.what));
            }
        }
        checked.signatures += checks.len() as u64;
    }
}
