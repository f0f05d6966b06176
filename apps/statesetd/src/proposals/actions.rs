//! What a proposal of the command line asks the members to do (network.md 12.2).

use std::path::Path;

use base64ct::{Base64, Encoding as _};
use serde_json::json;
use stateset_abci::comet::Rpc;
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::codec::{Blob, List, Set, Text};
use stateset_ledger_types::entity::{Entity, EntityStatus};
use stateset_ledger_types::envelope::Kind;
use stateset_ledger_types::governance::{
    Action, AttesterPolicy, AttestersChange, CircuitBreak, CircuitReset, CommitterChange, ContractVersion,
    EntityRecord, EntityRevoke, EntitySuspend, MerchantRate, ParamChange, ParamChanges, RootChange,
    SoftwareUpgrade, TextAction, ValidatorChange,
};
use stateset_ledger_types::ids::{Denom, EntityId};
use stateset_ledger_types::keys::Purpose;
use stateset_ledger_types::params::{ParamError, Params};
use ves::Digest;
use ves::hash::Hasher;

use super::Directory;
use super::kinds::{
    AttestersProposalArgs, ContractArgs, ContractStep, KindWord, MemberArgs, ProposalKind,
    UpgradeProposalArgs, ValidatorArgs,
};
use crate::client::status_of;
use crate::genesis::now;
use crate::member::read;
use crate::output::Failure;

fn text<const MAX: usize>(field: &str, value: &str) -> Result<Text<MAX>, Failure> {
    Text::new(value).map_err(|problem| Failure::input("BAD_TEXT", format!("{field}: {problem}")))
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure { exit: 2, ..Failure::io("read", file, &error) };
    std::fs::read(file).map_err(failed)
}

fn hash_of(file: &Path) -> Result<Digest, Failure> {
    Ok(Hasher::bare().bytes(&bytes(file)?).finish())
}

fn too_many<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Failure {
    move |problem| Failure::input("TOO_MANY", format!("{what}: {problem}"))
}

impl ProposalKind {
    /// What the ledger does once it is decided. `rpc` tells what members' records say now.
    ///
    /// # Errors
    /// Names the argument that is wrong.
    pub fn action(&self, rpc: &Rpc, directory: &dyn Directory) -> Result<Action, Failure> {
        let member = |name: &str| directory.entity("MEMBER", name);
        Ok(match self {
            Self::Text(args) => Action::Text(TextAction { hash: hash_of(&args.file)? }),
            Self::Params(args) => Action::ParamChange(params(&args.changes)?),
            Self::Member(args) => update(args, rpc, directory)?,
            Self::Suspend(args) => Action::EntitySuspend(EntitySuspend {
                entity: member(&args.member)?,
                reason: text("--reason", &args.reason)?,
                until: args.until.map(ahead).transpose()?,
            }),
            Self::Revoke(args) => Action::EntityRevoke(EntityRevoke {
                entity: member(&args.member)?,
                reason: text("--reason", &args.reason)?,
            }),
            Self::Root(args) => {
                let der = args.file.as_deref().map(bytes).transpose()?.unwrap_or_default();
                let certificate = Blob::new(der).map_err(too_many("FILE"))?;
                Action::RootChange(RootChange { number: args.number, certificate })
            }
            Self::Validator(args) => validator(args, rpc, directory)?,
            Self::Contract(args) => contract(args),
            Self::Upgrade(args) => upgrade(args)?,
            Self::CircuitBreak(args) => {
                Action::CircuitBreak(CircuitBreak { kinds: kinds(&args.kinds)?, until: ahead(args.until)? })
            }
            Self::CircuitReset(args) => Action::CircuitReset(CircuitReset { kinds: kinds(&args.kinds)? }),
            Self::Committers(args) => {
                let entities = Set::new(members(&args.members, directory)?).map_err(too_many("MEMBER"))?;
                Action::CommitterChange(CommitterChange { entities })
            }
            Self::Attesters(args) => attesters(args, directory)?,
            Self::MerchantRate(args) => {
                Action::MerchantRate(MerchantRate { merchant: member(&args.member)?, bps: args.bps })
            }
            Self::Denom(args) => {
                Action::DenomAdd(DenomRecord { denom: args.denom.clone(), exponent: args.places })
            }
        })
    }
}

