//! From a certificate to a root of the network, and from a certificate to an entity's record.

use ves::Digest;
use x509_cert::der::oid::ObjectIdentifier;

use super::{Certificate, CertificateError, Kind};
use crate::entity::{Entity, EntityStatus};
use crate::ids::{EntityId, KeyId};
use crate::keys::{KeyRecord, PublicKey, Purpose};

/// Most certificates of a chain: node, entity, intermediate. The root stands in the state, not in the chain.
pub const CHAIN_MAX: usize = 3;

const SERVER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Why a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("there is no certificate")]
    Empty,
    #[error("{found} certificates are too many: {max} at most, without the root, which stands in the state")]
    TooMany { found: usize, max: usize },
    #[error("the certificate of the {0}: {1}")]
    Certificate(Kind, CertificateError),
    #[error("the network has no root named {0}")]
    UnknownRoot(String),
    #[error("the certificate of the {kind} was issued by {issuer}, the next one is of {next}")]
    OtherIssuer { kind: Kind, issuer: String, next: String },
    #[error("the certificate of the {0} names itself as its issuer, as a root does")]
    SelfIssued(Kind),
    #[error("the certificate of the {0} is not signed by its issuer's key")]
    Signature(Kind),
    #[error("the certificate of the {kind} holds from {from_ms} ms on, it is {now_ms}")]
    NotYetValid { kind: Kind, from_ms: u64, now_ms: u64 },
    #[error("the certificate of the {kind} has expired: it held until {until_ms} ms, it is {now_ms}")]
    Expired { kind: Kind, until_ms: u64, now_ms: u64 },
    #[error("the certificate of the {0} may not issue certificates")]
    NotAnIssuer(Kind),
    #[error("more authorities stand below the certificate of the {0} than it allows")]
    PathLength(Kind),
    #[error("the certificate of the {0} is not for this use")]
    Usage(Kind),
    #[error("the certificate is of entity {found}, not of {expected}")]
    OtherEntity { expected: EntityId, found: EntityId },
    #[error("the certificate's hash {found} is not the one in the state, {expected}")]
    OtherCertificate { expected: Digest, found: Digest },
    #[error("the key {0} of the certificate is not among the entity's keys with this purpose")]
    UnknownKey(KeyId),
    #[error("the key {0} of the certificate is revoked or not valid now")]
    KeyNotLive(KeyId),
    #[error("entity {entity} is {status:?}")]
    NotActive { entity: EntityId, status: EntityStatus },
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Intermediate => "intermediate authority",
            Self::Entity => "entity",
            Self::Node => "node",
        })
    }
}

/// A root of the network: an authority that signed itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(Certificate);

impl Root {
    /// Reads DER.
    ///
    /// # Errors
    /// [`CertificateError`], [`CertificateError::NotSelfSigned`] among them.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = Certificate::parse(der)?;
        let own = certificate.subject == certificate.issuer && certificate.is_signed_by(&certificate.key);
        if own && certificate.may_issue() {
            Ok(Self(certificate))
        } else {
            Err(CertificateError::NotSelfSigned)
        }
    }

    /// The root's id, which enters the ids of entities: its name, so that a root may renew its certificate and key.
    pub fn id(&self) -> &str {
        &self.0.subject
    }
    pub fn certificate(&self) -> &Certificate {
        &self.0
    }
}

/// An entity's certificate that leads to a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityCertificate {
    certificate: Certificate,
    entity_id: EntityId,
}

impl EntityCertificate {
    /// The id that root and subject make (1.1).
    pub fn entity_id(&self) -> EntityId {
        self.entity_id
    }
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whether the certificate is that of `entity`: id, hash, and its key live among those with purpose IDENTITY.
    ///
    /// # Errors
    /// [`ChainError`] from [`OtherEntity`](ChainError::OtherEntity) on.
    pub fn is_of(&self, entity: &Entity, time_ms: u64) -> Result<(), ChainError> {
        let (expected, found) = (entity.entity_id, self.entity_id);
        if expected != found {
            return Err(ChainError::OtherEntity { expected, found });
        }
        let (expected, found) = (entity.cert_hash, self.certificate.hash);
        if expected != found {
            return Err(ChainError::OtherCertificate { expected, found });
        }
        let key = &self.certificate.key;
        is_live(entity.keys.iter().filter(|record| record.purpose == Purpose::Identity), key, time_ms)
    }
}

fn is_live<'a>(
    mut keys: impl Iterator<Item = &'a KeyRecord>,
    key: &PublicKey,
    time_ms: u64,
) -> Result<(), ChainError> {
    let record = keys.find(|record| record.key == *key).ok_or_else(|| ChainError::UnknownKey(key.id()))?;
    if record.is_live(time_ms) { Ok(()) } else { Err(ChainError::KeyNotLive(key.id())) }
}

/// A node's certificate that leads over its entity's to a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    certificate: Certificate,
    entity: EntityCertificate,
}

impl NodeCertificate {
    pub fn entity(&self) -> &EntityCertificate {
        &self.entity
    }
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whether the node may speak for `entity` now: the entity may act, the entity's certificate is its own, and where
    /// the record lists keys with purpose NODE_TRANSPORT, the node's key is a live one of them.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn speaks_for(&self, entity: &Entity, time_ms: u64) -> Result<(), ChainError> {
        self.entity.is_of(entity, time_ms)?;
        if !entity.is_active(time_ms) {
            return Err(ChainError::NotActive { entity: entity.entity_id, status: entity.status });
        }
        let listed = || entity.keys.iter().filter(|record| record.purpose == Purpose::NodeTransport);
        if listed().next().is_none() {
            return Ok(());
        }
        is_live(listed(), &self.certificate.key, time_ms)
    }
}

