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
    /// Whether the sequencer's own agent wrote it.
    pub is_own: bool,
    pub payload: Payload<'a>,
}

/// What an event says, as far as the service can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// JSON.
    Clear(Cow<'a, str>),
    /// For others' eyes.
    Sealed,
    /// Sealed at rest, and no key of the service opens it any more.
    Lost,
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
    /// Only the sequencer's own agent tells of such entities, and another one wrote it: it changes nothing.
    Foreign,
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
        Outcome::Skipped | Outcome::Foreign | Outcome::Passed | Outcome::Refused(_) => {}
    }
    outcome
}

fn judge(machine: &Machine, record: &mut Record, fact: &Fact<'_>, turn: Turn) -> Outcome {
    if machine.is_own_only && !fact.is_own {
        return match turn {
            Turn::InOrder => Outcome::Foreign,
            Turn::Again => Outcome::Refused(Refusal::invariant(format!(
                "only the sequencer's own agent tells of {}",
                machine.entity
            ))),
        };
    }
    // An event that comes again was counted at its place: nothing of the entity may have come since.
    let expected = match turn {
        Turn::InOrder => fact.base_version,
        Turn::Again => fact.base_version.map(|version| version.saturating_add(1)),
    };
    if let Some(expected) = expected.filter(|expected| *expected != record.version) {
        return Outcome::Refused(Refusal::version(expected, record.version));
    }
    let Some(transition) = machine.transition(&fact.event_type) else { return Outcome::Skipped };
    if let Some(why) = unread(&fact.payload).filter(|_| !transition.fields.is_empty()) {
        return match turn {
            Turn::InOrder => Outcome::Unreadable,
            // Its letter must not end as applied; the key may come back.
            Turn::Again => Outcome::Refused(Refusal::new(Reason::HandlerError, why)),
        };
    }
    match apply_caught(transition, record, fact) {
        Ok(()) => Outcome::Applied,
        // What is missing may stand in the events that can't be read. One that comes again has a letter that says so.
        Err(refusal)
            if turn == Turn::InOrder
                && record.unreadable > 0
                && refusal.reason != Reason::SchemaValidation =>
        {
            Outcome::Unreadable
        }
        Err(refusal) => Outcome::Refused(refusal),
    }
}

/// Why nobody here can read a payload.
fn unread(payload: &Payload<'_>) -> Option<&'static str> {
    match payload {
        Payload::Clear(_) => None,
        Payload::Sealed => Some("its payload is sealed by its agent, and nobody here can read it"),
        Payload::Lost => Some("its payload is sealed at rest, and no key of the service opens it"),
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
            is_own: true,
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
    fn an_event_that_no_key_opens_is_counted_and_its_letter_waits_for_the_key() {
        let (machine, mut record) = (machine("order").unwrap(), Record::default());
        let lost = fact(1, "order.created", Payload::Lost);
        assert_eq!(pass(machine, &mut record, &lost, Turn::InOrder), Outcome::Unreadable);
        // What needs nothing of the payload is applied whatever sealed it, but here the entity is not known to exist.
        let confirmed = fact(2, "order.confirmed", Payload::Lost);
        assert_eq!(pass(machine, &mut record, &confirmed, Turn::InOrder), Outcome::Unreadable);
        let before = record.clone();
        let Outcome::Refused(refusal) = pass(machine, &mut record, &lost, Turn::Again) else { panic!() };
        assert_eq!(refusal.reason, Reason::HandlerError);
        assert!(refusal.message.contains("no key"), "{refusal}");
        assert_eq!(record, before);
        let created = fact(1, "order.created", clear(r#"{"customer_id":"c"}"#));
        assert_eq!(pass(machine, &mut record, &created, Turn::Again), Outcome::Applied);
    }

    #[test]
    fn only_the_sequencers_own_agent_moves_a_payment() {
        let (machine, mut record) = (machine("x402_payment").unwrap(), Record::default());
        let foreign = |n, event_type| Fact { is_own: false, ..fact(n, event_type, clear("{}")) };
        let mut go = |fact: &Fact<'_>, turn| pass(machine, &mut record, fact, turn);
        assert_eq!(go(&foreign(1, "x402_payment.created"), Turn::InOrder), Outcome::Foreign);
        assert_eq!(go(&fact(2, "x402_payment.created", clear("{}")), Turn::InOrder), Outcome::Applied);
        assert_eq!(go(&fact(3, "x402_payment.sequenced", clear("{}")), Turn::InOrder), Outcome::Applied);
        assert_eq!(go(&foreign(4, "x402_payment.settled"), Turn::InOrder), Outcome::Foreign);
        let Outcome::Refused(refusal) = go(&foreign(4, "x402_payment.settled"), Turn::Again) else {
            panic!()
        };
        assert_eq!(refusal.reason, Reason::InvariantViolation);
        // The version counts them all the same, as admission does.
        assert_eq!((record.version, record.applied), (4, 2));
        assert_eq!(record.state.unwrap().status(), "sequenced");
    }

    #[test]
    fn a_payment_takes_every_nonce_and_time_that_its_payer_can_sign() {
        let (machine, mut record) = (machine("x402_payment").unwrap(), Record::default());
        let payload = format!(r#"{{"nonce":"{0}","amount":"{0}","valid_until":{0}}}"#, u64::MAX);
        let created = fact(1, "x402_payment.created", Payload::Clear(payload.into()));
        assert_eq!(pass(machine, &mut record, &created, Turn::InOrder), Outcome::Applied);
        let state = record.state.unwrap();
        assert_eq!(state.get("nonce").and_then(|nonce| nonce.as_str()), Some("18446744073709551615"));
        assert_eq!(state.get("valid_until").and_then(serde_json::Value::as_u64), Some(u64::MAX));
        let mut other = Record::default();
        let beyond = clear(r#"{"nonce":"18446744073709551616"}"#);
        let beyond = fact(1, "x402_payment.created", beyond);
        assert!(matches!(pass(machine, &mut other, &beyond, Turn::InOrder), Outcome::Refused(_)));
    }

    #[test]
    fn a_rule_that_panics_refuses_its_event_and_changes_nothing() {
        fn fails(_: &Scene<'_>, _: &mut Change) -> Result<(), Refusal> {
            panic!("on purpose")
        }
        static BROKEN: Machine = Machine {
            entity: "broken",
            about: "",
            is_own_only: false,
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
