//! The unary calls of version 2 (section 4.1): shape, right, work, answer.

use std::str::FromStr;
use std::time::Instant;

use prost::Message as _;
use stateset_sequencer::{EventResult, IngestOutcome, StoredEvent};
use ves::event::{ENTITY_ID_BYTES_MAX, ENTITY_TYPE_BYTES_MAX};
use ves::{AgentId, BatchId, Commitment, EventId, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::error::ErrorCode;
use ves_wire::proto::v2::{self, get_commitment_request, get_inclusion_proof_request};
use ves_wire::v2::{
    commitment, event_receipt, event_texts, inclusion_proof, read_push, rejected, sequenced, timestamp,
};

use crate::budget::Room;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::lane::Way;
use crate::router::App;

const PAGE_EVENTS_DEFAULT: usize = 100;
const PAGE_EVENTS_MAX: usize = 1000;
const HISTORY_EVENTS_MAX: usize = 100;
/// Bytes of messages after which a page ends: readers take 4 MiB by default.
pub(super) const PAGE_BYTES_MAX: usize = 3 << 20;
/// What one read of the service brings at most, but for a single larger event.
pub(super) const READ_BYTES_MAX: usize = 16 << 20;
/// Most entries of one filter.
const FILTER_ENTRIES_MAX: usize = 100;

/// An id out of a message.
pub(super) fn id<T: FromStr>(field: &'static str, text: &str) -> Result<T, ApiError> {
    if text.is_empty() {
        return Err(ApiError::new(ErrorCode::MissingRequiredField, format!("{field} is missing")));
    }
    text.parse().map_err(|_| ApiError::invalid(field, "expected a UUID"))
}

pub(super) fn stream_of(tenant_id: &str, store_id: &str) -> Result<StreamKey, ApiError> {
    let (tenant_id, store_id) =
        (id::<TenantId>("tenant_id", tenant_id)?, id::<StoreId>("store_id", store_id)?);
    Ok(StreamKey { tenant_id, store_id })
}

/// A number that events may have; 0 means the first.
pub(super) fn number(field: &'static str, number: u64) -> Result<SequenceNumber, ApiError> {
    if number > SequenceNumber::MAX.get() {
        return Err(ApiError::invalid(field, "is beyond any sequence number"));
    }
    Ok(SequenceNumber(number.max(1)))
}

/// `Push`
pub(super) async fn push(
    app: &App,
    caller: &Caller,
    way: &Way,
    request: v2::PushRequest,
) -> Result<v2::PushResponse, ApiError> {
    let started = Instant::now();
    caller.require_right(Permission::Write)?;
    let texts = event_texts(&request);
    let push = read_push(&request, &texts, &app.limits)?;
    caller.require_agent(&push.agent_id)?;
    caller.require(Permission::Write, &push.stream)?;
    let (stream, count) = (push.stream, push.events.len());
    let outcome = app.sequencer.ingest_respelled(stream, push.events, push.respelled).await?;
    way.note(&outcome.results);
    app.metrics.ingested(count, started.elapsed());
    Ok(push_response(app, &stream, &request, &outcome))
}

fn push_response(
    app: &App,
    stream: &StreamKey,
    request: &v2::PushRequest,
    outcome: &IngestOutcome,
) -> v2::PushResponse {
    let mut response = v2::PushResponse {
        batch_id: outcome.batch_id.to_string(),
        request_id: request.request_id.clone(),
        head_sequence: outcome.head_sequence.get(),
        ..v2::PushResponse::default()
    };
    for (sent, result) in request.events.iter().zip(&outcome.results) {
        match result {
            EventResult::Accepted(receipt) => {
                let at = receipt.sequence_number.get();
                if response.events_accepted == 0 {
                    response.sequence_start = at;
                }
                response.sequence_end = at;
                response.events_accepted += 1;
                response.receipts.push(event_receipt(receipt, false));
            }
            EventResult::Replayed(receipt) => response.receipts.push(event_receipt(receipt, true)),
            EventResult::Rejected { rejection, .. } => {
                response.events_rejected += 1;
                response.rejections.push(rejected(&sent.event_id, rejection));
            }
        }
    }
    if response.events_accepted > 0 {
        let latest = app.sequencer.head(stream).latest_commitment;
        let end = SequenceNumber(response.sequence_end);
        response.commitment = latest.filter(|batch| holds(batch, end)).map(|batch| commitment(&batch));
    }
    response
}

fn holds(batch: &Commitment, at: SequenceNumber) -> bool {
    (batch.sequence_start..=batch.sequence_end).contains(&at)
}

/// A stored event as a message.
pub(super) fn message(
    app: &App,
    stream: StreamKey,
    event: &StoredEvent,
) -> Result<v2::SequencedEvent, ApiError> {
    let (envelope, _) = event.envelope().map_err(ApiError::record)?;
    Ok(sequenced(&envelope, &app.sequencer.receipt_of(stream, event)?))
}

/// Which events a reader wants; an empty list wants all.
#[derive(Debug, Default)]
pub(super) struct Filter {
    entity_types: Vec<String>,
    entity_id: Option<String>,
    event_types: Vec<String>,
    agents: Vec<AgentId>,
}

impl Filter {
    /// The events of one entity.
    pub fn entity(entity_type: String, entity_id: String) -> Self {
        Self { entity_types: vec![entity_type], entity_id: Some(entity_id), ..Self::default() }
    }

    /// By lists; refused when one is too long to be asked about for each event.
    pub fn lists(
        entity_types: Vec<String>,
        event_types: Vec<String>,
        agents: &[String],
    ) -> Result<Self, ApiError> {
        for (field, entries) in [
            ("entity_type_filter", entity_types.len()),
            ("event_type_filter", event_types.len()),
            ("agent_filter", agents.len()),
        ] {
            if entries > FILTER_ENTRIES_MAX {
                let problem = format!("{entries} entries, at most {FILTER_ENTRIES_MAX} are taken");
                return Err(ApiError::invalid(field, problem));
            }
        }
        let agents = agents.iter().map(|agent| id("agent_filter", agent)).collect::<Result<_, _>>()?;
        Ok(Self { entity_types, entity_id: None, event_types, agents })
    }

    fn of_pull(request: &v2::PullEventsRequest) -> Result<Self, ApiError> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let entity_types = given(&request.entity_type_filter).into_iter().collect();
        let lists = Self::lists(entity_types, request.event_type_filter.clone(), &request.agent_filter)?;
        Ok(Self { entity_id: given(&request.entity_id_filter), ..lists })
    }

    pub fn wants(&self, event: &StoredEvent) -> Result<bool, ApiError> {
        if self.entity_types.is_empty()
            && self.entity_id.is_none()
            && self.event_types.is_empty()
            && self.agents.is_empty()
        {
            return Ok(true);
        }
        let (envelope, _) = event.envelope().map_err(ApiError::record)?;
        let among = |list: &[String], text: &str| list.is_empty() || list.iter().any(|entry| entry == text);
        Ok(among(&self.entity_types, &envelope.entity_type)
            && self.entity_id.as_ref().is_none_or(|id| *id == envelope.entity_id)
            && among(&self.event_types, &envelope.event_type)
            && (self.agents.is_empty() || self.agents.contains(&envelope.source_agent_id)))
    }
}

