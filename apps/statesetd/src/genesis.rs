//! The genesis of a new chain whose members are its validators.

use std::time::SystemTime;

use stateset_ledger_types::Genesis;
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::codec::{List, Set, Text};
use stateset_ledger_types::entity::{Compliance, Entity, EntityStatus, Quota, Role, Roles};
use stateset_ledger_types::genesis::GenesisValidator;
use stateset_ledger_types::ids::{AccountId, ChainId, Denom, EntityId};
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose};
use ves::Digest;
use ves::hash::Hasher;

use crate::args::{BeginArgs, Engine};
use crate::output::Failure;

/// Weight of each validator.
const POWER: u32 = 10;

/// A founder that decides alone need not wait for votes. Enough blocks for its own to come in.
const ALONE: [(&str, u64); 3] = [("voting_blocks", 10), ("activation_delay_blocks", 1), ("min_sponsors", 1)];

/// Gives a new chain its parameters, who gets fees, and money that its first member may mint and of which there is nothing yet.
///
/// # Errors
/// PARAM, FEE_COLLECTOR and DENOM, for what the ledger does not take.
pub fn begun(genesis: &mut Genesis, engine: Engine, args: &BeginArgs) -> Result<(), Failure> {
    let alone = ALONE.iter().filter(|_| engine == Engine::Solo).map(|(name, value)| (*name, *value));
    let given = args.params.iter().map(|(name, value)| (name.as_str(), *value));
    for (name, value) in alone.chain(given) {
        let wrong = |problem| Failure::input("PARAM", format!("--param {name}={value}: {problem}"));
        genesis.params.set(name, value).map_err(wrong)?;
    }
    let wrong = |name: &str, problem: &dyn ToString| {
        Failure::input("DENOM", format!("--denom {name}: {}", problem.to_string()))
    };
    let records = args.denoms.iter().map(|(name, exponent)| {
        Denom::new(name)
            .map(|denom| DenomRecord { denom, exponent: *exponent })
            .map_err(|problem| wrong(name, &problem))
    });
    let records = records.collect::<Result<Vec<_>, Failure>>()?;
    let mut entities = genesis.entities.to_vec();
    if let Some(founder) = entities.first_mut() {
        let all = records.iter().map(|record| record.denom.clone());
        founder.issuer_of = Set::new(all).map_err(|problem| wrong("", &problem))?;
    }
    genesis.fee_collector = Some(collector(&entities, args.fee_collector.as_deref())?);
    let too_many = |_| Failure::input("DENOM", "--denom: there are too many");
    genesis.entities = List::new(entities).map_err(too_many)?;
    genesis.denoms = List::new(records).map_err(too_many)?;
    Ok(())
}

/// The founder who gets the fees: without one none is ever taken, whatever rates members decide on (10.2).
fn collector(founders: &[Entity], name: Option<&str>) -> Result<AccountId, Failure> {
    let is_it = |founder: &&Entity| name.is_none_or(|name| founder.name.as_str() == name);
    let names = || founders.iter().map(|founder| founder.name.as_str()).collect::<Vec<_>>().join(", ");
    let unknown = || {
        let said =
            format!("--fee-collector {}: no such founder; there is {}", name.unwrap_or_default(), names());
        Failure::input("FEE_COLLECTOR", said)
    };
    founders.iter().find(is_it).map(|founder| founder.entity_id.account()).ok_or_else(unknown)
}

/// A company that is a member and a notary from the start.
pub struct Founder {
    pub name: String,
    /// Signs blocks.
    pub validator: [u8; 32],
    /// Signs the company's requests.
    pub ledger: [u8; 32],
}

/// Unix milliseconds.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A genesis of `founders` at `time_ms`, with default parameters and without money.
pub fn founded(chain_id: &str, time_ms: u64, founders: &[Founder]) -> Result<Genesis, Failure> {
    let refused = |problem: &dyn ToString| Failure::input("GENESIS", problem.to_string());
    let chain_id =
        ChainId::new(chain_id).map_err(|problem| refused(&format!("--chain-id {chain_id}: {problem}")))?;
    let mut entities = Vec::new();
    let mut validators = Vec::new();
    for founder in founders {
        let entity = entity(chain_id.as_str(), founder).map_err(|problem| refused(&problem))?;
        validators.push(GenesisValidator {
            entity: entity.entity_id,
            key: Digest(founder.validator),
            power: POWER,
        });
        entities.push(entity);
    }
    let too_many = |_| refused(&"there are too many members");
    Ok(Genesis {
        chain_id,
        genesis_time: time_ms,
        initial_height: 1,
        roots: List::default(),
        entities: List::new(entities).map_err(too_many)?,
        validators: List::new(validators).map_err(too_many)?,
        params: Default::default(),
        attester_policies: List::default(),
        denoms: List::default(),
        supply: List::default(),
        balances: List::default(),
        fee_collector: None,
        contracts: List::new(stateset_contracts::registry::versions()).expect("few are compiled in"),
    })
}

fn entity(network: &str, founder: &Founder) -> Result<Entity, String> {
    // Until the chain has a root; then id and hash are those of a certificate (`certificates`).
    let subject = format!("CN={}", founder.name);
    let cert_hash = Hasher::bare().bytes(subject.as_bytes()).bytes(&founder.ledger).finish();
    let keys = [
        KeyRecord::new(Purpose::LedgerSigning, PublicKey::ed25519(founder.ledger)),
        KeyRecord::new(Purpose::ValidatorConsensus, PublicKey::ed25519(founder.validator)),
    ];
    let text = |problem: &dyn ToString| format!("name {}: {}", founder.name, problem.to_string());
    Ok(Entity {
        entity_id: EntityId::derive(network, &subject),
        name: Text::new(founder.name.as_str()).map_err(|problem| text(&problem))?,
        jurisdiction: Text::new("ZZ").map_err(|problem| text(&problem))?,
        registration_no: Text::new(founder.name.as_str()).map_err(|problem| text(&problem))?,
        lei: None,
        cert_hash,
        keys: List::new(keys).map_err(|_| "two keys fit".to_owned())?,
        roles: Roles::of(&[Role::Member, Role::Notary]),
        issuer_of: Set::default(),
        status: EntityStatus::Admitted,
        suspended_until: None,
        voting_power: 1,
        quota: Quota::default(),
        compliance: Compliance { kyc_level: 0, risk: 0, sanctioned: false, expires_at: u64::MAX },
    })
}
