//! Attested mode (3.4, 5.4): a quorum reads and signs, and who trusts it need not see what was before (8.3, TO_ATTESTED).

use std::sync::Arc;

use stateset_contracts::invoice::{FactorIt, INVOICE, Pay};
use stateset_contracts::{Invoice, InvoiceCommand};
use stateset_ledger_types::codec::{Blob, Encode, List, Text};
use stateset_ledger_types::ids::{ContractId, LinearId, StateRef, TxId, Units};
use stateset_ledger_types::keys::{BusinessSignature, Purpose, business_message};
use stateset_ledger_types::notary::NotaryRecord;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Code, StateKey};
use stateset_node::flow::attesting::ATTESTER;
use stateset_node::probe::Always;
use stateset_node::trust::{Resolution, Resolutions, TrustedQuorum};
use stateset_node::{Attested, NodeError, Started, Transition};
use stateset_peer::frame::SessionId;
use stateset_peer::message::{Content, FlowId, Propose, Signatures, Whole};

use crate::chain::read;
use crate::world::{
    AUDITOR, BOTH_AUDITORS, BUYER, EITHER_AUDITOR, FACTOR, ONE_AUDITOR, OTHER, SECOND_AUDITOR, SELLER, World,
    chain_id, create, id, keys,
};

/// A world whose auditors have nodes.
fn world() -> World {
    let mut world = World::new();
    for n in [AUDITOR, SECOND_AUDITOR] {
        world.open(n, &format!("vault-{n}.db"), Arc::new(Always));
    }
    world
}

fn trusting(threshold: u32, attesters: &[u8]) -> Resolutions {
    let attesters = attesters.iter().map(|n| id(*n)).collect();
    let quorum = TrustedQuorum { threshold, attesters };
    [(ContractId::new(INVOICE).unwrap(), Resolution::ToAttested(quorum))].into()
}

/// Begins an invoice that attesters of `policy` check.
fn try_begin(world: &World, policy: u32) -> Result<Started, NodeError> {
    let parties = [id(BUYER)].into();
    // A seller uses a number once.
    let command = create(&format!("2026-{}", world.flows(SELLER).len() + 1));
    let transition = Transition::<Invoice> { on: None, command, parties, at: None };
    world.node(SELLER).start_as(&transition, Attested::By(policy))
}

fn begin(world: &World, policy: u32) -> Started {
    try_begin(world, policy).unwrap()
}

fn issue(world: &World, policy: u32) -> Started {
    let started = begin(world, policy);
    world.settle().unwrap();
    let flow = world.flow(SELLER, &started);
    assert_eq!(flow.phase, "final", "{flow:?}");
    started
}

/// The factor buys the invoice; returns the flow, however it ended.
fn factor(world: &World, linear_id: LinearId) -> Started {
    let invoice = world.invoice(SELLER);
    let evidence = world.pay(FACTOR, SELLER, 950, &invoice, linear_id);
    let (advance, discount) = (Units(950), Units(50));
    let factor = FactorIt { factor: id(FACTOR), advance, discount, recourse: false, evidence };
    let started = world.start(SELLER, Some(invoice.0), InvoiceCommand::Factor(factor), &[FACTOR]).unwrap();
    world.settle().unwrap();
    started
}

fn mode(world: &World, tx_id: &TxId) -> Mode {
    read::<NotaryRecord>(&*world.chain, &StateKey::tx(tx_id)).expect("notarised").mode
}

/// What a company holds of a transaction: `None`, or whether it rests on attesters' word.
fn held(world: &World, n: u8, tx_id: &TxId) -> Option<bool> {
    world.node(n).vault().transaction_view(tx_id).unwrap().map(|view| view.vouched)
}

