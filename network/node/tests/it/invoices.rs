//! An invoice from issue to payment between companies' nodes.

use stateset_contracts::InvoiceCommand;
use stateset_contracts::invoice::{FactorIt, Pay};
use stateset_ledger_types::Code;
use stateset_ledger_types::ids::{LinearId, Units};
use stateset_node::ports::Decision;
use stateset_node::vault::StateFilter;
use stateset_peer::frame::MessageType;
use stateset_peer::message::{Answer, GetTx, Question};

use crate::world::{BUYER, FACTOR, OTHER, SELLER, World, create, id};

/// Issue, accept, factor, pay: the whole life, in any world.
pub fn live(world: &World) -> LinearId {
    let linear_id = world.issue("2026-1").linear_id.unwrap();
    world.accept();
    let invoice = world.invoice(SELLER);
    let evidence = world.pay(FACTOR, SELLER, 950, &invoice, linear_id);
    let (advance, discount) = (Units(950), Units(50));
    let factor = FactorIt { factor: id(FACTOR), advance, discount, recourse: false, evidence };
    world.run(SELLER, Some(invoice.0), InvoiceCommand::Factor(factor), &[FACTOR]);
    let invoice = world.invoice(BUYER);
    let evidence = world.pay(BUYER, FACTOR, 1_000, &invoice, linear_id);
    let pay = InvoiceCommand::Pay(Pay { amount: Units(1_000), evidence });
    world.run(BUYER, Some(invoice.0), pay, &[]);
    linear_id
}

/// Every company that takes part holds the invoice as paid, and the way there.
pub fn check_life(world: &World, linear_id: &LinearId) {
    for (n, versions) in [(SELLER, 4), (BUYER, 4), (FACTOR, 2)] {
        let history = world.node(n).vault().history(linear_id, None, 500).unwrap().items;
        let found: Vec<_> = history.iter().map(|view| view.status.clone().unwrap()).collect();
        assert_eq!(found.len(), versions, "company {n}: {found:?}");
        assert_eq!(found.last().map(String::as_str), Some("PAID"), "company {n}");
        assert!(history.iter().rev().skip(1).all(|view| view.consumer.is_some()), "company {n}");
        let last = history.last().unwrap();
        assert_eq!((last.consumer, last.version), (None, Some(4)), "company {n}");
    }
    assert!(world.invoices(OTHER).is_empty(), "who has no part knows nothing");
    assert_eq!(world.digest(BUYER), world.digest(BUYER));
    assert_ne!(world.digest(BUYER), world.digest(SELLER), "a vault is of its entity");
}

#[test]
fn an_invoice_is_issued_accepted_factored_and_paid() {
    let world = World::new();
    let linear_id = live(&world);
    check_life(&world, &linear_id);
}

