//! The agent's word that its commitments are of the event's payload, level `signed` (section 4.2).

use ves::ed25519::{PublicKey, Signer, SignerError};
use ves::hash::{Domain, Hasher};
use ves::reject::KeyProblem;
use ves::{AgentKey, Digest, KeyId, KeyStatus, TimestampMs};

use crate::commitment::CommittedField;
use crate::suite::COMMITMENT_SUITE;

/// Why a binding is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    #[error("the binding is by key {bound}, the key shown is {shown}")]
    OtherKey { bound: KeyId, shown: KeyId },
    #[error("the key could not sign at the time of the event: {0}")]
    KeyNotValid(KeyProblem),
    #[error("the key cannot verify Ed25519 signatures")]
    NoEd25519Key,
    #[error("the agent's signature is not over these commitments of this event")]
    Signature,
}

/// An agent's signature over the commitments of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitmentBinding {
    pub agent_key_id: KeyId,
    /// Ed25519 over the 32 bytes of [`message`].
    pub signature: [u8; 64],
}

/// What the agent signs (section 4.2).
pub fn message(event_signing_hash: &Digest, agent_key_id: KeyId, commitments: &[CommittedField]) -> Digest {
    let count = u32::try_from(commitments.len()).expect("a statement has few commitments");
    let head =
        Hasher::new(Domain::CommitmentBinding).digest(event_signing_hash).u32(agent_key_id.0).u32(count);
    let all = commitments.iter().fold(head, |hasher, committed| {
        hasher
            .str(committed.field.name())
            .str(committed.field.path())
            .str(COMMITMENT_SUITE)
            .bytes(committed.commitment.as_bytes())
    });
    all.finish()
}

impl CommitmentBinding {
    /// Signs as `agent_key_id`.
    ///
    /// # Errors
    /// [`SignerError`] where the key is out of reach.
    pub fn sign(
        event_signing_hash: &Digest,
        agent_key_id: KeyId,
        commitments: &[CommittedField],
        signer: &dyn Signer,
    ) -> Result<Self, SignerError> {
        let signature = signer.sign(&message(event_signing_hash, agent_key_id, commitments).0)?;
        Ok(Self { agent_key_id, signature })
    }

    /// Checks the signature under a key that is known to be the agent's, by the one rule of Ed25519 (VES section 8.2).
    ///
    /// # Errors
    /// [`BindingError::Signature`].
    pub fn verify(
        &self,
        event_signing_hash: &Digest,
        commitments: &[CommittedField],
        key: &PublicKey,
    ) -> Result<(), BindingError> {
        let message = message(event_signing_hash, self.agent_key_id, commitments);
        match key.verify(&message.0, &self.signature) {
            true => Ok(()),
            false => Err(BindingError::Signature),
        }
    }

    /// The same under a registered key. The key must have been valid when the event was taken in, and not yet revoked
    /// when this binding was first seen: a signature bears no time, so who stole a key could bind older events with it.
    ///
    /// # Errors
    /// [`BindingError`].
    pub fn verify_registered(
        &self,
        event_signing_hash: &Digest,
        commitments: &[CommittedField],
        key: &AgentKey,
        times: BindingTimes,
    ) -> Result<(), BindingError> {
        if key.key_id != self.agent_key_id {
            return Err(BindingError::OtherKey { bound: self.agent_key_id, shown: key.key_id });
        }
        check_at(key, times.event).map_err(BindingError::KeyNotValid)?;
        // A window may reach back before the registration, and an event is older than what could have signed it.
        if key.created_at > times.event {
            return Err(BindingError::KeyNotValid(KeyProblem::NotYetValid { from: key.created_at }));
        }
        if key.revoked_at.is_some_and(|revoked| times.first_seen >= revoked) {
            return Err(BindingError::KeyNotValid(KeyProblem::Revoked));
        }
        let bytes = key.ed25519().ok_or(BindingError::NoEd25519Key)?;
        let public_key = PublicKey::from_bytes(bytes).map_err(|_| BindingError::NoEd25519Key)?;
        self.verify(event_signing_hash, commitments, &public_key)
    }
}

/// When things happened, by the sequencer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingTimes {
    /// The event was taken in.
    pub event: TimestampMs,
    /// The binding came in.
    pub first_seen: TimestampMs,
}

/// As [`AgentKey::check_at`], but a revocation counts from its moment where that is known.
fn check_at(key: &AgentKey, at: TimestampMs) -> Result<(), KeyProblem> {
    match (key.status, key.revoked_at) {
        (KeyStatus::Revoked, Some(_)) => AgentKey { status: KeyStatus::Active, ..key.clone() }.check_at(at),
        _ => key.check_at(at),
    }
}

#[cfg(test)]
mod tests;
