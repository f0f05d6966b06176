//! Checking the file again, without any server.

use stateset_client::{Identity, verified_checkpoint};
use ves::log::LogTree;
use ves::{Digest, SequenceNumber};

use crate::entry::State;
use crate::outbox::signer_of;
use crate::pull::forged;
use crate::transport::RawEvent;
use crate::verify::Checker;
use crate::{Fault, Store, SyncError};

/// Events looked at at once.
const CHUNK: usize = 500;

/// What was checked, all of it good.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Events of the replica: hash, agent signature, receipt, place.
    pub events: u64,
    /// Receipts of the outbox.
    pub receipts: u64,
    /// Root of the log of all these events.
    pub root: Digest,
    /// Size of the signed checkpoint that the events have the root of; absent when there is none within them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<u64>,
    /// Where the stream was last seen to end, by anything signed; beyond `events` where a pull is still to come.
    pub head_seen: SequenceNumber,
}

impl Store {
    /// Checks every event of the replica and every receipt of the outbox from their bytes, the end of the replica against
    /// how far it ever reached, and the root of the log against the checkpoint that was believed. `progress` hears how
    /// many more events were checked.
    ///
    /// # Errors
    /// [`SyncError::Damaged`] with the first thing that does not hold: all of it did when it was taken over, so the file was
    /// changed since, and no server is accused. [`Fault::SequencerKeyUnknown`] when `identity` lacks a key that signed.
    pub fn audit(&self, identity: &Identity, progress: impl FnMut(u64)) -> Result<Audit, SyncError> {
        self.check_tail()?;
        self.audit_all(identity, progress).map_err(|error| match error {
            SyncError::Fault(fault) => self.changed_since(fault),
            other => other,
        })
    }

    /// What a fault means that is found in the file.
    fn changed_since(&self, fault: Fault) -> SyncError {
        match fault {
            Fault::SequencerKeyUnknown { .. } => SyncError::Fault(fault),
            Fault::EventDropped { expected, .. } => {
                SyncError::damaged(&self.path, format!("event {expected} is missing from the replica"))
            }
            other => SyncError::damaged(&self.path, other.to_string()),
        }
    }

    fn audit_all(&self, identity: &Identity, mut progress: impl FnMut(u64)) -> Result<Audit, SyncError> {
        let head_seen = self.head_seen()?;
        let (seen, head_seen) = (head_seen.checkpoint, head_seen.head);
        let mut checker = Checker::new(self.stream, identity);
        let (mut tree, mut checkpoint) = (LogTree::new(), None);
        loop {
            let first = SequenceNumber(tree.size() + 1);
            let events = self.replicated(first, CHUNK)?;
            if events.is_empty() {
                break;
            }
            let count = events.len() as u64;
            checker.make_room();
            let mut raw = Vec::with_capacity(events.len());
            let mut leaves = Vec::with_capacity(events.len());
            for event in events {
                let (agent, key) = signer_of(&event.envelope);
                if !checker.knows(agent, key)
                    && let Some(known) = self.signing_key(agent, key)?
                {
                    checker.learn(agent, key, known);
                }
                leaves.push(event.leaf);
                raw.push(RawEvent { envelope: event.envelope, receipt: Some(event.receipt) });
            }
            for (event, leaf) in checker.check(first, raw)?.into_iter().zip(leaves) {
                if event.leaf != leaf {
                    let problem =
                        format!("the leaf of event {} is not its own", event.receipt.sequence_number);
                    return Err(SyncError::damaged(&self.path, problem));
                }
                tree.push(&leaf);
                if let Some(seen) = seen.as_ref().filter(|seen| seen.size == tree.size()) {
                    verified_checkpoint(&seen.note, &self.stream, identity)
                        .map_err(|problem| forged(&seen.note, identity, problem.to_string()))?;
                    if seen.root != tree.root() {
                        let problem = format!("the checkpoint of {} events has another root", seen.size);
                        return Err(SyncError::damaged(&self.path, problem));
                    }
                    checkpoint = Some(seen.size);
                }
            }
            progress(count);
        }
        let receipts = self.audit_outbox(identity)?;
        Ok(Audit { events: tree.size(), receipts, root: tree.root(), checkpoint, head_seen })
    }

    fn audit_outbox(&self, identity: &Identity) -> Result<u64, SyncError> {
        let (mut position, mut receipts) = (0, 0);
        loop {
            let entries = self.entries(position, CHUNK, Some("receipted"))?;
            let Some(last) = entries.last() else { return Ok(receipts) };
            position = last.position;
            for entry in &entries {
                let id = entry.envelope.event_id;
                let wrong =
                    |problem: String| SyncError::from(Fault::ReceiptWrong(format!("event {id}: {problem}")));
                let (State::Receipted { at }, Some(receipt)) = (entry.state, &entry.receipt) else {
                    continue;
                };
                if (receipt.event_id, receipt.sequence_number) != (id, at) {
                    return Err(wrong("it is of another event or number".to_owned()));
                }
                let key = identity.keys.get(&receipt.key_version);
                let key = key.ok_or_else(|| {
                    let named = format!("version {}", receipt.key_version);
                    SyncError::from(Fault::SequencerKeyUnknown { named })
                })?;
                receipt
                    .verify(&entry.envelope.signing_hash(), key)
                    .map_err(|problem| wrong(problem.to_string()))?;
                receipts += 1;
            }
        }
    }
}
