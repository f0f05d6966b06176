//! Proof that whoever registers a signing key holds it (sections 9.3 and 22).

use super::pqc::{MlDsaPublicKey, MlDsaSignature, MlDsaVerifier};
use super::{AgentKey, KeyAlgorithm};
use crate::ed25519::PublicKey;
use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{AgentId, KeyId, TenantId};

/// What an owner signs to prove a key: `SHA-256("VES_POP_V1" ‖ key bytes)` (9.3).
pub fn possession_challenge(key: &[u8]) -> Digest {
    Hasher::new(Domain::PossessionV1).bytes(key).finish()
}

/// The same, bound to tenant, agent and key id, so that the proof cannot be replayed elsewhere (section 22).
pub fn possession_challenge_bound(tenant: &TenantId, agent: &AgentId, key_id: KeyId, key: &[u8]) -> Digest {
    Hasher::new(Domain::PossessionV2).uuid(&tenant.0).uuid(&agent.0).u32(key_id.0).bytes(key).finish()
}

/// The proof is a signature over neither challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof of possession does not verify under the key")]
pub struct PossessionError;

/// Which challenge a proof answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PossessionForm {
    /// `VES_POP_V2`: names tenant, agent and key id.
    Bound,
    /// `VES_POP_V1`: names the key only.
    Unbound,
}

/// The signatures of a proof. A hybrid key gives both over one challenge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PossessionProof {
    pub ed25519: Option<[u8; 64]>,
    pub ml_dsa_65: Option<Box<MlDsaSignature>>,
}

/// The parts of a signing key, as they stand in a challenge: Ed25519, then ML-DSA-65 (9.3).
#[derive(Debug, Clone, Copy)]
pub struct KeyBytes<'a> {
    pub ed25519: Option<&'a PublicKey>,
    pub ml_dsa_65: Option<&'a MlDsaPublicKey>,
}

impl KeyBytes<'_> {
    /// The bytes in the challenge.
    pub fn joined(&self) -> Vec<u8> {
        let classical = self.ed25519.map_or(&[][..], |key| key.as_bytes());
        let quantum = self.ml_dsa_65.map_or(&[][..], |key| key.as_slice());
        [classical, quantum].concat()
    }

    /// Whether the proof is a signature of every part over `hash`, and of no other.
    fn signed(&self, hash: &Digest, proof: &PossessionProof) -> bool {
        let classical = match (self.ed25519, &proof.ed25519) {
            (Some(key), Some(signature)) => key.verify(hash.as_bytes(), signature),
            (None, None) => true,
            _ => false,
        };
        let quantum = || match (self.ml_dsa_65, &proof.ml_dsa_65) {
            (Some(key), Some(signature)) => MlDsaVerifier::new(key).verify(hash.as_bytes(), signature),
            (None, None) => true,
            _ => false,
        };
        (self.ed25519.is_some() || self.ml_dsa_65.is_some()) && classical && quantum()
    }
}

/// Checks the proof of an Ed25519 key: the bound form, else the published one.
///
/// # Errors
/// [`PossessionError`] when it is neither.
pub fn check_possession(
    key: &PublicKey,
    tenant: &TenantId,
    agent: &AgentId,
    key_id: KeyId,
    proof: &[u8; 64],
) -> Result<PossessionForm, PossessionError> {
    let key = KeyBytes { ed25519: Some(key), ml_dsa_65: None };
    let proof = PossessionProof { ed25519: Some(*proof), ml_dsa_65: None };
    check_possession_of(&key, tenant, agent, key_id, &proof)
}

/// Checks the proof of a signing key of any algorithm: the bound form, else the published one. Each part of the key
/// signs the one challenge of all parts.
///
/// # Errors
/// [`PossessionError`] when it is neither, or when a part is missing or too many.
pub fn check_possession_of(
    key: &KeyBytes<'_>,
    tenant: &TenantId,
    agent: &AgentId,
    key_id: KeyId,
    proof: &PossessionProof,
) -> Result<PossessionForm, PossessionError> {
    let bytes = key.joined();
    if key.signed(&possession_challenge_bound(tenant, agent, key_id, &bytes), proof) {
        return Ok(PossessionForm::Bound);
    }
    if key.signed(&possession_challenge(&bytes), proof) {
        Ok(PossessionForm::Unbound)
    } else {
        Err(PossessionError)
    }
}

