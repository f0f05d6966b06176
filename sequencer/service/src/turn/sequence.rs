//! One turn of events: admit, number, sign, append, answer.

use std::collections::BTreeMap;
use std::time::Instant;

use rayon::prelude::*;
use stateset_event_log::{NewEvent, StreamAppend};
use stateset_sequencer_engine::{Candidate, Decision};
use ves::ed25519::SignerError;
use ves::log::LogTree;
use ves::receipt::{self, Receipt};
use ves::{Digest, KeyProblem, Rejection, SequenceNumber, StreamKey, TimestampMs, merkle};

use super::{Outcome, Prepared, Submission, TurnLoop};
use crate::error::ServiceError;
use crate::metrics::Metrics;
use crate::rotation::TurnUses;
use crate::streams::Durable;
use crate::timed::Query;
use crate::trace::Span;

/// A submission of a turn, with the engine's word on each of its events.
type Admitted = (Submission, Vec<Decision>, Vec<Option<Prepared>>);

/// What one turn adds to one stream.
struct StreamTurn {
    append: StreamAppend,
    tree: LogTree,
    leaves: Vec<Digest>,
}

/// Receipts of a turn that are worth other cores: about a millisecond of signing.
const POOL_RECEIPTS_MIN: usize = 128;

impl TurnLoop {
    /// One turn: admit, number, sign, append, answer.
    pub(super) fn sequence(&mut self, submissions: Vec<Submission>) {
        let now = self.clock.now();
        Metrics::add(&self.shared.metrics.batches_received, submissions.len() as u64);
        let mut admitted = Vec::with_capacity(submissions.len());
        let mut uses = TurnUses::new(&self.shared.rotation);
        for mut submission in submissions {
            self.recheck_keys(&mut submission, now);
            match self.admit_bound(&mut submission, now, &mut uses) {
                Ok(decisions) => {
                    let bodies = std::mem::take(&mut submission.bodies);
                    admitted.push((submission, decisions, bodies));
                }
                Err(error) => drop(submission.reply.send(Err(error))),
            }
        }
        let span = self.turn_span(&admitted);
        let mut streams = BTreeMap::new();
        let mut receipts = Vec::new();
        for (submission, decisions, bodies) in &mut admitted {
            self.number(submission.stream, decisions, bodies, now, &mut streams, &mut receipts);
        }
        let written = self.sign_and_append(&mut streams, &mut receipts, span.as_ref());
        match written {
            Ok(()) => {
                uses.settle(&self.shared.rotation);
                self.publish(streams, now)
            }
            Err(_) => self.take_back(),
        }
        end_turn_span(span, &admitted, written.is_err());
        let mut receipts = receipts.into_iter();
        for (submission, decisions, bodies) in admitted {
            let answer = match &written {
                Ok(()) => Ok(outcomes(decisions, bodies, &mut receipts)),
                Err(error) => Err(error.clone()),
            };
            drop(submission.reply.send(answer));
        }
    }

    /// A key may have been revoked while its events waited: then step 9 of section 10 is asked again.
    fn recheck_keys(&self, submission: &mut Submission, now: TimestampMs) {
        if submission.key_changes == self.shared.key_changes() {
            return;
        }
        let tenant = submission.stream.tenant_id;
        for (candidate, body) in submission.candidates.iter_mut().zip(&mut submission.bodies) {
            let Some(prepared) = body else { continue };
            let key = self.shared.keys.get(&tenant, &prepared.agent_id, prepared.agent_key_id);
            let checked = key.ok_or(KeyProblem::NotFound).and_then(|key| key.key().check_at(now));
            if let Err(problem) = checked {
                // The body stays: an exact replay is still answered.
                *candidate = Candidate::refused(Some(prepared.event_id), Rejection::AgentKeyInvalid(problem));
            }
        }
    }

    /// Gives accepted events their place: receipt hash, leaf, tree. Signatures follow for the whole turn at once.
    fn number(
        &self,
        stream: StreamKey,
        decisions: &[Decision],
        bodies: &mut [Option<Prepared>],
        now: TimestampMs,
        streams: &mut BTreeMap<StreamKey, StreamTurn>,
        receipts: &mut Vec<Receipt>,
    ) {
        for (decision, body) in decisions.iter().zip(bodies) {
            let Decision::Accepted(sequence_number) = *decision else { continue };
            let prepared =
                body.take().expect("the engine accepts only verified candidates, and those have bodies");
            let turn = streams.entry(stream).or_insert_with(|| StreamTurn {
                append: StreamAppend { stream, events: Vec::new(), log_tiles: Vec::new() },
                tree: self
                    .shared
                    .streams
                    .get(&stream)
                    .map_or_else(LogTree::new, |durable| durable.tree.clone()),
                leaves: Vec::new(),
            });
            let leaf = merkle::leaf_hash(
                &stream,
                sequence_number,
                &prepared.signing_hash,
                &prepared.agent_signature,
            );
            turn.append.log_tiles.extend(turn.tree.push(&leaf));
            turn.leaves.push(leaf);
            turn.append.events.push(NewEvent {
                sequence_number,
                sequenced_at: now,
                receipt_signature: None,
                key_version: self.config.key_version,
                body: prepared.body,
            });
            receipts.push(Receipt {
                sequencer_id: self.config.sequencer_id,
                stream,
                event_id: prepared.event_id,
                sequence_number,
                sequenced_at: now,
                receipt_hash: receipt::receipt_hash(
                    &stream,
                    &prepared.event_id,
                    sequence_number,
                    &prepared.signing_hash,
                ),
                signature: None,
                key_version: self.config.key_version,
            });
        }
    }

