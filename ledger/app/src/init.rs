//! From genesis to the first state (section 6.6).

use std::collections::{BTreeMap, BTreeSet};

use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::codec::Text;
use stateset_ledger_types::entity::{EntityStatus, Role};
use stateset_ledger_types::genesis::{ChainRecord, Genesis, GenesisAttesters};
use stateset_ledger_types::governance::{ContractSet, ContractStatus};
use stateset_ledger_types::ids::{Denom, EntityId, Units};
use stateset_ledger_types::keys::{PublicKey, Purpose};
use stateset_ledger_types::x509::Root;
use stateset_ledger_types::{StateKey, Substore};

use crate::application::{Initial, ValidatorUpdate};
use crate::governance::{bounds, put_contract};
use crate::overlay::Overlay;
use crate::state::MemoryState;
use crate::upgrade::FIRST_VERSION;

/// Makes the first state of `genesis`.
///
/// # Errors
/// A sentence that names what is wrong.
pub fn init(genesis: &Genesis) -> Result<Initial, String> {
    if genesis.initial_height == 0 {
        return Err("genesis: initial_height is at least 1".to_owned());
    }
    let empty = MemoryState::default();
    let mut overlay = Overlay::new(&empty);
    for substore in Substore::ALL {
        // The name itself, not its encoding: any reader of the tree can tell it.
        overlay.put_raw(StateKey::first(*substore), substore.name().as_bytes().to_vec());
    }
    let chain = ChainRecord {
        chain_id: genesis.chain_id.clone(),
        initial_height: genesis.initial_height,
        app_version: FIRST_VERSION,
        upgrade: Text::default(),
    };
    overlay.put(StateKey::chain(), &chain);
    overlay.put(StateKey::params(), &genesis.params);
    // Holds from the first block on.
    overlay.put(StateKey::params_hash(genesis.initial_height - 1), &genesis.params.hash());
    overlay.put(StateKey::next_proposal(), &1u64);
    for (number, root) in (0..).zip(genesis.roots.iter()) {
        Root::parse(root).map_err(|error| format!("genesis: root {number}: {error}"))?;
        overlay.put(StateKey::root(number), root);
    }
    entities(genesis, &mut overlay)?;
    let validators = validators(genesis, &mut overlay)?;
    attesters(genesis, &mut overlay)?;
    money(genesis, &mut overlay)?;
    overlay.put(StateKey::contract_set(), &ContractSet { contracts: Default::default() });
    for contract in genesis.contracts.iter() {
        put_contract(&mut overlay, contract, ContractStatus::Active)
            .map_err(|stop| format!("genesis: {stop}"))?;
    }
    Ok(Initial {
        chain_id: genesis.chain_id.to_string(),
        genesis_time_ms: genesis.genesis_time,
        initial_height: genesis.initial_height,
        genesis_hash: genesis.hash().0,
        writes: overlay.into_writes().map_err(|fault| fault.to_string())?,
        validators,
        bounds: bounds(&genesis.params),
    })
}

fn entities(genesis: &Genesis, overlay: &mut Overlay<'_>) -> Result<(), String> {
    let mut certificates = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut keys: BTreeMap<&[u8], EntityId> = BTreeMap::new();
    for entity in genesis.entities.iter() {
        let id = entity.entity_id;
        for record in entity.keys.iter() {
            if let Some(other) = keys.insert(record.key.as_bytes(), id).filter(|other| *other != id) {
                return Err(format!("genesis: entity {id} has key {} of {other}", record.key.id()));
            }
        }
        entity.check().map_err(|error| format!("genesis: entity {id}: {error}"))?;
        if !ids.insert(id) {
            return Err(format!("genesis: entity {id} stands twice"));
        }
        if !certificates.insert(entity.cert_hash) {
            return Err(format!("genesis: entity {id} has the certificate of another one"));
        }
        overlay.put(StateKey::entity(&id), entity);
        overlay.put(StateKey::cert(&entity.cert_hash), &id);
    }
    Ok(())
}

