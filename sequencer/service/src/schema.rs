//! Schemas of payloads: which there are, which of them checks an event, and the check itself (sequencer API, sections
//! 3.1 and 3.9).
//!
//! ```text
//! verify ─► schema check (caller's task; heavy ones on a few threads of their own) ─► queue ─► turn
//! ```
//!
//! Invariants:
//! - the turn loop never checks a payload: a bad schema slows its own tenant's requests, never the writer;
//! - the work of a check is bounded when the schema is registered (`shape`), and again by size and time when it is made;
//! - versions of a (tenant, event type) rise from 1 and are never given twice, also after a deletion;
//! - the newest active version checks; where none is active, the newest deprecated one; an archived one never does;
//! - a change is in force for every request that begins after it was answered.

mod change;
mod compatibility;
mod compiled;
mod gate;
mod known;
mod pattern;
pub mod read;
mod registry;
mod shape;
mod stored;
mod work;

use std::time::Duration;

use serde_json::Value;
use stateset_event_log::LogError;
use uuid::Uuid;
use ves::{AgentId, TenantId, TimestampMs};

use crate::error::{ErrorKind, ServiceError};

pub use change::{NewSchema, SchemaChange};
pub use compatibility::{Conflict, Direction};
pub use compiled::{PayloadSchema, Violation};
pub use read::{SchemaPage, Validated};

pub(crate) use gate::Schemas;

/// Bytes of a schema's JSON text.
pub const SCHEMA_BYTES_MAX: usize = 100 << 10;
/// Bytes of a schema's description.
pub const SCHEMA_DESCRIPTION_BYTES_MAX: usize = 2_048;

/// What becomes of an event whose payload its schema refuses (section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaMode {
    /// Nothing is checked.
    Disabled,
    /// It is accepted, counted and logged.
    Warn,
    /// It is rejected.
    #[default]
    Enforce,
    /// It is rejected, and so is an event whose type has no schema.
    Required,
}

impl SchemaMode {
    /// Every word of section 3.1, whatever its case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "disabled" | "off" | "none" | "false" | "0" => Some(Self::Disabled),
            "warn" | "warn_only" | "warning" => Some(Self::Warn),
            "enforce" | "on" | "true" | "1" => Some(Self::Enforce),
            "required" | "require" | "strict" => Some(Self::Required),
            _ => None,
        }
    }
}

/// How payloads are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaSettings {
    pub mode: SchemaMode,
    /// Compiled schemas, and event types known to have none, that are held at once.
    pub cache_entries_max: usize,
    /// Age at which one of them is read anew.
    pub cache_age_max: Duration,
    /// Longest time that the payloads of one request are checked where that is more work than usual; what is not
    /// checked then is rejected.
    pub check_time_max: Duration,
}

impl Default for SchemaSettings {
    fn default() -> Self {
        Self {
            mode: SchemaMode::default(),
            cache_entries_max: 1_000,
            cache_age_max: Duration::from_secs(600),
            check_time_max: Duration::from_millis(500),
        }
    }
}

/// Where a schema is in its life; it only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchemaStatus {
    Active,
    /// Checks payloads while no other version is active.
    Deprecated,
    /// Kept to be read; checks nothing, and later versions are not compared with it.
    Archived,
}

impl SchemaStatus {
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Deprecated, Self::Archived].into_iter().find(|status| status.text() == text)
    }

    pub const fn text(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Archived => "archived",
        }
    }
}

/// What a new version has to have in common with the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// What the old version admits, the new one admits.
    #[default]
    Backward,
    /// What the new version admits, the old one admits.
    Forward,
    /// Both: they admit the same.
    Full,
    /// Nothing.
    None,
}

impl Compatibility {
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Backward, Self::Forward, Self::Full, Self::None];
        all.into_iter().find(|compatibility| compatibility.text() == text)
    }

    pub const fn text(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

/// One version of the schema of an event type.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    pub id: Uuid,
    pub tenant_id: TenantId,
    pub event_type: String,
    /// From 1 for each tenant and event type.
    pub version: u32,
    /// A JSON Schema: an object or a boolean.
    pub schema: Value,
    pub status: SchemaStatus,
    pub compatibility: Compatibility,
    pub description: Option<String>,
    pub created_at: TimestampMs,
    pub updated_at: TimestampMs,
    /// The agent whose key registered it.
    pub created_by: Option<AgentId>,
}

/// Why the registry refused a call; nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema is unknown")]
    NotFound,
    #[error("{field}: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error(
        "schemaJson: the schema is larger than {SCHEMA_BYTES_MAX} bytes; split what it describes, or drop texts"
    )]
    TooLarge,
    /// `path` is a place in the schema, such as `#/properties/total`.
    #[error("schemaJson: {path}: {problem}")]
    BadSchema { path: String, problem: String },
    #[error(
        "schemaJson: the schema is not {} compatible with version {against}: {} (register it with another compatibility, or change it)",
        .compatibility.text(), described(.conflicts)
    )]
    Incompatible { compatibility: Compatibility, against: u32, conflicts: Vec<Conflict> },
    #[error("status: a schema that is {} does not become {}; it goes from active to deprecated to archived", .from.text(), .to.text())]
    Transition { from: SchemaStatus, to: SchemaStatus },
    #[error("{0}")]
    Full(&'static str),
    #[error("the schemas of this event type were changed at the same time; send the same again")]
    Contended,
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<LogError> for SchemaError {
    fn from(error: LogError) -> Self {
        Self::Service(error.into())
    }
}

impl SchemaError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Invalid { .. } | Self::TooLarge | Self::BadSchema { .. } | Self::Transition { .. } => {
                ErrorKind::Invalid
            }
            Self::Incompatible { .. } | Self::Full(_) | Self::Contended => ErrorKind::Conflict,
            Self::Service(error) => error.kind(),
        }
    }
}

fn described(conflicts: &[Conflict]) -> String {
    let first = conflicts.first().map_or_else(String::new, ToString::to_string);
    match conflicts.len() {
        0 | 1 => first,
        n => format!("{first}; and {} more", n - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_mode_is_known_whatever_its_case() {
        for (words, mode) in [
            ("disabled off none false 0", SchemaMode::Disabled),
            ("warn warn_only warning", SchemaMode::Warn),
            ("enforce on true 1 Enforce", SchemaMode::Enforce),
            ("required require strict STRICT", SchemaMode::Required),
        ] {
            for word in words.split(' ') {
                assert_eq!(SchemaMode::parse(word), Some(mode), "{word}");
            }
        }
        assert_eq!(SchemaMode::parse("optional"), None);
    }
}