fn members(names: &[String], directory: &dyn Directory) -> Result<Vec<EntityId>, Failure> {
    names.iter().map(|name| directory.entity("MEMBER", name)).collect()
}

/// Bounds are known here, so nobody votes on what can't be carried out.
fn params(changes: &[(String, u64)]) -> Result<ParamChanges, Failure> {
    let mut tried = Params::default();
    let change = |(name, value): &(String, u64)| {
        tried.set(name, *value).map_err(|problem| Failure::input("BAD_PARAM", named(&problem)))?;
        Ok(ParamChange { name: text("NAME", name)?, value: *value })
    };
    let changes = changes.iter().map(change).collect::<Result<Vec<_>, Failure>>()?;
    Ok(ParamChanges { changes: List::new(changes).map_err(too_many("NAME=VALUE"))? })
}

/// What is wrong with a parameter; of one that is not there, which are.
fn named(problem: &ParamError) -> String {
    match problem {
        ParamError::Unknown(_) => {
            let names: Vec<_> = Params::TABLE.iter().map(|(name, ..)| *name).collect();
            format!("{problem}; there are {}", names.join(", "))
        }
        ParamError::Bounds { .. } => problem.to_string(),
    }
}

/// The member's record as the ledger has it.
fn record(rpc: &Rpc, id: &EntityId) -> Result<Entity, Failure> {
    let missing = || Failure::input("UNKNOWN_ENTITY", format!("{id} is no member of the ledger"));
    read(rpc, &format!("/ssn/entities/{id}"))?.ok_or_else(missing)
}

/// The record as it is, with what is named changed: its certificate goes with it, since the ledger keeps the hash alone.
fn update(args: &MemberArgs, rpc: &Rpc, directory: &dyn Directory) -> Result<Action, Failure> {
    let id = directory.entity("MEMBER", &args.member)?;
    let mut record = record(rpc, &id)?;
    record.roles = args.roles.iter().fold(record.roles, |roles, word| roles.with(word.role()));
    record.roles = args.no_roles.iter().fold(record.roles, |roles, word| roles.without(word.role()));
    let kept = record.issuer_of.iter().filter(|denom| !args.not_issuer_of.contains(denom)).cloned();
    let issuer_of: std::collections::BTreeSet<Denom> = kept.chain(args.issuer_of.iter().cloned()).collect();
    record.issuer_of = Set::new(issuer_of).map_err(too_many("--issuer-of"))?;
    record.voting_power = args.voting_power.unwrap_or(record.voting_power);
    if args.readmit {
        (record.status, record.suspended_until) = (EntityStatus::Admitted, None);
    }
    let certificate = match &args.certificate {
        Some(file) => Some(bytes(file)?),
        None => directory.certificate(&id),
    };
    let certificate = certificate.ok_or_else(|| {
        let said = format!(
            "the certificate of {} is not of this machine: name its DER with --certificate",
            args.member
        );
        Failure::input("NO_CERTIFICATE", said)
    })?;
    if Hasher::bare().bytes(&certificate).finish() != record.cert_hash {
        let said = format!("--certificate is not the one of {id}, whose SHA-256 is {}", record.cert_hash);
        return Err(Failure::input("NO_CERTIFICATE", said));
    }
    let certificate = Blob::new(certificate).map_err(too_many("--certificate"))?;
    let certificates = List::new([certificate]).map_err(too_many("--certificate"))?;
    Ok(Action::EntityUpdate(Box::new(EntityRecord { record, certificates })))
}

