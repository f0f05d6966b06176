//! Identifiers: one type for each kind, so that two UUIDs cannot be swapped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id of these 16 bytes, in text (network) order.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self { Self(Uuid::from_bytes(bytes)) }
            /// A version 4 id made of 16 random bytes.
            pub fn random(bytes: [u8; 16]) -> Self { Self(uuid::Builder::from_random_bytes(bytes).into_uuid()) }
            /// The 16 bytes that enter hashes: text (network) order, section 2.
            pub const fn as_bytes(&self) -> &[u8; 16] { self.0.as_bytes() }
            /// Whether all 16 bytes are zero.
            pub const fn is_nil(&self) -> bool { self.0.is_nil() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}({})", stringify!($name), self.0) }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { Uuid::parse_str(text).map(Self) }
        }
    )+};
}

uuid_ids! {
    /// A company.
    TenantId,
    /// One of a company's stores; with the tenant it names a stream.
    StoreId,
    /// An event: unique in its stream.
    EventId,
    /// A writer of events.
    AgentId,
    /// A committed batch.
    BatchId,
    /// An intent: at most one event of a stream carries it.
    CommandId,
    /// The sequencer that signed a receipt.
    SequencerId,
}

/// A stream: the pair that has its own sequence numbers, batches and commitment chain (section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    pub tenant_id: TenantId,
    pub store_id: StoreId,
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant_id, self.store_id)
    }
}

macro_rules! key_numbers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }
    )+};
}

key_numbers! {
    /// Number of a signing key of one agent (`agent_key_id`); default 1, rotation takes the next.
    KeyId,
    /// Number of an encryption key (`recipient_kid`), unique in its tenant (section 9.4).
    RecipientKeyId,
}

/// Place of an event in its stream. Contiguous from 1: no gaps, no reuse. 0 stands for "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(pub u64);

impl SequenceNumber {
    /// Largest number of a stream (2^63 - 1, section 11.1).
    pub const MAX: Self = Self(i64::MAX as u64);
    /// Head of an empty stream.
    pub const ZERO: Self = Self(0);

    /// The number after this one; `None` only when the stream is full.
    pub fn next(self) -> Option<Self> {
        (self < Self::MAX).then(|| Self(self.0 + 1))
    }
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