#[test]
fn a_factor_that_trusts_the_attester_takes_an_invoice_without_its_history() {
    let mut world = world();
    world.node(FACTOR).set_resolutions(trusting(1, &[AUDITOR])).unwrap();
    let first = issue(&world, ONE_AUDITOR);
    let accepted = world.accept();
    let linear_id = first.linear_id.unwrap();
    let sold = factor(&world, linear_id);
    assert_eq!(world.flow(SELLER, &sold).phase, "final");
    // Each step goes on as the one before it.
    for started in [&first, &accepted, &sold] {
        assert_eq!(mode(&world, &started.tx_id), Mode::Attested);
    }
    assert_eq!(held(&world, FACTOR, &accepted.tx_id), Some(true), "on the attester's word");
    assert_eq!(held(&world, FACTOR, &first.tx_id), None, "what was before is not there");
    // The auditor has judged all of it, and holds none of the states.
    for tx_id in [&first.tx_id, &accepted.tx_id, &sold.tx_id] {
        assert_eq!(held(&world, AUDITOR, tx_id), Some(false));
    }
    assert!(world.invoices(AUDITOR).is_empty());
    // Whoever takes part has the attestations, to show them to others.
    let kept = world.node(SELLER).vault().transaction(&accepted.tx_id).unwrap().unwrap();
    let attesters: Vec<_> = kept.attestations.iter().map(|one| one.attester).collect();
    assert_eq!(attesters, [id(AUDITOR)], "the buyer built it");

    let invoice = world.invoice(BUYER);
    let evidence = world.pay(BUYER, FACTOR, 1_000, &invoice, linear_id);
    let pay = InvoiceCommand::Pay(Pay { amount: Units(1_000), evidence });
    world.run(BUYER, Some(invoice.0), pay, &[]);
    assert_eq!(world.status(FACTOR), "PAID");

    // A vault that is lost is made anew on the same word.
    let before = world.digest(FACTOR);
    world.open(FACTOR, "new.db", Arc::new(Always));
    world.node(FACTOR).set_resolutions(trusting(1, &[AUDITOR])).unwrap();
    let found = world.node(FACTOR).recover().unwrap();
    assert_eq!((found.refused.len(), world.digest(FACTOR)), (0, before), "{found:?}");
    assert_eq!(held(&world, FACTOR, &first.tx_id), None);
}

#[test]
fn whoever_does_not_trust_the_attester_resolves_to_the_issuance() {
    for resolutions in
        [Resolutions::new(), trusting(1, &[SECOND_AUDITOR]), trusting(2, &[AUDITOR, SECOND_AUDITOR])]
    {
        let world = world();
        world.node(FACTOR).set_resolutions(resolutions.clone()).unwrap();
        let first = issue(&world, ONE_AUDITOR);
        let accepted = world.accept();
        factor(&world, first.linear_id.unwrap());
        assert_eq!(held(&world, FACTOR, &first.tx_id), Some(false), "{resolutions:?}");
        assert_eq!(held(&world, FACTOR, &accepted.tx_id), Some(false), "{resolutions:?}");
    }
}

#[test]
fn a_private_history_is_resolved_whoever_is_trusted() {
    let world = world();
    world.node(FACTOR).set_resolutions(trusting(1, &[AUDITOR])).unwrap();
    let first = world.issue("2026-1");
    world.accept();
    let sold = factor(&world, first.linear_id.unwrap());
    assert_eq!(mode(&world, &sold.tx_id), Mode::Private);
    assert_eq!(held(&world, FACTOR, &first.tx_id), Some(false));
}

/// What was accepted on a word is checked as soon as the word does not count any more and something rests on it.
#[test]
fn who_stops_trusting_checks_what_it_took_on_trust() {
    let world = world();
    world.node(FACTOR).set_resolutions(trusting(1, &[AUDITOR])).unwrap();
    let first = issue(&world, ONE_AUDITOR);
    let accepted = world.accept();
    let linear_id = first.linear_id.unwrap();
    factor(&world, linear_id);
    assert_eq!(held(&world, FACTOR, &accepted.tx_id), Some(true));
    world.node(FACTOR).set_resolutions(Resolutions::new()).unwrap();
    let invoice = world.invoice(BUYER);
    let evidence = world.pay(BUYER, FACTOR, 1_000, &invoice, linear_id);
    world.run(BUYER, Some(invoice.0), InvoiceCommand::Pay(Pay { amount: Units(1_000), evidence }), &[]);
    assert_eq!(held(&world, FACTOR, &accepted.tx_id), Some(false));
    assert_eq!(held(&world, FACTOR, &first.tx_id), Some(false));
    assert_eq!(world.status(FACTOR), "PAID");
}

