//! What may become of an event in the outbox. Pure: no clock, no file, no network.
//!
//! ```text
//! pending ── send ──▶ sent ── receipt ──▶ receipted
//!    ▲                 │ ├─── refused ──▶ refused
//!    └── not yet ──────┘ └─── version ──▶ conflict ── keep local ──▶ pending
//!                                                  └─ take remote ─▶ refused
//! ```

use ves::SequenceNumber;

/// Where an event of the outbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is certainly not in the stream.
    Pending,
    /// It was sent, and nobody knows yet what became of it.
    Sent,
    /// It has its place, by a receipt that verifies.
    Receipted { at: SequenceNumber },
    /// It will not enter the stream.
    Refused,
    /// Its entity stands at another version than it expects.
    Conflict { actual: u64 },
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// It goes into a request.
    Send,
    /// A verified receipt, from an answer or from the stream.
    Receipt(SequenceNumber),
    /// The server said no; `retryable`: the same event may be accepted later.
    Refuse { retryable: bool },
    /// The server said that the entity is at another version.
    VersionConflict { actual: u64 },
    /// Send it again, on the version that the entity has.
    KeepLocal,
    /// Give it up for what is in the stream.
    TakeRemote,
    /// Its author takes it back.
    Discard,
}

/// Why an input cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    #[error("the event has its place at {held}, and a receipt for {claimed} as well")]
    TwoPlaces { held: SequenceNumber, claimed: SequenceNumber },
    #[error("the event is in the stream at {at}")]
    InStream { at: SequenceNumber },
    #[error("the event was sent and may be in the stream: push again to learn its fate")]
    Unknown,
    #[error("the event was not sent")]
    NotSent,
    #[error("the event was refused")]
    Refused,
    #[error("the event is in no conflict")]
    NoConflict,
}

impl State {
    /// Whether it still has to be sent.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Sent)
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Receipted { .. } => "receipted",
            Self::Refused => "refused",
            Self::Conflict { .. } => "conflict",
        }
    }
}

/// Moves one event by one input.
///
/// # Errors
/// [`NotAllowed`]; the state then stays as it was.
pub fn step(state: State, input: Input) -> Result<State, NotAllowed> {
    use Input::{Discard, KeepLocal, Receipt, Refuse, Send, TakeRemote, VersionConflict};
    match (state, input) {
        // O1: a receipt is the truth, whatever was believed before, and is never withdrawn.
        (State::Receipted { at }, Receipt(claimed)) if at == claimed => Ok(state),
        (State::Receipted { at }, Receipt(claimed)) => Err(NotAllowed::TwoPlaces { held: at, claimed }),
        (_, Receipt(at)) => Ok(State::Receipted { at }),
        (State::Receipted { at }, _) => Err(NotAllowed::InStream { at }),
        // O2: what was sent may be sent again; the event's id makes that harmless.
        (State::Pending | State::Sent, Send) => Ok(State::Sent),
        // O3: an answer ends the doubt.
        (State::Sent, Refuse { retryable: true }) => Ok(State::Pending),
        (State::Sent, Refuse { retryable: false }) => Ok(State::Refused),
        (State::Sent, VersionConflict { actual }) => Ok(State::Conflict { actual }),
        (State::Pending, Refuse { .. } | VersionConflict { .. }) => Err(NotAllowed::NotSent),
        // O4: a conflict is decided once, by either side.
        (State::Conflict { .. }, KeepLocal) => Ok(State::Pending),
        (State::Conflict { .. }, TakeRemote | Discard) => Ok(State::Refused),
        (State::Conflict { .. }, Send | Refuse { .. } | VersionConflict { .. }) => Err(NotAllowed::NotSent),
        // O5: only what is certainly not in the stream can be taken back.
        (State::Pending, Discard) => Ok(State::Refused),
        (State::Sent, Discard) => Err(NotAllowed::Unknown),
        (State::Pending | State::Sent, KeepLocal | TakeRemote) => Err(NotAllowed::NoConflict),
        (State::Refused, _) => Err(NotAllowed::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(Input::Send),
            (1_u64..4).prop_map(|n| Input::Receipt(SequenceNumber(n))),
            any::<bool>().prop_map(|retryable| Input::Refuse { retryable }),
            (0_u64..9).prop_map(|actual| Input::VersionConflict { actual }),
            Just(Input::KeepLocal),
            Just(Input::TakeRemote),
            Just(Input::Discard),
        ]
    }

    proptest! {
        /// Once there is a receipt, nothing moves the event, and no second place is believed.
        #[test]
        fn a_receipt_is_never_withdrawn(inputs in proptest::collection::vec(any_input(), 0..40)) {
            let (mut state, mut place) = (State::Pending, None);
            for input in inputs {
                if let Ok(next) = step(state, input) {
                    state = next;
                }
                if let State::Receipted { at } = state {
                    prop_assert_eq!(*place.get_or_insert(at), at);
                } else {
                    prop_assert_eq!(place, None);
                }
            }
        }

        /// An event is given up only after the last word about it was a no, or before it was ever sent.
        #[test]
        fn an_event_of_unknown_fate_is_never_given_up(inputs in proptest::collection::vec(any_input(), 0..40)) {
            let (mut state, mut in_flight) = (State::Pending, false);
            for input in inputs {
                let Ok(next) = step(state, input) else { continue };
                let given_up = next == State::Refused && state != State::Refused;
                let is_answer = matches!(input, Input::Refuse { .. } | Input::VersionConflict { .. });
                prop_assert!(!given_up || is_answer || !in_flight, "{state:?} {input:?}");
                match input {
                    Input::Send => in_flight = true,
                    _ if is_answer => in_flight = false,
                    _ => {}
                }
                state = next;
            }
        }

        /// Whatever happened, an event that is not decided can still reach the stream.
        #[test]
        fn every_undecided_event_can_still_be_sent(inputs in proptest::collection::vec(any_input(), 0..40)) {
            let mut state = State::Pending;
            for input in inputs {
                state = step(state, input).unwrap_or(state);
            }
            match state {
                State::Pending | State::Sent => prop_assert_eq!(step(state, Input::Send), Ok(State::Sent)),
                State::Conflict { .. } => {
                    let kept = step(state, Input::KeepLocal).expect("a conflict can be decided");
                    prop_assert_eq!(step(kept, Input::Send), Ok(State::Sent));
                }
                State::Receipted { .. } | State::Refused => {
                    prop_assert!(step(state, Input::Send).is_err());
                }
            }
        }
    }
}
