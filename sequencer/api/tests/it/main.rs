//! The REST surface as a caller meets it: every request goes through the whole router, some through real sockets.

mod access;
mod anchor;
mod audit;
mod bodies;
mod compliance;
mod conformance;
mod dead_letters;
mod directory;
mod form;
mod groups;
mod grpc;
mod hybrid_keys;
mod instance;
mod isolation;
mod keys;
mod legacy;
mod openapi;
mod operations;
mod payments;
mod policies;
mod published_clients;
mod reads;
mod registration;
mod rejections;
mod resilience;
#[cfg(feature = "schema-validation")]
mod schemas;
mod serving;
mod shared_store;
mod standby;
mod telemetry;
mod tokens;
mod validity;
mod verifier;
mod world;
