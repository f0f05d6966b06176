//! Bodies that are read or written by hand.

use serde_json::{Value, json};
use ves::{AgentId, BatchId, CommandId, EventId, SequenceNumber, StoreId, TenantId};
use ves_wire::{ReceiptBody, Rfc3339};

use super::operation::{Schemas, collect, reference_to};

/// The request of `POST /api/v1/ves/events/ingest`.
pub(crate) fn ingest_request() -> Schemas {
    let mut schemas = envelope();
    schemas.insert(
        "IngestRequest".to_owned(),
        json!({
            "type": "object",
            "required": ["agentId", "events"],
            "properties": {
                "agentId": reference_to("AgentId"),
                "events": {
                    "type": "array", "minItems": 1, "items": reference_to("EventEnvelope"),
                    "description": "All of one tenant and store; each is accepted or refused alone",
                },
            },
        }),
    );
    schemas
}

/// One event as stored, and a page of them.
pub(crate) fn events_page() -> Schemas {
    let mut schemas = event_entry();
    collect::<SequenceNumber>(&mut schemas);
    schemas.insert(
        "EventsPage".to_owned(),
        json!({
            "type": "object",
            "required": ["events", "count", "head_sequence", "has_more", "next_sequence"],
            "properties": {
                "events": {"type": "array", "items": reference_to("EventEntry")},
                "count": {"type": "integer", "minimum": 0},
                "head_sequence": reference_to("SequenceNumber"),
                "has_more": {"type": "boolean", "description": "Whether the stream goes on after this page"},
                "next_sequence": {"type": "integer", "minimum": 1, "description": "What to ask for next as from"},
            },
        }),
    );
    schemas
}

/// A message of the feed over WebSocket.
pub(crate) fn feed_message() -> Schemas {
    let mut schemas = event_entry();
    collect::<ves_wire::ErrorDetail>(&mut schemas);
    schemas.insert(
        "FeedNotice".to_owned(),
        json!({
            "type": "object",
            "required": ["last"],
            "properties": {
                "last": {"type": "integer", "minimum": 0, "description": "How far the feed is: what to go on after"},
                "end": {"type": "boolean", "description": "Nothing follows"},
                "error": reference_to("ErrorDetail"),
            },
        }),
    );
    schemas.insert(
        "CloudEvent".to_owned(),
        json!({
            "type": "object",
            "required": ["specversion", "id", "source", "type", "subject", "time", "sequence", "data"],
            "properties": {
                "specversion": {"type": "string", "enum": ["1.0"]},
                "id": reference_to("EventId"),
                "source": {"type": "string", "description": "/tenants/{tenant}/stores/{store}"},
                "type": {"type": "string", "description": "The event type"},
                "subject": {"type": "string", "description": "{entity_type}/{entity_id}"},
                "time": {"type": "string", "format": "date-time"},
                "sequence": {"type": "string", "description": "The sequence number in 19 digits"},
                "sequencedat": reference_to("Rfc3339"),
                "agentid": reference_to("AgentId"),
                "sealed": {"type": "boolean", "description": "data is the envelope, which only recipients can open"},
                "datacontenttype": {"type": "string"},
                "data": {"description": "The payload"},
            },
        }),
    );
    let forms = ["EventEntry", "CloudEvent", "FeedNotice"].map(reference_to);
    schemas.insert("FeedMessage".to_owned(), json!({"anyOf": forms}));
    schemas
}

pub(crate) fn event_entry() -> Schemas {
    let mut schemas = envelope();
    collect::<ReceiptBody>(&mut schemas);
    collect::<Rfc3339>(&mut schemas);
    schemas.insert(
        "EventEntry".to_owned(),
        json!({
            "type": "object",
            "required": ["envelope", "sequenced_at", "receipt"],
            "properties": {
                "envelope": reference_to("EventEnvelope"),
                "sequenced_at": reference_to("Rfc3339"),
                "receipt": reference_to("ReceiptBody"),
            },
        }),
    );
    schemas
}

