//! `POST /api/v1/events/ingest` (section 3.1): the body in, the answer out.
//!
//! Each event is decoded from its own text, so that one at fault is refused alone; what the whole request must
//! agree on is read of refused events too.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::envelope::{DecodeError, Undecodable};
use ves::json::canonicalize;
use ves::legacy::{CheckedLegacyEvent, RawLegacyEvent, rejection_message, rejection_reason};
use ves::{AgentId, BatchId, EventId, Rejection, SequenceNumber, StoreId, StreamKey, TenantId};

use crate::ingest::{Limits, RequestError, agrees, read_top};

/// A request whose whole-request rules hold.
#[derive(Debug)]
pub struct LegacyIngestRequest {
    pub agent_id: AgentId,
    /// The one stream of the events; `None` when no event names one, and then every event is refused.
    pub stream: Option<StreamKey>,
    /// In request order; may be empty.
    pub events: Vec<Result<CheckedLegacyEvent, Undecodable>>,
}

/// Reads a request body. Hex is read leniently: the older form never had a strict one.
///
/// # Errors
/// [`RequestError`], when the request has to be refused whole.
pub fn parse(text: &str, limits: &Limits) -> Result<LegacyIngestRequest, RequestError> {
    let top = read_top::<&RawValue>(text, limits)?;
    let agent_id = top.agent_id.ok_or(RequestError::Missing("agent_id"))?;
    let agent_id = serde_json::from_str(agent_id.get())
        .map_err(|_| RequestError::Invalid { field: "agent_id", problem: "expected a UUID".to_owned() })?;
    let texts = top.events.ok_or(RequestError::Missing("events"))?;
    if top.found > limits.events_max {
        return Err(RequestError::TooManyEvents { found: top.found, max: limits.events_max });
    }
    let mut rules =
        Rules { agent_id, payload_bytes_max: limits.payload_bytes_max, tenant: None, store: None };
    let mut events = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        events.push(match RawLegacyEvent::read(text.get()) {
            Ok(raw) => {
                rules.check(index, &raw)?;
                raw.event().and_then(|event| event.check().map_err(|rejection| raw.refused(rejection)))
            }
            Err(DecodeError::TooDeep) => return Err(RequestError::TooDeep),
            Err(DecodeError::Event(undecodable)) => Err(undecodable),
        });
    }
    let stream = rules.tenant.zip(rules.store).map(|(tenant_id, store_id)| StreamKey { tenant_id, store_id });
    Ok(LegacyIngestRequest { agent_id, stream, events })
}

/// The rules over all events of a request, the refused ones too.
struct Rules {
    agent_id: AgentId,
    payload_bytes_max: usize,
    tenant: Option<TenantId>,
    store: Option<StoreId>,
}

impl Rules {
    fn check(&mut self, index: usize, event: &RawLegacyEvent<'_>) -> Result<(), RequestError> {
        if !agrees(&mut self.tenant, event.tenant_id()) || !agrees(&mut self.store, event.store_id()) {
            return Err(RequestError::MixedStreams { index });
        }
        if event.source_agent().is_some_and(|source| source != self.agent_id) {
            let problem = format!("events[{index}] names another agent than agent_id");
            return Err(RequestError::Invalid { field: "source_agent", problem });
        }
        let (bytes, max) = (payload_bytes(event, self.payload_bytes_max), self.payload_bytes_max);
        if bytes > max {
            return Err(RequestError::PayloadTooLarge { index, bytes, max });
        }
        Ok(())
    }
}

/// White space does not count, where there is so much that it would matter.
fn payload_bytes(event: &RawLegacyEvent<'_>, max: usize) -> usize {
    match event.payload() {
        Some(text) if text.len() > max => canonicalize(text).map_or(text.len(), |canonical| canonical.len()),
        Some(text) => text.len(),
        None => 0,
    }
}

/// Answer to an ingest request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LegacyIngestAnswer {
    pub batch_id: BatchId,
    pub events_accepted: u64,
    pub events_rejected: u64,
    /// Left out when nothing was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_sequence_start: Option<SequenceNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_sequence_end: Option<SequenceNumber>,
    pub head_sequence: SequenceNumber,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<LegacyRejectionBody>,
}

/// One refused event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LegacyRejectionBody {
    /// Null when the event's own id could not be read; `index` always tells which event it was.
    pub event_id: Option<EventId>,
    /// Place of the event in the request, from 0.
    #[serde(default)]
    pub index: usize,
    /// A name such as `DuplicateEventId`.
    pub reason: String,
    /// A sentence for people, naming the field.
    pub message: String,
}

