//! The REST door of the event service (sequencer API specification, sections 1 and 3).
//!
//! Handlers are thin: shape, right, work, answer. Rules about events live in `ves`, rules about order in the
//! service; here are the routes, who may call them, the limits, and the one form of every error.
//!
//! Invariants:
//! - every response carries a request id and the headers of section 1.5, errors in the form of section 1.4;
//! - a request refused whole has changed nothing: the service is called after the last whole-request check;
//! - no text of the store reaches a caller: internal errors are logged and answered as `INTERNAL_ERROR`;
//! - API keys are held as SHA-256 only.

mod access;
mod body;
mod budget;
mod caller;
mod commitments;
mod config;
mod error;
mod events;
mod forward;
mod frame;
mod front;
mod ingest;
mod instance;
mod keys;
mod lane;
mod metrics;
mod opening;
mod operations;
mod params;
mod proofs;
mod rate;
mod router;
mod server;
mod supervisor;

pub use access::{MintError, install_bootstrap_key, key_hash, mint_key_text};
pub use config::{ApiConfig, AuthMode, Possession};
pub use instance::{Instance, InstanceConfig, InstanceError, OnTerm, Role};
pub use router::{Doors, doors, router};
pub use server::{Answers, ServerConfig, serve};
