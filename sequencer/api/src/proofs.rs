//! Inclusion proofs, checkpoints and consistency proofs (section 3.3).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;
use ves::merkle::{InclusionProof, verify_inclusion};
use ves::{BatchId, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::error::ErrorCode;
use ves_wire::proofs::{
    ConsistencyBody, InclusionProofBody, LogInclusionBody, PROOF_PATH_MAX, VerifyProofAnswer,
    VerifyProofRequest,
};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json;
use crate::params::{Params, Segments};
use crate::router::App;

#[derive(Deserialize)]
pub(crate) struct InclusionParams {
    tenant_id: TenantId,
    store_id: StoreId,
    batch_id: BatchId,
}

/// `GET /api/v1/ves/proofs/{sequence_number}`
pub(crate) async fn inclusion(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<InclusionParams>,
) -> Result<Response, ApiError> {
    let sequence_number = SequenceNumber(segments.get("sequence_number", "a sequence number")?);
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let found = app.sequencer.inclusion_proof(&stream, &params.batch_id, sequence_number).await?;
    json(&InclusionProofBody {
        sequence_number,
        batch_id: params.batch_id,
        merkle_root: found.commitment.merkle_root,
        leaf_hash: found.leaf_hash,
        leaf_index: found.proof.leaf_index,
        directions: found.proof.directions(),
        proof_path: found.proof.path,
    })
}

#[derive(Deserialize)]
pub(crate) struct LogInclusionParams {
    tenant_id: TenantId,
    store_id: StoreId,
    size: u64,
}

/// `GET /api/v1/ves/proofs/{sequence_number}/log` (ours)
pub(crate) async fn log_inclusion(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<LogInclusionParams>,
) -> Result<Response, ApiError> {
    let sequence_number = SequenceNumber(segments.get("sequence_number", "a sequence number")?);
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let found = app.sequencer.log_proof(&stream, sequence_number, params.size).await?;
    json(&LogInclusionBody {
        sequence_number,
        size: found.size,
        root: found.root,
        leaf_hash: found.leaf_hash,
        hashes: found.hashes,
    })
}

/// `POST /api/v1/ves/proofs/verify`
pub(crate) async fn verify(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Read)?;
    let request: VerifyProofRequest = body.read()?;
    if request.proof_path.len() > PROOF_PATH_MAX {
        let found = request.proof_path.len();
        return Err(ApiError::invalid(
            "proof_path",
            format_args!("{found} hashes, at most {PROOF_PATH_MAX} are taken"),
        ));
    }
    let proof = InclusionProof { leaf_index: request.leaf_index, path: request.proof_path };
    let valid = verify_inclusion(&request.leaf_hash, &request.merkle_root, None, &proof).is_ok();
    if valid {
        app.metrics.proof_verified();
    }
    json(&VerifyProofAnswer { valid, leaf_hash: request.leaf_hash, merkle_root: request.merkle_root })
}

#[derive(Deserialize)]
pub(crate) struct CheckpointParams {
    tenant_id: TenantId,
    store_id: StoreId,
    size: Option<u64>,
}

/// `GET /api/v1/ves/checkpoint`
pub(crate) async fn checkpoint(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<CheckpointParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let Some(note) = app.sequencer.checkpoint(&stream, params.size).await? else {
        let message = match params.size {
            Some(size) => format!("no checkpoint of size {size} was signed"),
            None => "no checkpoint was signed yet; one is signed with each commitment".to_owned(),
        };
        return Err(ApiError::new(ErrorCode::ResourceNotFound, message));
    };
    let mut response = Response::new(Body::from(note));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

#[derive(Deserialize)]
pub(crate) struct ConsistencyParams {
    tenant_id: TenantId,
    store_id: StoreId,
    from: u64,
    to: u64,
}

/// `GET /api/v1/ves/consistency`
pub(crate) async fn consistency(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ConsistencyParams>,
) -> Result<Response, ApiError> {
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let proof = app.sequencer.consistency(&stream, params.from, params.to).await?;
    json(&ConsistencyBody {
        from: proof.from,
        to: proof.to,
        from_root: proof.from_root,
        to_root: proof.to_root,
        hashes: proof.hashes,
    })
}
