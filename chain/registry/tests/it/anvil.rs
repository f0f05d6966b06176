//! Local chains, many on one machine.

use std::thread;

use set_registry::devnet::{Anvil, AnvilError, AnvilSettings};

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
