//! A node loses everything but its keys (C13).

use std::sync::Arc;

use stateset_contracts::InvoiceCommand;
use stateset_ledger_types::Code;
use stateset_ledger_types::envelope::BlobReceipt;
use stateset_node::ports::CapsuleStore;
use stateset_node::probe::Always;

use crate::invoices::live;
use crate::world::{BUYER, FACTOR, SELLER, World};

/// Removes a company's file and recovers into a new one.
fn lose_and_recover(world: &mut World, n: u8) -> stateset_node::Recovery {
    let before = (world.digest(n), world.node(n).vault().unspent_keys().unwrap().len());
    let lost = world.companies[&n].vault.clone();
    world.open(n, &format!("new-{n}.db"), Arc::new(Always));
    std::fs::remove_file(lost).unwrap();
    assert_ne!(world.digest(n), before.0, "the new vault is empty");
    let found = world.node(n).recover().unwrap();
    assert_eq!(world.digest(n), before.0, "company {n}: {found:?}");
    assert_eq!(found.unspent, before.1);
    assert!(found.refused.is_empty(), "{:?}", found.refused);
    found
}

#[test]
fn a_destroyed_vault_is_recovered_to_the_same_digest() {
    let mut world = World::new();
    live(&world);
    for number in ["2026-2", "2026-3"] {
        world.issue(number);
    }
    world.accept();
    for (n, transactions) in [(SELLER, 7), (BUYER, 7), (FACTOR, 2)] {
        let found = lose_and_recover(&mut world, n);
        assert_eq!(found.recorded.len(), transactions, "company {n}");
    }
    // The recovered nodes go on with what they have.
    let (place, _) = world.invoice(BUYER);
    let before = world.invoices(BUYER).len();
    world.run(SELLER, Some(place), InvoiceCommand::Void(()), &[]);
    assert_eq!(world.invoices(BUYER).len(), before);
    assert_eq!(world.status(BUYER), "VOID");
}

#[test]
fn recovery_again_finds_nothing_new_and_goes_on_where_it_ended() {
    let mut world = World::new();
    world.issue("2026-1");
    lose_and_recover(&mut world, SELLER);
    let again = world.node(SELLER).recover().unwrap();
    assert_eq!((again.recorded.len(), again.capsules), (0, 0));
    world.accept();
    let after = world.node(SELLER).recover().unwrap();
    assert_eq!(after.recorded.len(), 0, "the flow had told it");
    assert!(after.capsules > 0, "but the new blocks were searched");
}

/// A state that was consumed while the node was away, in a transaction that it is never told of, is not unspent.
#[test]
fn absence_is_proven_for_every_unspent_state() {
    let mut world = World::new();
    world.issue("2026-1");
    world.copy(BUYER, "old.db");
    world.accept();
    let digest = world.digest(BUYER);
    world.open(BUYER, "old.db", Arc::new(Always));
    assert_eq!(world.status(BUYER), "ISSUED", "an old backup");
    let found = world.node(BUYER).recover().unwrap();
    assert_eq!(found.recorded.len(), 1);
    assert_eq!((world.digest(BUYER), world.status(BUYER)), (digest, "ACCEPTED".to_owned()));
}

/// 8.5, step 5: without any capsule the counterparties have the bodies.
#[test]
fn counterparties_give_back_what_both_take_part_in() {
    let mut world = World::new();
    live(&world);
    for n in 2..70 {
        world.issue(&format!("2026-{n}"));
    }
    let before = world.digest(SELLER);
    world.open(SELLER, "new.db", Arc::new(Always));
    let of_factor = world.node(SELLER).recover_from(&crate::world::id(FACTOR)).unwrap();
    assert_eq!(
        of_factor.recorded.len(),
        2,
        "the factor was in two, and served the two behind them: {of_factor:?}"
    );
    let of_buyer = world.node(SELLER).recover_from(&crate::world::id(BUYER)).unwrap();
    assert_eq!((of_buyer.recorded.len(), of_buyer.refused.len()), (68, 0), "over two pages");
    assert_eq!(world.digest(SELLER), before);
    let again = world.node(SELLER).recover_from(&crate::world::id(BUYER)).unwrap();
    assert_eq!(again.recorded, []);
    let stranger = world.node(SELLER).recover_from(&crate::world::id(crate::world::OTHER)).unwrap();
    assert_eq!(stranger.recorded, []);
}

#[test]
fn a_capsule_that_is_nowhere_is_named() {
    struct Empty;
    impl CapsuleStore for Empty {
        fn put(&self, _: &[u8]) -> Result<Vec<BlobReceipt>, stateset_node::ChainError> {
            Ok(Vec::new())
        }
        fn get(&self, _: &ves::Digest) -> Result<Option<Vec<u8>>, stateset_node::ChainError> {
            Ok(None)
        }
        fn lay_beside(
            &self,
            _: &stateset_ledger_types::ids::TxId,
            _: &[u8],
        ) -> Result<(), stateset_node::ChainError> {
            Ok(())
        }
        fn beside(
            &self,
            _: &stateset_ledger_types::ids::TxId,
        ) -> Result<Vec<Vec<u8>>, stateset_node::ChainError> {
            Ok(Vec::new())
        }
    }
    let mut world = World::new();
    let started = world.issue("2026-1");
    world.capsules = Arc::new(Empty);
    world.open(SELLER, "new.db", Arc::new(Always));
    let found = world.node(SELLER).recover().unwrap();
    assert_eq!(found.recorded, []);
    let refused = found.refused.iter().find(|(tx_id, _)| *tx_id == started.tx_id).expect("it is named");
    assert!(refused.1.starts_with(&Code::CapsuleMissing.name()), "{}", refused.1);
}
