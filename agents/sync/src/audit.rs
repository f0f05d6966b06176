//! Checking the file again, without any server.

use stateset_client::{Identity, verified_checkpoint};
use ves::log::LogTree;
use ves::{Digest, SequenceNumber};

use crate::entry::State;
use crate::outbox::signer_of;
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
}

impl Store {
    /// Checks every event of the replica and every receipt of the outbox from their bytes, and the root of the log
    /// against the checkpoint that was believed. `progress` hears how many more events were checked.
    ///
    /// # Errors
    /// [`SyncError::Fault`] or [`SyncError::Damaged`]: the first thing that does not hold.
    pub fn audit(&self, identity: &Identity, mut progress: impl FnMut(u64)) -> Result<Audit, SyncError> {
        let seen = self.head_seen()?.checkpoint;
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
                        .map_err(|problem| Fault::LogForked(problem.to_string()))?;
                    if seen.root != tree.root() {
                        let problem = format!("the checkpoint of {} events has another root", seen.size);
                        return Err(Fault::LogForked(problem).into());
                    }
                    checkpoint = Some(seen.size);
                }
            }
            progress(count);
        }
        let receipts = self.audit_outbox(identity)?;
        Ok(Audit { events: tree.size(), receipts, root: tree.root(), checkpoint })
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
                let key = key.ok_or_else(|| wrong(format!("unknown key version {}", receipt.key_version)))?;
                receipt
                    .verify(&entry.envelope.signing_hash(), key)
                    .map_err(|problem| wrong(problem.to_string()))?;
                receipts += 1;
            }
        }
    }
}
