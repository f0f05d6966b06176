//! The REST surface as a caller meets it: every request goes through the whole router, some through real sockets.

mod access;
mod anchor;
mod bodies;
mod conformance;
mod compliance;
mod form;
mod isolation;
mod grpc;
mod keys;
mod legacy;
mod openapi;
mod operations;
mod published_clients;
mod directory;
mod groups;
mod hybrid_keys;
mod policies;
mod reads;
mod registration;
mod rejections;
mod serving;
mod tokens;
mod validity;
mod verifier;
mod world;
