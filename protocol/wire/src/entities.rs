//! States of entities (section 3.6).

use serde::{Deserialize, Serialize};
use ves::SequenceNumber;

/// Answer of `GET /api/v1/entities/{entity_type}`: entities that exist, by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EntityList {
    pub entity_type: String,
    pub entities: Vec<EntityEntry>,
    pub count: usize,
    /// Whether there may be more. A page can be short, even empty, and be followed by more, where `status` leaves many out.
    pub has_more: bool,
    /// What to ask for next as `after`; null at the end.
    pub next_after: Option<String>,
    /// The last event that the states take in.
    pub projected_sequence: SequenceNumber,
    /// Why there are none, where the stream has events of which no states are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One entity of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EntityEntry {
    pub entity_id: String,
    /// Events of the entity that its state has passed: what a `base_version` is compared with.
    pub version: u64,
    /// Those that could not be judged, being sealed or following sealed ones.
    pub unreadable: u64,
    /// Number of the last of them.
    pub sequence_number: SequenceNumber,
    #[schema(value_type = Object)]
    pub state: serde_json::Value,
}
