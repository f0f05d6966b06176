//! Anchors of event streams: commands of the contract `native:anchor` and what they write (section 10.4).

use ves::Digest;

use crate::codec::{Set, choice, record};
use crate::ids::EntityId;
use crate::keys::PublicKey;

/// The contract that these commands name.
pub const ANCHOR: &str = "native:anchor";

record! {
    /// Opens a stream, once.
    pub struct AnchorOpen {
        /// A MEMBER, who signs.
        pub owner: EntityId,
        pub stream: Digest,
        pub first_sequence: u64,
        /// Who may anchor batches.
        pub writers: Set<PublicKey, 16>,
    }

    /// A batch of a stream; the stored value is the encoding of these fields.
    pub struct AnchorBatch {
        pub stream: Digest,
        /// From 1, without gaps.
        pub batch_no: u64,
        pub events_root: Digest,
        pub prev_state_root: Digest,
        pub new_state_root: Digest,
        pub sequence_start: u64,
        pub sequence_end: u64,
    }

    /// `anchor/<stream>/head`.
    pub struct AnchorHead {
        pub owner: EntityId,
        pub writers: Set<PublicKey, 16>,
        /// 0 before the first batch.
        pub last_batch_no: u64,
        /// Zero bytes before the first batch.
        pub last_state_root: Digest,
        /// First sequence number of the next batch.
        pub next_sequence: u64,
    }
}

choice! {
    /// Arguments of a command of [`ANCHOR`]; the tag is the command's.
    pub enum AnchorCommand {
        Open(AnchorOpen) = 1,
        Batch(AnchorBatch) = 2,
    }
}
