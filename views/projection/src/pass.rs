//! One event passes one entity: it is applied, refused, or left for a reason that is counted.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ves::EventId;

use crate::machine::{Machine, Transition, apply};
use crate::record::Record;
use crate::refusal::{Reason, Refusal};

/// An event as projections read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact<'a> {
    pub sequence: u64,
    pub event_id: EventId,
    pub entity_type: Cow<'a, str>,
    pub entity_id: Cow<'a, str>,
    pub event_type: Cow<'a, str>,
    pub base_version: Option<u64>,
    pub payload: Payload<'a>,
}

/// What an event says, as far as the service can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// JSON.
    Clear(Cow<'a, str>),
    /// For others' eyes.
    Sealed,
}

/// Which time an event comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At its place in the stream.
    InOrder,
    /// Again, after it was refused there: it counts in no version any more.
    Again,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Applied,
    /// The machine has no row for this event type; the event counts in the version.
    Skipped,
    /// It, or an earlier event of the entity, is sealed: nobody here can tell what it does.
    Unreadable,
    /// It had passed before.
    Passed,
    Refused(Refusal),
}

/// Passes an event through the machine of its entity type.
///
/// - `record`: of the entity, [`Record::default`] where it has had no event. Changed by everything but
///   [`Outcome::Passed`]; its state is changed by [`Outcome::Applied`] alone.
pub fn pass(machine: &Machine, record: &mut Record, fact: &Fact<'_>, turn: Turn) -> Outcome {
    if turn == Turn::InOrder && fact.sequence <= record.sequence {
        return Outcome::Passed;
    }
    let outcome = judge(machine, record, fact, turn);
    if turn == Turn::InOrder {
        record.version += 1;
        record.sequence = fact.sequence;
    }
    match outcome {
        Outcome::Applied => record.applied += 1,
        Outcome::Unreadable => record.unreadable += 1,
        Outcome::Skipped | Outcome::Passed | Outcome::Refused(_) => {}
    }
    outcome
}

fn judge(machine: &Machine, record: &mut Record, fact: &Fact<'_>, turn: Turn) -> Outcome {
    // An event that comes again was counted at its place: nothing of the entity may have come since.
    let expected = match turn {
        Turn::InOrder => fact.base_version,
        Turn::Again => fact.base_version.map(|version| version.saturating_add(1)),
    };
    if let Some(expected) = expected.filter(|expected| *expected != record.version) {
        return Outcome::Refused(Refusal::version(expected, record.version));
    }
    let Some(transition) = machine.transition(&fact.event_type) else { return Outcome::Skipped };
    if fact.payload == Payload::Sealed && !transition.fields.is_empty() {
        return Outcome::Unreadable;
    }
    match apply_caught(transition, record, fact) {
        Ok(()) => Outcome::Applied,
        // What is missing may stand in the events that can't be read.
        Err(refusal) if record.unreadable > 0 && refusal.reason != Reason::SchemaValidation => {
            Outcome::Unreadable
        }
        Err(refusal) => Outcome::Refused(refusal),
    }
}

