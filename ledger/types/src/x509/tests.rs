//! Chains that hold, and each way in which one does not, refused by name.

use super::*;
use crate::entity::{Compliance, Entity, EntityStatus, Quota, Roles};
use crate::ids::EntityId;
use crate::keys::{KeyRecord, Purpose, Scheme, Signature};

const DAY: u64 = 86_400_000;
const NOW: u64 = 1_800_000_000_000;
const ROOT: &str = "CN=Network Root,O=Example Network";
const ACME: &str = "CN=Acme,O=Acme GmbH,C=DE";

struct Party {
    name: &'static str,
    seed: ves::SigningKey,
    key: PublicKey,
}

fn party(name: &'static str, seed: u8) -> Party {
    let seed = ves::SigningKey::from_seed([seed; 32]);
    let key = PublicKey::ed25519(seed.public_key());
    Party { name, seed, key }
}

impl Party {
    fn template(&self, kind: Kind) -> Template<'_> {
        Template { kind, subject: self.name, key: &self.key, from_ms: NOW - DAY, until_ms: NOW + DAY }
    }
    fn issuer(&self) -> Issuer<'_> {
        Issuer { subject: self.name, key: &self.key }
    }
    fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.seed.sign(message))
    }
    fn root(&self) -> Root {
        Root::parse(&self_issue(&self.template(Kind::Root), |tbs| self.sign(tbs)).unwrap()).unwrap()
    }
    fn issues(&self, template: &Template<'_>) -> Vec<u8> {
        issue(template, &self.issuer(), |tbs| self.sign(tbs)).unwrap()
    }
}

struct World {
    root: Party,
    middle: Party,
    acme: Party,
    node: Party,
}

fn world() -> World {
    World {
        root: party(ROOT, 1),
        middle: party("CN=Middle", 2),
        acme: party(ACME, 3),
        node: party("CN=node-1", 4),
    }
}

impl World {
    fn roots(&self) -> Vec<Root> {
        vec![self.root.root()]
    }
    /// Node, entity, intermediate.
    fn chain(&self) -> Vec<Vec<u8>> {
        vec![
            self.acme.issues(&self.node.template(Kind::Node)),
            self.middle.issues(&self.acme.template(Kind::Entity)),
            self.root.issues(&self.middle.template(Kind::Intermediate)),
        ]
    }
    fn entity(&self, cert_hash: Digest) -> Entity {
        Entity {
            entity_id: EntityId::derive(ROOT, ACME),
            name: crate::codec::Text::new("Acme").unwrap(),
            jurisdiction: crate::codec::Text::new("DE").unwrap(),
            registration_no: crate::codec::Text::new("HRB 1").unwrap(),
            lei: None,
            cert_hash,
            keys: crate::codec::List::new([KeyRecord::new(Purpose::Identity, self.acme.key)]).unwrap(),
            roles: Roles::default(),
            issuer_of: crate::codec::Set::default(),
            status: EntityStatus::Admitted,
            suspended_until: None,
            voting_power: 1,
            quota: Quota::default(),
            compliance: Compliance { kyc_level: 0, risk: 0, sanctioned: false, expires_at: u64::MAX },
        }
    }
}

#[test]
fn a_chain_leads_to_its_root_with_and_without_an_intermediate() {
    let world = world();
    let (chain, roots) = (world.chain(), world.roots());
    let node = check_node(&chain, &roots, NOW).unwrap();
    let entity = check_entity(&chain[1..], &roots, NOW).unwrap();
    assert_eq!(node.entity(), &entity);
    assert_eq!(entity.entity_id(), EntityId::derive(ROOT, ACME));
    assert_eq!(entity.certificate().subject(), ACME);
    assert_eq!(entity.certificate().hash(), Hasher::bare().bytes(&chain[1]).finish());
    assert_eq!(node.certificate().key(), &world.node.key);
    let direct = world.root.issues(&world.acme.template(Kind::Entity));
    assert_eq!(check_entity(&[direct], &roots, NOW).unwrap().entity_id(), entity.entity_id());
}

