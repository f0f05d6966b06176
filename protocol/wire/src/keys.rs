//! Agent keys (sequencer API, section 3.10; VES section 9). Members are camelCase.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ves::{AgentId, StoreId, TenantId};

use crate::policies::KeyRotationBody;
use crate::text::{Hex, Rfc3339};

/// `keyAlgorithm` of a signing key.
pub const ALGORITHM_ED25519: u32 = 1;
/// `keyAlgorithm` of an encryption key; its `keyId` is the `recipient_kid`.
pub const ALGORITHM_X25519: u32 = 2;
pub const ALGORITHM_ML_DSA_65: u32 = 3;
pub const ALGORITHM_ML_KEM_768: u32 = 4;
/// Both, Ed25519 first.
pub const ALGORITHM_ED25519_ML_DSA_65: u32 = 5;
/// Both, X25519 first.
pub const ALGORITHM_X25519_ML_KEM_768: u32 = 6;

/// Body of `POST /api/v1/agents/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterKeyRequest {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    /// Number of the key among the agent's; an encryption key's number is unique in its tenant.
    #[serde(default = "first_key")]
    pub key_id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<Hex<32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Rfc3339>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Rfc3339>,
    /// 0 or 1 Ed25519 (the default), 2 X25519, 3 ML-DSA-65, 4 ML-KEM-768, 5 Ed25519 with ML-DSA-65, 6 X25519 with
    /// ML-KEM-768.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_bundle: Option<PublicKeyBundle>,
    /// Signature over the challenge of section 9.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_of_possession: Option<Hex<64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_of_possession_bundle: Option<PossessionBundle>,
    /// Any JSON, kept beside the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

fn first_key() -> u32 {
    1
}

/// Public keys by algorithm. The long ones are hex texts here; whoever reads them checks their length with the
/// algorithm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublicKeyBundle {
    #[serde(rename = "ed25519PublicKey", skip_serializing_if = "Option::is_none")]
    pub ed25519: Option<Hex<32>>,
    #[serde(rename = "x25519PublicKey", skip_serializing_if = "Option::is_none")]
    pub x25519: Option<Hex<32>>,
    #[serde(rename = "mlDsa65PublicKey", skip_serializing_if = "Option::is_none")]
    pub ml_dsa_65: Option<String>,
    #[serde(rename = "mlKem768PublicKey", skip_serializing_if = "Option::is_none")]
    pub ml_kem_768: Option<String>,
}

/// Proofs of possession by algorithm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PossessionBundle {
    #[serde(rename = "ed25519Pop", skip_serializing_if = "Option::is_none")]
    pub ed25519: Option<Hex<64>>,
    #[serde(rename = "mlDsa65Pop", skip_serializing_if = "Option::is_none")]
    pub ml_dsa_65: Option<String>,
}

/// Answer of `POST /api/v1/agents/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterKeyAnswer {
    pub success: bool,
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub key_id: u32,
    pub key_algorithm: u32,
    pub message: String,
}

/// Body of `POST /api/v1/agents/keys/revoke` (ours). A signing key is meant where neither type nor algorithm says
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevokeKeyRequest {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub key_id: u32,
    /// `signing` or `encryption`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    /// As at registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<u32>,
}

/// One key of the registry, as `GET /api/v1/agents/keys` and `POST …/revoke` (ours) show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentKeyBody {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub key_id: u32,
    pub key_algorithm: u32,
    /// The classical key; zero for a post-quantum key alone.
    pub public_key: Hex<32>,
    /// All parts, where there is a post-quantum one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_bundle: Option<PublicKeyBundle>,
    /// `active`, `revoked` or `expired`.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Rfc3339>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Rfc3339>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Rfc3339>,
    pub created_at: Rfc3339,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Present where a rotation policy binds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<KeyRotationBody>,
}

/// Answer of `GET /api/v1/agents/keys`: signing keys, then encryption keys, by agent and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentKeyList {
    pub keys: Vec<AgentKeyBody>,
    pub count: usize,
}

/// Answer of `GET /api/v1/agents/{agent_id}`: what the agent's API keys allow together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentBody {
    pub agent_id: AgentId,
    pub tenant_id: TenantId,
    pub active: bool,
    /// Of `read`, `write`, `admin`.
    pub permissions: Vec<String>,
    /// Empty: every store of the tenant.
    pub store_ids: Vec<StoreId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u32>,
}

/// Body of `POST /api/v1/agents/{agent_id}/api-keys`. What is left out is taken from the caller's own key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MintApiKeyRequest {
    /// Ours: needed from the bootstrap key when the agent has no registered key yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_ids: Option<Vec<StoreId>>,
    pub read_only: bool,
    pub admin: bool,
    /// Requests a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u32>,
}

/// Answer of `POST …/api-keys`. The key's text is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MintApiKeyAnswer {
    pub success: bool,
    pub api_key: String,
    /// First 16 hex digits of the SHA-256 of the text.
    pub key_hash_prefix: String,
    pub permissions: Vec<String>,
    pub message: String,
}

/// One API key without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyBody {
    pub key_hash_prefix: String,
    pub active: bool,
    pub permissions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u32>,
}

/// Answer of `GET /api/v1/agents/{agent_id}/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyList {
    pub keys: Vec<ApiKeyBody>,
    pub count: usize,
}

/// Answer of `DELETE /api/v1/agents/{agent_id}/api-keys/{key_prefix}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevokeApiKeyAnswer {
    pub success: bool,
    pub key_hash_prefix: String,
    pub message: String,
}
