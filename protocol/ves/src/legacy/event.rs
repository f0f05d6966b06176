//! An event of the older form (sequencer API, section 2.3), what must hold before it is numbered, and its JSON.

use std::fmt::Write as _;
use std::ops::Deref;

use serde_json::Value;

use crate::envelope::{check_created_at, check_text};
use crate::event::{ENTITY_ID_BYTES_MAX, ENTITY_TYPE_BYTES_MAX, EVENT_TYPE_BYTES_MAX};
use crate::hash::Digest;
use crate::ids::{AgentId, CommandId, EventId, SequenceNumber, StreamKey};
use crate::json::{canonicalize, write_string};
use crate::reject::Rejection;

/// Longest signature that is kept; nobody verifies it. A hybrid one has 3373 bytes.
pub const SIGNATURE_BYTES_MAX: usize = 4096;

/// Longest `created_at`: RFC 3339 sets no bound on the digits of a second's fraction.
const CREATED_AT_BYTES_MAX: usize = 64;

/// One event of the older form. Nothing in it is signed as far as the sequencer knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyEvent {
    pub event_id: EventId,
    pub command_id: Option<CommandId>,
    pub stream: StreamKey,
    pub entity_type: String,
    pub entity_id: String,
    pub event_type: String,
    /// JSON.
    pub payload: String,
    /// As claimed by the agent.
    pub payload_hash: Digest,
    /// Expected version of the entity.
    pub base_version: Option<u64>,
    /// The text as it was sent.
    pub created_at: String,
    pub source_agent: AgentId,
    /// Kept and returned, never verified.
    pub signature: Option<Vec<u8>>,
}

/// Proof, by type, that an event may be numbered; only [`LegacyEvent::check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedLegacyEvent(LegacyEvent);

impl Deref for CheckedLegacyEvent {
    type Target = LegacyEvent;
    fn deref(&self) -> &LegacyEvent {
        &self.0
    }
}

impl LegacyEvent {
    /// Checks lengths, time and payload hash, and brings the payload into the form that has this hash.
    ///
    /// # Errors
    /// [`Rejection::SchemaValidation`] naming the field, [`Rejection::InvalidPayloadHash`].
    pub fn check(mut self) -> Result<CheckedLegacyEvent, Rejection> {
        check_text("entity_type", &self.entity_type, ENTITY_TYPE_BYTES_MAX)?;
        check_text("entity_id", &self.entity_id, ENTITY_ID_BYTES_MAX)?;
        check_text("event_type", &self.event_type, EVENT_TYPE_BYTES_MAX)?;
        check_created_at(&self.created_at)?;
        if self.created_at.len() > CREATED_AT_BYTES_MAX {
            let problem =
                format!("must be at most {CREATED_AT_BYTES_MAX} bytes, found {}", self.created_at.len());
            return Err(Rejection::schema("created_at", problem));
        }
        if let Some(found) = self.signature.as_ref().map(Vec::len).filter(|n| *n > SIGNATURE_BYTES_MAX) {
            let problem = format!("must be at most {SIGNATURE_BYTES_MAX} bytes, found {found}");
            return Err(Rejection::schema("signature", problem));
        }
        self.payload = hashed_form(&self.payload, &self.payload_hash)?;
        Ok(CheckedLegacyEvent(self))
    }

    /// Leaf of the event at `number` (section 15).
    pub fn leaf_hash(&self, number: SequenceNumber) -> Digest {
        super::leaf_hash(&self.stream, number, &self.payload_hash, &self.entity_type, &self.entity_id)
    }

