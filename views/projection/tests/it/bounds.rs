//! No payload makes a state that can't be written, or can't be read back.

use serde_json::{Value, json};
use stateset_projection::{
    Fact, Kind, MACHINES, Outcome, Payload, Reason, Record, Refusal, STATE_BYTES_MAX, Turn, machine, pass,
};
use ves::EventId;

use crate::world::fitting;

fn go(record: &mut Record, event: &str, payload: &Value) -> Outcome {
    let entity = event.split('.').next().unwrap();
    let fact = Fact {
        sequence: record.sequence + 1,
        event_id: EventId::from_bytes([7; 16]),
        entity_type: entity.into(),
        entity_id: "it".into(),
        event_type: event.into(),
        base_version: None,
        is_own: true,
        payload: Payload::Clear(payload.to_string().into()),
    };
    pass(machine(entity).unwrap(), record, &fact, Turn::InOrder)
}

fn broken(outcome: Outcome) -> Refusal {
    let Outcome::Refused(refusal) = outcome else { panic!("it was not refused: {outcome:?}") };
    assert_eq!(refusal.reason, Reason::InvariantViolation);
    refusal
}

/// Objects and lists in turns, so many within each other.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inside, level| match level % 2 {
        0 => json!({ "a": inside }),
        _ if level + 1 == levels => json!({ "a": inside }),
        _ => json!([inside]),
    })
}

#[test]
fn an_object_is_kept_as_deep_as_its_state_is_surely_read_back_and_no_deeper() {
    let mut objects = 0;
    for machine in MACHINES {
        for transition in machine.transitions {
            let all = transition.fields.iter().filter(|field| field.kind == Kind::Object);
            for field in all {
                objects += 1;
                let creates = machine.transitions.iter().find(|first| first.from.is_empty()).unwrap();
                let mut before = Record::default();
                if !transition.from.is_empty() {
                    assert_eq!(go(&mut before, creates.event, &fitting(creates)), Outcome::Applied);
                }
                // 125 levels and the payload itself are the deepest that ingest takes.
                for levels in [64, 65, 125] {
                    let (mut record, mut payload) = (before.clone(), fitting(transition));
                    payload[field.name] = nested(levels);
                    let outcome = go(&mut record, transition.event, &payload);
                    let text = serde_json::to_string(&record).unwrap();
                    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
                    if levels == 64 {
                        assert_eq!(outcome, Outcome::Applied, "{}", transition.event);
                        continue;
                    }
                    let refusal = broken(outcome);
                    assert!(refusal.message.starts_with(&format!("$.{}", field.name)), "{refusal}");
                    assert_eq!(record.state, before.state);
                }
            }
        }
    }
    assert!(objects >= 4);
}

#[test]
fn a_state_grows_to_its_bound_to_the_byte_and_what_brings_nothing_is_never_too_much() {
    let mut record = Record::default();
    let product = |length: usize| json!({"sku": "s", "name": "n", "description": "d".repeat(length)});
    let bytes = |record: &Record| serde_json::to_string(record.state.as_ref().unwrap()).unwrap().len();
    assert_eq!(go(&mut record, "product.created", &product(1)), Outcome::Applied);
    let full = STATE_BYTES_MAX - bytes(&record) + 1;
    assert_eq!(go(&mut record, "product.updated", &product(full)), Outcome::Applied);
    assert_eq!(bytes(&record), STATE_BYTES_MAX);
    let before = record.clone();
    let refusal = broken(go(&mut record, "product.updated", &product(full + 1)));
    assert!(refusal.message.contains("262144 bytes"), "{refusal}");
    assert_eq!((record.version, &record.state), (3, &before.state));
    assert_eq!(go(&mut record, "product.deactivated", &json!({})), Outcome::Applied);
    assert_eq!(go(&mut record, "product.updated", &product(1)), Outcome::Applied, "and it may shrink");
}

#[test]
fn large_addresses_of_one_customer_end_at_the_bound_of_its_state() {
    let mut record = Record::default();
    let customer = json!({"email": "e", "name": "n"});
    assert_eq!(go(&mut record, "customer.created", &customer), Outcome::Applied);
    let address = json!({"address": {"street": "s".repeat(100_000)}});
    let outcomes: Vec<_> = (0..5).map(|_| go(&mut record, "customer.address_added", &address)).collect();
    assert!(outcomes[..2].iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    for outcome in outcomes.into_iter().skip(2) {
        broken(outcome);
    }
    assert_eq!(record.state.unwrap().get("addresses").unwrap().as_array().unwrap().len(), 2);
}
