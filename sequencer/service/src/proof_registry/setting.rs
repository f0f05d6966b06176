//! What a verifier is told besides the proof and its statement, read from the log and the key registry.

use std::collections::BTreeSet;
use std::sync::Arc;

use ves::{AgentKey, SequenceNumber, StreamKey, TenantId};

use super::statement::{Author, Statement};
use super::verifier::{BatchEvent, Claimed, ComplianceVerifier, NoVerdict, Setting, Verified};
use crate::error::ServiceError;
use crate::sequencer::Sequencer;

/// Most events of a batch that a proof may be about: so many are held while it is verified.
pub(super) const BATCH_EVENTS_MAX: u64 = 1 << 16;
/// Events that are read at once.
const READ_EVENTS: usize = 1_024;

/// Events from the first to the last.
pub(super) fn count_of((start, end): (SequenceNumber, SequenceNumber)) -> u64 {
    end.0.saturating_sub(start.0).saturating_add(1)
}

impl Sequencer {
    /// Asks the verifier. What it needs is read once it has a slot, so that slots bound that work too.
    pub(super) async fn ask_verifier(
        &self,
        verifier: Arc<dyn ComplianceVerifier>,
        claimed: Claimed,
    ) -> Result<Verified, NoVerdict> {
        let slot = self.inner.verifying.slot().await?;
        let batch_events = match claimed.statement.range {
            Some(range) => self.batch_events(&claimed.statement.stream, range).await?,
            None => Vec::new(),
        };
        let setting = Setting {
            sequencer_id: self.inner.config.sequencer_id,
            author_keys: self.author_keys(&claimed.statement, &batch_events),
            batch_events,
            submitted_at: claimed.submitted_at,
            now: self.now(),
        };
        self.inner.verifying.run(slot, verifier, claimed, setting).await
    }

    fn author_keys(&self, statement: &Statement, batch_events: &[BatchEvent]) -> Vec<AgentKey> {
        let of_batch = batch_events.iter().map(|event| event.author.agent_id);
        let authors: BTreeSet<_> =
            statement.author.iter().map(|author| author.agent_id).chain(of_batch).collect();
        let tenant: &TenantId = &statement.stream.tenant_id;
        authors.iter().flat_map(|author| self.keys().keys(tenant, Some(author))).collect()
    }

    /// All events from `start` to `end`.
    async fn batch_events(
        &self,
        stream: &StreamKey,
        (start, end): (SequenceNumber, SequenceNumber),
    ) -> Result<Vec<BatchEvent>, NoVerdict> {
        let count = count_of((start, end));
        if count > BATCH_EVENTS_MAX {
            let problem =
                format!("the batch has {count} events, proofs are about at most {BATCH_EVENTS_MAX}");
            return Err(NoVerdict::Failed(problem));
        }
        let mut events: Vec<BatchEvent> = Vec::new();
        while (events.len() as u64) < count {
            let next = SequenceNumber(start.0 + events.len() as u64);
            let limit = READ_EVENTS.min((count - events.len() as u64) as usize);
            let page = self.events(stream, next, limit).await.map_err(NoVerdict::Service)?;
            if page.first().is_none_or(|event| event.sequence_number != next) {
                let problem = format!("event {next} of stream {stream} is missing");
                return Err(NoVerdict::Service(ServiceError::Read(problem)));
            }
            for event in &page {
                let record = event.record().map_err(|error| {
                    NoVerdict::Service(ServiceError::of_record(event.sequence_number, &error))
                })?;
                events.push(BatchEvent {
                    sequence_number: event.sequence_number,
                    event_signing_hash: record.head.signing_hash(),
                    author: Author {
                        agent_id: record.head.source_agent_id,
                        sequenced_at: event.sequenced_at,
                    },
                });
            }
        }
        Ok(events)
    }
}
