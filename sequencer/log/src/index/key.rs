//! Keys of the derived index.

use ves::{CommandId, EventId, StreamKey};

/// What a key names, and so what its value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexKind {
    /// An event id; the value is its sequence number.
    Event = 1,
    /// A command id; the value is the sequence number of the event that carries it.
    Command = 2,
    /// An entity; the value is how many events of it there are. Values of one entity add up.
    Entity = 3,
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
