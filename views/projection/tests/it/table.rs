//! Every state and every event of every machine, from the table itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stateset_projection::{
    Fact, Kind, MACHINES, Machine, Need, Outcome, Payload, Reason, Record, Transition, Turn, pass,
};
use ves::EventId;

use crate::world::{fitting, fitting_value};

fn fact(machine: &Machine, transition: &Transition, sequence: u64, payload: &Value) -> Fact<'static> {
    Fact {
        sequence,
        event_id: EventId::from_bytes([7; 16]),
        entity_type: machine.entity.into(),
        entity_id: "it".into(),
        event_type: transition.event.into(),
        base_version: None,
        is_own: true,
        payload: Payload::Clear(payload.to_string().into()),
    }
}

fn go(machine: &Machine, record: &mut Record, transition: &Transition, payload: &Value) -> Outcome {
    let sequence = record.sequence + 1;
    pass(machine, record, &fact(machine, transition, sequence, payload), Turn::InOrder)
}

/// A record in each state that can be reached, the absent one first.
fn reachable(machine: &Machine) -> Vec<Record> {
    let (mut found, mut seen, mut next) = (Vec::new(), BTreeSet::new(), vec![Record::default()]);
    while let Some(record) = next.pop() {
        let status = record.state.as_ref().map(|state| state.status().to_owned());
        if !seen.insert(status) {
            continue;
        }
        for transition in machine.transitions {
            let mut after = record.clone();
            if go(machine, &mut after, transition, &fitting(transition)) == Outcome::Applied {
                next.push(after);
            }
        }
        found.push(record);
    }
    found
}

#[test]
fn every_state_is_reached_and_every_row_names_states_and_events_of_its_machine() {
    for machine in MACHINES {
        let reached: BTreeSet<String> = reachable(machine)
            .iter()
            .filter_map(|record| Some(record.state.as_ref()?.status().to_owned()))
            .collect();
        let named: BTreeSet<String> = machine.states.iter().map(|state| (*state).to_owned()).collect();
        assert_eq!(reached, named, "{}", machine.entity);
        let mut events = BTreeSet::new();
        for Transition { event, from, to, .. } in machine.transitions {
            assert!(events.insert(*event), "{event} stands twice");
            assert_eq!(event.split('.').next(), Some(machine.entity));
            assert!(from.iter().chain(to).all(|state| machine.states.contains(state)), "{event}");
        }
    }
}

#[test]
fn every_event_in_every_state_does_what_its_row_says() {
    for machine in MACHINES {
        for before in reachable(machine) {
            let status = before.state.as_ref().map(|state| state.status().to_owned());
            for transition in machine.transitions {
                let mut after = before.clone();
                let outcome = go(machine, &mut after, transition, &fitting(transition));
                let what = format!("{} when {status:?}", transition.event);
                assert_eq!(after.version, before.version + 1, "{what}");
                let may = match status.as_deref() {
                    None => transition.from.is_empty(),
                    Some(status) => transition.from.contains(&status),
                };
                match (may, outcome) {
                    (true, Outcome::Applied) => {
                        let state = after.state.expect("an applied event leaves a state");
                        assert_eq!(Some(state.status()), transition.to.or(status.as_deref()), "{what}");
                    }
                    (false, Outcome::Refused(refusal)) => {
                        assert_eq!(after.state, before.state, "{what}");
                        let expected = match &status {
                            None => Reason::HandlerError,
                            Some(_) => Reason::InvalidStateTransition,
                        };
                        assert_eq!(refusal.reason, expected, "{what}");
                    }
                    (may, outcome) => panic!("{what}: allowed {may}, and {outcome:?}"),
                }
            }
        }
    }
}

#[test]
fn every_member_that_is_missing_or_wrong_is_named_by_its_path_and_changes_nothing() {
    for machine in MACHINES {
        for before in reachable(machine) {
            for transition in machine.transitions {
                for field in transition.fields {
                    let mut bad = vec![json!(true), json!([[]]), json!(1e300), json!({"amount": "x"})];
                    if matches!(field.kind, Kind::Object) {
                        bad.pop();
                    }
                    if field.need == Need::Required {
                        bad.push(Value::Null);
                    }
                    for value in bad {
                        let mut payload = fitting(transition);
                        payload[field.name] = value.clone();
                        let mut after = before.clone();
                        let outcome = go(machine, &mut after, transition, &payload);
                        let Outcome::Refused(refusal) = outcome else {
                            panic!("{} took {payload}: {outcome:?}", transition.event)
                        };
                        assert_eq!(refusal.reason, Reason::SchemaValidation, "{refusal}");
                        assert!(refusal.message.starts_with(&format!("$.{}", field.name)), "{refusal}");
                        assert_eq!(after.state, before.state);
                    }
                }
            }
        }
    }
}