fn attesters(genesis: &Genesis, overlay: &mut Overlay<'_>) -> Result<(), String> {
    let mut ids = BTreeSet::new();
    for GenesisAttesters { id, policy } in genesis.attester_policies.iter() {
        policy.check().map_err(|error| format!("genesis: attester policy {id}: {error}"))?;
        if !ids.insert(*id) {
            return Err(format!("genesis: attester policy {id} stands twice"));
        }
        for attester in policy.entities.iter() {
            let entity = genesis.entities.iter().find(|entity| entity.entity_id == *attester);
            if !entity.is_some_and(|entity| entity.roles.has(Role::Attester)) {
                return Err(format!(
                    "genesis: attester policy {id}: {attester} is no ATTESTER of the genesis"
                ));
            }
        }
        overlay.put(StateKey::attester_policy(*id), policy);
    }
    Ok(())
}

fn validators(genesis: &Genesis, overlay: &mut Overlay<'_>) -> Result<Vec<ValidatorUpdate>, String> {
    let mut updates = BTreeMap::new();
    for validator in genesis.validators.iter() {
        let id = validator.entity;
        let said = |what: &str| format!("genesis: validator of {id}: {what}");
        let entity = genesis.entities.iter().find(|entity| entity.entity_id == id);
        let entity = entity.ok_or_else(|| said("the entity is not in the genesis"))?;
        if entity.status != EntityStatus::Admitted || !entity.roles.has(Role::Notary) {
            return Err(said("the entity is not an admitted NOTARY"));
        }
        let key = PublicKey::ed25519(validator.key.0);
        if !entity.signs_with(&key, Purpose::ValidatorConsensus, genesis.genesis_time) {
            return Err(said("the key is not a live consensus key of the entity"));
        }
        if validator.power == 0 {
            return Err(said("the power is zero"));
        }
        if updates.insert(validator.key, validator.power).is_some() {
            return Err(said("the key stands twice"));
        }
        overlay.put(StateKey::validator(&validator.key), validator);
    }
    if updates.is_empty() {
        return Err("genesis: there is no validator".to_owned());
    }
    let update =
        |(key, power): (ves::Digest, u32)| ValidatorUpdate { public_key: key.0, power: power.into() };
    Ok(updates.into_iter().map(update).collect())
}

/// Every balance is of a known denomination and account; sums are the declared supply.
fn money(genesis: &Genesis, overlay: &mut Overlay<'_>) -> Result<(), String> {
    let mut sums: BTreeMap<&Denom, u128> = BTreeMap::new();
    for record in genesis.denoms.iter() {
        if sums.insert(&record.denom, 0).is_some() {
            return Err(format!("genesis: denomination {} stands twice", record.denom));
        }
        if record.exponent > DenomRecord::EXPONENT_MAX {
            let (denom, max) = (&record.denom, DenomRecord::EXPONENT_MAX);
            return Err(format!("genesis: denomination {denom} has at most {max} decimal places"));
        }
        overlay.put(StateKey::denom(&record.denom), record);
    }
    let mut seen = BTreeSet::new();
    for balance in genesis.balances.iter() {
        let (account, amount) = (&balance.account, &balance.amount);
        let said = |what: &str| format!("genesis: balance of {account} in {}: {what}", amount.denom);
        if !genesis.entities.iter().any(|entity| entity.entity_id.account() == *account) {
            return Err(said("the account is no entity's"));
        }
        if amount.units.0 == 0 || !seen.insert((*account, &amount.denom)) {
            return Err(said("the balance is zero or stands twice"));
        }
        let sum = sums.get_mut(&amount.denom).ok_or_else(|| said("the denomination is not declared"))?;
        *sum = sum.checked_add(amount.units.0).ok_or_else(|| said("the sum is too much"))?;
        overlay.put(StateKey::balance(account, &amount.denom), &amount.units);
    }
    let declared: BTreeMap<&Denom, u128> =
        genesis.supply.iter().map(|amount| (&amount.denom, amount.units.0)).collect();
    for (denom, sum) in sums {
        let supply = declared.get(denom).copied().unwrap_or(0);
        if supply != sum {
            return Err(format!("genesis: supply of {denom} is {supply}, its balances are {sum}"));
        }
        overlay.put(StateKey::supply(denom), &Units(sum));
    }
    if let Some(unknown) = declared.keys().find(|denom| !genesis.denoms.iter().any(|d| d.denom == ***denom)) {
        return Err(format!("genesis: supply of {unknown}, which is not declared"));
    }
    if let Some(collector) = &genesis.fee_collector {
        overlay.put(StateKey::collector(), collector);
    }
    Ok(())
}
