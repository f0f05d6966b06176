//! What a proposal does when it is carried out. Refusals here make it FAILED.

use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::codec::List;
use stateset_ledger_types::entity::{Entity, EntityStatus, Role};
use stateset_ledger_types::genesis::GenesisValidator;
use stateset_ledger_types::governance::{
    Action, AttestersChange, ContractRecord, ContractSet, ContractStatus, ContractVersion, EntityRecord,
    EntitySuspend, ParamChanges, SoftwareUpgrade, ValidatorChange,
};
use stateset_ledger_types::ids::{EntityId, Units};
use stateset_ledger_types::keys::{PublicKey, Purpose};
use stateset_ledger_types::{Code, Params, Refusal, StateKey, Substore};
use ves::hash::Hasher;

use super::{Effects, life};
use crate::application::{BlockBounds, ValidatorUpdate};
use crate::context::Context;
use crate::members::{self, DAY_MS};
use crate::overlay::{Overlay, Stop, decode};

/// How long an expedited suspension stands unless it is confirmed.
const EXPEDITED_DAYS: u64 = 7;

pub(super) fn execute(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    expedited: bool,
    action: &Action,
) -> Result<(), Stop> {
    match action {
        Action::Text(_) => Ok(()),
        Action::ParamChange(changes) => change_params(overlay, context, effects, changes),
        Action::EntityAdmit(record) => admit(overlay, context, record),
        Action::EntityUpdate(record) => update(overlay, context, record),
        Action::EntitySuspend(suspend) => self::suspend(overlay, context, expedited, suspend),
        Action::EntityRevoke(revoke) => {
            let entity = find(overlay, &revoke.entity)?;
            put(overlay, Entity { status: EntityStatus::Revoked, suspended_until: None, ..entity });
            Ok(())
        }
        Action::RootChange(change) => members::change_root(overlay, change),
        Action::ValidatorChange(change) => change_validator(overlay, context, effects, change),
        Action::ContractRegister(version) => register(overlay, version),
        Action::ContractActivate(version) => set_status(overlay, version, ContractStatus::Active),
        Action::ContractDeprecate(version) => set_status(overlay, version, ContractStatus::Deprecated),
        Action::SoftwareUpgrade(plan) => plan_upgrade(overlay, context, plan),
        Action::CircuitBreak(circuit) => {
            for kind in circuit.kinds.iter() {
                overlay.put(StateKey::circuit(*kind), &circuit.until);
            }
            Ok(())
        }
        Action::CircuitReset(circuit) => {
            for kind in circuit.kinds.iter() {
                overlay.delete(StateKey::circuit(*kind));
            }
            Ok(())
        }
        Action::CommitterChange(change) => change_committers(overlay, &change.entities),
        Action::MerchantRate(rate) => {
            find(overlay, &rate.merchant)?;
            let key = StateKey::merchant(&rate.merchant);
            match rate.bps {
                Some(bps) if bps > 10_000 => Err(invariant("a rate is at most 10000 of 10000")),
                Some(bps) => {
                    overlay.put(key, &bps);
                    Ok(())
                }
                None => {
                    overlay.delete(key);
                    Ok(())
                }
            }
        }
        Action::DenomAdd(record) => add_denom(overlay, record),
        Action::AttestersChange(change) => change_attesters(overlay, change),
        Action::ClientRecover(_) | Action::IbcUpgrade(_) | Action::ChannelAllow(_) => {
            Err(Refusal::new(Code::Unsupported, "this network has no connections to other chains").into())
        }
    }
}

fn invariant(said: impl std::fmt::Display) -> Stop {
    Refusal::new(Code::Invariant, said).into()
}

/// A new denomination, with a supply of zero.
fn add_denom(overlay: &mut Overlay<'_>, record: &DenomRecord) -> Result<(), Stop> {
    let key = StateKey::denom(&record.denom);
    if overlay.get_raw(&key)?.is_some() {
        return Err(invariant(format!("{} is a denomination already", record.denom)));
    }
    if record.exponent > DenomRecord::EXPONENT_MAX {
        let said = format!("a denomination has at most {} decimal places", DenomRecord::EXPONENT_MAX);
        return Err(invariant(said));
    }
    // Such names are for vouchers of other chains (13.4).
    if record.denom.as_str().starts_with("ibc/") {
        return Err(invariant("a denomination of this network does not begin with ibc/"));
    }
    overlay.put(key, record);
    overlay.put(StateKey::supply(&record.denom), &Units(0));
    Ok(())
}

fn change_params(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    changes: &ParamChanges,
) -> Result<(), Stop> {
    let mut params: Params = overlay.expect(&StateKey::params())?;
    for change in changes.changes.iter() {
        params.set(&change.name, change.value).map_err(invariant)?;
    }
    overlay.put(StateKey::params_hash(context.height), &params.hash());
    overlay.put(StateKey::params(), &params);
    effects.bounds = Some(bounds(&params));
    Ok(())
}

