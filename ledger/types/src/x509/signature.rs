//! Keys and signatures inside certificates.

use x509_cert::der::asn1::{BitString, UintRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{self, Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::CertificateError;
use crate::keys::{KeyError, PublicKey, Scheme, Signature};

/// RFC 8410.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 5480.
const EC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 5480.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// RFC 5758.
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// How a certificate is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Ed25519,
    P256,
}

impl Algorithm {
    /// Of an identifier without parameters.
    pub(super) fn of(identifier: &AlgorithmIdentifierOwned) -> Option<Self> {
        match (identifier.oid, &identifier.parameters) {
            (ED25519, None) => Some(Self::Ed25519),
            (ECDSA_SHA256, None) => Some(Self::P256),
            _ => None,
        }
    }

    /// That a key of `scheme` signs with.
    pub(super) fn by(scheme: Scheme) -> Option<Self> {
        match scheme {
            Scheme::Ed25519 => Some(Self::Ed25519),
            Scheme::P256 => Some(Self::P256),
            Scheme::Secp256k1 | Scheme::X25519 => None,
        }
    }

    pub(super) fn identifier(self) -> AlgorithmIdentifierOwned {
        let oid = match self {
            Self::Ed25519 => ED25519,
            Self::P256 => ECDSA_SHA256,
        };
        AlgorithmIdentifierOwned { oid, parameters: None }
    }

    /// Whether `key` signed `message`. Certificates of P-256 come from the authorities of others, which do not keep s
    /// low: both forms are taken.
    pub(super) fn verify(self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        match (self, key.scheme()) {
            (Self::Ed25519, Scheme::Ed25519) => {
                signature.try_into().is_ok_and(|bytes| key.verify(message, &Signature(bytes)))
            }
            (Self::P256, Scheme::P256) => {
                let parsed =
                    from_der(signature).and_then(|bytes| p256::ecdsa::Signature::from_slice(&bytes).ok());
                let Some(parsed) = parsed else { return false };
                let low = parsed.normalize_s().unwrap_or(parsed);
                key.verify(message, &Signature(low.to_bytes().into()))
            }
            _ => false,
        }
    }

    /// A signature of 64 bytes as a certificate holds it.
    pub(super) fn to_certificate(self, signature: &Signature) -> Result<Vec<u8>, der::Error> {
        match self {
            Self::Ed25519 => Ok(signature.0.to_vec()),
            Self::P256 => {
                let (r, s) = signature.0.split_at(32);
                vec![UintRef::new(r)?, UintRef::new(s)?].to_der()
            }
        }
    }
}

/// `r ‖ s` of SEQUENCE { r INTEGER, s INTEGER }.
fn from_der(signature: &[u8]) -> Option<[u8; 64]> {
    let mut reader = SliceReader::new(signature).ok()?;
    let (r, s) = reader.sequence(|reader| Ok((UintRef::decode(reader)?, UintRef::decode(reader)?))).ok()?;
    let (r, s) = reader.finish((r, s)).ok()?;
    let mut bytes = [0; 64];
    for (place, number) in [(32, r), (64, s)] {
        let number = number.as_bytes();
        let from = place - Some(number.len()).filter(|length| *length <= 32)?;
        bytes[from..place].copy_from_slice(number);
    }
    Some(bytes)
}

/// The key that a certificate speaks of.
pub(super) fn key(info: &SubjectPublicKeyInfoOwned) -> Result<PublicKey, CertificateError> {
    let bytes = info.subject_public_key.as_bytes().ok_or(CertificateError::KeyAlgorithm)?;
    let key = match (info.algorithm.oid, &info.algorithm.parameters) {
        (ED25519, None) => PublicKey::new(Scheme::Ed25519, bytes)?,
        (EC_KEY, Some(curve)) if curve.decode_as::<ObjectIdentifier>().is_ok_and(|curve| curve == P256) => {
            let point = p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
            PublicKey::new(Scheme::P256, point.to_encoded_point(true).as_bytes())?
        }
        _ => return Err(CertificateError::KeyAlgorithm),
    };
    key.check()?;
    Ok(key)
}

/// How a certificate speaks of `key`; `None` for schemes that certificates do not hold.
pub(super) fn info(key: &PublicKey) -> Option<Result<SubjectPublicKeyInfoOwned, der::Error>> {
    let (oid, parameters, bytes) = match key.scheme() {
        Scheme::Ed25519 => (ED25519, None, key.as_bytes().to_vec()),
        Scheme::P256 => {
            let point = p256::ecdsa::VerifyingKey::from_sec1_bytes(key.as_bytes()).ok()?;
            (EC_KEY, Some(P256), point.to_encoded_point(false).as_bytes().to_vec())
        }
        Scheme::Secp256k1 | Scheme::X25519 => return None,
    };
    let made = || {
        Ok(SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned { oid, parameters: parameters.map(|curve| (&curve).into()) },
            subject_public_key: BitString::from_bytes(&bytes)?,
        })
    };
    Some(made())
}
