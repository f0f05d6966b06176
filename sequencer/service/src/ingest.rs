//! Ingest: the caller's task verifies, the turn loop numbers, the caller's task compares replays.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use stateset_event_log::{Record, StoredEvent, encode_body, is_sealed};
use stateset_sequencer_engine::Candidate;
use ves::envelope::Undecodable;
use ves::receipt::{self, Receipt};
use ves::{AgentId, BatchId, Envelope, EventId, KeyId, Rejection, SequenceNumber, StreamKey, verify};

use crate::error::ServiceError;
use crate::metrics::Metrics;
use crate::payment::refuse_foreign;
use crate::reply::Reply;
use crate::sequencer::Sequencer;
use crate::spelling::verify_spellings;
use crate::trace;
use crate::turn::{Command, Outcome, Prepared, Submission};

/// One event of a request, as it was decoded.
pub type Submitted<'a> = Result<Envelope<'a>, Undecodable>;

/// The answer to one event.
#[derive(Debug, Clone)]
pub enum EventResult {
    Accepted(Receipt),
    /// The same event was accepted before: its first receipt.
    Replayed(Receipt),
    Rejected {
        event_id: Option<EventId>,
        rejection: Rejection,
    },
}

/// The answer to one request; results stand in the order of its events.
#[derive(Debug, Clone)]
pub struct IngestOutcome {
    pub batch_id: BatchId,
    pub results: Vec<EventResult>,
    /// Head of the stream after this request.
    pub head_sequence: SequenceNumber,
    /// What the owners of the keys used should hear about their rotation; mostly empty.
    pub key_warnings: Vec<String>,
}

/// Events verified before other tasks of the same thread get a turn: about a millisecond.
const VERIFY_CHUNK: usize = 128;

/// What an ML-DSA-65 signature costs beside an Ed25519 one.
const POST_QUANTUM_WEIGHT: usize = 8;

/// Neighbouring replays read back at once, and bytes of their bodies.
const REPLAY_RUN: usize = 64;
const REPLAY_BYTES_MAX: usize = 1 << 20;

/// A request's events after verification, in request order, one entry in each list.
struct Checked<'a> {
    candidates: Vec<Candidate>,
    bodies: Vec<Option<Prepared>>,
    /// The envelopes of refused events: an exact replay is answered even when its key was revoked since.
    refused: Vec<Option<Envelope<'a>>>,
    ids: Vec<Option<EventId>>,
}

impl Sequencer {
    /// Sequences the events of one stream. Returns when every accepted one is durable.
    ///
    /// Rules in the order of section 10; a refused event leaves its neighbours alone. Every `Ok` of `events` must
    /// be of `stream`: a request that mixes streams is refused by the caller as a whole.
    ///
    /// # Errors
    /// [`ServiceError`]. Unless it is [`ServiceError::Unclear`], or a stored event could not be read back for a
    /// replay, nothing of the request was accepted. The same request again gets the first answers.
    pub async fn ingest(
        &self,
        stream: StreamKey,
        events: Vec<Submitted<'_>>,
    ) -> Result<IngestOutcome, ServiceError> {
        self.ingest_respelled(stream, events, Vec::new()).await
    }

