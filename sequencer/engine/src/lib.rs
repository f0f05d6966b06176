//! The rules of one sequencer as a pure state machine: which event gets which number.
//!
//! The engine never does I/O and never reads a clock. It is told what arrived, what the derived index knows, what
//! the log made durable and what time it is; it answers with decisions and plans. One owner drives it, so it holds
//! no locks. Section numbers in the comments are those of the VES core specification.
//!
//! Invariants:
//!
//! - Nothing gets a number without a [`ves::verify::Verified`] event behind its [`Candidate`].
//! - The numbers of a stream are 1, 2, 3 … without gaps, whatever mixture of accepted, rejected and repeated events
//!   and failed turns led there. A number that became durable is never given again.
//! - Numbers given in a turn are provisional until [`Engine::turn_durable`]. Nothing that depends on them may be
//!   answered before, a [`Decision::Duplicate`] of a provisional event included.
//! - An id is known for all time: while it is recent, by the engine; after [`Engine::forget_through`], by the
//!   [`ColdFacts`] of every request, and facts that do not reach that far are refused.
//! - Batches of a stream lie end to end from number 1 and hold durable events only.
//!
//! - what comes in and goes out: [`candidate`];
//! - admission and turns: [`engine`];
//! - batches by size, by age and as asked for: [`commit`];
//! - the memory of one stream: `stream`;
//! - admission and batches of the older stream, which has no memory here: [`legacy`].

pub mod candidate;
pub mod commit;
pub mod engine;
pub mod legacy;
mod stream;

#[cfg(test)]
mod tests;

pub use candidate::{Candidate, ColdFacts, Decision, EntityKey};
pub use commit::{CommitError, CommitPlan, CommitPolicy, Planned, settle_committed};
pub use engine::{AdmitError, Engine, RefillError, StreamOpening};
pub use legacy::{
    LegacyCandidate, LegacyDecision, LegacyFacts, LegacyStreamFull, admit_legacy, plan_legacy_commit,
    settle_legacy_committed,
};
pub use stream::RecentEntry;
