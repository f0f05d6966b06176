//! The turn loop: the one writer. A turn is all that waited when the previous sync ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use stateset_event_log::{ApiKeyRecord, EventLog, LogError, LogReader, NewEvent, StreamAppend};
use stateset_sequencer_engine::{AdmitError, Candidate, Decision, Engine};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use ves::commitment::Commitment;
use ves::ed25519::SignerError;
use ves::keys::{AgentKey, EncryptionKey};
use ves::log::LogTree;
use ves::receipt::{self, Receipt};
use ves::{Digest, EventId, Rejection, SequenceNumber, StreamKey, TimestampMs, merkle};

use crate::clock::Clock;
use crate::commit::UncommittedLeaves;
use crate::config::Config;
use crate::error::{CommitFailure, ServiceError};
use crate::flush::{Flush, RunWrite};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::sequencer::Shared;
use crate::streams::Durable;

/// What the writer is asked to do.
pub(crate) enum Command {
    Ingest(Submission),
    Commit {
        stream: StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
        reply: Reply<Commitment, CommitFailure>,
    },
    AgentKey(Box<AgentKey>, Reply<(), ServiceError>),
    EncryptionKey(Box<EncryptionKey>, Reply<(), ServiceError>),
    ApiKey(Box<ApiKeyRecord>, Reply<(), ServiceError>),
    /// Where an event stands, for reads by id.
    Find {
        stream: StreamKey,
        event_id: EventId,
        reply: Reply<Option<SequenceNumber>, ServiceError>,
    },
    Run(RunWrite),
}

pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// One request's events of one stream, verified (or refused) by the caller.
pub(crate) struct Submission {
    pub stream: StreamKey,
    pub candidates: Vec<Candidate>,
    /// Beside each candidate: what to store if it is accepted; `None` where it was refused.
    pub bodies: Vec<Option<Prepared>>,
    pub reply: Reply<Vec<Outcome>, ServiceError>,
    /// Keeps the queue within its bound; given back when the submission is answered.
    pub _permit: OwnedSemaphorePermit,
}

/// A verified event, ready to be stored.
pub(crate) struct Prepared {
    pub event_id: EventId,
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
    pub reader: Arc<dyn LogReader>,
    pub engine: Engine,
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub signers: Option<rayon::ThreadPool>,
    pub uncommitted: BTreeMap<StreamKey, UncommittedLeaves>,
    pub flush: Flush,
    /// Set when the store's state is unclear: nothing is written until the service is restarted.
    pub poisoned: bool,
}

/// What one turn adds to one stream.
struct StreamTurn {
    append: StreamAppend,
    tree: LogTree,
    leaves: Vec<Digest>,
}

/// Longest sleep without work: bounds how late a batch closes by age.
const IDLE_WAIT: Duration = Duration::from_millis(200);

impl TurnLoop {
    /// Runs until the queue is closed and empty, then closes the log.
    pub fn run(mut self) {
        while !self.queue.is_finished() {
            let mut room = Config::TURN_EVENTS_MAX;
            let commands = self.queue.take(IDLE_WAIT, |command| match command {
                Command::Ingest(submission) => match room.checked_sub(submission.candidates.len()) {
                    Some(rest) => {
                        room = rest;
                        true
                    }
                    None => false,
                },
                _ => true,
            });
            self.serve(commands);
            self.commit_due();
            self.start_flush();
            if let Err(error) = self.log.maintenance() {
                tracing::warn!(%error, "store maintenance failed, it is tried again after the next turn");
            }
        }
        self.finish();
    }

    fn serve(&mut self, commands: Vec<Command>) {
        let mut submissions = Vec::with_capacity(commands.len());
        let mut others = Vec::new();
        for command in commands {
            match command {
                Command::Ingest(submission) => submissions.push(submission),
                other => others.push(other),
            }
        }
        if !submissions.is_empty() {
            self.sequence(submissions);
        }
        for command in others {
            self.execute(command);
        }
    }

