//! From the JSON of one older event to a [`LegacyEvent`]: shape only, the rules are [`LegacyEvent::check`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::event::LegacyEvent;
use crate::envelope::{DecodeError, Undecodable, integer, parse_uuid};
use crate::hash::Digest;
use crate::hex;
use crate::ids::{AgentId, CommandId, EventId, StoreId, StreamKey, TenantId};
use crate::json;
use crate::reject::Rejection;

/// Names of section 2.3 and their camelCase spelling.
const MEMBERS: [(&str, &str); 15] = [
    ("envelope_version", "envelopeVersion"),
    ("event_id", "eventId"),
    ("command_id", "commandId"),
    ("tenant_id", "tenantId"),
    ("store_id", "storeId"),
    ("entity_type", "entityType"),
    ("entity_id", "entityId"),
    ("event_type", "eventType"),
    ("payload", "payload"),
    ("payload_hash", "payloadHash"),
    ("base_version", "baseVersion"),
    ("created_at", "createdAt"),
    ("source_agent", "sourceAgent"),
    ("signature", "signature"),
    // The sequencer gives the number; one that is sent is ignored.
    ("sequence_number", "sequenceNumber"),
];

/// Members of one event as found in a text and borrowed from it. Anything may be missing, repeated or of a wrong type.
#[derive(Debug, Clone)]
pub struct RawLegacyEvent<'a> {
    values: [Option<&'a str>; MEMBERS.len()],
    /// The first known member that occurred twice.
    repeated: Option<&'static str>,
    /// Members this version does not know.
    others: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> RawLegacyEvent<'a> {
    /// Splits the JSON of one event.
    ///
    /// # Errors
    /// [`DecodeError::TooDeep`] refuses the whole request; a text that is no object refuses this event.
    pub fn read(text: &'a str) -> Result<Self, DecodeError> {
        // The event's own object is one level.
        if json::is_too_deep(text.trim_start().strip_prefix('{').unwrap_or(text)) {
            return Err(DecodeError::TooDeep);
        }
        serde_json::from_str(text).map_err(|error| {
            let problem =
                if error.is_data() { "must be a JSON object".to_owned() } else { error.to_string() };
            let rejection = Rejection::schema("event", problem);
            DecodeError::Event(Undecodable { event_id: None, stream: None, rejection })
        })
    }

    pub fn event_id(&self) -> Option<EventId> {
        self.readable("event_id").map(EventId)
    }
    pub fn tenant_id(&self) -> Option<TenantId> {
        self.readable("tenant_id").map(TenantId)
    }
    pub fn store_id(&self) -> Option<StoreId> {
        self.readable("store_id").map(StoreId)
    }
    pub fn source_agent(&self) -> Option<AgentId> {
        self.readable("source_agent").map(AgentId)
    }
    /// The payload's text as it was sent.
    pub fn payload(&self) -> Option<&'a str> {
        self.found("payload")
    }

    /// The event, its shape checked.
    ///
    /// # Errors
    /// The first member at fault, as a `schema_validation`.
    pub fn event(&self) -> Result<LegacyEvent, Undecodable> {
        self.shape().map_err(|rejection| self.refused(rejection))
    }

    /// This event, refused: named as far as its names can be read.
    pub fn refused(&self, rejection: Rejection) -> Undecodable {
        let stream = self.tenant_id().zip(self.store_id());
        let stream = stream.map(|(tenant_id, store_id)| StreamKey { tenant_id, store_id });
        Undecodable { event_id: self.event_id(), stream, rejection }
    }

    fn shape(&self) -> Result<LegacyEvent, Rejection> {
        self.check_members()?;
        if self.optional("envelope_version").is_some_and(|text| integer::<u64>(text) != Some(1)) {
            return Err(Rejection::schema("envelope_version", "must be 1"));
        }
        let tenant_id = TenantId(self.uuid("tenant_id")?);
        let store_id = StoreId(self.uuid("store_id")?);
        Ok(LegacyEvent {
            event_id: EventId(self.uuid("event_id")?),
            command_id: self
                .optional("command_id")
                .map(|_| self.uuid("command_id"))
                .transpose()?
                .map(CommandId),
            stream: StreamKey { tenant_id, store_id },
            entity_type: self.text("entity_type")?,
            entity_id: self.text("entity_id")?,
            event_type: self.text("event_type")?,
            // An explicit null is a payload; a payload that is absent is none (section 22).
            payload: self.found("payload").ok_or_else(|| missing("payload"))?.to_owned(),
            payload_hash: self.digest("payload_hash")?,
            base_version: self.base_version()?,
            created_at: self.text("created_at")?,
            source_agent: AgentId(self.uuid("source_agent")?),
            signature: self.signature()?,
        })
    }

    /// No member may be repeated, and those that nobody knows must be JSON.
    fn check_members(&self) -> Result<(), Rejection> {
        let repeated = |name: &str| Err(Rejection::schema(name, "the member is repeated"));
        if let Some(name) = self.repeated {
            return repeated(name);
        }
        let mut names: Vec<&str> = self.others.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return repeated(pair[0]);
        }
        let ignored = self.found("sequence_number").map(|text| ("sequence_number", text));
        for (name, text) in self.others.iter().map(|(name, text)| (name.as_ref(), *text)).chain(ignored) {
            json::canonicalize(text)
                .map_err(|error| Rejection::schema(error.path_under(name), error.problem()))?;
        }
        Ok(())
    }

    fn found(&self, name: &str) -> Option<&'a str> {
        let at = MEMBERS.iter().position(|(snake, _)| *snake == name)?;
        self.values[at]
    }

    /// A member's text; `null` reads as absent.
    fn optional(&self, name: &str) -> Option<&'a str> {
        self.found(name).filter(|text| *text != "null")
    }

    fn required(&self, name: &str) -> Result<&'a str, Rejection> {
        self.optional(name).ok_or_else(|| missing(name))
    }

    fn text(&self, name: &str) -> Result<String, Rejection> {
        let text = json::string_value(self.required(name)?);
        text.map(Cow::into_owned).ok_or_else(|| Rejection::schema(name, "must be a string"))
    }

    fn uuid(&self, name: &str) -> Result<uuid::Uuid, Rejection> {
        parse_uuid(&self.text(name)?).ok_or_else(|| Rejection::schema(name, "must be a hyphenated UUID"))
    }

    fn readable(&self, name: &str) -> Option<uuid::Uuid> {
        parse_uuid(&json::string_value(self.optional(name)?)?)
    }

    fn digest(&self, name: &str) -> Result<Digest, Rejection> {
        let digits = self.text(name)?;
        hex::decode_lenient(&digits).map(Digest).map_err(|error| Rejection::schema(name, error.to_string()))
    }

    fn base_version(&self) -> Result<Option<u64>, Rejection> {
        let problem = || Rejection::schema("base_version", "must be an integer below 2^64");
        self.optional("base_version").map(|text| integer(text).ok_or_else(problem)).transpose()
    }

    fn signature(&self) -> Result<Option<Vec<u8>>, Rejection> {
        let problem = |_| Rejection::schema("signature", "must be a list of bytes, 0 to 255 each");
        self.optional("signature").map(|text| serde_json::from_str(text).map_err(problem)).transpose()
    }
}

