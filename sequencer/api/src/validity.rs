//! Validity proofs of batches (section 3.4).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::{NewProof, ProofRecord, ProofSubject, Statement};
use uuid::Uuid;
use ves::BatchId;
use ves::commitment::Commitment;
use ves::compliance::{PROOF_BYTES_MAX, Policy};
use ves_wire::Rfc3339;
use ves_wire::validity::{
    SubmitValidityProof, ValidityInputs, ValidityInputsRequest, ValidityProofBody, ValidityProofList,
    ValidityVerification,
};

use crate::body::{JsonText, LargeJsonText};
use crate::caller::{Caller, Permission};
use crate::commitments;
use crate::error::ApiError;
use crate::frame::{json, json_body};
use crate::params::{Params, Segments};
use crate::proof_registry::{
    PROOF_ANSWER_BYTES, outcome, policy, proof_base64, proof_bytes, proof_id, raw, unknown_proof,
};
use crate::router::App;

/// The policy that events of the batch are to obey, where compliance is to be claimed.
#[derive(Deserialize)]
pub(crate) struct InputsParams {
    #[serde(rename = "policyId")]
    policy_id: Option<String>,
    /// JSON.
    #[serde(rename = "policyParams")]
    policy_params: Option<String>,
}

/// `GET /api/v1/ves/validity/{batch_id}/inputs`
pub(crate) async fn inputs_of_query(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<InputsParams>,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let batch = commitments::find(&app, &caller, Permission::Read, &batch_id).await?;
    let policy = policy_of(params.policy_id.as_deref(), params.policy_params.as_deref())?;
    answer_inputs(&batch, policy)
}

/// `POST /api/v1/ves/validity/{batch_id}/inputs`: composed policies are longer than a query may be.
pub(crate) async fn inputs(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonText,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let batch = commitments::find(&app, &caller, Permission::Read, &batch_id).await?;
    let request: ValidityInputsRequest = body.read()?;
    let params = request.policy_params.as_ref().map(|params| params.get());
    answer_inputs(&batch, policy_of(request.policy_id.as_deref(), params)?)
}

fn answer_inputs(batch: &Commitment, policy: Option<Policy>) -> Result<Response, ApiError> {
    let statement = Statement::of_batch(batch, policy)?;
    json(&ValidityInputs {
        batch_id: batch.batch_id,
        public_inputs: raw(&statement.public_inputs)?,
        public_inputs_hash: statement.hash(),
    })
}

/// `GET /api/v1/ves/validity/{batch_id}/proofs`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let batch = commitments::find(&app, &caller, Permission::Read, &batch_id).await?;
    let records = app.sequencer.proofs_about(&ProofSubject::Batch(batch_id), &batch.stream).await?;
    let proofs: Vec<_> = records.iter().map(body).collect::<Result<_, _>>()?;
    json(&ValidityProofList { batch_id, count: proofs.len(), proofs })
}

/// `POST /api/v1/ves/validity/{batch_id}/proofs`
pub(crate) async fn submit(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    LargeJsonText(text): LargeJsonText,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let batch = commitments::find(&app, &caller, Permission::Admin, &batch_id).await?;
    let request: SubmitValidityProof = text.read()?;
    let params = request.policy_params.as_ref().map(|params| params.get());
    let policy = policy_of(request.policy_id.as_deref(), params)?;
    let proof = NewProof {
        proof_type: request.proof_type,
        proof_version: request.proof_version,
        bytes: proof_bytes(&request.proof_b64)?,
        witness_commitment: None,
        public_inputs: request.public_inputs.map(|inputs| inputs.get().to_owned()),
    };
    let record = app.acting(&caller).submit_proof(Statement::of_batch(&batch, policy)?, proof).await?;
    json(&body(&record)?)
}

/// `GET /api/v1/ves/validity/proofs/{proof_id}`
pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let room = app.budget.take(&caller.tenant_id, PROOF_ANSWER_BYTES).await?;
    let (record, bytes) = find(&app, &caller, proof_id(&segments)?).await?;
    let answer = ValidityProofBody { proof_b64: Some(proof_base64(&bytes)), ..body(&record)? };
    let text = serde_json::to_string(&answer).map_err(ApiError::internal)?;
    Ok(json_body(room.body(text)))
}

/// `GET /api/v1/ves/validity/proofs/{proof_id}/verify`
pub(crate) async fn verify(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let _room = app.budget.take(&caller.tenant_id, PROOF_BYTES_MAX).await?;
    let (record, bytes) = find(&app, &caller, proof_id(&segments)?).await?;
    let report = app.sequencer.check_proof(record, bytes).await?;
    let outcome = outcome(&report);
    let body = body(&report.record)?;
    json(&ValidityVerification {
        proof_id: body.proof_id,
        batch_id: body.batch_id,
        tenant_id: body.tenant_id,
        store_id: body.store_id,
        proof_type: body.proof_type,
        proof_version: body.proof_version,
        policy_id: body.policy_id,
        policy_hash: body.policy_hash,
        proof_hash: body.proof_hash,
        events_left_out: body.events_left_out,
        outcome,
    })
}

/// No policy unless it is named: then no compliance is claimed.
fn policy_of(id: Option<&str>, params: Option<&str>) -> Result<Option<Policy>, ApiError> {
    match (id, params) {
        (Some(id), params) => policy(id, params).map(Some),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            Err(ApiError::invalid("policyParams", "they belong to a policy; name it in policyId"))
        }
    }
}

async fn find(app: &App, caller: &Caller, id: Uuid) -> Result<(ProofRecord, Vec<u8>), ApiError> {
    caller.require_right(Permission::Read)?;
    let found = app.sequencer.proof(caller.sees(), id.as_bytes()).await?;
    found
        .filter(|(record, _)| matches!(record.subject, ProofSubject::Batch(_)))
        .filter(|(record, _)| caller.require(Permission::Read, &record.stream).is_ok())
        .ok_or_else(|| unknown_proof(id))
}

fn body(record: &ProofRecord) -> Result<ValidityProofBody, ApiError> {
    let ProofSubject::Batch(batch_id) = record.subject else {
        return Err(ApiError::internal("a compliance proof lies among the validity proofs"));
    };
    Ok(ValidityProofBody {
        proof_id: Uuid::from_bytes(record.proof_id),
        batch_id,
        tenant_id: record.stream.tenant_id,
        store_id: record.stream.store_id,
        proof_type: record.proof_type.clone(),
        proof_version: record.proof_version,
        policy_id: record.policy.as_ref().map(|policy| policy.id().to_owned()),
        policy_params: record.policy.as_ref().map(|policy| raw(policy.params())).transpose()?,
        policy_hash: record.policy_hash,
        proof_hash: record.proof_hash,
        public_inputs: raw(&record.public_inputs)?,
        submitted_at: Rfc3339(record.submitted_at),
        verified: record.verified,
        valid_until: record.valid_until,
        superseded_by: record.superseded.map(|superseded| Uuid::from_bytes(superseded.by)),
        superseded_at: record.superseded.map(|superseded| Rfc3339(superseded.at)),
        events_left_out: record.events_left_out,
        proof_b64: None,
    })
}
