//! An agent's side that works offline: events are signed and kept first, and sent when a server can be reached.
//!
//! Invariants: an append is on disk before it returns; an event of unknown fate is sent again until there is a receipt,
//! and never given up; own events reach the stream in the order in which they were appended; no receipt, event or key is
//! taken over before it was verified; a server that contradicts what it signed before is an error with a name
//! ([`Fault`]). The crate reads no clock and no environment, and never prints: time comes in by the
//! caller's [`Clock`].
//!
//! - what an event goes through, pure: [`entry`], [`conflict`];
//! - the file: [`Store`]; what goes into it: [`NewEvent`], [`Author`], [`Audience`];
//! - a server: [`Transport`], over REST (`stateset_client::Client`) or gRPC ([`OverGrpc`]); against it [`Store::push`] and [`Store::pull`];
//! - keys: [`Store::refresh_keys`], [`Store::refresh_group`], [`open_with_any`];
//! - without a server: [`Store::audit`].

mod audit;
mod batch_size;
mod clock;
pub mod conflict;
mod directory;
mod draft;
pub mod entry;
mod error;
mod fault;
mod group;
pub mod outbox;
mod pull;
mod push;
mod replica;
mod store;
mod transport;
mod verify;

pub use audit::Audit;
pub use clock::Clock;
pub use directory::{Kind, Known};
pub use draft::{Audience, Author, NewEvent};
pub use error::SyncError;
pub use fault::Fault;
pub use group::{Group, Held, open_with_any};
pub use outbox::{APPEND_EVENTS_MAX, Appended, Counts, Entry, Room, SignedAnew};
pub use pull::{BEHIND_MS_MAX, Pulled};
pub use push::Pushed;
pub use replica::Replicated;
pub use store::{HeadSeen, KeptFault, RESERVE_BYTES, Seen, Store, Turn};
pub use transport::{OverGrpc, RawEvent, RawPage, Transport};
