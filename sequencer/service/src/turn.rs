//! The turn loop: the one writer. A turn is all that waited when the previous sync ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use stateset_event_log::{BodyChange, DocumentChange, EventLog, LogError, LogReader, NewEvent, StreamAppend};
use stateset_sequencer_engine::{Candidate, Decision, Engine, EntityKey};
use ves::commitment::Commitment;
use ves::ed25519::SignerError;
use ves::log::LogTree;
use ves::receipt::{self, Receipt};
use ves::{
    AgentId, Digest, EventId, KeyId, KeyProblem, Rejection, SequenceNumber, StreamKey, TimestampMs, merkle,
};

use crate::audit::{Act, Logbook, Work};
use crate::clock::Clock;
use crate::commit::UncommittedLeaves;
use crate::config::Config;
use crate::dead_letters::Decide;
use crate::documents::Replace;
use crate::error::{CommitFailure, ServiceError};
use crate::flush::{Flush, RunWrite};
use crate::metrics::Metrics;
use crate::payment::{Desk, PaymentSubmission};
use crate::queue::Queue;
use crate::reply::Reply;
use crate::rhythm::Rhythm;
use crate::rotation::{PolicyScope, RotationPolicy, TurnUses};
use crate::sequencer::Shared;
use crate::streams::Durable;
use crate::timed::{Queries, Query};
use crate::trace::{Parent, Span};
use crate::unchanged::Unchanged;

/// What the writer is asked to do.
pub(crate) enum Command {
    Ingest(Submission),
    Payment(Box<PaymentSubmission>),
    Commit {
        stream: StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
        reply: Reply<Commitment, CommitFailure>,
    },
    /// Recorded and carried out in one write; whether it was carried out.
    Act(Vec<Act>, Box<Work>, Reply<bool, ServiceError>),
    Documents(Vec<DocumentChange>, Reply<(), ServiceError>),
    /// Payloads in another form at rest.
    Bodies(StreamKey, Vec<BodyChange>, Reply<(), ServiceError>),
    DocumentsIf(Unchanged, Vec<DocumentChange>, Reply<bool, ServiceError>),
    Decided(Decide, Reply<(), ServiceError>),
    /// Documents in another form at rest.
    Replace(Replace, Reply<(), ServiceError>),
    /// Sets or removes the policy of a scope; whether there was one.
    RotationPolicy(PolicyScope, Option<RotationPolicy>, Box<Act>, Reply<bool, ServiceError>),
    /// Where an event stands that is not in the index yet.
    Find {
        stream: StreamKey,
        event_id: EventId,
        reply: Reply<Option<SequenceNumber>, ServiceError>,
    },
    /// Events of an entity that the index may not hold yet.
    RecentOf {
        stream: StreamKey,
        entity: EntityKey,
        reply: Reply<Vec<SequenceNumber>, ServiceError>,
    },
    Run(Box<RunWrite>),
    /// The index worker could not go on.
    RunFailed {
        write: Option<Box<RunWrite>>,
        is_flush: bool,
    },
}

/// One request's events of one stream, verified (or refused) by the caller.
pub(crate) struct Submission {
    pub stream: StreamKey,
    /// Count of key changes when the events were verified.
    pub key_changes: u64,
    pub candidates: Vec<Candidate>,
    /// Beside each candidate: what to store if it is accepted; `None` where it was refused.
    pub bodies: Vec<Option<Prepared>>,
    pub reply: Reply<Vec<Outcome>, ServiceError>,
    /// Of a request that is traced: what the turn is a part of, and when it was put into the queue.
    pub traced: Option<(Parent, Instant)>,
}

/// A verified event, ready to be stored.
pub(crate) struct Prepared {
    pub event_id: EventId,
    pub agent_id: AgentId,
    pub agent_key_id: KeyId,
    pub signing_hash: Digest,
    pub agent_signature: [u8; 64],
    pub body: Box<[u8]>,
}

/// The writer's word on one event.
pub(crate) enum Outcome {
    Accepted(Receipt),
    /// The id is taken by the event stored there; the caller compares contents with the body given back.
    Duplicate(SequenceNumber, Option<Prepared>),
    Rejected(Rejection),
}

pub(crate) struct TurnLoop {
    pub queue: Arc<Queue<Command>>,
    pub shared: Arc<Shared>,
    pub log: Box<dyn EventLog>,
    pub queries: Arc<Queries>,
    pub reader: Arc<dyn LogReader>,
    pub engine: Engine,
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub signers: Option<rayon::ThreadPool>,
    pub uncommitted: BTreeMap<StreamKey, UncommittedLeaves>,
    pub flush: Flush,
    /// Set when the store's state is unclear: nothing is written until the service is restarted.
    pub poisoned: bool,
    pub rhythm: Rhythm,
    /// Batches are due that the last pass had no time for.
    pub has_due: bool,
    /// Streams whose batch could not be made, and when it is tried again.
    pub held_back: BTreeMap<StreamKey, TimestampMs>,
    pub payments: Desk,
    pub logbook: Logbook,
}

/// A submission of a turn, with the engine's word on each of its events.
type Admitted = (Submission, Vec<Decision>, Vec<Option<Prepared>>);

/// What one turn adds to one stream.
struct StreamTurn {
    append: StreamAppend,
    tree: LogTree,
    leaves: Vec<Digest>,
}

/// Longest sleep without work: bounds how late a batch closes by age.
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// Bytes of bodies in one turn, the first submission aside: bounds a transaction and the memory it holds.
const TURN_BYTES_MAX: usize = 16 << 20;

