//! Rotation policies and encryption groups (ours). Members are camelCase.

use serde::{Deserialize, Serialize};
use ves::{AgentId, TenantId};

use crate::keys::{AgentKeyBody, PublicKeyBundle};
use crate::text::{Hex, Rfc3339};

/// Body of `PUT /api/v1/agents/keys/policies`, and one entry of the list.
///
/// Whom it binds is named by `tenantId`, `agentId` and `keyType`; of several that bind a key the most specific one
/// counts: agent before tenant, a named type before both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotationPolicyBody {
    pub tenant_id: TenantId,
    /// Every agent of the tenant where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// `signing` or `encryption`; both where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    /// From the key's registration on; open where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_hours: Option<u32>,
    /// Accepted events, of signing keys; open where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_usage_count: Option<u64>,
    /// 24 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning_hours: Option<u32>,
    /// 72 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_hours: Option<u32>,
    /// `false` warns and never refuses. True where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforce_expiry: Option<bool>,
    /// For the tools that rotate keys; a sequencer holds no private key and rotates none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rotate: Option<bool>,
    /// Set by the sequencer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Rfc3339>,
}

/// Answer of `GET /api/v1/agents/keys/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationPolicyList {
    pub policies: Vec<RotationPolicyBody>,
    pub count: usize,
}

/// Where a key stands under its policy; part of a key's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotationBody {
    /// `ok`, `warning`, `grace` or `refused`.
    pub standing: String,
    /// What to do, and by when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Accepted events that count under the policy, where it bounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    pub auto_rotate: bool,
}

/// Body of `POST /api/v1/encryption-groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateGroupRequest {
    pub tenant_id: TenantId,
    /// 1 to 128 bytes, unique in the tenant.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<AgentId>,
}

/// Body of `POST /api/v1/encryption-groups/{group_id}/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddMemberRequest {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
}

/// A group without its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupBody {
    pub group_id: uuid::Uuid,
    pub tenant_id: TenantId,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub created_at: Rfc3339,
}

/// Answer of `GET /api/v1/encryption-groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupList {
    pub groups: Vec<GroupBody>,
    pub count: usize,
}

/// Answer of `GET /api/v1/encryption-groups/{group_id}` and of every change of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupWithKeys {
    #[serde(flatten)]
    pub group: GroupBody,
    pub members: Vec<GroupMemberBody>,
    /// The members' keys that may be sealed to now, ascending by `recipientKid`: the recipients of a payload.
    pub recipients: Vec<GroupRecipientBody>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupMemberBody {
    pub agent_id: AgentId,
    pub added_at: Rfc3339,
    /// How many of its keys are among the recipients; a member with none can read nothing.
    pub current_keys: usize,
}

/// One key to seal to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupRecipientBody {
    pub agent_id: AgentId,
    pub recipient_kid: u32,
    /// Number of section 21 of the VES specification.
    pub key_algorithm: u32,
    /// The X25519 key; zero for ML-KEM-768 alone.
    pub public_key: Hex<32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_bundle: Option<PublicKeyBundle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Rfc3339>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Rfc3339>,
}

impl From<AgentKeyBody> for GroupRecipientBody {
    fn from(key: AgentKeyBody) -> Self {
        Self {
            agent_id: key.agent_id,
            recipient_kid: key.key_id,
            key_algorithm: key.key_algorithm,
            public_key: key.public_key,
            public_key_bundle: key.public_key_bundle,
            valid_from: key.valid_from,
            valid_to: key.valid_to,
        }
    }
}
