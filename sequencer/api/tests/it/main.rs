//! The REST surface as a caller meets it: every request goes through the whole router, some through real sockets.

mod access;
mod bodies;
mod directory;
mod form;
mod groups;
mod grpc;
mod hybrid_keys;
mod keys;
mod policies;
mod reads;
mod rejections;
mod serving;
mod world;
