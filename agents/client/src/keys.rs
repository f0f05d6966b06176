//! The registry of agents' keys, as a client sees it.

use ves::ed25519::Signer;
use ves::keys::possession_challenge_bound;
use ves::{AgentId, KeyId, TenantId};
use ves_wire::Hex;
use ves_wire::keys::{ALGORITHM_X25519, AgentKeyBody, AgentKeyList, RegisterKeyAnswer, RegisterKeyRequest};

use crate::{Client, ClientError};

/// A signing key to be registered.
#[derive(Debug, Clone, Copy)]
pub struct KeyRegistration {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub key_id: KeyId,
}

impl Client {
    /// Registers a signing key with a proof that names tenant, agent and key id (section 22). Needs an admin key.
    pub fn register_signing_key(
        &self,
        to: &KeyRegistration,
        signer: &dyn Signer,
    ) -> Result<RegisterKeyAnswer, ClientError> {
        let public_key = signer.public_key();
        let challenge = possession_challenge_bound(&to.tenant_id, &to.agent_id, to.key_id, &public_key);
        let proof = signer.sign(challenge.as_bytes())?;
        self.register(&RegisterKeyRequest {
            proof_of_possession: Some(Hex(proof)),
            ..request(to.tenant_id, to.agent_id, to.key_id.0, public_key)
        })
    }

    /// Registers an encryption key; `kid` is unique in its tenant. Such a key cannot sign, so no proof is sent.
    pub fn register_encryption_key(
        &self,
        tenant_id: TenantId,
        agent_id: AgentId,
        kid: u32,
        public_key: [u8; 32],
    ) -> Result<RegisterKeyAnswer, ClientError> {
        self.register(&RegisterKeyRequest {
            key_algorithm: Some(ALGORITHM_X25519),
            ..request(tenant_id, agent_id, kid, public_key)
        })
    }

    fn register(&self, request: &RegisterKeyRequest) -> Result<RegisterKeyAnswer, ClientError> {
        self.http.post_json("/api/v1/agents/keys", request)
    }

    /// The registered keys of a tenant, or of one of its agents.
    pub fn keys(&self, tenant: &TenantId, agent: Option<&AgentId>) -> Result<Vec<AgentKeyBody>, ClientError> {
        let agent = agent.map(|agent| format!("&agent_id={agent}")).unwrap_or_default();
        let list: AgentKeyList = self.http.get(&format!("/api/v1/agents/keys?tenant_id={tenant}{agent}"))?;
        Ok(list.keys)
    }
}

fn request(tenant_id: TenantId, agent_id: AgentId, key_id: u32, public_key: [u8; 32]) -> RegisterKeyRequest {
    RegisterKeyRequest {
        tenant_id,
        agent_id,
        key_id,
        public_key: Some(Hex(public_key)),
        valid_from: None,
        valid_to: None,
        key_algorithm: None,
        public_key_bundle: None,
        proof_of_possession: None,
        proof_of_possession_bundle: None,
        metadata: None,
    }
}
