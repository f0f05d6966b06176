//! One state, one consumption (C4); a request that is seen can't be turned against its state (C6); a wrong list of
//! nullifiers is notarised and refused (C7).

use std::sync::Arc;

use stateset_contracts::{Invoice, InvoiceCommand};
use stateset_ledger_types::body::TimeWindow;
use stateset_ledger_types::codec::List;
use stateset_ledger_types::envelope::{Notarise, NotariseContent, Request, Submission};
use stateset_ledger_types::keys::{Purpose, Signature, business_message};
use stateset_ledger_types::policy::{Blind, Opening, Policy, nullifier, spend_message};
use stateset_ledger_types::{Code, Envelope, StateKey};
use stateset_node::ports::Chain;
use stateset_node::probe::Always;
use stateset_node::{Started, Transition};
use stateset_peer::message::Whole;

use crate::chain::read;
use crate::world::{BUYER, DAY_MS, GENESIS_MS, SELLER, World, chain_id, id, keys};

/// The holder alone may mark an invoice overdue.
fn mark_overdue(world: &World, n: u8, at_ms: u64) -> Started {
    let (place, _) = world.invoice(n);
    let window = TimeWindow { from_ms: Some(at_ms - 1_000), until_ms: Some(at_ms + 3_600_000) };
    let (on, command) = (Some(place), InvoiceCommand::MarkOverdue(()));
    let transition = Transition::<Invoice> { on, command, parties: [].into(), at: Some((at_ms, window)) };
    world.node(n).start(&transition).unwrap()
}

/// Two nodes of one seller, the second from a copy of the first's file: each consumes the same invoice.
#[test]
fn of_two_consumptions_at_two_nodes_exactly_one_wins_and_the_other_is_told_conflict() {
    let mut world = World::new();
    world.issue("2026-1");
    world.accept();
    let (place, _) = world.invoice(SELLER);
    let (clock, chain) = (world.test_clock.clone().unwrap(), world.test_chain.clone().unwrap());
    clock.advance(31 * DAY_MS);
    chain.block();
    let late = GENESIS_MS + 31 * DAY_MS;
    chain.set_holds(true);
    world.copy(SELLER, "copy.db");
    let first = mark_overdue(&world, SELLER, late);
    world.work().unwrap();
    let original = world.companies[&SELLER].node.clone();
    world.open(SELLER, "copy.db", Arc::new(Always));
    let second = mark_overdue(&world, SELLER, late + 7);
    world.work().unwrap();
    assert_ne!(first.tx_id, second.tx_id);
    // Both are in the pool; one block holds both.
    chain.set_holds(false);
    clock.advance(1_000);
    world.settle().unwrap();
    for _ in 0..20 {
        clock.advance(1_000);
        original.work_until_idle().unwrap();
    }
    let of_first = original.vault().flow_view(&first.flow_id).unwrap();
    let of_second = world.flow(SELLER, &second);
    let ends = [&of_first, &of_second].map(|flow| (flow.phase.as_str(), flow.code));
    assert!(
        ends == [("final", None), ("ended", Some(Code::Conflict))]
            || ends == [("ended", Some(Code::Conflict)), ("final", None)],
        "{of_first:?} {of_second:?}"
    );
    let winner = if of_first.code.is_none() { first.tx_id } else { second.tx_id };
    let loser = if of_first.code.is_none() { &of_second } else { &of_first };
    assert!(loser.reason.as_ref().unwrap().contains(&winner.to_string()), "{loser:?}");
    // The buyer holds the winner's state and nothing of the loser's.
    let held = world.invoices(BUYER);
    assert_eq!(held.iter().map(|view| view.place.tx_id).collect::<Vec<_>>(), [winner]);
    let spent = world.node(BUYER).vault().states(&Default::default(), None, 500).unwrap().items;
    let consumed = spent.iter().find(|view| view.place == place).unwrap();
    assert_eq!(read(&*world.chain, &StateKey::spent(&consumed.spent_key)), Some(winner));
}

/// The seller as a liar: a body that consumes the invoice by the rules, whose first group names another nullifier.
fn liar(world: &World) -> (Whole, Envelope) {
    let (place, _) = world.invoice(SELLER);
    let honest = {
        world.test_chain.as_ref().unwrap().set_holds(true);
        let started = mark_overdue(world, SELLER, GENESIS_MS + 31 * DAY_MS);
        let flow = world.node(SELLER).vault().flow(&started.flow_id).unwrap().unwrap();
        flow.whole
    };
    assert_eq!(honest.body.body.inputs.to_vec(), [place]);
    let mut whole = honest;
    let key = keys(SELLER).ledger_key();
    let (blind, policy) = (Blind([9; 32]), Policy::new(1, [key]).unwrap());
    whole.body.body.nullifiers = List::new([nullifier(&blind, &policy.hash())]).unwrap();
    let (view, seal) = (keys(BUYER).view_key(), [5; 32]);
    whole.body.body.capsules = List::default();
    let seals = [stateset_node::capsule::Seal { view_key: view, ephemeral_secret: seal }];
    let sealed = stateset_node::capsule::seal(&chain_id(), &whole, &seals).unwrap().remove(0);
    world.capsules.put(&sealed.ciphertext).unwrap();
    whole.body.body.capsules = List::new([sealed.component]).unwrap();
    let tx_id = whole.body.tx_id(whole.mode);
    let signature = keys(SELLER).sign(&spend_message(&chain_id(), &tx_id)).unwrap();
    let opening = Opening { blind, policy, signatures: List::new([Some(signature)]).unwrap() };
    let submission = Submission { entity: id(SELLER), seq: 1_000, key, signature: Signature([0; 64]) };
    let request = Request::Notarise(Box::new(Notarise {
        content: NotariseContent::of(&whole.body, whole.mode),
        openings: List::new([opening]).unwrap(),
        submission,
        attestations: List::default(),
        receipts: List::default(),
    }));
    let envelope = Envelope::signed(request, &chain_id(), |message| keys(SELLER).sign(message).unwrap());
    (whole, envelope)
}

