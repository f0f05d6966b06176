//! X.509 certificates of the network (1.1): network root → optional intermediate → entity → node. Pure: validity is
//! asked for a time that is given, signatures are judged by the rules of [`crate::keys`].
//!
//! Parsing is strict: version 3, DER, Ed25519 or ECDSA P-256 with SHA-256, no critical extension that is not checked here.

mod chain;
mod issue;
mod name;
mod signature;

use ves::Digest;
use ves::hash::Hasher;
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::BitString;
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{self, Decode as _, Reader as _, SliceReader};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::keys::{KeyError, PublicKey};

pub use chain::{CHAIN_MAX, ChainError, EntityCertificate, NodeCertificate, Root, check_entity, check_node};
pub use issue::{IssueError, Issuer, Template, issue, self_issue};
pub use name::common_name;
use signature::Algorithm;

/// Most bytes of a certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 8192;

/// What a certificate is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Root,
    Intermediate,
    Entity,
    Node,
}

/// Why bytes are no certificate of this network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("it has {0} bytes, more than {CERTIFICATE_BYTES_MAX}")]
    TooLarge(usize),
    #[error("it is not DER: {0}")]
    Encoding(der::Error),
    #[error("it is not of version 3")]
    Version,
    #[error("its two signature algorithms differ, or are neither Ed25519 nor ECDSA P-256 with SHA-256")]
    Algorithm,
    #[error("its key is neither Ed25519 nor P-256")]
    KeyAlgorithm,
    #[error("its key: {0}")]
    Key(#[from] KeyError),
    #[error("its {0} is empty")]
    NoName(&'static str),
    #[error("its {0} holds a text of a type that is not UTF8String, PrintableString or IA5String")]
    NameText(&'static str),
    #[error("its validity ends before it begins")]
    Validity,
    #[error("its extension {0} stands twice")]
    ExtensionTwice(ObjectIdentifier),
    #[error("its extension {0} is critical and not known here")]
    Critical(ObjectIdentifier),
    #[error("it is no certificate authority signed by its own key")]
    NotSelfSigned,
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error)
    }
}

/// A certificate that is well formed. Whether it holds is asked of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    hash: Digest,
    subject: String,
    issuer: String,
    key: PublicKey,
    /// Unix seconds, inclusive.
    not_before: u64,
    /// Unix seconds, inclusive.
    not_after: u64,
    /// For a certificate authority: how many more authorities may stand between it and the last certificate.
    authority: Option<PathLength>,
    usage: Option<KeyUsage>,
    extended: Option<Vec<ObjectIdentifier>>,
    algorithm: Algorithm,
    /// The signed bytes, as they came.
    tbs: Vec<u8>,
    signature: Vec<u8>,
}

/// A bound on the authorities below an authority; `None` is no bound.
type PathLength = Option<u8>;

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge(bytes.len()));
        }
        let (tbs, outer, signature) = split(bytes)?;
        let parsed = TbsCertificate::from_der(&tbs)?;
        if parsed.version != x509_cert::Version::V3 {
            return Err(CertificateError::Version);
        }
        let algorithm = Algorithm::of(&outer).filter(|_| outer == parsed.signature);
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        let (not_before, not_after) =
            (seconds(parsed.validity.not_before), seconds(parsed.validity.not_after));
        if not_after < not_before {
            return Err(CertificateError::Validity);
        }
        let extensions = parsed.extensions.as_deref().unwrap_or(&[]);
        check_extensions(extensions)?;
        let constraints: Option<BasicConstraints> = extension(extensions)?;
        Ok(Self {
            hash: Hasher::bare().bytes(bytes).finish(),
            subject: name::text(&parsed.subject, "subject")?,
            issuer: name::text(&parsed.issuer, "issuer")?,
            key: signature::key(&parsed.subject_public_key_info)?,
            not_before,
            not_after,
            authority: constraints.filter(|it| it.ca).map(|it| it.path_len_constraint),
            usage: extension(extensions)?,
            extended: extension::<ExtendedKeyUsage>(extensions)?.map(|usage| usage.0),
            algorithm: algorithm.ok_or(CertificateError::Algorithm)?,
            tbs,
            signature,
        })
    }

    /// SHA-256 of the DER: the `cert_hash` of 1.1.
    pub fn hash(&self) -> Digest {
        self.hash
    }
    /// The subject's distinguished name as RFC 4514 writes it, attribute names in capitals.
    pub fn subject(&self) -> &str {
        &self.subject
    }
    /// The issuer's distinguished name, written as [`subject`](Self::subject).
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
    /// Unix milliseconds: first and last at which it holds.
    pub fn validity_ms(&self) -> (u64, u64) {
        (self.not_before.saturating_mul(1000), self.not_after.saturating_mul(1000).saturating_add(999))
    }

    /// Whether it may sign certificates.
    fn may_issue(&self) -> bool {
        self.authority.is_some() && self.usage.as_ref().is_some_and(KeyUsage::key_cert_sign)
    }

    /// Whether it may sign anything but certificates.
    fn may_sign(&self) -> bool {
        self.usage.as_ref().is_none_or(KeyUsage::digital_signature)
    }

    fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        self.algorithm.verify(issuer, &self.tbs, &self.signature)
    }
}

/// Signed bytes, algorithm, signature.
fn split(bytes: &[u8]) -> Result<(Vec<u8>, AlgorithmIdentifierOwned, Vec<u8>), CertificateError> {
    let mut reader = SliceReader::new(bytes)?;
    let parts = reader.sequence(|reader| {
        let tbs = reader.tlv_bytes()?.to_vec();
        let algorithm = AlgorithmIdentifierOwned::decode(reader)?;
        let signature = BitString::decode(reader)?;
        let whole = signature.as_bytes().ok_or_else(|| der::Tag::BitString.value_error())?;
        Ok((tbs, algorithm, whole.to_vec()))
    })?;
    Ok(reader.finish(parts)?)
}

/// Each extension once, and none critical that nothing here looks at.
fn check_extensions(extensions: &[Extension]) -> Result<(), CertificateError> {
    // A subject's other names say nothing that the network reads: an entity is known by its subject.
    let known = [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, SubjectAltName::OID];
    for (at, extension) in extensions.iter().enumerate() {
        if extensions[..at].iter().any(|other| other.extn_id == extension.extn_id) {
            return Err(CertificateError::ExtensionTwice(extension.extn_id));
        }
        if extension.critical && !known.contains(&extension.extn_id) {
            return Err(CertificateError::Critical(extension.extn_id));
        }
    }
    Ok(())
}

fn extension<'a, T: der::Decode<'a> + AssociatedOid>(
    extensions: &'a [Extension],
) -> Result<Option<T>, der::Error> {
    let found = extensions.iter().find(|extension| extension.extn_id == T::OID);
    found.map(|extension| T::from_der(extension.extn_value.as_bytes())).transpose()
}

#[cfg(test)]
mod tests;
