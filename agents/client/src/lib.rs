//! The client side of the event service: signed events in, verified answers out.
//!
//! Invariants: no receipt, page or proof is handed to the caller before it was verified, but by [`Client::unverified`]
//! and `GrpcClient`, which say so; an answer that does not verify is an error, never a warning. Requests that fail on the
//! way are repeated with a pause, which is safe: an exact repetition of an event is answered with its first receipt. The
//! crate never prints; of the environment it takes the list of certificates to believe alone.
//!
//! - [`Client`]: one server over REST, blocking; `GrpcClient` (feature `grpc`): pushes and pulls over one stream of gRPC;
//! - [`EventProof`]: everything needed to check one event offline, as one JSON file;
//! - [`audit`]: checks a whole stream, from a server or a store, on all cores;
//! - [`northwind`]: the Northwind sample company as events.

pub mod audit;
mod client;
mod directory;
mod error;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod keys;
pub mod northwind;
mod payments;
mod proof;
mod pull;
mod push;
mod repeat;
mod signing_keys;
mod tls;
mod unverified;

pub use client::{Client, Identity, verified_checkpoint};
pub use directory::DIRECTORY_AGE_MS_MAX;
pub use error::{ClientError, Untrue};
#[cfg(feature = "grpc")]
pub use grpc::{GrpcClient, UnverifiedPage};
pub use keys::KeyRegistration;
pub use proof::{
    ClaimedPlace, EventProof, Finding, FindingState, ProofParts, ProofProblem, ProofVerdict, Trusted,
};
pub use pull::{Page, PulledEvent};
pub use push::{BATCH_EVENTS_MAX, PushOutcome, PushResult, verify_answer};
pub use signing_keys::{KnownKey, SigningKeys};
pub use unverified::Unverified;
