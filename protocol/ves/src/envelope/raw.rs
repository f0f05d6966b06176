//! The members of one event as they stand in a request: found, not yet judged.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::ids::{EventId, StoreId, StreamKey, TenantId};
use crate::json;

macro_rules! members {
    ($($name:ident = $snake:literal $(| $camel:literal)?),+ $(,)?) => {
        /// A member of the envelope that this version knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Member { $($name),+ }

        const MEMBERS: usize = [$(Member::$name),+].len();

        impl Member {
            /// The snake_case name.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => $snake),+ }
            }

            /// In the order in which [`encode`](super::encode) writes them.
            const ALL: [Self; MEMBERS] = [$(Self::$name),+];

            fn named(name: &str) -> Option<Self> {
                match name { $($snake $(| $camel)? => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

members! {
    VesVersion = "ves_version" | "vesVersion",
    EventId = "event_id" | "eventId",
    TenantId = "tenant_id" | "tenantId",
    StoreId = "store_id" | "storeId",
    SourceAgentId = "source_agent_id" | "sourceAgentId",
    AgentKeyId = "agent_key_id" | "agentKeyId",
    EntityType = "entity_type" | "entityType",
    EntityId = "entity_id" | "entityId",
    EventType = "event_type" | "eventType",
    CreatedAt = "created_at" | "createdAt",
    PayloadKind = "payload_kind" | "payloadKind",
    Payload = "payload",
    PayloadPlainHash = "payload_plain_hash" | "payloadPlainHash",
    PayloadCipherHash = "payload_cipher_hash" | "payloadCipherHash",
    AgentSignature = "agent_signature" | "agentSignature",
    PayloadEncrypted = "payload_encrypted" | "payloadEncrypted",
    CommandId = "command_id" | "commandId",
    BaseVersion = "base_version" | "baseVersion",
    Kernel = "kernel",
    SignatureScheme = "agent_signature_scheme" | "agentSignatureScheme",
    SignatureBundle = "agent_signature_bundle" | "agentSignatureBundle",
    SequenceNumber = "sequence_number" | "sequenceNumber",
    SequencedAt = "sequenced_at" | "sequencedAt",
}

/// Members of one event as found in a request, borrowed from its text. Anything may be missing, repeated or of a
/// wrong type: [`decode`](super::decode) finds out, so that one bad event does not spoil the request around it.
///
/// Deserialises from a JSON object by `serde_json` only, out of a `&str` or `&[u8]`.
#[derive(Debug, Clone)]
pub struct RawEnvelope<'a> {
    /// The text of each member's value, by [`Member`].
    values: [Option<&'a str>; MEMBERS],
    /// The first known member that occurred twice (under either spelling).
    pub(super) repeated: Option<Member>,
    /// Members this version does not know, with the texts of their values.
    pub(super) others: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> RawEnvelope<'a> {
    /// The text of a member's value; an explicit `null` reads as absent.
    pub(super) fn get(&self, member: Member) -> Option<&'a str> {
        self.values[member as usize].filter(|text| *text != "null")
    }

    /// Whether the member stands there as an explicit `null`.
    pub(super) fn is_null(&self, member: Member) -> bool {
        self.values[member as usize] == Some("null")
    }

    /// The event's id, if it can be read.
    pub fn event_id(&self) -> Option<EventId> {
        self.uuid(Member::EventId).map(EventId)
    }

    /// The event's stream, if it can be read.
    pub fn stream(&self) -> Option<StreamKey> {
        let tenant_id = TenantId(self.uuid(Member::TenantId)?);
        let store_id = StoreId(self.uuid(Member::StoreId)?);
        Some(StreamKey { tenant_id, store_id })
    }

    /// Whether any value is nested deeper than [`json::DEPTH_MAX`], read or ignored.
    pub(super) fn is_too_deep(&self) -> bool {
        let others = self.others.iter().map(|(_, text)| *text);
        self.values.iter().flatten().copied().chain(others).any(json::is_too_deep)
    }

    /// Whether a member that is ignored on input is nested too deep.
    pub(super) fn ignored_is_too_deep(&self) -> bool {
        [Member::SequenceNumber, Member::SequencedAt]
            .into_iter()
            .filter_map(|member| self.get(member))
            .any(json::is_too_deep)
    }

    pub(super) fn uuid(&self, member: Member) -> Option<uuid::Uuid> {
        parse_uuid(&json::string_value(self.get(member)?)?)
    }
}

/// Reads the hyphenated form, in any case (section 2).
pub(crate) fn parse_uuid(text: &str) -> Option<uuid::Uuid> {
    (text.len() == 36).then(|| uuid::Uuid::try_parse(text).ok())?
}

impl<'de: 'a, 'a> Deserialize<'de> for RawEnvelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = RawEnvelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, which is a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut raw = RawEnvelope { values: [None; MEMBERS], repeated: None, others: Vec::new() };
        let mut expected = 0;
        while let Some(name) = map.next_key_seed(NameSeed { expected })? {
            let value = map.next_value::<&RawValue>()?.get();
            match name {
                Name::Known(member) => {
                    expected = member as usize + 1;
                    if raw.values[member as usize].replace(value).is_some() {
                        raw.repeated.get_or_insert(member);
                    }
                }
                Name::Other(name) => raw.others.push((name, value)),
            }
        }
        Ok(raw)
    }
}

enum Name<'de> {
    Known(Member),
    Other(Cow<'de, str>),
}

/// Reads a name; most writers keep one order, so the member after the last one is tried first.
struct NameSeed {
    expected: usize,
}

impl NameSeed {
    fn member(&self, name: &str) -> Option<Member> {
        let expected = Member::ALL.get(self.expected).filter(|member| member.name() == name);
        expected.copied().or_else(|| Member::named(name))
    }
}

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }
    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(self.member(name).map_or(Name::Other(Cow::Borrowed(name)), Name::Known))
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.member(name).map_or_else(|| Name::Other(Cow::Owned(name.to_owned())), Name::Known))
    }
}
