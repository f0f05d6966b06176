//! API keys: minting, listing, revoking (section 3.10). Only the hash of a key is kept.

use axum::extract::State;
use axum::response::Response;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::Deserialize;
use stateset_sequencer::{ApiKeyRecord, Sequencer, ServiceError};
use ves::hash::Hasher;
use ves::keys::KeyStatus;
use ves::{AgentId, Digest, StoreId, TenantId};
use ves_wire::agents::KEY_RATE_LIMIT_MAX;
use ves_wire::error::ErrorCode;
use ves_wire::keys::{
    AgentBody, ApiKeyBody, ApiKeyList, MintApiKeyAnswer, MintApiKeyRequest, RevokeApiKeyAnswer,
};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json;
use crate::params::{Params, Segments};
use crate::router::App;

/// How every API key begins.
pub(crate) const KEY_PREFIX: &str = "ss_";
/// Hex digits of the hash by which a key is named.
const HASH_PREFIX_DIGITS: usize = 16;
/// Most active API keys of one agent.
const KEYS_PER_AGENT_MAX: usize = 100;

/// SHA-256 of the whole key text: the form in which keys are stored and looked up.
pub fn key_hash(text: &str) -> Digest {
    Hasher::bare().bytes(text.as_bytes()).finish()
}

/// Why no key could be made.
#[derive(Debug)]
pub struct MintError(getrandom::Error);

impl std::fmt::Display for MintError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the system gives no random bytes: {}", self.0)
    }
}
impl std::error::Error for MintError {}

/// A new key text: `ss_`, the first 8 characters of the tenant's id, 24 random bytes in base64url (section 1.2).
pub fn mint_key_text(tenant_id: &TenantId) -> Result<String, MintError> {
    let mut secret = [0u8; 24];
    getrandom::fill(&mut secret).map_err(MintError)?;
    let tenant = tenant_id.to_string();
    Ok(format!("{KEY_PREFIX}{}{}", &tenant[..8], Base64UrlUnpadded::encode_string(&secret)))
}

/// Makes `text` the admin key of every tenant: nil tenant, all rights. Doing it again changes nothing.
pub async fn install_bootstrap_key(sequencer: &Sequencer, text: &str) -> Result<(), ServiceError> {
    let key_hash = key_hash(text);
    if sequencer
        .api_key(&key_hash)
        .is_some_and(|known| known.active && known.can_admin && known.tenant_id.is_nil())
    {
        return Ok(());
    }
    let now = sequencer.now();
    let record = ApiKeyRecord {
        key_hash,
        tenant_id: TenantId::from_bytes([0; 16]),
        store_ids: Vec::new(),
        agent_id: None,
        can_read: true,
        can_write: true,
        can_admin: true,
        active: true,
        rate_limit: None,
        created_at: now,
        updated_at: now,
    };
    sequencer.put_api_key(record).await
}

/// Which tenant's agent is meant, where the caller may see several.
#[derive(Deserialize)]
pub(crate) struct AgentParams {
    tenant_id: Option<TenantId>,
}

/// `POST /api/v1/agents/{agent_id}/api-keys`
pub(crate) async fn mint(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonText,
) -> Result<Response, ApiError> {
    let agent_id: AgentId = segments.get("agent_id", "a UUID")?;
    // The key would go on when the token's time is over.
    if caller.is_lent {
        return Err(ApiError::forbidden("a token makes no API keys: use an API key"));
    }
    let request: MintApiKeyRequest =
        if body.text.trim().is_empty() { Default::default() } else { body.read()? };
    let tenant_id = tenant_of(&app, &caller, &agent_id, request.tenant_id)?;
    // Who may only read makes no keys, though they were as narrow.
    caller.require_right(Permission::Write)?;
    let _minting = app.minting.lock().await;
    check_room_for_key(&app, &tenant_id, &agent_id)?;
    let record = granted(&caller, tenant_id, agent_id, request, app.sequencer.now())?;
    let text = mint_key_text(&tenant_id).map_err(ApiError::internal)?;
    let record = ApiKeyRecord { key_hash: key_hash(&text), ..record };
    let answer = MintApiKeyAnswer {
        success: true,
        api_key: text,
        key_hash_prefix: hash_prefix(&record),
        permissions: permissions(&record),
        message: "keep this key: it is not shown again".to_owned(),
    };
    app.acting(&caller).put_api_key(record).await?;
    json(&answer)
}

