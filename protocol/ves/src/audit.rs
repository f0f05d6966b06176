//! The audit log (ours): what administrators did, as a chain of hashes.
//!
//! A record holds the hash of the one before it, so that a record that was changed, taken out, put elsewhere or put in
//! between is found by anyone who reads the chain. What no chain shows is that its newest records are missing: for that
//! the sequencer signs, with the key of its receipts, how far the chain reaches ([`SignedAuditStatement`]). Whoever keeps
//! a statement notices a chain that is shorter than it.

mod check;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ed25519::{PublicKey, Signer, SignerError};
use crate::hash::{Digest, Domain, Hasher};
use crate::hex;
use crate::ids::{SequencerId, TenantId};
use crate::json;
use crate::time::TimestampMs;

pub use check::{AuditCheck, AuditFinding, AuditReport};

/// Length of the key of a record where records lie in a table: its number, big-endian.
pub const RECORD_KEY_BYTES: usize = 8;
/// Key of the document that says where the chain ends.
pub const HEAD_KEY: &[u8] = b"head";
/// Key of the newest signed statement.
pub const STATEMENT_KEY: &[u8] = b"statement";

/// What sort of actor it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorType {
    ApiKey,
    Jwt,
    /// The admin of every tenant.
    Bootstrap,
    Agent,
    /// The service itself.
    System,
    /// A tool that works on the database while no service runs.
    AdminCli,
}

impl ActorType {
    pub const fn text(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Bootstrap => "bootstrap",
            Self::Agent => "agent",
            Self::System => "system",
            Self::AdminCli => "admin_cli",
        }
    }
}

/// One act, and its place in the chain. No member holds a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// 1, 2, … without gaps.
    pub seq: u64,
    pub id: Uuid,
    #[serde(with = "rfc3339")]
    pub timestamp: TimestampMs,
    /// Of section 9 of the sequencer API: `api_key_created`, `custom:agent_registered`, ….
    pub action: String,
    /// Who did it: the first 16 digits of an API key's hash, an id, or the name of a program.
    pub actor: String,
    pub actor_type: ActorType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
    pub success: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Of the record before; zeros in the first.
    pub prev_hash: Digest,
    /// Of the canonical JSON of everything else here.
    pub hash: Digest,
}

/// Why a record can't be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit record is not well formed: {0}")]
pub struct RecordError(String);

impl AuditRecord {
    /// The hash that belongs to what the record says now.
    ///
    /// # Errors
    /// [`RecordError`], when `details` can't be written as JSON.
    pub fn computed_hash(&self) -> Result<Digest, RecordError> {
        let mut value = serde_json::to_value(self).map_err(|error| RecordError(error.to_string()))?;
        if let Some(members) = value.as_object_mut() {
            members.remove("hash");
        }
        let text = value.to_string();
        let canonical = json::canonicalize(&text).map_err(|error| RecordError(error.to_string()))?;
        Ok(Hasher::new(Domain::AuditRecord).bytes(canonical.as_bytes()).finish())
    }

    /// The record with its hash.
    ///
    /// # Errors
    /// Those of [`Self::computed_hash`].
    pub fn sealed(mut self) -> Result<Self, RecordError> {
        self.hash = self.computed_hash()?;
        Ok(self)
    }

    /// The canonical JSON of the record, as it is stored and exported.
    ///
    /// # Errors
    /// Those of [`Self::computed_hash`].
    pub fn text(&self) -> Result<String, RecordError> {
        let text = serde_json::to_string(self).map_err(|error| RecordError(error.to_string()))?;
        json::canonicalize(&text)
            .map(|text| text.into_owned())
            .map_err(|error| RecordError(error.to_string()))
    }

    /// Reads a stored record; whether it holds is [`AuditCheck`]'s to say.
    ///
    /// # Errors
    /// [`RecordError`], where it is no record.
    pub fn read(text: &str) -> Result<Self, RecordError> {
        serde_json::from_str(text).map_err(|error| RecordError(error.to_string()))
    }
}

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// Number of the newest record; 0 before the first.
    pub seq: u64,
    pub hash: Digest,
}

impl AuditHead {
    /// Of a chain without records.
    pub const EMPTY: Self = Self { seq: 0, hash: Digest::ZERO };
}

/// A sequencer's word on how far its audit log reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedAuditStatement {
    pub sequencer_id: SequencerId,
    /// Of the key that signs.
    pub key_version: u32,
    #[serde(flatten)]
    pub head: StatementHead,
    /// 128 hex digits: Ed25519 over the hash of the other members.
    pub signature: String,
}

/// What is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementHead {
    pub seq: u64,
    pub hash: Digest,
    #[serde(with = "rfc3339")]
    pub signed_at: TimestampMs,
}

impl SignedAuditStatement {
    /// States that the chain reaches `head`.
    ///
    /// # Errors
    /// [`SignerError`] when the key is out of reach.
    pub fn sign(
        head: AuditHead,
        sequencer_id: SequencerId,
        key_version: u32,
        signed_at: TimestampMs,
        signer: &dyn Signer,
    ) -> Result<Self, SignerError> {
        let head = StatementHead { seq: head.seq, hash: head.hash, signed_at };
        let signature = signer.sign(stated(&sequencer_id, key_version, &head).as_bytes())?;
        Ok(Self { sequencer_id, key_version, head, signature: hex::encode(&signature) })
    }

    /// Whether this key signed it.
    pub fn is_by(&self, key: &PublicKey) -> bool {
        let Ok(signature) = hex::decode_lenient::<64>(&self.signature) else { return false };
        key.verify(stated(&self.sequencer_id, self.key_version, &self.head).as_bytes(), &signature)
    }
}

fn stated(sequencer_id: &SequencerId, key_version: u32, head: &StatementHead) -> Digest {
    Hasher::new(Domain::AuditStatement)
        .uuid(&sequencer_id.0)
        .u32(key_version)
        .u64(head.seq)
        .digest(&head.hash)
        .u64(head.signed_at.0 as u64)
        .finish()
}

mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::time::TimestampMs;

    pub fn serialize<S: Serializer>(at: &TimestampMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimestampMs, D::Error> {
        let text = String::deserialize(deserializer)?;
        TimestampMs::parse_rfc3339(&text).ok_or_else(|| de::Error::custom("expected an RFC 3339 time"))
    }
}
