//! Making certificates. The signing key stays with its owner: it is a function here, so that a key store or a token
//! signs as well as a seed.

use ves::hash::Hasher;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{BitString, GeneralizedTime, OctetString, UtcTime};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{self, Encode as _};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};
use x509_cert::{TbsCertificate, Version};

use super::signature::{Algorithm, info};
use super::{Certificate, CertificateError, Kind};
use crate::keys::{PublicKey, Signature};

const SERVER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// First second of the years that UTCTime cannot say: 2050.
const GENERALIZED_FROM: u64 = 2_524_608_000;

/// What a certificate is to say.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a> {
    pub kind: Kind,
    /// Distinguished name (RFC 4514), as `CN=Acme,O=Acme GmbH,C=DE`.
    pub subject: &'a str,
    pub key: &'a PublicKey,
    /// Unix milliseconds; the certificate holds from this second on.
    pub from_ms: u64,
    /// Unix milliseconds; the certificate holds to the end of this second.
    pub until_ms: u64,
}

/// Who signs.
#[derive(Debug, Clone, Copy)]
pub struct Issuer<'a> {
    /// Distinguished name, as in the issuer's own certificate.
    pub subject: &'a str,
    pub key: &'a PublicKey,
}

/// Why a certificate cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    #[error(
        "{0} is no distinguished name: NAME=value parts with commas between, as CN=Acme,O=Acme GmbH,C=DE"
    )]
    Name(String),
    #[error("certificates hold Ed25519 and P-256 keys")]
    Scheme,
    #[error("the certificate would not be one: {0}")]
    Certificate(#[from] CertificateError),
    #[error("the signature is not that of the issuer's key")]
    Signature,
}

impl From<der::Error> for IssueError {
    fn from(error: der::Error) -> Self {
        Self::Certificate(error.into())
    }
}

/// A root: a certificate under its own key.
///
/// # Errors
/// [`IssueError`].
pub fn self_issue(
    template: &Template<'_>,
    sign: impl FnOnce(&[u8]) -> Signature,
) -> Result<Vec<u8>, IssueError> {
    issue(template, &Issuer { subject: template.subject, key: template.key }, sign)
}

/// The DER of a certificate that `sign` signs with the issuer's key. The same input makes the same certificate.
///
/// # Errors
/// [`IssueError`]; a signature of another key among them.
pub fn issue(
    template: &Template<'_>,
    issuer: &Issuer<'_>,
    sign: impl FnOnce(&[u8]) -> Signature,
) -> Result<Vec<u8>, IssueError> {
    let algorithm = Algorithm::by(issuer.key.scheme()).ok_or(IssueError::Scheme)?;
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: serial(template, issuer)?,
        signature: algorithm.identifier(),
        issuer: name(issuer.subject)?,
        validity: Validity { not_before: time(template.from_ms)?, not_after: time(template.until_ms)? },
        subject: name(template.subject)?,
        subject_public_key_info: info(template.key).ok_or(IssueError::Scheme)??,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions(template, issuer)?),
    };
    let signature = sign(&tbs.to_der()?);
    let made = x509_cert::Certificate {
        tbs_certificate: tbs,
        signature_algorithm: algorithm.identifier(),
        signature: BitString::from_bytes(&algorithm.to_certificate(&signature)?)?,
    };
    let der = made.to_der()?;
    if Certificate::parse(&der)?.is_signed_by(issuer.key) { Ok(der) } else { Err(IssueError::Signature) }
}

/// A name whose parts all have a text form of their own.
fn name(text: &str) -> Result<Name, IssueError> {
    let refused = || IssueError::Name(text.to_owned());
    let name: Name = text.parse().map_err(|_| refused())?;
    let empty = |attribute: &AttributeTypeAndValue| attribute.value.value().is_empty();
    if name.is_empty() || name.0.iter().any(|part| part.0.is_empty() || part.0.iter().any(empty)) {
        return Err(refused());
    }
    Ok(name)
}

fn time(unix_ms: u64) -> Result<Time, der::Error> {
    let seconds = unix_ms / 1000;
    let since = std::time::Duration::from_secs(seconds);
    Ok(match seconds {
        ..GENERALIZED_FROM => Time::UtcTime(UtcTime::from_unix_duration(since)?),
        _ => Time::GeneralTime(GeneralizedTime::from_unix_duration(since)?),
    })
}

/// Of everything that the certificate says, so that no two of an issuer have one number.
fn serial(template: &Template<'_>, issuer: &Issuer<'_>) -> Result<SerialNumber, der::Error> {
    let digest = Hasher::bare()
        .bytes(issuer.key.as_bytes())
        .bytes(template.key.as_bytes())
        .bytes(&template.from_ms.to_be_bytes())
        .bytes(&template.until_ms.to_be_bytes())
        .bytes(template.subject.as_bytes())
        .finish();
    let mut bytes: [u8; 16] = std::array::from_fn(|i| digest.0[i]);
    // Positive, and of full length.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::new(&bytes)
}

/// RFC 7093, section 2, method 1.
fn key_identifier(key: &PublicKey) -> Result<OctetString, der::Error> {
    let digest = Hasher::bare().bytes(key.as_bytes()).finish();
    OctetString::new(&digest.0[..20])
}

fn extensions(template: &Template<'_>, issuer: &Issuer<'_>) -> Result<Extensions, der::Error> {
    // How many authorities may stand below: intermediate and entity, entity, none.
    let (path_len_constraint, usage) = match template.kind {
        Kind::Root => (Some(2), KeyUsages::KeyCertSign | KeyUsages::CRLSign),
        Kind::Intermediate => (Some(1), KeyUsages::KeyCertSign | KeyUsages::CRLSign),
        Kind::Entity => (Some(0), KeyUsages::KeyCertSign | KeyUsages::DigitalSignature),
        Kind::Node => (None, KeyUsages::DigitalSignature.into()),
    };
    let constraints = BasicConstraints { ca: template.kind != Kind::Node, path_len_constraint };
    let own = SubjectKeyIdentifier(key_identifier(template.key)?);
    let of_issuer = AuthorityKeyIdentifier {
        key_identifier: Some(key_identifier(issuer.key)?),
        ..AuthorityKeyIdentifier::default()
    };
    let mut extensions = vec![
        extension(true, &constraints)?,
        extension(true, &KeyUsage(usage))?,
        extension(false, &own)?,
        extension(false, &of_issuer)?,
    ];
    if template.kind == Kind::Node {
        extensions.push(extension(false, &ExtendedKeyUsage(vec![SERVER, CLIENT]))?);
    }
    Ok(extensions)
}

fn extension<T: AssociatedOid + der::Encode>(critical: bool, value: &T) -> Result<Extension, der::Error> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}
