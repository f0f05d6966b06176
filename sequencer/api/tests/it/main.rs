//! The REST surface as a caller meets it: every request goes through the whole router, some through real sockets.

mod access;
mod bodies;
mod form;
mod instance;
mod keys;
mod reads;
mod rejections;
mod serving;
mod shared_store;
mod standby;
mod world;
