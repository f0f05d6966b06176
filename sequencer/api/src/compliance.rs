//! Compliance proofs of events (section 3.5).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::{NewProof, ProofRecord, ProofSubject, Statement, StoredEvent};
use uuid::Uuid;
use ves::compliance::{EventFacts, PROOF_BYTES_MAX, Policy, WitnessCommitment};
use ves::{EventId, StoreId, TenantId};
use ves_wire::Rfc3339;
use ves_wire::compliance::{
    ComplianceInputs, ComplianceInputsRequest, ComplianceProofBody, ComplianceProofList,
    ComplianceVerification, SubmitComplianceProof, WitnessBody,
};

use crate::body::{JsonText, LargeJsonText};
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::events::{self, EventParams};
use crate::frame::{json, json_body};
use crate::params::{Params, Segments};
use crate::proof_registry::{
    PROOF_ANSWER_BYTES, outcome, policy, proof_base64, proof_bytes, proof_id, raw, unknown_proof,
};
use crate::router::App;

/// `POST /api/v1/ves/compliance/{event_id}/inputs`
pub(crate) async fn inputs(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<EventParams>,
    body: JsonText,
) -> Result<Response, ApiError> {
    let event_id: EventId = segments.get("event_id", "a UUID")?;
    let (_, event) = events::find(&app, &caller, Permission::Read, &event_id, &params).await?;
    let request: ComplianceInputsRequest = body.read()?;
    let policy = policy(&request.policy_id, request.policy_params.as_ref().map(|params| params.get()))?;
    answer_inputs(event_id, &event, policy)
}

/// The policy in the query, with the stream where it has to be named.
#[derive(Deserialize)]
pub(crate) struct InputsParams {
    tenant_id: Option<TenantId>,
    store_id: Option<StoreId>,
    #[serde(rename = "policyId")]
    policy_id: String,
    /// JSON.
    #[serde(rename = "policyParams")]
    policy_params: Option<String>,
}

/// `GET /api/v1/ves/compliance/{event_id}/inputs`
pub(crate) async fn inputs_of_query(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<InputsParams>,
) -> Result<Response, ApiError> {
    let event_id: EventId = segments.get("event_id", "a UUID")?;
    let place = EventParams { tenant_id: params.tenant_id, store_id: params.store_id };
    let (_, event) = events::find(&app, &caller, Permission::Read, &event_id, &place).await?;
    let policy = policy(&params.policy_id, params.policy_params.as_deref())?;
    answer_inputs(event_id, &event, policy)
}

fn answer_inputs(event_id: EventId, event: &StoredEvent, policy: Policy) -> Result<Response, ApiError> {
    let statement = statement(event, policy)?;
    json(&ComplianceInputs {
        event_id,
        public_inputs: raw(&statement.public_inputs)?,
        public_inputs_hash: statement.hash(),
    })
}

/// `GET /api/v1/ves/compliance/{event_id}/proofs`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<EventParams>,
) -> Result<Response, ApiError> {
    let event_id: EventId = segments.get("event_id", "a UUID")?;
    let (stream, _) = events::find(&app, &caller, Permission::Read, &event_id, &params).await?;
    let records = app.sequencer.proofs_about(&ProofSubject::Event(event_id), &stream).await?;
    let proofs: Vec<_> = records.iter().map(body).collect::<Result<_, _>>()?;
    json(&ComplianceProofList { event_id, count: proofs.len(), proofs })
}

/// `POST /api/v1/ves/compliance/{event_id}/proofs`
pub(crate) async fn submit(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<EventParams>,
    LargeJsonText(text): LargeJsonText,
) -> Result<Response, ApiError> {
    let event_id: EventId = segments.get("event_id", "a UUID")?;
    let (_, event) = events::find(&app, &caller, Permission::Write, &event_id, &params).await?;
    let request: SubmitComplianceProof = text.read()?;
    let policy = policy(&request.policy_id, request.policy_params.as_ref().map(|params| params.get()))?;
    let proof = NewProof {
        proof_type: request.proof_type,
        proof_version: request.proof_version,
        bytes: proof_bytes(&request.proof_b64)?,
        witness_commitment: request.witness_commitment.map(|witness| witness.0),
        public_inputs: request.public_inputs.map(|inputs| inputs.get().to_owned()),
    };
    let record = app.sequencer.submit_proof(statement(&event, policy)?, proof).await?;
    json(&body(&record)?)
}

/// `GET /api/v1/ves/compliance/proofs/{proof_id}`
pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let room = app.budget.take(&caller.tenant_id, PROOF_ANSWER_BYTES).await?;
    let (record, bytes) = find(&app, &caller, proof_id(&segments)?).await?;
    let answer = ComplianceProofBody { proof_b64: Some(proof_base64(&bytes)), ..body(&record)? };
    let text = serde_json::to_string(&answer).map_err(ApiError::internal)?;
    Ok(json_body(room.body(text)))
}

/// `GET /api/v1/ves/compliance/proofs/{proof_id}/verify`
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
    json(&ComplianceVerification {
        proof_id: body.proof_id,
        event_id: body.event_id,
        tenant_id: body.tenant_id,
        store_id: body.store_id,
        proof_type: body.proof_type,
        proof_version: body.proof_version,
        policy_id: body.policy_id,
        policy_hash: body.policy_hash,
        proof_hash: body.proof_hash,
        witness_commitment: body.witness_commitment,
        witness_commitment_hex: body.witness_commitment_hex,
        outcome,
    })
}

async fn find(app: &App, caller: &Caller, id: Uuid) -> Result<(ProofRecord, Vec<u8>), ApiError> {
    caller.require_right(Permission::Read)?;
    let found = app.sequencer.proof(caller.sees(), id.as_bytes()).await?;
    found
        .filter(|(record, _)| matches!(record.subject, ProofSubject::Event(_)))
        .filter(|(record, _)| caller.require(Permission::Read, &record.stream).is_ok())
        .ok_or_else(|| unknown_proof(id))
}

fn statement(event: &StoredEvent, policy: Policy) -> Result<Statement, ApiError> {
    // Of the payload a statement needs only the hashes.
    let record = event.record().map_err(ApiError::record)?;
    let statement = Statement::of_event(&EventFacts::of(&record.head, event.sequence_number), policy);
    Ok(statement.by(record.head.source_agent_id, event.sequenced_at))
}

fn body(record: &ProofRecord) -> Result<ComplianceProofBody, ApiError> {
    let (ProofSubject::Event(event_id), Some(policy), Some(policy_hash)) =
        (record.subject, &record.policy, record.policy_hash)
    else {
        return Err(ApiError::internal("a compliance proof's record names no event or no policy"));
    };
    Ok(ComplianceProofBody {
        proof_id: Uuid::from_bytes(record.proof_id),
        event_id,
        tenant_id: record.stream.tenant_id,
        store_id: record.stream.store_id,
        proof_type: record.proof_type.clone(),
        proof_version: record.proof_version,
        policy_id: policy.id().to_owned(),
        policy_params: raw(policy.params())?,
        policy_hash,
        proof_hash: record.proof_hash,
        witness_commitment: record.witness_commitment.map(WitnessBody),
        witness_commitment_hex: record.witness_commitment.map(WitnessCommitment::to_hex),
        public_inputs: raw(&record.public_inputs)?,
        submitted_at: Rfc3339(record.submitted_at),
        verified: record.verified,
        valid_until: record.valid_until,
        superseded_by: record.superseded.map(|superseded| Uuid::from_bytes(superseded.by)),
        superseded_at: record.superseded.map(|superseded| Rfc3339(superseded.at)),
        proof_b64: None,
    })
}
