//! `POST /api/v1/agents/register`: an agent in a tenant of its own, without credential (section 3.10). Off by default.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::body::Body;
use axum::extract::{FromRequest as _, Request, State};
use axum::response::Response;
use stateset_sequencer::{Act, Action, ApiKeyRecord};
use ves::audit::ActorType;
use ves::{AgentId, TenantId};
use ves_wire::agents::{
    AGENT_DESCRIPTION_MAX, AGENT_NAME_MAX, AGENT_STORES_MAX, KEY_RATE_LIMIT_MAX, RegisterAgentAnswer,
    RegisterAgentRequest,
};
use ves_wire::error::ErrorCode;

use crate::access::{key_hash, mint_key_text, permissions};
use crate::audit::Origin;
use crate::body::JsonText;
use crate::error::ApiError;
use crate::frame::json;
use crate::peer::client_address;
use crate::router::App;

pub(crate) async fn register(State(app): State<App>, request: Request<Body>) -> Result<Response, ApiError> {
    // Before the body is read: a stranger gets no work done while this is off, or beyond its limit.
    if !app.config.registration.enabled {
        let message = "self-service registration is off here: ask an admin for an API key";
        return Err(ApiError::new(ErrorCode::RegistrationDisabled, message));
    }
    let from = client_address(request.extensions(), request.headers(), &app);
    app.registrations.admit_address(
        counted(from),
        app.config.registration.rate_limit,
        app.sequencer.now(),
    )?;
    let origin = Origin::of(request.headers()).at(from);
    let body = JsonText::from_request(request, &app).await?;
    let request: RegisterAgentRequest = body.read()?;
    check(&request)?;
    let record = record(&app, &request)?;
    let (tenant_id, agent_id) = (record.0.tenant_id, record.1);
    let text = mint_key_text(&tenant_id).map_err(ApiError::internal)?;
    let record = ApiKeyRecord { key_hash: key_hash(&text), ..record.0 };
    let answer = RegisterAgentAnswer {
        success: true,
        agent_id,
        tenant_id,
        api_key: text,
        permissions: permissions(&record),
        message: "keep this key: it is not shown again".to_owned(),
    };
    let act = Act::new(Action::AgentRegistered)
        .in_tenant(tenant_id)
        .on("agent", agent_id)
        .with(serde_json::json!({ "name": request.name.trim(), "permissions": answer.permissions }));
    let actor = origin.actor(ActorType::Agent, agent_id.to_string());
    app.sequencer.acting(actor).put_api_key_as(act, record).await?;
    app.metrics.agent_registered();
    json(&answer)
}

/// One count for an address, and for the network of an IPv6 address, which a single caller holds whole.
fn counted(from: Option<IpAddr>) -> IpAddr {
    match from {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Some(address) => address,
        // Callers that no listener told apart share one count.
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

fn check(request: &RegisterAgentRequest) -> Result<(), ApiError> {
    let refused = |code, message: String| Err(ApiError::new(code, message));
    if request.tenant_id.is_some() {
        return refused(
            ErrorCode::TenantIdNotAllowed,
            "tenantId: leave it out, each registration gets a new tenant".to_owned(),
        );
    }
    if request.admin == Some(true) {
        return refused(
            ErrorCode::AdminNotAllowed,
            "admin: a registration never makes an admin; leave it out".to_owned(),
        );
    }
    if request.name.trim().is_empty() {
        return refused(ErrorCode::InvalidName, "name: say what the agent is called".to_owned());
    }
    let length = request.name.chars().count();
    if length > AGENT_NAME_MAX {
        return refused(
            ErrorCode::NameTooLong,
            format!("name: {length} characters, at most {AGENT_NAME_MAX} are taken"),
        );
    }
    let length = request.description.as_deref().map_or(0, |text| text.chars().count());
    if length > AGENT_DESCRIPTION_MAX {
        return refused(
            ErrorCode::DescriptionTooLong,
            format!("description: {length} characters, at most {AGENT_DESCRIPTION_MAX} are taken"),
        );
    }
    let stores = request.store_ids.as_ref().map_or(0, Vec::len);
    if stores > AGENT_STORES_MAX {
        return refused(
            ErrorCode::StoreIdsTooMany,
            format!("storeIds: {stores} stores, at most {AGENT_STORES_MAX} are taken"),
        );
    }
    if request.rate_limit.is_some_and(|limit| !(1..=i64::from(KEY_RATE_LIMIT_MAX)).contains(&limit)) {
        return refused(
            ErrorCode::RateLimitInvalid,
            format!("rateLimit: expected 1 to {KEY_RATE_LIMIT_MAX}"),
        );
    }
    Ok(())
}

/// The record of the new key, its hash still to be set, and the new agent.
fn record(app: &App, request: &RegisterAgentRequest) -> Result<(ApiKeyRecord, AgentId), ApiError> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(ApiError::internal)?;
    let (tenant, agent) = random.split_at(16);
    let half = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).expect("16 bytes");
    let (tenant_id, agent_id) = (TenantId::random(half(tenant)), AgentId::random(half(agent)));
    let now = app.sequencer.now();
    let record = ApiKeyRecord {
        key_hash: ves::Digest::ZERO,
        tenant_id,
        store_ids: request.store_ids.clone().unwrap_or_default(),
        agent_id: Some(agent_id),
        can_read: true,
        can_write: !request.read_only,
        can_admin: false,
        active: true,
        rate_limit: request.rate_limit.and_then(|limit| u32::try_from(limit).ok()),
        created_at: now,
        updated_at: now,
    };
    Ok((record, agent_id))
}
