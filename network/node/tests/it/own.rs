//! An entity's own proposals: taken back, declined, and each under a number of its own.

use stateset_contracts::InvoiceCommand;
use stateset_ledger_types::Code;
use stateset_node::ports::Decision;

use crate::world::{BUYER, OTHER, SELLER, World, create, id};

#[test]
fn an_issuer_uses_a_number_once() {
    let world = World::new();
    let first = world.issue("2026-1");
    let again = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap_err();
    assert_eq!(again.code(), Code::Conflict, "{again}");
    let said = again.to_string();
    assert!(said.contains(&first.linear_id.unwrap().to_string()) && said.contains("ISSUED"), "{said}");
    // Also when it is over.
    let (place, _) = world.invoice(SELLER);
    world.run(SELLER, Some(place), InvoiceCommand::Void(()), &[]);
    let again = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap_err();
    assert!(again.to_string().contains("VOID"), "{again}");
    // Another issuer's numbers are its own.
    let InvoiceCommand::Create(mut terms) = create("2026-1") else { panic!("it creates") };
    terms.party = id(OTHER);
    world.run(OTHER, None, InvoiceCommand::Create(terms), &[BUYER]);
}

#[test]
fn a_number_is_used_while_it_is_proposed_and_free_when_that_is_declined() {
    let world = World::new();
    world.say(BUYER, Decision::Ask);
    let started = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap();
    world.work().unwrap();
    let again = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap_err();
    assert_eq!(again.code(), Code::Conflict);
    assert!(again.to_string().contains(&started.flow_id.to_string()), "{again}");
    let waiting = world.flows(BUYER).pop().unwrap();
    world.node(BUYER).decide(&waiting.flow_id, Decision::Decline("we ordered nothing".to_owned())).unwrap();
    world.settle().unwrap();
    let declined = world.flow(SELLER, &started);
    assert!(declined.reason.unwrap().contains("we ordered nothing"));
    world.say(BUYER, Decision::Accept);
    world.issue("2026-1");
}

#[test]
fn a_proposal_is_taken_back_until_all_have_signed() {
    let world = World::new();
    world.issue("2026-1");
    let (place, _) = world.invoice(SELLER);
    world.say(BUYER, Decision::Ask);
    let started = world.start(SELLER, Some(place), InvoiceCommand::Void(()), &[]).unwrap();
    world.work().unwrap();
    let asked = world.flows(BUYER).into_iter().find(|flow| flow.tx_id == started.tx_id).unwrap();
    assert_eq!(asked.phase, "deciding");
    let others = world.node(BUYER).withdraw(&asked.flow_id, "not mine").unwrap_err();
    assert_eq!(others.code(), Code::BadTransition, "{others}");
    assert!(world.node(SELLER).vault().lock_of(&place).unwrap().is_some());
    world.node(SELLER).withdraw(&started.flow_id, "the wrong invoice").unwrap();
    world.settle().unwrap();
    assert!(world.node(SELLER).vault().lock_of(&place).unwrap().is_none(), "its state is free again");
    let told = world.flows(BUYER).into_iter().find(|flow| flow.tx_id == started.tx_id).unwrap();
    assert_eq!((told.phase.as_str(), told.code), ("ended", Some(Code::NotAuthorised)));
    assert!(told.reason.unwrap().contains("withdrawn: the wrong invoice"));
    assert_eq!(world.status(BUYER), "ISSUED");
    // What is over is not taken back.
    world.say(BUYER, Decision::Accept);
    let voided = world.run(SELLER, Some(place), InvoiceCommand::Void(()), &[]);
    let late = world.node(SELLER).withdraw(&voided.flow_id, "too late").unwrap_err();
    assert_eq!(late.code(), Code::BadTransition, "{late}");
    assert_eq!(world.status(BUYER), "VOID");
}