/// Receipts of a turn that are worth other cores: about a millisecond of signing.
const POOL_RECEIPTS_MIN: usize = 128;

/// Writes beside events in one pass, each with a sync of its own.
const TURN_OTHERS_MAX: usize = 16;

/// What still fits into this turn.
struct TurnRoom {
    events: usize,
    bytes: usize,
    others: usize,
}

impl Default for TurnRoom {
    fn default() -> Self {
        Self { events: Config::TURN_EVENTS_MAX, bytes: TURN_BYTES_MAX, others: TURN_OTHERS_MAX }
    }
}

impl TurnRoom {
    fn fits(&mut self, command: &Command) -> bool {
        let (events, bytes, others) = match command {
            Command::Ingest(submission) => {
                let bodies: usize =
                    submission.bodies.iter().flatten().map(|prepared| prepared.body.len()).sum();
                (submission.candidates.len(), bodies, 0)
            }
            Command::Payment(submission) => (1, submission.size(), 0),
            _ => (0, 0, 1),
        };
        let fits = events <= self.events && bytes <= self.bytes && others <= self.others;
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.others = self.others.saturating_sub(others);
        fits
    }
}

impl TurnLoop {
    /// Runs until the queue is closed and empty, then closes the log.
    pub fn run(mut self) {
        while !self.queue.is_finished() {
            let wait = if self.has_due { Duration::ZERO } else { IDLE_WAIT };
            let mut room = TurnRoom::default();
            let commands = self.queue.take(wait, self.rhythm.gather(), |command| room.fits(command));
            let served = commands.len();
            self.serve(commands);
            self.rhythm.note_turn(served, self.queue.len());
            self.has_due = self.commit_due();
            self.start_flush();
            self.maintain();
        }
        self.finish();
    }

    fn maintain(&mut self) {
        if self.poisoned {
            return;
        }
        if let Err(error) = self.log.maintenance() {
            tracing::warn!(%error, "store maintenance failed");
            self.note_failure(&error);
        }
    }

    fn serve(&mut self, commands: Vec<Command>) {
        let mut submissions = Vec::with_capacity(commands.len());
        let (mut payments, mut others) = (Vec::new(), Vec::new());
        for command in commands {
            match command {
                Command::Ingest(submission) => submissions.push(submission),
                Command::Payment(submission) => payments.push(*submission),
                other => others.push(other),
            }
        }
        if !submissions.is_empty() {
            self.sequence(submissions);
        }
        if !payments.is_empty() {
            self.sequence_payments(payments);
        }
        for command in others {
            self.execute(command);
        }
    }

    fn execute(&mut self, command: Command) {
        // A caller that went away does not need its answer.
        match command {
            Command::Ingest(submission) => self.sequence(vec![submission]),
            Command::Payment(submission) => self.sequence_payments(vec![*submission]),
            Command::Commit { stream, start, end, reply } => {
                drop(reply.send(self.commit(&stream, start, end)))
            }
            Command::Act(acts, work, reply) => drop(reply.send(self.carry_out(&acts, *work))),
            Command::Documents(changes, reply) => drop(reply.send(self.put_documents(changes))),
            Command::Bodies(stream, changes, reply) => {
                drop(reply.send(self.write(|log| log.replace_bodies(&stream, &changes))))
            }
            Command::DocumentsIf(unchanged, changes, reply) => {
                drop(reply.send(self.put_documents_if(&unchanged, changes)))
            }
            Command::Decided(decide, reply) => {
                let decided = decide(self.reader.as_ref());
                drop(reply.send(decided.and_then(|changes| match changes.is_empty() {
                    true => Ok(()),
                    false => self.put_documents(changes),
                })));
            }
            Command::Replace(decide, reply) => drop(reply.send(self.replace_documents(decide))),
            Command::RotationPolicy(scope, policy, act, reply) => {
                drop(reply.send(self.change_policy(scope, policy, *act)))
            }
            Command::Find { stream, event_id, reply } => {
                drop(reply.send(Ok(self.engine.find(&stream, &event_id))))
            }
            Command::RecentOf { stream, entity, reply } => {
                drop(reply.send(Ok(self.engine.events_of(&stream, &entity))))
            }
            Command::Run(write) => self.write_run(write),
            Command::RunFailed { write, is_flush } => self.run_failed(write, is_flush),
        }
    }

    /// One write outside a turn.
    pub fn write<T>(
        &mut self,
        write: impl FnOnce(&mut dyn EventLog) -> Result<T, LogError>,
    ) -> Result<T, ServiceError> {
        if self.poisoned {
            return Err(ServiceError::Poisoned);
        }
        let written = self.queries.time(Query::Write, || write(self.log.as_mut()));
        written.map_err(|error| {
            self.note_failure(&error);
            ServiceError::of_write(&error)
        })
    }

    /// One turn: admit, number, sign, append, answer.
    fn sequence(&mut self, submissions: Vec<Submission>) {
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

    /// A writer that is over writes no more: only opening the log again reads the truth.
    pub fn note_failure(&mut self, error: &LogError) {
        if error.ends_writer() {
            tracing::error!(%error, "this writer is over; writes stop until the log is opened again");
            self.poisoned = true;
            self.shared.poison();
        }
    }

    /// The queue is closed and empty: what is remembered goes into the index, so that the next start is quick.
    fn finish(mut self) {
        self.final_flush();
        match self.log.close() {
            // What ended the writer was told before.
            Err(error) if self.poisoned => {
                tracing::debug!(%error, "the store of a writer that is over is closed")
            }
            Err(error) => {
                tracing::error!(%error, "the store did not close cleanly; nothing acknowledged is lost")
            }
            Ok(()) => {}
        }
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
