//! The outbox and the replica against a small server in memory, honest or not.

mod conflicts;
mod groups;
mod lies;
mod outbox;
mod sync;
mod world;
