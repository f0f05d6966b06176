//! Pushing: the oldest open events first, one request at a time, until each has its receipt or its refusal.

use rusqlite::params;
use serde_json::json;
use stateset_client::{ClientError, Identity, PushResult, Untrue, verify_answer};
use ves::receipt::Receipt;
use ves::{EventId, SequenceNumber, TimestampMs};
use ves_wire::ReceiptBody;
use ves_wire::error::ErrorCode;
use ves_wire::ingest::RejectionBody;

use crate::batch_size::BatchSize;
use crate::conflict::{Decision, Strategy, Written, decide};
use crate::entry::{Input, NotAllowed, State};
use crate::outbox::{self, BATCH_EVENTS_MAX, Entry, change, database, reason};
use crate::transport::Transport;
use crate::{Clock, Fault, Store, SyncError};

/// What a push did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pushed {
    /// Requests that were answered.
    pub requests: u64,
    /// Events that got their receipts now.
    pub receipted: u64,
    pub refused: u64,
    /// Put onto a newer version and sent again.
    pub rebased: u64,
    /// Conflicts that wait for their author.
    pub conflicts: u64,
    /// Events that still wait, and why.
    pub waiting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Where the stream ends, as was last seen.
    pub head: SequenceNumber,
}

impl Store {
    /// Sends what is open. After an error nothing is lost: the next push goes on.
    ///
    /// `progress` hears how many more events were answered.
    ///
    /// # Errors
    /// [`SyncError::Fault`] for an answer that is not true; its events stay open.
    pub fn push(
        &mut self,
        transport: &mut dyn Transport,
        identity: &Identity,
        strategy: Strategy,
        clock: impl Clock,
        mut progress: impl FnMut(u64),
    ) -> Result<Pushed, SyncError> {
        let mut done = Pushed { head: self.head_seen()?.head, ..Pushed::default() };
        self.decide_standing(transport, identity, strategy, &mut done, &clock)?;
        let (mut size, mut in_a_row) = (BatchSize::new(BATCH_EVENTS_MAX), 0);
        loop {
            let now = clock.now();
            let batch = self.next_batch(size.events)?;
            if batch.is_empty() {
                break;
            }
            self.mark_sent(&batch)?;
            let envelopes: Vec<_> = batch.iter().map(|entry| entry.envelope.clone()).collect();
            let answer = match transport.push(self.agent, &envelopes) {
                Ok(answer) => answer,
                Err(error) if error.is_cut() && batch.len() > 1 => {
                    size.was_cut(batch.len());
                    continue;
                }
                // One event that no request can carry must not hold up the others.
                Err(error) => {
                    // A server that takes nothing at all, one after the other, is not asked about each event there is.
                    if in_a_row == REFUSED_IN_A_ROW_MAX {
                        return Err(error.into());
                    }
                    let code = refused_whole(error, batch.len() > 1)?;
                    match batch.len() {
                        1 => {
                            in_a_row += 1;
                            self.refuse_whole(&batch[0], &code, &mut done)?;
                            size.begin_anew();
                        }
                        several => size.events = several / 2,
                    }
                    continue;
                }
            };
            size.arrived();
            in_a_row = 0;
            let outcome =
                verify_answer(self.stream, &envelopes, answer, identity).map_err(|untrue| match untrue {
                    Untrue::TwoAtOneNumber(both) => self.caught_two_at(&both.0, &both.1, now),
                    other => self.caught(other.into(), now.0),
                })?;
            let batch: Vec<Entry> =
                batch.into_iter().map(|entry| Entry { state: State::Sent, ..entry }).collect();
            let results: Vec<PushResult> = outcome.results.into_iter().map(|(_, result)| result).collect();
            self.check_order(&batch, &results, now)?;
            done.head = outcome.head;
            let held = self.keep_answers(&batch, &results, &mut done, now)?;
            done.requests += 1;
            progress(batch.len() as u64);
            let conflicts = conflicts_of(&batch, &results);
            if !conflicts.is_empty() {
                self.decide_conflicts(transport, identity, strategy, &conflicts, &mut done, &clock)?;
            }
            if let Some(why) = held {
                done.waiting_for = Some(why);
                break;
            }
        }
        let counts = self.counts()?;
        (done.conflicts, done.waiting) = (counts.conflict, counts.open());
        Ok(done)
    }

    /// Gives up an event that makes every request with it be refused whole.
    fn refuse_whole(&mut self, entry: &Entry, code: &str, done: &mut Pushed) -> Result<(), SyncError> {
        let entry = Entry { state: State::Sent, ..entry.clone() };
        self.write("writing", |connection| {
            change(connection, &entry, Input::Refuse { retryable: false })?;
            reason(connection, &entry, code)
        })?;
        done.refused += 1;
        Ok(())
    }