/// The envelope of VES section 2. Members are also read in camelCase.
fn envelope() -> Schemas {
    let mut schemas = Schemas::new();
    collect::<EventId>(&mut schemas);
    collect::<TenantId>(&mut schemas);
    collect::<StoreId>(&mut schemas);
    collect::<AgentId>(&mut schemas);
    collect::<CommandId>(&mut schemas);
    collect::<BatchId>(&mut schemas);
    let text = |max: u64| json!({"type": "string", "minLength": 1, "maxLength": max});
    let hex =
        |bytes: usize| json!({"type": "string", "pattern": format!("^(0x)?[0-9a-fA-F]{{{}}}$", 2 * bytes)});
    schemas.insert(
        "EventEnvelope".to_owned(),
        json!({
            "type": "object",
            "required": [
                "ves_version", "event_id", "tenant_id", "store_id", "source_agent_id", "agent_key_id",
                "entity_type", "entity_id", "event_type", "created_at", "payload_kind", "payload_plain_hash",
                "agent_signature",
            ],
            "properties": {
                "ves_version": {"type": "integer", "const": 1},
                "event_id": reference_to("EventId"),
                "tenant_id": reference_to("TenantId"),
                "store_id": reference_to("StoreId"),
                "source_agent_id": reference_to("AgentId"),
                "agent_key_id": {"type": "integer", "minimum": 0, "maximum": u32::MAX},
                "entity_type": text(128),
                "entity_id": text(512),
                "event_type": text(256),
                "created_at": {"type": "string", "description": "RFC 3339; the text itself is signed and kept"},
                "payload_kind": {"type": "integer", "enum": [0, 1], "description": "0 plain, 1 sealed"},
                "payload": {"description": "Any JSON, of a plain event"},
                "payload_encrypted": {"description": "The sealed payload (VES-ENC-1), of a sealed event"},
                "payload_plain_hash": hex(32),
                "payload_cipher_hash": hex(32),
                "agent_signature": hex(64),
                "agent_signature_scheme": {"type": ["integer", "null"], "minimum": 0, "maximum": 3},
                "agent_signature_bundle": {"description": "Signatures by algorithm, of a hybrid or post-quantum key"},
                "sequence_number": nullable("integer", "Given by the sequencer"),
                "sequenced_at": nullable("string", "Given by the sequencer"),
                "base_version": nullable("integer", "The entity's version that the event was made on"),
                "command_id": {"type": ["string", "null"], "format": "uuid"},
                "kernel": {"description": "An extra member of a published client, kept and returned"},
            },
        }),
    );
    schemas
}

/// The request of `POST /api/v1/events/ingest`.
pub(crate) fn legacy_ingest_request() -> Schemas {
    let mut schemas = legacy_envelope();
    schemas.insert(
        "LegacyIngestRequest".to_owned(),
        json!({
            "type": "object",
            "required": ["agent_id", "events"],
            "properties": {
                "agent_id": reference_to("AgentId"),
                "events": {
                    "type": "array", "items": reference_to("LegacyEnvelope"),
                    "description": "All of one tenant and store; each is accepted or refused alone",
                },
            },
        }),
    );
    schemas
}

/// A page of the older routes.
pub(crate) fn pulled_page() -> Schemas {
    let mut schemas = pulled_entry();
    collect::<SequenceNumber>(&mut schemas);
    schemas.insert(
        "PulledPage".to_owned(),
        json!({
            "type": "object",
            "required": ["events", "count", "head_sequence", "has_more", "next_sequence"],
            "properties": {
                "events": {"type": "array", "items": reference_to("PulledEntry")},
                "count": {"type": "integer", "minimum": 0},
                "head_sequence": reference_to("SequenceNumber"),
                "has_more": {"type": "boolean", "description": "Whether the stream goes on after this page"},
                "next_sequence": {"type": "integer", "minimum": 1, "description": "What to ask for next as from"},
            },
        }),
    );
    schemas
}

