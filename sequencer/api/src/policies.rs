//! Rotation policies of keys (ours): admins of a tenant say how long and how often its keys may be used.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::{PolicyScope, RotationPolicy};
use ves::keys::rotation::{GRACE_HOURS_DEFAULT, RotationRule, WARNING_HOURS_DEFAULT};
use ves::{AgentId, TenantId};
use ves_wire::policies::{RotationPolicyBody, RotationPolicyList};
use ves_wire::{ErrorCode, Rfc3339};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json;
use crate::keys::key_type;
use crate::params::Params;
use crate::router::App;

/// Says of the keys of a request that they should be rotated; published clients ignore it.
const KEY_WARNING: HeaderName = HeaderName::from_static("x-key-warning");
/// Most warnings of one answer.
const WARNINGS_MAX: usize = 4;

#[derive(Deserialize)]
pub(crate) struct ListParams {
    /// The caller's own when left out.
    tenant_id: Option<TenantId>,
}

/// `GET /api/v1/agents/keys/policies`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    caller.require_tenant(Permission::Admin, &tenant_id)?;
    let policies: Vec<_> = app.sequencer.rotation_policies(&tenant_id).iter().map(body_of).collect();
    json(&RotationPolicyList { count: policies.len(), policies })
}

/// `PUT /api/v1/agents/keys/policies`
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: RotationPolicyBody = body.read_for_admin(&caller)?;
    let scope = scope(&caller, request.tenant_id, request.agent_id, request.key_type.as_deref())?;
    if request.max_age_hours == Some(0) {
        return Err(ApiError::invalid("maxAgeHours", "must be at least 1; leave it out for no bound"));
    }
    if request.max_usage_count == Some(0) {
        return Err(ApiError::invalid("maxUsageCount", "must be at least 1; leave it out for no bound"));
    }
    if request.max_age_hours.is_none() && request.max_usage_count.is_none() {
        let message = "maxAgeHours or maxUsageCount is missing: a policy bounds one of them";
        return Err(ApiError::new(ErrorCode::MissingRequiredField, message));
    }
    let policy = RotationPolicy {
        scope,
        rule: RotationRule {
            age_hours_max: request.max_age_hours,
            uses_max: request.max_usage_count,
            warning_hours: request.warning_hours.unwrap_or(WARNING_HOURS_DEFAULT),
            grace_hours: request.grace_hours.unwrap_or(GRACE_HOURS_DEFAULT),
            enforce: request.enforce_expiry.unwrap_or(true),
        },
        auto_rotate: request.auto_rotate.unwrap_or(false),
        updated_at: app.sequencer.now(),
    };
    app.acting(&caller).put_rotation_policy(policy).await?;
    json(&body_of(&policy))
}

#[derive(Deserialize)]
pub(crate) struct ScopeParams {
    tenant_id: Option<TenantId>,
    agent_id: Option<AgentId>,
    key_type: Option<String>,
}

/// `DELETE /api/v1/agents/keys/policies`: the policy of exactly this scope.
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ScopeParams>,
) -> Result<Response, ApiError> {
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    let scope = scope(&caller, tenant_id, params.agent_id, params.key_type.as_deref())?;
    if app.acting(&caller).remove_rotation_policy(scope).await? {
        return json(&serde_json::json!({"success": true}));
    }
    Err(ApiError::new(
        ErrorCode::ResourceNotFound,
        "there is no rotation policy of this tenant, agent and type",
    ))
}

/// Whom the policy binds; an admin whose key is bound to an agent has a say over that agent alone.
fn scope(
    caller: &Caller,
    tenant_id: TenantId,
    agent_id: Option<AgentId>,
    key_type_text: Option<&str>,
) -> Result<PolicyScope, ApiError> {
    caller.require_tenant(Permission::Admin, &tenant_id)?;
    caller.require_every_store()?;
    if tenant_id.is_nil() {
        return Err(ApiError::invalid("tenantId", "must name a tenant"));
    }
    match agent_id {
        Some(agent_id) => caller.require_agent(&agent_id)?,
        None if caller.agent_id.is_some() => return Err(ApiError::forbidden("Agent mismatch")),
        None => {}
    }
    Ok(PolicyScope { tenant_id, agent_id, key_type: key_type_text.map(key_type).transpose()? })
}

fn body_of(policy: &RotationPolicy) -> RotationPolicyBody {
    RotationPolicyBody {
        tenant_id: policy.scope.tenant_id,
        agent_id: policy.scope.agent_id,
        key_type: policy.scope.key_type.map(|key_type| key_type.text().to_owned()),
        max_age_hours: policy.rule.age_hours_max,
        max_usage_count: policy.rule.uses_max,
        warning_hours: Some(policy.rule.warning_hours),
        grace_hours: Some(policy.rule.grace_hours),
        enforce_expiry: Some(policy.rule.enforce),
        auto_rotate: Some(policy.auto_rotate),
        updated_at: Some(Rfc3339(policy.updated_at)),
    }
}

/// Puts what the owners of the keys should hear on the answer to their events.
pub(crate) fn warn(warnings: &[String], headers: &mut HeaderMap) {
    for warning in warnings.iter().take(WARNINGS_MAX) {
        if let Ok(value) = HeaderValue::from_str(warning) {
            headers.append(KEY_WARNING, value);
        }
    }
}