    /// Receipts of one request stand in the order of its events, each at a number that no other event has.
    fn check_order(
        &mut self,
        batch: &[Entry],
        results: &[PushResult],
        now: TimestampMs,
    ) -> Result<(), SyncError> {
        let mut last: Option<&Receipt> = None;
        for (entry, result) in batch.iter().zip(results) {
            let PushResult::Stored(receipt) = result else { continue };
            let (this, event) = (receipt.sequence_number, entry.envelope.event_id);
            if let Some(before) = last.filter(|before| before.sequence_number >= this) {
                let problem = format!(
                    "event {} is at {}, and event {event}, which was sent after it, at {this}",
                    before.event_id, before.sequence_number
                );
                return Err(self.caught(Fault::ReceiptWrong(problem), now.0));
            }
            if self.event_at(this)?.is_some_and(|held| held != event)
                && let Some(held) = self.receipt_at(this)?
            {
                return Err(self.caught_two_at(&held, receipt, now));
            }
            last = Some(receipt);
        }
        Ok(())
    }

    /// Two receipts contradict one another, and both are signed: they name one number for two events, or two numbers for
    /// one event.
    pub(crate) fn caught_two_at(&mut self, held: &Receipt, found: &Receipt, now: TimestampMs) -> SyncError {
        let receipts = [held, found].map(ReceiptBody::from);
        let [held, found] = [held, found].map(|one| (one.event_id, one.sequence_number));
        let problem = format!(
            "a receipt says that event {} is at {}, and another that event {} is at {}",
            held.0, held.1, found.0, found.1
        );
        self.caught_by(Fault::LogForked(problem), Some(json!({ "receipts": receipts })), now.0)
    }

    /// Writes what became of a batch. Returns why what follows has to wait, if it has to.
    fn keep_answers(
        &mut self,
        batch: &[Entry],
        results: &[PushResult],
        done: &mut Pushed,
        now: TimestampMs,
    ) -> Result<Option<String>, SyncError> {
        let (mut receipted, mut refused, mut held) = (0, 0, None);
        let written = self.write("writing", |connection| {
            for (entry, result) in batch.iter().zip(results) {
                match result {
                    PushResult::Stored(receipt) => {
                        outbox::receipted(connection, entry, receipt)?;
                        receipted += 1;
                    }
                    PushResult::Rejected(rejection) => {
                        let input = input_of(rejection);
                        change(connection, entry, input)?;
                        reason(connection, entry, &rejection.reason)?;
                        refused += u64::from(input == Input::Refuse { retryable: false });
                        if input == (Input::Refuse { retryable: true }) {
                            held.get_or_insert_with(|| rejection.reason.clone());
                        }
                    }
                }
            }
            Ok(())
        });
        match written {
            // Another process learned from the stream that the event has another place.
            Err(SyncError::NotAllowed { event, problem: problem @ NotAllowed::TwoPlaces { .. } }) => {
                let found = results.iter().find_map(|result| match result {
                    PushResult::Stored(receipt) if receipt.event_id == event => Some(receipt),
                    _ => None,
                });
                return Err(match (self.entry(&event)?.receipt, found) {
                    (Some(held), Some(found)) => self.caught_two_at(&held, found, now),
                    _ => self.caught(Fault::LogForked(format!("event {event}: {problem}")), now.0),
                });
            }
            other => other?,
        }
        done.receipted += receipted;
        done.refused += refused;
        Ok(held)
    }

    /// Decides by `strategy` what earlier pushes left to be decided.
    fn decide_standing(
        &mut self,
        transport: &mut dyn Transport,
        identity: &Identity,
        strategy: Strategy,
        done: &mut Pushed,
        clock: &impl Clock,
    ) -> Result<(), SyncError> {
        // By the index of conflicts: a list by state reads the whole outbox.
        let any = "SELECT EXISTS (SELECT 1 FROM outbox WHERE state = 4)";
        let has_any = || self.connection.query_row(any, [], |row| row.get::<_, bool>(0)).map_err(database);
        if strategy == Strategy::Ask || !has_any()? {
            return Ok(());
        }
        let mut position = 0;
        loop {
            let standing = self.entries(position, BATCH_EVENTS_MAX, Some("conflict"))?;
            let Some(last) = standing.last() else { return Ok(()) };
            position = last.position;
            let events: Vec<_> = standing.iter().map(|entry| entry.envelope.event_id).collect();
            self.decide_conflicts(transport, identity, strategy, &events, done, clock)?;
        }
    }

    /// Decides the conflicts of one answer by `strategy`.
    fn decide_conflicts(
        &mut self,
        transport: &mut dyn Transport,
        identity: &Identity,
        strategy: Strategy,
        conflicts: &[EventId],
        done: &mut Pushed,
        clock: &impl Clock,
    ) -> Result<(), SyncError> {
        if strategy == Strategy::LastWriter {
            // Who wrote last is known from the stream.
            self.pull(transport, identity, || clock.now(), |_, _| {})?;
        }
        for event in conflicts {
            let entry = self.entry(event)?;
            // The pull may have brought its receipt.
            let State::Conflict { .. } = entry.state else { continue };
            let local = Written::new(&entry.envelope.created_at, *event);
            let remote = self.last_written(&entry.envelope.entity_type, &entry.envelope.entity_id)?;
            match decide(strategy, local, remote, entry.rebases) {
                Decision::Ask => {}
                Decision::KeepLocal => {
                    self.resolve(event, true)?;
                    done.rebased += 1;
                }
                Decision::TakeRemote => done.refused += self.resolve(event, false)?,
            }
        }
        Ok(())
    }