#[test]
fn the_same_template_makes_the_same_certificate_and_another_serial_for_another_key() {
    let world = world();
    assert_eq!(world.chain(), world.chain());
    let other = party(ACME, 9);
    let [a, b] = [&world.acme, &other].map(|party| {
        let der = world.root.issues(&party.template(Kind::Entity));
        <x509_cert::Certificate as x509_cert::der::Decode>::from_der(&der)
            .unwrap()
            .tbs_certificate
            .serial_number
    });
    assert_ne!(a, b);
}

#[test]
fn keys_of_p256_certify_and_are_certified_with_low_and_high_s() {
    use p256::ecdsa::signature::Signer as _;
    let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let key = PublicKey::new(Scheme::P256, secret.verifying_key().to_encoded_point(true).as_bytes()).unwrap();
    let template = Template { kind: Kind::Root, subject: ROOT, key: &key, from_ms: NOW, until_ms: NOW + DAY };
    let low = |tbs: &[u8]| {
        let signature: p256::ecdsa::Signature = secret.sign(tbs);
        signature.normalize_s().unwrap_or(signature)
    };
    let high = |tbs: &[u8]| {
        let (r, s) = low(tbs).split_scalars();
        p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap()
    };
    for sign in [&low as &dyn Fn(&[u8]) -> p256::ecdsa::Signature, &high] {
        let der = self_issue(&template, |tbs| Signature(sign(tbs).to_bytes().into())).unwrap();
        assert_eq!(Root::parse(&der).unwrap().certificate().key(), &key);
    }
}

#[test]
fn an_unknown_root_is_refused_by_its_name() {
    let world = world();
    assert_eq!(check_entity(&world.chain()[1..], &[], NOW), Err(ChainError::UnknownRoot(ROOT.to_owned())));
    let other = [party("CN=Other Root", 1).root()];
    assert_eq!(check_node(&world.chain(), &other, NOW), Err(ChainError::UnknownRoot(ROOT.to_owned())));
}

#[test]
fn a_root_of_the_same_name_and_another_key_does_not_certify() {
    let world = world();
    let impostor = party(ROOT, 66).root();
    let refused = check_node(&world.chain(), std::slice::from_ref(&impostor), NOW);
    assert_eq!(refused, Err(ChainError::Signature(Kind::Intermediate)));
    // Beside the real one, as while a root renews its key, it does no harm.
    assert!(check_node(&world.chain(), &[impostor, world.root.root()], NOW).is_ok());
}

#[test]
fn a_chain_that_does_not_hang_together_is_refused() {
    let world = world();
    let mut chain = world.chain();
    chain.remove(1);
    assert!(matches!(
        check_node(&chain, &world.roots(), NOW),
        Err(ChainError::OtherIssuer { kind: Kind::Node, .. })
    ));
    let forger = party("CN=Middle", 77);
    chain = world.chain();
    chain[1] = forger.issues(&world.acme.template(Kind::Entity));
    assert_eq!(check_node(&chain, &world.roots(), NOW), Err(ChainError::Signature(Kind::Entity)));
    assert_eq!(check_entity::<Vec<u8>>(&[], &world.roots(), NOW), Err(ChainError::Empty));
    let long = [world.chain(), world.chain()].concat();
    assert_eq!(check_node(&long, &world.roots(), NOW), Err(ChainError::TooMany { found: 6, max: 3 }));
}

#[test]
fn validity_ends_and_begins_at_its_exact_second() {
    let world = world();
    let check = |now| check_node(&world.chain(), &world.roots(), now).map(drop);
    assert_eq!(check(NOW - DAY), Ok(()));
    assert_eq!(check(NOW + DAY + 999), Ok(()), "the last second counts whole");
    let expired =
        ChainError::Expired { kind: Kind::Node, until_ms: NOW + DAY + 999, now_ms: NOW + DAY + 1000 };
    assert_eq!(check(NOW + DAY + 1000), Err(expired));
    let early = ChainError::NotYetValid { kind: Kind::Node, from_ms: NOW - DAY, now_ms: NOW - DAY - 1 };
    assert_eq!(check(NOW - DAY - 1), Err(early));
}

