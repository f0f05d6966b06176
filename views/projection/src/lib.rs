//! Present states of entities, folded from the events of their streams (sequencer API, section 8).
//!
//! ```text
//! EventFeed ─► Runner: load what is not in memory ─► apply, event by event ─► ProjectionStore: one commit a batch
//!                                                     └─ the transition table: code, tests and docs
//! ```
//!
//! Invariants:
//! - a state depends only on the events of its stream and their order (and on the retries the store recorded in that
//!   order), so a projection built again from nothing is the one that ran;
//! - states, the place they were made up to, and what was refused are one commit: nothing is applied twice or skipped;
//! - no payload stops a stream: what does not fit is refused, with a reason, and the next event follows;
//! - a state is bounded in bytes and depth, so it can be written, and read back;
//! - amounts are integers with checked arithmetic, never floating point.
//!
//! This crate reads no clock and does no input or output: the ports in [`ports`] are joined by the programs.

mod cache;
mod docs;
mod field;
mod history;
mod machine;
mod machines;
mod memory;
mod money;
mod pass;
mod ports;
mod record;
mod refusal;
mod rules;
mod runner;

pub use docs::page;
pub use field::{Field, Kind, Need};
pub use history::{Fold, HISTORY_SNAPSHOT_EVENTS};
pub use machine::{Change, Machine, STATE_BYTES_MAX, Scene, Transition, apply};
pub use machines::{MACHINES, machine};
pub use memory::{MemoryFeed, MemoryStore};
pub use money::{Money, exponent_of};
pub use pass::{Fact, Outcome, Payload, Turn, pass};
pub use ports::{
    Batch, Checkpoint, EventFeed, Letter, PortError, ProjectionStore, Refused, Resolution, StoredFact,
};
pub use record::{EntityName, Record, State};
pub use refusal::{Reason, Refusal};
pub use runner::{Backoff, Progress, Runner, RunnerConfig};
