//! Keys of agents (section 3.10; VES section 9): registered with proof that the owner holds them, listed, revoked.

use axum::extract::State;
use axum::response::Response;
use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::edwards::CompressedEdwardsY;
use serde::Deserialize;
use ves::ed25519::PublicKey;
use ves::keys::{
    AgentKey, EncryptionKey, KeyAlgorithm, KeyStatus, check_possession, possession_challenge,
    possession_challenge_bound,
};
use ves::{AgentId, KeyId, RecipientKeyId, TenantId, TimestampMs};
use ves_wire::keys::{
    ALGORITHM_ED25519, ALGORITHM_X25519, AgentKeyBody, AgentKeyList, RegisterKeyAnswer, RegisterKeyRequest,
    RevokeKeyRequest,
};
use ves_wire::{ErrorCode, Hex, Rfc3339};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::config::Possession;
use crate::error::ApiError;
use crate::frame::json;
use crate::params::Params;
use crate::router::App;

/// `POST /api/v1/agents/keys`
pub(crate) async fn register(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Admin)?;
    let request: RegisterKeyRequest = body.read()?;
    let key = register_key(&app, &caller, &request).await?;
    let message = if key.key_algorithm == ALGORITHM_X25519 {
        "encryption key registered"
    } else {
        "signing key registered"
    };
    json(&RegisterKeyAnswer {
        success: true,
        tenant_id: key.tenant_id,
        agent_id: key.agent_id,
        key_id: key.key_id,
        key_algorithm: key.key_algorithm,
        message: message.to_owned(),
    })
}

/// Registers a key for whichever transport asked.
///
/// # Errors
/// [`ApiError`]: the caller is no admin of the tenant and agent, the key or its proof is bad, the number is taken.
pub(crate) async fn register_key(
    app: &App,
    caller: &Caller,
    request: &RegisterKeyRequest,
) -> Result<AgentKeyBody, ApiError> {
    caller.require_tenant(Permission::Admin, &request.tenant_id)?;
    caller.require_agent(&request.agent_id)?;
    if request.public_key_bundle.as_ref().is_some_and(|b| b.ml_dsa_65.is_some() || b.ml_kem_768.is_some())
        || request.proof_of_possession_bundle.as_ref().is_some_and(|b| b.ml_dsa_65.is_some())
    {
        return Err(ApiError::invalid("publicKeyBundle", "post-quantum keys are not supported yet"));
    }
    match request.key_algorithm.unwrap_or(ALGORITHM_ED25519) {
        0 | ALGORITHM_ED25519 => register_signing(app, request).await,
        ALGORITHM_X25519 => register_encryption(app, request).await,
        other => {
            let problem = format!("{other} is not supported, use 1 (Ed25519) or 2 (X25519)");
            Err(ApiError::invalid("keyAlgorithm", problem))
        }
    }
}

async fn register_signing(app: &App, request: &RegisterKeyRequest) -> Result<AgentKeyBody, ApiError> {
    let bundled = request.public_key_bundle.as_ref().and_then(|bundle| bundle.ed25519);
    let public_key = public_key(request, bundled, "ed25519PublicKey")?;
    let key = PublicKey::from_bytes(&public_key)
        .map_err(|problem| ApiError::new(ErrorCode::InvalidPublicKey, format!("publicKey {problem}")))?;
    let (tenant, agent, key_id) = (&request.tenant_id, &request.agent_id, KeyId(request.key_id));
    match proof(request) {
        Some(proof) => check_possession(&key, tenant, agent, key_id, &proof).map(drop).map_err(unproven)?,
        None if app.config.possession == Possession::Optional => {}
        None => {
            let message =
                "proofOfPossession is missing: send the key's signature over the challenge of its public key";
            return Err(ApiError::new(ErrorCode::MissingRequiredField, message));
        }
    }
    if app.sequencer.encryption_keys(tenant).iter().any(|held| doubles(&public_key, &held.public_key)) {
        return Err(both_uses());
    }
    let registered = AgentKey {
        tenant_id: *tenant,
        agent_id: *agent,
        key_id,
        public_key,
        algorithm: KeyAlgorithm::Ed25519,
        status: KeyStatus::Active,
        valid_from: request.valid_from.map(|at| at.0),
        valid_to: request.valid_to.map(|at| at.0),
        revoked_at: None,
        created_at: app.sequencer.now(),
        metadata: request.metadata.as_ref().map(ToString::to_string),
    };
    app.sequencer.register_agent_key(registered.clone()).await?;
    Ok(signing_body(registered))
}

