//! Section 4.2, step by step; C7.

use stateset_contracts::{
    Invoice, InvoiceCommand, InvoiceStatus as S, Resolved, StateType, registry, validate,
};
use stateset_ledger_types::Code;
use stateset_ledger_types::body::{Participant, TimeWindow};
use stateset_ledger_types::codec::{List, Set};
use stateset_ledger_types::entity::EntityStatus;
use stateset_ledger_types::governance::ContractStatus;
use stateset_ledger_types::ids::{ChainId, Nullifier, StateRef, TxId};
use stateset_ledger_types::keys::{KeyBinding, PublicKey, Purpose, Signature};
use stateset_ledger_types::policy::Policy;
use stateset_ledger_types::tree::{Group, Mode};
use ves::Digest;

use crate::world::{
    BUYER, NOW, SELLER, Tx, chain, entity, facts, id, invoice, key_of, linear, public_key, terms,
};

fn accept() -> Tx {
    Tx::of(facts(), Some(&invoice(S::Issued, 0, false)), InvoiceCommand::Accept(())).unwrap()
}

fn create() -> Tx {
    Tx::of(facts(), None, InvoiceCommand::Create(Box::new(terms()))).unwrap()
}

#[track_caller]
fn judged(change: impl FnOnce(&mut Tx), code: Code) {
    let mut tx = accept();
    assert_eq!(tx.judge(), Ok(()));
    change(&mut tx);
    let refusal = tx.judge().unwrap_err();
    assert_eq!(refusal.code, code, "{refusal}");
}

#[test]
fn step_1_the_body_is_of_the_id_and_of_this_chain() {
    let tx = accept();
    let other = TxId([1; 32]);
    let refusal = tx.judge_as(other, Some(&tx.signatures(&other))).unwrap_err();
    assert_eq!(refusal.code, Code::BadTxId);
    judged(|tx| tx.facts.chain_id = ChainId::new("other-1").unwrap(), Code::BadTxId);
    judged(|tx| tx.whole.body.header.0.format = 2, Code::Malformed);
}

#[test]
fn steps_2_and_7_inputs_and_references_are_resolved() {
    judged(|tx| tx.inputs.clear(), Code::NotFound);
    judged(|tx| tx.inputs[0].place.index = 1, Code::NotFound);
    // A reference that is at hand, and one that is not.
    let mut tx = create();
    let referred = crate::world::resolved(&tx.facts, &invoice(S::Paid, 1_190, false));
    tx.whole.body.references = List::new([referred.nullifier().spent_key()]).unwrap();
    assert_eq!(tx.judge().unwrap_err().code, Code::NotFound);
    tx.references.push(referred);
    assert_eq!(tx.judge(), Ok(()));
}

#[test]
fn step_3_an_encumbered_state_goes_with_its_encumbrance() {
    judged(|tx| tx.inputs[0].output.encumbrance = Some(1), Code::Invariant);
    judged(|tx| tx.change_output(|output| output.encumbrance = Some(0)), Code::Invariant);
}

#[test]
fn step_4_every_listed_key_signed_in_its_purpose() {
    judged(|tx| tx.signers.clear(), Code::NotAuthorised);
    let tx = accept();
    let tx_id = tx.whole.tx_id(Mode::Private);
    let mut signatures = tx.signatures(&tx_id);
    signatures[0].signature.0[0] ^= 1;
    assert_eq!(tx.judge_as(tx_id, Some(&signatures)).unwrap_err().code, Code::BadSignature);
    // As an agent, with a signature that is good as one.
    let key = public_key(BUYER);
    let message = stateset_ledger_types::keys::business_message(&chain(), &tx_id, Purpose::Agent, &key);
    signatures[0].purpose = Purpose::Agent;
    signatures[0].signature = Signature(key_of(BUYER).sign(&message.0));
    assert_eq!(tx.judge_as(tx_id, Some(&signatures)).unwrap_err().code, Code::NotAuthorised);
    // While signatures are collected none is asked for.
    assert_eq!(tx.judge_as(tx_id, None), Ok(()));
    // A key that two entities registered speaks for neither.
    let mut other = entity(6);
    other.keys = entity(BUYER).keys;
    judged(|tx| tx.facts = tx.facts.clone().with_entities([other]), Code::NotAuthorised);
    // A key that is revoked at that time.
    let mut buyer = entity(BUYER);
    let mut keys = buyer.keys.clone().into_vec();
    keys[0].revoked_at = Some(NOW);
    buyer.keys = List::new(keys).unwrap();
    judged(|tx| tx.facts = tx.facts.clone().with_entities([buyer]), Code::NotAuthorised);
}

