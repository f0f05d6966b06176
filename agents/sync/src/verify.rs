//! The checks of a page, before anything of it is taken over.

use std::collections::BTreeMap;

use stateset_client::{Identity, KnownKey};
use ves::ed25519::{Check, CheckKey, KeyTable, PublicKey, verify_many};
use ves::merkle::leaf_hash;
use ves::receipt::{Receipt, ReceiptError};
use ves::{AgentId, Digest, Envelope, KeyId, SequenceNumber, StreamKey};

use crate::Fault;
use crate::transport::RawEvent;

/// A table of multiples pays off from this many signatures of one key on.
const TABLE_FROM_SIGNATURES: usize = 64;
/// Tables held at once: each is some hundred kilobytes.
const TABLES_MAX: usize = 16;
/// Keys of agents held at once.
const KEYS_MAX: usize = 4096;

/// An event that passed every check that needs nothing but it and keys.
#[derive(Debug)]
pub struct Checked {
    pub envelope: Envelope<'static>,
    pub receipt: Receipt,
    /// Leaf hash of the stream's log.
    pub leaf: Digest,
}

/// Ed25519 keys with tables that are made when they are worth it; lives as long as a pull.
#[derive(Default)]
struct Tables {
    seen: BTreeMap<[u8; 32], usize>,
    tables: BTreeMap<[u8; 32], KeyTable>,
}

impl Tables {
    fn count(&mut self, key: &PublicKey, more: usize) {
        if self.tables.contains_key(key.as_bytes()) || self.tables.len() >= TABLES_MAX {
            return;
        }
        if self.seen.len() >= KEYS_MAX {
            self.seen.clear();
        }
        let seen = self.seen.entry(*key.as_bytes()).or_default();
        *seen += more;
        if *seen >= TABLE_FROM_SIGNATURES {
            self.seen.remove(key.as_bytes());
            self.tables.insert(*key.as_bytes(), KeyTable::new(key));
        }
    }

    fn check_key<'a>(&'a self, key: &'a PublicKey) -> CheckKey<'a> {
        self.tables.get(key.as_bytes()).map_or(CheckKey::Plain(key), CheckKey::Table)
    }
}

/// What the checks know: the sequencer, and the agents met so far.
pub struct Checker<'a> {
    stream: StreamKey,
    identity: &'a Identity,
    agents: BTreeMap<(AgentId, KeyId), KnownKey>,
    tables: Tables,
}

impl<'a> Checker<'a> {
    pub fn new(stream: StreamKey, identity: &'a Identity) -> Self {
        Self { stream, identity, agents: BTreeMap::new(), tables: Tables::default() }
    }

    pub fn knows(&self, agent: AgentId, key: KeyId) -> bool {
        self.agents.contains_key(&(agent, key))
    }

    pub fn learn(&mut self, agent: AgentId, key_id: KeyId, key: KnownKey) {
        self.agents.insert((agent, key_id), key);
    }

    /// Forgets keys when many are held; to be called before those of a page are learned.
    pub fn make_room(&mut self) {
        if self.agents.len() >= KEYS_MAX {
            self.agents.clear();
        }
    }

    /// Checks consecutive events from `first` on: stream, number, payload hash, receipt, agent signature. The keys of all
    /// their agents have to be known.
    ///
    /// # Errors
    /// The [`Fault`] of the first event that fails, in the order of their numbers.
    pub fn check(&mut self, first: SequenceNumber, events: Vec<RawEvent>) -> Result<Vec<Checked>, Fault> {
        let (mut checked, mut hashes) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        let mut failed = None;
        for (event, expected) in events.into_iter().zip(first.get()..) {
            match self.check_alone(SequenceNumber(expected), event) {
                Ok((event, hash)) => {
                    checked.push(event);
                    hashes.push(hash);
                }
                Err(fault) => {
                    // Those before it may fail as well, and come first.
                    failed = Some(fault);
                    break;
                }
            }
        }
        self.check_signatures(&checked, &hashes)?;
        failed.map_or(Ok(checked), Err)
    }

