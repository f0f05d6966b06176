//! A push: whole-request rules here, per-event rules in [`ves::envelope`].

use std::fmt::Write as _;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ves::envelope::{DecodeError, Undecodable, decode_text};
use ves::event::plain_hash;
use ves::json::{JsonError, canonicalize, write_string};
use ves::time::{grpc_created_at, instant};
use ves::{AgentId, Digest, Envelope, EventId, Payload, Rejection, StoreId, StreamKey, TenantId, hex, seal};

use crate::ingest::{CREATED_AT_BYTES_MAX, Limits, RequestError};
use crate::proto::v2::{EncryptedPayload, EventEnvelope, PayloadKind, PushRequest, SignatureBundle};

/// Most events of one push, however large the configured limit of REST is (section 1.6).
const EVENTS_MAX: usize = 1000;

/// A push whose whole-request rules hold.
#[derive(Debug)]
pub struct Push<'a> {
    pub agent_id: AgentId,
    pub stream: StreamKey,
    /// In request order: decoded, or refused alone.
    pub events: Vec<Result<Envelope<'a>, Undecodable>>,
    /// Of the same length: the event with the other spelling of `created_at`, where its text was not sent.
    pub respelled: Vec<Option<Envelope<'a>>>,
}

/// One event as the text of its REST form.
#[derive(Debug)]
pub struct EventText {
    /// `Err`: no text could be made of it, since a part is not what the field holds.
    text: Result<String, DecodeError>,
    event_id: Option<EventId>,
    stream: Option<StreamKey>,
    /// What the author sizes freely, as [`Limits::payload_bytes_max`] counts it.
    bytes: usize,
    /// The other text that may have been signed.
    other_created_at: Option<String>,
    cipher_hash_missing: bool,
}

/// The REST forms of the events of a push, from which [`read_push`] borrows.
pub fn event_texts(request: &PushRequest) -> Vec<EventText> {
    request.events.iter().take(EVENTS_MAX).map(EventText::of).collect()
}

/// Applies the rules over a whole push and decodes its events. `texts` are those of the same request.
///
/// # Errors
/// [`RequestError`], when the push has to be refused whole.
pub fn read_push<'a>(
    request: &PushRequest,
    texts: &'a [EventText],
    limits: &Limits,
) -> Result<Push<'a>, RequestError> {
    let agent_id = AgentId(id("agent_id", &request.agent_id)?);
    let stream = StreamKey {
        tenant_id: TenantId(id("tenant_id", &request.tenant_id)?),
        store_id: StoreId(id("store_id", &request.store_id)?),
    };
    let (found, max) = (request.events.len(), limits.events_max.min(EVENTS_MAX));
    match found {
        0 => return Err(RequestError::Empty),
        _ if found > max => return Err(RequestError::TooManyEvents { found, max }),
        _ => {}
    }
    let mut push =
        Push { agent_id, stream, events: Vec::with_capacity(found), respelled: Vec::with_capacity(found) };
    for (index, (event, text)) in request.events.iter().zip(texts).enumerate() {
        if text.stream.is_some_and(|named| named != stream) {
            return Err(RequestError::MixedStreams { index });
        }
        if uuid(&event.source_agent).is_some_and(|source| source != agent_id.0) {
            return Err(RequestError::OtherAgent { index });
        }
        let (bytes, max) = (text.bytes, limits.payload_bytes_max);
        if bytes > max {
            return Err(RequestError::PayloadTooLarge { index, bytes, max });
        }
        match text.decode(limits) {
            Ok((envelope, other)) => {
                push.events.push(Ok(envelope));
                push.respelled.push(other);
            }
            Err(DecodeError::TooDeep) => return Err(RequestError::TooDeep),
            Err(DecodeError::Event(undecodable)) => {
                push.events.push(Err(undecodable));
                push.respelled.push(None);
            }
        }
    }
    Ok(push)
}

fn id(field: &'static str, text: &str) -> Result<uuid::Uuid, RequestError> {
    match uuid(text) {
        Some(id) => Ok(id),
        None if text.is_empty() => Err(RequestError::Missing(field)),
        None => Err(RequestError::Invalid { field, problem: "expected a UUID".to_owned() }),
    }
}

