//! Members of the network as the transport of nodes sees them: read from the ledger with proofs, answered from memory.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use stateset_abci::comet::Rpc;
use stateset_ledger_types::StateKey;
use stateset_ledger_types::codec::{Blob, Decode};
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::governance::ContractSet;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::x509::Root;
use stateset_node::ChainError;
use stateset_node::ports::Chain;
use stateset_peer::{Head, Members};
use ves::Digest;

use crate::genesis::now;
use crate::lists::entities;

/// Numbers under which roots are looked for: a network has at most sixteen, and may leave some out.
const ROOT_NUMBERS: u32 = 32;
/// Every so many looks each record is proven again, whatever the node's list says of it.
const PROVE_ALL_EVERY: u64 = 60;

#[derive(Default)]
struct Known {
    roots: Vec<Root>,
    entities: BTreeMap<EntityId, Entity>,
    height: u64,
    /// Hashes of the contract set, by the height at which this process first saw them.
    contracts: BTreeMap<u64, Digest>,
    looks: u64,
}

/// [`Members`] of one ledger, for every node of this process.
#[derive(Default)]
pub struct ProvenMembers(RwLock<Known>);

fn unreadable(what: &str, problem: impl std::fmt::Display) -> ChainError {
    ChainError::NotProven(format!("{what}: {problem}"))
}

fn proven<T: Decode>(chain: &dyn Chain, key: &StateKey, height: u64) -> Result<Option<T>, ChainError> {
    let value = chain.prove(key, height)?.value;
    value
        .map(|value| T::from_sce(&value).map_err(|problem| unreadable(&key.to_string(), problem)))
        .transpose()
}

impl ProvenMembers {
    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the newest state. A node's list says who may be new or changed, its proofs say what is so. Returns
    /// whether a connection may have to be judged anew. Blocks.
    ///
    /// # Errors
    /// [`ChainError`]: what was known stays.
    pub fn refresh(&self, chain: &dyn Chain, rpc: &Rpc) -> Result<bool, ChainError> {
        let tip = chain.tip()?;
        let (before, looks) = {
            let known = self.known();
            if known.height == tip.height && known.looks > 0 {
                return Ok(false);
            }
            (known.entities.clone(), known.looks)
        };
        let contracts: Option<ContractSet> = proven(chain, &StateKey::contract_set(), tip.height)?;
        let contracts = contracts.ok_or_else(|| unreadable("contracts", "there are none"))?.hash();
        let listed = entities(rpc).map_err(|failure| ChainError::Unreachable(failure.message))?;
        let listed: BTreeMap<EntityId, Entity> = listed.into_iter().map(|one| (one.entity_id, one)).collect();
        let all = looks % PROVE_ALL_EVERY == 0;
        let mut entities = BTreeMap::new();
        // Whom the list leaves out is proven as well: a node does not end a membership by its word.
        for id in listed.keys().chain(before.keys()) {
            let same = before.get(id).filter(|known| !all && listed.get(id) == Some(*known));
            let record = match same {
                Some(known) => Some(known.clone()),
                None => proven(chain, &StateKey::entity(id), tip.height)?,
            };
            entities.extend(record.map(|record| (*id, record)));
        }
        let roots = if all { roots(chain, tip.height)? } else { self.known().roots.clone() };
        let changed = entities != before;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.contracts.last_key_value().is_none_or(|(_, last)| *last != contracts) {
            known.contracts.insert(tip.height, contracts);
        }
        (known.entities, known.roots, known.height) = (entities, roots, tip.height);
        known.looks += 1;
        Ok(changed || all)
    }
}

fn roots(chain: &dyn Chain, height: u64) -> Result<Vec<Root>, ChainError> {
    let mut roots = Vec::new();
    for number in 0..ROOT_NUMBERS {
        let der: Option<Blob<8192>> = proven(chain, &StateKey::root(number), height)?;
        let Some(der) = der else { continue };
        roots.push(Root::parse(&der).map_err(|problem| unreadable("a root certificate", problem))?);
    }
    Ok(roots)
}

impl Members for ProvenMembers {
    fn roots(&self) -> Vec<Root> {
        self.known().roots.clone()
    }

    fn entity(&self, id: &EntityId) -> Option<Entity> {
        self.known().entities.get(id).cloned()
    }

    /// The clock: an idle ledger makes few blocks.
    fn now_ms(&self) -> u64 {
        now()
    }

    fn head(&self) -> Head {
        let known = self.known();
        let contracts = known.contracts.last_key_value().map_or(Digest::ZERO, |(_, hash)| *hash);
        Head { height: known.height, contract_set_hash: contracts }
    }

    fn contract_set_hash(&self, height: u64) -> Option<Digest> {
        let known = self.known();
        if height > known.height {
            return None;
        }
        known.contracts.range(..=height).next_back().map(|(_, hash)| *hash)
    }
}