fn validator(args: &ValidatorArgs, rpc: &Rpc, directory: &dyn Directory) -> Result<Action, Failure> {
    let entity = directory.entity("MEMBER", &args.member)?;
    let key = match args.key {
        Some(key) => key,
        None => {
            let record = record(rpc, &entity)?;
            let keys: Vec<Digest> = record
                .keys
                .iter()
                .filter(|key| key.purpose == Purpose::ValidatorConsensus && key.revoked_at.is_none())
                .filter_map(|key| key.key.as_bytes().try_into().ok().map(Digest))
                .collect();
            match keys[..] {
                [key] => key,
                _ => {
                    let said = format!(
                        "{} has {} keys of a validator: name one with --key",
                        args.member,
                        keys.len()
                    );
                    return Err(Failure::input("NO_VALIDATOR_KEY", said));
                }
            }
        }
    };
    if args.power == 0 || !is_validator(rpc, &key)? {
        only_under_cometbft(rpc)?;
    }
    Ok(Action::ValidatorChange(ValidatorChange { entity, key, power: args.power }))
}

/// Whether the key is one of those that sign blocks now.
fn is_validator(rpc: &Rpc, key: &Digest) -> Result<bool, Failure> {
    let answer = rpc.call("validators", &json!({"per_page": "100"}))?;
    let wanted = Base64::encode_string(&key.0);
    let listed = answer["validators"].as_array();
    Ok(listed.is_some_and(|all| all.iter().any(|one| one["pub_key"]["value"] == wanted.as_str())))
}

/// One process has one key: decided all the same, another set of validators would end it for good.
fn only_under_cometbft(rpc: &Rpc) -> Result<(), Failure> {
    let status = status_of(rpc)?;
    if !status.engine.contains("solo") {
        return Ok(());
    }
    let said = "one process orders this ledger (engine solo), and its one validator can be given another weight alone: more validators need \
                a chain under CometBFT";
    Err(Failure::input("ONE_VALIDATOR", said))
}

fn contract(args: &ContractArgs) -> Action {
    let version = ContractVersion {
        contract_id: args.contract.clone(),
        version: args.contract_version,
        code_hash: args.code_hash,
    };
    match args.step {
        ContractStep::Register => Action::ContractRegister(version),
        ContractStep::Activate => Action::ContractActivate(version),
        ContractStep::Deprecate => Action::ContractDeprecate(version),
    }
}

fn upgrade(args: &UpgradeProposalArgs) -> Result<Action, Failure> {
    let binary_hash = match (&args.binary, args.binary_hash) {
        (Some(file), _) => hash_of(file)?,
        (None, Some(hash)) => hash,
        (None, None) => {
            return Err(Failure::input("USAGE", "name the program with --binary or --binary-hash"));
        }
    };
    Ok(Action::SoftwareUpgrade(SoftwareUpgrade {
        name: text("NAME", &args.name)?,
        height: args.height,
        binary_hash,
        info: text("--info", &args.info)?,
    }))
}

/// What has ended before it begins is a slip of the hand.
fn ahead(until: u64) -> Result<u64, Failure> {
    if until > now() {
        return Ok(until);
    }
    Err(Failure::input("BAD_TIME", "--until is in the past: give a time to come"))
}

fn kinds(words: &[KindWord]) -> Result<Set<Kind, 8>, Failure> {
    let kind = |word: &KindWord| match word {
        KindWord::Notarise => Kind::Notarise,
        KindWord::PublicTx => Kind::PublicTx,
        KindWord::Governance => Kind::Governance,
        KindWord::ContestOpen => Kind::ContestOpen,
        KindWord::ContestAnswer => Kind::ContestAnswer,
    };
    Set::new(words.iter().map(kind)).map_err(too_many("KIND"))
}

fn attesters(args: &AttestersProposalArgs, directory: &dyn Directory) -> Result<Action, Failure> {
    let change = |policy| Action::AttestersChange(AttestersChange { id: args.policy, policy });
    if args.remove {
        return Ok(change(None));
    }
    let entities = Set::new(members(&args.members, directory)?).map_err(too_many("MEMBER"))?;
    let all = u32::try_from(entities.len()).unwrap_or(u32::MAX);
    let policy = AttesterPolicy { threshold: args.threshold.unwrap_or(all), entities };
    policy.check().map_err(|problem| Failure::input("BAD_QUORUM", problem))?;
    Ok(change(Some(policy)))
}