/// What of the parameters enters the header's consensus hash.
pub fn bounds(params: &Params) -> BlockBounds {
    BlockBounds { bytes_max: params.max_block_bytes, gas_max: params.max_block_gas }
}

fn find(overlay: &Overlay<'_>, id: &EntityId) -> Result<Entity, Stop> {
    let entity: Option<Entity> = overlay.get(&StateKey::entity(id))?;
    Ok(entity.ok_or_else(|| Refusal::new(Code::UnknownEntity, format!("{id} is no entity")))?)
}

fn put(overlay: &mut Overlay<'_>, entity: Entity) {
    overlay.put(StateKey::entity(&entity.entity_id), &entity);
}

/// The record is good in itself, and its certificate is the one whose hash it has.
fn check_record(record: &EntityRecord) -> Result<(), Stop> {
    record.record.check().map_err(invariant)?;
    let leaf =
        record.certificates.first().ok_or_else(|| invariant("the record comes with its certificate"))?;
    if Hasher::bare().bytes(leaf).finish() != record.record.cert_hash {
        return Err(invariant("cert_hash is not the hash of the certificate"));
    }
    Ok(())
}

/// A certificate, and a key, belong to one entity: messages of governance name none, so the signature of a key in two records would
/// be that of either.
fn is_certified(overlay: &mut Overlay<'_>, record: &Entity) -> Result<(), Stop> {
    for other in life::entities(overlay)?.iter().filter(|other| other.entity_id != record.entity_id) {
        if let Some(shared) = other.shares_key_with(record) {
            return Err(invariant(format!("key {} is of {}", shared.id(), other.entity_id)));
        }
    }
    let key = StateKey::cert(&record.cert_hash);
    match overlay.get::<EntityId>(&key)? {
        Some(other) if other != record.entity_id => Err(invariant(format!("the certificate is of {other}"))),
        _ => {
            overlay.put(key, &record.entity_id);
            Ok(())
        }
    }
}

fn admit(overlay: &mut Overlay<'_>, context: &Context, record: &EntityRecord) -> Result<(), Stop> {
    check_record(record)?;
    members::certify(overlay, context, record)?;
    let id = record.record.entity_id;
    if overlay.get_raw(&StateKey::entity(&id))?.is_some() {
        return Err(invariant(format!("{id} is an entity already")));
    }
    is_certified(overlay, &record.record)?;
    put(overlay, Entity { status: EntityStatus::Admitted, suspended_until: None, ..record.record.clone() });
    Ok(())
}

/// Replaces a record, which is as it was when this was proposed, but for the compliance profile: others write that (1.1). A suspension
/// ends or stands as the new record says; a revoked entity stays revoked.
///
/// A certificate is judged when it comes to the record: one that has expired since keeps no key from being revoked.
fn update(overlay: &mut Overlay<'_>, context: &Context, record: &EntityRecord) -> Result<(), Stop> {
    check_record(record)?;
    let before = find(overlay, &record.record.entity_id)?;
    if before.status == EntityStatus::Revoked {
        return Err(invariant(format!("{} is revoked", before.entity_id)));
    }
    if record.record.status == EntityStatus::Revoked {
        return Err(invariant("an entity is revoked by EntityRevoke"));
    }
    if before.cert_hash != record.record.cert_hash {
        members::certify(overlay, context, record)?;
        overlay.delete(StateKey::cert(&before.cert_hash));
    }
    is_certified(overlay, &record.record)?;
    put(overlay, Entity { compliance: before.compliance, ..record.record.clone() });
    Ok(())
}

fn suspend(
    overlay: &mut Overlay<'_>,
    context: &Context,
    expedited: bool,
    suspend: &EntitySuspend,
) -> Result<(), Stop> {
    let entity = find(overlay, &suspend.entity)?;
    if entity.status == EntityStatus::Revoked {
        return Err(invariant(format!("{} is revoked", suspend.entity)));
    }
    let lapses = context.time_ms.saturating_add(EXPEDITED_DAYS * DAY_MS);
    let until = match suspend.until {
        until if !expedited => until,
        Some(until) => Some(until.min(lapses)),
        None => Some(lapses),
    };
    put(overlay, Entity { status: EntityStatus::Suspended, suspended_until: until, ..entity });
    Ok(())
}

