//! State of the shared ledger: a two-level Jellyfish Merkle tree over one embedded key-value file.
//!
//! - State is keys and values in thirteen [`Substore`]s. Each has its own tree; the root tree holds their roots, and its
//!   root is the app hash (network.md 6.1). Both levels have the ICS-23 spec of [`tree_spec`].
//! - State of height h is what block h left behind. Its app hash stands in the header of block h + 1.
//! - One block is one durable transaction: tree nodes, values, the engine's own records, height. It is there whole or
//!   not at all.
//! - Values and keys are never empty, and a write that changes nothing leaves the app hash as it was.
//! - This crate reads no clock and starts no thread; order never comes from an unordered map.

mod branch;
mod error;
mod leaf;
mod node;
mod packs;
mod proof;
mod prune;
mod records;
mod rows;
mod snapshot;
mod store;
mod tree;
mod update;
mod verify;
mod view;

pub use error::StoreError;
pub use ics23::{self, CommitmentProof, ProofSpec};
pub use proof::{StateProof, tree_spec};
pub use records::{Column, RecordBatch};
pub use redb::StorageBackend;
pub use snapshot::{CHUNK_BYTES_MAX, Restore, SNAPSHOT_FORMAT, SnapshotMetadata, SnapshotWriter};
pub use stateset_ledger_app::{StateReader, Writes};
pub use stateset_ledger_types::Substore;
pub use store::{Prepared, Sizes, Store};
pub use view::View;