fn check_room_for_key(app: &App, tenant_id: &TenantId, agent_id: &AgentId) -> Result<(), ApiError> {
    let records = app.sequencer.api_keys(Some(tenant_id));
    let active = records.iter().filter(|record| record.active && record.agent_id == Some(*agent_id)).count();
    if active < KEYS_PER_AGENT_MAX {
        return Ok(());
    }
    let message =
        format!("the agent has {active} active API keys, at most {KEYS_PER_AGENT_MAX}: revoke one first");
    Err(ApiError::new(ErrorCode::QuotaExceeded, message).about(agent_id))
}

/// The record asked for, never wider than the caller's own rights; its hash is still to be set.
fn granted(
    caller: &Caller,
    tenant_id: TenantId,
    agent_id: AgentId,
    request: MintApiKeyRequest,
    now: ves::TimestampMs,
) -> Result<ApiKeyRecord, ApiError> {
    if request.admin && request.read_only {
        return Err(ApiError::invalid("readOnly", "an admin key is never read-only"));
    }
    if request.admin && !caller.can_admin {
        return Err(ApiError::forbidden("admin: the new key would be wider than the caller's"));
    }
    let store_ids = match request.store_ids {
        None => caller.store_ids.clone(),
        Some(asked) if caller.store_ids.is_empty() => asked,
        Some(asked) if !asked.is_empty() && asked.iter().all(|store| caller.store_ids.contains(store)) => {
            asked
        }
        Some(_) => return Err(ApiError::forbidden("storeIds: the new key would be wider than the caller's")),
    };
    let rate_limit = request.rate_limit.or(caller.rate_limit);
    if rate_limit.is_some_and(|limit| !(1..=KEY_RATE_LIMIT_MAX).contains(&limit)) {
        return Err(ApiError::invalid("rateLimit", format_args!("expected 1 to {KEY_RATE_LIMIT_MAX}")));
    }
    if let (Some(asked), Some(own)) = (rate_limit, caller.rate_limit)
        && asked > own
    {
        return Err(ApiError::forbidden("rateLimit: the new key would be wider than the caller's"));
    }
    Ok(ApiKeyRecord {
        key_hash: Digest::ZERO,
        tenant_id,
        store_ids,
        agent_id: Some(agent_id),
        can_read: caller.can_read,
        can_write: caller.can_write && !request.read_only,
        can_admin: request.admin,
        active: true,
        rate_limit,
        created_at: now,
        updated_at: now,
    })
}

/// `GET /api/v1/agents/{agent_id}/api-keys`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<AgentParams>,
) -> Result<Response, ApiError> {
    let (_, records) = records_of(&app, &caller, &segments, params.tenant_id)?;
    let keys: Vec<ApiKeyBody> = records
        .iter()
        .map(|record| ApiKeyBody {
            key_hash_prefix: hash_prefix(record),
            active: record.active,
            permissions: permissions(record),
            rate_limit: record.rate_limit,
        })
        .collect();
    json(&ApiKeyList { count: keys.len(), keys })
}

/// `DELETE /api/v1/agents/{agent_id}/api-keys/{key_prefix}`
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<AgentParams>,
) -> Result<Response, ApiError> {
    let prefix = segments.text("key_prefix");
    if prefix.len() != HASH_PREFIX_DIGITS || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ApiError::invalid(
            "key_prefix",
            format_args!("expected {HASH_PREFIX_DIGITS} hex digits"),
        ));
    }
    let (_, records) = records_of(&app, &caller, &segments, params.tenant_id)?;
    let prefix = prefix.to_ascii_lowercase();
    let Some(record) = records.into_iter().find(|record| hash_prefix(record) == prefix) else {
        return Err(ApiError::new(ErrorCode::ResourceNotFound, "the agent has no API key of this prefix")
            .about(prefix));
    };
    let revoked = ApiKeyRecord { active: false, updated_at: app.sequencer.now(), ..record };
    app.acting(&caller).put_api_key(revoked).await?;
    json(&RevokeApiKeyAnswer {
        success: true,
        key_hash_prefix: prefix,
        message: "the API key is revoked".to_owned(),
    })
}

