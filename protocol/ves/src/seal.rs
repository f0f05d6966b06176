//! Sealed payloads, VES-ENC-1 (section 7): one content key per event, wrapped for each recipient by HPKE.
//!
//! Randomness comes in as a value ([`SealingRandomness`]); secrets are wiped when dropped.

use std::fmt;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::event::{EncryptedPayload, Envelope, Payload, RecipientWrap};
use crate::hash::{Digest, Domain, Hasher};
use crate::hex::{self, HexError};
use crate::hpke;
use crate::ids::{AgentId, EventId, KeyId, RecipientKeyId, StreamKey};
use crate::json;

/// Bytes of salt in front of the sealed payload.
pub const SALT_BYTES: usize = 16;

/// Who may open a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    pub kid: RecipientKeyId,
    /// X25519.
    pub public_key: [u8; 32],
}

/// The random values of one sealed event. Never to be used twice: draw afresh for every event.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealingRandomness {
    pub salt: [u8; SALT_BYTES],
    pub dek: [u8; 32],
    pub nonce: [u8; 12],
    /// One for each recipient, in the order the recipients are given.
    pub ephemeral_secrets: Vec<[u8; 32]>,
}

impl SealingRandomness {
    /// Draws everything for one event from `fill`, which must fill its buffer from a secure generator.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn draw<E>(recipients: usize, mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut drawn = Self {
            salt: [0; SALT_BYTES],
            dek: [0; 32],
            nonce: [0; 12],
            ephemeral_secrets: vec![[0; 32]; recipients],
        };
        fill(&mut drawn.salt)?;
        fill(&mut drawn.dek)?;
        fill(&mut drawn.nonce)?;
        drawn.ephemeral_secrets.iter_mut().try_for_each(|secret| fill(secret))?;
        Ok(drawn)
    }
}

impl SealingRandomness {
    /// The salt alone, for whoever proves something about the payload later. All the rest is of use to nobody.
    pub fn payload_salt(&self) -> PayloadSalt {
        PayloadSalt(self.salt)
    }
}

impl fmt::Debug for SealingRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingRandomness(secret)")
    }
}

/// The salt that is hashed in front of one sealed payload (section 6.1). Secret, like the payload: whoever has it can
/// test guesses of the payload against the signed `payload_plain_hash`. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PayloadSalt([u8; SALT_BYTES]);

impl PayloadSalt {
    pub const fn from_bytes(bytes: [u8; SALT_BYTES]) -> Self {
        Self(bytes)
    }

    /// From 32 hex digits, as an agent keeps it.
    ///
    /// # Errors
    /// [`HexError`].
    pub fn from_hex(text: &str) -> Result<Self, HexError> {
        hex::decode_lenient(text).map(Self)
    }

    /// Secret.
    pub const fn as_bytes(&self) -> &[u8; SALT_BYTES] {
        &self.0
    }

    /// Secret: 32 hex digits.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(&self.0))
    }

    /// `payload_plain_hash` of a sealed event with this salt (section 6.1); `canonical` is RFC 8785 text.
    pub fn plain_hash(&self, canonical: &str) -> Digest {
        Hasher::new(Domain::PayloadPlain).bytes(&self.0).bytes(canonical.as_bytes()).finish()
    }
}

impl fmt::Debug for PayloadSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadSalt(secret)")
    }
}

/// A sealed payload as its recipient has it, and what was hashed in front of it.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedPayload {
    /// RFC 8785 text.
    pub canonical: Zeroizing<String>,
    pub salt: PayloadSalt,
}

impl fmt::Debug for OpenedPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenedPayload(secret)")
    }
}

/// What a sealed payload is tied to (section 7.2, without the hash).
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub stream: StreamKey,
    pub event_id: EventId,
    pub source_agent_id: AgentId,
    pub agent_key_id: KeyId,
    pub entity_type: &'a str,
    pub entity_id: &'a str,
    pub event_type: &'a str,
    pub created_at: &'a str,
}

impl Context<'_> {
    /// Section 7.2. [`Envelope::payload_aad`] gives the same from an envelope.
    pub fn aad(&self, payload_plain_hash: &Digest) -> Digest {
        Hasher::new(Domain::PayloadAad)
            .uuid(&self.stream.tenant_id.0)
            .uuid(&self.stream.store_id.0)
            .uuid(&self.event_id.0)
            .uuid(&self.source_agent_id.0)
            .u32(self.agent_key_id.0)
            .str(self.entity_type)
            .str(self.entity_id)
            .str(self.event_type)
            .str(self.created_at)
            .digest(payload_plain_hash)
            .finish()
    }
}

/// A payload after sealing, and the two hashes that the envelope carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub payload_plain_hash: Digest,
    pub payload_cipher_hash: Digest,
    pub encrypted: EncryptedPayload,
}

