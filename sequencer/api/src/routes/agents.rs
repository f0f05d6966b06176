//! Agents, their keys and their API keys (section 3.10).

use stateset_sequencer::Action;
use ves_wire::agents::{RegisterAgentAnswer, RegisterAgentRequest};
use ves_wire::keys::{
    AgentBody, AgentKeyBody, AgentKeyList, ApiKeyList, MintApiKeyAnswer, MintApiKeyRequest,
    RegisterKeyAnswer, RegisterKeyRequest, RevokeApiKeyAnswer, RevokeKeyRequest,
};

use super::Routes;
use crate::openapi::operation::{Operation, delete, get, post, uuid};
use crate::{access, keys, register};

pub(crate) fn routes() -> Routes {
    registry().merge(api_keys())
}

fn registry() -> Routes {
    Routes::default()
        .add(
            post("/api/v1/agents/keys", "registerAgentKey", "Register a key of an agent")
                .tag("keys")
                .administers()
                .records(&[Action::AgentKeyRegistered, Action::AgentKeyRotated])
                .body::<RegisterKeyRequest>()
                .answers::<RegisterKeyAnswer>()
                .refuses([409]),
            keys::register,
        )
        .add(
            get("/api/v1/agents/keys", "listAgentKeys", "Keys of a tenant's agents")
                .tag("keys")
                .reads()
                .needs("tenant_id", uuid(), "The tenant")
                .query("agent_id", uuid(), "Only the keys of this agent")
                .answers::<AgentKeyList>()
                .compressed(),
            keys::list,
        )
        .add(
            post("/api/v1/agents/keys/revoke", "revokeAgentKey", "Revoke a key from now on")
                .tag("keys")
                .administers()
                .records(&[Action::AgentKeyRevoked])
                .body::<RevokeKeyRequest>()
                .answers::<AgentKeyBody>()
                .refuses([404]),
            keys::revoke,
        )
}

fn api_keys() -> Routes {
    Routes::default()
        .add(
            post(
                "/api/v1/agents/register",
                "registerAgent",
                "A new agent in a tenant of its own, where this is on",
            )
            .tag("agents")
            .body::<RegisterAgentRequest>()
            .records(&[Action::AgentRegistered])
            .answers::<RegisterAgentAnswer>()
            .refuses([403, 429]),
            register::register,
        )
        .add(
            of_agent(get("/api/v1/agents/{agent_id}", "getAgent", "What an agent's API keys allow together"))
                .answers::<AgentBody>()
                .refuses([404]),
            access::agent,
        )
        .add(
            of_agent(get("/api/v1/agents/{agent_id}/api-keys", "listApiKeys", "An agent's API keys"))
                .answers::<ApiKeyList>()
                .compressed(),
            access::list,
        )
        .add(
            post(
                "/api/v1/agents/{agent_id}/api-keys",
                "mintApiKey",
                "A new API key, never wider than the caller's",
            )
            .tag("agents")
            .self_or_admin()
            .segment("agent_id", uuid(), "The agent")
            .optional_body::<MintApiKeyRequest>()
            .records(&[Action::ApiKeyCreated])
            .answers::<MintApiKeyAnswer>(),
            access::mint,
        )
        .add(
            of_agent(delete(
                "/api/v1/agents/{agent_id}/api-keys/{key_prefix}",
                "revokeApiKey",
                "Revoke an API key by the beginning of its hash",
            ))
            .records(&[Action::ApiKeyRevoked])
            .segment(
                "key_prefix",
                serde_json::json!({"type": "string", "pattern": "^[0-9a-fA-F]{16}$"}),
                "First 16 hex digits of the key's hash",
            )
            .answers::<RevokeApiKeyAnswer>()
            .refuses([404]),
            access::revoke,
        )
}

fn of_agent(operation: Operation) -> Operation {
    operation.tag("agents").self_or_admin().segment("agent_id", uuid(), "The agent").query(
        "tenant_id",
        uuid(),
        "Its tenant, where the caller may see several",
    )
}