fn missing(name: &str) -> Rejection {
    Rejection::schema(name, "is missing")
}

impl<'de: 'a, 'a> Deserialize<'de> for RawLegacyEvent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = RawLegacyEvent<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, which is a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut raw = RawLegacyEvent { values: [None; MEMBERS.len()], repeated: None, others: Vec::new() };
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let value = map.next_value::<&RawValue>()?.get();
            match MEMBERS.iter().position(|(snake, camel)| name == *snake || name == *camel) {
                Some(at) => {
                    if raw.values[at].replace(value).is_some() {
                        raw.repeated.get_or_insert(MEMBERS[at].0);
                    }
                }
                None => raw.others.push((name, value)),
            }
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"event_id":"01010101-0101-0101-0101-010101010101",
        "tenant_id":"02020202-0202-0202-0202-020202020202","storeId":"03030303-0303-0303-0303-030303030303",
        "entity_type":"order","entity_id":"1","event_type":"order.created","payload":null,
        "payload_hash":"0x74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b",
        "created_at":"2026-01-02T03:04:05Z","source_agent":"05050505-0505-0505-0505-050505050505","x":[1]}"#;

    fn field_at_fault(text: &str) -> String {
        match RawLegacyEvent::read(text).unwrap().event().unwrap_err().rejection {
            Rejection::SchemaValidation { field, .. } => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_spellings_are_read_and_null_is_a_payload() {
        let event = RawLegacyEvent::read(GOOD).unwrap().event().unwrap();
        assert_eq!((event.payload.as_str(), event.stream.store_id), ("null", StoreId::from_bytes([3; 16])));
        event.check().expect("the hash is that of null");
    }

    #[test]
    fn a_bad_member_refuses_the_event_by_its_name() {
        for (good, bad, field) in [
            ("\"event_id\":\"01", "\"event_id\":\"1", "event_id"),
            ("\"payload\":null,", "", "payload"),
            ("\"x\":[1]", "\"x\":1,\"x\":2", "x"),
            ("\"x\":[1]", "\"x\":1e999", "x"),
            ("\"x\":[1]", "\"store_id\":1", "store_id"),
            ("\"x\":[1]", "\"signature\":[256]", "signature"),
            ("\"x\":[1]", "\"base_version\":-1", "base_version"),
            ("\"x\":[1]", "\"envelope_version\":2", "envelope_version"),
            ("\"x\":[1]", "\"sequence_number\":{\"a\":1,\"a\":2}", "sequence_number.a"),
            ("0x7423", "0x742", "payload_hash"),
            ("\"order\"", "7", "entity_type"),
        ] {
            assert_eq!(field_at_fault(&GOOD.replace(good, bad)), field, "{bad}");
        }
    }

    #[test]
    fn depth_is_the_request_s_fault_and_a_list_is_no_event() {
        let deep = GOOD.replace("[1]", &format!("{}{}", "[".repeat(129), "]".repeat(129)));
        assert_eq!(RawLegacyEvent::read(&deep).unwrap_err(), DecodeError::TooDeep);
        let allowed = GOOD.replace("[1]", &format!("{}{}", "[".repeat(128), "]".repeat(128)));
        RawLegacyEvent::read(&allowed).unwrap().event().unwrap();
        assert!(matches!(RawLegacyEvent::read("[]"), Err(DecodeError::Event(_))));
    }
}
