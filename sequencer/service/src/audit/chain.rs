//! The end of the chain, and the next records.

use stateset_event_log::{Document, DocumentChange, LogError, LogReader, Table};
use ves::audit::{AuditHead, AuditRecord, HEAD_KEY, RECORD_KEY_BYTES};
use ves::{Digest, TimestampMs};

use super::{Act, Actor, bounded};
use crate::error::ServiceError;
use crate::ingest::random_bytes;

/// Records read at once when the end of the chain is looked for.
const PAGE: usize = 1_024;

/// The end of an audit log: what the next record follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditChain {
    head: AuditHead,
}

impl AuditChain {
    /// Finds the end. A log whose end is not where it is said to be goes on behind it; what is missing stays a gap that
    /// a check finds.
    ///
    /// # Errors
    /// [`LogError`] when the store can't be read.
    pub fn open(reader: &dyn LogReader) -> Result<Self, LogError> {
        let said = reader.document(Table::AuditLog, HEAD_KEY)?;
        let said = said.and_then(|document| serde_json::from_str::<AuditHead>(&document.text).ok());
        let mut head = said.unwrap_or(AuditHead::EMPTY);
        if head.seq > 0 && reader.document(Table::AuditLog, &head.seq.to_be_bytes())?.is_none() {
            tracing::error!(
                record = head.seq,
                "the newest record of the audit log is missing; verify the log"
            );
        }
        loop {
            let page = reader.documents(Table::AuditLog, &[], Some(&head.seq.to_be_bytes()), PAGE)?;
            let mut rows = 0;
            for row in page.iter().filter(|row| row.key.len() == RECORD_KEY_BYTES) {
                rows += 1;
                let seq = row.key.as_slice().try_into().map_or(0, u64::from_be_bytes);
                // A row that is no record ends in a link that will not hold, which is what a check should find.
                let hash = AuditRecord::read(&row.text).map_or(Digest::ZERO, |record| record.hash);
                head = AuditHead { seq, hash };
            }
            if rows < PAGE {
                return Ok(Self { head });
            }
        }
    }

    pub fn head(&self) -> AuditHead {
        self.head
    }

    /// Goes on behind records that are written.
    pub fn settle(&mut self, head: AuditHead) {
        self.head = head;
    }

    /// The rows of the next records and where the chain ends with them. To be written together with what they record.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] without random bytes, or where a record can't be written as JSON.
    pub fn records(
        &self,
        acts: &[Act],
        now: TimestampMs,
    ) -> Result<(Vec<DocumentChange>, AuditHead), ServiceError> {
        let mut head = self.head;
        let mut changes = Vec::with_capacity(acts.len() + 2);
        for act in acts {
            let record = record(act, head, now)?;
            let text = record.text().map_err(|error| ServiceError::Internal(error.to_string()))?;
            tracing::info!(
                target: "audit", seq = record.seq, action = %record.action, actor = %record.actor,
                resource = record.resource_id.as_deref(), success = record.success
            );
            head = AuditHead { seq: record.seq, hash: record.hash };
            changes.push(put(record.seq.to_be_bytes().to_vec(), text));
        }
        if !acts.is_empty() {
            let text =
                serde_json::to_string(&head).map_err(|error| ServiceError::Internal(error.to_string()))?;
            changes.push(put(HEAD_KEY.to_vec(), text));
        }
        Ok((changes, head))
    }
}

pub(super) fn put(key: Vec<u8>, text: String) -> DocumentChange {
    DocumentChange::Put(Table::AuditLog, Document { key, text, content: Vec::new() })
}

fn record(act: &Act, after: AuditHead, now: TimestampMs) -> Result<AuditRecord, ServiceError> {
    let system = Actor::system();
    let actor = act.actor.as_ref().unwrap_or(&system);
    let resource = act.resource.as_ref();
    let record = AuditRecord {
        seq: after.seq + 1,
        id: uuid::Builder::from_random_bytes(random_bytes()?).into_uuid(),
        timestamp: now,
        action: act.action.name().to_owned(),
        actor: bounded(&actor.name),
        actor_type: actor.kind,
        tenant_id: act.tenant_id,
        resource_type: resource.map(|(kind, _)| (*kind).to_owned()),
        resource_id: resource.map(|(_, id)| bounded(id)),
        request_id: actor.request_id.as_deref().map(bounded),
        ip_address: actor.address.map(|address| address.to_string()),
        user_agent: actor.user_agent.as_deref().map(bounded),
        details: act.details.clone(),
        success: act.failure.is_none(),
        error_message: act.failure.as_deref().map(bounded),
        prev_hash: after.hash,
        hash: Digest::ZERO,
    };
    record.sealed().map_err(|error| ServiceError::Internal(error.to_string()))
}