/// `GET /api/v1/agents/{agent_id}`
pub(crate) async fn agent(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<AgentParams>,
) -> Result<Response, ApiError> {
    let agent_id: AgentId = segments.get("agent_id", "a UUID")?;
    let (tenant_id, records) = records_of(&app, &caller, &segments, params.tenant_id)?;
    let signing = app.sequencer.agent_keys(&tenant_id, Some(&agent_id));
    if records.is_empty() && signing.is_empty() {
        return Err(ApiError::new(ErrorCode::ResourceNotFound, "the agent is unknown").about(agent_id));
    }
    let active: Vec<&ApiKeyRecord> = records.iter().filter(|record| record.active).collect();
    let everywhere = active.iter().any(|record| record.store_ids.is_empty());
    let mut store_ids: Vec<StoreId> =
        active.iter().flat_map(|record| record.store_ids.iter().copied()).collect();
    store_ids.sort_unstable();
    store_ids.dedup();
    json(&AgentBody {
        agent_id,
        tenant_id,
        active: !active.is_empty() || signing.iter().any(|key| key.status == KeyStatus::Active),
        permissions: names(
            active.iter().any(|record| record.can_read || record.can_admin),
            active.iter().any(|record| record.can_write || record.can_admin),
            active.iter().any(|record| record.can_admin),
        ),
        store_ids: if everywhere { Vec::new() } else { store_ids },
        rate_limit: active.iter().filter_map(|record| record.rate_limit).max(),
    })
}

/// The agent's API keys, for itself or an admin of its tenant.
fn records_of(
    app: &App,
    caller: &Caller,
    segments: &Segments,
    asked: Option<TenantId>,
) -> Result<(TenantId, Vec<ApiKeyRecord>), ApiError> {
    let agent_id: AgentId = segments.get("agent_id", "a UUID")?;
    let tenant_id = tenant_of(app, caller, &agent_id, asked)?;
    let mut records = app.sequencer.api_keys(Some(&tenant_id));
    records.retain(|record| record.agent_id == Some(agent_id));
    Ok((tenant_id, records))
}

/// The tenant in which the caller may manage this agent: itself or admin.
fn tenant_of(
    app: &App,
    caller: &Caller,
    agent_id: &AgentId,
    asked: Option<TenantId>,
) -> Result<TenantId, ApiError> {
    if caller.agent_id != Some(*agent_id) {
        caller.require_right(Permission::Admin)?;
        caller.require_agent(agent_id)?;
    }
    if !caller.is_bootstrap() {
        caller.require_tenant(Permission::Read, &asked.unwrap_or(caller.tenant_id))?;
        return Ok(caller.tenant_id);
    }
    let held = || {
        let mut records = app.sequencer.api_keys(None).into_iter();
        records.find(|record| record.agent_id == Some(*agent_id)).map(|record| record.tenant_id)
    };
    asked.filter(|tenant| !tenant.is_nil()).or_else(held).ok_or_else(|| {
        ApiError::new(
            ErrorCode::MissingRequiredField,
            "tenantId is missing: the agent has no API key in any tenant yet",
        )
    })
}

fn hash_prefix(record: &ApiKeyRecord) -> String {
    ves::hex::encode(&record.key_hash.as_bytes()[..HASH_PREFIX_DIGITS / 2])
}

pub(crate) fn permissions(record: &ApiKeyRecord) -> Vec<String> {
    names(record.can_read, record.can_write, record.can_admin)
}

fn names(read: bool, write: bool, admin: bool) -> Vec<String> {
    let all = [(read, "read"), (write, "write"), (admin, "admin")];
    all.into_iter().filter(|(granted, _)| *granted).map(|(_, name)| name.to_owned()).collect()
}