/// Why a payload was not sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("a sealed event needs at least one recipient")]
    NoRecipients,
    #[error("recipient {kid} is given twice")]
    RepeatedRecipient { kid: RecipientKeyId },
    #[error("the public key of recipient {kid} is a point of small order")]
    WeakRecipientKey { kid: RecipientKeyId },
    #[error("{expected} ephemeral secrets are needed, {found} were drawn")]
    EphemeralSecrets { expected: usize, found: usize },
    #[error("the payload is longer than the cipher allows")]
    TooLong,
}

/// Why a sealed payload was not opened. The names are those of section 7.6 and of its vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the event is not encrypted")]
    NotEncrypted,
    #[error("the event names no recipient {0}")]
    RecipientNotFound(RecipientKeyId),
    #[error("the payload does not open with this key")]
    DecryptionFailed,
    #[error("the opened payload is no salted JSON text")]
    InvalidPayloadFormat,
    #[error("the opened payload does not hash to the signed payload_plain_hash")]
    PayloadHashMismatch,
}

impl OpenError {
    /// The name of section 7.6.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotEncrypted => "NotEncrypted",
            Self::RecipientNotFound(_) => "RecipientNotFound",
            Self::DecryptionFailed => "DecryptionFailed",
            Self::InvalidPayloadFormat => "InvalidPayloadFormat",
            Self::PayloadHashMismatch => "PayloadHashMismatch",
        }
    }
}

/// Seals a payload (section 7.3).
///
/// - `canonical_payload`: RFC 8785 text.
/// - `recipients`: in any order; the n-th uses the n-th ephemeral secret.
///
/// # Errors
/// [`SealError`].
pub fn seal(
    context: &Context<'_>,
    canonical_payload: &str,
    recipients: &[Recipient],
    randomness: &SealingRandomness,
) -> Result<Sealed, SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipients);
    }
    let (expected, found) = (recipients.len(), randomness.ephemeral_secrets.len());
    if expected != found {
        return Err(SealError::EphemeralSecrets { expected, found });
    }
    // Encrypted in place: after that the buffer holds the ciphertext.
    let mut buffer = Vec::with_capacity(SALT_BYTES + canonical_payload.len());
    buffer.extend_from_slice(&randomness.salt);
    buffer.extend_from_slice(canonical_payload.as_bytes());
    let payload_plain_hash = salted_hash(&buffer);
    let aad = context.aad(&payload_plain_hash);
    let tag = Aes256Gcm::new(&randomness.dek.into())
        .encrypt_inout_detached(&randomness.nonce.into(), &aad.0, buffer.as_mut_slice().into())
        .map_err(|_| SealError::TooLong)?;
    let recipients = wrap_for_each(recipients, randomness, &aad)?;
    let encrypted =
        EncryptedPayload { nonce: randomness.nonce, ciphertext: buffer, tag: tag.into(), recipients };
    Ok(Sealed { payload_plain_hash, payload_cipher_hash: cipher_hash(&aad, &encrypted), encrypted })
}

fn wrap_for_each(
    recipients: &[Recipient],
    randomness: &SealingRandomness,
    aad: &Digest,
) -> Result<Vec<RecipientWrap>, SealError> {
    let mut wraps = Vec::with_capacity(recipients.len());
    for (recipient, ephemeral) in recipients.iter().zip(&randomness.ephemeral_secrets) {
        let (enc, ct) = hpke::seal(&recipient.public_key, ephemeral, &aad.0, &randomness.dek)
            .map_err(|_| SealError::WeakRecipientKey { kid: recipient.kid })?;
        let ct = ct.try_into().expect("32 bytes of key and 16 of tag");
        wraps.push(RecipientWrap { recipient_kid: recipient.kid, enc, ct });
    }
    wraps.sort_unstable_by_key(|wrap| wrap.recipient_kid);
    if let Some(pair) = wraps.windows(2).find(|pair| pair[0].recipient_kid == pair[1].recipient_kid) {
        return Err(SealError::RepeatedRecipient { kid: pair[0].recipient_kid });
    }
    Ok(wraps)
}

/// Opens the payload of `envelope` for one recipient and returns its canonical JSON (section 7.6).
///
/// The opened bytes must hash to the signed `payload_plain_hash` as they are and after canonicalising them
/// again: readers that do either agree with this one.
///
/// # Errors
/// [`OpenError`]. The signature is not checked here.
pub fn open(envelope: &Envelope<'_>, kid: RecipientKeyId, secret: &[u8; 32]) -> Result<String, OpenError> {
    open_signed(envelope, kid, secret, &envelope.payload_plain_hash)
}

/// [`open`], with the salt: for a recipient that proves something about the payload (specification of compliance
/// proofs, section 4.2).
///
/// # Errors
/// [`OpenError`].
pub fn open_with_salt(
    envelope: &Envelope<'_>,
    kid: RecipientKeyId,
    secret: &[u8; 32],
) -> Result<OpenedPayload, OpenError> {
    opened(envelope, kid, secret, &envelope.payload_plain_hash)
}