/// `PullEvents`: the page, and its room until it is sent.
pub(super) async fn pull(
    app: &App,
    caller: &Caller,
    request: v2::PullEventsRequest,
) -> Result<(v2::PullEventsResponse, Room), ApiError> {
    let stream = stream_of(&request.tenant_id, &request.store_id)?;
    caller.require(Permission::Read, &stream)?;
    let filter = Filter::of_pull(&request)?;
    let from = number("from_sequence", request.from_sequence)?;
    let limit = match request.limit as usize {
        0 => PAGE_EVENTS_DEFAULT,
        limit => limit.min(PAGE_EVENTS_MAX),
    };
    let event_bytes_max = 2 * app.config.payload_bytes_max;
    let read_bytes_max = limit.saturating_mul(event_bytes_max).min(READ_BYTES_MAX);
    let mut room =
        app.budget.take(&stream.tenant_id, read_bytes_max + PAGE_BYTES_MAX + event_bytes_max).await?;
    let stored = app.sequencer.events(&stream, from, limit).await?;
    // Read after the events, so that the head is never behind them.
    let head = app.sequencer.head(&stream).head_sequence.get();
    let mut page = v2::PullEventsResponse { next_sequence: from.get(), ..Default::default() };
    let mut bytes = 0;
    for event in &stored {
        // One event at least, so that a reader gets on.
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
        page.next_sequence = event.sequence_number.get() + 1;
        if filter.wants(event)? {
            let event = message(app, stream, event)?;
            bytes += event.encoded_len();
            page.events.push(event);
        }
    }
    page.head_sequence = head;
    page.has_more = page.next_sequence <= head;
    if !page.has_more {
        page.next_sequence = head + 1;
    }
    drop(stored);
    room.shrink_to(bytes);
    Ok((page, room))
}