#[test]
fn step_5_the_network_runs_the_contract_as_this_program_does() {
    let with_status = |status| {
        let mut set = registry::native_set();
        let mut records = set.contracts.into_vec();
        records[0].status = status;
        set.contracts = List::new(records).unwrap();
        set
    };
    let with = |set: stateset_ledger_types::governance::ContractSet| {
        move |tx: &mut Tx| {
            tx.whole.body.header.0.contract_set_hash = set.hash();
            tx.facts.contract_sets = vec![set];
        }
    };
    judged(with(with_status(ContractStatus::Inactive)), Code::ContractUnknown);
    judged(with(with_status(ContractStatus::Deprecated)), Code::ContractUnknown);
    let mut other = registry::native_set();
    let mut records = other.contracts.into_vec();
    records[0].code_hash = Digest([1; 32]);
    other.contracts = List::new(records).unwrap();
    judged(with(other), Code::ContractUnknown);
    judged(|tx| tx.change_output(|output| output.type_id = 14), Code::ContractUnknown);
    let bank = stateset_ledger_types::ids::ContractId::new("native:bank").unwrap();
    judged(
        |tx| {
            let mut commands = tx.whole.body.commands.clone().into_vec();
            commands.push(stateset_ledger_types::body::Command {
                contract_id: bank.clone(),
                tag: 1,
                args: Default::default(),
                signers: Set::default(),
            });
            tx.whole.body.commands = List::new(commands).unwrap();
        },
        Code::ContractUnknown,
    );
}

#[test]
fn c7_a_wrong_list_of_nullifiers_is_refused_though_notarised() {
    judged(|tx| tx.whole.body.nullifiers = List::new([Nullifier([1; 32])]).unwrap(), Code::NullifierMismatch);
    judged(|tx| tx.whole.body.nullifiers = List::default(), Code::NullifierMismatch);
    // The nullifier of the same state under another policy: would leave the real one unspent.
    judged(
        |tx| {
            let input = &tx.inputs[0];
            let blind = stateset_ledger_types::policy::blind(&input.place, &input.nonce);
            let policy = Policy::new(1, [public_key(BUYER)]).unwrap();
            let wrong = stateset_ledger_types::policy::nullifier(&blind, &policy.hash());
            tx.whole.body.nullifiers = List::new([wrong]).unwrap();
        },
        Code::NullifierMismatch,
    );
}

#[test]
fn step_8_the_window_holds_the_block() {
    judged(|tx| tx.facts.time_ms = NOW - 11, Code::WindowNotOpen);
    judged(|tx| tx.facts.time_ms = NOW + 10, Code::WindowClosed);
    // One who is asked to sign may sign ahead.
    let mut tx = accept();
    tx.facts.time_ms = NOW - 11;
    let tx_id = tx.whole.tx_id(Mode::Private);
    assert_eq!(tx.judge_as(tx_id, None), Ok(()));
    tx.facts.time_ms = NOW + 10;
    assert_eq!(tx.judge_as(tx_id, None).unwrap_err().code, Code::WindowClosed);
    judged(
        |tx| {
            let window = TimeWindow { from_ms: Some(NOW), until_ms: Some(NOW) };
            tx.whole.body.time_window = List::new([window]).unwrap();
        },
        Code::Invariant,
    );
}