    fn execute(&mut self, command: Command) {
        // A caller that went away does not need its answer.
        match command {
            Command::Ingest(submission) => self.sequence(vec![submission]),
            Command::Commit { stream, start, end, reply } => {
                drop(reply.send(self.commit(&stream, start, end)))
            }
            Command::AgentKey(key, reply) => drop(reply.send(self.write(|log| log.put_agent_key(&key)))),
            Command::EncryptionKey(key, reply) => {
                drop(reply.send(self.write(|log| log.put_encryption_key(&key))))
            }
            Command::ApiKey(key, reply) => drop(reply.send(self.write(|log| log.put_api_key(&key)))),
            Command::Find { stream, event_id, reply } => drop(reply.send(self.find(&stream, &event_id))),
            Command::Run(write) => self.write_run(write),
        }
    }

    fn find(&self, stream: &StreamKey, event_id: &EventId) -> Result<Option<SequenceNumber>, ServiceError> {
        match self.engine.find(stream, event_id) {
            Some(at) => Ok(Some(at)),
            None => self.flush.find(stream, event_id),
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
        let written = write(self.log.as_mut());
        written.map_err(|error| {
            self.note_failure(&error);
            ServiceError::StoreRefused(error.to_string())
        })
    }

    /// One turn: admit, number, sign, append, answer.
    fn sequence(&mut self, submissions: Vec<Submission>) {
        let now = self.clock.now();
        Metrics::add(&self.shared.metrics.batches_received, submissions.len() as u64);
        let mut admitted = Vec::with_capacity(submissions.len());
        for mut submission in submissions {
            match self.admit(&submission, now) {
                Ok(decisions) => {
                    let bodies = std::mem::take(&mut submission.bodies);
                    admitted.push((submission, decisions, bodies));
                }
                Err(error) => drop(submission.reply.send(Err(error))),
            }
        }
        let mut streams = BTreeMap::new();
        let mut receipts = Vec::new();
        for (submission, decisions, bodies) in &mut admitted {
            self.number(submission.stream, decisions, bodies, now, &mut streams, &mut receipts);
        }
        let written = self.sign_and_append(&mut streams, &mut receipts);
        match written {
            Ok(()) => self.publish(streams, now),
            Err(_) => self.take_back(),
        }
        let mut receipts = receipts.into_iter();
        for (submission, decisions, bodies) in admitted {
            let answer = match &written {
                Ok(()) => Ok(outcomes(decisions, bodies, &mut receipts)),
                Err(error) => Err(error.clone()),
            };
            drop(submission.reply.send(answer));
        }
    }

    fn admit(&mut self, submission: &Submission, now: TimestampMs) -> Result<Vec<Decision>, ServiceError> {
        if self.poisoned {
            return Err(ServiceError::Poisoned);
        }
        let cold = self.flush.cold_facts(&submission.stream, &submission.candidates)?;
        self.engine.admit(&submission.stream, &submission.candidates, &cold, now).map_err(|error| match error
        {
            AdmitError::StreamFull => ServiceError::StreamFull,
            other => ServiceError::Internal(other.to_string()),
        })
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
        let started = Instant::now();
        let appended = self.log.append(&appends);
        Metrics::add(&self.shared.metrics.append_ns, started.elapsed().as_nanos() as u64);
        appended.map_err(|error| {
            tracing::error!(%error, events = receipts.len(), "a turn was refused by the store");
            self.note_failure(&error);
            ServiceError::StoreRefused(error.to_string())
        })
    }

    fn sign(&self, receipts: &mut [Receipt]) -> Result<(), SignerError> {
        let signer = &self.config.signer;
        let sign = |receipt: &mut Receipt| {
            receipt.signature = Some(signer.sign(receipt.receipt_hash.as_bytes())?);
            Ok(())
        };
        match &self.signers {
            // A handful is not worth waking other cores.
            Some(pool) if receipts.len() >= 32 => {
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

    /// After an error other than "full" the outcome of the write is unknown: only a restart reads the truth.
    pub fn note_failure(&mut self, error: &LogError) {
        if !error.changed_nothing() {
            tracing::error!(%error, "the store's state is unclear; writes stop until a restart");
            self.poisoned = true;
            self.shared.poison();
        }
    }

    /// The queue is closed and empty: what is remembered goes into the index, so that the next start is quick.
    fn finish(mut self) {
        self.final_flush();
        if let Err(error) = self.log.close() {
            tracing::error!(%error, "the store did not close cleanly; nothing acknowledged is lost");
        }
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