/// `GetSyncState`, and the message of the same name on a SyncStream.
pub(super) fn sync_state(app: &App, stream: &StreamKey) -> v2::SyncState {
    let head = app.sequencer.head(stream);
    let latest = head.latest_commitment.as_ref();
    v2::SyncState {
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        head_sequence: head.head_sequence.get(),
        state_root: latest.map(|batch| batch.new_state_root.0.to_vec()).unwrap_or_default(),
        latest_commitment: latest.map(commitment),
        timestamp: Some(timestamp(app.sequencer.now())),
    }
}

/// `GetCommitment`
pub(super) async fn get_commitment(
    app: &App,
    caller: &Caller,
    request: v2::GetCommitmentRequest,
) -> Result<v2::BatchCommitment, ApiError> {
    use get_commitment_request::Selector;
    caller.require_right(Permission::Read)?;
    let found = match request.selector {
        None => {
            let message = "selector is missing: send batch_id or sequence_number";
            return Err(ApiError::new(ErrorCode::MissingRequiredField, message));
        }
        Some(Selector::BatchId(text)) => {
            let batch_id: BatchId = id("batch_id", &text)?;
            let found = app.sequencer.commitment(caller.sees(), &batch_id).await?;
            // Of what others have, not even that it is there is told.
            found.filter(|batch| caller.require(Permission::Read, &batch.stream).is_ok())
        }
        Some(Selector::SequenceNumber(at)) => {
            let [store_id] = caller.store_ids[..] else {
                let problem = "names no stream: use a key that is bound to one store, or batch_id";
                return Err(ApiError::invalid("sequence_number", problem));
            };
            let stream = StreamKey { tenant_id: caller.tenant_id, store_id };
            batch_at(app, &stream, number("sequence_number", at)?).await?
        }
    };
    found.as_ref().map(commitment).ok_or_else(unknown_batch)
}

fn unknown_batch() -> ApiError {
    ApiError::new(ErrorCode::BatchNotFound, "no such batch was committed")
}

/// The committed batch that holds a number.
async fn batch_at(app: &App, stream: &StreamKey, at: SequenceNumber) -> Result<Option<Commitment>, ApiError> {
    let first = app.sequencer.commitments(stream, at, 1).await?.into_iter().next();
    Ok(first.filter(|batch| holds(batch, at)))
}

