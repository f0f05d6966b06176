//! `stateset trigger`: one sample event of a type, signed and pushed.

use clap::Args;
use serde_json::{Map, Value, json};
use stateset_client::PushResult;
use stateset_keystore::KeyName;
use stateset_sequencer::{Clock as _, SystemClock};
use ves::draft::Draft;
use ves::{EventId, SequenceNumber};

use crate::context::Context;
use crate::error::{CliError, printable};
use crate::installation::{agent_of, random};

#[derive(Debug, Args)]
pub struct TriggerArgs {
    /// For example order.created; what stands before the dot is the type of the entity. A payload is made for
    /// order.created, product.created, customer.created, customer.address_added, return.requested and inventory.*; others are empty but for --set.
    /// For a new entity the events come first that it has to have had, as order.confirmed before order.processing
    #[arg(value_parser = event_type)]
    pub event_type: String,
    /// A member of the payload: customer_id=C-17, shipping.city=Oslo, total=12.5; JSON where it is JSON, else text
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Which entity [default: a new one]
    #[arg(long, value_name = "TEXT")]
    pub entity_id: Option<String>,
    /// Name of the signing key
    #[arg(long, value_name = "KEY", default_value = "agent")]
    pub key: KeyName,
}

fn event_type(text: &str) -> Result<String, String> {
    match text.split_once('.') {
        Some((entity, event)) if !entity.is_empty() && !event.is_empty() => Ok(text.to_owned()),
        _ => Err("expected the type of an entity, a dot and what happens, such as order.created".to_owned()),
    }
}

