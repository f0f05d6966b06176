//! Health, readiness and the sequencer's own identity (sequencer API, section 3.11).

use serde::{Deserialize, Serialize};
use ves::SequencerId;

use crate::text::{Hex, Rfc3339};

/// Answer of `GET /health`: the process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthBody {
    pub status: String,
    pub service: String,
    pub version: String,
    pub timestamp: Rfc3339,
}

/// Answer of `GET /ready`: the store answers too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReadyBody {
    pub status: String,
    pub database: DatabaseBody,
    pub pool: PoolBody,
    pub queue: QueueHealth,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatabaseBody {
    pub connected: bool,
    pub response_time_ms: f64,
}

/// The connections to the database that reads take turns on; of a store that needs none, the places of the write queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolBody {
    pub status: String,
    /// Percent with one decimal: `12.0%`.
    pub utilization: String,
    pub active: u64,
    pub idle: u64,
}

/// Answer of `GET /health/detailed`: each part, and how it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DetailedHealthBody {
    /// `healthy`, `degraded` or `unhealthy`; the last is answered with 503.
    pub status: String,
    pub service: String,
    pub version: String,
    pub timestamp: Rfc3339,
    pub components: HealthComponents,
    pub system: SystemBody,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthComponents {
    pub database: DatabaseHealth,
    pub pool: PoolHealth,
    pub queue: QueueHealth,
    /// One for each service outside this process that was called.
    #[serde(default)]
    pub circuit_breakers: Vec<BreakerHealth>,
}

/// What stands between this process and a service outside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BreakerHealth {
    pub name: String,
    /// `closed`, `open` or `half_open`.
    pub state: String,
    pub successes: u64,
    pub failures: u64,
    /// Calls that were refused without being made.
    pub rejected: u64,
}

/// Answered within 100 ms it is healthy, within 500 ms degraded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatabaseHealth {
    pub name: String,
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub response_time_ms: f64,
}

/// How full the write queue is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueueHealth {
    /// As that of the pool.
    pub status: String,
    pub events: u64,
    pub events_max: u64,
    pub utilization_percent: f64,
}

/// The connections to the database that reads take turns on; of a store that needs none, the places of the write queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolHealth {
    /// `healthy` below 50 %, then `moderate`, `stressed` from 80 %, `critical` from 95 %.
    pub status: String,
    pub total_connections: u64,
    pub active_connections: u64,
    pub idle_connections: u64,
    pub max_connections: u64,
    pub utilization_percent: f64,
    /// Mean time that a read waited for its connection; not there for a store without connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_acquisition_ms: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SystemBody {
    pub uptime_secs: u64,
    /// The oldest Rust that builds this version.
    pub rust_version: String,
}

/// Answer of `GET /api/v1/ves/sequencer` (ours, public): whose receipts and checkpoints these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SequencerKeyBody {
    pub key_version: u32,
    pub sequencer_id: SequencerId,
    pub public_key: Hex<32>,
    pub created_at: Rfc3339,
}
