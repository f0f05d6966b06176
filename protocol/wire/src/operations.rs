//! Health, readiness and the sequencer's own identity (sequencer API, section 3.11).

use serde::{Deserialize, Serialize};
use ves::SequencerId;

use crate::text::{Hex, Rfc3339};

/// Answer of `GET /health`: the process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthBody {
    pub status: String,
    pub service: String,
    pub version: String,
    pub timestamp: Rfc3339,
}

/// Answer of `GET /ready`: the store answers too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadyBody {
    pub status: String,
    pub database: DatabaseBody,
    pub pool: PoolBody,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseBody {
    pub connected: bool,
    pub response_time_ms: f64,
}

/// How full the write queue is, in events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolBody {
    pub status: String,
    /// Percent with one decimal: `12.0%`.
    pub utilization: String,
    pub active: u64,
    pub idle: u64,
}

/// Answer of `GET /api/v1/ves/sequencer` (ours, public): whose receipts and checkpoints these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencerBody {
    pub sequencer_id: SequencerId,
    /// `ed25519`.
    pub signature_alg: String,
    /// Version of the key that signs now.
    pub key_version: u32,
    pub public_key: Hex<32>,
    /// Every key that ever signed, by version.
    pub keys: Vec<SequencerKeyBody>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencerKeyBody {
    pub key_version: u32,
    pub sequencer_id: SequencerId,
    pub public_key: Hex<32>,
    pub created_at: Rfc3339,
}
