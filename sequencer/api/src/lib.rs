//! The doors of the event service: REST and gRPC (sequencer API specification, sections 1 and 3 to 5).
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
mod admin;
mod anchor;
mod audit;
mod body;
mod budget;
mod caller;
mod commitments;
mod compliance;
mod config;
mod connection;
mod dashboard;
mod dead_letters;
mod directory;
mod error;
mod events;
mod feed;
mod forward;
mod frame;
mod front;
mod groups;
#[cfg(feature = "grpc")]
mod grpc;
mod health;
mod hop;
mod in_flight;
mod ingest;
mod instance;
mod keys;
mod lane;
mod legacy;
mod lingering;
mod metrics;
mod observe;
mod openapi;
mod opening;
mod operations;
mod params;
mod payments;
mod peer;
mod policies;
mod proof_registry;
mod proofs;
mod rate;
mod read_models;
mod register;
mod resilience;
mod router;
mod routes;
#[cfg(feature = "schema-validation")]
mod schemas;
mod sending;
mod server;
mod shedding;
mod stream;
mod supervisor;
mod taking;
mod token;
mod unread;
mod validity;
mod webhooks;

pub use access::{MintError, install_bootstrap_key, key_hash, mint_key_text};
pub use config::{ApiConfig, AuthMode, Possession, RateWindow, RegistrationConfig};
pub use instance::{Instance, InstanceConfig, InstanceError, OnTerm, Role};
pub use peer::{PeerAddress, ProxyTrust};
pub use read_models::{EntitiesFound, EntitiesWanted, EntityState, ReadModels, Reading};
pub use router::{Doors, doors, openapi_text, router};
pub use server::{Answers, ServerConfig, serve};
pub use stream::FeedConfig;
pub use token::JwtConfig;
pub use webhooks::TargetCheck;
