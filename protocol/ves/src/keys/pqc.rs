//! The post-quantum halves of keys and signatures (VES-PQC-1, section 21): ML-DSA-65 of FIPS 204 with an empty context
//! over the 32-byte hash, and public keys of ML-KEM-768 of FIPS 203.
//!
//! Their bytes are large, so they stand in boxes beside the small classical halves that nearly every key and event has.

use std::fmt;

use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsa65, Seed};
use ml_kem::kem::Key;
use ml_kem::ml_kem_768;
use zeroize::Zeroize as _;

use crate::ed25519::SignerError;
use crate::event::Envelope;
use crate::keys::KeyAlgorithm;

pub const ML_DSA_65_PUBLIC_KEY_BYTES: usize = 1952;
pub const ML_DSA_65_SIGNATURE_BYTES: usize = 3309;
pub const ML_KEM_768_PUBLIC_KEY_BYTES: usize = 1184;

pub type MlDsaPublicKey = [u8; ML_DSA_65_PUBLIC_KEY_BYTES];
pub type MlDsaSignature = [u8; ML_DSA_65_SIGNATURE_BYTES];
pub type MlKemPublicKey = [u8; ML_KEM_768_PUBLIC_KEY_BYTES];

/// How an event is signed: `agent_signature_scheme` (section 21). 0 and a missing member read as Ed25519.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SignatureScheme {
    Ed25519 = 1,
    MlDsa65 = 2,
    /// Both signatures stand over the same hash, and both must verify.
    Ed25519MlDsa65 = 3,
}

impl SignatureScheme {
    /// The scheme of this number; 0 is the older name of Ed25519.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 | 1 => Some(Self::Ed25519),
            2 => Some(Self::MlDsa65),
            3 => Some(Self::Ed25519MlDsa65),
            _ => None,
        }
    }
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl KeyAlgorithm {
    /// Whether a key of this algorithm speaks through signatures of this scheme. A hybrid or strict key never accepts
    /// a weaker scheme (section 21): whoever breaks one half must not be able to leave the other out.
    pub const fn accepts(self, scheme: SignatureScheme) -> bool {
        matches!(
            (self, scheme),
            (Self::Ed25519, SignatureScheme::Ed25519)
                | (Self::MlDsa65, SignatureScheme::MlDsa65)
                | (Self::Ed25519MlDsa65, SignatureScheme::Ed25519MlDsa65)
        )
    }

    /// Whether keys of this algorithm sign; the others are for encryption.
    pub const fn signs(self) -> bool {
        matches!(self, Self::Ed25519 | Self::MlDsa65 | Self::Ed25519MlDsa65)
    }
}

/// Which schemes a verifier admits at all (section 21), whatever the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SecurityProfile {
    /// Anything that the key accepts.
    #[default]
    Legacy,
    /// Needs a post-quantum part.
    Hybrid,
    /// ML-DSA-65 alone.
    PqcStrict,
}

impl SecurityProfile {
    pub const ALL: [Self; 3] = [Self::Legacy, Self::Hybrid, Self::PqcStrict];

    /// `legacy`, `hybrid` or `pqc-strict`, as in a configuration.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Hybrid => "hybrid",
            Self::PqcStrict => "pqc-strict",
        }
    }
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.text() == text)
    }
    pub const fn admits(self, scheme: SignatureScheme) -> bool {
        match self {
            Self::Legacy => true,
            Self::Hybrid => !matches!(scheme, SignatureScheme::Ed25519),
            Self::PqcStrict => matches!(scheme, SignatureScheme::MlDsa65),
        }
    }
}

/// An ML-DSA-65 public key, expanded for checking: about 40 KiB, so it is made for a batch and not kept.
pub struct MlDsaVerifier(Box<ml_dsa::VerifyingKey<MlDsa65>>);

impl MlDsaVerifier {
    /// Every text of this length is a key (FIPS 204, algorithm 23).
    pub fn new(key: &MlDsaPublicKey) -> Self {
        let encoded =
            EncodedVerifyingKey::<MlDsa65>::try_from(key.as_slice()).expect("the type fixes the length");
        Self(Box::new(ml_dsa::VerifyingKey::decode(&encoded)))
    }

    /// FIPS 204, algorithm 3, with an empty context.
    pub fn verify(&self, message: &[u8], signature: &MlDsaSignature) -> bool {
        let encoded =
            EncodedSignature::<MlDsa65>::try_from(signature.as_slice()).expect("the type fixes the length");
        ml_dsa::Signature::decode(&encoded)
            .is_some_and(|signature| self.0.verify_with_context(message, &[], &signature))
    }
}

impl fmt::Debug for MlDsaVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsaVerifier")
    }
}

/// An ML-DSA-65 private key in memory; erased when dropped.
pub struct MlDsaSigningKey(Box<ml_dsa::SigningKey<MlDsa65>>);

impl MlDsaSigningKey {
    /// The key of a 32-byte seed (FIPS 204, algorithm 6).
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let mut held = Seed::from(seed);
        let key = Self(Box::new(ml_dsa::SigningKey::from_seed(&held)));
        held.zeroize();
        seed.zeroize();
        key
    }

    pub fn public_key(&self) -> Box<MlDsaPublicKey> {
        let encoded = self.0.expanded_key().verifying_key().encode();
        Box::new(encoded.as_slice().try_into().expect("the algorithm fixes the length"))
    }

    /// FIPS 204, algorithm 2, in its deterministic form, with an empty context: this crate draws no random bytes.
    ///
    /// # Errors
    /// [`SignerError`] when no signature is found within the bound of tries, which does not happen in practice.
    pub fn sign(&self, message: &[u8]) -> Result<Box<MlDsaSignature>, SignerError> {
        let signature = self
            .0
            .expanded_key()
            .sign_deterministic(message, &[])
            .map_err(|_| SignerError("ML-DSA-65 found no signature".to_owned()))?;
        Ok(Box::new(signature.encode().as_slice().try_into().expect("the algorithm fixes the length")))
    }
}