#[test]
fn the_factor_resolves_what_was_before_it_and_may_see_nothing_else() {
    let world = World::new();
    let other = world.issue("2026-0");
    let linear_id = live(&world);
    let history = world.node(SELLER).vault().history(&linear_id, None, 500).unwrap().items;
    let first = history[0].place.tx_id;
    // Two transactions before it took part, resolved and judged.
    let view = world.node(FACTOR).vault().transaction_view(&first).unwrap().expect("resolved");
    assert!(!view.own);
    let asked = |n: u8, tx_id| {
        let ids = stateset_ledger_types::codec::Set::new([tx_id]).unwrap();
        match world.node(SELLER).answer(&id(n), &Question::Transactions(GetTx { ids })) {
            Answer::Transactions(answer) => (answer.transactions.len(), answer.refused.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked(FACTOR, first), (1, 0), "of a descendant's participant");
    assert_eq!(asked(OTHER, first), (0, 1), "of nobody's");
    assert_eq!(asked(FACTOR, other.tx_id), (0, 1), "another invoice of the same seller");
}

#[test]
fn a_buyer_declines_and_nothing_is_locked() {
    let world = World::new();
    world.say(BUYER, Decision::Decline("we ordered nothing".to_owned()));
    let started = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap();
    world.settle().unwrap();
    let flow = world.flow(SELLER, &started);
    assert_eq!((flow.phase.as_str(), flow.code), ("ended", Some(Code::NotAuthorised)));
    assert!(flow.reason.unwrap().contains("we ordered nothing"));
    world.say(BUYER, Decision::Accept);
    world.issue("2026-1");
    assert_eq!(world.status(BUYER), "ISSUED");
}

#[test]
fn a_person_decides_later() {
    let world = World::new();
    world.say(BUYER, Decision::Ask);
    let started = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap();
    world.work().unwrap();
    let waiting = world.flows(BUYER).pop().unwrap();
    assert_eq!((waiting.phase.as_str(), waiting.from), ("deciding", Some(id(SELLER))));
    assert_eq!(world.flow(SELLER, &started).waits_for, [id(BUYER)]);
    world.node(BUYER).decide(&waiting.flow_id, Decision::Accept).unwrap();
    world.settle().unwrap();
    assert_eq!(world.flow(SELLER, &started).phase, "final");
    assert!(world.node(BUYER).decide(&waiting.flow_id, Decision::Accept).is_err(), "decided once");
}

/// 8.2: who signed and heard nothing asks the ledger, and finds the signatures beside its capsule.
#[test]
fn who_signed_and_heard_nothing_polls() {
    let world = World::new();
    world.wire.lose(MessageType::Finalised);
    let started = world.issue("2026-1");
    assert_eq!(world.status(BUYER), "ISSUED");
    let kept = world.node(BUYER).vault().transaction_view(&started.tx_id).unwrap().unwrap();
    assert_eq!(kept.signed.signatures.len(), 2, "both signed");
}

/// 8.2: a signed transaction that passes its height is dead, and its inputs are free again.
#[test]
fn what_is_never_notarised_expires_and_frees_its_inputs() {
    let world = World::new();
    world.issue("2026-1");
    let chain = world.test_chain.as_ref().unwrap();
    chain.set_holds(true);
    let (place, _) = world.invoice(BUYER);
    // The holder's spend signature comes from the seller, whose node locks the state as well.
    let started = world.start(BUYER, Some(place), InvoiceCommand::Accept(()), &[]).unwrap();
    world.work().unwrap();
    assert!(world.node(SELLER).vault().lock_of(&place).unwrap().is_some());
    let again = world.start(BUYER, Some(place), InvoiceCommand::Accept(()), &[]).unwrap_err();
    assert_eq!(again.code(), Code::Conflict, "{again}");
    // A pool that loses what it holds, over and over.
    for _ in 0..40 {
        for _ in 0..5 {
            chain.block();
        }
        world.test_clock.as_ref().unwrap().advance(2_000);
        world.work().unwrap();
        chain.drop_pool();
    }
    let flow = world.flow(BUYER, &started);
    assert_eq!((flow.phase.as_str(), flow.code), ("ended", Some(Code::Expired)), "{flow:?}");
    assert!(world.node(SELLER).vault().lock_of(&place).unwrap().is_none());
    chain.set_holds(false);
    world.accept();
    assert_eq!(world.status(SELLER), "ACCEPTED");
}

#[test]
fn a_peer_that_is_away_is_told_when_it_is_back() {
    let world = World::new();
    world.wire.set_down(id(BUYER), true);
    let started = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap();
    world.work().unwrap();
    assert_eq!(world.flow(SELLER, &started).phase, "collecting");
    world.wire.set_down(id(BUYER), false);
    world.settle().unwrap();
    assert_eq!(world.flow(SELLER, &started).phase, "final");
    assert_eq!(world.status(BUYER), "ISSUED");
}

#[test]
fn a_cut_line_to_the_ledger_is_waited_out() {
    let world = World::new();
    let started = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap();
    world.test_chain.as_ref().unwrap().set_reachable(false);
    world.work().unwrap();
    assert_eq!(world.flow(SELLER, &started).phase, "collecting");
    world.test_chain.as_ref().unwrap().set_reachable(true);
    world.settle().unwrap();
    assert_eq!(world.flow(SELLER, &started).phase, "final");
}

#[test]
fn states_are_found_by_what_they_are() {
    let world = World::new();
    for n in 0..5 {
        world.issue(&format!("2026-{n}"));
    }
    world.accept();
    let vault = world.node(SELLER).vault();
    let count = |filter: StateFilter| vault.states(&filter, None, 500).unwrap().items.len();
    let unspent = StateFilter { unspent: Some(true), ..StateFilter::default() };
    assert_eq!(count(unspent.clone()), 5);
    assert_eq!(count(StateFilter { status: Some("ACCEPTED".to_owned()), ..unspent.clone() }), 1);
    assert_eq!(count(StateFilter { status: Some("ISSUED".to_owned()), ..unspent.clone() }), 4);
    assert_eq!(count(StateFilter { unspent: Some(false), ..StateFilter::default() }), 1);
    assert_eq!(count(StateFilter { role: Some("party".to_owned()), ..unspent.clone() }), 5);
    assert_eq!(count(StateFilter { role: Some("factor".to_owned()), ..unspent.clone() }), 0);
    assert_eq!(count(StateFilter { counterparty: Some(id(BUYER)), ..unspent.clone() }), 5);
    assert_eq!(count(StateFilter { counterparty: Some(id(FACTOR)), ..unspent.clone() }), 0);
    assert_eq!(count(StateFilter { number: Some("2026-3".to_owned()), ..unspent.clone() }), 1);
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = vault.states(&unspent, cursor.as_deref(), 2).unwrap();
        assert!(page.items.len() <= 2);
        found.extend(page.items.into_iter().map(|view| view.place));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 5, "page by page, each once");
    assert!(vault.states(&unspent, Some("x"), 2).is_err());
}