pub fn run(context: &Context, args: &TriggerArgs) -> Result<(), CliError> {
    let mut payload = sample(&args.event_type);
    for setting in &args.set {
        let (path, value) = setting.split_once('=').ok_or_else(|| {
            CliError::input("USAGE", format!("--set {}: expected NAME=VALUE", printable(setting)))
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        set(&mut payload, path, value)?;
    }
    let (entity_id, before) = match &args.entity_id {
        Some(id) => (id.clone(), Vec::new()),
        None => (new_entity(&args.event_type)?, way_to(&args.event_type)),
    };
    let mut told = Vec::with_capacity(before.len());
    for event_type in before {
        let payload = Value::Object(sample(event_type));
        let event = Event { event_type: event_type.to_owned(), entity_id: entity_id.clone(), payload };
        told.push((push(context, &args.key, &event)?, event));
    }
    let event = Event { event_type: args.event_type.clone(), entity_id, payload: Value::Object(payload) };
    let number = push(context, &args.key, &event)?;
    let numbers: Vec<SequenceNumber> = told.iter().map(|(number, _)| *number).collect();
    let value = json!({
        "sequence_number": number, "event_type": event.event_type, "entity_id": event.entity_id,
        "payload": event.payload, "before": numbers,
    });
    told.push((number, event));
    let lines: Vec<String> = told.iter().map(|(number, event)| line(*number, event)).collect();
    context.out.result(&value, &lines.join("\n"));
    Ok(())
}

fn line(number: SequenceNumber, event: &Event) -> String {
    let (event_type, entity_id) = (printable(&event.event_type), printable(&event.entity_id));
    format!("{number}  {event_type}  {entity_id}  {}", printable(&event.payload.to_string()))
}

/// What an entity has to have had before such an event; nothing for types that projections do not know.
fn way_to(event_type: &str) -> Vec<&'static str> {
    let machine = event_type.split('.').next().and_then(stateset_projection::machine);
    // What the service alone tells of is not begun by anybody else.
    let machine = machine.filter(|machine| !machine.is_own_only);
    machine.and_then(|machine| machine.way_to(event_type)).unwrap_or_default()
}

/// An event that is made here.
pub struct Event {
    pub event_type: String,
    pub entity_id: String,
    pub payload: Value,
}

impl Event {
    /// What stands before the first dot of its type.
    fn entity_type(&self) -> &str {
        self.event_type.split('.').next().unwrap_or_default()
    }
}

/// Signs and pushes one event; its number.
pub fn push(context: &Context, key: &KeyName, event: &Event) -> Result<SequenceNumber, CliError> {
    let (client, stream, keys) = (context.client()?, context.stream()?, context.keystore()?);
    let (agent, key_id) = agent_of(&keys.info(key)?)?;
    let draft = Draft {
        stream,
        event_id: EventId::random(random()?),
        source_agent_id: agent,
        agent_key_id: key_id,
        entity_type: event.entity_type().into(),
        entity_id: event.entity_id.as_str().into(),
        event_type: event.event_type.as_str().into(),
        created_at: SystemClock.now().to_string().into(),
        command_id: None,
        base_version: None,
    };
    let signed = draft
        .sign(&event.payload.to_string(), keys.signer(key)?.as_ref())
        .map_err(|error| CliError::input("BAD_EVENT", error.to_string()))?;
    let outcome = client.push(&[signed], |_| ())?;
    match outcome.results.into_iter().next() {
        Some((_, PushResult::Stored(receipt))) => Ok(receipt.sequence_number),
        Some((_, PushResult::Rejected(rejection))) => {
            let message = format!("{}: {}", rejection.reason, rejection.detail);
            let error = CliError::failure("EVENT_REJECTED", message);
            Err(match rejection.code.as_str() {
                "agent_key_invalid" => {
                    error.hint(format!("register the key with `stateset key register {key}`"))
                }
                _ => error,
            })
        }
        None => Err(CliError::failure("UNREADABLE_ANSWER", "the server says nothing of the event")),
    }
}

/// A name for an entity that nothing else has: `ORDER-3F2A91C4`.
pub fn new_entity(event_type: &str) -> Result<String, CliError> {
    let kind = event_type.split('.').next().unwrap_or_default().to_ascii_uppercase();
    Ok(format!("{kind}-{}", ves::hex::encode(&random::<4>()?).to_ascii_uppercase()))
}

/// What the projections need of an event of this type, with plain values; nothing of one that they do not know.
fn sample(event_type: &str) -> Map<String, Value> {
    let payload = match event_type {
        "order.created" => json!({
            "customer_id": "CUSTOMER-1", "currency": "USD", "total_amount": "42.00",
            "line_items": [{"product_id": "PRODUCT-1", "quantity": 2, "unit_price": "21.00"}],
        }),
        "inventory.initialized" => json!({"quantity": 100}),
        "inventory.adjusted" => json!({"adjustment": -1}),
        "inventory.reserved" | "inventory.released" | "inventory.fulfilled" => json!({"quantity": 1}),
        "product.created" => {
            json!({"name": "Coffee, 250 g", "sku": "COFFEE-250", "price": "21.00", "currency": "USD"})
        }
        "customer.created" => json!({"name": "Ada Example", "email": "ada@example.com"}),
        "customer.address_added" => {
            json!({"address": {"line1": "1 Example Street", "city": "Oslo", "country": "NO"}})
        }
        "return.requested" => {
            json!({"order_id": "ORDER-1", "customer_id": "CUSTOMER-1", "reason": "damaged"})
        }
        _ => json!({}),
    };
    payload.as_object().cloned().unwrap_or_default()
}

/// Sets a member by its path, with dots between names.
fn set(payload: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), CliError> {
    let bad = |why: &str| CliError::input("USAGE", format!("--set {}: {why}", printable(path)));
    let (mut at, mut names) = (payload, path.split('.').peekable());
    while let Some(name) = names.next() {
        if name.is_empty() {
            return Err(bad("a name is empty"));
        }
        if names.peek().is_none() {
            at.insert(name.to_owned(), value);
            return Ok(());
        }
        let member = at.entry(name).or_insert_with(|| json!({}));
        at = member.as_object_mut().ok_or_else(|| bad("a member on the way is no object"))?;
    }
    Err(bad("a name is empty"))
}

#[cfg(test)]
mod tests {
    use stateset_projection::Need;

    use super::*;

    #[test]
    fn a_type_says_of_what_and_what() {
        assert_eq!(event_type("order.line.added"), Ok("order.line.added".to_owned()));
        for bad in ["", "list", ".created", "order."] {
            assert!(event_type(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_and_what_comes_before_it_have_what_projections_need() {
        assert_eq!(way_to("order.shipped"), ["order.created", "order.confirmed", "order.processing"]);
        assert_eq!(way_to("order.created"), [""; 0]);
        assert_eq!(way_to("painting.sold"), [""; 0]);
        let all = stateset_projection::MACHINES.iter().flat_map(|machine| machine.transitions);
        for event in
            all.clone().flat_map(|transition| way_to(transition.event).into_iter().chain([transition.event]))
        {
            let row = all.clone().find(|transition| transition.event == event).expect("a row");
            let required = row.fields.iter().filter(|field| matches!(field.need, Need::Required));
            let sample = sample(event);
            for field in required {
                assert!(sample.contains_key(field.name), "{event}: {}", field.name);
            }
        }
    }

    #[test]
    fn members_are_set_by_their_paths() {
        let mut payload = sample("order.created");
        for (path, value) in
            [("customer_id", json!("C-2")), ("shipping.city", json!("Oslo")), ("shipping.n", json!(3))]
        {
            set(&mut payload, path, value).expect("a path");
        }
        assert_eq!(
            (&payload["customer_id"], &payload["shipping"]),
            (&json!("C-2"), &json!({"city": "Oslo", "n": 3}))
        );
        for bad in ["", "a.", ".a", "customer_id.x"] {
            assert!(set(&mut payload, bad, json!(1)).is_err(), "{bad}");
        }
    }
}
