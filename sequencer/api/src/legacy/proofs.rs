//! `GET /api/v1/proofs/{sequence_number}` and `POST /api/v1/proofs/verify`.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use ves::legacy;
use ves::merkle::{InclusionProof, verify_inclusion};
use ves::{BatchId, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::legacy::{LegacyProofBody, LegacyVerifyAnswer, LegacyVerifyRequest};
use ves_wire::proofs::PROOF_PATH_MAX;

use super::{Asked, Meant};
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
    #[serde(default)]
    stream: Asked,
}

pub(crate) async fn inclusion(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<InclusionParams>,
) -> Result<Response, ApiError> {
    let number = SequenceNumber(segments.get("sequence_number", "a sequence number")?);
    let stream = StreamKey { tenant_id: params.tenant_id, store_id: params.store_id };
    caller.require(Permission::Read, &stream)?;
    let is_older = match params.stream {
        Asked::Auto => {
            let legacy = app.sequencer.legacy();
            legacy.commitment(Some(&params.tenant_id), &params.batch_id).await?.is_some()
        }
        asked => asked.admits(Meant::Older),
    };
    json(&match is_older {
        true => older(&app, &stream, &params.batch_id, number).await?,
        false => signed(&app, &stream, &params.batch_id, number).await?,
    })
}

async fn older(
    app: &App,
    stream: &StreamKey,
    batch_id: &BatchId,
    number: SequenceNumber,
) -> Result<LegacyProofBody, ApiError> {
    let found = app.sequencer.legacy().proof(stream, batch_id, number).await?;
    let leaf_count = found.commitment.event_count();
    Ok(LegacyProofBody {
        sequence_number: number,
        batch_id: *batch_id,
        events_root: found.commitment.events_root,
        leaf_hash: found.leaf_hash,
        leaf_index: found.leaf_index,
        leaf_count,
        directions: legacy::directions(leaf_count, found.leaf_index),
        proof_path: found.path,
    })
}

async fn signed(
    app: &App,
    stream: &StreamKey,
    batch_id: &BatchId,
    number: SequenceNumber,
) -> Result<LegacyProofBody, ApiError> {
    let found = app.sequencer.inclusion_proof(stream, batch_id, number).await?;
    Ok(LegacyProofBody {
        sequence_number: number,
        batch_id: *batch_id,
        events_root: found.commitment.merkle_root,
        leaf_hash: found.leaf_hash,
        leaf_index: found.proof.leaf_index,
        leaf_count: found.commitment.leaf_count.into(),
        directions: found.proof.directions(),
        proof_path: found.proof.path,
    })
}

#[derive(Deserialize)]
pub(crate) struct VerifyParams {
    #[serde(default)]
    stream: Asked,
}

/// Valid under the rule of the stream that is asked for; with `auto`, under either: the two trees hash differently,
/// so no path fits both but the empty one, which says the same in both.
pub(crate) async fn verify(
    caller: Caller,
    Params(params): Params<VerifyParams>,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Read)?;
    let request: LegacyVerifyRequest = body.read()?;
    if request.proof_path.len() > PROOF_PATH_MAX {
        let found = request.proof_path.len();
        let problem = format_args!("{found} hashes, at most {PROOF_PATH_MAX} are taken");
        return Err(ApiError::invalid("proof_path", problem));
    }
    let valid = (params.stream.admits(Meant::Older) && is_older_proof(&request))
        || (params.stream.admits(Meant::Signed) && is_signed_proof(&request));
    json(&LegacyVerifyAnswer { valid, leaf_hash: request.leaf_hash, events_root: request.events_root })
}

fn is_older_proof(request: &LegacyVerifyRequest) -> bool {
    let LegacyVerifyRequest { leaf_hash, events_root, proof_path, leaf_index, leaf_count } = request;
    match leaf_count {
        Some(count) => {
            legacy::verify_inclusion(leaf_hash, events_root, *count, *leaf_index, proof_path).is_ok()
        }
        None => legacy::leads_to(leaf_hash, events_root, *leaf_index, proof_path),
    }
}

fn is_signed_proof(request: &LegacyVerifyRequest) -> bool {
    let proof = InclusionProof { leaf_index: request.leaf_index, path: request.proof_path.clone() };
    verify_inclusion(&request.leaf_hash, &request.events_root, request.leaf_count, &proof).is_ok()
}