#[test]
fn a_flow_waits_for_its_quorum_and_for_no_more() {
    let world = world();
    world.wire.set_down(id(SECOND_AUDITOR), true);
    // Either is enough.
    issue(&world, EITHER_AUDITOR);
    // Both are not there.
    let started = begin(&world, BOTH_AUDITORS);
    world.work().unwrap();
    let flow = world.flow(SELLER, &started);
    assert_eq!((flow.phase.as_str(), &*flow.waits_for), ("attesting", &[id(SECOND_AUDITOR)][..]));
    world.wire.set_down(id(SECOND_AUDITOR), false);
    world.settle().unwrap();
    assert_eq!(world.flow(SELLER, &started).phase, "final");
    let kept = world.node(BUYER).vault().transaction(&started.tx_id).unwrap().unwrap();
    assert_eq!(kept.attestations.len(), 2);
}

#[test]
fn what_nobody_could_attest_is_not_proposed() {
    let world = world();
    for (policy, says) in [(9, "no attester policy 9"), (crate::world::PARTY_ATTESTS, "that take no part")] {
        let refused = try_begin(&world, policy).unwrap_err();
        let NodeError::Refused(refusal) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.code, Code::AttestationMissing);
        assert!(refusal.text.contains(says), "{refusal:?}");
    }
    world.settle().unwrap();
    assert!(world.flows(SELLER).is_empty() && world.invoices(BUYER).is_empty());
    let everybody = world.node(FACTOR).set_resolutions(trusting(0, &[AUDITOR])).unwrap_err();
    assert_eq!(everybody.code, Code::Malformed, "zero would trust everything");
}

/// A step may leave the mode of the one before it, both ways.
#[test]
fn the_mode_is_the_step_s_own() {
    let world = world();
    issue(&world, ONE_AUDITOR);
    let step = |world: &World, place: StateRef, command, attested| {
        let transition = Transition::<Invoice> { on: Some(place), command, parties: [].into(), at: None };
        let started = world.node(BUYER).start_as(&transition, attested).unwrap();
        world.settle().unwrap();
        assert_eq!(world.flow(BUYER, &started).phase, "final");
        mode(world, &started.tx_id)
    };
    let (place, _) = world.invoice(BUYER);
    assert_eq!(step(&world, place, InvoiceCommand::Accept(()), Attested::No), Mode::Private);
    let (place, _) = world.invoice(BUYER);
    let dispute = InvoiceCommand::Dispute(());
    assert_eq!(step(&world, place, dispute, Attested::By(ONE_AUDITOR)), Mode::Attested);
}

/// What a builder that keeps to no rule shows to an attester.
struct Shown {
    whole: Whole,
    role: &'static str,
    signers: Vec<u8>,
}

/// The flow at company `to` after it was shown that.
fn show(world: &World, to: u8, shown: &Shown) -> (String, Option<Code>, usize) {
    let tx_id = shown.whole.body.tx_id(shown.whole.mode);
    let flow_id = FlowId(*tx_id.0.first_chunk().unwrap());
    let session = SessionId(u64::from_be_bytes(*tx_id.0.first_chunk().unwrap()).max(1));
    let sign = |n: &u8| {
        let (key, purpose) = (keys(*n).ledger_key(), Purpose::LedgerSigning);
        let signature = keys(*n).sign(&business_message(&chain_id(), &tx_id, purpose, &key)).unwrap();
        BusinessSignature { purpose, key, signature }
    };
    let business = List::new(shown.signers.iter().map(sign).collect::<Vec<_>>()).unwrap();
    let (spend, bindings, attestations) = (List::default(), List::default(), List::default());
    let signatures = Signatures { flow_id, tx_id, business, spend, bindings, attestations };
    let content = Content::Whole(Box::new(shown.whole.clone()));
    let proposal = Propose { flow_id, role: Text::new(shown.role).unwrap(), content };
    world.node(to).receive(&id(SELLER), session, &proposal.into()).unwrap();
    world.node(to).receive(&id(SELLER), session, &signatures.into()).unwrap();
    world.work().unwrap();
    let vault = world.node(to).vault();
    let view = vault.flow_view(&flow_id).unwrap();
    let given = vault.flow(&flow_id).unwrap().unwrap().signatures.attestations.len();
    (view.phase, view.code, given)
}