/// A hyphenated UUID: the other spellings of the library are not ours.
fn uuid(text: &str) -> Option<uuid::Uuid> {
    (text.len() == 36).then(|| uuid::Uuid::parse_str(text).ok()).flatten()
}

impl EventText {
    pub(super) fn of(event: &EventEnvelope) -> Self {
        let stream = match (uuid(&event.tenant_id), uuid(&event.store_id)) {
            (Some(tenant), Some(store)) => {
                Some(StreamKey { tenant_id: TenantId(tenant), store_id: StoreId(store) })
            }
            _ => None,
        };
        let mut this = Self {
            text: Ok(String::new()),
            event_id: uuid(&event.event_id).map(EventId),
            stream,
            bytes: 0,
            other_created_at: None,
            cipher_hash_missing: event.payload_encrypted.is_some() && event.payload_cipher_hash.is_empty(),
        };
        this.text = this.write(event).map_err(|fault| match fault {
            Fault::TooDeep => DecodeError::TooDeep,
            Fault::Rejected(rejection) => DecodeError::Event(this.undecodable(rejection)),
        });
        this
    }

    fn undecodable(&self, rejection: Rejection) -> Undecodable {
        Undecodable { event_id: self.event_id, stream: self.stream, rejection }
    }

    /// The event, and itself with the other spelling of `created_at` where there is one.
    pub(super) fn decode(
        &self,
        limits: &Limits,
    ) -> Result<(Envelope<'_>, Option<Envelope<'_>>), DecodeError> {
        let text = self.text.as_deref().map_err(Clone::clone)?;
        let mut envelope = decode_text(text, limits.format).map_err(in_grpc_names)?;
        if envelope.created_at.len() > CREATED_AT_BYTES_MAX {
            let problem = format!("must be at most {CREATED_AT_BYTES_MAX} bytes");
            let rejection = Rejection::schema("created_at_text", problem);
            return Err(DecodeError::Event(self.undecodable(rejection)));
        }
        let mut other = self.other_created_at.as_ref().map(|text| {
            let created_at = std::borrow::Cow::Owned(text.clone());
            Envelope { created_at, ..envelope.clone() }
        });
        if self.cipher_hash_missing {
            [Some(&mut envelope), other.as_mut()].into_iter().flatten().for_each(fill_cipher_hash);
        }
        Ok((envelope, other))
    }

    /// The members in the order of section 5 of the VES specification.
    fn write(&mut self, event: &EventEnvelope) -> Result<String, Fault> {
        let mut out = String::with_capacity(1024 + 2 * event.payload.len());
        let version = event.ves_version.max(1);
        write!(out, "{{\"ves_version\":{version},\"agent_key_id\":{}", event.agent_key_id)
            .map_err(drop_never)?;
        for (member, text) in [
            ("event_id", &event.event_id),
            ("tenant_id", &event.tenant_id),
            ("store_id", &event.store_id),
            ("source_agent_id", &event.source_agent),
            ("entity_type", &event.entity_type),
            ("entity_id", &event.entity_id),
            ("event_type", &event.event_type),
        ] {
            string_member(&mut out, member, text);
        }
        if let Some(text) = self.created_at(event)? {
            string_member(&mut out, "created_at", &text);
        }
        if !event.command_id.is_empty() {
            string_member(&mut out, "command_id", &event.command_id);
        }
        if let Some(version) = event.base_version {
            write!(out, ",\"base_version\":{version}").map_err(drop_never)?;
        }
        self.write_payload(event, &mut out)?;
        if !event.kernel.is_empty() {
            let kernel = json_text("kernel", &event.kernel)?;
            self.bytes += kernel.len();
            raw_member(&mut out, "kernel", &kernel);
        }
        write_signature(event, &mut out)?;
        out.push('}');
        Ok(out)
    }