#[test]
fn a_wrong_nullifier_list_is_notarised_but_refused_by_participants() {
    let mut world = World::new();
    world.issue("2026-1");
    world.accept();
    let (clock, chain) = (world.test_clock.clone().unwrap(), world.test_chain.clone().unwrap());
    clock.advance(31 * DAY_MS);
    chain.block();
    let (whole, envelope) = liar(&world);
    let tx_id = whole.body.tx_id(whole.mode);
    // Beside the capsule, a good business signature: nothing but the list is wrong.
    let (key, purpose) = (keys(SELLER).ledger_key(), Purpose::LedgerSigning);
    let signature = keys(SELLER).sign(&business_message(&chain_id(), &tx_id, purpose, &key)).unwrap();
    let signed = stateset_ledger_types::keys::BusinessSignature { purpose, key, signature };
    let mut signatures = stateset_node::signing::none(stateset_peer::message::FlowId([0; 16]), tx_id);
    signatures.business = List::new([signed]).unwrap();
    let seal = stateset_node::capsule::Seal { view_key: keys(BUYER).view_key(), ephemeral_secret: [6; 32] };
    let sealed = stateset_node::capsule::seal_signatures(&chain_id(), &signatures, &seal).unwrap();
    world.capsules.lay_beside(&tx_id, &sealed).unwrap();

    chain.submit(envelope.bytes()).unwrap().unwrap();
    chain.drop_pool();
    chain.set_holds(false);
    chain.submit(envelope.bytes()).unwrap().unwrap();
    assert!(chain.certificate(&tx_id).unwrap().is_some(), "the chain can't know better");

    let before = world.digest(BUYER);
    let found = world.node(BUYER).recover().unwrap();
    let refused: Vec<_> =
        found.refused.iter().map(|(id, why)| (*id, why.split(':').next().unwrap())).collect();
    assert_eq!(refused, [(tx_id, "NULLIFIER_MISMATCH")]);
    assert_eq!(Code::NullifierMismatch.code(), 35);
    assert_eq!(world.digest(BUYER), before, "the invoice stands as it stood");
    assert!(world.node(BUYER).vault().transaction(&tx_id).unwrap().is_none());

    // Proposed before it is notarised it is refused by the same code, and not signed.
    world.open(BUYER, "vault-3.db", Arc::new(Always));
    let propose = stateset_peer::message::Propose {
        flow_id: stateset_peer::message::FlowId([7; 16]),
        role: Default::default(),
        content: stateset_peer::message::Content::Whole(Box::new(whole)),
    };
    let session = stateset_node::flow::session_of(&propose.flow_id);
    world.node(BUYER).receive(&id(SELLER), session, &propose.into()).unwrap();
    world.work().unwrap();
    let flow = world.flows(BUYER).into_iter().find(|flow| flow.tx_id == tx_id).unwrap();
    assert_eq!((flow.phase.as_str(), flow.code), ("ended", Some(Code::NullifierMismatch)), "{flow:?}");
}

/// C6: what the chain shows of a request does not let another body consume the state.
#[test]
fn an_observer_cannot_turn_a_seen_request_against_its_state() {
    let world = World::new();
    world.issue("2026-1");
    let chain = world.test_chain.clone().unwrap();
    let started = world.accept();
    let record = world.node(BUYER).vault().transaction_view(&started.tx_id).unwrap().unwrap();
    let seen = Envelope::from_bytes(chain.request(record.height, record.index).unwrap()).unwrap();
    let Request::Notarise(seen) = seen.request().clone() else { panic!("a notarisation") };
    // The same nullifier and opening under another body, submitted by a member with its own key.
    let mut stolen = (*seen).clone();
    stolen.content.hidden.memo = ves::Digest([1; 32]);
    let key = keys(BUYER).ledger_key();
    stolen.submission = Submission { entity: id(BUYER), seq: 2_000, key, signature: Signature([0; 64]) };
    let request = Request::Notarise(Box::new(stolen));
    let envelope = Envelope::signed(request, &chain_id(), |message| keys(BUYER).sign(message).unwrap());
    let refused = chain.submit(envelope.bytes()).unwrap().unwrap_err();
    assert_eq!(refused.code, Code::BadSignature, "the spend signatures are of another transaction");
}
