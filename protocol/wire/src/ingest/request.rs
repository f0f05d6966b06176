//! The request: whole-request rules here, per-event rules in [`ves::envelope`].

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use ves::envelope::{DecodeError, RawEnvelope, Undecodable, decode, decode_text, encode};
use ves::event::EncryptedPayload;
use ves::hex::Format;
use ves::json::{DEPTH_MAX, JsonError, canonicalize};
use ves::{AgentId, Envelope, Payload, Rejection, StoreId, StreamKey, TenantId};

use crate::error::ErrorCode;
use crate::text::push_uuid;

/// Bounds of one request (section 1.6). The body's length is bounded before it is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub events_max: usize,
    /// Everything of one event that its author sizes freely: canonical JSON of the payload, or all of
    /// `payload_encrypted` decoded; and the `kernel`.
    pub payload_bytes_max: usize,
    pub format: Format,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events_max: 1000, payload_bytes_max: 1 << 20, format: Format::Lenient }
    }
}

/// A request whose whole-request rules hold.
#[derive(Debug)]
pub struct IngestRequest<'a> {
    pub agent_id: AgentId,
    /// The one stream of the events; `None` when no event names one, and then every event is refused.
    pub stream: Option<StreamKey>,
    /// In request order: decoded, or refused alone.
    pub events: Vec<Result<Envelope<'a>, Undecodable>>,
}

/// Longest `created_at`, in bytes: RFC 3339 sets no bound on the digits of a second's fraction.
pub const CREATED_AT_BYTES_MAX: usize = 64;

/// Why a request was refused whole. Nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the body is not the JSON of an ingest request: {0}")]
    Malformed(String),
    #[error("the body is nested deeper than {max} levels", max = DEPTH_MAX)]
    TooDeep,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{field}: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error("events: the list is empty")]
    Empty,
    #[error("events: {found} events in one request, at most {max} are taken")]
    TooManyEvents { found: usize, max: usize },
    #[error("events[{index}]: a payload of {bytes} bytes, at most {max} are taken")]
    PayloadTooLarge { index: usize, bytes: usize, max: usize },
    #[error("events[{index}]: tenant_id and store_id must be the same in all events of a request")]
    MixedStreams { index: usize },
    #[error("events[{index}].source_agent_id differs from agentId")]
    OtherAgent { index: usize },
}

impl RequestError {
    /// The code it is answered with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed(_) | Self::TooDeep => ErrorCode::InvalidRequestBody,
            Self::Missing(_) => ErrorCode::MissingRequiredField,
            Self::Invalid { .. } | Self::Empty | Self::MixedStreams { .. } | Self::OtherAgent { .. } => {
                ErrorCode::InvalidFieldValue
            }
            Self::TooManyEvents { .. } => ErrorCode::BatchTooLarge,
            Self::PayloadTooLarge { .. } => ErrorCode::PayloadTooLarge,
        }
    }
}

/// Reads a request body.
///
/// # Errors
/// [`RequestError`], when the request has to be refused whole.
pub fn parse<'a>(text: &'a str, limits: &Limits) -> Result<IngestRequest<'a>, RequestError> {
    let (agent_id, events) = decode_events(text, limits)?;
    let mut rules = Rules { agent_id, limits, tenant_id: None, store_id: None };
    if events.iter().all(Result::is_ok) {
        for (index, event) in events.iter().flatten().enumerate() {
            rules.check(index, &Facts::of(event))?;
        }
    } else {
        // Rare: what a refused event names counts for the rules as well, so its text is looked at once more.
        if is_nested_deeper(text, ENVELOPE_LEVELS + DEPTH_MAX) {
            return Err(RequestError::TooDeep);
        }
        let (_, texts) = read_top::<&'a RawValue>(text, limits)?.complete(limits)?;
        for (index, (event, text)) in events.iter().zip(texts).enumerate() {
            rules.check(index, &event.as_ref().map_or_else(|_| Facts::found_in(text), Facts::of))?;
        }
    }
    let stream = match (rules.tenant_id, rules.store_id) {
        (Some(tenant_id), Some(store_id)) => Some(StreamKey { tenant_id, store_id }),
        _ => None,
    };
    Ok(IngestRequest { agent_id, stream, events })
}

/// Arrays and objects around a value inside an event: the request, its list, the event.
const ENVELOPE_LEVELS: usize = 3;

type Events<'a> = Vec<Result<Envelope<'a>, Undecodable>>;