/// Checks an entity's chain: its certificate first, then an intermediate authority's if there is one.
///
/// - `roots`: those of the state. Of several with one name, any may have signed.
/// - `time_ms`: Unix milliseconds at which all of them have to hold.
///
/// # Errors
/// [`ChainError`].
pub fn check_entity<C: AsRef<[u8]>>(
    chain: &[C],
    roots: &[Root],
    time_ms: u64,
) -> Result<EntityCertificate, ChainError> {
    let links = parse(chain, &[Kind::Entity, Kind::Intermediate])?;
    let root = check(&links, roots, time_ms)?;
    entity(links.into_iter(), root)
}

/// Checks a node's chain: its certificate first, then that of its entity, then an intermediate authority's if there is
/// one.
///
/// # Errors
/// [`ChainError`].
pub fn check_node<C: AsRef<[u8]>>(
    chain: &[C],
    roots: &[Root],
    time_ms: u64,
) -> Result<NodeCertificate, ChainError> {
    let links = parse(chain, &[Kind::Node, Kind::Entity, Kind::Intermediate])?;
    if links.len() < 2 {
        return Err(ChainError::Empty);
    }
    let node = &links[0].1;
    let extended = |use_| node.extended.as_ref().is_none_or(|uses| uses.contains(&use_));
    if node.authority.is_some() || !node.may_sign() || !extended(SERVER) || !extended(CLIENT) {
        return Err(ChainError::Usage(Kind::Node));
    }
    let root = check(&links, roots, time_ms)?;
    let mut links = links.into_iter();
    let (_, certificate) = links.next().ok_or(ChainError::Empty)?;
    Ok(NodeCertificate { certificate, entity: entity(links, root)? })
}

type Link = (Kind, Certificate);

fn parse<C: AsRef<[u8]>>(chain: &[C], kinds: &[Kind]) -> Result<Vec<Link>, ChainError> {
    if chain.is_empty() {
        return Err(ChainError::Empty);
    }
    if chain.len() > kinds.len() {
        return Err(ChainError::TooMany { found: chain.len(), max: kinds.len() });
    }
    let parse = |(kind, der): (&Kind, &C)| {
        let parsed =
            Certificate::parse(der.as_ref()).map_err(|error| ChainError::Certificate(*kind, error))?;
        // A root signed itself: it would hold as an entity of its own name, and its place is the list of roots.
        if parsed.subject == parsed.issuer {
            return Err(ChainError::SelfIssued(*kind));
        }
        Ok((*kind, parsed))
    };
    kinds.iter().zip(chain).map(parse).collect()
}

fn entity(mut links: impl Iterator<Item = Link>, root: &Root) -> Result<EntityCertificate, ChainError> {
    let (_, certificate) = links.next().ok_or(ChainError::Empty)?;
    if !certificate.may_sign() && !certificate.may_issue() {
        return Err(ChainError::Usage(Kind::Entity));
    }
    let entity_id = EntityId::derive(root.id(), &certificate.subject);
    Ok(EntityCertificate { certificate, entity_id })
}

/// Walks from the first certificate to the root.
fn check<'a>(links: &[Link], roots: &'a [Root], time_ms: u64) -> Result<&'a Root, ChainError> {
    for (at, (kind, certificate)) in links.iter().enumerate() {
        holds_at(*kind, certificate, time_ms)?;
        let Some((above, issuer)) = links.get(at + 1) else { break };
        if certificate.issuer != issuer.subject {
            let (issuer, next) = (certificate.issuer.clone(), issuer.subject.clone());
            return Err(ChainError::OtherIssuer { kind: *kind, issuer, next });
        }
        issued(*kind, certificate, *above, issuer, at)?;
    }
    let (kind, last) = links.last().ok_or(ChainError::Empty)?;
    let mut refusal = ChainError::UnknownRoot(last.issuer.clone());
    for root in roots.iter().filter(|root| root.id() == last.issuer) {
        let checked = holds_at(Kind::Root, &root.0, time_ms)
            .and_then(|()| issued(*kind, last, Kind::Root, &root.0, links.len() - 1));
        match checked {
            Ok(()) => return Ok(root),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn holds_at(kind: Kind, certificate: &Certificate, now_ms: u64) -> Result<(), ChainError> {
    let (from_ms, until_ms) = certificate.validity_ms();
    if now_ms < from_ms {
        return Err(ChainError::NotYetValid { kind, from_ms, now_ms });
    }
    if now_ms > until_ms {
        return Err(ChainError::Expired { kind, until_ms, now_ms });
    }
    Ok(())
}

/// Whether `issuer`, of which `below` authorities stand between it and the end, may have issued and did issue this.
fn issued(
    kind: Kind,
    certificate: &Certificate,
    above: Kind,
    issuer: &Certificate,
    below: usize,
) -> Result<(), ChainError> {
    if !issuer.may_issue() {
        return Err(ChainError::NotAnIssuer(above));
    }
    if issuer.authority.flatten().is_some_and(|most| below > usize::from(most)) {
        return Err(ChainError::PathLength(above));
    }
    if certificate.is_signed_by(&issuer.key) { Ok(()) } else { Err(ChainError::Signature(kind)) }
}
