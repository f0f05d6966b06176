//! The event envelope (section 5): what an agent authors and signs.

use std::borrow::Cow;

use crate::hash::{Digest, Domain, Hasher, hash_pieces};
use crate::ids::{AgentId, CommandId, EventId, KeyId, RecipientKeyId, StreamKey};
use crate::keys::MlDsaSignature;

/// Bounds of section 5, in bytes of UTF-8. The lower bound of each is 1.
pub const ENTITY_TYPE_BYTES_MAX: usize = 128;
pub const ENTITY_ID_BYTES_MAX: usize = 512;
pub const EVENT_TYPE_BYTES_MAX: usize = 256;

/// One event of format version 1, decoded: its shape was checked, its hashes and signature were not.
///
/// Texts borrow from the request where they can. `created_at` is the exact text received, since that text is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub event_id: EventId,
    pub stream: StreamKey,
    pub source_agent_id: AgentId,
    pub agent_key_id: KeyId,
    pub entity_type: Cow<'a, str>,
    pub entity_id: Cow<'a, str>,
    pub event_type: Cow<'a, str>,
    pub created_at: Cow<'a, str>,
    pub payload: Payload<'a>,
    /// As claimed by the agent.
    pub payload_plain_hash: Digest,
    /// As claimed by the agent; zero for a plaintext event.
    pub payload_cipher_hash: Digest,
    /// Zero for an event signed by ML-DSA-65 alone (13.1).
    pub agent_signature: [u8; 64],
    /// Unsigned: intent-level duplicate key.
    pub command_id: Option<CommandId>,
    /// Unsigned: expected entity version.
    pub base_version: Option<u64>,
    /// Unsigned: an object that published clients attach and expect back; canonical JSON.
    pub kernel: Option<Cow<'a, str>>,
    /// Present for the schemes 2 and 3 (section 21); see [`Envelope::signature_scheme`].
    pub ml_dsa_65_signature: Option<Box<MlDsaSignature>>,
}

/// What the event says, in clear or sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Canonical JSON (RFC 8785) of the payload.
    Plain(Cow<'a, str>),
    Encrypted(EncryptedPayload),
}

/// A sealed payload (VES-ENC-1, section 7.1), decoded. The algorithm names are fixed by the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedPayload {
    pub nonce: [u8; 12],
    pub ciphertext: Vec<u8>,
    pub tag: [u8; 16],
    /// At least one, strictly ascending by `recipient_kid`.
    pub recipients: Vec<RecipientWrap>,
}

/// The content key, wrapped for one recipient by HPKE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientWrap {
    pub recipient_kid: RecipientKeyId,
    /// Ephemeral public key.
    pub enc: [u8; 32],
    /// Wrapped content key and its tag.
    pub ct: [u8; 48],
}

impl<'a> Envelope<'a> {
    /// 0 plaintext, 1 encrypted: the value in JSON and in the signing preimage (section 2.2).
    pub fn payload_kind(&self) -> u32 {
        match self.payload {
            Payload::Plain(_) => 0,
            Payload::Encrypted(_) => 1,
        }
    }

    /// The 32 bytes that the agent signs (section 8.1).
    pub fn signing_hash(&self) -> Digest {
        let texts = [&self.entity_type, &self.entity_id, &self.event_type, &self.created_at];
        let lengths = texts.map(|text| (text.len() as u32).to_be_bytes());
        hash_pieces(
            Domain::EventSignature,
            &[
                &1u32.to_be_bytes(),
                self.stream.tenant_id.as_bytes(),
                self.stream.store_id.as_bytes(),
                self.event_id.as_bytes(),
                self.source_agent_id.as_bytes(),
                &self.agent_key_id.0.to_be_bytes(),
                &lengths[0],
                texts[0].as_bytes(),
                &lengths[1],
                texts[1].as_bytes(),
                &lengths[2],
                texts[2].as_bytes(),
                &lengths[3],
                texts[3].as_bytes(),
                &self.payload_kind().to_be_bytes(),
                &self.payload_plain_hash.0,
                &self.payload_cipher_hash.0,
            ],
        )
    }

    /// The same event, owning its texts.
    pub fn into_owned(self) -> Envelope<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Envelope {
            event_id: self.event_id,
            stream: self.stream,
            source_agent_id: self.source_agent_id,
            agent_key_id: self.agent_key_id,
            entity_type: own(self.entity_type),
            entity_id: own(self.entity_id),
            event_type: own(self.event_type),
            created_at: own(self.created_at),
            payload: match self.payload {
                Payload::Plain(text) => Payload::Plain(own(text)),
                Payload::Encrypted(sealed) => Payload::Encrypted(sealed),
            },
            payload_plain_hash: self.payload_plain_hash,
            payload_cipher_hash: self.payload_cipher_hash,
            agent_signature: self.agent_signature,
            command_id: self.command_id,
            base_version: self.base_version,
            kernel: self.kernel.map(own),
            ml_dsa_65_signature: self.ml_dsa_65_signature,
        }
    }
}

/// `payload_plain_hash` of a plaintext event (section 6.1); `canonical` is RFC 8785 text.
pub fn plain_hash(canonical: &str) -> Digest {
    Hasher::new(Domain::PayloadPlain).bytes(canonical.as_bytes()).finish()
}
