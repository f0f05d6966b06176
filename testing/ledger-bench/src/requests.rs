//! Notarisations, signed ahead.

use std::sync::Arc;
use std::thread;

use stateset_fixtures::ledger::{entity, fresh_notarisation};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::entity::{Role, Roles};
use stateset_ledger_types::genesis::{Genesis, GenesisValidator};
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose};
use stateset_ledger_types::{Params, ids::TxId};
use ves::Digest;

/// Submitting members; each keeps to the quota of its entity.
pub const ENTITIES: u8 = 16;

/// A request and what it notarises.
#[derive(Debug, Clone)]
pub struct Signed {
    pub tx_id: TxId,
    pub bytes: Arc<[u8]>,
}

/// `count` notarisations by each of `entities`, from number `first` of each on, in the order in which they are to be sent.
pub fn signed(params: &Params, entities: &[u8], first: u32, count: u32) -> Vec<Signed> {
    let order = (first..first + count).flat_map(|n| entities.iter().map(move |by| (*by, n)));
    let make = |(by, n)| {
        let (tx_id, bytes) = fresh_notarisation(params, by, n);
        Signed { tx_id, bytes: bytes.into() }
    };
    order.map(make).collect()
}

/// The same for several lots of entities, each on a thread of its own.
pub fn signed_lots(params: &Params, lots: &[Vec<u8>], first: u32, count: u32) -> Vec<Vec<Signed>> {
    thread::scope(|scope| {
        let started: Vec<_> =
            lots.iter().map(|lot| scope.spawn(move || signed(params, lot, first, count))).collect();
        started.into_iter().map(|lot| lot.join().expect("signing does not panic")).collect()
    })
}

/// Members 1 to [`ENTITIES`], dealt out to `lots` senders.
pub fn lots(lots: u8) -> Vec<Vec<u8>> {
    (0..lots).map(|lot| (1..=ENTITIES).filter(|by| by % lots == lot).collect()).collect()
}

/// A chain of these members, whose first ones validate with `validators`; without balances.
pub fn genesis(validators: &[[u8; 32]], time_ms: u64) -> Genesis {
    let mut genesis = stateset_fixtures::ledger::genesis();
    let mut entities: Vec<_> = (1..=ENTITIES).map(entity).collect();
    let mut listed = Vec::new();
    for (entity, key) in entities.iter_mut().zip(validators) {
        entity.roles = Roles::of(&[Role::Member, Role::Notary]);
        let consensus = KeyRecord::new(Purpose::ValidatorConsensus, PublicKey::ed25519(*key));
        let others = entity.keys.iter().filter(|key| key.purpose != Purpose::ValidatorConsensus).cloned();
        entity.keys = List::new(others.chain([consensus]).collect::<Vec<_>>()).expect("few keys");
        listed.push(GenesisValidator { entity: entity.entity_id, key: Digest(*key), power: 10 });
    }
    genesis.entities = List::new(entities).expect("few");
    genesis.validators = List::new(listed).expect("few");
    genesis.genesis_time = time_ms;
    (genesis.balances, genesis.supply) = (List::default(), List::default());
    // Its attester is a validator here, and nothing is attested.
    genesis.attester_policies = List::default();
    genesis
}