/// A page of one entity's events.
pub(crate) fn entity_page() -> Schemas {
    let mut schemas = pulled_entry();
    collect::<SequenceNumber>(&mut schemas);
    let count = |what: &str| json!({"type": "integer", "minimum": 0, "description": what});
    schemas.insert(
        "EntityPage".to_owned(),
        json!({
            "type": "object",
            "required": [
                "entity_type", "entity_id", "events", "count", "total", "has_more", "next_from", "head_sequence",
            ],
            "properties": {
                "entity_type": {"type": "string"},
                "entity_id": {"type": "string"},
                "events": {"type": "array", "items": reference_to("PulledEntry")},
                "count": count("Events of this page"),
                "total": count("Events of the entity"),
                "has_more": {"type": "boolean"},
                "next_from": count("What to ask for next as from"),
                "head_sequence": reference_to("SequenceNumber"),
                "projected_sequence": count("The last event that states take in; absent where none are kept"),
                "at": count("The event after which the state is shown, as asked"),
                "version": count("Events of the entity that its state has passed: what base_version is compared with"),
                "unreadable": count("Those that could not be judged, being sealed or following sealed ones"),
                "state": {"type": ["object", "null"], "description": "The entity's state; null where it does not exist"},
                "note": {"type": "string", "description": "Why there is no state, where the stream is an older one"},
            },
        }),
    );
    schemas
}

/// One event as the older routes show it: a signed one in the published form, a sealed one whole, or an older one.
fn pulled_entry() -> Schemas {
    let mut schemas = legacy_envelope();
    schemas.extend(envelope());
    collect::<Rfc3339>(&mut schemas);
    schemas.insert(
        "PulledEnvelope".to_owned(),
        json!({
            "type": "object",
            "required": [
                "event_id", "entity_type", "entity_id", "event_type", "payload", "payload_plain_hash",
                "agent_signature", "source_agent_id", "agent_key_id", "created_at", "sequence_number",
            ],
            "properties": {
                "event_id": reference_to("EventId"),
                "entity_type": {"type": "string"},
                "entity_id": {"type": "string"},
                "event_type": {"type": "string"},
                "payload": {"description": "Any JSON"},
                "payload_plain_hash": {"type": "string"},
                "agent_signature": {"type": "string"},
                "source_agent_id": reference_to("AgentId"),
                "agent_key_id": {"type": "integer", "minimum": 0},
                "created_at": {"type": "string", "description": "The text that was signed"},
                "sequence_number": {"type": "integer", "minimum": 1},
                "command_id": reference_to("CommandId"),
                "base_version": {"type": "integer", "minimum": 0},
                "kernel": {"description": "An extra member of a published client"},
            },
        }),
    );
    schemas.insert(
        "PulledEntry".to_owned(),
        json!({
            "type": "object",
            "required": ["envelope", "sequenced_at"],
            "properties": {
                "envelope": {"anyOf": [
                    reference_to("PulledEnvelope"), reference_to("LegacyEnvelope"), reference_to("EventEnvelope"),
                ]},
                "sequenced_at": reference_to("Rfc3339"),
            },
        }),
    );
    schemas
}

