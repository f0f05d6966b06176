//! REST bodies and gRPC messages of Verifiable Event Sync: what a server reads and writes, and a client writes and reads.
//!
//! Pure: no I/O, no clock. Every type serves both sides unless its text says otherwise; the bodies on the write
//! path are parsed with borrowed fields and written by hand, and tests hold them equal to their serde forms.
//! Text forms follow section 2 of the VES specification: hashes in REST answers are bare hex, in envelopes `0x`.

pub mod admin;
pub mod agents;
pub mod anchor;
pub mod cloud_event;
pub mod commitments;
pub mod compliance;
pub mod dead_letters;
pub mod entities;
pub mod error;
pub mod events;
pub mod ingest;
pub mod keys;
pub mod legacy;
pub mod operations;
pub mod payments;
pub mod policies;
pub mod proofs;
pub mod proto;
pub mod receipt;
pub mod schemas;
mod text;
pub mod v1;
pub mod v2;
pub mod validity;
pub mod webhooks;

pub use error::{ErrorBody, ErrorCode, ErrorDetail};
pub use receipt::ReceiptBody;
pub use text::{Hex, Rfc3339};