impl fmt::Debug for MlDsaSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsaSigningKey")
    }
}

/// Whether the bytes are a public key of ML-KEM-768: each coefficient is below the modulus (FIPS 203, section 7.2).
pub fn is_ml_kem_768_public_key(key: &MlKemPublicKey) -> bool {
    let encoded =
        Key::<ml_kem_768::EncapsulationKey>::try_from(key.as_slice()).expect("the type fixes the length");
    ml_kem_768::EncapsulationKey::new(&encoded).is_ok()
}

impl Envelope<'_> {
    /// How the event is signed. A signature of zeros is none: Ed25519 has no key under which it verifies.
    pub fn signature_scheme(&self) -> SignatureScheme {
        match &self.ml_dsa_65_signature {
            None => SignatureScheme::Ed25519,
            Some(_) if self.agent_signature == [0; 64] => SignatureScheme::MlDsa65,
            Some(_) => SignatureScheme::Ed25519MlDsa65,
        }
    }

    /// Signs with ML-DSA-65 alone (scheme 2): the 64-byte field is zero, also in the leaf (section 13.1).
    ///
    /// # Errors
    /// [`SignerError`] of the key.
    pub fn sign_ml_dsa_65(&mut self, key: &MlDsaSigningKey) -> Result<(), SignerError> {
        self.ml_dsa_65_signature = Some(key.sign(&self.signing_hash().0)?);
        self.agent_signature = [0; 64];
        Ok(())
    }

    /// Adds the ML-DSA-65 signature to an event that carries its Ed25519 signature (scheme 3).
    ///
    /// # Errors
    /// [`SignerError`] of the key.
    pub fn countersign(&mut self, key: &MlDsaSigningKey) -> Result<(), SignerError> {
        self.ml_dsa_65_signature = Some(key.sign(&self.signing_hash().0)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seed bytes 01..20 of section 21.
    fn seed() -> [u8; 32] {
        std::array::from_fn(|n| n as u8 + 1)
    }

    #[test]
    fn the_seed_of_the_specification_gives_its_public_key() {
        let public = MlDsaSigningKey::from_seed(seed()).public_key();
        assert_eq!(
            crate::hash::Hasher::bare().bytes(public.as_slice()).finish().to_string(),
            "e933697f7a3d671b8c294452465230d4d433d337afd25b99dba884175541a855"
        );
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_alone() {
        let key = MlDsaSigningKey::from_seed(seed());
        let verifier = MlDsaVerifier::new(&key.public_key());
        let signature = key.sign(&[7; 32]).unwrap();
        assert!(verifier.verify(&[7; 32], &signature));
        assert!(!verifier.verify(&[8; 32], &signature));
        for at in [0, 48, 1000, ML_DSA_65_SIGNATURE_BYTES - 1] {
            let mut bent = signature.clone();
            bent[at] ^= 1;
            assert!(!verifier.verify(&[7; 32], &bent), "byte {at}");
        }
        let other = MlDsaVerifier::new(&MlDsaSigningKey::from_seed([9; 32]).public_key());
        assert!(!other.verify(&[7; 32], &signature));
        assert!(!verifier.verify(&[7; 32], &[0xff; ML_DSA_65_SIGNATURE_BYTES]));
    }

    #[test]
    fn an_ml_kem_key_with_a_coefficient_beyond_the_modulus_is_refused() {
        assert!(is_ml_kem_768_public_key(&[0; ML_KEM_768_PUBLIC_KEY_BYTES]));
        assert!(!is_ml_kem_768_public_key(&[0xff; ML_KEM_768_PUBLIC_KEY_BYTES]));
    }

    #[test]
    fn no_key_accepts_a_weaker_scheme_and_profiles_ask_for_their_part() {
        use SignatureScheme::{Ed25519, Ed25519MlDsa65, MlDsa65};
        for algorithm in KeyAlgorithm::ALL {
            let accepted: Vec<_> =
                [Ed25519, MlDsa65, Ed25519MlDsa65].into_iter().filter(|s| algorithm.accepts(*s)).collect();
            assert_eq!(accepted.len(), usize::from(algorithm.signs()), "{algorithm:?}");
        }
        assert!(KeyAlgorithm::Ed25519MlDsa65.accepts(Ed25519MlDsa65));
        assert!(!KeyAlgorithm::Ed25519MlDsa65.accepts(Ed25519));
        let admitted =
            |profile: SecurityProfile| [Ed25519, MlDsa65, Ed25519MlDsa65].map(|s| profile.admits(s));
        assert_eq!(admitted(SecurityProfile::Legacy), [true, true, true]);
        assert_eq!(admitted(SecurityProfile::Hybrid), [false, true, true]);
        assert_eq!(admitted(SecurityProfile::PqcStrict), [false, true, false]);
        for profile in SecurityProfile::ALL {
            assert_eq!(SecurityProfile::from_text(profile.text()), Some(profile));
        }
        assert_eq!(SecurityProfile::from_text("strict"), None);
    }

    #[test]
    fn scheme_numbers_read_back() {
        for scheme in [SignatureScheme::Ed25519, SignatureScheme::MlDsa65, SignatureScheme::Ed25519MlDsa65] {
            assert_eq!(SignatureScheme::from_number(scheme.number().into()), Some(scheme));
        }
        assert_eq!(SignatureScheme::from_number(0), Some(SignatureScheme::Ed25519));
        assert_eq!(SignatureScheme::from_number(4), None);
    }
}
