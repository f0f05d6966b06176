//! A record in three parts, the middle one its payload: to be read, or replaced, without the rest.

use std::borrow::Cow;

use ves::{
    AgentId, CommandId, Digest, EncryptedPayload, Envelope, EventId, KeyId, Payload, StoreId, StreamKey,
    TenantId,
};

use super::{
    BASE_VERSION, CIPHER_HASH, COMMAND, ENCRYPTED, FLAGS, KERNEL, ML_DSA_65, RECIPIENT_BYTES, SEALED,
    VERSION, decode_sealed,
};
use crate::codec::{Reader, RecordError, Writer};

/// Of the flags in a record.
const FLAGS_AT: usize = 1;

/// A record whose payload is left as it lies, so that everything else can be read also while that is sealed at rest
/// (section 19): ids, hashes and signatures are never sealed.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What the agent wrote, but for the payload: an empty one of the same kind stands in its place, so that the signing
    /// hash and the leaf are those of the event.
    pub head: Envelope<'a>,
    pub signing_hash: Digest,
    flags: u8,
    before: &'a [u8],
    payload: &'a [u8],
    after: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record made by [`crate::encode_body`], or by [`Self::sealed`].
    ///
    /// # Errors
    /// Anything else.
    pub fn read(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut r = Reader::new(bytes);
        let version = r.u8("version")?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let flags = r.u8("flags")?;
        if flags & !FLAGS != 0 {
            return Err(RecordError::Value("flags"));
        }
        let signing_hash = r.digest("signing hash")?;
        let mut head = read_head(&mut r, flags)?;
        let before = bytes.len() - r.left();
        let payload = skip_payload(&mut r, flags)?;
        let after = bytes.len() - r.left();
        let has = |flag: u8| flags & flag != 0;
        head.kernel = if has(KERNEL) { Some(Cow::Borrowed(r.text("kernel")?)) } else { None };
        head.ml_dsa_65_signature =
            if has(ML_DSA_65) { Some(Box::new(r.array("ML-DSA-65 signature")?)) } else { None };
        r.end()?;
        Ok(Self { head, signing_hash, flags, before: &bytes[..before], payload, after: &bytes[after..] })
    }

    /// Whether the payload is sealed at rest.
    pub fn is_sealed(&self) -> bool {
        self.flags & SEALED != 0
    }

    /// The payload as it lies here: its bytes in clear, or the blob that they are sealed in.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether the payload, too, can be read.
    ///
    /// # Errors
    /// [`RecordError::Sealed`]; what is wrong with a payload in clear.
    pub fn clear(&self) -> Result<(), RecordError> {
        self.clear_payload().map(drop)
    }

    pub(super) fn clear_payload(&self) -> Result<Payload<'a>, RecordError> {
        if self.is_sealed() {
            return Err(RecordError::Sealed);
        }
        if self.flags & ENCRYPTED == 0 {
            let text = std::str::from_utf8(self.payload).map_err(|_| RecordError::Text("payload"))?;
            return Ok(Payload::Plain(Cow::Borrowed(text)));
        }
        let mut r = Reader::new(self.payload);
        let encrypted = decode_sealed(&mut r)?;
        r.end()?;
        Ok(Payload::Encrypted(encrypted))
    }

    /// The same record with its payload sealed in `blob`.
    pub fn sealed(&self, blob: &[u8]) -> Vec<u8> {
        self.with_payload(self.flags | SEALED, blob)
    }

    /// The same record with its payload in clear; `payload` is what a blob opened to.
    pub fn opened(&self, payload: &[u8]) -> Vec<u8> {
        self.with_payload(self.flags & !SEALED, payload)
    }

    fn with_payload(&self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let bytes = self.before.len() + 4 + payload.len() + self.after.len();
        let mut out = Writer::with_capacity(bytes);
        out.bytes(self.before);
        out.0[FLAGS_AT] = flags;
        match has_length(flags) {
            true => out.blob(payload),
            false => out.bytes(payload),
        };
        out.bytes(self.after);
        out.0
    }

    /// Whether both are the record of one event, whichever of them is sealed. Their payloads need not be looked at: the
    /// hashes of both are in what is compared.
    pub fn is_same_event(&self, other: &Self) -> bool {
        let rest = |record: &Self| (record.flags & !SEALED, &record.before[FLAGS_AT + 1..], record.after);
        rest(self) == rest(other)
    }
}

/// Whether a record says that its payload is sealed at rest. Looks at one byte.
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.get(FLAGS_AT).is_some_and(|flags| flags & SEALED != 0)
}

/// Whether a length stands before the payload.
fn has_length(flags: u8) -> bool {
    flags & SEALED != 0 || flags & ENCRYPTED == 0
}

/// Everything before the payload.
fn read_head<'a>(r: &mut Reader<'a>, flags: u8) -> Result<Envelope<'a>, RecordError> {
    let has = |flag: u8| flags & flag != 0;
    let stream = StreamKey { tenant_id: TenantId(r.uuid("tenant")?), store_id: StoreId(r.uuid("store")?) };
    let event_id = EventId(r.uuid("event id")?);
    let source_agent_id = AgentId(r.uuid("agent")?);
    let agent_key_id = KeyId(r.u32("key id")?);
    let payload_plain_hash = r.digest("plain hash")?;
    let payload_cipher_hash = if has(CIPHER_HASH) { r.digest("cipher hash")? } else { Digest::ZERO };
    if has(CIPHER_HASH) && payload_cipher_hash == Digest::ZERO {
        return Err(RecordError::Value("cipher hash"));
    }
    let agent_signature = r.array("agent signature")?;
    let command_id = if has(COMMAND) { Some(CommandId(r.uuid("command id")?)) } else { None };
    let base_version = if has(BASE_VERSION) { Some(r.u64("base version")?) } else { None };
    let nothing =
        EncryptedPayload { nonce: [0; 12], ciphertext: Vec::new(), tag: [0; 16], recipients: Vec::new() };
    Ok(Envelope {
        event_id,
        stream,
        source_agent_id,
        agent_key_id,
        entity_type: Cow::Borrowed(r.text("entity type")?),
        entity_id: Cow::Borrowed(r.text("entity id")?),
        event_type: Cow::Borrowed(r.text("event type")?),
        created_at: Cow::Borrowed(r.text("created at")?),
        payload: if has(ENCRYPTED) { Payload::Encrypted(nothing) } else { Payload::Plain(Cow::Borrowed("")) },
        payload_plain_hash,
        payload_cipher_hash,
        agent_signature,
        command_id,
        base_version,
        kernel: None,
        ml_dsa_65_signature: None,
    })
}

/// The payload's bytes, without a length before them.
fn skip_payload<'a>(r: &mut Reader<'a>, flags: u8) -> Result<&'a [u8], RecordError> {
    if has_length(flags) {
        return r.blob("payload");
    }
    let mut ahead = r.clone();
    let whole = ahead.left();
    ahead.bytes(12, "nonce")?;
    ahead.bytes(16, "tag")?;
    ahead.blob("ciphertext")?;
    let count = ahead.count(RECIPIENT_BYTES, "recipients")?;
    ahead.bytes(count * RECIPIENT_BYTES, "recipients")?;
    r.bytes(whole - ahead.left(), "payload")
}
