//! The signed key directory (ours): all keys of one agent, for any reader of its tenant.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use ves::directory::{DirectoryHead, DirectoryKey, KeyDirectory};
use ves::{AgentId, StoreId, StreamKey, TenantId};

use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json;
use crate::params::{Params, Segments};
use crate::router::App;

#[derive(Deserialize)]
pub(crate) struct DirectoryParams {
    /// The caller's own when left out.
    tenant_id: Option<TenantId>,
    /// The stream whose head is named; none when left out.
    store_id: Option<StoreId>,
}

/// `GET /api/v1/agents/{agent_id}/keys`. An agent without keys has an empty directory: that it has none is signed too.
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    Params(params): Params<DirectoryParams>,
) -> Result<Response, ApiError> {
    let agent_id: AgentId = segments.get("agent_id", "a UUID")?;
    let tenant_id = caller.tenant_or_own(params.tenant_id)?;
    caller.require_tenant(Permission::Read, &tenant_id)?;
    if let Some(store_id) = params.store_id {
        caller.require(Permission::Read, &StreamKey { tenant_id, store_id })?;
    }
    let sequencer = &app.sequencer;
    // The time and the head are read before the keys: what is said of them is at least as new as they are.
    let as_of = sequencer.now();
    let stream = params.store_id.map(|store_id| {
        let head = sequencer.head(&StreamKey { tenant_id, store_id });
        DirectoryHead { store_id, head_sequence: head.head_sequence, state_root: head.state_root }
    });
    let signing = sequencer.agent_keys(&tenant_id, Some(&agent_id));
    let mut encryption = sequencer.encryption_keys(&tenant_id);
    encryption.retain(|key| key.agent_id == agent_id);
    let directory = KeyDirectory {
        tenant_id,
        agent_id,
        sequencer_id: sequencer.sequencer_id(),
        sequencer_key_version: sequencer.key_version(),
        as_of,
        stream,
        signing_keys: signing.iter().map(DirectoryKey::from).collect(),
        encryption_keys: encryption.iter().map(DirectoryKey::from).collect(),
    };
    json(&sequencer.sign_directory(directory)?)
}
