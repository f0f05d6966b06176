//! What a state machine is, and the one step of it.

use std::io;

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

    /// The shortest way from an entity that does not exist to where an event of this type fits: the types of the events
    /// before it, in order. `None` where no way leads there, and for a type that is unknown here.
    pub fn way_to(&self, event_type: &str) -> Option<Vec<&'static str>> {
        let wanted = self.transition(event_type)?;
        let fits = |state: Option<&'static str>| match state {
            None => wanted.from.is_empty(),
            Some(state) => wanted.from.contains(&state),
        };
        let (mut ways, mut seen) = (vec![(None, Vec::new())], Vec::new());
        let mut at = 0;
        while let Some((state, way)) = ways.get(at).cloned() {
            if fits(state) {
                return Some(way);
            }
            for step in self.transitions {
                let follows = state.map_or(step.from.is_empty(), |state| step.from.contains(&state));
                if let Some(to) = step.to.filter(|to| follows && !seen.contains(to)) {
                    seen.push(to);
                    ways.push((Some(to), way.iter().copied().chain([step.event]).collect()));
                }
            }
            at += 1;
        }
        None
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
    // What brings nothing of a payload is never too much: an order with a full state can still be cancelled.
    let is_bounded = !given.is_empty();
    let mut changed = Map::new();
    for (field, value) in given {
        if field.kept {
            changed.insert(field.name.to_owned(), value);
        }
    }
    for (name, value) in change.0 {
        changed.insert(name.to_owned(), value);
    }
    if is_bounded && !fits(state.as_ref(), &changed) {
        let event = transition.event;
        return Err(Refusal::invariant(format!(
            "{event}: the state would have more than {STATE_BYTES_MAX} bytes"
        )));
    }
    state.get_or_insert_with(|| State(Map::new())).0.extend(changed);
    Ok(())
}

/// Bytes of a state as JSON. A state is written whole with each batch that changes it, so without a bound a stream of large
/// payloads about one entity costs the square of their bytes, and all other streams wait for it.
pub const STATE_BYTES_MAX: usize = 256 << 10;

/// Whether the state has at most [`STATE_BYTES_MAX`] bytes once these members are in it.
fn fits(state: Option<&State>, changed: &Map<String, Value>) -> bool {
    let present = state.into_iter().flat_map(|state| &state.0);
    let left = present.filter(|(name, _)| !changed.contains_key(*name));
    // A member is written with quotes, a colon and a comma; braces stand around all, and no comma behind the last.
    let mut room = Room(STATE_BYTES_MAX - 1);
    left.chain(changed).all(|(name, value)| {
        room.takes(name.len() + r#""":,"#.len()) && serde_json::to_writer(&mut room, value).is_ok()
    })
}

/// Counts what is written, and refuses more than there is room for: nothing is built to be measured.
struct Room(usize);

impl Room {
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.takes(bytes.len()) {
            true => Ok(bytes.len()),
            false => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