    /// As [`Self::ingest`], for a transport that carries `created_at` as an instant: `others` holds, at the places of
    /// `events`, the event with the other text that may have been signed. It may be shorter.
    pub async fn ingest_respelled<'a>(
        &self,
        stream: StreamKey,
        events: Vec<Submitted<'a>>,
        others: Vec<Option<Envelope<'a>>>,
    ) -> Result<IngestOutcome, ServiceError> {
        let batch_id = BatchId::random(random_bytes()?);
        let key_changes = self.shared().key_changes();
        let keys = self.keys_under_policies(&events);
        let mut span = trace::child("verify");
        if let Some(span) = &mut span {
            span.set("events", events.len());
        }
        let Checked { candidates, bodies, mut refused, ids } = self.check(&stream, events, others).await?;
        drop(span);
        Metrics::add(&self.shared().metrics.events_verified, bodies.iter().flatten().count() as u64);
        let outcomes = self.submit(stream, candidates, bodies, key_changes).await?;
        let mut replays = Replays::of(stream, &outcomes);
        let mut results = Vec::with_capacity(outcomes.len());
        for (i, outcome) in outcomes.into_iter().enumerate() {
            results.push(match outcome {
                Outcome::Accepted(receipt) => EventResult::Accepted(receipt),
                Outcome::Rejected(rejection) => EventResult::Rejected { event_id: ids[i], rejection },
                Outcome::Duplicate(at, prepared) => {
                    let body = match (prepared, refused[i].take()) {
                        (Some(prepared), _) => Some(prepared.body),
                        (None, Some(envelope)) => {
                            let signing_hash = envelope.signing_hash();
                            Some(encode_body(&envelope, &signing_hash).into())
                        }
                        (None, None) => None,
                    };
                    let stored = replays.next(self, at).await?;
                    self.replay(stream, &stored, ids[i], body.as_deref())?
                }
            });
        }
        self.count(&results);
        let key_warnings = self.key_warnings(&stream, &keys);
        Ok(IngestOutcome { batch_id, results, head_sequence: self.head(&stream).head_sequence, key_warnings })
    }

    /// The keys of a request, each once; none where no policy exists anywhere.
    fn keys_under_policies(&self, events: &[Submitted<'_>]) -> Vec<(AgentId, KeyId)> {
        if self.shared().rotation.policies().is_empty() {
            return Vec::new();
        }
        let keys: BTreeSet<_> =
            events.iter().flatten().map(|event| (event.source_agent_id, event.agent_key_id)).collect();
        keys.into_iter().collect()
    }

    /// Steps 3 to 10 of section 10, then who may say it and the schemas of payloads, without effect.
    async fn check<'a>(
        &self,
        stream: &StreamKey,
        events: Vec<Submitted<'a>>,
        others: Vec<Option<Envelope<'a>>>,
    ) -> Result<Checked<'a>, ServiceError> {
        let n = events.len();
        let mut checked = Checked {
            candidates: Vec::with_capacity(n),
            bodies: Vec::with_capacity(n),
            refused: Vec::with_capacity(n),
            ids: Vec::with_capacity(n),
        };
        let (now, profile) = (self.now(), self.inner.config.security_profile);
        let own_agent = self.own_agent();
        #[cfg(feature = "schema-validation")]
        let mut schemas = self.schema_gate(&stream.tenant_id).await?;
        #[cfg(not(feature = "schema-validation"))]
        let _ = stream;
        let mut events = events.into_iter().peekable();
        let mut others = others.into_iter();
        while events.peek().is_some() {
            let mut chunk = Vec::with_capacity(n.min(VERIFY_CHUNK));
            let mut respelled = Vec::new();
            let mut order = Vec::with_capacity(n.min(VERIFY_CHUNK));
            let mut weight = 0;
            while weight < VERIFY_CHUNK
                && let Some(event) = events.next()
            {
                let is_heavy = event.as_ref().is_ok_and(|event| event.ml_dsa_65_signature.is_some());
                weight += if is_heavy { POST_QUANTUM_WEIGHT } else { 1 };
                let other = others.next().flatten();
                order.push(match event {
                    Ok(envelope) => {
                        chunk.push(envelope);
                        respelled.push(other);
                        None
                    }
                    Err(undecodable) => Some(undecodable),
                });
            }
            let mut verified = verify_spellings(profile, chunk, &respelled, self.keys(), now);
            refuse_foreign(&own_agent, &mut verified);
            // Whoever has no valid key makes no work here.
            #[cfg(feature = "schema-validation")]
            if let Some(schemas) = &mut schemas {
                schemas.check(&mut verified).await?;
            }
            let mut verified = verified.into_iter();
            for undecodable in order {
                match undecodable {
                    Some(undecodable) => checked.push_undecodable(undecodable),
                    None => checked.push(verified.next().expect("one result for each envelope")),
                }
            }
            if events.peek().is_some() {
                tokio::task::yield_now().await;
            }
        }
        Ok(checked)
    }

    async fn submit(
        &self,
        stream: StreamKey,
        candidates: Vec<Candidate>,
        bodies: Vec<Option<Prepared>>,
        key_changes: u64,
    ) -> Result<Vec<Outcome>, ServiceError> {
        let permits = u32::try_from(candidates.len()).unwrap_or(u32::MAX).min(self.shared().queue_events_max);
        let (reply, answer) = Reply::new(self.place(permits).await?);
        let traced = trace::parent().map(|parent| (parent, Instant::now()));
        let submission = Submission { stream, key_changes, candidates, bodies, reply, traced };
        self.put(Command::Ingest(submission))?;
        self.answer(answer).await
    }

    /// Section 11.2: the same event in every agent-authored member gets its first receipt.
    fn replay(
        &self,
        stream: StreamKey,
        stored: &StoredEvent,
        event_id: Option<EventId>,
        body: Option<&[u8]>,
    ) -> Result<EventResult, ServiceError> {
        if !body.is_some_and(|body| is_same(body, stored)) {
            return Ok(EventResult::Rejected { event_id, rejection: Rejection::DuplicateEventId });
        }
        self.receipt_of(stream, stored).map(EventResult::Replayed)
    }

    /// The receipt that was given for a stored event.
    pub fn receipt_of(&self, stream: StreamKey, stored: &StoredEvent) -> Result<Receipt, ServiceError> {
        let number = stored.sequence_number;
        let record = stored.record().map_err(|error| ServiceError::of_record(number, &error))?;
        let (envelope, signing_hash) = (&record.head, record.signing_hash);
        Ok(Receipt {
            sequencer_id: self.sequencer_of(stored.key_version),
            stream,
            event_id: envelope.event_id,
            sequence_number: stored.sequence_number,
            sequenced_at: stored.sequenced_at,
            receipt_hash: receipt::receipt_hash(
                &stream,
                &envelope.event_id,
                stored.sequence_number,
                &signing_hash,
            ),
            signature: stored.receipt_signature,
            key_version: stored.key_version,
        })
    }

    fn count(&self, results: &[EventResult]) {
        let metrics = &self.shared().metrics;
        let (mut rejected, mut replayed, mut schema, mut signature) = (0, 0, 0, 0);
        for result in results {
            match result {
                EventResult::Accepted(_) => {}
                EventResult::Replayed(_) => replayed += 1,
                EventResult::Rejected { rejection, .. } => {
                    rejected += 1;
                    schema += u64::from(matches!(rejection, Rejection::SchemaValidation { .. }));
                    signature += u64::from(matches!(rejection, Rejection::InvalidSignature));
                }
            }
        }
        Metrics::add(&metrics.rejected_schema, schema);
        Metrics::add(&metrics.rejected_signature, signature);
        Metrics::add(&metrics.events_rejected, rejected);
        Metrics::add(&metrics.events_replayed, replayed);
    }
}

