//! Commitments of a stream (section 3.2).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::{Act, Action, AnchorBatch, Anchored};
use ves::{BatchId, Commitment, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::Rfc3339;
use ves_wire::commitments::{CommitRequest, CommitmentBody, CommitmentList};
use ves_wire::error::ErrorCode;

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json;
use crate::params::{Params, Segments, page_limit};
use crate::router::App;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;

#[derive(Deserialize)]
pub(crate) struct ListParams {
    tenant_id: TenantId,
    store_id: StoreId,
    /// Commitments that end at or after this number.
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
    anchored: Option<bool>,
}

/// `GET /api/v1/ves/commitments`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let limit = page_limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let from = SequenceNumber(params.from.min(SequenceNumber::MAX.get()));
    let found = app.sequencer.commitments_with_anchors(&stream, from, limit, params.anchored).await?;
    let body = |(commitment, anchored): &(Commitment, Option<Anchored>)| CommitmentBody {
        is_anchored: Some(anchored.is_some()),
        ..CommitmentBody::from(commitment)
    };
    let commitments: Vec<CommitmentBody> = found.iter().map(body).collect();
    json(&CommitmentList { count: commitments.len(), commitments })
}

/// `POST /api/v1/ves/commitments`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: CommitRequest = body.read()?;
    let stream = StreamKey { tenant_id: request.tenant_id, store_id: request.store_id };
    caller.require(Permission::Write, &stream)?;
    record_request(&app, &caller, stream, (request.sequence_start, request.sequence_end)).await?;
    let commitment = app.sequencer.commit(&stream, request.sequence_start, request.sequence_end).await?;
    json(&CommitmentBody::from(&commitment))
}

/// Records that an administrator asks for a batch of this range, of either form. Before it is made, since it is no document:
/// a batch that can't be recorded is not made.
pub(crate) async fn record_request(
    app: &App,
    caller: &Caller,
    stream: StreamKey,
    (start, end): (SequenceNumber, SequenceNumber),
) -> Result<(), ApiError> {
    if !caller.can_admin {
        return Ok(());
    }
    let asked = Act::new(Action::CommitmentRequested).in_tenant(stream.tenant_id).on("stream", stream);
    let range = serde_json::json!({ "start": start, "end": end });
    Ok(app.acting(caller).record(vec![asked.with(range)]).await?)
}

/// `GET /api/v1/ves/commitments/{batch_id}`
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let commitment = find(&app, &caller, Permission::Read, &batch_id).await?;
    let anchored = app.sequencer.anchored(&AnchorBatch::from(&commitment)).await?;
    json(&with_chain(&commitment, anchored))
}

/// The batch of this id, where the caller has `permission` on its stream.
pub(crate) async fn find(
    app: &App,
    caller: &Caller,
    permission: Permission,
    batch_id: &BatchId,
) -> Result<Commitment, ApiError> {
    caller.require_right(permission)?;
    let found = app.sequencer.commitment(caller.sees(), batch_id).await?;
    // Looked for by its id alone, a batch of a store that is closed to the caller is as unknown as one that is not there.
    found
        .filter(|batch| caller.require(permission, &batch.stream).is_ok())
        .ok_or_else(|| ApiError::new(ErrorCode::BatchNotFound, "the batch is unknown").about(batch_id))
}

/// A batch with the chain it stands on, if it does.
pub(crate) fn with_chain(commitment: &Commitment, anchored: Option<Anchored>) -> CommitmentBody {
    CommitmentBody {
        is_anchored: Some(anchored.is_some()),
        chain_id: anchored.map(|anchored| anchored.place.chain_id),
        chain_tx_hash: anchored.map(|anchored| anchored.place.tx_hash),
        chain_block_number: anchored.and_then(|anchored| anchored.place.block_number),
        anchored_at: anchored.map(|anchored| Rfc3339(anchored.anchored_at)),
        ..CommitmentBody::from(commitment)
    }
}