/// An encryption key can't sign: a proof is optional, and is then made by an active signing key of the same agent
/// (decision 15).
async fn register_encryption(app: &App, request: &RegisterKeyRequest) -> Result<AgentKeyBody, ApiError> {
    let bundled = request.public_key_bundle.as_ref().and_then(|bundle| bundle.x25519);
    let public_key = public_key(request, bundled, "x25519PublicKey")?;
    if MontgomeryPoint(public_key).mul_clamped([1; 32]).0 == [0; 32] {
        return Err(ApiError::new(ErrorCode::InvalidPublicKey, "publicKey is a point of small order"));
    }
    let (tenant, agent) = (&request.tenant_id, &request.agent_id);
    let now = app.sequencer.now();
    if let Some(proof) = proof(request)
        && !signed_by_agent(app, request, &public_key, &proof, now)
    {
        return Err(unproven(
            "the proof of possession is no signature by an active signing key of the agent",
        ));
    }
    if app.sequencer.agent_keys(tenant, None).iter().any(|held| doubles(&held.public_key, &public_key)) {
        return Err(both_uses());
    }
    let registered = EncryptionKey {
        tenant_id: *tenant,
        agent_id: *agent,
        kid: RecipientKeyId(request.key_id),
        public_key,
        status: KeyStatus::Active,
        valid_from: request.valid_from.map(|at| at.0),
        valid_to: request.valid_to.map(|at| at.0),
        revoked_at: None,
        created_at: now,
    };
    app.sequencer.register_encryption_key(registered.clone()).await?;
    Ok(encryption_body(registered))
}

fn signed_by_agent(
    app: &App,
    request: &RegisterKeyRequest,
    key: &[u8; 32],
    proof: &[u8; 64],
    now: TimestampMs,
) -> bool {
    let (tenant, agent) = (&request.tenant_id, &request.agent_id);
    let challenges =
        [possession_challenge_bound(tenant, agent, KeyId(request.key_id), key), possession_challenge(key)];
    let signing = app.sequencer.agent_keys(tenant, Some(agent));
    let active = signing.iter().filter(|held| held.check_at(now).is_ok());
    active
        .filter_map(|held| PublicKey::from_bytes(&held.public_key).ok())
        .any(|held| challenges.iter().any(|challenge| held.verify(challenge.as_bytes(), proof)))
}

/// `publicKey`, or its place in the bundle; both have to agree.
fn public_key(
    request: &RegisterKeyRequest,
    bundled: Option<Hex<32>>,
    name: &str,
) -> Result<[u8; 32], ApiError> {
    match (request.public_key, bundled) {
        (Some(key), Some(bundled)) if key != bundled => {
            Err(ApiError::invalid("publicKey", format_args!("differs from publicKeyBundle.{name}")))
        }
        (Some(key), _) | (None, Some(key)) => Ok(key.0),
        (None, None) => Err(ApiError::new(ErrorCode::MissingRequiredField, "publicKey is missing")),
    }
}

fn proof(request: &RegisterKeyRequest) -> Option<[u8; 64]> {
    let bundled = || request.proof_of_possession_bundle.as_ref()?.ed25519;
    request.proof_of_possession.or_else(bundled).map(|proof| proof.0)
}