/// An event of the older stream (section 2.3).
fn legacy_envelope() -> Schemas {
    let mut schemas = Schemas::new();
    collect::<EventId>(&mut schemas);
    collect::<TenantId>(&mut schemas);
    collect::<StoreId>(&mut schemas);
    collect::<AgentId>(&mut schemas);
    collect::<CommandId>(&mut schemas);
    schemas.insert(
        "LegacyEnvelope".to_owned(),
        json!({
            "type": "object",
            "required": [
                "event_id", "tenant_id", "store_id", "entity_type", "entity_id", "event_type", "payload",
                "payload_hash", "created_at", "source_agent",
            ],
            "properties": {
                "envelope_version": {"type": "integer", "const": 1},
                "event_id": reference_to("EventId"),
                "command_id": {"type": ["string", "null"], "format": "uuid"},
                "tenant_id": reference_to("TenantId"),
                "store_id": reference_to("StoreId"),
                "entity_type": {"type": "string", "minLength": 1, "maxLength": 128},
                "entity_id": {"type": "string", "minLength": 1, "maxLength": 512},
                "event_type": {"type": "string", "minLength": 1, "maxLength": 256},
                "payload": {"description": "Any JSON"},
                "payload_hash": {"type": "string", "pattern": "^(0x)?[0-9a-fA-F]{64}$"},
                "base_version": nullable("integer", "The entity's version that the event was made on"),
                "created_at": {"type": "string", "description": "RFC 3339"},
                "source_agent": reference_to("AgentId"),
                "signature": {
                    "type": ["array", "null"], "items": {"type": "integer", "minimum": 0, "maximum": 255},
                    "description": "Kept, not checked",
                },
                "sequence_number": nullable("integer", "Given by the sequencer"),
            },
        }),
    );
    schemas
}

/// The keys of one agent, signed by the sequencer. Numbers of streams are decimal text, as they are signed.
pub(crate) fn key_directory() -> Schemas {
    let mut schemas = Schemas::new();
    collect::<TenantId>(&mut schemas);
    collect::<StoreId>(&mut schemas);
    collect::<AgentId>(&mut schemas);
    collect::<ves::SequencerId>(&mut schemas);
    collect::<ves::Digest>(&mut schemas);
    let time = || json!({"type": "string", "format": "date-time"});
    schemas.insert(
        "DirectoryKey".to_owned(),
        json!({
            "type": "object",
            "required": ["keyId", "keyAlgorithm", "publicKey", "status"],
            "properties": {
                "keyId": {"type": "integer", "minimum": 0},
                "keyAlgorithm": {"type": "integer", "minimum": 1, "maximum": 6},
                "publicKey": {"type": "string", "description": "Hex of all parts, the classical key first"},
                "status": {"type": "string", "enum": ["active", "revoked", "expired"]},
                "validFrom": time(), "validTo": time(), "revokedAt": time(),
            },
        }),
    );
    let keys = json!({"type": "array", "items": reference_to("DirectoryKey")});
    schemas.insert(
        "KeyDirectory".to_owned(),
        json!({
            "type": "object",
            "required": [
                "tenantId", "agentId", "sequencerId", "sequencerKeyVersion", "asOf", "signingKeys", "encryptionKeys",
            ],
            "properties": {
                "tenantId": reference_to("TenantId"),
                "agentId": reference_to("AgentId"),
                "sequencerId": reference_to("SequencerId"),
                "sequencerKeyVersion": {"type": "integer", "minimum": 0},
                "asOf": time(),
                "stream": {
                    "type": "object",
                    "required": ["storeId", "headSequence", "stateRoot"],
                    "properties": {
                        "storeId": reference_to("StoreId"),
                        "headSequence": {"type": "string", "pattern": "^[0-9]+$"},
                        "stateRoot": reference_to("Digest"),
                    },
                },
                "signingKeys": keys,
                "encryptionKeys": keys,
            },
        }),
    );
    schemas.insert(
        "SignedKeyDirectory".to_owned(),
        json!({
            "type": "object",
            "required": ["directory", "signatureAlg", "signature"],
            "properties": {
                "directory": reference_to("KeyDirectory"),
                "signatureAlg": {"type": "string", "enum": ["ed25519"]},
                "signature": {"type": "string", "pattern": "^(0x)?[0-9a-fA-F]{128}$"},
            },
        }),
    );
    schemas
}

fn nullable(kind: &str, description: &str) -> Value {
    json!({"type": [kind, "null"], "description": description})
}
