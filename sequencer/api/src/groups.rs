//! Encryption groups (ours): admins list the agents that payloads are sealed to, readers take their current keys.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::{EncryptionGroup, GroupMember};
use uuid::Uuid;
use ves::keys::rotation::Standing;
use ves::{AgentId, TenantId};
use ves_wire::policies::{
    AddMemberRequest, CreateGroupRequest, GroupBody, GroupList, GroupMemberBody, GroupRecipientBody,
    GroupWithKeys,
};
use ves_wire::{ErrorCode, Rfc3339};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json;
use crate::keys::encryption_body;
use crate::params::{Params, Segments};
use crate::router::App;

#[derive(Deserialize)]
pub(crate) struct TenantParams {
    /// The caller's own when left out.
    tenant_id: Option<TenantId>,
}

/// `POST /api/v1/encryption-groups`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: CreateGroupRequest = body.read_for_admin(&caller)?;
    require_admin(&caller, &request.tenant_id)?;
    let CreateGroupRequest { tenant_id, name, description, members } = request;
    let group = app.acting(&caller).create_encryption_group(&tenant_id, name, description, members).await?;
    answer(&app, &tenant_id, &group.group_id).await
}

/// `GET /api/v1/encryption-groups`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<TenantParams>,
) -> Result<Response, ApiError> {
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    caller.require_tenant(Permission::Read, &tenant_id)?;
    let groups: Vec<_> =
        app.sequencer.encryption_groups(&tenant_id).await?.into_iter().map(group_body).collect();
    json(&GroupList { count: groups.len(), groups })
}

/// `GET /api/v1/encryption-groups/{group_id}`
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<TenantParams>,
) -> Result<Response, ApiError> {
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    caller.require_tenant(Permission::Read, &tenant_id)?;
    answer(&app, &tenant_id, &segments.get("group_id", "a UUID")?).await
}

/// `DELETE /api/v1/encryption-groups/{group_id}`
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<TenantParams>,
) -> Result<Response, ApiError> {
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    require_admin(&caller, &tenant_id)?;
    let group_id: Uuid = segments.get("group_id", "a UUID")?;
    app.acting(&caller).delete_encryption_group(&tenant_id, &group_id).await?;
    json(&serde_json::json!({"success": true}))
}

/// `POST /api/v1/encryption-groups/{group_id}/members`
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Admin)?;
    let AddMemberRequest { tenant_id, agent_id } = body.read()?;
    require_admin(&caller, &tenant_id)?;
    let group_id: Uuid = segments.get("group_id", "a UUID")?;
    app.acting(&caller).add_group_member(&tenant_id, &group_id, &agent_id).await?;
    answer(&app, &tenant_id, &group_id).await
}

/// `DELETE /api/v1/encryption-groups/{group_id}/members/{agent_id}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<TenantParams>,
) -> Result<Response, ApiError> {
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    require_admin(&caller, &tenant_id)?;
    let group_id: Uuid = segments.get("group_id", "a UUID")?;
    let agent_id: AgentId = segments.get("agent_id", "a UUID")?;
    app.acting(&caller).remove_group_member(&tenant_id, &group_id, &agent_id).await?;
    answer(&app, &tenant_id, &group_id).await
}

/// A group speaks for several agents, so a key bound to one of them does not change it.
fn require_admin(caller: &Caller, tenant_id: &TenantId) -> Result<(), ApiError> {
    caller.require_tenant(Permission::Admin, tenant_id)?;
    caller.require_every_store()?;
    if caller.agent_id.is_some() {
        return Err(ApiError::forbidden("an encryption group is changed by an admin key of no agent"));
    }
    Ok(())
}

async fn answer(app: &App, tenant_id: &TenantId, group_id: &Uuid) -> Result<Response, ApiError> {
    let found = app.sequencer.encryption_group(tenant_id, group_id).await?;
    let Some((group, members)) = found else {
        let message = "the encryption group is unknown";
        return Err(ApiError::new(ErrorCode::ResourceNotFound, message).about(group_id));
    };
    json(&with_keys(app, group, &members))
}

/// The keys to seal to now: valid at the sequencer's time, and not beyond what their rotation policy allows.
fn with_keys(app: &App, group: EncryptionGroup, members: &[GroupMember]) -> GroupWithKeys {
    let now = app.sequencer.now();
    let mut counts: BTreeMap<AgentId, usize> = members.iter().map(|member| (member.agent_id, 0)).collect();
    let mut recipients: Vec<GroupRecipientBody> = Vec::new();
    for key in app.sequencer.encryption_keys(&group.tenant_id) {
        let Some(count) = counts.get_mut(&key.agent_id) else { continue };
        let standing = app.sequencer.encryption_key_standing(&key);
        let is_worn = standing.is_some_and(|held| matches!(held.standing, Standing::Refused(_)));
        if key.check_at(now).is_ok() && !is_worn {
            *count += 1;
            recipients.push(encryption_body(app, key).into());
        }
    }
    let members = members.iter().map(|member| GroupMemberBody {
        agent_id: member.agent_id,
        added_at: Rfc3339(member.added_at),
        current_keys: counts.get(&member.agent_id).copied().unwrap_or(0),
    });
    GroupWithKeys { members: members.collect(), recipients, group: group_body(group) }
}

fn group_body(group: EncryptionGroup) -> GroupBody {
    GroupBody {
        group_id: group.group_id,
        tenant_id: group.tenant_id,
        name: group.name,
        description: group.description,
        created_at: Rfc3339(group.created_at),
    }
}
