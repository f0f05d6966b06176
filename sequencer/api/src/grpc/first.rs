//! The service `stateset.sequencer.v1.Sequencer` (section 5): the older stream.

mod pull;

use prost::Message as _;
use stateset_sequencer::{LegacyResult, StoredLegacyEvent};
use tonic::{Request, Response, Status};
use ves::{BatchId, EventId, SequenceNumber, StreamKey};
use ves_wire::error::ErrorCode;
use ves_wire::proto::v1;
use ves_wire::v1::{commitment, id_text, read_push, rejected, sequenced};

use super::events::{PAGE_BYTES_MAX, READ_BYTES_MAX, check_entity, id, stream_of, versions};
use super::frame::{Admitted, Kept};
use super::generated::v1::sequencer_server::Sequencer;
use super::sequencer::Messages;
use crate::budget::Room;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::router::App;
use crate::taking::Bounded;

/// Its requests set no limit of their own.
const HISTORY_EVENTS_MAX: usize = 1000;

pub(super) struct Service(pub App);

#[tonic::async_trait]
impl Sequencer for Service {
    type PullStream = Messages<v1::PullResponse>;

    async fn push(&self, request: Request<v1::PushRequest>) -> Result<Response<v1::PushResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        Ok(Response::new(push(&self.0, admitted.caller(), request.into_inner()).await?))
    }

    async fn pull(&self, request: Request<v1::PullRequest>) -> Result<Response<Self::PullStream>, Status> {
        let admitted = Admitted::of(&request)?;
        let mut response = Response::new(pull::pages(&self.0, admitted, request.into_inner())?);
        // It ends at the head, or when its time is over.
        response.extensions_mut().insert(Bounded);
        Ok(response)
    }

    async fn get_head(
        &self,
        request: Request<v1::GetHeadRequest>,
    ) -> Result<Response<v1::GetHeadResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        let stream = readable(&admitted, &request.get_ref().tenant_id, &request.get_ref().store_id)?;
        let head = self.0.sequencer.legacy().head(&stream).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::GetHeadResponse {
            head_sequence: head.head_sequence.get(),
            latest_commitment: head.latest_commitment.as_ref().map(commitment),
        }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        Ok(Response::new(inclusion(&self.0, admitted.caller(), request.get_ref()).await?))
    }

    async fn get_commitment(
        &self,
        request: Request<v1::GetCommitmentRequest>,
    ) -> Result<Response<v1::GetCommitmentResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        let (_, batch) = batch_of(&self.0, admitted.caller(), &request.get_ref().batch_id).await?;
        Ok(Response::new(v1::GetCommitmentResponse { commitment: Some(batch) }))
    }

    async fn get_entity_history(
        &self,
        request: Request<v1::GetEntityHistoryRequest>,
    ) -> Result<Response<v1::GetEntityHistoryResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        let stream = readable(&admitted, &request.get_ref().tenant_id, &request.get_ref().store_id)?;
        let (history, room) = history(&self.0, &stream, request.into_inner()).await?;
        Ok(Kept::with(history, room))
    }
}

fn readable(admitted: &Admitted, tenant_id: &str, store_id: &str) -> Result<StreamKey, ApiError> {
    let stream = stream_of(id_text(tenant_id), id_text(store_id))?;
    admitted.caller().require(Permission::Read, &stream)?;
    Ok(stream)
}

fn message(stored: &StoredLegacyEvent) -> v1::SequencedEvent {
    sequenced(&stored.event, stored.sequence_number, stored.sequenced_at)
}

