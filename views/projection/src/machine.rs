//! What a state machine is, and the one step of it.

use serde_json::{Map, Value};

use crate::field::{self, Field, Given};
use crate::pass::Payload;
use crate::record::{STATUS, State};
use crate::refusal::{Reason, Refusal};

/// The rules of one kind of entity.
pub struct Machine {
    /// `entity_type` of its events.
    pub entity: &'static str,
    /// One sentence for the documentation.
    pub about: &'static str,
    /// Whether only the sequencer's own agent tells of it: events of others are counted, and change nothing.
    pub is_own_only: bool,
    /// Every state an entity can be in. Absent is none of them.
    pub states: &'static [&'static str],
    pub transitions: &'static [Transition],
}

/// One row of the table: what one event type does.
pub struct Transition {
    /// `event_type`.
    pub event: &'static str,
    /// States it may follow; empty: the entity must not exist yet.
    pub from: &'static [&'static str],
    /// The state it leads to; `None` leaves the state as it is.
    pub to: Option<&'static str>,
    pub fields: &'static [Field],
    /// What else it changes or demands, in words and as code.
    pub rule: Option<(&'static str, Rule)>,
}

/// Reads the scene and completes the change, or refuses.
pub type Rule = fn(&Scene<'_>, &mut Change) -> Result<(), Refusal>;

/// What a rule looks at.
pub struct Scene<'a> {
    pub entity_id: &'a str,
    pub state: Option<&'a State>,
    given: &'a Given,
}

impl Scene<'_> {
    /// A member of the payload that was read.
    pub fn given(&self, name: &str) -> Option<&Value> {
        self.given.iter().find(|(field, _)| field.name == name).map(|(_, value)| value)
    }
    /// A number of the payload; 0 where there is none, which no required field is.
    pub fn integer(&self, name: &str) -> i64 {
        self.given(name).and_then(Value::as_i64).unwrap_or(0)
    }
    /// A number of the present state.
    pub fn present(&self, name: &str) -> i64 {
        self.state.map_or(0, |state| state.integer(name))
    }
}

/// Members to set; nothing is changed until all of it is known.
#[derive(Debug, Default)]
pub struct Change(Vec<(&'static str, Value)>);

impl Change {
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }
}

impl Machine {
    /// The row of an event type; other event types are none of this machine's business.
    pub fn transition(&self, event_type: &str) -> Option<&'static Transition> {
        self.transitions.iter().find(|transition| transition.event == event_type)
    }
}

/// Makes the step of one event: `state` is changed, or nothing is.
///
/// The payload is looked at before the state, so that garbage is garbage whatever the entity is.
///
/// # Errors
/// [`Refusal`] with every reason but a version conflict.
pub fn apply(
    transition: &'static Transition,
    entity_id: &str,
    state: &mut Option<State>,
    payload: &Payload<'_>,
) -> Result<(), Refusal> {
    let given = match payload {
        Payload::Clear(text) if !transition.fields.is_empty() => {
            let value: Value = serde_json::from_str(text)
                .map_err(|error| Refusal::payload("$", format_args!("is no JSON: {error}")))?;
            let currency = state.as_ref().and_then(|state| state.get("currency")).and_then(Value::as_str);
            field::read(transition.fields, &value, currency)?
        }
        _ => Vec::new(),
    };
    allowed(transition, state.as_ref().map(State::status))?;
    let mut change = Change::default();
    if let Some(to) = transition.to {
        change.set(STATUS, to);
    }
    if let Some((_, rule)) = transition.rule {
        rule(&Scene { entity_id, state: state.as_ref(), given: &given }, &mut change)?;
    }
    let members = &mut state.get_or_insert_with(|| State(Map::new())).0;
    for (field, value) in given {
        if field.kept {
            members.insert(field.name.to_owned(), value);
        }
    }
    for (name, value) in change.0 {
        members.insert(name.to_owned(), value);
    }
    Ok(())
}

/// Whether the event may follow this status; `None`: the entity does not exist.
fn allowed(transition: &Transition, status: Option<&str>) -> Result<(), Refusal> {
    let Transition { event, from, .. } = transition;
    match status {
        None if from.is_empty() => Ok(()),
        None => Err(Refusal::new(Reason::HandlerError, format!("{event}: the entity does not exist yet"))),
        Some(status) if from.contains(&status) => Ok(()),
        Some(status) if from.is_empty() => Err(Refusal::new(
            Reason::InvalidStateTransition,
            format!("{event}: the entity exists already and is {status}"),
        )),
        Some(status) => Err(Refusal::new(
            Reason::InvalidStateTransition,
            format!("{event}: the entity is {status}, which must be {}", from.join(" or ")),
        )),
    }
}
