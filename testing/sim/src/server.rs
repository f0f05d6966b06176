//! One run of the sequencer's process: engine and log driven by the turn loop of the service, a step at a time.

mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use stateset_event_log::{
    EventLog, IdIndex, IndexKey, LogError, LogReader, NewEvent, RunBuilder, StoredEvent, StreamAppend,
    encode_body,
};
use stateset_sequencer_engine::{
    Candidate, ColdFacts, CommitPolicy, Decision, Engine, EntityKey, RecentEntry, StreamOpening,
};
use ves::ed25519::SigningKey;
use ves::keys::{AgentKey, KeyRing};
use ves::log::LogTree;
use ves::receipt::{Receipt, receipt_hash};
use ves::tiles::{TileId, TileSource};
use ves::verify::{Verified, verify_batch};
use ves::{
    BatchId, CommandId, Digest, Envelope, EventId, Rejection, SequenceNumber, SequencerId, StreamKey,
    TimestampMs,
};

/// Events of one request, all of one stream.
#[derive(Debug, Clone)]
pub struct Request {
    pub number: u64,
    pub client: usize,
    pub stream: StreamKey,
    pub events: Vec<Envelope<'static>>,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq)]
pub enum EventResult {
    Accepted(Receipt),
    Replayed(Receipt),
    Rejected(Rejection),
}

/// What a client is told about its request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub request: Request,
    pub results: Vec<EventResult>,
}

/// Deliberate mistakes, to show that the checkers see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The log says "durable" before it is.
    AcknowledgesBeforeSync,
    /// The log takes what it finds at start for durable.
    OpensWithoutSync,
    /// Events of a turn that the log refused are answered; their numbers are given again.
    AnswersFailedTurns,
    /// Ids leave the memory before the index has them.
    ForgetsBeforeIndexing,
    /// A replay is answered with a receipt of its own.
    AnswersReplaysAnew,
    /// A batch is stored with one leaf of another event.
    CommitsOtherLeaf,
    /// The index puts some events of an entity at other numbers.
    MisplacesHistories,
    /// Replays are looked at only after keys and signatures.
    ChecksKeysBeforeReplays,
}

/// Who the sequencer is, over all its restarts.
#[derive(Clone)]
pub struct Identity {
    pub sequencer_id: SequencerId,
    pub signer: Arc<SigningKey>,
    pub policy: CommitPolicy,
    pub sabotage: Option<Sabotage>,
}

/// Version of the sequencer's only key.
const KEY_VERSION: u32 = 1;
const BYTES_MAX: usize = 1 << 30;

enum Pending {
    New(Receipt),
    /// Stands at this number; the submitted event decides whether it is a replay.
    Same(SequenceNumber),
    Rejected(Rejection),
}

#[derive(Default)]
struct Turn {
    requests: Vec<(Request, Vec<Pending>)>,
    events: BTreeMap<StreamKey, Vec<(NewEvent, Digest)>>,
}

/// What the log made of a turn.
pub enum TurnEnd {
    Durable(Vec<Answer>),
    /// Nothing changed; these requests were not served and their clients will try again.
    Refused {
        requests: Vec<Request>,
        also_next: bool,
    },
    /// Nobody knows; only opening the log again will tell.
    Unknown {
        problem: LogError,
        requests: Vec<Request>,
    },
}

pub struct Server {
    log: Box<dyn EventLog>,
    reader: Arc<dyn LogReader>,
    engine: Engine,
    keys: KeyRing,
    trees: BTreeMap<StreamKey, LogTree>,
    index: IdIndex,
    /// A flush of recent ids, and a merge of runs, under way.
    flush: Option<RunBuilder>,
    merge: Option<RunBuilder>,
    identity: Identity,
    filling: Turn,
    syncing: Option<Turn>,
}

/// Tiles of one stream's tree, read from the log.
pub struct StreamTiles<'a>(pub &'a dyn LogReader, pub StreamKey);

impl TileSource for StreamTiles<'_> {
    type Error = LogError;
    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        self.0.log_tile(&self.1, id)
    }
}