#[test]
fn every_certificate_of_the_chain_has_to_hold_at_the_time() {
    let world = world();
    let expired = |party: &Party, kind| Template { until_ms: NOW - 1000, ..party.template(kind) }.until_ms;
    let kinds = [(0, Kind::Node), (1, Kind::Entity), (2, Kind::Intermediate)];
    for (at, kind) in kinds {
        let mut chain = world.chain();
        let (issuer, subject) =
            [(&world.acme, &world.node), (&world.middle, &world.acme), (&world.root, &world.middle)][at];
        chain[at] = issuer.issues(&Template { until_ms: expired(subject, kind), ..subject.template(kind) });
        let refused = check_node(&chain, &world.roots(), NOW);
        assert!(
            matches!(refused, Err(ChainError::Expired { kind: found, .. }) if found == kind),
            "{refused:?}"
        );
    }
    let short = Template { until_ms: NOW - 1000, ..world.root.template(Kind::Root) };
    let root = Root::parse(&self_issue(&short, |tbs| world.root.sign(tbs)).unwrap()).unwrap();
    let refused = check_node(&world.chain(), &[root], NOW);
    assert!(matches!(refused, Err(ChainError::Expired { kind: Kind::Root, .. })), "{refused:?}");
}

#[test]
fn who_may_not_issue_did_not_issue() {
    let world = world();
    // A node that certifies a node of its own.
    let second = party("CN=node-2", 5);
    let chain = vec![
        world.node.issues(&second.template(Kind::Node)),
        world.acme.issues(&world.node.template(Kind::Node)),
        world.root.issues(&world.acme.template(Kind::Entity)),
    ];
    assert_eq!(check_node(&chain, &world.roots(), NOW), Err(ChainError::NotAnIssuer(Kind::Entity)));
    // An entity that certifies another entity: the path below it has no room for an authority.
    let sub = party("CN=Sub", 6);
    let chain = vec![
        sub.issues(&second.template(Kind::Node)),
        world.acme.issues(&sub.template(Kind::Entity)),
        world.root.issues(&world.acme.template(Kind::Entity)),
    ];
    assert_eq!(check_node(&chain, &world.roots(), NOW), Err(ChainError::PathLength(Kind::Intermediate)));
    // An entity's certificate is no node's.
    let chain = vec![
        world.acme.issues(&sub.template(Kind::Entity)),
        world.root.issues(&world.acme.template(Kind::Entity)),
    ];
    assert_eq!(check_node(&chain, &world.roots(), NOW), Err(ChainError::Usage(Kind::Node)));
}

#[test]
fn a_root_is_no_entity_and_no_node() {
    let world = world();
    let own = self_issue(&world.root.template(Kind::Root), |tbs| world.root.sign(tbs)).unwrap();
    let refused = check_entity(std::slice::from_ref(&own), &world.roots(), NOW);
    assert_eq!(refused, Err(ChainError::SelfIssued(Kind::Entity)));
    let node = world.root.issues(&world.node.template(Kind::Node));
    assert_eq!(
        check_node(&[node, own.clone()], &world.roots(), NOW),
        Err(ChainError::SelfIssued(Kind::Entity))
    );
    let entity = world.root.issues(&world.acme.template(Kind::Entity));
    assert_eq!(check_node(&[own, entity], &world.roots(), NOW), Err(ChainError::SelfIssued(Kind::Node)));
}