fn decode_events<'a>(text: &'a str, limits: &Limits) -> Result<(AgentId, Events<'a>), RequestError> {
    let alone = |decoded: Result<Envelope<'a>, DecodeError>| match decoded {
        Ok(envelope) => Ok(check_created_at(envelope)),
        Err(DecodeError::Event(undecodable)) => Ok(Err(undecodable)),
        Err(DecodeError::TooDeep) => Err(RequestError::TooDeep),
    };
    match read_top::<RawEnvelope<'a>>(text, limits) {
        Ok(top) => {
            let (agent_id, raw) = top.complete(limits)?;
            let events: Result<_, _> = raw.into_iter().map(|raw| alone(decode(raw, limits.format))).collect();
            Ok((agent_id, events?))
        }
        // Either the body is bad, or one event is no object: the pass over raw texts tells which.
        Err(_) => {
            let (agent_id, raw) = read_top::<&'a RawValue>(text, limits)?.complete(limits)?;
            let events: Result<_, _> =
                raw.iter().map(|raw| alone(decode_text(raw.get(), limits.format))).collect();
            Ok((agent_id, events?))
        }
    }
}

fn check_created_at(envelope: Envelope<'_>) -> Result<Envelope<'_>, Undecodable> {
    let found = envelope.created_at.len();
    if found <= CREATED_AT_BYTES_MAX {
        return Ok(envelope);
    }
    let problem = format!("must be at most {CREATED_AT_BYTES_MAX} bytes, found {found}");
    Err(Undecodable {
        event_id: Some(envelope.event_id),
        stream: Some(envelope.stream),
        rejection: Rejection::schema("created_at", problem),
    })
}

/// Whether arrays and objects are nested deeper than `max`. `text` is JSON as far as anyone needs to know: brackets
/// inside strings are skipped.
fn is_nested_deeper(text: &str, max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// What the whole-request rules ask of one event; as far as it can be read.
struct Facts {
    tenant_id: Option<TenantId>,
    store_id: Option<StoreId>,
    agent_id: Option<AgentId>,
    payload_bytes: usize,
}

impl Facts {
    fn of(envelope: &Envelope<'_>) -> Self {
        Self {
            tenant_id: Some(envelope.stream.tenant_id),
            store_id: Some(envelope.stream.store_id),
            agent_id: Some(envelope.source_agent_id),
            payload_bytes: envelope.kernel.as_ref().map_or(0, |kernel| kernel.len())
                + match &envelope.payload {
                    Payload::Plain(text) => text.len(),
                    Payload::Encrypted(sealed) => sealed_bytes(sealed),
                },
        }
    }

    /// Of an event that could not be decoded. One that is no object says nothing.
    fn found_in(event: &RawValue) -> Self {
        let names: Names<'_> = serde_json::from_str(event.get()).unwrap_or_default();
        Self {
            tenant_id: read(names.tenant_id),
            store_id: read(names.store_id),
            agent_id: read(names.source_agent_id),
            payload_bytes: [names.payload, names.kernel].iter().flatten().map(|raw| raw.get().len()).sum::<usize>()
                // Base64url: four characters are three bytes.
                + names.payload_encrypted.map_or(0, |raw| raw.get().len() / 4 * 3),
        }
    }
}

/// All of `payload_encrypted`, decoded.
fn sealed_bytes(sealed: &EncryptedPayload) -> usize {
    let fixed = sealed.nonce.len() + sealed.tag.len();
    fixed + sealed.ciphertext.len() + std::mem::size_of_val(sealed.recipients.as_slice())
}

fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// The rules over all events of a request, the refused ones too (sequencer API, section 3.1).
struct Rules<'l> {
    agent_id: AgentId,
    limits: &'l Limits,
    tenant_id: Option<TenantId>,
    store_id: Option<StoreId>,
}

impl Rules<'_> {
    fn check(&mut self, index: usize, event: &Facts) -> Result<(), RequestError> {
        if !agrees(&mut self.tenant_id, event.tenant_id) || !agrees(&mut self.store_id, event.store_id) {
            return Err(RequestError::MixedStreams { index });
        }
        if event.agent_id.is_some_and(|source| source != self.agent_id) {
            return Err(RequestError::OtherAgent { index });
        }
        if event.payload_bytes > self.limits.payload_bytes_max {
            let (bytes, max) = (event.payload_bytes, self.limits.payload_bytes_max);
            return Err(RequestError::PayloadTooLarge { index, bytes, max });
        }
        Ok(())
    }
}

/// Whether `found` is what the events before it said; the first to say something decides.
pub(crate) fn agrees<T: PartialEq>(said: &mut Option<T>, found: Option<T>) -> bool {
    match (&said, found) {
        (_, None) => true,
        (Some(said), Some(found)) => *said == found,
        (None, found) => {
            *said = found;
            true
        }
    }
}

/// The members of an event that whole-request rules read, found even where the event is refused. Of a repeated
/// member the first counts.
#[derive(Default)]
struct Names<'a> {
    tenant_id: Option<&'a RawValue>,
    store_id: Option<&'a RawValue>,
    source_agent_id: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    payload_encrypted: Option<&'a RawValue>,
    kernel: Option<&'a RawValue>,
}

