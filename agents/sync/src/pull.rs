//! Pulling: pages are checked whole, and taken over with the place where the next one begins.
//!
//! Before: the newest signed checkpoint has to extend the last one that was believed, and the stream may not end before
//! what was seen of it. During: every event is checked ([`crate::verify`]); an own receipt and the event in its place have
//! to agree; the root that follows from the events has to be that of the checkpoint.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stateset_client::{Identity, verified_checkpoint};
use ves::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use ves::ed25519::PublicKey;
use ves::log::verify_consistency;
use ves::{SequenceNumber, TimestampMs};

use crate::batch_size::BatchSize;
use crate::outbox::{self, database, signer_of};
use crate::replica;
use crate::store::{Seen, set};
use crate::transport::Transport;
use crate::verify::{Checked, Checker};
use crate::{Clock, Fault, Store, SyncError};

/// Events of one page at most; on a link that cuts answers off there are fewer.
pub const PAGE_EVENTS: usize = 500;

/// A server that shows less than was seen for longer than this has cut its log off, in milliseconds.
pub const BEHIND_MS_MAX: i64 = 10 * 60 * 1000;
/// Since when it does, in milliseconds.
const BEHIND_SINCE: &str = "behind_since";

/// What a pull did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pulled {
    /// Events that are new in the replica.
    pub events: u64,
    /// Of these, own ones whose answer had been lost.
    pub recovered: u64,
    /// The last number of the replica.
    pub head: SequenceNumber,
    /// Events that a signed checkpoint vouches for.
    pub checkpointed: u64,
}