    /// The text to decode with; keeps the other one that may have been signed (section 4.1, Push).
    fn created_at(&mut self, event: &EventEnvelope) -> Result<Option<String>, Fault> {
        let sent = match &event.created_at {
            None => None,
            Some(at) => {
                let text = u32::try_from(at.nanos).ok().and_then(|nanos| grpc_created_at(at.seconds, nanos));
                Some(text.ok_or_else(|| {
                    schema("created_at", "must lie in the years 0 to 9999, its nanos from 0 to 999999999")
                })?)
            }
        };
        if event.created_at_text.is_empty() {
            let zulu = sent.as_ref().and_then(|text| text.strip_suffix("+00:00"));
            self.other_created_at = zulu.map(|text| format!("{text}Z"));
            return Ok(sent);
        }
        let named = instant(&event.created_at_text);
        if let (Some(at), Some(named)) = (&event.created_at, named)
            && (at.seconds, at.nanos) != (named.0, named.1 as i32)
        {
            return Err(schema("created_at_text", "names another instant than created_at"));
        }
        Ok(Some(event.created_at_text.clone()))
    }

    fn write_payload(&mut self, event: &EventEnvelope, out: &mut String) -> Result<(), Fault> {
        // One more than what is signed (VES section 2.2).
        let kind = match PayloadKind::try_from(event.payload_kind) {
            Ok(PayloadKind::Plaintext) => 0,
            Ok(PayloadKind::Encrypted) => 1,
            _ => return Err(schema("payload_kind", "must be 1 (plaintext) or 2 (encrypted)")),
        };
        write!(out, ",\"payload_kind\":{kind}").map_err(drop_never)?;
        let mut plain = None;
        if !event.payload.is_empty() {
            let payload = json_text("payload", &event.payload)?;
            self.bytes += payload.len();
            raw_member(out, "payload", &payload);
            plain = Some(plain_hash(&payload));
        }
        if let Some(sealed) = &event.payload_encrypted {
            self.bytes += sealed_bytes(sealed);
            out.push_str(",\"payload_encrypted\":");
            write_sealed(sealed, out)?;
        }
        match (event.payload_plain_hash.is_empty(), plain) {
            (false, _) => hex_member(out, "payload_plain_hash", &event.payload_plain_hash),
            (true, Some(hash)) => hex_member(out, "payload_plain_hash", hash.as_bytes()),
            // Nobody but the holders of the key can compute it.
            (true, None) if kind == 1 => {
                return Err(schema("payload_plain_hash", "is missing, and an encrypted payload hides it"));
            }
            (true, None) => hex_member(out, "payload_plain_hash", Digest::ZERO.as_bytes()),
        }
        let cipher: &[u8] = match event.payload_cipher_hash.is_empty() {
            true => Digest::ZERO.as_bytes(),
            false => &event.payload_cipher_hash,
        };
        hex_member(out, "payload_cipher_hash", cipher);
        Ok(())
    }
}

/// Of an event that came without it. What it signs decides whether this is the hash that its agent meant.
fn fill_cipher_hash(envelope: &mut Envelope<'_>) {
    if let Payload::Encrypted(sealed) = &envelope.payload {
        envelope.payload_cipher_hash = seal::cipher_hash(&envelope.payload_aad(), sealed);
    }
}

fn write_signature(event: &EventEnvelope, out: &mut String) -> Result<(), Fault> {
    if !event.agent_signature.is_empty() {
        hex_member(out, "agent_signature", &event.agent_signature);
    }
    if event.agent_signature_scheme != 0 {
        write!(out, ",\"agent_signature_scheme\":{}", event.agent_signature_scheme).map_err(drop_never)?;
    }
    let Some(SignatureBundle { ed25519_signature, ml_dsa_65_signature }) = &event.agent_signature_bundle
    else {
        return Ok(());
    };
    let mut bundle = String::new();
    for (member, bytes) in
        [("ed25519_signature", ed25519_signature), ("ml_dsa_65_signature", ml_dsa_65_signature)]
    {
        if !bytes.is_empty() {
            hex_member(&mut bundle, member, bytes);
        }
    }
    if !bundle.is_empty() {
        raw_member(out, "agent_signature_bundle", &format!("{{{}}}", bundle.trim_start_matches(',')));
    }
    Ok(())
}

