//! Public keys and signatures (section 1.2), each under the one rule of its scheme.

use std::fmt;

use k256::ecdsa::signature::Verifier as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ves::Digest;

use crate::codec::{
    Decode, DecodeError, Encode, Problem, Reader, Set, codes, fixed_bytes, put_bytes, record,
};
use crate::hash::{Domain, hash, length};
use crate::ids::{Amount, ChainId, ContractId, EntityId, KeyId, TxId};

codes! {
    /// How a key signs. All signatures are 64 bytes.
    pub enum Scheme: u8 {
        /// By the one exact rule of the event protocol: recompute R, compare its bytes; S below the group order.
        Ed25519 = 1,
        /// ECDSA with SHA-256, low s, compressed keys of 33 bytes.
        P256 = 2,
        /// ECDSA with SHA-256, low s, compressed keys of 33 bytes; only relayer accounts.
        Secp256k1 = 3,
        /// Signs nothing: view keys, that capsules are sealed to.
        X25519 = 4,
    }

    /// What an entity uses a key for.
    pub enum Purpose: u8 {
        Identity = 0,
        LedgerSigning = 1,
        /// X25519; receives capsules (8.4).
        View = 2,
        NodeTransport = 3,
        /// Ed25519; votes on blocks.
        ValidatorConsensus = 4,
        /// Delegated, inside a [`Scope`].
        Agent = 5,
        /// secp256k1; the account lane (13.2).
        RelayerAccount = 6,
    }
}

fixed_bytes! {
    /// A signature: `R ‖ S` of Ed25519, `r ‖ s` of ECDSA.
    Signature[64],
}

impl Scheme {
    /// Bytes of a public key.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::X25519 => 32,
            Self::P256 | Self::Secp256k1 => 33,
        }
    }
    /// Whether members sign transactions and spend states with it.
    pub const fn signs_transactions(self) -> bool {
        matches!(self, Self::Ed25519 | Self::P256)
    }
}

const KEY_BYTES_MAX: usize = 33;

/// A public key: u8 scheme ‖ BYTES. Whether the bytes are a good key of the scheme is asked when it is registered and
/// again whenever it verifies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    /// Code of the [`Scheme`].
    scheme: u8,
    bytes: [u8; KEY_BYTES_MAX],
}

/// Why bytes may not be registered as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key of this scheme has {expected} bytes, this one has {found}")]
    Length { expected: usize, found: usize },
    #[error("the Ed25519 key {0}")]
    Ed25519(#[from] ves::ed25519::PublicKeyError),
    #[error("the ECDSA key is not a compressed point of its curve")]
    NotAPoint,
    #[error("a key with purpose {purpose:?} may not have the scheme {scheme:?}")]
    Purpose { purpose: Purpose, scheme: Scheme },
    #[error("the key id is not the start of the key's SHA-256")]
    KeyId,
}

impl PublicKey {
    /// # Errors
    /// [`KeyError::Length`].
    pub fn new(scheme: Scheme, key: &[u8]) -> Result<Self, KeyError> {
        let expected = scheme.key_bytes();
        if key.len() != expected {
            return Err(KeyError::Length { expected, found: key.len() });
        }
        let mut bytes = [0; KEY_BYTES_MAX];
        bytes[..expected].copy_from_slice(key);
        Ok(Self { scheme: scheme.code(), bytes })
    }
    pub fn ed25519(key: [u8; 32]) -> Self {
        Self::new(Scheme::Ed25519, &key).expect("32 bytes")
    }
    pub fn scheme(&self) -> Scheme {
        Scheme::from_code(self.scheme).expect("made from a scheme")
    }
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.scheme().key_bytes()]
    }
    pub fn id(&self) -> KeyId {
        KeyId::of(self.as_bytes())
    }

    /// The registration rule: a key of its curve, without small-order part, in its one encoding.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn check(&self) -> Result<(), KeyError> {
        match self.scheme() {
            Scheme::Ed25519 => {
                ves::PublicKey::from_bytes(self.first_32())?;
            }
            Scheme::P256 => {
                p256::ecdsa::VerifyingKey::from_sec1_bytes(self.as_bytes())
                    .map_err(|_| KeyError::NotAPoint)?;
            }
            Scheme::Secp256k1 => {
                k256::ecdsa::VerifyingKey::from_sec1_bytes(self.as_bytes())
                    .map_err(|_| KeyError::NotAPoint)?;
            }
            Scheme::X25519 => {}
        }
        Ok(())
    }

    /// Whether this key signed `message`. Every scheme accepts exactly one form of a signature, and no key that
    /// registration would refuse.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        match self.scheme() {
            Scheme::Ed25519 => {
                ves::PublicKey::from_bytes(self.first_32()).is_ok_and(|key| key.verify(message, &signature.0))
            }
            Scheme::P256 => {
                let Ok(key) = p256::ecdsa::VerifyingKey::from_sec1_bytes(self.as_bytes()) else {
                    return false;
                };
                let Ok(signature) = p256::ecdsa::Signature::from_slice(&signature.0) else { return false };
                signature.normalize_s().is_none() && key.verify(message, &signature).is_ok()
            }
            Scheme::Secp256k1 => {
                let Ok(key) = k256::ecdsa::VerifyingKey::from_sec1_bytes(self.as_bytes()) else {
                    return false;
                };
                let Ok(signature) = k256::ecdsa::Signature::from_slice(&signature.0) else { return false };
                signature.normalize_s().is_none() && key.verify(message, &signature).is_ok()
            }
            Scheme::X25519 => false,
        }
    }

    fn first_32(&self) -> &[u8; 32] {
        self.bytes.first_chunk().expect("keys have 33 bytes of room")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.scheme(), ves::hex::encode(self.as_bytes()))
    }
}
impl Encode for PublicKey {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.scheme);
        put_bytes(out, self.as_bytes());
    }
}
impl Decode for PublicKey {
    const BYTES_MIN: usize = 37;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let scheme = Scheme::decode(reader)?;
        let at = reader.position();
        let bytes = reader.bytes(KEY_BYTES_MAX)?;
        let wrong = |_| DecodeError { at, problem: Problem::Invalid("the key's length is not its scheme's") };
        Self::new(scheme, bytes).map_err(wrong)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    scheme: Scheme,
    key: String,
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        KeyText { scheme: self.scheme(), key: ves::hex::encode(self.as_bytes()) }.serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = KeyText::deserialize(deserializer)?;
        let bytes = ves::hex::decode_vec(&text.key).map_err(serde::de::Error::custom)?;
        Self::new(text.scheme, &bytes).map_err(serde::de::Error::custom)
    }
}