/// Tiles of one batch, read from the log.
pub struct BatchTiles<'a>(pub &'a dyn LogReader, pub BatchId);

impl TileSource for BatchTiles<'_> {
    type Error = LogError;
    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        self.0.batch_tile(&self.1, id)
    }
}

impl Server {
    /// Recovers from the log.
    pub fn start(log: Box<dyn EventLog>, identity: Identity) -> Result<Self, LogError> {
        let reader = log.reader();
        let mut server = Self {
            engine: Engine::new(identity.policy),
            keys: KeyRing::new(reader.agent_keys()?),
            trees: BTreeMap::new(),
            index: IdIndex::open(log.reader())?,
            flush: None,
            merge: None,
            filling: Turn::default(),
            syncing: None,
            log,
            reader,
            identity,
        };
        for summary in server.reader.streams()? {
            server.recover(summary.stream, summary.head)?;
        }
        Ok(server)
    }

    fn recover(&mut self, stream: StreamKey, head: SequenceNumber) -> Result<(), LogError> {
        let covered = self.index.covered(&stream);
        let events = self.read(&stream, 1, head.0)?;
        let batch = self.reader.last_commitment(&stream)?;
        let committed_end = batch.as_ref().map_or(SequenceNumber::ZERO, |batch| batch.sequence_end);
        let opening = StreamOpening {
            head,
            covered,
            committed_end,
            last_state_root: batch.map_or(Digest::ZERO, |batch| batch.new_state_root),
            uncommitted_since: events.get(committed_end.0 as usize).map(|event| event.sequenced_at),
        };
        self.engine.open_stream(stream, opening);
        for event in &events[covered.0 as usize..] {
            let RecentEntry { sequence, event_id, command_id, entity } = entry_of(event)?;
            let taken = self.engine.remember(&stream, sequence, event_id, command_id, entity);
            taken.map_err(|problem| LogError::corrupt(format!("stream {stream}"), problem.to_string()))?;
        }
        let edge = events[(head.0 - head.0 % 32) as usize..].iter().map(leaf_of);
        let edge = edge.collect::<Result<Vec<_>, _>>()?;
        let tree = LogTree::open(head.0, &edge, &StreamTiles(&*self.reader, stream));
        let tree =
            tree.map_err(|problem| LogError::corrupt(format!("tree of {stream}"), problem.to_string()))?;
        self.trees.insert(stream, tree);
        Ok(())
    }

