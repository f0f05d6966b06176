//! Keys of the derived index.

use ves::{CommandId, EventId, SequenceNumber, StreamKey};

/// What a key names, and so what its value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexKind {
    /// An event id; the value is its sequence number.
    Event = 1,
    /// A command id; the value is the sequence number of the event that carries it.
    Command = 2,
    /// An entity; the value is how many events of it there are. Values of one entity add up.
    Entity = 3,
    /// One event of an entity: the first half of the entity's id, then the sequence number, so that a run lists an
    /// entity's events in order. The value is the other half: two entities that share the first stay apart.
    EntityEvent = 4,
}

/// A key: unique in its stream and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey {
    pub stream: StreamKey,
    pub kind: IndexKind,
    pub id: [u8; 16],
}

impl IndexKey {
    pub fn event(stream: StreamKey, id: &EventId) -> Self {
        Self { stream, kind: IndexKind::Event, id: *id.as_bytes() }
    }
    pub fn command(stream: StreamKey, id: &CommandId) -> Self {
        Self { stream, kind: IndexKind::Command, id: *id.as_bytes() }
    }
    /// `id`: 16 bytes that stand for the entity's type and id.
    pub fn entity(stream: StreamKey, id: [u8; 16]) -> Self {
        Self { stream, kind: IndexKind::Entity, id }
    }
}

impl IndexEntry {
    /// One event of the entity that `id` stands for.
    pub fn entity_event(stream: StreamKey, id: [u8; 16], sequence: SequenceNumber) -> Self {
        let (first, owner) = halves(id);
        let id = u128::from(first) << 64 | u128::from(sequence.0);
        let key = IndexKey { stream, kind: IndexKind::EntityEvent, id: id.to_be_bytes() };
        Self { key, value: owner }
    }
}

/// Where the events of an entity lie in a run.
pub(super) struct EntityRange {
    pub first: SearchKey,
    /// The least key after them.
    pub end: SearchKey,
    /// Value of the entries that are the entity's.
    pub owner: u64,
}

impl EntityRange {
    pub fn of(stream: u32, id: [u8; 16]) -> Self {
        let (first, owner) = halves(id);
        let key = |id| SearchKey { id, ..SearchKey::new(stream, IndexKind::EntityEvent, [0; 16]) };
        let end = match first.checked_add(1) {
            Some(next) => key(u128::from(next) << 64),
            None => SearchKey { group: key(0).group + 1, id: 0 },
        };
        Self { first: key(u128::from(first) << 64), end, owner }
    }
}

fn halves(id: [u8; 16]) -> (u64, u64) {
    let id = u128::from_be_bytes(id);
    ((id >> 64) as u64, id as u64)
}

/// A key and what it adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    pub key: IndexKey,
    pub value: u64,
}

/// A key as runs order it: by stream number, kind, id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SearchKey {
    /// Stream number · 256 + kind.
    pub group: u64,
    pub id: u128,
}

pub(super) const KEY_BYTES: usize = 21;

impl SearchKey {
    pub fn new(stream: u32, kind: IndexKind, id: [u8; 16]) -> Self {
        Self { group: u64::from(stream) << 8 | kind as u64, id: u128::from_be_bytes(id) }
    }

    pub fn is_entity(&self) -> bool {
        self.group as u8 == IndexKind::Entity as u8
    }

    /// Whether anyone asks for exactly this key: only those are in filters.
    pub fn is_asked_for(&self) -> bool {
        self.group as u8 != IndexKind::EntityEvent as u8
    }

    /// Stream number 4, kind 1, id 16, big-endian: bytes order as keys do.
    pub fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..5].copy_from_slice(&self.group.to_be_bytes()[3..]);
        bytes[5..].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        let (group, id) = bytes.split_at(5);
        let group = group.iter().fold(0, |group, byte| group << 8 | u64::from(*byte));
        Self { group, id: u128::from_be_bytes(id.try_into().expect("sixteen of 21 bytes")) }
    }

    /// What two values of one key make.
    pub fn join(&self, a: u64, b: u64) -> u64 {
        if self.is_entity() { a.saturating_add(b) } else { a.min(b) }
    }
}