#[test]
fn a_certificate_is_of_one_record_only() {
    let world = world();
    let certificate = check_entity(&world.chain()[1..], &world.roots(), NOW).unwrap();
    let entity = world.entity(certificate.certificate().hash());
    assert_eq!(certificate.is_of(&entity, NOW), Ok(()));
    let other = Entity { entity_id: EntityId::derive(ROOT, "CN=Other"), ..entity.clone() };
    assert!(matches!(certificate.is_of(&other, NOW), Err(ChainError::OtherEntity { .. })), "wrong subject");
    let other = Entity { cert_hash: Digest([0; 32]), ..entity.clone() };
    assert!(matches!(certificate.is_of(&other, NOW), Err(ChainError::OtherCertificate { .. })));
    let mut keys = entity.keys.clone().into_vec();
    keys[0].revoked_at = Some(NOW);
    let revoked = Entity { keys: crate::codec::List::new(keys).unwrap(), ..entity.clone() };
    assert_eq!(certificate.is_of(&revoked, NOW), Err(ChainError::KeyNotLive(world.acme.key.id())));
    assert_eq!(certificate.is_of(&revoked, NOW - 1), Ok(()), "until the exact millisecond");
    let without = Entity { keys: Default::default(), ..entity };
    assert_eq!(certificate.is_of(&without, NOW), Err(ChainError::UnknownKey(world.acme.key.id())));
}

#[test]
fn a_node_speaks_for_an_active_entity_with_a_listed_key_if_any_are_listed() {
    let world = world();
    let node = check_node(&world.chain(), &world.roots(), NOW).unwrap();
    let entity = world.entity(node.entity().certificate().hash());
    assert_eq!(node.speaks_for(&entity, NOW), Ok(()));
    let suspended = Entity { status: EntityStatus::Suspended, suspended_until: Some(NOW), ..entity.clone() };
    assert_eq!(node.speaks_for(&suspended, NOW), Ok(()), "the suspension has lapsed");
    assert!(matches!(node.speaks_for(&suspended, NOW - 1), Err(ChainError::NotActive { .. })));
    let with = |key: PublicKey, revoked_at| {
        let transport = KeyRecord { revoked_at, ..KeyRecord::new(Purpose::NodeTransport, key) };
        let keys = [entity.keys.clone().into_vec(), vec![transport]].concat();
        Entity { keys: crate::codec::List::new(keys).unwrap(), ..entity.clone() }
    };
    assert_eq!(node.speaks_for(&with(world.node.key, None), NOW), Ok(()));
    let refused = node.speaks_for(&with(world.node.key, Some(NOW)), NOW);
    assert_eq!(refused, Err(ChainError::KeyNotLive(world.node.key.id())));
    let refused = node.speaks_for(&with(PublicKey::ed25519([9; 32]), None), NOW);
    assert_eq!(refused, Err(ChainError::UnknownKey(world.node.key.id())));
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let world = world();
    let good = world.root.issues(&world.acme.template(Kind::Entity));
    assert!(matches!(Certificate::parse(&[]), Err(CertificateError::Encoding(_))));
    assert!(matches!(Certificate::parse(&good[..good.len() - 1]), Err(CertificateError::Encoding(_))));
    assert!(matches!(
        Certificate::parse(&[good.as_slice(), &[0]].concat()),
        Err(CertificateError::Encoding(_))
    ));
    assert_eq!(Certificate::parse(&[0; 9000]), Err(CertificateError::TooLarge(9000)));
    assert_eq!(Root::parse(&good), Err(CertificateError::NotSelfSigned));
    // Whatever byte is changed: no certificate, or one that its issuer did not sign.
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(check_entity(&[changed], &world.roots(), NOW).is_err(), "byte {at}");
    }
}

#[test]
fn names_that_are_none_are_not_issued() {
    let world = world();
    for subject in ["", "Acme", "CN=", "CN=Acme,,C=DE"] {
        let template = Template { subject, ..world.acme.template(Kind::Entity) };
        let made = issue(&template, &world.root.issuer(), |tbs| world.root.sign(tbs));
        assert!(matches!(made, Err(IssueError::Name(_))), "{subject}: {made:?}");
    }
    let by_another =
        issue(&world.acme.template(Kind::Entity), &world.root.issuer(), |tbs| world.acme.sign(tbs));
    assert_eq!(by_another, Err(IssueError::Signature));
}
