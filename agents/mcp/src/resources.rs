//! Resources: entities, events and schemas by URI.
//!
//! ```text
//! stateset://entities/{entity_type}/{entity_id}    stateset://events/{event_id}    stateset://schemas/{tool}
//! ```

use std::fmt::Write as _;

use serde_json::{Value, json};
use ves::EventId;

use crate::cursor;
use crate::desk::Desk;
use crate::port::PortError;
use crate::schema;

/// Resources of one page.
pub const PAGE: usize = 100;
/// Types of entities that are listed, in the order of the list.
pub const LISTED: &[&str] = &["product", "inventory", "customer", "order", "return"];
const LIST: &str = "resources";
/// Longer than any URI of ours: an id has at most 256 bytes, each written as three.
const URI_BYTES_MAX: usize = 2048;

/// A resource as it is listed.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    pub uri: String,
    pub name: String,
    pub about: String,
}

/// A form of URIs.
pub struct Template {
    pub uri: &'static str,
    pub name: &'static str,
    pub about: &'static str,
}

pub static TEMPLATES: &[Template] = &[
    Template {
        uri: "stateset://entities/{entity_type}/{entity_id}",
        name: "entity",
        about: "The present state of one entity, such as order ORD-1; ids are percent-encoded",
    },
    Template {
        uri: "stateset://events/{event_id}",
        name: "event",
        about: "One signed event that was pulled or appended here",
    },
    Template {
        uri: "stateset://schemas/{tool}",
        name: "schema",
        about: "The schemas of a tool's arguments and results",
    },
];

/// Why a resource can't be read.
#[derive(Debug)]
pub enum ResourceError {
    /// No URI of ours.
    BadUri(String),
    NotFound(String),
    Port(PortError),
}

/// What a URI names.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Entity { entity_type: String, entity_id: String },
    Event(EventId),
    Schema(String),
}

/// The JSON of a resource.
///
/// # Errors
/// [`ResourceError`].
pub fn read(desk: &Desk, uri: &str) -> Result<Value, ResourceError> {
    let absent = || ResourceError::NotFound(uri.chars().take(URI_BYTES_MAX).collect());
    match parse(uri).map_err(ResourceError::BadUri)? {
        Name::Entity { entity_type, entity_id } => {
            let entity = desk.entities().get(&entity_type, &entity_id).map_err(ResourceError::Port)?;
            entity.map(|entity| crate::desk::entity_body(&entity)).ok_or_else(absent)
        }
        Name::Event(id) => {
            let event = desk.entities().event(id).map_err(ResourceError::Port)?;
            event.map(|event| crate::desk::event_body(&event)).ok_or_else(absent)
        }
        Name::Schema(name) => {
            let tool = desk.tool(&name).ok_or_else(absent)?;
            Ok(json!({
                "tool": tool.name,
                "input": schema::input(tool),
                "output": schema::output(tool),
            }))
        }
    }
}

/// A page of resources: the schemas, then the entities by type and id.
///
/// # Errors
/// What is wrong with the cursor, or why the entities can't be read.
pub fn list(
    desk: &Desk,
    cursor: Option<&str>,
) -> Result<(Vec<Listed>, Option<String>), Result<String, PortError>> {
    let wrong = || Ok("is no cursor of this list: begin without one".to_owned());
    // The place is `type NUL id`, the last one listed; schemas are the type before all.
    let place = cursor.map(|text| cursor::read(LIST, text)).transpose().map_err(Ok)?;
    let (mut at, mut after) = match &place {
        None => (0, None),
        Some(place) => {
            let (entity_type, id) = place.split_once('\0').ok_or_else(wrong)?;
            let at = LISTED.iter().position(|listed| *listed == entity_type).ok_or_else(wrong)?;
            (at, Some(id.to_owned()))
        }
    };
    let mut found = if place.is_none() { schemas(desk) } else { Vec::new() };
    let entities = desk.entities();
    while at < LISTED.len() {
        let room = PAGE.saturating_sub(found.len());
        // One more than fits tells whether there is another page.
        let chunk = entities.list(LISTED[at], after.as_deref(), room + 1).map_err(Err)?;
        let is_more = chunk.len() > room;
        for entity in chunk.into_iter().take(room) {
            after = Some(entity.entity_id.clone());
            if entity.version > 0 {
                found.push(listed_entity(LISTED[at], &entity.entity_id));
            }
        }
        if is_more {
            let place = format!("{}\0{}", LISTED[at], after.unwrap_or_default());
            return Ok((found, Some(cursor::write(LIST, &place))));
        }
        (at, after) = (at + 1, None);
    }
    Ok((found, None))
}

fn schemas(desk: &Desk) -> Vec<Listed> {
    let schema = |name: &str| Listed {
        uri: format!("stateset://schemas/{name}"),
        name: format!("schema of {name}"),
        about: format!("Schemas of the arguments and results of {name}"),
    };
    desk.tools().map(|tool| schema(tool.name)).collect()
}

fn listed_entity(entity_type: &str, id: &str) -> Listed {
    Listed {
        uri: format!("stateset://entities/{}/{}", encode(entity_type), encode(id)),
        name: format!("{entity_type} {id}"),
        about: format!("Present state of {entity_type} {id}"),
    }
}

fn parse(uri: &str) -> Result<Name, String> {
    let wrong =
        || "must be stateset://entities/TYPE/ID, stateset://events/ID or stateset://schemas/TOOL".to_owned();
    if uri.len() > URI_BYTES_MAX {
        return Err(wrong());
    }
    let path = uri.strip_prefix("stateset://").ok_or_else(wrong)?;
    let mut parts = path.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some("entities"), Some(entity_type), Some(id)) => Name::Entity {
            entity_type: decode(entity_type).ok_or_else(wrong)?,
            entity_id: decode(id).ok_or_else(wrong)?,
        },
        (Some("events"), Some(id), None) => Name::Event(id.parse().map_err(|_| wrong())?),
        (Some("schemas"), Some(tool), None) => Name::Schema(decode(tool).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    if parts.next().is_some() { Err(wrong()) } else { Ok(name) }
}

/// Percent-encoding of everything but the unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// `None` for a broken escape, text that is not UTF-8, a NUL, or nothing.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let (digits, after) = (after.get(..2)?, after.get(2..)?);
            let digit = |b: u8| char::from(b).to_digit(16);
            bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
            rest = after;
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_uri_names_its_entity_whatever_the_id_is(id in "[^\u{0}]{1,60}") {
            let Listed { uri, .. } = listed_entity("order", &id);
            let name = Name::Entity { entity_type: "order".to_owned(), entity_id: id };
            prop_assert_eq!(parse(&uri), Ok(name));
        }

        #[test]
        fn no_uri_panics(uri in "(stateset://)?.{0,60}") {
            let _ = parse(&uri);
        }
    }

    #[test]
    fn what_is_no_uri_of_ours_is_refused() {
        for bad in [
            "",
            "file:///etc/passwd",
            "stateset://",
            "stateset://entities/order",
            "stateset://entities/order/%zz",
            "stateset://entities/order/1/2",
            "stateset://events/1",
            "stateset://entities//1",
            "stateset://entities/a/%00",
            "stateset://entities/order/%",
            "stateset://schemas/order_get/x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