    /// Appends the event as one JSON object with the members of section 2.3; absent ones are left out.
    pub fn write(&self, number: Option<SequenceNumber>, out: &mut String) {
        out.reserve(self.encoded_len());
        // Writing to a String cannot fail.
        let _ = write!(out, "{{\"envelope_version\":1,\"event_id\":\"{}\"", self.event_id);
        if let Some(command_id) = &self.command_id {
            let _ = write!(out, ",\"command_id\":\"{command_id}\"");
        }
        let _ = write!(out, ",\"tenant_id\":\"{}\"", self.stream.tenant_id);
        let _ = write!(out, ",\"store_id\":\"{}\"", self.stream.store_id);
        for (name, text) in [
            ("entity_type", &self.entity_type),
            ("entity_id", &self.entity_id),
            ("event_type", &self.event_type),
        ] {
            let _ = write!(out, ",\"{name}\":");
            write_string(out, text);
        }
        let _ = write!(out, ",\"payload\":{},\"payload_hash\":\"{}\"", self.payload, self.payload_hash);
        if let Some(version) = self.base_version {
            let _ = write!(out, ",\"base_version\":{version}");
        }
        out.push_str(",\"created_at\":");
        write_string(out, &self.created_at);
        let _ = write!(out, ",\"source_agent\":\"{}\"", self.source_agent);
        if let Some(signature) = &self.signature {
            out.push_str(",\"signature\":[");
            for (index, byte) in signature.iter().enumerate() {
                let _ = write!(out, "{}{byte}", if index == 0 { "" } else { "," });
            }
            out.push(']');
        }
        if let Some(number) = number {
            let _ = write!(out, ",\"sequence_number\":{number}");
        }
        out.push('}');
    }

    /// About what [`Self::write`] appends.
    pub fn encoded_len(&self) -> usize {
        let texts = self.entity_type.len() + self.entity_id.len() + self.event_type.len();
        600 + texts + self.payload.len() + 4 * self.signature.as_ref().map_or(0, Vec::len)
    }
}

/// The payload's text whose bare hash is `claimed`: the canonical one, or the sorted compact one that keeps the
/// writer's numbers (`1.0`), which older clients hash. The two differ in numbers alone (section 15).
fn hashed_form(payload: &str, claimed: &Digest) -> Result<String, Rejection> {
    let canonical = canonicalize(payload)
        .map_err(|error| Rejection::schema(error.path_under("payload"), error.problem()))?;
    if super::payload_hash(&canonical) == *claimed {
        return Ok(canonical.into_owned());
    }
    sorted_compact(payload)
        .filter(|text| super::payload_hash(text) == *claimed)
        .ok_or(Rejection::InvalidPayloadHash)
}

fn sorted_compact(payload: &str) -> Option<String> {
    let value: Value = serde_json::from_str(payload).ok()?;
    let mut out = String::with_capacity(payload.len());
    write_sorted(&value, &mut out);
    Some(out)
}

/// Members ascend by the bytes of their names. Depth is bounded by serde_json.
fn write_sorted(value: &Value, out: &mut String) {
    let mut separator = "";
    match value {
        Value::Array(items) => {
            out.push('[');
            for item in items {
                out.push_str(std::mem::replace(&mut separator, ","));
                write_sorted(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                out.push_str(std::mem::replace(&mut separator, ","));
                write_string(out, name);
                out.push(':');
                write_sorted(value, out);
            }
            out.push('}');
        }
        Value::String(text) => write_string(out, text),
        // Null, true, false and numbers are written as serde_json writes them.
        other => out.push_str(&other.to_string()),
    }
}

/// The name by which the older routes give a reason (sequencer API, section 3.1).
pub fn rejection_reason(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::DuplicateEventId => "DuplicateEventId",
        Rejection::DuplicateCommandId => "DuplicateCommandId",
        Rejection::SchemaValidation { .. } => "SchemaValidation",
        Rejection::InvalidPayloadHash | Rejection::InvalidCipherHash => "InvalidPayloadHash",
        Rejection::AgentKeyInvalid(_) | Rejection::InvalidSignature => "Unauthorized",
        Rejection::VersionConflict { .. } => "VersionConflict",
        // Guarded against new rejections of the signed form, which older clients have no name for.
        _ => "Other",
    }
}

