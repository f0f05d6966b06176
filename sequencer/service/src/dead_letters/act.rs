//! What operators do with letters: ask for a retry now, purge.

use std::sync::{Arc, OnceLock};

use stateset_event_log::{DocumentChange, LogReader, Table};
use ves::TimestampMs;

use super::read::{key_of, prefix_of};
use super::schedule::ordered;
use super::stored::{place_key, put_letter, read_letter, read_place};
use super::{DeadLetter, DeadLetterFilter, DeadLetterPlace, DeadLetterReason, DeadLetterStatus};
use crate::audit::{Act, Action};
use crate::error::ServiceError;
use crate::sequencer::{Sequencer, uncancelled};
use crate::turn::Command;

/// Letters looked at in one transaction.
const STEP: usize = 256;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterAct {
    /// Due at once with a whole new budget of retries, failed ones too. Resolved letters are passed over.
    Retry,
    /// Removed. The event stays, and so does what the log of rejections says of it.
    Purge,
}

/// What is done with which letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterOrder {
    pub act: DeadLetterAct,
    pub filter: DeadLetterFilter,
    /// One letter alone, if it fits.
    pub place: Option<DeadLetterPlace>,
}

/// A bounded part of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderStep {
    /// Letters that it changes.
    pub letters: u64,
    /// Where the next part begins; `None`: the order is carried out.
    pub next: Option<DeadLetterPlace>,
}

impl DeadLetterOrder {
    /// What the audit log says of it. To be recorded before it is carried out, which may take several writes.
    pub fn act(&self) -> Act {
        let filter = &self.filter;
        let action = match self.act {
            DeadLetterAct::Retry => Action::DeadLetterRetried,
            DeadLetterAct::Purge => Action::DeadLetterPurged,
        };
        Act::new(action).in_tenant(filter.tenant_id).with(serde_json::json!({
            "store_ids": filter.store_ids,
            "status": filter.status.map(DeadLetterStatus::name),
            "reason": filter.reason.map(DeadLetterReason::name),
            "unchanged_since": filter.unchanged_since.map(|since| since.0),
            "store_id": self.place.map(|place| place.store_id),
            "sequence_number": self.place.map(|place| place.sequence_number),
        }))
    }

    /// The changes of the next part. Only for whoever writes the log, who completes them with [`super::follow`].
    pub fn step(
        &self,
        reader: &dyn LogReader,
        after: Option<DeadLetterPlace>,
        now: TimestampMs,
    ) -> Result<(Vec<DocumentChange>, OrderStep), ServiceError> {
        let documents = match self.place {
            Some(place) => {
                reader.document(Table::DeadLetters, &key_of(&self.filter, place))?.into_iter().collect()
            }
            None => {
                let after = after.map(|place| key_of(&self.filter, place));
                reader.documents(Table::DeadLetters, &prefix_of(&self.filter), after.as_deref(), STEP)?
            }
        };
        let letters: Vec<DeadLetter> = documents.iter().filter_map(read_letter).collect();
        let more = self.place.is_none() && documents.len() == STEP;
        let last = documents.last().filter(|_| more).and_then(|document| read_place(&document.key));
        let next = last
            .map(|(stream, sequence_number)| DeadLetterPlace { store_id: stream.store_id, sequence_number });
        let meant = letters.iter().filter(|letter| self.filter.fits(letter));
        let changes: Vec<DocumentChange> = meant.filter_map(|letter| self.change(letter, now)).collect();
        let step = OrderStep { letters: changes.len() as u64, next };
        Ok((changes, step))
    }

    fn change(&self, letter: &DeadLetter, now: TimestampMs) -> Option<DocumentChange> {
        match self.act {
            DeadLetterAct::Retry => Some(put_letter(&ordered(letter, now)?)),
            DeadLetterAct::Purge => {
                let place = place_key(&letter.stream, letter.sequence_number);
                Some(DocumentChange::Remove(Table::DeadLetters, place))
            }
        }
    }
}

/// Changes that are decided on by the one thread that writes, between two writes.
pub(crate) type Decide = Box<dyn FnOnce(&dyn LogReader) -> Result<Vec<DocumentChange>, ServiceError> + Send>;

impl Sequencer {
    /// Carries out an order, a bounded part at a time; how many letters it changed. Finished also when the caller goes
    /// away. What is refused or resolved meanwhile may or may not be part of it.
    pub async fn order_dead_letters(&self, order: DeadLetterOrder) -> Result<u64, ServiceError> {
        let service = self.clone();
        uncancelled(async move {
            let (order, mut changed, mut after) = (Arc::new(order), 0, None);
            loop {
                let (part, now) = (order.clone(), service.now());
                let made = Arc::new(OnceLock::new());
                let told = made.clone();
                let decide = move |reader: &dyn LogReader| {
                    let (changes, step) = part.step(reader, after, now)?;
                    // Set once: this is called once.
                    let _ = told.set(step);
                    Ok(changes)
                };
                service.decided(decide).await?;
                let step = made.get().cloned().unwrap_or_default();
                changed += step.letters;
                match step.next {
                    Some(next) => after = Some(next),
                    None => return Ok(changed),
                }
            }
        })
        .await
    }

    /// Writes what `decide` says; nothing is written between its reads and the write.
    pub(super) async fn decided(
        &self,
        decide: impl FnOnce(&dyn LogReader) -> Result<Vec<DocumentChange>, ServiceError> + Send + 'static,
    ) -> Result<(), ServiceError> {
        let service = self.clone();
        let decide: Decide = Box::new(decide);
        uncancelled(async move { service.ask(|reply| Command::Decided(decide, reply)).await }).await
    }
}