/// [`open`] against a `payload_plain_hash` known to be signed from elsewhere, such as a log of hashes.
///
/// # Errors
/// [`OpenError`].
pub fn open_signed(
    envelope: &Envelope<'_>,
    kid: RecipientKeyId,
    secret: &[u8; 32],
    signed_hash: &Digest,
) -> Result<String, OpenError> {
    // The one copy that leaves: its owner decides how long it lives.
    opened(envelope, kid, secret, signed_hash).map(|opened| opened.canonical.to_string())
}

fn opened(
    envelope: &Envelope<'_>,
    kid: RecipientKeyId,
    secret: &[u8; 32],
    signed_hash: &Digest,
) -> Result<OpenedPayload, OpenError> {
    let Payload::Encrypted(sealed) = &envelope.payload else { return Err(OpenError::NotEncrypted) };
    let wrap = sealed
        .recipients
        .iter()
        .find(|wrap| wrap.recipient_kid == kid)
        .ok_or(OpenError::RecipientNotFound(kid))?;
    let aad = envelope.payload_aad();
    let dek = hpke::open(&wrap.enc, secret, &aad.0, &wrap.ct).map_err(|_| OpenError::DecryptionFailed)?;
    let dek: Zeroizing<[u8; 32]> =
        Zeroizing::new(dek.as_slice().try_into().map_err(|_| OpenError::DecryptionFailed)?);
    let mut plaintext = Zeroizing::new(sealed.ciphertext.clone());
    Aes256Gcm::new(&(*dek).into())
        .decrypt_inout_detached(
            &sealed.nonce.into(),
            &aad.0,
            plaintext.as_mut_slice().into(),
            &sealed.tag.into(),
        )
        .map_err(|_| OpenError::DecryptionFailed)?;
    check_opened(&plaintext, signed_hash)
}

/// The canonical payload of `salt ‖ JSON`, if both readings of section 7.6 give the signed hash.
fn check_opened(plaintext: &[u8], signed: &Digest) -> Result<OpenedPayload, OpenError> {
    let (salt, rest) = plaintext.split_first_chunk().ok_or(OpenError::InvalidPayloadFormat)?;
    let salt = PayloadSalt(*salt);
    let text = std::str::from_utf8(rest).map_err(|_| OpenError::InvalidPayloadFormat)?;
    let canonical = json::canonicalize(text).map_err(|_| OpenError::InvalidPayloadFormat)?;
    let canonical = Zeroizing::new(canonical.into_owned());
    let as_canonical = salt.plain_hash(&canonical);
    let as_opened = salted_hash(plaintext);
    if (as_opened.0.ct_eq(&signed.0) & as_canonical.0.ct_eq(&signed.0)).into() {
        Ok(OpenedPayload { canonical, salt })
    } else {
        Err(OpenError::PayloadHashMismatch)
    }
}

/// `payload_plain_hash` of a sealed event (section 6.1): over salt and payload.
fn salted_hash(salt_and_payload: &[u8]) -> Digest {
    Hasher::new(Domain::PayloadPlain).bytes(salt_and_payload).finish()
}

/// Section 7.4. The count is not hashed; the entries' fixed sizes make it plain.
pub fn recipients_hash(recipients: &[RecipientWrap]) -> Digest {
    let mut hasher = Hasher::new(Domain::Recipients);
    for wrap in recipients {
        hasher = hasher
            .u32(wrap.recipient_kid.0)
            .u32(wrap.enc.len() as u32)
            .bytes(&wrap.enc)
            .u32(wrap.ct.len() as u32)
            .bytes(&wrap.ct);
    }
    hasher.finish()
}

/// Section 7.5; `aad` is [`Envelope::payload_aad`].
pub fn cipher_hash(aad: &Digest, sealed: &EncryptedPayload) -> Digest {
    Hasher::new(Domain::PayloadCipher)
        .u32(1)
        .bytes(&sealed.nonce)
        .digest(aad)
        .u32(sealed.ciphertext.len() as u32)
        .bytes(&sealed.ciphertext)
        .bytes(&sealed.tag)
        .digest(&recipients_hash(&sealed.recipients))
        .finish()
}

/// An X25519 secret key of a recipient; wiped when dropped.
#[derive(Clone)]
pub struct DecryptionKey(StaticSecret);

impl DecryptionKey {
    /// 32 bytes from a secure generator.
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self(StaticSecret::from(secret))
    }

    /// What senders seal to.
    pub fn public_key(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    pub fn secret_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// [`open_with_salt`] with this key.
    ///
    /// # Errors
    /// Those of [`open_with_salt`].
    pub fn open_with_salt(
        &self,
        envelope: &Envelope<'_>,
        kid: RecipientKeyId,
    ) -> Result<OpenedPayload, OpenError> {
        open_with_salt(envelope, kid, self.0.as_bytes())
    }

    /// [`open`] with this key.
    ///
    /// # Errors
    /// Those of [`open`].
    pub fn open(&self, envelope: &Envelope<'_>, kid: RecipientKeyId) -> Result<String, OpenError> {
        open(envelope, kid, self.0.as_bytes())
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptionKey").field("public_key", &hex::encode(&self.public_key())).finish()
    }
}

#[cfg(test)]
mod tests;
