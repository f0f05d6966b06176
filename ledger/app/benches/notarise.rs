//! What the state machine adds to a notarisation: `cargo bench -p stateset-ledger-app`.
//!
//! 16 entities submit private transactions of one input, one output's worth of hidden groups and one capsule; a block holds
//! 3,200 of them. The state is in memory, so nothing here is the store's.
#![allow(clippy::print_stdout)]

#[path = "../tests/it/world.rs"]
#[allow(dead_code, reason = "a bench needs a part of the world of the tests")]
mod world;

use std::time::{Duration, Instant};

use stateset_ledger_app::Ledger;
use stateset_ledger_app::application::{Application, Block};
use stateset_ledger_types::Params;
use stateset_ledger_types::codec::List;
use stateset_ledger_types::stateless::{Rules, check};
use world::{World, chain, entity, fresh_notarisation, genesis};

const ENTITIES: u8 = 16;
const PER_ENTITY: u32 = 200;

fn main() {
    let mut genesis = genesis();
    genesis.entities = List::new((1..=ENTITIES).map(entity).collect::<Vec<_>>()).expect("16");
    genesis.balances = List::default();
    genesis.supply = List::default();
    let world = World::of(&genesis);
    let txs: Vec<Vec<u8>> = (0..PER_ENTITY)
        .flat_map(|n| (1..=ENTITIES).map(move |by| (by, n)))
        .map(|(by, n)| fresh_notarisation(&genesis.params, by, n).1)
        .collect();
    let rules = Rules::new(chain(), &Params::default());
    let (count, bytes) = (txs.len(), txs[0].len());

    let plain = timed(|| txs.iter().for_each(|tx| assert!(check(tx, &rules).is_ok())));
    let ledger = Ledger::new();
    let rules = Rules::new(chain(), &genesis.params);
    let hot = timed(|| txs.iter().for_each(|tx| assert!(ledger.check(tx, &rules).is_ok())));
    let block = Block {
        height: 1,
        time_ms: world.time_ms + 1,
        transactions: txs.iter().map(Vec::as_slice).collect(),
    };
    let mut outcome = None;
    let executed = timed(|| outcome = Some(ledger.finalize_block(&world.state, &block).expect("no fault")));
    let outcome = outcome.expect("executed");
    assert!(outcome.results.iter().all(|result| result.code == 0));

    println!("{count} notarisations of {bytes} bytes, {} writes, on one core", outcome.writes.len());
    for (what, took) in [
        ("stateless check, plain", plain),
        ("stateless check, hot keys", hot),
        ("execution, checked before", executed),
    ] {
        let each = took / count as u32;
        println!("{what:26} {each:>10.1?} each  {:>8.0} a second", 1.0 / each.as_secs_f64());
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