    pub fn reader(&self) -> &dyn LogReader {
        &*self.reader
    }
    pub fn head(&self, stream: &StreamKey) -> SequenceNumber {
        self.engine.head(stream)
    }
    pub fn committed_end(&self, stream: &StreamKey) -> SequenceNumber {
        self.engine.committed_end(stream).0
    }
    pub fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }
    pub fn has_work(&self) -> bool {
        !self.filling.requests.is_empty()
    }
    pub fn tree(&self, stream: &StreamKey) -> Option<&LogTree> {
        self.trees.get(stream)
    }
    pub fn read(&self, stream: &StreamKey, from: u64, to: u64) -> Result<Vec<StoredEvent>, LogError> {
        let limit = (to + 1).saturating_sub(from) as usize;
        self.reader.read(stream, SequenceNumber(from), limit, BYTES_MAX)
    }

    /// Registers, replaces or revokes a signing key.
    pub fn put_key(&mut self, key: AgentKey) -> Result<(), LogError> {
        self.log.put_agent_key(&key)?;
        self.keys.insert(key);
        Ok(())
    }

    /// Verifies a request and takes it into the turn that is filling.
    ///
    /// # Errors
    /// When the index cannot be read; nothing was admitted.
    pub fn admit(&mut self, request: Request, now: TimestampMs) -> Result<(), LogError> {
        let checked = verify_batch(request.events.clone(), &self.keys, now);
        let candidates: Vec<Candidate> = checked
            .iter()
            .map(|outcome| match outcome {
                Ok(verified) => Candidate::verified(verified),
                Err((event, rejection)) => Candidate::refused(Some(event.event_id), rejection.clone()),
            })
            .collect();
        let facts = self.facts(&request)?;
        let decisions =
            self.engine.admit(&request.stream, &candidates, &facts, now).expect("facts are in step");
        let mut pending = Vec::with_capacity(decisions.len());
        for (decision, outcome) in decisions.into_iter().zip(checked) {
            pending.push(match (decision, outcome) {
                (Decision::Accepted(n), Ok(verified)) => Pending::New(self.take(n, verified, now)),
                (Decision::Accepted(n), Err((event, _))) => {
                    panic!("{} was refused and got number {n}", event.event_id)
                }
                (Decision::Duplicate(_), Err((_, rejection)))
                    if self.is(Sabotage::ChecksKeysBeforeReplays) =>
                {
                    Pending::Rejected(rejection)
                }
                (Decision::Duplicate(n), _) => Pending::Same(n),
                (Decision::Rejected(rejection), _) => Pending::Rejected(rejection),
            });
        }
        self.filling.requests.push((request, pending));
        Ok(())
    }

    /// What the index knows of a request.
    fn facts(&self, request: &Request) -> Result<ColdFacts, LogError> {
        let (stream, index) = (request.stream, self.index.snapshot());
        let mut facts = ColdFacts::none_through(index.covered(&stream));
        for event in &request.events {
            if let Some(n) = index.lookup(&IndexKey::event(stream, &event.event_id))? {
                facts.events.insert(event.event_id, SequenceNumber(n));
            }
            if let Some(command) = event.command_id
                && let Some(n) = index.lookup(&IndexKey::command(stream, &command))?
            {
                facts.commands.insert(command, SequenceNumber(n));
            }
            let entity = EntityKey::of(&event.entity_type, &event.entity_id);
            if let Some(count) = index.lookup(&IndexKey::entity(stream, entity.0))? {
                facts.versions.insert(entity, count);
            }
        }
        if self.is(Sabotage::ForgetsBeforeIndexing) {
            facts.through = self.engine.forgotten_through(&stream).max(facts.through);
        }
        Ok(facts)
    }

    fn take(&mut self, n: SequenceNumber, event: Verified<'_>, now: TimestampMs) -> Receipt {
        let (envelope, signing_hash) = event.into_parts();
        let receipt = self.receipt(&envelope.stream, envelope.event_id, n, &signing_hash, now);
        let leaf = ves::merkle::leaf_hash(&envelope.stream, n, &signing_hash, &envelope.agent_signature);
        let event = NewEvent {
            sequence_number: n,
            sequenced_at: now,
            receipt_signature: receipt.signature,
            key_version: KEY_VERSION,
            body: encode_body(&envelope, &signing_hash).into(),
        };
        self.filling.events.entry(envelope.stream).or_default().push((event, leaf));
        receipt
    }

    fn receipt(
        &self,
        stream: &StreamKey,
        event_id: EventId,
        n: SequenceNumber,
        signing_hash: &Digest,
        now: TimestampMs,
    ) -> Receipt {
        let receipt_hash = receipt_hash(stream, &event_id, n, signing_hash);
        Receipt {
            sequencer_id: self.identity.sequencer_id,
            stream: *stream,
            event_id,
            sequence_number: n,
            sequenced_at: now,
            receipt_hash,
            signature: Some(self.identity.signer.sign(receipt_hash.as_bytes())),
            key_version: KEY_VERSION,
        }
    }

    /// Closes the turn that is filling and hands it to the log; the next one fills until [`Server::sync`].
    pub fn seal(&mut self) {
        assert!(self.syncing.is_none(), "one turn syncs at a time");
        self.engine.seal_turn();
        self.syncing = Some(std::mem::take(&mut self.filling));
    }

    /// The log's answer for the turn that syncs.
    pub fn sync(&mut self, now: TimestampMs) -> TurnEnd {
        let Some(turn) = self.syncing.take() else { return TurnEnd::Durable(Vec::new()) };
        let mut grown = BTreeMap::new();
        let mut appends = Vec::with_capacity(turn.events.len());
        for (stream, events) in &turn.events {
            let mut tree = self.trees.get(stream).cloned().unwrap_or_default();
            let log_tiles = events.iter().flat_map(|(_, leaf)| tree.push(leaf)).collect();
            let events = events.iter().map(|(event, _)| event.clone()).collect();
            appends.push(StreamAppend { stream: *stream, events, log_tiles });
            grown.insert(*stream, tree);
        }
        let stored = if appends.is_empty() { Ok(()) } else { self.log.append(&appends) };
        match stored {
            Ok(()) => {
                self.engine.turn_durable();
                self.trees.append(&mut grown);
                self.answered(turn, now)
            }
            Err(problem) if problem.changed_nothing() => {
                self.engine.turn_failed();
                let next = std::mem::take(&mut self.filling);
                if self.is(Sabotage::AnswersFailedTurns) {
                    return self.answered(turn, now);
                }
                let also_next = !next.requests.is_empty();
                let requests = turn.requests.into_iter().chain(next.requests).map(|(request, _)| request);
                TurnEnd::Refused { requests: requests.collect(), also_next }
            }
            Err(problem) => {
                let requests = turn.requests.into_iter().map(|(request, _)| request).collect();
                TurnEnd::Unknown { problem, requests }
            }
        }
    }

    fn answered(&self, turn: Turn, now: TimestampMs) -> TurnEnd {
        match self.answer(turn, now) {
            Ok(answers) => TurnEnd::Durable(answers),
            Err(problem) => TurnEnd::Unknown { problem, requests: Vec::new() },
        }
    }

    fn answer(&self, turn: Turn, now: TimestampMs) -> Result<Vec<Answer>, LogError> {
        let answer = |(request, pending): (Request, Vec<Pending>)| {
            let results = request.events.iter().zip(pending).map(|(event, pending)| match pending {
                Pending::New(receipt) => Ok(EventResult::Accepted(receipt)),
                Pending::Rejected(rejection) => Ok(EventResult::Rejected(rejection)),
                Pending::Same(n) => self.replay(event, n, now),
            });
            let results = results.collect::<Result<Vec<_>, LogError>>()?;
            Ok(Answer { results, request })
        };
        turn.requests.into_iter().map(answer).collect()
    }

    /// 11.2: the same event gets the first answer, another is refused.
    fn replay(
        &self,
        event: &Envelope<'_>,
        n: SequenceNumber,
        now: TimestampMs,
    ) -> Result<EventResult, LogError> {
        let stored = self.read(&event.stream, n.0, n.0)?.into_iter().next();
        let Some(stored) = stored else { return Ok(EventResult::Rejected(Rejection::DuplicateEventId)) };
        let (first, signing_hash) = stored.envelope().map_err(corrupt)?;
        if first != *event {
            return Ok(EventResult::Rejected(Rejection::DuplicateEventId));
        }
        let at = if self.is(Sabotage::AnswersReplaysAnew) { now } else { stored.sequenced_at };
        let mut receipt = self.receipt(&event.stream, event.event_id, n, &signing_hash, at);
        receipt.signature = stored.receipt_signature;
        receipt.key_version = stored.key_version;
        Ok(EventResult::Replayed(receipt))
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.identity.sabotage == Some(sabotage)
    }
}

fn corrupt(problem: impl std::fmt::Display) -> LogError {
    LogError::corrupt("a record", problem.to_string())
}

fn leaf_of(event: &StoredEvent) -> Result<Digest, LogError> {
    event.leaf_hash().map_err(corrupt)
}

fn entry_of(event: &StoredEvent) -> Result<RecentEntry, LogError> {
    let (envelope, _) = event.envelope().map_err(corrupt)?;
    let command_id: Option<CommandId> = envelope.command_id;
    let entity = EntityKey::of(&envelope.entity_type, &envelope.entity_id);
    Ok(RecentEntry { sequence: event.sequence_number, event_id: envelope.event_id, command_id, entity })
}