#[test]
fn step_9_parameters_and_contracts_are_those_of_a_height_within_the_grace() {
    judged(|tx| tx.whole.body.header.0.params_hash = Digest::ZERO, Code::ParamsMismatch);
    judged(|tx| tx.whole.body.header.0.contract_set_hash = Digest::ZERO, Code::ParamsMismatch);
    let mut tx = accept();
    tx.facts.params_hashes = [Digest::ZERO, tx.whole.body.header.0.params_hash].into();
    let empty = stateset_ledger_types::governance::ContractSet { contracts: List::default() };
    tx.facts.contract_sets.insert(0, empty);
    assert_eq!(tx.judge(), Ok(()));
}

#[test]
fn step_10_participants_are_admitted() {
    let suspended = |n: u8| {
        let mut entity = entity(n);
        (entity.status, entity.suspended_until) = (EntityStatus::Suspended, Some(NOW + 1));
        move |tx: &mut Tx| tx.facts = tx.facts.clone().with_entities([entity])
    };
    judged(suspended(SELLER), Code::EntityNotActive);
    judged(|tx| drop(tx.facts.entities.remove(&id(BUYER))), Code::NotAuthorised);
    let mut lapsed = entity(SELLER);
    (lapsed.status, lapsed.suspended_until) = (EntityStatus::Suspended, Some(NOW));
    let mut tx = accept();
    tx.facts = tx.facts.clone().with_entities([lapsed]);
    assert_eq!(tx.judge(), Ok(()));
}

#[test]
fn a_one_time_key_takes_part_once_it_is_bound() {
    let once = PublicKey::ed25519(key_of(80).public_key());
    let binding = KeyBinding { one_time_key: once, entity_id: id(SELLER), not_after: NOW + 1 };
    let signature = Signature(key_of(SELLER).sign(&binding.message(&chain()).0));
    let hidden = |tx: &mut Tx| {
        tx.change_output(|output| {
            output.participants =
                Set::new([Participant::OneTimeKey(once), Participant::Entity(id(BUYER))]).unwrap();
            output.policy = Policy::new(1, [once]).unwrap();
        });
    };
    judged(hidden, Code::Invariant);
    let mut tx = accept();
    hidden(&mut tx);
    tx.facts.bind(binding.clone(), &public_key(SELLER), &signature).unwrap();
    assert_eq!(tx.judge(), Ok(()));
    let forged = tx.facts.bind(binding.clone(), &public_key(SELLER), &Signature([1; 64]));
    assert_eq!(forged.unwrap_err().code, Code::BadSignature);
    let by_another = Signature(key_of(BUYER).sign(&binding.message(&chain()).0));
    let other = tx.facts.bind(binding.clone(), &public_key(BUYER), &by_another);
    assert_eq!(other.unwrap_err().code, Code::NotAuthorised);
    // Bound until now only.
    let mut tx = accept();
    hidden(&mut tx);
    let short = KeyBinding { not_after: NOW, ..binding };
    let signature = Signature(key_of(SELLER).sign(&short.message(&chain()).0));
    tx.facts.bind(short, &public_key(SELLER), &signature).unwrap();
    assert_eq!(tx.judge().unwrap_err().code, Code::Invariant);
}

/// What the vault keeps of a finished transaction is what the next one consumes.
#[test]
fn an_output_resolves_as_the_input_of_the_next() {
    let first = create();
    let tx_id = first.whole.tx_id(Mode::Private);
    let state = Resolved::of(&first.whole, &tx_id, 0).unwrap();
    assert_eq!(state.place, StateRef { tx_id, index: 0 });
    assert_eq!(state.nonce, first.whole.salt.nonce(Group::Outputs, 0));
    assert_eq!(Resolved::of(&first.whole, &tx_id, 1), None);
    let content = stateset_contracts::rules::read_content::<Invoice>(&state.output).unwrap();
    let mut next = Tx::of(facts(), Some(&content), InvoiceCommand::Accept(())).unwrap();
    next.whole.body.inputs = List::new([state.place]).unwrap();
    next.whole.body.nullifiers = List::new([state.nullifier()]).unwrap();
    next.inputs = vec![state];
    assert_eq!(next.judge(), Ok(()));
    assert_eq!(content.head().version, 1);
    assert_eq!(next.inputs[0].output.linear_id, Some(linear()));
    assert_eq!(validate::evidence(&next.whole.body), Ok(Vec::new()));
}