#[test]
fn an_attester_signs_what_keeps_every_rule_and_nothing_else() {
    let world = world();
    // A transaction that is complete but for the attestation.
    world.wire.set_down(id(AUDITOR), true);
    let started = begin(&world, ONE_AUDITOR);
    world.work().unwrap();
    let flow = world.node(SELLER).vault().flow(&started.flow_id).unwrap().unwrap();
    world.wire.set_down(id(AUDITOR), false);
    let ask = |whole: Whole, signers: &[u8]| Shown { whole, role: ATTESTER, signers: signers.to_vec() };
    let changed = |change: &dyn Fn(&mut Whole)| {
        let mut whole = flow.whole.clone();
        change(&mut whole);
        whole
    };
    let both = [SELLER, BUYER];
    // Another sum than the command says.
    let lie = changed(&|whole| {
        let mut outputs = whole.body.body.outputs.to_vec();
        let mut invoice =
            <Invoice as stateset_ledger_types::codec::Decode>::from_sce(&outputs[0].content).unwrap();
        invoice.total = Units(1_000_000);
        outputs[0].content = Blob::new(invoice.to_sce()).unwrap();
        whole.body.body.outputs = List::new(outputs).unwrap();
    });
    let ended = |found: (String, Option<Code>, usize)| {
        assert_eq!((found.0.as_str(), found.2), ("ended", 0), "{found:?}");
        found.1.unwrap()
    };
    assert_eq!(ended(show(&world, AUDITOR, &ask(lie, &both))), Code::Invariant);
    // The payer has not signed.
    let salted = |n: u8| changed(&|whole| whole.body.salt = stateset_ledger_types::tree::Salt([n; 32]));
    assert_eq!(ended(show(&world, AUDITOR, &ask(salted(1), &[SELLER]))), Code::NotAuthorised);
    // Another policy than one that names this attester.
    let other =
        changed(&|whole| whole.body.body.header.0.attester_policy = Some(crate::world::PARTY_ATTESTS));
    assert_eq!(ended(show(&world, AUDITOR, &ask(other, &both))), Code::NotAuthorised);
    // A window that is over.
    let over = changed(&|whole| {
        let mut window = whole.body.body.time_window.to_vec();
        window[0].until_ms = Some(crate::world::GENESIS_MS);
        whole.body.body.time_window = List::new(window).unwrap();
    });
    assert_eq!(ended(show(&world, AUDITOR, &ask(over, &both))), Code::WindowClosed);
    // A company that is no attester, and one that takes part.
    assert_eq!(ended(show(&world, OTHER, &ask(salted(2), &both))), Code::NotAuthorised);
    // In another mode there is nothing to attest.
    let private = changed(&|whole| whole.mode = Mode::Private);
    assert_eq!(ended(show(&world, AUDITOR, &ask(private, &both))), Code::Malformed);
    // And what keeps them all is attested.
    let (phase, code, given) = show(&world, AUDITOR, &ask(salted(3), &both));
    assert_eq!((phase.as_str(), code, given), ("waiting", None, 1));
}

/// An attester reads what it was asked about and what is behind it, and nothing else.
#[test]
fn attesters_may_read_what_they_were_asked_about_alone() {
    use stateset_ledger_types::codec::Set;
    use stateset_peer::message::{Answer, GetTx, Question};
    let world = world();
    let private = world.issue("2026-0");
    let attested = issue(&world, ONE_AUDITOR);
    let asked = |n: u8, tx_id| {
        let ids = Set::new([tx_id]).unwrap();
        match world.node(SELLER).answer(&id(n), &Question::Transactions(GetTx { ids })) {
            Answer::Transactions(answer) => answer.transactions.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked(AUDITOR, attested.tx_id), 1);
    assert_eq!(asked(AUDITOR, private.tx_id), 0);
    assert_eq!(asked(SECOND_AUDITOR, attested.tx_id), 0);
    // It is no counterparty: a recovery gives it nothing.
    assert_eq!(world.node(AUDITOR).recover_from(&id(SELLER)).unwrap().recorded, []);
}
