//! The keys of a participant: one signs, one opens capsules. Both stay in the keystore's care.

use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;
use stateset_keystore::{AgreementKey, KeyName, Keystore};
use stateset_ledger_types::hash::Domain;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::{PublicKey, Signature};
use ves::{Digest, Signer};

use crate::error::NodeError;

/// An entity's ledger key and view key, unlocked.
pub struct NodeKeys {
    entity: EntityId,
    ledger: Arc<dyn Signer>,
    view: AgreementKey,
}

impl NodeKeys {
    /// Unlocks both keys of `keystore`, the one back end of this node's keys (1.2).
    ///
    /// # Errors
    /// [`NodeError::Keys`].
    pub fn open(
        keystore: &dyn Keystore,
        entity: EntityId,
        ledger: &KeyName,
        view: &KeyName,
    ) -> Result<Self, NodeError> {
        Ok(Self { entity, ledger: keystore.signer(ledger)?, view: keystore.agreement_key(view)? })
    }

    pub fn entity(&self) -> EntityId {
        self.entity
    }

    /// The key that signs for the entity.
    pub fn ledger_key(&self) -> PublicKey {
        PublicKey::ed25519(self.ledger.public_key())
    }

    /// The X25519 key that capsules for the entity are sealed to.
    pub fn view_key(&self) -> [u8; 32] {
        self.view.public_key()
    }

    /// The secret that opens capsules: lend it to the opening functions and nothing else.
    pub(crate) fn view_secret(&self) -> &[u8; 32] {
        self.view.secret()
    }

    /// A secret of this entity's own, for one purpose: HKDF-SHA256 of the view key, under the tag of the purpose. The same
    /// for the same `about` at every time, and telling nothing of any other.
    pub(crate) fn derive(&self, domain: Domain, about: &[u8]) -> [u8; 32] {
        let mut secret = [0; 32];
        Hkdf::<Sha256>::new(Some(domain.text().as_bytes()), self.view.secret())
            .expand(about, &mut secret)
            .expect("32 bytes are no more than HKDF gives");
        secret
    }

    /// # Errors
    /// [`NodeError::NotSigned`].
    pub fn sign(&self, message: &Digest) -> Result<Signature, NodeError> {
        let signature =
            self.ledger.sign(&message.0).map_err(|error| NodeError::NotSigned(error.to_string()))?;
        Ok(Signature(signature))
    }
}

impl std::fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeKeys({} of {})", self.ledger_key().id(), self.entity)
    }
}
