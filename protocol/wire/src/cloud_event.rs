//! An event in the JSON form of CloudEvents 1.0 (structured mode, `application/cloudevents+json`).
//!
//! | Attribute | What it holds |
//! | --- | --- |
//! | `id` | the event id; unique with `source` |
//! | `source` | `/tenants/{tenant}/stores/{store}`: the stream |
//! | `type` | the event type, `order.created` |
//! | `subject` | `{entity_type}/{entity_id}` |
//! | `time` | `created_at` as its agent signed it |
//! | `sequence` | the sequence number in 19 digits, so that texts are ordered as numbers are (the Sequence extension) |
//! | `sequencedat` | when the sequencer took it in |
//! | `agentid` | who signed it |
//! | `sealed` | `true` where only its recipients can read it; `data` is then the whole envelope |
//! | `data` | the payload, canonical |
//!
//! The form carries no signature: who has to prove an event asks for it by its id.

use std::fmt::Write as _;

use ves::envelope::encode;
use ves::json::write_string;
use ves::{Envelope, Payload, SequenceNumber, TimestampMs};

/// The content type of one event in this form.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Appends one event as one JSON object without line breaks.
pub fn write_cloud_event(out: &mut String, envelope: &Envelope<'_>, number: SequenceNumber, at: TimestampMs) {
    let stream = &envelope.stream;
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"/tenants/{}/stores/{}\",\"type\":",
        envelope.event_id, stream.tenant_id, stream.store_id
    );
    write_string(out, &envelope.event_type);
    out.push_str(",\"subject\":");
    write_string(out, &format!("{}/{}", envelope.entity_type, envelope.entity_id));
    out.push_str(",\"time\":");
    write_string(out, &envelope.created_at);
    let _ = write!(
        out,
        ",\"sequence\":\"{:019}\",\"sequencedat\":\"{at}\",\"agentid\":\"{}\",\"datacontenttype\":\"application/json\"",
        number.get(),
        envelope.source_agent_id
    );
    match &envelope.payload {
        Payload::Plain(payload) => {
            out.push_str(",\"data\":");
            out.push_str(payload);
        }
        Payload::Encrypted(_) => {
            out.push_str(",\"sealed\":true,\"data\":");
            encode(envelope, Some((number, at)), out);
        }
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use stateset_fixtures::{Agent, NOW, plain_event, stream};

    /// The attributes of section 3.1 are there and none of section 3.2 is malformed; names are lower-case letters.
    #[test]
    fn an_event_has_every_required_attribute_and_its_payload_as_data() {
        let stream = stream(1);
        let event = plain_event(&Agent::new(&stream, 1), &stream, 7);
        let mut text = String::new();
        write_cloud_event(&mut text, &event, SequenceNumber(7), NOW);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["specversion"], "1.0");
        assert_eq!(value["id"], json!(event.event_id));
        assert_eq!(value["source"], format!("/tenants/{}/stores/{}", stream.tenant_id, stream.store_id));
        assert_eq!(value["type"], json!(event.event_type));
        assert_eq!(value["subject"], format!("{}/{}", event.entity_type, event.entity_id));
        assert_eq!(value["time"], json!(event.created_at));
        assert_eq!(value["sequence"], "0000000000000000007");
        assert_eq!(value["sequence"].as_str().map(str::len), Some(i64::MAX.to_string().len()));
        let Payload::Plain(payload) = &event.payload else { panic!("a plain event") };
        assert_eq!(value["data"], serde_json::from_str::<Value>(payload).expect("JSON"));
        let names = value.as_object().expect("an object").keys();
        assert!(
            names.into_iter().all(|name| name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase()))
        );
        assert!(!text.contains(['\n', '\r']));
    }

    #[test]
    fn a_sealed_event_is_told_whole() {
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        let event =
            stateset_fixtures::sealed_event(&agent, &stream, 3, &[stateset_fixtures::Recipient::new(1)]);
        let mut text = String::new();
        write_cloud_event(&mut text, &event, SequenceNumber(3), NOW);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["sealed"], true);
        assert!(value["data"]["payload_encrypted"]["ciphertext_b64u"].is_string(), "{text}");
        assert_eq!(value["data"]["sequence_number"], 3);
    }
}
