//! Verifiable Event Sync v1.0: what is true about an event, a receipt, a batch and a proof.
//!
//! This crate is pure: it never reads a clock, a file, a socket or a random source, and builds for
//! `wasm32-unknown-unknown`. Time and randomness come in as values. Section numbers in its comments
//! are those of the VES core specification.
//!
//! - bytes to types, once: [`ids`], [`hex`], [`json`], [`time`], [`event`], [`envelope`];
//! - hashes, each with its domain: [`hash`];
//! - keys and signatures: [`keys`], [`ed25519`], [`verify`], [`directory`];
//! - sealed payloads: [`seal`], [`hpke`]; the writer's side: [`draft`];
//! - the stream: [`receipt`], [`merkle`], [`log`], [`checkpoint`], [`commitment`], [`aggregate`];
//! - the neighbours: [`legacy`], [`x402`], [`compliance`], [`validity`], [`at_rest`], [`audit`].

pub mod aggregate;
pub mod at_rest;
pub mod audit;
pub mod checkpoint;
pub mod commitment;
pub mod compliance;
pub mod directory;
pub mod draft;
pub mod ed25519;
pub mod envelope;
pub mod event;
pub mod hash;
pub mod hex;
pub mod hpke;
pub mod ids;
pub mod json;
pub mod keys;
pub mod legacy;
pub mod log;
pub mod merkle;
#[cfg(feature = "openapi")]
mod openapi;
pub mod receipt;
pub mod reject;
pub mod seal;
pub mod tiles;
pub mod time;
pub mod validity;
pub mod verify;
pub mod x402;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use commitment::Commitment;
pub use draft::{Draft, DraftError};
pub use ed25519::{PublicKey, Signer, SignerError, SigningKey};
pub use envelope::{DecodeError, RawEnvelope, Undecodable};
pub use event::{EncryptedPayload, Envelope, Payload, RecipientWrap};
pub use hash::{Digest, Domain, Hasher};
pub use ids::{
    AgentId, BatchId, CommandId, EventId, KeyId, RecipientKeyId, SequenceNumber, SequencerId, StoreId,
    StreamKey, TenantId,
};
pub use keys::{AgentKey, EncryptionKey, KeyAlgorithm, KeyRing, KeyStatus, SecurityProfile, SignatureScheme};
pub use merkle::InclusionProof;
pub use receipt::Receipt;
pub use reject::{KeyProblem, Rejection};
pub use seal::{
    DecryptionKey, OpenError, OpenedPayload, PayloadSalt, Recipient, SealError, SealingRandomness,
};
pub use tiles::{Tile, TileId, TileSource};
pub use time::TimestampMs;
pub use verify::{Verified, verify_batch, verify_batch_under, verify_one};