/// Whether `body` is the record of a stored event. Where that is sealed at rest and no key opens it, all but the payload
/// is compared, which the hashes of the payload are part of: a replay needs no key.
fn is_same(body: &[u8], stored: &StoredEvent) -> bool {
    if !is_sealed(&stored.body) {
        return body == stored.body.as_slice();
    }
    match (Record::read(body), stored.record()) {
        (Ok(body), Ok(stored)) => body.is_same_event(&stored),
        _ => false,
    }
}

/// The stored events that a request's duplicates are compared with. A request that is sent again is a run of
/// neighbours: those are read together.
struct Replays {
    stream: StreamKey,
    /// Places still to be asked for, in the order of the request.
    places: VecDeque<SequenceNumber>,
    held: VecDeque<StoredEvent>,
}

impl Replays {
    fn of(stream: StreamKey, outcomes: &[Outcome]) -> Self {
        let places = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Duplicate(at, _) => Some(*at),
            _ => None,
        });
        Self { stream, places: places.collect(), held: VecDeque::new() }
    }

    /// The event at the next place, which is `at`.
    async fn next(&mut self, service: &Sequencer, at: SequenceNumber) -> Result<StoredEvent, ServiceError> {
        if self.held.front().is_none_or(|held| held.sequence_number != at) {
            let neighbours = self.places.iter().zip(at.0..).take_while(|(place, n)| place.0 == *n);
            let (stream, limit) = (self.stream, neighbours.take(REPLAY_RUN).count().max(1));
            let read = service.read(move |reader| {
                Ok::<_, ServiceError>(reader.read(&stream, at, limit, REPLAY_BYTES_MAX)?)
            });
            self.held = read.await?.into();
            tokio::task::yield_now().await;
        }
        self.places.pop_front();
        self.held.pop_front().filter(|held| held.sequence_number == at).ok_or_else(|| {
            ServiceError::Internal(format!("event {at} of stream {} is indexed and not stored", self.stream))
        })
    }
}

impl<'a> Checked<'a> {
    fn push(&mut self, result: Result<verify::Verified<'a>, (Envelope<'a>, Rejection)>) {
        match result {
            Ok(verified) => {
                let (envelope, signing_hash) = (verified.envelope(), *verified.signing_hash());
                self.ids.push(Some(envelope.event_id));
                self.candidates.push(Candidate::verified(&verified));
                self.bodies.push(Some(Prepared {
                    event_id: envelope.event_id,
                    agent_id: envelope.source_agent_id,
                    agent_key_id: envelope.agent_key_id,
                    signing_hash,
                    agent_signature: envelope.agent_signature,
                    body: encode_body(envelope, &signing_hash).into(),
                }));
                self.refused.push(None);
            }
            Err((envelope, rejection)) => {
                self.ids.push(Some(envelope.event_id));
                self.candidates.push(Candidate::refused(Some(envelope.event_id), rejection));
                self.bodies.push(None);
                self.refused.push(Some(envelope));
            }
        }
    }

    fn push_undecodable(&mut self, undecodable: Undecodable) {
        self.ids.push(undecodable.event_id);
        self.candidates.push(Candidate::refused(undecodable.event_id, undecodable.rejection));
        self.bodies.push(None);
        self.refused.push(None);
    }
}

pub(crate) fn random_bytes() -> Result<[u8; 16], ServiceError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| ServiceError::Internal(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