impl<'a> Deserialize<'a> for Names<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'a> Visitor<'a> for NamesVisitor {
            type Value = Names<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }
            fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Names<'a>, A::Error> {
                let mut names = Names::default();
                while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                    let value = map.next_value::<&RawValue>()?;
                    let place = match &*name {
                        "tenant_id" | "tenantId" => &mut names.tenant_id,
                        "store_id" | "storeId" => &mut names.store_id,
                        "source_agent_id" | "sourceAgentId" => &mut names.source_agent_id,
                        "payload" => &mut names.payload,
                        "payload_encrypted" | "payloadEncrypted" => &mut names.payload_encrypted,
                        "kernel" => &mut names.kernel,
                        _ => continue,
                    };
                    place.get_or_insert(value);
                }
                Ok(names)
            }
        }
        deserializer.deserialize_map(NamesVisitor)
    }
}

/// The outer object: `{"agentId": …, "events": [E, …]}`.
pub(crate) struct Top<'a, E> {
    pub agent_id: Option<&'a RawValue>,
    pub events: Option<Vec<E>>,
    /// Events in the body, the ones beyond the limit included.
    pub found: usize,
}

impl<'a, E> Top<'a, E> {
    fn complete(self, limits: &Limits) -> Result<(AgentId, Vec<E>), RequestError> {
        let agent_id = self.agent_id.ok_or(RequestError::Missing("agentId"))?;
        let agent_id = serde_json::from_str(agent_id.get())
            .map_err(|_| RequestError::Invalid { field: "agentId", problem: "expected a UUID".to_owned() })?;
        let events = self.events.ok_or(RequestError::Missing("events"))?;
        if self.found > limits.events_max {
            return Err(RequestError::TooManyEvents { found: self.found, max: limits.events_max });
        }
        if events.is_empty() {
            return Err(RequestError::Empty);
        }
        Ok((agent_id, events))
    }
}

pub(crate) fn read_top<'a, E: Deserialize<'a>>(
    text: &'a str,
    limits: &Limits,
) -> Result<Top<'a, E>, RequestError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let seed = TopSeed { events_max: limits.events_max, too_deep: Cell::new(false), events: PhantomData };
    let too_deep = &seed.too_deep;
    match (&seed).deserialize(&mut json).and_then(|top| json.end().map(|()| top)) {
        Ok(top) => Ok(top),
        Err(_) if too_deep.get() => Err(RequestError::TooDeep),
        Err(error) => Err(RequestError::Malformed(error.to_string())),
    }
}

struct TopSeed<E> {
    events_max: usize,
    /// Set when a member we do not know is nested too deeply.
    too_deep: Cell<bool>,
    events: PhantomData<E>,
}

impl<'a, E: Deserialize<'a>> DeserializeSeed<'a> for &TopSeed<E> {
    type Value = Top<'a, E>;
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, E: Deserialize<'a>> Visitor<'a> for &TopSeed<E> {
    type Value = Top<'a, E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with agentId and events")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut top = Top { agent_id: None, events: None, found: 0 };
        while let Some(name) = map.next_key::<std::borrow::Cow<'a, str>>()? {
            match &*name {
                "agentId" | "agent_id" if top.agent_id.is_none() => top.agent_id = Some(map.next_value()?),
                "events" if top.events.is_none() => {
                    let list = EventList { events_max: self.events_max, events: PhantomData };
                    let (events, found) = map.next_value_seed(list)?;
                    (top.events, top.found) = (Some(events), found);
                }
                "agentId" | "agent_id" | "events" => {
                    return Err(de::Error::custom(format_args!("{name}: the member is repeated")));
                }
                // Nobody reads it, but a body with bad JSON anywhere outside the events is refused whole.
                _ => match canonicalize(map.next_value::<&RawValue>()?.get()) {
                    Ok(_) => {}
                    Err(problem) => {
                        self.too_deep.set(problem == JsonError::TooDeep);
                        return Err(de::Error::custom(format_args!("{name}: {}", problem.problem())));
                    }
                },
            }
        }
        Ok(top)
    }
}

/// Reads at most `events_max` events and counts the others, so that a body of millions of `{}` costs no memory.
struct EventList<E> {
    events_max: usize,
    events: PhantomData<E>,
}

impl<'a, E: Deserialize<'a>> DeserializeSeed<'a> for EventList<E> {
    type Value = (Vec<E>, usize);
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a, E: Deserialize<'a>> Visitor<'a> for EventList<E> {
    type Value = (Vec<E>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while events.len() < self.events_max {
            match list.next_element()? {
                Some(event) => events.push(event),
                None => {
                    let found = events.len();
                    return Ok((events, found));
                }
            }
        }
        let mut found = events.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            found += 1;
        }
        Ok((events, found))
    }
}

/// The body of a request that submits `events`, all of one stream and of `agent_id`.
pub fn write_request(agent_id: AgentId, events: &[Envelope<'_>]) -> String {
    let mut out = String::with_capacity(64 + events.len() * 1024);
    out.push_str("{\"agentId\":");
    push_uuid(&mut out, &agent_id.0);
    out.push_str(",\"events\":[");
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        encode(event, None, &mut out);
    }
    out.push_str("]}");
    out
}

#[cfg(test)]
mod tests;