async fn push(app: &App, caller: &Caller, request: v1::PushRequest) -> Result<v1::PushResponse, ApiError> {
    caller.require_right(Permission::Write)?;
    let read = read_push(&request, &app.limits)?;
    caller.require_agent(&read.agent_id)?;
    let mut response = v1::PushResponse::default();
    let Some(stream) = read.stream else {
        // Nothing names a stream: there is no event, or each was refused for that at least.
        for (sent, event) in request.events.iter().zip(&read.events) {
            if let Err(undecodable) = event {
                response.events_rejected.push(rejected(&sent.event_id, &undecodable.rejection));
            }
        }
        return Ok(response);
    };
    caller.require(Permission::Write, &stream)?;
    let legacy = app.sequencer.legacy();
    let outcome = legacy.ingest(stream, read.events).await?;
    for (sent, result) in request.events.iter().zip(&outcome.results) {
        if let LegacyResult::Rejected { rejection, .. } = result {
            response.events_rejected.push(rejected(&sent.event_id, rejection));
        }
    }
    response.batch_id = outcome.batch_id.to_string();
    response.events_accepted = u32::try_from(outcome.accepted()).unwrap_or(u32::MAX);
    response.head_sequence = outcome.head_sequence.get();
    if let Some((first, last)) = outcome.numbers() {
        response.assigned_sequence_start = first.get();
        response.assigned_sequence_end = last.get();
        let latest = legacy.head(&stream).await?.latest_commitment;
        response.commitment = latest.filter(|batch| batch.covers(last)).as_ref().map(commitment);
    }
    Ok(response)
}

/// The batch of an id, if the caller may read its stream. Of what others have, not even that it is there is told.
async fn batch_of(
    app: &App,
    caller: &Caller,
    batch_id: &str,
) -> Result<(StreamKey, v1::BatchCommitment), ApiError> {
    caller.require_right(Permission::Read)?;
    let batch_id: BatchId = id("batch_id", batch_id)?;
    let found = app.sequencer.legacy().commitment(caller.sees(), &batch_id).await?;
    let found = found.filter(|batch| caller.require(Permission::Read, &batch.stream).is_ok());
    let found = found.ok_or_else(|| {
        ApiError::new(ErrorCode::BatchNotFound, "no such batch was committed").about(batch_id)
    })?;
    Ok((found.stream, commitment(&found)))
}

async fn inclusion(
    app: &App,
    caller: &Caller,
    request: &v1::GetInclusionProofRequest,
) -> Result<v1::GetInclusionProofResponse, ApiError> {
    let event_id: EventId = id("event_id", &request.event_id)?;
    let batch_id: BatchId = id("batch_id", &request.batch_id)?;
    let (stream, batch) = batch_of(app, caller, &request.batch_id).await?;
    let legacy = app.sequencer.legacy();
    let event = legacy.event(&stream, &event_id).await?.ok_or_else(|| {
        ApiError::new(ErrorCode::EventNotFound, "the event is unknown in the stream of the batch")
            .about(event_id)
    })?;
    let proof = legacy.proof(&stream, &batch_id, event.sequence_number).await?;
    Ok(v1::GetInclusionProofResponse {
        event: Some(message(&event)),
        proof: Some(v1::InclusionProof {
            merkle_root: proof.commitment.events_root.0.to_vec(),
            leaf_index: proof.leaf_index,
            proof_hashes: proof.path.iter().map(|hash| hash.0.to_vec()).collect(),
            leaf_count: proof.commitment.event_count(),
        }),
        commitment: Some(batch),
    })
}

async fn history(
    app: &App,
    stream: &StreamKey,
    request: v1::GetEntityHistoryRequest,
) -> Result<(v1::GetEntityHistoryResponse, Room), ApiError> {
    check_entity(&request.entity_type, &request.entity_id)?;
    let (from, limit) = versions(request.from_version, request.to_version, HISTORY_EVENTS_MAX)?;
    let mut room = app.budget.take(&stream.tenant_id, READ_BYTES_MAX + PAGE_BYTES_MAX).await?;
    let legacy = app.sequencer.legacy();
    let entity = legacy.entity(stream, &request.entity_type, &request.entity_id, from, limit).await?;
    let (events, _) = page(&entity.events);
    let history = v1::GetEntityHistoryResponse { events, current_version: entity.current_version };
    drop(entity);
    room.shrink_to(history.encoded_len());
    Ok((history, room))
}

/// The events that fit a message, at least one if there is one; and the number of the last.
fn page(stored: &[StoredLegacyEvent]) -> (Vec<v1::SequencedEvent>, Option<SequenceNumber>) {
    let (mut events, mut bytes, mut last) = (Vec::with_capacity(stored.len()), 0, None);
    for event in stored {
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
        bytes += event.event.encoded_len();
        last = Some(event.sequence_number);
        events.push(message(event));
    }
    (events, last)
}
