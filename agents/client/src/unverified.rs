//! Answers as the server gave them, for callers that check more than one answer at a time.

use ves::{AgentId, Digest, SequenceNumber, StreamKey, TenantId};
use ves_wire::keys::{AgentKeyBody, RevokeKeyRequest};
use ves_wire::operations::SequencerBody;
use ves_wire::policies::{AddMemberRequest, CreateGroupRequest, GroupList, GroupWithKeys};
use ves_wire::proofs::ConsistencyBody;

use crate::client::query;
use crate::http::Http;
use crate::{Client, ClientError};

/// See [`Client::unverified`].
pub struct Unverified<'a>(&'a Http);

impl Client {
    /// The same server without any check of what it says: whoever takes an answer from here checks it.
    pub fn unverified(&self) -> Unverified<'_> {
        Unverified(&self.http)
    }

    /// Revokes a key from now on. Needs an admin key.
    pub fn revoke_key(&self, request: &RevokeKeyRequest) -> Result<AgentKeyBody, ClientError> {
        self.http.post_json("/api/v1/agents/keys/revoke", request)
    }

    /// Makes a group of recipients. Needs an admin key.
    pub fn create_group(&self, request: &CreateGroupRequest) -> Result<GroupWithKeys, ClientError> {
        self.http.post_json("/api/v1/encryption-groups", request)
    }

    /// Adds an agent to a group of recipients. Needs an admin key.
    pub fn add_group_member(
        &self,
        tenant_id: TenantId,
        group: uuid::Uuid,
        agent_id: AgentId,
    ) -> Result<GroupWithKeys, ClientError> {
        let path = format!("/api/v1/encryption-groups/{group}/members");
        self.http.post_json(&path, &AddMemberRequest { tenant_id, agent_id })
    }
}

impl Unverified<'_> {
    /// The answer to `POST /api/v1/ves/events/ingest`; `body` as [`ves_wire::ingest::write_request`] writes it. With
    /// `has_parts` the caller sends fewer events after [`ClientError::is_cut`].
    pub fn ingest(&self, body: &str, has_parts: bool) -> Result<String, ClientError> {
        let path = "/api/v1/ves/events/ingest";
        if has_parts { self.0.post_part(path, body) } else { self.0.post(path, body) }
    }

    /// The text of one page, for [`ves_wire::events::EventsPage`].
    pub fn events(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<String, ClientError> {
        self.0.get_text(&format!("/api/v1/ves/events?{}&from={from}&limit={limit}", query(stream)))
    }

    /// The newest signed checkpoint, or that of `size`; `None` when there is none.
    pub fn checkpoint(&self, stream: &StreamKey, size: Option<u64>) -> Result<Option<String>, ClientError> {
        let size = size.map(|size| format!("&size={size}")).unwrap_or_default();
        match self.0.get_text(&format!("/api/v1/ves/checkpoint?{}{size}", query(stream))) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hashes that should prove that the log of `to` events begins with that of `from`.
    pub fn consistency(&self, stream: &StreamKey, from: u64, to: u64) -> Result<Vec<Digest>, ClientError> {
        let path = format!("/api/v1/ves/consistency?{}&from={from}&to={to}", query(stream));
        self.0.get::<ConsistencyBody>(&path).map(|proof| proof.hashes)
    }

    /// The signed key directory of an agent, for [`ves::directory::verify`].
    pub fn directory(&self, stream: &StreamKey, agent: &AgentId) -> Result<String, ClientError> {
        let StreamKey { tenant_id, store_id } = stream;
        self.0.get_text(&format!("/api/v1/agents/{agent}/keys?tenant_id={tenant_id}&store_id={store_id}"))
    }

    /// Who the server says it is.
    pub fn sequencer(&self) -> Result<SequencerBody, ClientError> {
        self.0.get("/api/v1/ves/sequencer")
    }

    /// Groups of recipients by name and id.
    pub fn groups(&self, tenant: &TenantId) -> Result<GroupList, ClientError> {
        self.0.get(&format!("/api/v1/encryption-groups?tenant_id={tenant}"))
    }

    /// A group with the keys of its members.
    pub fn group(&self, tenant: &TenantId, group: &uuid::Uuid) -> Result<GroupWithKeys, ClientError> {
        self.0.get(&format!("/api/v1/encryption-groups/{group}?tenant_id={tenant}"))
    }
}