/// A rule that fails must not stop the stream. It changes the state only when it has ended, so nothing is half-done.
fn apply_caught(
    transition: &'static Transition,
    record: &mut Record,
    fact: &Fact<'_>,
) -> Result<(), Refusal> {
    let state = &mut record.state;
    let step = || apply(transition, &fact.entity_id, state, &fact.payload);
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
        Err(Refusal::new(Reason::Unknown, format!("the rule of {} failed", transition.event)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Change, Scene};
    use crate::machines::machine;

    fn fact(sequence: u64, event_type: &str, payload: Payload<'static>) -> Fact<'static> {
        Fact {
            sequence,
            event_id: EventId(uuid::Uuid::from_u128(u128::from(sequence))),
            entity_type: event_type.split('.').next().unwrap().to_owned().into(),
            entity_id: "1".into(),
            event_type: event_type.to_owned().into(),
            base_version: None,
            payload,
        }
    }

    fn clear(text: &'static str) -> Payload<'static> {
        Payload::Clear(text.into())
    }

    #[test]
    fn a_version_counts_every_event_of_the_entity_as_admission_does() {
        let (machine, mut record) = (machine("order").unwrap(), Record::default());
        let mut go = |sequence, event_type, payload| {
            pass(machine, &mut record, &fact(sequence, event_type, payload), Turn::InOrder)
        };
        assert!(matches!(go(3, "order.confirmed", clear("{}")), Outcome::Refused(_)));
        assert_eq!(go(5, "order.noted", clear("{}")), Outcome::Skipped);
        assert_eq!(go(6, "order.created", clear(r#"{"customer_id":"c"}"#)), Outcome::Applied);
        assert_eq!(go(6, "order.created", clear(r#"{"customer_id":"c"}"#)), Outcome::Passed);
        assert_eq!((record.version, record.applied, record.sequence), (3, 1, 6));
        let mut conflict = fact(7, "order.confirmed", clear("{}"));
        conflict.base_version = Some(2);
        let Outcome::Refused(refusal) = pass(machine, &mut record, &conflict, Turn::InOrder) else {
            panic!()
        };
        assert_eq!((refusal.expected_version, refusal.actual_version), (Some(2), Some(3)));
        assert_eq!(refusal.reason, Reason::VersionConflict);
    }

    #[test]
    fn an_event_that_comes_again_is_written_for_the_version_it_had() {
        let (machine, mut record) = (machine("order").unwrap(), Record::default());
        let mut early = fact(1, "order.confirmed", clear("{}"));
        early.base_version = Some(0);
        assert!(matches!(pass(machine, &mut record, &early, Turn::InOrder), Outcome::Refused(_)));
        let created = fact(2, "order.created", clear(r#"{"customer_id":"c"}"#));
        assert_eq!(pass(machine, &mut record, &created, Turn::InOrder), Outcome::Applied);
        let Outcome::Refused(refusal) = pass(machine, &mut record, &early, Turn::Again) else { panic!() };
        assert_eq!(refusal.reason, Reason::VersionConflict);
        early.base_version = None;
        assert_eq!(pass(machine, &mut record, &early, Turn::Again), Outcome::Applied);
        assert_eq!((record.version, record.applied), (2, 2));
        assert_eq!(record.state.unwrap().status(), "confirmed");
    }

    #[test]
    fn what_is_sealed_is_counted_and_refuses_nothing_that_follows() {
        let (machine, mut record) = (machine("order").unwrap(), Record::default());
        let mut go =
            |n, event_type, payload| pass(machine, &mut record, &fact(n, event_type, payload), Turn::InOrder);
        assert_eq!(go(1, "order.created", Payload::Sealed), Outcome::Unreadable);
        assert_eq!(go(2, "order.confirmed", Payload::Sealed), Outcome::Unreadable);
        assert_eq!(record.unreadable, 2);
        let mut known = Record::default();
        let created = fact(1, "order.created", clear(r#"{"customer_id":"c"}"#));
        assert_eq!(pass(machine, &mut known, &created, Turn::InOrder), Outcome::Applied);
        let sealed = fact(2, "order.confirmed", Payload::Sealed);
        assert_eq!(pass(machine, &mut known, &sealed, Turn::InOrder), Outcome::Applied);
        assert_eq!(known.state.unwrap().status(), "confirmed");
    }

    #[test]
    fn a_rule_that_panics_refuses_its_event_and_changes_nothing() {
        fn fails(_: &Scene<'_>, _: &mut Change) -> Result<(), Refusal> {
            panic!("on purpose")
        }
        static BROKEN: Machine = Machine {
            entity: "broken",
            about: "",
            states: &["on"],
            transitions: &[Transition {
                event: "broken.on",
                from: &[],
                to: Some("on"),
                fields: &[],
                rule: Some(("", fails)),
            }],
        };
        let mut record = Record::default();
        let outcome = pass(&BROKEN, &mut record, &fact(1, "broken.on", clear("{}")), Turn::InOrder);
        let Outcome::Refused(refusal) = outcome else { panic!() };
        assert_eq!(refusal.reason, Reason::Unknown);
        assert_eq!((record.version, record.state), (1, None));
    }
}
