//! Local chains, many on one machine.

use std::thread;
use std::time::{Duration, Instant};

use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilError, AnvilSettings, Wallet};
use set_registry::{BlockAt, ChainKey, U256};

use crate::chain::start;

/// Another anvil's answer was once taken for that of the one that could not start.
#[test]
fn a_port_that_another_chain_has_is_named_and_its_chain_not_taken_for_ours() {
    let Some(first) = start() else { return };
    let port = first.anvil.port();
    let settings = AnvilSettings { port: Some(port), chain_id: Some(31_337), ..AnvilSettings::default() };
    for _ in 0..3 {
        let refused = Anvil::start(&settings).err();
        assert!(
            matches!(refused, Some(AnvilError::Ended { port: Some(named) }) if named == port),
            "{refused:?}"
        );
    }
    assert!(first.anvil.node().chain_id().is_ok(), "the first goes on");
}

#[test]
fn chains_that_start_at_once_have_ports_of_their_own() {
    if start().is_none() {
        return;
    }
    let started = (0..6_u64).map(|at| {
        thread::spawn(move || {
            let chain_id = 31_337 + at;
            let settings = AnvilSettings { chain_id: Some(chain_id), ..AnvilSettings::default() };
            let anvil = Anvil::start(&settings).unwrap();
            assert_eq!(anvil.node().chain_id().unwrap(), chain_id);
            anvil
        })
    });
    let started: Vec<_> = started.collect();
    let running: Vec<Anvil> = started.into_iter().map(|thread| thread.join().unwrap()).collect();
    for (at, anvil) in running.iter().enumerate() {
        assert_eq!(anvil.node().chain_id().unwrap(), 31_337 + at as u64);
    }
}

/// An authorization of now was one of the future to a chain whose last transaction was ten minutes old.
#[test]
fn a_chain_on_which_nobody_sends_makes_blocks_all_the_same() {
    if start().is_none() {
        return;
    }
    let idle_block = Some(Duration::from_secs(1));
    let anvil = Anvil::start(&AnvilSettings { idle_block, ..AnvilSettings::default() }).unwrap();
    let newest = || anvil.node().block(BlockAt::Latest).unwrap().unwrap();
    let (first, begun) = (newest(), Instant::now());
    while newest().number < first.number + 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no block came");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(newest().timestamp >= first.timestamp + 2);
    // Sends need not wait for the next of them.
    let key = ChainKey::from_hex(ACCOUNT_KEYS[0]).unwrap();
    let wallet = Wallet::new(anvil.node(), key).unwrap();
    let to = wallet.address();
    wallet.send(Some(to), Vec::new().into(), U256::ZERO).unwrap();
}
