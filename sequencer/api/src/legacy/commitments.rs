//! `GET` and `POST /api/v1/commitments`, `GET /api/v1/commitments/{batch_id}`: one form for both streams.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use ves::{BatchId, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::commitments::CommitRequest;
use ves_wire::error::ErrorCode;
use ves_wire::legacy::{LegacyCommitmentBody, LegacyCommitmentList};

use super::{Asked, Meant};
use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::commitments::record_request;
use crate::error::ApiError;
use crate::events::first_number;
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
    #[serde(default)]
    stream: Asked,
}

pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let limit = page_limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let from = first_number(params.from)?;
    // One more than the page holds tells whether there are more.
    let (mut commitments, head_sequence): (Vec<LegacyCommitmentBody>, _) =
        match params.stream.of(&app, &stream) {
            Meant::Signed => {
                let found = app.sequencer.commitments(&stream, from, limit + 1).await?;
                let head = app.sequencer.head(&stream).head_sequence;
                (found.iter().map(LegacyCommitmentBody::from).collect(), head)
            }
            Meant::Older => {
                let legacy = app.sequencer.legacy();
                let found = legacy.commitments(&stream, from, limit + 1).await?;
                let head = legacy.head(&stream).await?.head_sequence;
                (found.iter().map(LegacyCommitmentBody::from).collect(), head)
            }
        };
    let has_more = commitments.len() > limit;
    commitments.truncate(limit);
    let next_sequence = commitments.last().map_or(from, |last| SequenceNumber(last.sequence_end.get() + 1));
    let count = commitments.len();
    json(&LegacyCommitmentList { commitments, count, head_sequence, has_more, next_sequence })
}

#[derive(Deserialize)]
pub(crate) struct CreateParams {
    #[serde(default)]
    stream: Asked,
}

/// Commits the stream that the reads of the same `stream=` show, so that what a caller read is what it commits.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<CreateParams>,
    body: JsonText,
) -> Result<Response, ApiError> {
    let CommitRequest { tenant_id, store_id, sequence_start: start, sequence_end: end } = body.read()?;
    let stream = StreamKey { tenant_id, store_id };
    caller.require(Permission::Write, &stream)?;
    record_request(&app, &caller, stream, (start, end)).await?;
    json(&match params.stream.of(&app, &stream) {
        Meant::Signed => LegacyCommitmentBody::from(&app.sequencer.commit(&stream, start, end).await?),
        Meant::Older => {
            LegacyCommitmentBody::from(&app.sequencer.legacy().commit(&stream, start, end).await?)
        }
    })
}

#[derive(Deserialize)]
pub(crate) struct GetParams {
    #[serde(default)]
    stream: Asked,
}

pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<GetParams>,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    caller.require_right(Permission::Read)?;
    let found = match app.sequencer.legacy().commitment(caller.sees(), &batch_id).await? {
        Some(batch) if params.stream.admits(Meant::Older) => Some(LegacyCommitmentBody::from(&batch)),
        _ if params.stream.admits(Meant::Signed) => {
            app.sequencer.commitment(caller.sees(), &batch_id).await?.as_ref().map(LegacyCommitmentBody::from)
        }
        _ => None,
    };
    // To who may not read it, a batch is as unknown as one that is not there.
    let found = found.filter(|batch| {
        let stream = StreamKey { tenant_id: batch.tenant_id, store_id: batch.store_id };
        caller.require(Permission::Read, &stream).is_ok()
    });
    match found {
        Some(batch) => json(&batch),
        None => Err(ApiError::new(ErrorCode::BatchNotFound, "the batch is unknown").about(batch_id)),
    }
}
