//! An agent's side that works offline: events are signed and kept first, and sent when a server can be reached.
//!
//! Invariants: an append is on disk before it returns; an event of unknown fate is sent again until there is a receipt,
//! and never given up; own events reach the stream in the order in which they were appended; no receipt, event or key is
//! taken over before it was verified; a server that contradicts what it signed before is an error with a name
//! ([`Fault`]). The crate reads no clock and no environment, and never prints: time comes in as a value.
//!
//! - what an event goes through, pure: [`entry`], [`conflict`];
//! - the file: [`Store`]; what goes into it: [`NewEvent`], [`Author`], [`Audience`];

pub mod conflict;
pub mod directory;
mod draft;
pub mod entry;
mod error;
mod fault;
pub mod outbox;
pub mod pull;
pub mod push;
pub mod replica;
mod store;
pub mod transport;
mod verify;

pub use draft::{Audience, Author, NewEvent};
pub use error::SyncError;
pub use fault::Fault;
pub use outbox::{APPEND_EVENTS_MAX, Appended, Counts, Entry};
pub use pull::Pulled;
pub use push::Pushed;
pub use replica::Replicated;
pub use store::{HeadSeen, KeptFault, Seen, Store, Turn};
pub use transport::{RawEvent, RawPage, Transport};