/// Section 9.4: a signing key must not double as an encryption key, as the same bytes or as the same point.
fn doubles(signing: &[u8; 32], encryption: &[u8; 32]) -> bool {
    let as_montgomery = || CompressedEdwardsY(*signing).decompress().map(|point| point.to_montgomery());
    signing == encryption || as_montgomery().is_some_and(|point| point == MontgomeryPoint(*encryption))
}

fn both_uses() -> ApiError {
    let message = "publicKey: a key that signs must not be registered for encryption too";
    ApiError::new(ErrorCode::InvalidPublicKey, message)
}

fn unproven(problem: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::SignatureVerificationFailed, format!("proofOfPossession: {problem}"))
}

/// `POST /api/v1/agents/keys/revoke` (ours): from now on; events already sequenced stay.
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Admin)?;
    let request: RevokeKeyRequest = body.read()?;
    json(&revoke_key(&app, &caller, &request).await?)
}

/// Revokes a key for whichever transport asked.
///
/// # Errors
/// [`ApiError`]: the caller is no admin of the tenant and agent, or there is no such key.
pub(crate) async fn revoke_key(
    app: &App,
    caller: &Caller,
    request: &RevokeKeyRequest,
) -> Result<AgentKeyBody, ApiError> {
    caller.require_tenant(Permission::Admin, &request.tenant_id)?;
    caller.require_agent(&request.agent_id)?;
    let key =
        app.sequencer.revoke_agent_key(&request.tenant_id, &request.agent_id, KeyId(request.key_id)).await?;
    Ok(signing_body(key))
}

#[derive(Deserialize)]
pub(crate) struct ListParams {
    tenant_id: TenantId,
    agent_id: Option<AgentId>,
}

/// `GET /api/v1/agents/keys` (ours): whoever reads a tenant's events may check and address its agents.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    let keys = list_keys(&app, &caller, &params.tenant_id, params.agent_id.as_ref()).await?;
    json(&AgentKeyList { count: keys.len(), keys })
}

/// The keys of a tenant or of one of its agents: signing keys, then encryption keys, by agent and number.
///
/// # Errors
/// [`ApiError`]: the caller may not read the tenant.
// The registry of this process answers without waiting; one shared with other instances would have to be asked.
#[allow(clippy::unused_async)]
pub(crate) async fn list_keys(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    agent: Option<&AgentId>,
) -> Result<Vec<AgentKeyBody>, ApiError> {
    caller.require_tenant(Permission::Read, tenant)?;
    let signing = app.sequencer.agent_keys(tenant, agent);
    let mut keys: Vec<AgentKeyBody> = signing.into_iter().map(signing_body).collect();
    let encryption = app.sequencer.encryption_keys(tenant);
    let wanted = encryption.into_iter().filter(|key| agent.is_none_or(|agent| key.agent_id == *agent));
    keys.extend(wanted.map(encryption_body));
    Ok(keys)
}

fn signing_body(key: AgentKey) -> AgentKeyBody {
    AgentKeyBody {
        tenant_id: key.tenant_id,
        agent_id: key.agent_id,
        key_id: key.key_id.0,
        key_algorithm: key.algorithm.number().into(),
        public_key: Hex(key.public_key),
        status: key.status.text().to_owned(),
        valid_from: key.valid_from.map(Rfc3339),
        valid_to: key.valid_to.map(Rfc3339),
        revoked_at: key.revoked_at.map(Rfc3339),
        created_at: Rfc3339(key.created_at),
        metadata: key.metadata.and_then(|text| serde_json::from_str(&text).ok()),
    }
}

fn encryption_body(key: EncryptionKey) -> AgentKeyBody {
    AgentKeyBody {
        tenant_id: key.tenant_id,
        agent_id: key.agent_id,
        key_id: key.kid.0,
        key_algorithm: ALGORITHM_X25519,
        public_key: Hex(key.public_key),
        status: key.status.text().to_owned(),
        valid_from: key.valid_from.map(Rfc3339),
        valid_to: key.valid_to.map(Rfc3339),
        revoked_at: key.revoked_at.map(Rfc3339),
        created_at: Rfc3339(key.created_at),
        metadata: None,
    }
}