fn write_sealed(sealed: &EncryptedPayload, out: &mut String) -> Result<(), Fault> {
    if sealed.key_wrap_params.is_some() || !sealed.recipient_wraps.is_empty() {
        let field = "payload_encrypted.recipient_wraps";
        return Err(schema(field, "is not supported: wrap the key in recipients, by HPKE"));
    }
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    write!(out, "{{\"enc_version\":{}", sealed.enc_version.max(1)).map_err(drop_never)?;
    string_member(out, "aead", &or(&sealed.aead, "AES-256-GCM"));
    base64_member(out, "nonce_b64u", &sealed.nonce);
    base64_member(out, "ciphertext_b64u", &sealed.ciphertext);
    base64_member(out, "tag_b64u", &sealed.tag);
    let hpke = sealed.hpke.clone().unwrap_or_default();
    out.push_str(",\"hpke\":{\"mode\":");
    write_string(out, &or(&hpke.mode, "base"));
    string_member(out, "kem", &or(&hpke.kem, "X25519-HKDF-SHA256"));
    string_member(out, "kdf", &or(&hpke.kdf, "HKDF-SHA256"));
    string_member(out, "aead", &or(&hpke.aead, "AES-256-GCM"));
    out.push_str("},\"recipients\":[");
    for (index, recipient) in sealed.recipients.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write!(out, "{{\"recipient_kid\":{}", recipient.recipient_kid).map_err(drop_never)?;
        base64_member(out, "enc_b64u", &recipient.ephemeral_public_key);
        base64_member(out, "ct_b64u", &recipient.wrapped_dek);
        out.push('}');
    }
    out.push_str("]}");
    Ok(())
}

fn sealed_bytes(sealed: &EncryptedPayload) -> usize {
    let wraps = sealed.recipients.iter();
    let wraps: usize = wraps.map(|wrap| 4 + wrap.ephemeral_public_key.len() + wrap.wrapped_dek.len()).sum();
    sealed.nonce.len() + sealed.tag.len() + sealed.ciphertext.len() + wraps
}

/// Why no REST form could be written.
enum Fault {
    TooDeep,
    Rejected(Rejection),
}

fn schema(field: &str, problem: &str) -> Fault {
    Fault::Rejected(Rejection::schema(field, problem))
}

/// Writing to a string never fails; were it to, the event is refused.
fn drop_never(_: std::fmt::Error) -> Fault {
    schema("event", "can't be read")
}

/// Canonical JSON of the bytes of a field. It is checked here, since it goes into a text of JSON as it is.
fn json_text(field: &str, bytes: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| schema(field, "must be JSON in UTF-8"))?;
    match canonicalize(text) {
        Ok(canonical) => Ok(canonical.into_owned()),
        Err(JsonError::TooDeep) => Err(Fault::TooDeep),
        Err(error) => Err(Fault::Rejected(Rejection::schema(error.path_under(field), error.problem()))),
    }
}

fn raw_member(out: &mut String, member: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(member);
    out.push_str("\":");
    out.push_str(value);
}

fn string_member(out: &mut String, member: &str, value: &str) {
    raw_member(out, member, "");
    write_string(out, value);
}

fn hex_member(out: &mut String, member: &str, bytes: &[u8]) {
    string_member(out, member, &hex::encode_0x(bytes));
}

fn base64_member(out: &mut String, member: &str, bytes: &[u8]) {
    string_member(out, member, &Base64UrlUnpadded::encode_string(bytes));
}

/// Names of fields as this transport has them.
fn in_grpc_names(error: DecodeError) -> DecodeError {
    let DecodeError::Event(mut undecodable) = error else { return error };
    if let Rejection::SchemaValidation { field, .. } = &mut undecodable.rejection {
        if field == "source_agent_id" {
            *field = "source_agent".to_owned();
        }
        if let Some(path) = field.strip_prefix("payload_encrypted.") {
            let path = path.replace("enc_b64u", "ephemeral_public_key").replace("ct_b64u", "wrapped_dek");
            *field = format!("payload_encrypted.{}", path.replace("_b64u", ""));
        }
    }
    DecodeError::Event(undecodable)
}

#[cfg(test)]
mod tests;
