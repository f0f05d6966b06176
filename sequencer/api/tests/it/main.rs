//! The REST surface as a caller meets it: every request goes through the whole router, some through real sockets.

mod access;
mod anchor;
mod bodies;
mod compliance;
mod conformance;
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
mod policies;
mod published_clients;
mod reads;
mod registration;
mod rejections;
#[cfg(feature = "schema-validation")]
mod schemas;
mod serving;
mod shared_store;
mod standby;
mod tokens;
mod validity;
mod verifier;
mod world;