impl AgentKey {
    /// Whether `proof` is this key's signature over `hash`: how a signing key vouches for an encryption key of its
    /// agent (decision 15).
    pub fn vouches(&self, hash: &Digest, proof: &PossessionProof) -> bool {
        let classical = match self.algorithm {
            KeyAlgorithm::Ed25519 | KeyAlgorithm::Ed25519MlDsa65 => {
                let Ok(key) = PublicKey::from_bytes(&self.public_key) else { return false };
                Some(key)
            }
            _ => None,
        };
        KeyBytes { ed25519: classical.as_ref(), ml_dsa_65: self.ml_dsa_65.as_deref() }.signed(hash, proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::SigningKey;
    use crate::keys::MlDsaSigningKey;

    #[test]
    fn a_proof_of_possession_is_bound_or_at_least_of_this_key() {
        let owner = SigningKey::from_seed([3; 32]);
        let public = PublicKey::from_bytes(&owner.public_key()).unwrap();
        let (tenant, agent) = (TenantId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let bound = |tenant: &TenantId, agent: &AgentId, id| {
            owner.sign(possession_challenge_bound(tenant, agent, KeyId(id), public.as_bytes()).as_bytes())
        };
        let check = |proof: [u8; 64]| check_possession(&public, &tenant, &agent, KeyId(1), &proof);
        assert_eq!(check(bound(&tenant, &agent, 1)), Ok(PossessionForm::Bound));
        assert_eq!(check(bound(&tenant, &agent, 2)), Err(PossessionError));
        assert_eq!(check(bound(&TenantId::from_bytes([9; 16]), &agent, 1)), Err(PossessionError));
        assert_eq!(check(bound(&tenant, &AgentId::from_bytes([9; 16]), 1)), Err(PossessionError));
        assert_eq!(
            check(owner.sign(possession_challenge(public.as_bytes()).as_bytes())),
            Ok(PossessionForm::Unbound)
        );
        let stranger = SigningKey::from_seed([4; 32]);
        assert_eq!(
            check(stranger.sign(possession_challenge(public.as_bytes()).as_bytes())),
            Err(PossessionError)
        );
    }

    #[test]
    fn a_hybrid_key_is_proven_by_both_halves_over_one_challenge() {
        let (owner, quantum) = (SigningKey::from_seed([3; 32]), MlDsaSigningKey::from_seed([4; 32]));
        let public = PublicKey::from_bytes(&owner.public_key()).unwrap();
        let quantum_public = quantum.public_key();
        let key = KeyBytes { ed25519: Some(&public), ml_dsa_65: Some(&quantum_public) };
        let (tenant, agent) = (TenantId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let check = |key: &KeyBytes<'_>, proof| check_possession_of(key, &tenant, &agent, KeyId(1), &proof);
        let over = |hash: Digest| PossessionProof {
            ed25519: Some(owner.sign(hash.as_bytes())),
            ml_dsa_65: Some(quantum.sign(hash.as_bytes()).unwrap()),
        };
        let bound = over(possession_challenge_bound(&tenant, &agent, KeyId(1), &key.joined()));
        assert_eq!(check(&key, bound.clone()), Ok(PossessionForm::Bound));
        assert_eq!(check(&key, over(possession_challenge(&key.joined()))), Ok(PossessionForm::Unbound));
        // A half alone, halves over different challenges, a proof of the Ed25519 key by itself.
        assert_eq!(check(&key, PossessionProof { ed25519: None, ..bound.clone() }), Err(PossessionError));
        assert_eq!(check(&key, PossessionProof { ml_dsa_65: None, ..bound.clone() }), Err(PossessionError));
        let published = over(possession_challenge(&key.joined()));
        let mixed = PossessionProof { ed25519: bound.ed25519, ml_dsa_65: published.ml_dsa_65 };
        assert_eq!(check(&key, mixed), Err(PossessionError));
        assert_eq!(check(&key, over(possession_challenge(public.as_bytes()))), Err(PossessionError));
        let alone = KeyBytes { ed25519: Some(&public), ml_dsa_65: None };
        assert_eq!(check(&alone, bound), Err(PossessionError));
        let nothing = KeyBytes { ed25519: None, ml_dsa_65: None };
        assert_eq!(check(&nothing, PossessionProof::default()), Err(PossessionError));
    }
}
