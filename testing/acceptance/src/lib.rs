//! What the scenarios in `tests/` share: the program under test, a running service, and a plain REST client that
//! repeats nothing by itself.
//!
//! Everything binds loopback on a port that the system chooses, writes only to temporary folders, and ends only
//! processes that it started itself.

pub mod binary;
pub mod events;
pub mod instance;
pub mod rest;
pub mod service;
pub mod shop;

pub use binary::{set_anchor, stateset, stateset_sync};
pub use instance::Instance;
pub use rest::Rest;
pub use service::Service;
pub use shop::Shop;