record! {
    /// A registered key of an entity.
    pub struct KeyRecord {
        pub key_id: KeyId,
        pub purpose: Purpose,
        pub key: PublicKey,
        /// Unix milliseconds, inclusive.
        pub valid_from: u64,
        /// Unix milliseconds, exclusive.
        pub valid_until: Option<u64>,
        /// Unix milliseconds: from then on the key signs nothing.
        pub revoked_at: Option<u64>,
        pub scope: Option<Scope>,
    }

    /// What a delegated key may do; also where an attester's platform quote stands (5.4).
    pub struct Scope {
        pub contracts: Set<ContractId, 32>,
        pub commands: Set<u16, 64>,
        pub amount_per_tx_max: Option<Amount>,
        pub amount_per_day_max: Option<Amount>,
        pub expires_at: Option<u64>,
        pub quote_hash: Option<Digest>,
    }

    /// Says whose a one-time key is; shown to the other participants only.
    pub struct KeyBinding {
        pub one_time_key: PublicKey,
        pub entity_id: EntityId,
        /// Unix milliseconds.
        pub not_after: u64,
    }

    /// A business signature (3.5).
    pub struct BusinessSignature {
        pub purpose: Purpose,
        pub key: PublicKey,
        pub signature: Signature,
    }
}

/// Judges signatures. Every implementation gives the answers of [`PublicKey::verify`]; some remember keys to be faster.
pub trait Verifier {
    fn verify(&self, key: &PublicKey, message: &Digest, signature: &Signature) -> bool;
}

/// Decodes the key anew for every signature.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

impl Verifier for Plain {
    fn verify(&self, key: &PublicKey, message: &Digest, signature: &Signature) -> bool {
        key.verify(&message.0, signature)
    }
}

impl KeyRecord {
    /// A record of `key` without end.
    pub fn new(purpose: Purpose, key: PublicKey) -> Self {
        Self {
            key_id: key.id(),
            purpose,
            key,
            valid_from: 0,
            valid_until: None,
            revoked_at: None,
            scope: None,
        }
    }

    /// Whether the key may sign at `time_ms`.
    pub fn is_live(&self, time_ms: u64) -> bool {
        self.valid_from <= time_ms
            && self.valid_until.is_none_or(|until| time_ms < until)
            && self.revoked_at.is_none_or(|revoked| time_ms < revoked)
    }

    /// The rules of registration: id, scheme of the purpose, the key itself.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn check(&self) -> Result<(), KeyError> {
        let scheme = self.key.scheme();
        let fits = match self.purpose {
            Purpose::View => scheme == Scheme::X25519,
            Purpose::ValidatorConsensus => scheme == Scheme::Ed25519,
            Purpose::RelayerAccount => scheme == Scheme::Secp256k1,
            _ => scheme.signs_transactions(),
        };
        if !fits {
            return Err(KeyError::Purpose { purpose: self.purpose, scheme });
        }
        if self.key_id != self.key.id() {
            return Err(KeyError::KeyId);
        }
        self.key.check()
    }
}