    fn sign_and_append(
        &mut self,
        streams: &mut BTreeMap<StreamKey, StreamTurn>,
        receipts: &mut [Receipt],
        span: Option<&Span>,
    ) -> Result<(), ServiceError> {
        if receipts.is_empty() {
            return Ok(());
        }
        self.sign(receipts)
            .map_err(|error| ServiceError::StoreRefused(format!("receipts can't be signed: {error}")))?;
        for receipt in receipts.iter() {
            // Within a stream the turn's events are contiguous, so a number names its slot.
            let events = &mut streams
                .get_mut(&receipt.stream)
                .expect("every receipt is of a stream of its turn")
                .append
                .events;
            let slot = (receipt.sequence_number.0 - events[0].sequence_number.0) as usize;
            events[slot].receipt_signature = receipt.signature;
        }
        let appends: Vec<StreamAppend> = streams
            .values_mut()
            .map(|turn| StreamAppend {
                stream: turn.append.stream,
                events: std::mem::take(&mut turn.append.events),
                log_tiles: std::mem::take(&mut turn.append.log_tiles),
            })
            .collect();
        let _span = span.map(|span| span.child("append"));
        let started = Instant::now();
        let appended = self.queries.time(Query::Append, || self.log.append(&appends));
        let took = started.elapsed();
        self.rhythm.note_append(took);
        Metrics::add(&self.shared.metrics.append_ns, took.as_nanos() as u64);
        self.shared.metrics.timings.sequence.observe_time(took);
        appended.map_err(|error| {
            tracing::error!(%error, events = receipts.len(), "a turn was refused by the store");
            self.note_failure(&error);
            ServiceError::of_write(&error)
        })
    }

    /// A trace of its own, joined to the requests that it serves.
    fn turn_span(&self, admitted: &[Admitted]) -> Option<Span> {
        let traced = admitted.iter().filter_map(|(submission, ..)| submission.traced.as_ref());
        let mut span =
            self.config.tracer.begin_for(traced.map(|(parent, _)| parent.context).collect(), "turn")?;
        span.set("requests", admitted.len());
        Some(span)
    }

    fn sign(&self, receipts: &mut [Receipt]) -> Result<(), SignerError> {
        let signer = &self.config.signer;
        let sign = |receipt: &mut Receipt| {
            receipt.signature = Some(signer.sign(receipt.receipt_hash.as_bytes())?);
            Ok(())
        };
        match &self.signers {
            // The pool's threads spin for a while after each use: a small turn is not worth that.
            Some(pool) if receipts.len() >= POOL_RECEIPTS_MIN => {
                pool.install(|| receipts.par_iter_mut().with_min_len(8).try_for_each(sign))
            }
            _ => receipts.iter_mut().try_for_each(sign),
        }
    }

    /// The turn is on disk: readers may see it.
    fn publish(&mut self, streams: BTreeMap<StreamKey, StreamTurn>, now: TimestampMs) {
        self.engine.turn_durable();
        Metrics::add(&self.shared.metrics.turns, u64::from(!streams.is_empty()));
        for (stream, turn) in streams {
            Metrics::add(&self.shared.metrics.events_sequenced, turn.leaves.len() as u64);
            self.note_accepted(turn.leaves.len());
            let first = SequenceNumber(turn.tree.size() - turn.leaves.len() as u64 + 1);
            self.uncommitted.entry(stream).or_default().extend(first, &turn.leaves);
            let latest_commitment =
                self.shared.streams.get(&stream).and_then(|d| d.latest_commitment.clone());
            self.shared.streams.set(stream, Durable { tree: turn.tree, latest_commitment });
        }
        self.shared.sequenced.send_replace(now);
    }

    /// The store refused the turn: numbers, ids and versions go back.
    fn take_back(&mut self) {
        self.engine.turn_failed();
        Metrics::add(&self.shared.metrics.turns_failed, 1);
    }
}

/// Tells each request that is traced what the turn was for it: from the queue to the disk.
fn end_turn_span(turn: Option<Span>, admitted: &[Admitted], failed: bool) {
    let Some(mut turn) = turn else { return };
    for (submission, ..) in admitted {
        let Some((parent, queued)) = &submission.traced else { continue };
        let mut span = parent.child("sequence").begun_at(*queued);
        span.set("events", submission.candidates.len());
        span.link(turn.context());
        if failed {
            span.fail();
        }
    }
    if failed {
        turn.fail();
    }
}

fn outcomes(
    decisions: Vec<Decision>,
    bodies: Vec<Option<Prepared>>,
    receipts: &mut impl Iterator<Item = Receipt>,
) -> Vec<Outcome> {
    let outcomes = decisions.into_iter().zip(bodies).map(|(decision, body)| match decision {
        Decision::Accepted(_) => {
            Outcome::Accepted(receipts.next().expect("one receipt for each accepted event"))
        }
        Decision::Duplicate(at) => Outcome::Duplicate(at, body),
        Decision::Rejected(rejection) => Outcome::Rejected(rejection),
    });
    outcomes.collect()
}
