//! What is kept of one entity.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Type and id of an entity, one after the other with a NUL between, which neither may hold (VES section 5): so names
/// ascend by type, then id, as the keys of a store do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityName(Box<str>);

impl EntityName {
    /// `None` where a part holds a NUL: no entity is named so.
    pub fn new(entity_type: &str, entity_id: &str) -> Option<Self> {
        match entity_type.contains('\0') || entity_id.contains('\0') {
            true => None,
            false => Some(Self(format!("{entity_type}\0{entity_id}").into_boxed_str())),
        }
    }

    /// Of what [`Self::as_str`] gave.
    pub fn read(text: &str) -> Option<Self> {
        let (entity_type, entity_id) = text.split_once('\0')?;
        Self::new(entity_type, entity_id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn entity_type(&self) -> &str {
        self.0.split_once('\0').map_or("", |(entity_type, _)| entity_type)
    }
    pub fn entity_id(&self) -> &str {
        self.0.split_once('\0').map_or("", |(_, entity_id)| entity_id)
    }
}

impl fmt::Debug for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.entity_type(), self.entity_id())
    }
}

/// The members of an entity, `status` among them. Names ascend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(pub(crate) Map<String, Value>);

/// The member that names the state of the machine.
pub(crate) const STATUS: &str = "status";

impl State {
    /// The state of the machine that the entity is in.
    pub fn status(&self) -> &str {
        self.text(STATUS)
    }
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }
    /// A member that a rule wrote as text; empty where it is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or("")
    }
    /// A member that a rule wrote as a number; 0 where it is none.
    pub(crate) fn integer(&self, name: &str) -> i64 {
        self.0.get(name).and_then(Value::as_i64).unwrap_or(0)
    }
}

/// An entity as its projection sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// How many events of the entity were passed, applied or not: the number that admission compares with an event's
    /// `base_version`, so that what a caller reads here is what it may write for.
    pub version: u64,
    /// How many of them changed or confirmed the state.
    pub applied: u64,
    /// How many of them could not be judged, since they or an earlier one are sealed. More than 0: the state is partial.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable: u64,
    /// Number in the stream of the last one passed.
    pub sequence: u64,
    /// Absent until an event creates the entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
