//! Dead letters: events that a projection could not apply, and when each is tried again (sequencer API, section 8.1).
//!
//! ```text
//!                  ┌── refused again ──┐
//! refused ─► pending ─► retrying ◄─────┘ ─► resolved        applied at last
//!    └─────────────► failed ◄── 10 retries, or no use in trying
//! ```
//!
//! A letter holds the place of its event and why it was refused, never the payload: events do not change. Whoever applies
//! events writes what follows for a letter in the transaction of its checkpoint, so no event is lost or applied twice.
//!
//! What is derived from letters (lists by time and id, counts, the bound of a tenant's letters, the log of rejections) is
//! derived where all writes pass, in [`follow`]: it holds whoever changes letters, and in whatever order.

mod act;
mod follow;
mod kept;
mod read;
mod schedule;
mod stored;

use std::fmt;
use std::str::FromStr;

use ves::{EventId, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};

pub(crate) use act::Decide;
pub use act::{DeadLetterAct, DeadLetterOrder, OrderStep};
pub(crate) use follow::concerns;
pub use follow::{Followed, follow};
pub(crate) use kept::Kept;
pub use read::{find, list, rejections};
pub use schedule::{DELAY_MS_FIRST, DELAY_MS_MAX, RETRIES_MAX};

/// Letters of one tenant, of whatever status, where nothing else is configured.
pub const DEAD_LETTERS_MAX: u64 = 10_000;

/// Rejections that the log of a tenant keeps: the newest.
pub const REJECTIONS_MAX: u64 = 10_000;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$case_doc])* $case),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$case),+];

            /// The specification's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$case => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|case| case.name() == text).ok_or(())
            }
        }
    };
}

named! {
    /// Why an event was not applied.
    DeadLetterReason {
        /// Its payload is not what its type asks for.
        SchemaValidation = "schema_validation",
        /// It would break a rule that always holds. Never tried again by itself.
        InvariantViolation = "invariant_violation",
        /// Its entity is in no state from which it leads on. Never tried again by itself.
        InvalidStateTransition = "invalid_state_transition",
        /// It was made for another version of its entity.
        VersionConflict = "version_conflict",
        /// What it needs is missing, its entity above all.
        HandlerError = "handler_error",
        Unknown = "unknown",
    }
}

impl DeadLetterReason {
    /// Whether trying again can help without anybody's doing (section 8.1).
    pub const fn is_retried(self) -> bool {
        !matches!(self, Self::InvariantViolation | Self::InvalidStateTransition)
    }
}

named! {
    /// Where a letter stands.
    DeadLetterStatus {
        /// It waits for its first retry.
        Pending = "pending",
        /// It was tried again and waits for the next retry.
        Retrying = "retrying",
        /// It is not tried again by itself.
        Failed = "failed",
        /// Its event was applied. It stays until it is purged, or until its room is needed.
        Resolved = "resolved",
    }
}

/// An event that a projection could not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    pub stream: StreamKey,
    pub sequence_number: SequenceNumber,
    pub event_id: EventId,
    pub entity_type: String,
    pub entity_id: String,
    pub event_type: String,
    pub reason: DeadLetterReason,
    /// What a person needs to know to mend it.
    pub message: String,
    /// The version that the event was made for, where that is why.
    pub expected_version: Option<u64>,
    /// The version that its entity had.
    pub actual_version: Option<u64>,
}

/// One letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub stream: StreamKey,
    pub sequence_number: SequenceNumber,
    pub event_id: EventId,
    pub entity_type: String,
    pub entity_id: String,
    pub event_type: String,
    /// Of the newest refusal.
    pub reason: DeadLetterReason,
    pub message: String,
    pub expected_version: Option<u64>,
    pub actual_version: Option<u64>,
    pub status: DeadLetterStatus,
    /// Retries made of the present budget of [`RETRIES_MAX`].
    pub retry_count: u32,
    pub last_retry_at: Option<TimestampMs>,
    /// `None` where it is not tried again by itself.
    pub next_retry_at: Option<TimestampMs>,
    pub created_at: TimestampMs,
    /// What the letter's last change came from.
    pub(crate) cause: Cause,
}

impl DeadLetter {
    pub fn place(&self) -> DeadLetterPlace {
        DeadLetterPlace { store_id: self.stream.store_id, sequence_number: self.sequence_number }
    }

    /// When it last changed by being refused, retried or resolved: its age counts from here.
    pub fn changed_at(&self) -> TimestampMs {
        self.last_retry_at.unwrap_or(self.created_at)
    }
}

/// What a letter's last change came from: only whoever writes can count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// The projection came to the event for the first time.
    Refusal,
    /// The projection came to the event again, building its states from nothing.
    Rebuild,
    /// A retry that was refused.
    RefusedRetry,
    /// A retry that was applied.
    AppliedRetry,
    /// An operator asked for a retry.
    Order,
    /// The clock was set back behind the time at which the retry was planned.
    ClockStep,
}

/// A letter's place among those of its tenant: what a page of a list continues after. Text `store_id.sequence_number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterPlace {
    pub store_id: StoreId,
    pub sequence_number: SequenceNumber,
}

impl fmt::Display for DeadLetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.store_id, self.sequence_number)
    }
}

impl FromStr for DeadLetterPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (store, number) = text.split_once('.').ok_or(())?;
        Ok(Self {
            store_id: store.parse().map_err(|_| ())?,
            sequence_number: SequenceNumber(number.parse().map_err(|_| ())?),
        })
    }
}

/// Which letters of a tenant are meant: those that all given members fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub tenant_id: TenantId,
    /// Empty: every store.
    pub store_ids: Vec<StoreId>,
    pub status: Option<DeadLetterStatus>,
    pub reason: Option<DeadLetterReason>,
    /// Letters that have not changed since.
    pub unchanged_since: Option<TimestampMs>,
}

impl DeadLetterFilter {
    /// All letters of a tenant.
    pub fn all_of(tenant_id: TenantId) -> Self {
        Self { tenant_id, store_ids: Vec::new(), status: None, reason: None, unchanged_since: None }
    }

    fn fits(&self, letter: &DeadLetter) -> bool {
        letter.stream.tenant_id == self.tenant_id
            && (self.store_ids.is_empty() || self.store_ids.contains(&letter.stream.store_id))
            && self.status.is_none_or(|status| status == letter.status)
            && self.reason.is_none_or(|reason| reason == letter.reason)
            && self.unchanged_since.is_none_or(|since| letter.changed_at() <= since)
    }
}

/// Letters, ascending by place, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterPage {
    pub letters: Vec<DeadLetter>,
    /// `None`: there are no more.
    pub next: Option<DeadLetterPlace>,
}

/// How many letters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeadLetterCounts {
    pub pending: u64,
    pub retrying: u64,
    pub failed: u64,
    pub resolved: u64,
    /// Of those that wait, how many fell due before the present minute.
    pub due: u64,
}

impl DeadLetterCounts {
    /// All that are stored.
    pub fn size(&self) -> u64 {
        self.pending + self.retrying + self.failed + self.resolved
    }
}

/// One entry of the log of rejections: each time an event was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedEvent {
    /// Rises by at least one with each rejection of the tenant.
    pub number: u64,
    pub refused: RefusedEvent,
    pub rejected_at: TimestampMs,
}