impl LegacyRejectionBody {
    pub fn new(event_id: Option<EventId>, index: usize, rejection: &Rejection) -> Self {
        let (reason, message) = (rejection_reason(rejection).to_owned(), rejection_message(rejection));
        Self { event_id, index, reason, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    const AGENT: &str = "05050505-0505-0505-0505-050505050505";

    fn event(n: u8, payload: &str) -> String {
        let hash = ves::legacy::payload_hash(payload);
        let id = EventId::from_bytes([n; 16]);
        format!(
            r#"{{"event_id":"{id}","tenant_id":"02020202-0202-0202-0202-020202020202",
            "store_id":"03030303-0303-0303-0303-030303030303","entity_type":"order","entity_id":"{n}",
            "event_type":"order.created","payload":{payload},"payload_hash":"{hash}",
            "created_at":"2026-01-02T03:04:05Z","source_agent":"{AGENT}"}}"#
        )
    }
    fn body(events: &[String]) -> String {
        format!(r#"{{"agent_id":"{AGENT}","events":[{}]}}"#, events.join(","))
    }
    fn refused(text: &str) -> RequestError {
        parse(text, &Limits { events_max: 2, payload_bytes_max: 16, ..Limits::default() }).unwrap_err()
    }

    #[test]
    fn one_event_at_fault_leaves_its_neighbours() {
        let events =
            [event(1, "{}"), event(2, "{}").replace("order.created", ""), "7".to_owned(), event(4, "[1]")];
        let request = parse(&body(&events), &Limits::default()).unwrap();
        let read: Vec<bool> = request.events.iter().map(Result::is_ok).collect();
        assert_eq!(read, [true, false, false, true]);
        let refusal = request.events[1].as_ref().unwrap_err();
        assert_eq!(refusal.event_id, Some(EventId::from_bytes([2; 16])));
        let said = LegacyRejectionBody::new(refusal.event_id, 1, &refusal.rejection);
        assert_eq!(
            (said.reason.as_str(), said.message.as_str()),
            ("SchemaValidation", "event_type: must not be empty")
        );
        assert_eq!(request.stream.map(|stream| stream.tenant_id), Some(TenantId::from_bytes([2; 16])));
    }

    #[test]
    fn an_empty_list_is_accepted_and_names_no_stream() {
        let request = parse(&body(&[]), &Limits::default()).unwrap();
        assert_eq!((request.events.len(), request.stream), (0, None));
    }

    #[test]
    fn the_request_is_refused_whole_where_its_events_disagree_or_are_too_large() {
        let elsewhere = event(2, "{}").replace("03030303-0303", "09090909-0303");
        assert_eq!(refused(&body(&[event(1, "{}"), elsewhere])), RequestError::MixedStreams { index: 1 });
        // Also by an event that is itself refused.
        let other_agent = event(2, "{}").replace("order.created", "").replace("050505050505\"}", "06\"}");
        assert!(
            parse(&body(&[other_agent]), &Limits::default()).is_ok(),
            "an unreadable agent is its event's fault"
        );
        let other_agent =
            event(2, "{}").replace("order.created", "").replace("050505050505\"}", "060606060606\"}");
        let error = refused(&body(&[other_agent]));
        assert!(matches!(error, RequestError::Invalid { field: "source_agent", .. }), "{error}");
        let many = refused(&body(&[event(1, "{}"), event(2, "{}"), event(3, "{}")]));
        assert_eq!(
            (many.code(), many),
            (ErrorCode::BatchTooLarge, RequestError::TooManyEvents { found: 3, max: 2 })
        );
        let large = refused(&body(&[event(1, "[1000000,1000000,100]")]));
        assert_eq!(large.code(), ErrorCode::PayloadTooLarge);
        parse(
            &body(&[event(1, "[1,     2,     3,   4]")]),
            &Limits { payload_bytes_max: 16, ..Limits::default() },
        )
        .expect("white space does not count");
        assert_eq!(refused("{\"events\":[]}"), RequestError::Missing("agent_id"));
        assert_eq!(refused(&format!("{{\"agent_id\":\"{AGENT}\"}}")), RequestError::Missing("events"));
        assert!(matches!(refused("{"), RequestError::Malformed(_)));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(refused(&body(&[event(1, "{}").replace("{}", &deep)])), RequestError::TooDeep);
    }
}