#[test]
fn a_member_that_is_kept_becomes_a_member_of_the_state() {
    for machine in MACHINES {
        for before in reachable(machine) {
            let status = before.state.as_ref().map(|state| state.status().to_owned());
            for transition in machine.transitions {
                let may = match status.as_deref() {
                    None => transition.from.is_empty(),
                    Some(status) => transition.from.contains(&status),
                };
                let fields = transition.fields.iter().filter(|field| may && field.kept);
                for field in fields {
                    let mut payload = fitting(transition);
                    payload[field.name] = fitting_value(field.kind);
                    let mut after = before.clone();
                    assert_eq!(go(machine, &mut after, transition, &payload), Outcome::Applied);
                    let kept = after.state.unwrap().get(field.name).cloned();
                    assert_eq!(kept, Some(fitting_value(field.kind)), "{} {}", transition.event, field.name);
                }
            }
        }
    }
}

#[test]
fn garbage_is_garbage_in_any_state() {
    let machine = stateset_projection::machine("order").unwrap();
    let created = machine.transition("order.created").unwrap();
    for text in ["", "nonsense", "[]", "1", "\"x\"", "null", "{"] {
        let mut record = Record::default();
        let mut fact = fact(machine, created, 1, &json!({}));
        fact.payload = Payload::Clear(text.into());
        let Outcome::Refused(refusal) = pass(machine, &mut record, &fact, Turn::InOrder) else { panic!() };
        assert_eq!(refusal.reason, Reason::SchemaValidation, "{text}");
        assert_eq!((record.version, record.state), (1, None));
    }
}

#[test]
fn stock_never_goes_below_zero_and_no_sum_overflows() {
    let machine = stateset_projection::machine("inventory").unwrap();
    let mut record = Record::default();
    let mut go = |event: &str, payload: Value| {
        go(machine, &mut record, machine.transition(event).unwrap(), &payload);
        let state = record.state.clone().unwrap();
        ["on_hand", "reserved", "available"].map(|name| state.get(name).unwrap().as_i64().unwrap())
    };
    assert_eq!(go("inventory.initialized", json!({"quantity": 10})), [10, 0, 10]);
    assert_eq!(go("inventory.reserved", json!({"quantity": 11})), [10, 0, 10]);
    assert_eq!(go("inventory.reserved", json!({"quantity": 4})), [10, 4, 6]);
    assert_eq!(go("inventory.reserved", json!({"quantity": 7})), [10, 4, 6]);
    assert_eq!(go("inventory.adjusted", json!({"adjustment": -11})), [10, 4, 6]);
    assert_eq!(go("inventory.adjusted", json!({"adjustment": i64::MAX})), [10, 4, 6]);
    assert_eq!(go("inventory.adjusted", json!({"adjustment": i64::MIN})), [10, 4, 6]);
    assert_eq!(go("inventory.adjusted", json!({"adjustment": -8})), [2, 4, -2]);
    assert_eq!(go("inventory.released", json!({"quantity": 1})), [2, 3, -1]);
    assert_eq!(go("inventory.fulfilled", json!({"quantity": 3})), [2, 3, -1]);
    assert_eq!(go("inventory.fulfilled", json!({"quantity": 2})), [0, 1, -1]);
    assert_eq!(go("inventory.released", json!({"quantity": 5})), [0, 0, 0]);
}

#[test]
fn an_amount_keeps_the_currency_it_was_written_in() {
    let machine = stateset_projection::machine("product").unwrap();
    let mut record = Record::default();
    let mut go = |event: &str, payload: Value| {
        go(machine, &mut record, machine.transition(event).unwrap(), &payload);
        let state = record.state.clone().unwrap();
        ["price", "currency"].map(|name| state.get(name).unwrap().as_str().unwrap().to_owned())
    };
    let created =
        json!({"sku": "s", "name": "n", "price": {"amount": 1250, "currency": "EUR", "exponent": 2}});
    assert_eq!(go("product.created", created), ["12.50", "EUR"]);
    assert_eq!(go("product.updated", json!({"name": "other"})), ["12.50", "EUR"]);
    assert_eq!(go("product.updated", json!({"currency": "JPY"})), ["12.50", "EUR"]);
    assert_eq!(go("product.updated", json!({"price": "13"})), ["13.00", "EUR"]);
    assert_eq!(go("product.updated", json!({"price": "1300", "currency": "JPY"})), ["1300", "JPY"]);
}
