//! Keys of agents (section 3.10; VES section 9): registered with proof that the owner holds them, listed, revoked.

mod register;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::KeyStanding;
use ves::keys::{AgentKey, EncryptionKey, KeyAlgorithm, KeyType};
use ves::{AgentId, KeyId, RecipientKeyId, TenantId};
use ves_wire::keys::{
    ALGORITHM_ED25519, AgentKeyBody, AgentKeyList, PublicKeyBundle, RegisterKeyAnswer, RegisterKeyRequest,
    RevokeKeyRequest,
};
use ves_wire::policies::KeyRotationBody;
use ves_wire::{Hex, Rfc3339};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
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
    let request: RegisterKeyRequest = body.read_for_admin(&caller)?;
    let key = register_key(&app, &caller, &request).await?;
    let signs = KeyAlgorithm::from_number(key.key_algorithm.into()).is_some_and(KeyAlgorithm::signs);
    let message = if signs { "signing key registered" } else { "encryption key registered" };
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
    let number = request.key_algorithm.unwrap_or(ALGORITHM_ED25519);
    let algorithm = KeyAlgorithm::from_number(number.into()).ok_or_else(|| {
        let known = "1 (Ed25519), 2 (X25519), 3 (ML-DSA-65), 4 (ML-KEM-768), 5 (Ed25519 and ML-DSA-65) or 6 (X25519 \
                     and ML-KEM-768)";
        ApiError::invalid("keyAlgorithm", format_args!("{number} is unknown, use {known}"))
    })?;
    match algorithm.key_type() {
        KeyType::Signing => Ok(signing_body(app, register::signing(app, caller, request, algorithm).await?)),
        KeyType::Encryption => {
            Ok(encryption_body(app, register::encryption(app, caller, request, algorithm).await?))
        }
    }
}

/// `POST /api/v1/agents/keys/revoke` (ours): from now on; events already sequenced stay.
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: RevokeKeyRequest = body.read_for_admin(&caller)?;
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
    // The agent signs with the key in every store.
    caller.require_every_store()?;
    let (tenant, agent) = (&request.tenant_id, &request.agent_id);
    match revoked_type(request)? {
        KeyType::Signing => {
            let key = app.acting(caller).revoke_agent_key(tenant, agent, KeyId(request.key_id)).await?;
            Ok(signing_body(app, key))
        }
        KeyType::Encryption => {
            let kid = RecipientKeyId(request.key_id);
            Ok(encryption_body(app, app.acting(caller).revoke_encryption_key(tenant, agent, kid).await?))
        }
    }
}

/// Type and algorithm say the same where both are given; the published form names neither and means a signing key.
fn revoked_type(request: &RevokeKeyRequest) -> Result<KeyType, ApiError> {
    let named = match request.key_type.as_deref() {
        None => None,
        Some(text) => Some(key_type(text)?),
    };
    let of_algorithm = match request.key_algorithm {
        None => None,
        Some(number) => Some(
            KeyAlgorithm::from_number(number.into())
                .ok_or_else(|| ApiError::invalid("keyAlgorithm", format_args!("{number} is unknown")))?
                .key_type(),
        ),
    };
    match (named, of_algorithm) {
        (Some(named), Some(other)) if named != other => {
            Err(ApiError::invalid("keyType", "says another type than keyAlgorithm"))
        }
        (named, of_algorithm) => Ok(named.or(of_algorithm).unwrap_or(KeyType::Signing)),
    }
}

/// `signing` or `encryption`.
pub(crate) fn key_type(text: &str) -> Result<KeyType, ApiError> {
    KeyType::from_text(text).ok_or_else(|| {
        ApiError::invalid("keyType", format_args!("expected signing or encryption, found {text:?}"))
    })
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
pub(crate) async fn list_keys(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    agent: Option<&AgentId>,
) -> Result<Vec<AgentKeyBody>, ApiError> {
    caller.require_tenant(Permission::Read, tenant)?;
    let signing = app.sequencer.agent_keys(tenant, agent);
    let mut keys: Vec<AgentKeyBody> = signing.into_iter().map(|key| signing_body(app, key)).collect();
    let encryption = app.sequencer.encryption_keys(tenant);
    let wanted = encryption.into_iter().filter(|key| agent.is_none_or(|agent| key.agent_id == *agent));
    keys.extend(wanted.map(|key| encryption_body(app, key)));
    Ok(keys)
}

fn signing_body(app: &App, key: AgentKey) -> AgentKeyBody {
    let rotation = app.sequencer.signing_key_standing(&key).map(rotation_body);
    let bundle = key.ml_dsa_65.as_ref().map(|quantum| PublicKeyBundle {
        ed25519: key.ed25519().copied().map(Hex),
        ml_dsa_65: Some(ves::hex::encode(quantum.as_slice())),
        ..PublicKeyBundle::default()
    });
    AgentKeyBody {
        tenant_id: key.tenant_id,
        agent_id: key.agent_id,
        key_id: key.key_id.0,
        key_algorithm: key.algorithm.number().into(),
        public_key: Hex(key.public_key),
        public_key_bundle: bundle,
        status: key.status.text().to_owned(),
        valid_from: key.valid_from.map(Rfc3339),
        valid_to: key.valid_to.map(Rfc3339),
        revoked_at: key.revoked_at.map(Rfc3339),
        created_at: Rfc3339(key.created_at),
        metadata: key.metadata.and_then(|text| serde_json::from_str(&text).ok()),
        rotation,
    }
}

pub(crate) fn encryption_body(app: &App, key: EncryptionKey) -> AgentKeyBody {
    let rotation = app.sequencer.encryption_key_standing(&key).map(rotation_body);
    let bundle = key.ml_kem_768.as_ref().map(|quantum| PublicKeyBundle {
        x25519: key.x25519().copied().map(Hex),
        ml_kem_768: Some(ves::hex::encode(quantum.as_slice())),
        ..PublicKeyBundle::default()
    });
    AgentKeyBody {
        tenant_id: key.tenant_id,
        agent_id: key.agent_id,
        key_id: key.kid.0,
        key_algorithm: key.algorithm.number().into(),
        public_key: Hex(key.public_key),
        public_key_bundle: bundle,
        status: key.status.text().to_owned(),
        valid_from: key.valid_from.map(Rfc3339),
        valid_to: key.valid_to.map(Rfc3339),
        revoked_at: key.revoked_at.map(Rfc3339),
        created_at: Rfc3339(key.created_at),
        metadata: None,
        rotation,
    }
}

fn rotation_body(standing: KeyStanding) -> KeyRotationBody {
    KeyRotationBody {
        standing: standing.standing.text().to_owned(),
        advice: standing.standing.advice(),
        uses: standing.uses,
        auto_rotate: standing.auto_rotate,
    }
}
