//! Commitments of a stream (section 3.2).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use ves::{BatchId, Commitment, SequenceNumber, StoreId, StreamKey, TenantId};
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
    let commitments = match params.anchored {
        // Nothing is anchored without an anchor service.
        Some(true) => Vec::new(),
        _ => app.sequencer.commitments(&stream, from, limit).await?,
    };
    let commitments: Vec<CommitmentBody> = commitments.iter().map(with_anchor).collect();
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
    let commitment = app.sequencer.commit(&stream, request.sequence_start, request.sequence_end).await?;
    json(&CommitmentBody::from(&commitment))
}

/// `GET /api/v1/ves/commitments/{batch_id}`
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    caller.require_right(Permission::Read)?;
    let Some(commitment) = app.sequencer.commitment(caller.sees(), &batch_id).await? else {
        return Err(ApiError::new(ErrorCode::BatchNotFound, "the batch is unknown").about(batch_id));
    };
    caller.require(Permission::Read, &commitment.stream)?;
    json(&with_anchor(&commitment))
}

fn with_anchor(commitment: &Commitment) -> CommitmentBody {
    CommitmentBody { is_anchored: Some(false), ..CommitmentBody::from(commitment) }
}