    /// All that needs no signature.
    fn check_alone(&self, expected: SequenceNumber, event: RawEvent) -> Result<(Checked, Digest), Fault> {
        let RawEvent { envelope, receipt } = event;
        let id = envelope.event_id;
        let Some(receipt) = receipt else {
            return Err(Fault::ReceiptWrong(format!("event {expected} ({id}) has none that can be read")));
        };
        if receipt.sequence_number != expected {
            let found = format!("number {}", receipt.sequence_number);
            return Err(Fault::EventDropped { expected, found });
        }
        let forged = |problem: String| Fault::EventForged { at: expected, problem };
        if envelope.stream != self.stream {
            return Err(forged("it belongs to another stream".to_owned()));
        }
        envelope.check_payload_hash().map_err(|problem| forged(problem.to_string()))?;
        let hash = envelope.signing_hash();
        let wrong = |problem: String| Fault::ReceiptWrong(format!("event {expected} ({id}): {problem}"));
        if receipt.sequencer_id != self.identity.sequencer_id {
            return Err(wrong(format!("it is of sequencer {}", receipt.sequencer_id)));
        }
        if receipt.event_id != id {
            return Err(wrong(format!("it is of event {}", receipt.event_id)));
        }
        receipt.check_hash(&hash).map_err(|problem| wrong(problem.to_string()))?;
        if receipt.signature.is_none() {
            return Err(wrong(ReceiptError::Unsigned.to_string()));
        }
        if !self.identity.keys.contains_key(&receipt.key_version) {
            let named = format!("version {}", receipt.key_version);
            return Err(Fault::SequencerKeyUnknown { named });
        }
        let agent = self.agents.get(&(envelope.source_agent_id, envelope.agent_key_id));
        let Some(agent) = agent else {
            return Err(forged(format!(
                "agent {} has no signing key {}, as the sequencer signed",
                envelope.source_agent_id, envelope.agent_key_id
            )));
        };
        if agent.ed25519_alone().is_none() && !agent.verifies(&envelope, &hash) {
            return Err(forged("agent_signature does not verify under the agent's key".to_owned()));
        }
        let leaf = leaf_hash(&self.stream, expected, &hash, &envelope.agent_signature);
        Ok((Checked { envelope, receipt, leaf }, hash))
    }

    /// Receipts and plain agent signatures, many at once.
    fn check_signatures(&mut self, checked: &[Checked], hashes: &[Digest]) -> Result<(), Fault> {
        let mut uses: BTreeMap<[u8; 32], (PublicKey, usize)> = BTreeMap::new();
        for event in checked {
            for key in [self.receipt_key(event), self.agent_key(event)].into_iter().flatten() {
                uses.entry(*key.as_bytes()).or_insert((*key, 0)).1 += 1;
            }
        }
        for (key, count) in uses.into_values() {
            self.tables.count(&key, count);
        }
        let mut checks = Vec::with_capacity(2 * checked.len());
        for (place, event) in checked.iter().enumerate() {
            if let (Some(key), Some(signature)) = (self.receipt_key(event), &event.receipt.signature) {
                let message = event.receipt.receipt_hash.as_bytes().as_slice();
                checks.push((place, true, Check { key: self.tables.check_key(key), message, signature }));
            }
        }
        for (place, event) in checked.iter().enumerate() {
            if let Some(key) = self.agent_key(event) {
                let (message, signature) =
                    (hashes[place].as_bytes().as_slice(), &event.envelope.agent_signature);
                checks.push((place, false, Check { key: self.tables.check_key(key), message, signature }));
            }
        }
        let verdicts = verify_many(&checks.iter().map(|(_, _, check)| *check).collect::<Vec<_>>());
        let failed = checks.iter().zip(verdicts).filter(|(_, verdict)| !verdict).map(|(check, _)| check);
        match failed.min_by_key(|(place, is_receipt, _)| (*place, !is_receipt)) {
            None => Ok(()),
            Some((place, is_receipt, _)) => {
                let receipt = &checked[*place].receipt;
                Err(match is_receipt {
                    true => Fault::ReceiptWrong(format!(
                        "event {} ({}): {}",
                        receipt.sequence_number,
                        receipt.event_id,
                        ReceiptError::InvalidSignature
                    )),
                    false => Fault::EventForged {
                        at: receipt.sequence_number,
                        problem: "agent_signature does not verify under the agent's key".to_owned(),
                    },
                })
            }
        }
    }

    fn receipt_key(&self, event: &Checked) -> Option<&PublicKey> {
        self.identity.keys.get(&event.receipt.key_version)
    }

    fn agent_key(&self, event: &Checked) -> Option<&PublicKey> {
        let key = (event.envelope.source_agent_id, event.envelope.agent_key_id);
        self.agents.get(&key).and_then(KnownKey::ed25519_alone)
    }
}