/// `GetInclusionProof`
pub(super) async fn inclusion(
    app: &App,
    caller: &Caller,
    request: v2::GetInclusionProofRequest,
) -> Result<v2::GetInclusionProofResponse, ApiError> {
    use get_inclusion_proof_request::Selector;
    let stream = stream_of(&request.tenant_id, &request.store_id)?;
    caller.require(Permission::Read, &stream)?;
    if !matches!(request.expected_root.len(), 0 | 32) {
        return Err(ApiError::invalid("expected_root", "expected 32 bytes or none"));
    }
    let event = match request.selector {
        None => {
            let message = "selector is missing: send event_id or sequence_number";
            return Err(ApiError::new(ErrorCode::MissingRequiredField, message));
        }
        Some(Selector::EventId(text)) => {
            let event_id: EventId = id("event_id", &text)?;
            app.sequencer.event(&stream, &event_id).await?
        }
        Some(Selector::SequenceNumber(at)) => {
            let at = number("sequence_number", at)?;
            let found = app.sequencer.events(&stream, at, 1).await?;
            found.into_iter().find(|event| event.sequence_number == at)
        }
    };
    let event = event.ok_or_else(|| ApiError::new(ErrorCode::EventNotFound, "the event is unknown"))?;
    let at = event.sequence_number;
    let batch = batch_at(app, &stream, at).await?.ok_or_else(|| {
        ApiError::new(ErrorCode::BatchNotFound, format!("event {at} is in no committed batch yet"))
    })?;
    if !request.expected_root.is_empty() && request.expected_root != batch.merkle_root.0 {
        let message = format!("expected_root is not the root of the batch of event {at}");
        return Err(ApiError::new(ErrorCode::VersionConflict, message));
    }
    let proof = app.sequencer.inclusion_proof(&stream, &batch.batch_id, at).await?;
    Ok(v2::GetInclusionProofResponse {
        included: true,
        proof: Some(inclusion_proof(&proof.commitment, &proof.leaf_hash, &proof.proof)),
        event: Some(message(app, stream, &event)?),
    })
}

/// The entity of a request.
pub(super) fn check_entity(entity_type: &str, entity_id: &str) -> Result<(), ApiError> {
    for (field, text, bytes_max) in
        [("entity_type", entity_type, ENTITY_TYPE_BYTES_MAX), ("entity_id", entity_id, ENTITY_ID_BYTES_MAX)]
    {
        if text.is_empty() {
            return Err(ApiError::new(ErrorCode::MissingRequiredField, format!("{field} is missing")));
        }
        if text.len() > bytes_max {
            return Err(ApiError::invalid(field, format_args!("must be at most {bytes_max} bytes of UTF-8")));
        }
    }
    Ok(())
}

/// Versions asked for: the first, and how many. 0 stands for the first and for the current one.
pub(super) fn versions(from: u64, to: u64, limit: usize) -> Result<(u64, usize), ApiError> {
    let from = from.max(1);
    match to {
        0 => Ok((from, limit)),
        to if to < from => {
            Err(ApiError::invalid("from_version", format_args!("{from} is beyond to_version {to}")))
        }
        to => Ok((from, usize::try_from(to - from + 1).unwrap_or(limit).min(limit))),
    }
}

/// `GetEntityHistory`: the history, and its room until it is sent.
pub(super) async fn history(
    app: &App,
    caller: &Caller,
    request: v2::GetEntityHistoryRequest,
) -> Result<(v2::GetEntityHistoryResponse, Room), ApiError> {
    let stream = stream_of(&request.tenant_id, &request.store_id)?;
    caller.require(Permission::Read, &stream)?;
    check_entity(&request.entity_type, &request.entity_id)?;
    let limit = match request.limit as usize {
        0 => HISTORY_EVENTS_MAX,
        limit => limit.min(HISTORY_EVENTS_MAX),
    };
    let (from, limit) = versions(request.from_version, request.to_version, limit)?;
    let mut room = app.budget.take(&stream.tenant_id, READ_BYTES_MAX + PAGE_BYTES_MAX).await?;
    let (entity_type, entity_id) = (&request.entity_type, &request.entity_id);
    let history = app.sequencer.entity_history(&stream, entity_type, entity_id, from, limit).await?;
    let mut events = Vec::with_capacity(history.events.len());
    let mut bytes = 0;
    for event in history.events.iter() {
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
        let event = message(app, stream, event)?;
        bytes += event.encoded_len();
        events.push(event);
    }
    let current_version = history.current_version;
    drop(history);
    room.shrink_to(bytes);
    Ok((v2::GetEntityHistoryResponse { events, current_version }, room))
}

/// `GetHealth`: asks the store.
pub(super) async fn health(app: &App) -> Result<v2::HealthResponse, ApiError> {
    let sequencer = app.sequencer.clone();
    let asked = tokio::task::spawn_blocking(move || sequencer.ready()).await.map_err(ApiError::internal)?;
    Ok(v2::HealthResponse {
        healthy: asked.is_ok() && !app.sequencer.has_ended(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timestamp: Some(timestamp(app.sequencer.now())),
    })
}