impl Store {
    /// Pulls to the head of the stream. What was taken over before an error stays; the next pull goes on from there.
    ///
    /// `progress` hears how many events came and where the stream ends.
    ///
    /// # Errors
    /// [`SyncError::Fault`]: nothing of the page that it is about was taken over.
    pub fn pull(
        &mut self,
        transport: &mut dyn Transport,
        identity: &Identity,
        clock: impl Clock,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Pulled, SyncError> {
        let now = clock.now();
        let mut checker = Checker::new(self.stream, identity);
        let checkpoint = self.newest_checkpoint(transport, identity, now)?;
        let mut done = Pulled { head: self.replica_head()?, ..Pulled::default() };
        if let Some((text, says)) = &checkpoint {
            self.compare_known(text, says, now)?;
        }
        let mut size = BatchSize::new(PAGE_EVENTS);
        loop {
            let first = SequenceNumber(done.head.get() + 1);
            let now = clock.now();
            let page = match transport.page(&self.stream, first, size.events) {
                Err(error) if error.is_cut() && size.events > 1 => {
                    size.was_cut(size.events);
                    continue;
                }
                page => page?,
            };
            size.arrived();
            self.check_end(first, page.events.len() as u64, page.head, &checkpoint, now)?;
            if page.events.is_empty() {
                break;
            }
            let events = page.events.len() as u64;
            self.learn_signers(transport, identity, &mut checker, &page.events, &clock)?;
            let checked = checker.check(first, page.events).map_err(|fault| self.caught(fault, now.0))?;
            done.recovered += self.take_over(&checked, &checkpoint, now)?;
            done.events += events;
            done.head = SequenceNumber(first.get() + events - 1);
            progress(events, page.head.get());
        }
        self.caught_up()?;
        done.checkpointed = checkpoint.as_ref().map_or(0, |(_, says)| says.size.min(done.head.get()));
        Ok(done)
    }

    /// The newest checkpoint, signed, and at least what was believed before. It is kept at once.
    fn newest_checkpoint(
        &mut self,
        transport: &mut dyn Transport,
        identity: &Identity,
        now: TimestampMs,
    ) -> Result<Option<(String, Checkpoint)>, SyncError> {
        let seen = self.head_seen()?.checkpoint;
        let Some(text) = transport.checkpoint(&self.stream)? else {
            let Some(seen) = seen else { return Ok(None) };
            return Err(self.behind(seen.size, 0, now));
        };
        let says = verified_checkpoint(&text, &self.stream, identity)
            .map_err(|problem| self.caught(forged(&text, identity, problem.to_string()), now.0))?;
        if let Some(seen) = seen {
            self.compare(transport, &seen, (&text, &says), now)?;
            if seen.size == says.size {
                return Ok(Some((seen.note, says)));
            }
        }
        self.write("writing", |connection| set(connection, "checkpoint", &text).map_err(database))?;
        Ok(Some((text, says)))
    }

    /// Whether the log of `says` begins with the one that was seen.
    fn compare(
        &mut self,
        transport: &mut dyn Transport,
        seen: &Seen,
        (text, says): (&str, &Checkpoint),
        now: TimestampMs,
    ) -> Result<(), SyncError> {
        if says.size < seen.size {
            self.compare_known(text, says, now)?;
            return Err(self.behind(seen.size, says.size, now));
        }
        if says.size == seen.size && says.root == seen.root {
            return Ok(());
        }
        let forked = |problem: String| {
            let (size, root) = (seen.size, seen.root);
            let fault = Fault::LogForked(format!("the log of {size} events had the root {root}; {problem}"));
            (fault, Some(checkpoints([seen.note.as_str(), text])))
        };
        if says.size == seen.size {
            let (fault, signed) = forked(format!("now it is said to have the root {}", says.root));
            return Err(self.caught_by(fault, signed, now.0));
        }
        let proof = transport.consistency(&self.stream, seen.size, says.size)?;
        verify_consistency(seen.size, says.size, &seen.root, &says.root, &proof).map_err(|problem| {
            let problem = format!("the log of {} events does not begin with it: {problem}", says.size);
            let (fault, signed) = forked(problem);
            self.caught_by(fault, signed, now.0)
        })
    }

    /// Whether what was pulled before is what the checkpoint is about.
    fn compare_known(&mut self, text: &str, says: &Checkpoint, now: TimestampMs) -> Result<(), SyncError> {
        if says.size > self.replica_head()?.get() {
            return Ok(());
        }
        let tree = self.tree()?;
        let root = replica::root(&self.connection, &tree, says.size)?;
        if root == says.root {
            return Ok(());
        }
        let problem = format!(
            "the first {} events that were pulled have the root {root}, the signed checkpoint says {}",
            says.size, says.root
        );
        Err(self.caught_by(Fault::LogForked(problem), Some(checkpoints([text])), now.0))
    }

    /// Whether a page of `events` from `first` on can be one of a stream that ends at `head`, and that may not have
    /// become shorter.
    fn check_end(
        &mut self,
        first: SequenceNumber,
        events: u64,
        head: SequenceNumber,
        checkpoint: &Option<(String, Checkpoint)>,
        now: TimestampMs,
    ) -> Result<(), SyncError> {
        let seen = self.head_seen()?.head.get().max(checkpoint.as_ref().map_or(0, |(_, says)| says.size));
        if head.get() < seen {
            return Err(self.behind(seen, head.get(), now));
        }
        let is_short = events == 0 && first <= head;
        let is_long = events > PAGE_EVENTS as u64 || first.get().saturating_add(events) > head.get() + 1;
        if is_short || is_long {
            let found = match is_short {
                true => format!("an empty page, and says that the stream goes on to {head}"),
                false => format!("{events} events, and says that the stream ends at {head}"),
            };
            return Err(self.caught(Fault::EventDropped { expected: first, found }, now.0));
        }
        Ok(())
    }

    /// What it means that the log is said to end before what was seen of it. A replica that lags says so and catches up; a
    /// log that was cut off stays so, or goes on with other events, which is a fork.
    pub(crate) fn behind(&mut self, seen: u64, now_ends: u64, now: TimestampMs) -> SyncError {
        let (seen, ends) = (SequenceNumber(seen), SequenceNumber(now_ends));
        let since = self.setting(BEHIND_SINCE).map(|text| text.and_then(|text| text.parse::<i64>().ok()));
        let since = match since {
            Ok(Some(since)) => since,
            Ok(None) => {
                let text = now.0.to_string();
                match self
                    .write("writing", |connection| set(connection, BEHIND_SINCE, &text).map_err(database))
                {
                    Ok(()) => now.0,
                    Err(error) => return error,
                }
            }
            Err(error) => return error,
        };
        match now.0.saturating_sub(since) > BEHIND_MS_MAX {
            true => self.caught(Fault::LogTruncated { seen, now: ends }, now.0),
            false => SyncError::Behind { seen, now: ends },
        }
    }

    /// The server shows all that was seen.
    fn caught_up(&mut self) -> Result<(), SyncError> {
        if self.setting(BEHIND_SINCE)?.is_none() {
            return Ok(());
        }
        self.write("writing", |connection| {
            let forgotten = connection.execute("DELETE FROM settings WHERE name = ?", [BEHIND_SINCE]);
            forgotten.map(drop).map_err(database)
        })
    }

    /// Finds the keys of agents that were not met before: as they were last signed, else as they are signed now.
    fn learn_signers(
        &mut self,
        transport: &mut dyn Transport,
        identity: &Identity,
        checker: &mut Checker<'_>,
        events: &[crate::transport::RawEvent],
        clock: &impl Clock,
    ) -> Result<(), SyncError> {
        checker.make_room();
        let mut asked = BTreeSet::new();
        for event in events {
            let (agent, key) = signer_of(&event.envelope);
            // Of a key that nobody signed for, one event is enough to refuse the page.
            if checker.knows(agent, key) || !asked.insert((agent, key)) {
                continue;
            }
            if self.signing_key(agent, key)?.is_none() {
                self.refresh_keys(transport, identity, &agent, clock.now())?;
            }
            if let Some(found) = self.signing_key(agent, key)? {
                checker.learn(agent, key, found);
            }
        }
        Ok(())
    }

    /// Takes a checked page over, with its tree and with the receipts of own events: all of it or nothing. Returns how
    /// many own events it gave a receipt.
    fn take_over(
        &mut self,
        page: &[Checked],
        checkpoint: &Option<(String, Checkpoint)>,
        now: TimestampMs,
    ) -> Result<u64, SyncError> {
        let mut recovered = Vec::new();
        for event in page {
            let at = event.receipt.sequence_number;
            if self.receipted_at(at)?.is_some_and(|own| own != event.envelope.event_id)
                && let Some(own) = self.receipt_at(at)?
            {
                return Err(self.caught_two_at(&own, &event.receipt, now));
            }
            if event.envelope.source_agent_id == self.agent {
                match self.entry(&event.envelope.event_id) {
                    Ok(entry) => recovered.push((entry, &event.receipt)),
                    // Written by this agent elsewhere, or before this file.
                    Err(SyncError::NoSuchEntry { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let mut tree = self.tree()?;
        let written = self.write("writing", |connection| {
            let mut text = String::new();
            for event in page {
                if let Err(fault) = replica::apply(connection, &mut tree, event, &mut text)? {
                    return Err(SyncError::Fault(fault));
                }
            }
            if let Some((_, says)) = checkpoint
                && says.size <= tree.size()
                && says.size + page.len() as u64 > tree.size()
            {
                let root = replica::root(connection, &tree, says.size)?;
                if root != says.root {
                    return Err(SyncError::Fault(Fault::LogForked(format!(
                        "the first {} events have the root {root}, the signed checkpoint says {}",
                        says.size, says.root
                    ))));
                }
            }
            replica::reached(connection, &tree)?;
            let mut given = 0;
            for (entry, receipt) in &recovered {
                given += u64::from(entry.receipt.is_none());
                outbox::receipted(connection, entry, receipt)?;
            }
            Ok(given)
        });
        match written {
            // A checkpoint has a part in one of these alone.
            Err(SyncError::Fault(fault @ Fault::LogForked(_))) => {
                let signed = checkpoint.as_ref().map(|(text, _)| text.as_str());
                Err(self.caught_by(fault, Some(checkpoints(signed)), now.0))
            }
            Err(SyncError::Fault(fault)) => Err(self.caught(fault, now.0)),
            // The own receipt names another place than the event has.
            Err(SyncError::NotAllowed { event, problem }) => {
                let own = recovered.iter().find(|(entry, _)| entry.envelope.event_id == event);
                Err(match own.map(|(entry, found)| (&entry.receipt, found)) {
                    Some((Some(held), found)) => self.caught_two_at(held, found, now),
                    _ => self.caught(Fault::LogForked(format!("event {event}: {problem}")), now.0),
                })
            }
            other => other,
        }
    }
}

/// Evidence, in the words of [`crate::KeptFault`].
fn checkpoints<'a>(signed: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "checkpoints": signed.into_iter().collect::<Vec<_>>() })
}

/// A checkpoint that names this sequencer, and a key of it that is not believed, is told apart from one that is damaged.
pub(crate) fn forged(text: &str, identity: &Identity, problem: String) -> Fault {
    let Ok(signed) = SignedCheckpoint::parse(text) else { return Fault::CheckpointForged(problem) };
    let is_other = |key: &PublicKey| {
        matches!(signed.verify(&identity.sequencer_id, key), Err(CheckpointError::OtherKey))
    };
    let name = identity.sequencer_id.to_string();
    match signed.signatures().iter().find(|line| line.name == name) {
        Some(line) if identity.keys.values().all(is_other) => Fault::SequencerKeyUnknown {
            named: format!("of the hash {} in its checkpoint", ves::hex::encode(&line.key_hash)),
        },
        _ => Fault::CheckpointForged(problem),
    }
}
