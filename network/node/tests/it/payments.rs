//! A payee is paid once for a version of a state, whatever becomes of the payer's vault (10.3).

use std::sync::Arc;

use stateset_contracts::invoice::Pay;
use stateset_contracts::{Invoice, InvoiceCommand};
use stateset_ledger_types::ids::{Amount, LinearId, StateRef, Units};
use stateset_ledger_types::{Code, StateKey};
use stateset_node::Payment;
use stateset_node::probe::Always;

use crate::chain::read;
use crate::world::{BUYER, SELLER, World, id, usd};

fn balance(world: &World, n: u8) -> u128 {
    read::<Units>(&*world.chain, &StateKey::balance(&id(n).account(), &usd())).unwrap_or_default().0
}

/// An accepted invoice of 1000, and its id.
fn accepted(world: &World) -> ((StateRef, Invoice), LinearId) {
    let linear_id = world.issue("2026-1").linear_id.unwrap();
    world.accept();
    (world.invoice(BUYER), linear_id)
}

fn payment(units: u128, of: &(StateRef, Invoice), linear_id: LinearId) -> Payment {
    let amount = Amount { denom: usd(), units: Units(units) };
    Payment { payee: id(SELLER), amount, linear_id, version: of.1.head.version }
}

#[test]
fn a_restored_older_vault_finds_that_it_has_paid_and_the_step_completes() {
    let mut world = World::new();
    let (invoice, linear_id) = accepted(&world);
    world.copy(BUYER, "old.db");
    let first = world.pay(BUYER, SELLER, 1_000, &invoice, linear_id);
    let paid = balance(&world, BUYER);
    world.open(BUYER, "old.db", Arc::new(Always));
    world.node(BUYER).recover().unwrap();
    let again = world.pay(BUYER, SELLER, 1_000, &invoice, linear_id);
    assert_eq!(balance(&world, BUYER), paid, "nothing is paid twice");
    assert_eq!((again.settlement, again.blind), (first.settlement, first.blind));
    world.run(
        BUYER,
        Some(invoice.0),
        InvoiceCommand::Pay(Pay { amount: Units(1_000), evidence: again }),
        &[],
    );
    assert_eq!((world.status(BUYER), world.status(SELLER)), ("PAID".to_owned(), "PAID".to_owned()));
}

/// The transfer is in no block yet, so that nothing tells the older vault of it: the ledger takes one of the two.
#[test]
fn of_two_transfers_for_one_step_the_ledger_takes_one() {
    let mut world = World::new();
    let (invoice, linear_id) = accepted(&world);
    let (before, chain) = (balance(&world, BUYER), world.test_chain.clone().unwrap());
    world.copy(BUYER, "old.db");
    chain.set_holds(true);
    let payment = payment(1_000, &invoice, linear_id);
    assert_eq!(world.node(BUYER).pay(&payment).unwrap(), None);
    world.open(BUYER, "old.db", Arc::new(Always));
    assert_eq!(world.node(BUYER).pay(&payment).unwrap(), None, "it knows of none, and pays");
    chain.set_holds(false);
    assert_eq!(balance(&world, BUYER), before - 1_000, "one of the two was refused");
    let evidence = world.pay(BUYER, SELLER, 1_000, &invoice, linear_id);
    let pay = InvoiceCommand::Pay(Pay { amount: Units(1_000), evidence });
    world.run(BUYER, Some(invoice.0), pay, &[]);
    assert_eq!(balance(&world, BUYER), before - 1_000);
}

#[test]
fn a_vault_that_is_lost_gives_the_evidence_of_what_was_paid() {
    let mut world = World::new();
    let (invoice, linear_id) = accepted(&world);
    let first = world.pay(BUYER, SELLER, 400, &invoice, linear_id);
    world.open(BUYER, "new.db", Arc::new(Always));
    world.node(BUYER).recover().unwrap();
    let (seller, version) = (id(SELLER), invoice.1.head.version);
    let found = world.node(BUYER).paid(&seller, &linear_id, version).unwrap().expect("it is on the ledger");
    assert_eq!((found.settlement, found.blind), (first.settlement, first.blind));
    assert_eq!(world.node(BUYER).paid(&seller, &linear_id, version + 1).unwrap(), None);
    // Another amount for the same version is another step: the first comes first.
    let other = world.node(BUYER).pay(&payment(500, &invoice, linear_id)).unwrap_err();
    assert_eq!(other.code(), Code::Conflict, "{other}");
    assert!(other.to_string().contains("400"), "{other}");
}

#[test]
fn a_restored_older_vault_takes_no_other_step_of_what_it_has_paid_for() {
    let mut world = World::new();
    let (invoice, linear_id) = accepted(&world);
    world.copy(BUYER, "old.db");
    world.pay(BUYER, SELLER, 1_000, &invoice, linear_id);
    world.open(BUYER, "old.db", Arc::new(Always));
    let refused = world.start(BUYER, Some(invoice.0), InvoiceCommand::Dispute(()), &[]).unwrap_err();
    assert_eq!(refused.code(), Code::Conflict, "{refused}");
    assert!(refused.to_string().contains("is paid for"), "{refused}");
}

/// Who is shown the blind of one payment can't tell which others are this payer's.
#[test]
fn each_version_and_each_payer_has_a_blind_of_its_own() {
    let world = World::new();
    let (invoice, linear_id) = accepted(&world);
    let first = world.pay(BUYER, SELLER, 400, &invoice, linear_id);
    let pay = InvoiceCommand::Pay(Pay { amount: Units(400), evidence: first.clone() });
    world.run(BUYER, Some(invoice.0), pay, &[]);
    let second = world.pay(BUYER, SELLER, 600, &world.invoice(BUYER), linear_id);
    let other = world.pay(SELLER, BUYER, 600, &world.invoice(SELLER), linear_id);
    assert_ne!(first.blind, second.blind);
    assert_ne!(other.blind, second.blind);
}