fn change_validator(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    change: &ValidatorChange,
) -> Result<(), Stop> {
    let key = StateKey::validator(&change.key);
    if change.power == 0 {
        if overlay.get_raw(&key)?.is_none() {
            return Err(invariant(format!("{} is no validator", change.key)));
        }
        overlay.delete(key);
        if overlay.prefix(Substore::Gov, "validator/", 1)?.is_empty() {
            return Err(invariant("the last validator can't be removed"));
        }
    } else {
        let entity = find(overlay, &change.entity)?;
        let consensus_key = PublicKey::ed25519(change.key.0);
        if entity.status != EntityStatus::Admitted || !entity.roles.has(Role::Notary) {
            return Err(invariant(format!("{} is no admitted NOTARY", change.entity)));
        }
        if !entity.signs_with(&consensus_key, Purpose::ValidatorConsensus, context.time_ms) {
            return Err(invariant("the key is not a live consensus key of the entity"));
        }
        overlay.put(key, &GenesisValidator { entity: change.entity, key: change.key, power: change.power });
    }
    effects.validators.push(ValidatorUpdate { public_key: change.key.0, power: change.power.into() });
    Ok(())
}

fn register(overlay: &mut Overlay<'_>, version: &ContractVersion) -> Result<(), Stop> {
    let key = StateKey::contract(&version.contract_id, version.version);
    if overlay.get_raw(&key)?.is_some() {
        return Err(invariant(format!("{} version {} exists", version.contract_id, version.version)));
    }
    put_contract(overlay, version, ContractStatus::Inactive)
}

fn set_status(
    overlay: &mut Overlay<'_>,
    version: &ContractVersion,
    status: ContractStatus,
) -> Result<(), Stop> {
    let key = StateKey::contract(&version.contract_id, version.version);
    let record: Option<ContractRecord> = overlay.get(&key)?;
    let unknown =
        || Refusal::new(Code::ContractUnknown, format!("{} is not registered", version.contract_id));
    if record.ok_or_else(unknown)?.code_hash != version.code_hash {
        return Err(invariant("the code hash is another one"));
    }
    put_contract(overlay, version, status)
}

/// Writes a contract's record, and the set that headers name by hash.
pub fn put_contract(
    overlay: &mut Overlay<'_>,
    version: &ContractVersion,
    status: ContractStatus,
) -> Result<(), Stop> {
    let record = ContractRecord {
        contract_id: version.contract_id.clone(),
        version: version.version,
        code_hash: version.code_hash,
        status,
    };
    overlay.put(StateKey::contract(&record.contract_id, record.version), &record);
    let set: Option<ContractSet> = overlay.get(&StateKey::contract_set())?;
    let mut contracts = set.map_or_else(Vec::new, |set| set.contracts.into_vec());
    contracts.retain(|other| (&other.contract_id, other.version) != (&record.contract_id, record.version));
    contracts.push(record);
    contracts.sort_by(|a, b| (&a.contract_id, a.version).cmp(&(&b.contract_id, b.version)));
    let contracts = List::new(contracts).map_err(invariant)?;
    overlay.put(StateKey::contract_set(), &ContractSet { contracts });
    Ok(())
}

fn change_attesters(overlay: &mut Overlay<'_>, change: &AttestersChange) -> Result<(), Stop> {
    let key = StateKey::attester_policy(change.id);
    let Some(policy) = &change.policy else {
        if overlay.get_raw(&key)?.is_none() {
            return Err(invariant(format!("there is no attester policy {}", change.id)));
        }
        overlay.delete(key);
        return Ok(());
    };
    policy.check().map_err(invariant)?;
    for id in policy.entities.iter() {
        if !find(overlay, id)?.roles.has(Role::Attester) {
            return Err(invariant(format!("{id} is no ATTESTER")));
        }
    }
    overlay.put(key, policy);
    Ok(())
}

fn plan_upgrade(overlay: &mut Overlay<'_>, context: &Context, plan: &SoftwareUpgrade) -> Result<(), Stop> {
    if plan.height <= context.height {
        return Err(invariant(format!("height {} has passed", plan.height)));
    }
    if plan.name.is_empty() {
        return Err(invariant("an upgrade has a name"));
    }
    if overlay.get_raw(&StateKey::upgraded(&plan.name))?.is_some() {
        return Err(invariant(format!("the upgrade {:?} has happened", plan.name.as_str())));
    }
    // One plan at a time: a later decision takes the place of an earlier one.
    overlay.put(StateKey::upgrade_plan(), plan);
    Ok(())
}

fn change_committers(overlay: &mut Overlay<'_>, committers: &[EntityId]) -> Result<(), Stop> {
    for id in committers {
        find(overlay, id)?;
    }
    for (key, bytes) in overlay.prefix(Substore::Entities, "", usize::MAX)? {
        if key.path.len() != 40 {
            continue;
        }
        let entity: Entity = decode(&key, &bytes)?;
        let is_one = committers.contains(&entity.entity_id);
        if is_one != entity.roles.has(Role::Committer) {
            let roles = if is_one {
                entity.roles.with(Role::Committer)
            } else {
                entity.roles.without(Role::Committer)
            };
            put(overlay, Entity { roles, ..entity });
        }
    }
    Ok(())
}
