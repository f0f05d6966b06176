//! The registered signing keys of a tenant, as the checks of events use them.

use std::collections::BTreeMap;

use ves::ed25519::PublicKey;
use ves::keys::{KeyAlgorithm, MlDsaPublicKey, MlDsaVerifier, SignatureScheme};
use ves::{AgentId, AgentKey, Digest, Envelope, KeyId};
use ves_wire::keys::AgentKeyBody;

/// One registered key. An event verifies under it only when every part of the key signed (section 21).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    algorithm: KeyAlgorithm,
    ed25519: Option<PublicKey>,
    ml_dsa_65: Option<Box<MlDsaPublicKey>>,
}

impl From<PublicKey> for KnownKey {
    fn from(key: PublicKey) -> Self {
        Self { algorithm: KeyAlgorithm::Ed25519, ed25519: Some(key), ml_dsa_65: None }
    }
}

impl KnownKey {
    fn new(
        algorithm: KeyAlgorithm,
        ed25519: &[u8; 32],
        ml_dsa_65: Option<Box<MlDsaPublicKey>>,
    ) -> Option<Self> {
        let (has_classical, has_quantum) = match algorithm {
            KeyAlgorithm::Ed25519 => (true, false),
            KeyAlgorithm::MlDsa65 => (false, true),
            KeyAlgorithm::Ed25519MlDsa65 => (true, true),
            _ => return None,
        };
        let ed25519 = if has_classical { Some(PublicKey::from_bytes(ed25519).ok()?) } else { None };
        (ml_dsa_65.is_some() == has_quantum).then_some(Self { algorithm, ed25519, ml_dsa_65 })
    }

    /// A key of a registry; `None` when it signs nothing or is not complete.
    pub fn of_record(key: &AgentKey) -> Option<Self> {
        Self::new(key.algorithm, &key.public_key, key.ml_dsa_65.clone())
    }

    /// A key as a server lists it; `None` when it signs nothing or is not complete.
    pub fn of_body(key: &AgentKeyBody) -> Option<Self> {
        let algorithm = KeyAlgorithm::from_number(key.key_algorithm.into())?;
        let quantum = match key.public_key_bundle.as_ref().and_then(|bundle| bundle.ml_dsa_65.as_deref()) {
            Some(text) => Some(Box::new(ves::hex::decode_lenient(text).ok()?)),
            None => None,
        };
        Self::new(algorithm, &key.public_key.0, quantum)
    }

    /// The Ed25519 key, where it is all there is.
    pub fn ed25519_alone(&self) -> Option<&PublicKey> {
        self.ed25519.as_ref().filter(|_| self.algorithm == KeyAlgorithm::Ed25519)
    }

    /// The Ed25519 key or half.
    pub(crate) fn ed25519(&self) -> Option<&PublicKey> {
        self.ed25519.as_ref()
    }

    /// Whether the event is signed under this key; `signing_hash` is recomputed by the caller.
    pub fn verifies(&self, event: &Envelope<'_>, signing_hash: &Digest) -> bool {
        self.verifies_beside_ed25519(event, signing_hash)
            && self.ed25519.is_none_or(|key| key.verify(signing_hash.as_bytes(), &event.agent_signature))
    }

    /// All of [`KnownKey::verifies`] but the Ed25519 signature, which is checked with others.
    pub(crate) fn verifies_beside_ed25519(&self, event: &Envelope<'_>, signing_hash: &Digest) -> bool {
        let scheme = event.signature_scheme();
        if !self.algorithm.accepts(scheme) {
            return false;
        }
        match (&self.ml_dsa_65, &event.ml_dsa_65_signature) {
            (Some(key), Some(signature)) => {
                MlDsaVerifier::new(key).verify(signing_hash.as_bytes(), signature)
            }
            _ => scheme == SignatureScheme::Ed25519,
        }
    }
}

/// The registered signing keys of one tenant, for checking pulled events.
#[derive(Debug, Clone, Default)]
pub struct SigningKeys(BTreeMap<(AgentId, KeyId), KnownKey>);

impl SigningKeys {
    pub fn get(&self, agent: AgentId, key: KeyId) -> Option<&KnownKey> {
        self.0.get(&(agent, key))
    }
    pub fn iter(&self) -> impl Iterator<Item = (&(AgentId, KeyId), &KnownKey)> {
        self.0.iter()
    }
    pub fn insert(&mut self, agent: AgentId, key_id: KeyId, key: impl Into<KnownKey>) {
        self.0.insert((agent, key_id), key.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stateset_fixtures::{Agent, plain_event, stream};

    #[test]
    fn an_event_verifies_only_when_every_part_of_the_key_signed() {
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        let plain = plain_event(&agent, &stream, 1);
        let mut hybrid = plain.clone();
        hybrid.countersign(&agent.quantum_key()).expect("signs");
        let mut strict = plain.clone();
        strict.sign_ml_dsa_65(&agent.quantum_key()).expect("signs");
        let mut bent = hybrid.clone();
        bent.agent_signature[5] ^= 1;
        let record = |algorithm| AgentKey {
            algorithm,
            ml_dsa_65: (algorithm != KeyAlgorithm::Ed25519).then(|| agent.quantum_key().public_key()),
            ..agent.registered_key()
        };
        let hash = plain.signing_hash();
        for (algorithm, own) in [
            (KeyAlgorithm::Ed25519, &plain),
            (KeyAlgorithm::MlDsa65, &strict),
            (KeyAlgorithm::Ed25519MlDsa65, &hybrid),
        ] {
            let key = KnownKey::of_record(&record(algorithm)).expect("a whole key");
            for event in [&plain, &strict, &hybrid, &bent] {
                assert_eq!(key.verifies(event, &hash), event == own, "{algorithm:?}");
            }
        }
        assert_eq!(KnownKey::of_record(&AgentKey { ml_dsa_65: None, ..record(KeyAlgorithm::MlDsa65) }), None);
        assert_eq!(
            KnownKey::of_record(&AgentKey { algorithm: KeyAlgorithm::X25519, ..agent.registered_key() }),
            None
        );
    }
}
