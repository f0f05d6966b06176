//! The turn loop: the one writer. A turn is all that waited when the previous sync ended.

mod room;
mod sequence;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stateset_event_log::{BodyChange, DocumentChange, EventLog, LogError, LogReader};
use stateset_sequencer_engine::{Candidate, Engine, EntityKey};
use ves::commitment::Commitment;
use ves::receipt::Receipt;
use ves::{AgentId, Digest, EventId, KeyId, Rejection, SequenceNumber, StreamKey, TimestampMs};

use self::room::TurnRoom;
use crate::audit::{Act, Logbook, Work};
use crate::clock::Clock;
use crate::commit::UncommittedLeaves;
use crate::config::Config;
use crate::dead_letters::Decide;
use crate::documents::Replace;
use crate::error::{CommitFailure, ServiceError};
use crate::flush::{Flush, RunWrite};
use crate::payment::{Desk, HoldRequest, PaymentSubmission};
use crate::queue::Queue;
use crate::reply::Reply;
use crate::rhythm::Rhythm;
use crate::rotation::{PolicyScope, RotationPolicy};
use crate::sequencer::Shared;
use crate::timed::{Queries, Query};
use crate::trace::Parent;
use crate::unchanged::Unchanged;

/// What the writer is asked to do.
pub(crate) enum Command {
    Ingest(Submission),
    Payment(Box<PaymentSubmission>),
    /// An authorization is kept for a sale, or given back.
    Hold(Box<HoldRequest>),
    /// Intents that wait in the journal are put where they are read.
    FilePayments(Reply<(), ServiceError>),
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

/// Longest sleep without work: bounds how late a batch closes by age.
const IDLE_WAIT: Duration = Duration::from_millis(200);

impl TurnLoop {
    /// Runs until the queue is closed and empty, then closes the log.
    pub fn run(mut self) {
        self.file_rest();
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
            Command::Hold(request) => self.hold_authorization(*request),
            Command::FilePayments(reply) => drop(reply.send(self.file_payments())),
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
        self.file_rest();
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
