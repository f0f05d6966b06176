//! Members of a ledger of one machine: companies that its founder admits.

use std::time::Duration;

use stateset_ledger_types::codec::{Blob, List, Set, Text};
use stateset_ledger_types::entity::{Compliance, Entity, EntityStatus, Quota, Roles};
use stateset_ledger_types::governance::{Action, EntityRecord, Proposal};
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose};
use stateset_ledger_types::x509::{Kind, Root, check_entity, common_name};
use ves::hash::Hasher;

use super::LocalHome;
use crate::certificates::{Authority, ENTITY_DAYS, ROOT_SEED};
use crate::genesis::now;
use crate::member::read;
use crate::output::Failure;
use crate::{lists, proposals};

/// How long an admission may take.
const TIME_MAX: Duration = Duration::from_secs(30);

fn failed(error: impl ToString) -> Failure {
    Failure::failed("CERTIFICATE", error)
}

/// A company that is to be a member.
#[derive(Debug, Clone)]
pub struct Newcomer {
    pub name: String,
    /// ISO 3166 code.
    pub jurisdiction: String,
    pub registration_no: String,
    pub lei: Option<String>,
    pub roles: Roles,
    /// Its certificate's key.
    pub identity: PublicKey,
    /// The others, by what they are for.
    pub keys: Vec<(Purpose, PublicKey)>,
}

/// A company that is a member.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub entity: Entity,
    /// DER of its certificate, and of the root that issued it.
    pub certificate: Vec<u8>,
    pub root: Vec<u8>,
    pub proposal: u64,
}

fn text<const MAX: usize>(field: &str, value: &str) -> Result<Text<MAX>, Failure> {
    Text::new(value).map_err(|problem| Failure::input("ENTITY", format!("{field}: {problem}")))
}

/// A company with its certificate, before anybody has voted.
pub(crate) struct Certified {
    pub record: Entity,
    /// DER of its certificate, and of the root that issued it.
    pub certificate: Vec<u8>,
    pub root: Vec<u8>,
}

impl Certified {
    /// What is proposed.
    pub fn admission(&self) -> Result<Action, Failure> {
        let certificates = List::new([Blob::new(self.certificate.as_slice()).map_err(failed)?]);
        let certificates = certificates.map_err(failed)?;
        Ok(Action::EntityAdmit(Box::new(EntityRecord { record: self.record.clone(), certificates })))
    }
}

impl LocalHome {
    /// Issues a certificate to the company, proposes it as the founder and votes for it, until it is a member. It has no
    /// vote itself, so that the founder goes on deciding alone.
    pub fn admit(&self, newcomer: &Newcomer) -> Result<Admitted, Failure> {
        let certified = self.certified(newcomer, &self.0.seed(ROOT_SEED)?)?;
        let proposal = self.carried_out(certified.admission()?)?;
        let entity = self.entity(&certified.record.entity_id)?;
        let entity =
            entity.ok_or_else(|| failed("the proposal was executed, and the member is not there"))?;
        let Certified { certificate, root, .. } = certified;
        Ok(Admitted { entity, certificate, root, proposal })
    }

    /// Issues a certificate under the root whose key is `key` to a company that is no member yet.
    pub(crate) fn certified(&self, newcomer: &Newcomer, key: &ves::SigningKey) -> Result<Certified, Failure> {
        let known = self.genesis()?.roots.to_vec();
        let known = known.into_iter().map(|root| Ok((Root::parse(&root).map_err(failed)?, root.to_vec())));
        let known = known.collect::<Result<Vec<_>, Failure>>()?;
        let own = PublicKey::ed25519(key.public_key());
        let (root, der) = known
            .into_iter()
            .find(|(root, _)| *root.certificate().key() == own)
            .ok_or_else(|| failed("no root certificate of the genesis has this key"))?;
        let certificate = certificate(newcomer, root.id(), key)?;
        let certified = check_entity(&[&certificate], &[root], now()).map_err(failed)?;
        let record = record(newcomer, certified.entity_id(), &certificate)?;
        record.check().map_err(|error| Failure::input("ENTITY", error))?;
        if self.entity(&record.entity_id)?.is_some() {
            let said = format!("{} is a member already, as {}", newcomer.name, record.entity_id);
            return Err(Failure::input("ENTITY_EXISTS", said));
        }
        Ok(Certified { record, certificate, root: der })
    }

    fn entity(&self, id: &EntityId) -> Result<Option<Entity>, Failure> {
        read(&self.founder()?.rpc, &format!("/ssn/entities/{id}"))
    }

    /// The proposal that would make `member` one, while it is not decided or carried out yet.
    pub(crate) fn open_admission(&self, member: &EntityId) -> Result<Option<Proposal>, Failure> {
        let rpc = self.founder()?.rpc;
        let admits = |proposal: &Proposal| {
            let is_it =
                |action: &Action| matches!(action, Action::EntityAdmit(it) if it.record.entity_id == *member);
            proposal.status.is_open() && proposal.content.actions.iter().any(is_it)
        };
        Ok(lists::proposals(&rpc)?.into_iter().find(admits))
    }

    /// Proposes an action and votes for it, until it is executed.
    pub(super) fn carried_out(&self, action: Action) -> Result<u64, Failure> {
        let id = self.propose(action)?;
        self.decide(id, TIME_MAX)?;
        Ok(id)
    }

    /// Returns the proposal's number.
    pub(crate) fn propose(&self, action: Action) -> Result<u64, Failure> {
        proposals::propose(&self.founder()?, "", action, false)
    }

    /// Votes for a proposal until it is executed.
    pub(crate) fn decide(&self, id: u64, wait: Duration) -> Result<(), Failure> {
        proposals::decide(&self.founder()?, id, wait).map_err(|failure| match failure.code.as_str() {
            "NOT_EXECUTED" => Failure { code: "NOT_ADMITTED".to_owned(), ..failure },
            _ => failure,
        })
    }
}

/// DER, under the root named `root`.
fn certificate(newcomer: &Newcomer, root: &str, key: &ves::SigningKey) -> Result<Vec<u8>, Failure> {
    let (root, subject) = (Authority { subject: root, key, time_ms: now() }, common_name(&newcomer.name));
    root.issues(&root.template(Kind::Entity, &subject, &newcomer.identity, ENTITY_DAYS))
}

fn record(newcomer: &Newcomer, entity_id: EntityId, certificate: &[u8]) -> Result<Entity, Failure> {
    let keys = [(Purpose::Identity, newcomer.identity)].into_iter().chain(newcomer.keys.iter().copied());
    let keys = keys.map(|(purpose, key)| KeyRecord::new(purpose, key)).collect::<Vec<_>>();
    let lei = newcomer.lei.as_deref().map(|lei| text("--lei", lei)).transpose()?;
    Ok(Entity {
        entity_id,
        name: text("the name", &newcomer.name)?,
        jurisdiction: text("--jurisdiction", &newcomer.jurisdiction)?,
        registration_no: text("--registration-no", &newcomer.registration_no)?,
        lei,
        cert_hash: Hasher::bare().bytes(certificate).finish(),
        keys: List::new(keys).map_err(failed)?,
        roles: newcomer.roles,
        issuer_of: Set::default(),
        status: EntityStatus::Admitted,
        suspended_until: None,
        voting_power: 0,
        quota: Quota::default(),
        compliance: Compliance { kyc_level: 0, risk: 0, sanctioned: false, expires_at: u64::MAX },
    })
}