/// What a business signature is over (3.5).
pub fn business_message(chain_id: &ChainId, tx_id: &TxId, purpose: Purpose, key: &PublicKey) -> Digest {
    let (chain, key) = (chain_id.as_str().as_bytes(), key.as_bytes());
    hash(Domain::Signature, &[&length(chain), chain, &tx_id.0, &[purpose.code()], &length(key), key])
}

/// What a submission signature is over (3.5). `envelope_hash`: SHA-256 of the envelope without this signature.
pub fn submit_message(chain_id: &ChainId, tx_id: &TxId, seq: u64, envelope_hash: &Digest) -> Digest {
    let chain = chain_id.as_str().as_bytes();
    hash(Domain::Submit, &[&length(chain), chain, &tx_id.0, &seq.to_be_bytes(), &envelope_hash.0])
}

/// What an attester signs (5.4).
pub fn attest_message(
    chain_id: &ChainId,
    tx_id: &TxId,
    policy_id: u32,
    contract_set_hash: &Digest,
) -> Digest {
    let chain = chain_id.as_str().as_bytes();
    let policy = policy_id.to_be_bytes();
    hash(Domain::Attest, &[&length(chain), chain, &tx_id.0, &policy, &contract_set_hash.0])
}

/// What a notary signs for a capsule that it stores (8.4).
pub fn blob_message(chain_id: &ChainId, ciphertext_hash: &Digest) -> Digest {
    let chain = chain_id.as_str().as_bytes();
    hash(Domain::BlobReceipt, &[&length(chain), chain, &ciphertext_hash.0])
}

/// What a governance message's signature is over (12.1): the message in its encoding.
pub fn vote_message(chain_id: &ChainId, message_sce: &[u8], seq: u64) -> Digest {
    let chain = chain_id.as_str().as_bytes();
    let pieces: [&[u8]; 5] = [&length(chain), chain, &length(message_sce), message_sce, &seq.to_be_bytes()];
    hash(Domain::Vote, &pieces)
}

impl KeyBinding {
    /// What the entity's ledger key signs.
    pub fn message(&self, chain_id: &ChainId) -> Digest {
        let chain = chain_id.as_str().as_bytes();
        hash(Domain::KeyBinding, &[&length(chain), chain, &self.to_sce()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p256_signed(message: &[u8]) -> (PublicKey, Signature) {
        use p256::ecdsa::signature::Signer as _;
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let signature: p256::ecdsa::Signature = key.sign(message);
        let signature = signature.normalize_s().unwrap_or(signature);
        let public = key.verifying_key().to_encoded_point(true);
        (
            PublicKey::new(Scheme::P256, public.as_bytes()).unwrap(),
            Signature(signature.to_bytes().as_slice().try_into().unwrap()),
        )
    }

    #[test]
    fn ecdsa_has_one_signature_of_each_nonce() {
        let (key, good) = p256_signed(b"message");
        assert!(key.verify(b"message", &good));
        assert!(!key.verify(b"massage", &good));
        let parsed = p256::ecdsa::Signature::from_slice(&good.0).unwrap();
        let (r, s) = parsed.split_scalars();
        let high = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
        assert!(!key.verify(b"message", &Signature(high.to_bytes().as_slice().try_into().unwrap())));
    }

    #[test]
    fn a_key_is_registered_for_what_its_scheme_can_do() {
        let key = PublicKey::ed25519(ves::SigningKey::from_seed([1; 32]).public_key());
        assert_eq!(KeyRecord::new(Purpose::LedgerSigning, key).check(), Ok(()));
        assert!(matches!(KeyRecord::new(Purpose::View, key).check(), Err(KeyError::Purpose { .. })));
        // The neutral point: small order.
        let neutral: [u8; 32] = std::array::from_fn(|i| u8::from(i == 0));
        let refused = KeyRecord::new(Purpose::LedgerSigning, PublicKey::ed25519(neutral)).check();
        assert_eq!(refused, Err(KeyError::Ed25519(ves::ed25519::PublicKeyError::SmallOrder)));
        let (p256_key, _) = p256_signed(b"m");
        assert_eq!(KeyRecord::new(Purpose::Identity, p256_key).check(), Ok(()));
        assert!(KeyRecord::new(Purpose::ValidatorConsensus, p256_key).check().is_err());
    }

    #[test]
    fn a_key_signs_from_its_start_to_its_end_or_revocation() {
        let key = PublicKey::ed25519([1; 32]);
        let record = KeyRecord {
            valid_from: 10,
            valid_until: Some(20),
            revoked_at: Some(15),
            ..KeyRecord::new(Purpose::LedgerSigning, key)
        };
        let live: Vec<u64> = (0..30).filter(|time| record.is_live(*time)).collect();
        assert_eq!(live, [10, 11, 12, 13, 14]);
    }
}