/// The sentence of the older routes: their members have other names, and an older event that comes again is refused.
pub fn rejection_message(rejection: &Rejection) -> String {
    match rejection {
        Rejection::DuplicateEventId => {
            "event_id is repeated in this request, or already stands in this stream".to_owned()
        }
        Rejection::InvalidPayloadHash => {
            "payload_hash is not the SHA-256 of the payload's compact JSON with sorted members".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{StoreId, TenantId};
    use crate::legacy::RawLegacyEvent;

    fn event(payload: &str, hashed: &str) -> LegacyEvent {
        LegacyEvent {
            event_id: EventId::from_bytes([1; 16]),
            command_id: Some(CommandId::from_bytes([2; 16])),
            stream: StreamKey {
                tenant_id: TenantId::from_bytes([3; 16]),
                store_id: StoreId::from_bytes([4; 16]),
            },
            entity_type: "order".to_owned(),
            entity_id: "ORD-\"1\"".to_owned(),
            event_type: "order.created".to_owned(),
            payload: payload.to_owned(),
            payload_hash: crate::legacy::payload_hash(hashed),
            base_version: Some(7),
            created_at: "2026-01-02T03:04:05.123456789+00:00".to_owned(),
            source_agent: AgentId::from_bytes([5; 16]),
            signature: Some(vec![0, 10, 255]),
        }
    }

    #[test]
    fn a_payload_is_kept_in_the_form_that_was_hashed() {
        let sent = "{ \"b\" : [1.0, 2], \"a\" : 1e2, \"\\u00e9\" : \"x\" }";
        let canonical = "{\"a\":100,\"b\":[1,2],\"é\":\"x\"}";
        let sorted = "{\"a\":100.0,\"b\":[1.0,2],\"é\":\"x\"}";
        assert_eq!(event(sent, canonical).check().unwrap().payload, canonical);
        assert_eq!(event(sent, sorted).check().unwrap().payload, sorted);
        assert_eq!(event(sent, sent).check(), Err(Rejection::InvalidPayloadHash));
    }

    #[test]
    fn what_no_reader_could_check_is_refused_by_field() {
        let bend = |change: fn(&mut LegacyEvent)| {
            let mut bent = event("{}", "{}");
            change(&mut bent);
            match bent.check() {
                Err(Rejection::SchemaValidation { field, .. }) => field,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(bend(|e| e.entity_type.clear()), "entity_type");
        assert_eq!(bend(|e| e.entity_type = "x".repeat(129)), "entity_type");
        assert_eq!(bend(|e| e.entity_id = "a\0b".to_owned()), "entity_id");
        assert_eq!(bend(|e| e.event_type = "x".repeat(257)), "event_type");
        assert_eq!(bend(|e| e.created_at = "yesterday".to_owned()), "created_at");
        assert_eq!(bend(|e| e.created_at = format!("2026-01-02T03:04:05.{}Z", "0".repeat(60))), "created_at");
        assert_eq!(bend(|e| e.signature = Some(vec![0; SIGNATURE_BYTES_MAX + 1])), "signature");
        assert_eq!(bend(|e| e.payload = "{\"a\":{\"b\":1,\"b\":2}}".to_owned()), "payload.a.b");
        assert_eq!(bend(|e| e.payload = "{".to_owned()), "payload");
    }

    #[test]
    fn a_written_event_reads_back_the_same() {
        let bare = LegacyEvent { command_id: None, base_version: None, signature: None, ..event("7", "7") };
        for event in [event("{\"a\":null}", "{\"a\":null}"), bare] {
            let mut text = String::new();
            event.write(Some(SequenceNumber(9)), &mut text);
            assert!(text.len() <= event.encoded_len());
            let read = RawLegacyEvent::read(&text).unwrap().event().unwrap();
            assert_eq!(read, event);
            assert!(text.ends_with(",\"sequence_number\":9}"));
        }
    }
}
