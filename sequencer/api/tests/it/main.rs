//! The REST surface as a caller meets it: every request goes through the whole router, some through real sockets.

mod access;
mod anchor;
mod bodies;
mod compliance;
mod conformance;
mod form;
mod grpc;
mod instance;
mod isolation;
mod keys;
mod legacy;
mod openapi;
mod operations;
mod published_clients;
mod reads;
mod registration;
mod rejections;
mod serving;
mod shared_store;
mod standby;
mod tokens;
mod validity;
mod verifier;
mod world;