    /// Decides one conflict. With `keep_local` the event is put onto the version that its entity has, and later events
    /// of the entity move with it; else it is given up, and with it the later events that build on it. Returns how many
    /// events were given up.
    ///
    /// # Errors
    /// [`SyncError::NotAllowed`] when there is no conflict.
    pub fn resolve(&mut self, event: &EventId, keep_local: bool) -> Result<u64, SyncError> {
        let entry = self.entry(event)?;
        let State::Conflict { actual } = entry.state else {
            return Err(SyncError::NotAllowed { event: *event, problem: NotAllowed::NoConflict });
        };
        let was = entry.envelope.base_version.unwrap_or(actual);
        // Events that expect a version after this one's were written on top of it.
        let of_followers =
            "position > ?1 AND entity_type = ?2 AND entity_id = ?3 AND state = 0 AND base_version > ?4";
        let (kind, id) = (&entry.envelope.entity_type, &entry.envelope.entity_id);
        self.write("writing", |connection| {
            if keep_local {
                change(connection, &entry, Input::KeepLocal)?;
                rebase(connection, &entry, actual)?;
                let sql =
                    format!("UPDATE outbox SET base_version = base_version - ?4 + ?5 WHERE {of_followers}");
                connection.execute(&sql, params![entry.position, kind, id, was, actual]).map_err(database)?;
                return Ok(0);
            }
            change(connection, &entry, Input::TakeRemote)?;
            reason(connection, &entry, "version_conflict: what is in the stream was taken")?;
            let sql = format!("UPDATE outbox SET state = 3, reason = ?5 WHERE {of_followers}");
            let why = format!("it builds on event {event}, which was given up");
            let followers =
                connection.execute(&sql, params![entry.position, kind, id, was, why]).map_err(database)?;
            Ok(1 + followers as u64)
        })
    }
}

/// The code of an answer that refuses a request for what it carries, in the protocol's own words; any other error stays one.
/// What stands between may answer 400 or 422 to everything, and says nothing of events. `several`: that it is too much it may
/// say too.
fn refused_whole(error: ClientError, several: bool) -> Result<String, SyncError> {
    match error {
        ClientError::Refused { code, .. } if ErrorCode::parse(&code).is_some_and(is_for_content) => Ok(code),
        ClientError::Refused { status: 413, code, .. } if several => Ok(code),
        other => Err(other.into()),
    }
}

/// Whether a request is refused so for the events in it.
fn is_for_content(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidRequestBody
            | ErrorCode::MissingRequiredField
            | ErrorCode::InvalidFieldValue
            | ErrorCode::PayloadTooLarge
            | ErrorCode::BatchTooLarge
            | ErrorCode::SchemaValidationFailed
            | ErrorCode::InvalidSignature
            | ErrorCode::SignatureVerificationFailed
            | ErrorCode::InvalidPayloadHash
    )
}

fn rebase(connection: &rusqlite::Connection, entry: &Entry, base: u64) -> Result<(), SyncError> {
    connection
        .prepare_cached(
            "UPDATE outbox SET base_version = ?, rebases = rebases + 1, reason = NULL WHERE position = ?",
        )
        .and_then(|mut statement| statement.execute((base, entry.position)))
        .map(drop)
        .map_err(database)
}

fn conflicts_of(batch: &[Entry], results: &[PushResult]) -> Vec<EventId> {
    let is_conflict = |result: &PushResult| matches!(result, PushResult::Rejected(rejection) if matches!(input_of(rejection), Input::VersionConflict { .. }));
    let conflicts = batch.iter().zip(results).filter(|(_, result)| is_conflict(result));
    conflicts.map(|(entry, _)| entry.envelope.event_id).collect()
}

/// Events that are given up one after the other, each alone in its request, before a push ends.
const REFUSED_IN_A_ROW_MAX: usize = 8;

/// The code of a rejection for the key that signed, not for the event.
const KEY_INVALID: &str = "agent_key_invalid";

/// What a rejection means for its event.
fn input_of(rejection: &RejectionBody) -> Input {
    let actual = rejection
        .reason
        .strip_prefix("version_conflict: expected ")
        .and_then(|rest| rest.split_once(", actual "))
        .and_then(|(_, actual)| actual.parse().ok());
    match actual {
        Some(actual) => Input::VersionConflict { actual },
        // A key that was revoked, or has ended, is followed by another: what waits is signed anew with that.
        None => Input::Refuse { retryable: rejection.retryable || rejection.code == KEY_INVALID },
    }
}
