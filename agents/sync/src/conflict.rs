//! What to do when an entity stands at another version than an event expects. Pure.

use std::cmp::Ordering;
use std::str::FromStr;

use ves::EventId;

/// An event is put onto a newer version at most this often by itself; then its author is asked.
pub const REBASES_MAX: u32 = 16;

/// Who wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// What is in the stream: the local event is given up.
    RemoteWins,
    /// The local event: it is sent again on the version that the entity has.
    LocalWins,
    /// Whichever was created later.
    LastWriter,
    /// Nobody, until the author decides.
    Ask,
}

/// The strategy's name is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected remote-wins, local-wins, last-writer or ask")]
pub struct UnknownStrategy;

impl Strategy {
    pub fn name(self) -> &'static str {
        match self {
            Self::RemoteWins => "remote-wins",
            Self::LocalWins => "local-wins",
            Self::LastWriter => "last-writer",
            Self::Ask => "ask",
        }
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;
    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        [Self::RemoteWins, Self::LocalWins, Self::LastWriter, Self::Ask]
            .into_iter()
            .find(|strategy| strategy.name() == text)
            .ok_or(UnknownStrategy)
    }
}

/// When an event was created by its author's word, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Seconds and nanoseconds of `created_at`.
    pub created_at: (i64, u32),
    pub event_id: EventId,
}

impl Written {
    /// `None` when `created_at` names no instant.
    pub fn new(created_at: &str, event_id: EventId) -> Option<Self> {
        ves::time::instant(created_at).map(|created_at| Self { created_at, event_id })
    }

    /// Of two events of one instant the greater id counts as the later, so that every agent decides alike.
    fn compare(&self, other: &Self) -> Ordering {
        self.created_at
            .cmp(&other.created_at)
            .then_with(|| self.event_id.as_bytes().cmp(other.event_id.as_bytes()))
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    KeepLocal,
    TakeRemote,
    Ask,
}

/// Decides one conflict.
///
/// - `remote`: the newest event of the entity in the stream; `None` when it is not known.
/// - `rebases`: how often this event was put onto a newer version before.
pub fn decide(strategy: Strategy, local: Option<Written>, remote: Option<Written>, rebases: u32) -> Decision {
    let kept = if rebases < REBASES_MAX { Decision::KeepLocal } else { Decision::Ask };
    match (strategy, local, remote) {
        (Strategy::Ask, ..) => Decision::Ask,
        (Strategy::RemoteWins, ..) => Decision::TakeRemote,
        (Strategy::LocalWins, ..) => kept,
        (Strategy::LastWriter, Some(local), Some(remote)) if local.compare(&remote).is_gt() => kept,
        (Strategy::LastWriter, Some(_), Some(_)) => Decision::TakeRemote,
        // Without both times nobody is the last.
        (Strategy::LastWriter, ..) => Decision::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, prop_assert_ne, proptest};

    fn written(seconds: i64, id: u8) -> Option<Written> {
        Some(Written { created_at: (seconds, 0), event_id: EventId::from_bytes([id; 16]) })
    }

    #[test]
    fn the_strategies_do_what_they_are_called() {
        let (early, late) = (written(1, 9), written(2, 1));
        assert_eq!(decide(Strategy::RemoteWins, late, early, 0), Decision::TakeRemote);
        assert_eq!(decide(Strategy::LocalWins, early, late, 0), Decision::KeepLocal);
        assert_eq!(decide(Strategy::LocalWins, early, late, REBASES_MAX), Decision::Ask, "not without end");
        assert_eq!(decide(Strategy::LastWriter, late, early, 0), Decision::KeepLocal);
        assert_eq!(decide(Strategy::LastWriter, early, late, 0), Decision::TakeRemote);
        assert_eq!(decide(Strategy::LastWriter, late, None, 0), Decision::Ask);
        assert_eq!(decide(Strategy::Ask, late, early, 0), Decision::Ask);
        for name in ["remote-wins", "local-wins", "last-writer", "ask"] {
            assert_eq!(name.parse::<Strategy>().map(Strategy::name), Ok(name));
        }
        assert_eq!("both".parse::<Strategy>(), Err(UnknownStrategy));
    }

    proptest! {
        /// Two agents that wrote against one another agree on who was last.
        #[test]
        fn of_two_writers_exactly_one_is_the_last(a: i64, b: i64, ids in (0_u8..9, 10_u8..19)) {
            let (one, other) = (written(a, ids.0), written(b, ids.1));
            let first = decide(Strategy::LastWriter, one, other, 0);
            let second = decide(Strategy::LastWriter, other, one, 0);
            prop_assert_ne!(first, second);
            prop_assert!(first != Decision::Ask && second != Decision::Ask);
        }
    }
}
