//! The peer protocol of the shared ledger (8.1): frames, messages and sessions between the nodes of members. Section
//! numbers in its comments are those of the network specification.
//!
//! - bytes on the wire: [`frame`]; what they say: [`message`]. Both are pure;
//! - who may speak: [`members`], asked by mutual TLS 1.3 ([`tls`]), which knows no other certificates;
//! - what outlives the process: [`store`];
//! - the transport itself: [`Peers`], with what the node does in [`Handler`] and every bound in [`config`].
//!
//! A message of a session (Propose, Signatures, Reject, Finalised) is kept until the peer has it: it arrives once, and in
//! the session's order, whatever becomes of connections and processes. Questions (transactions, blobs, recovery,
//! certificates) live as long as a connection; asking again is harmless.

mod accept;
pub mod config;
mod connection;
mod deliver;
mod dial;
pub mod error;
pub mod frame;
mod greeting;
mod handler;
mod link;
pub mod members;
pub mod message;
mod peers;
pub mod store;
pub mod tls;

pub use config::{Config, Timing};
pub use error::{AskError, ConnectionError, SendError, StartError};
pub use frame::SessionId;
pub use handler::{Delivery, Handler};
pub use members::{Head, MemberError, Members};
pub use message::{Answer, Message, Question};
pub use peers::{PeerStatus, Peers};
pub use store::{MemoryStore, SessionStore};
pub use tls::{Identity, Sign};
