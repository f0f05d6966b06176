//! From what an agent wants to say to a signed event: the writer's side of sections 6 to 8.

use std::borrow::Cow;

use crate::ed25519::{Signer, SignerError};
use crate::envelope::{check_created_at, check_text};
use crate::event::{
    ENTITY_ID_BYTES_MAX, ENTITY_TYPE_BYTES_MAX, EVENT_TYPE_BYTES_MAX, Envelope, Payload, plain_hash,
};
use crate::hash::Digest;
use crate::ids::{AgentId, CommandId, EventId, KeyId, StreamKey};
use crate::json::{self, JsonError};
use crate::reject::Rejection;
use crate::seal::{self, Context, Recipient, SealError, SealingRandomness};

/// An event before it is signed. Member rules are those of [`Envelope`].
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    pub stream: StreamKey,
    pub event_id: EventId,
    pub source_agent_id: AgentId,
    pub agent_key_id: KeyId,
    pub entity_type: Cow<'a, str>,
    pub entity_id: Cow<'a, str>,
    pub event_type: Cow<'a, str>,
    /// RFC 3339; the exact text is signed.
    pub created_at: Cow<'a, str>,
    pub command_id: Option<CommandId>,
    pub base_version: Option<u64>,
}

/// Why a draft did not become an event.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DraftError {
    /// A sequencer would refuse it.
    #[error(transparent)]
    Refused(#[from] Rejection),
    #[error("payload: {0}")]
    Payload(#[from] JsonError),
    /// A sequencer reads a `null` payload as a missing one (section 10, step 5).
    #[error("payload: null reads as missing")]
    NullPayload,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the signing key failed: {0}")]
    Signer(#[from] SignerError),
}

impl Draft<'_> {
    /// Signs the event with its payload in clear; `payload_json` is any JSON text and need not be canonical.
    ///
    /// # Errors
    /// [`DraftError`]; strict about numbers and members ([`json::canonicalize_strict`]).
    pub fn sign(self, payload_json: &str, signer: &dyn Signer) -> Result<Envelope<'static>, DraftError> {
        let canonical = self.check(payload_json)?;
        let plain = plain_hash(&canonical);
        self.signed(Payload::Plain(Cow::Owned(canonical)), plain, Digest::ZERO, signer)
    }

    /// Seals the payload for `recipients`, then signs the event.
    ///
    /// # Errors
    /// [`DraftError`]; strict about numbers and members ([`json::canonicalize_strict`]).
    pub fn seal_and_sign(
        self,
        payload_json: &str,
        recipients: &[Recipient],
        randomness: SealingRandomness,
        signer: &dyn Signer,
    ) -> Result<Envelope<'static>, DraftError> {
        let canonical = self.check(payload_json)?;
        let sealed = seal::seal(&self.context(), &canonical, recipients, &randomness)?;
        let payload = Payload::Encrypted(sealed.encrypted);
        self.signed(payload, sealed.payload_plain_hash, sealed.payload_cipher_hash, signer)
    }

    fn context(&self) -> Context<'_> {
        Context {
            stream: self.stream,
            event_id: self.event_id,
            source_agent_id: self.source_agent_id,
            agent_key_id: self.agent_key_id,
            entity_type: &self.entity_type,
            entity_id: &self.entity_id,
            event_type: &self.event_type,
            created_at: &self.created_at,
        }
    }

    /// What a sequencer would refuse is refused here; otherwise the canonical payload.
    fn check(&self, payload_json: &str) -> Result<String, DraftError> {
        check_text("entity_type", &self.entity_type, ENTITY_TYPE_BYTES_MAX)?;
        check_text("entity_id", &self.entity_id, ENTITY_ID_BYTES_MAX)?;
        check_text("event_type", &self.event_type, EVENT_TYPE_BYTES_MAX)?;
        check_created_at(&self.created_at)?;
        let canonical = json::canonicalize_strict(payload_json)?;
        if canonical == "null" {
            return Err(DraftError::NullPayload);
        }
        Ok(canonical.into_owned())
    }

    fn signed(
        self,
        payload: Payload<'static>,
        payload_plain_hash: Digest,
        payload_cipher_hash: Digest,
        signer: &dyn Signer,
    ) -> Result<Envelope<'static>, DraftError> {
        let mut envelope = Envelope {
            event_id: self.event_id,
            stream: self.stream,
            source_agent_id: self.source_agent_id,
            agent_key_id: self.agent_key_id,
            entity_type: Cow::Owned(self.entity_type.into_owned()),
            entity_id: Cow::Owned(self.entity_id.into_owned()),
            event_type: Cow::Owned(self.event_type.into_owned()),
            created_at: Cow::Owned(self.created_at.into_owned()),
            payload,
            payload_plain_hash,
            payload_cipher_hash,
            agent_signature: [0; 64],
            command_id: self.command_id,
            base_version: self.base_version,
            kernel: None,
            ml_dsa_65_signature: None,
        };
        envelope.agent_signature = signer.sign(&envelope.signing_hash().0)?;
        Ok(envelope)
    }
}
