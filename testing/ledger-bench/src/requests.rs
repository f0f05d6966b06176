//! Notarisations, signed ahead.

use std::sync::Arc;
use std::thread;

use stateset_fixtures::ledger::{fresh_notarisation, genesis_of};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::genesis::Genesis;
use stateset_ledger_types::{Params, ids::TxId};

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
    let mut genesis = genesis_of(ENTITIES, validators, time_ms);
    (genesis.balances, genesis.supply) = (List::default(), List::default());
    genesis
}
