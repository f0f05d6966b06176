//! Rules of the machine that hold whatever happens outside.

use stateset_ledger_types::body::{Body, HEADER_FORMAT, Header, One, SaltedBody};
use stateset_ledger_types::codec::{List, Set, Text};
use stateset_ledger_types::ids::ChainId;
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_peer::message::RejectCode;
use ves::Digest;

use super::*;
use stateset_ledger_types::Code;

const SIGNER: EntityId = EntityId([2; 20]);
const STRANGER: EntityId = EntityId([3; 20]);

pub(super) fn whole() -> Whole {
    let header = Header {
        format: HEADER_FORMAT,
        chain_id: ChainId::new("ssn-test-1").unwrap(),
        not_before_height: 0,
        expires_height: 9,
        params_hash: Digest::ZERO,
        contract_set_hash: Digest::ZERO,
        attester_policy: None,
    };
    let body = Body {
        nullifiers: List::default(),
        outputs: List::default(),
        commands: List::default(),
        references: List::default(),
        attachments: List::default(),
        time_window: List::default(),
        header: One(header),
        inputs: List::default(),
        capsules: List::default(),
        memo: List::default(),
    };
    Whole { mode: Mode::Private, body: SaltedBody { salt: Salt([1; 32]), body } }
}

fn none(id: u8) -> Signatures {
    crate::signing::none(FlowId([id; 16]), whole().body.tx_id(Mode::Private))
}

fn builder(signers: &[EntityId]) -> Entry {
    Entry::Built(Box::new(Built {
        flow_id: FlowId([1; 16]),
        whole: whole(),
        seals: List::default(),
        signers: Set::new(signers.iter().copied()).unwrap(),
        informed: Set::default(),
        own: none(1),
    }))
}

fn responder() -> Entry {
    Entry::Received(Box::new(Received {
        flow_id: FlowId([2; 16]),
        from: SIGNER,
        role: Text::default(),
        whole: whole(),
    }))
}

/// Takes an input and says what followed; the journal grows with it.
pub(super) fn put(journal: &mut Vec<Entry>, input: Input) -> Vec<Effect> {
    let mut flow = Flow::replay(journal).unwrap();
    let entries = decide(&flow, input);
    entries.iter().for_each(|entry| flow.apply(entry));
    let effects = entries.iter().flat_map(|entry| follow(&flow, entry)).collect();
    journal.extend(entries);
    assert_eq!(Flow::replay(journal).unwrap(), flow, "a flow is its journal");
    effects
}

pub(super) fn phase(journal: &[Entry]) -> Phase {
    Flow::replay(journal).unwrap().phase
}

fn conflict() -> Refusal {
    Refusal::new(Code::Conflict, "consumed")
}

#[test]
fn a_builder_waits_for_every_signer_and_for_nobody_else() {
    let mut journal = vec![builder(&[SIGNER])];
    assert_eq!(put(&mut journal, Input::Signatures(STRANGER, Box::new(none(1)))), []);
    assert_eq!(put(&mut journal, Input::Assembled(vec![1])), [], "not its turn");
    assert_eq!(phase(&journal), Phase::Collecting);
    assert_eq!(put(&mut journal, Input::Signatures(SIGNER, Box::new(none(1)))), [Effect::Publish(())]);
    assert_eq!(put(&mut journal, Input::Signatures(SIGNER, Box::new(none(1)))), [], "once");
    assert_eq!(put(&mut journal, Input::Assembled(vec![1])), [Effect::Submit(())]);
    assert_eq!(put(&mut journal, Input::Submitted), [Effect::Await(())]);
    assert_eq!(put(&mut journal, Input::Refused(conflict())), [Effect::Reject(SIGNER)]);
    assert_eq!(phase(&journal), Phase::Ended);
    assert_eq!(put(&mut journal, Input::Submitted), [], "what is over stays over");
}

#[test]
fn a_builder_that_needs_nobody_publishes_at_once() {
    let entry = builder(&[]);
    let flow = Flow::begin(&entry).unwrap();
    assert_eq!(follow(&flow, &entry), [Effect::Publish(()), Effect::Await(())]);
}

#[test]
fn a_refusal_for_now_is_submitted_again_and_others_end_it() {
    for code in Code::ALL {
        for at in [Phase::Publishing, Phase::Submitting, Phase::Waiting] {
            let mut journal = vec![builder(&[])];
            if at != Phase::Publishing {
                put(&mut journal, Input::Assembled(vec![1]));
            }
            if at == Phase::Waiting {
                put(&mut journal, Input::Submitted);
            }
            assert_eq!(phase(&journal), at);
            put(&mut journal, Input::Refused(Refusal::new(*code, "no")));
            let expected = if is_for_now(*code) { Phase::Publishing } else { Phase::Ended };
            assert_eq!(phase(&journal), expected, "{code:?} in {at:?}");
        }
    }
}

#[test]
fn a_signature_that_is_given_away_is_not_taken_back_by_words() {
    let mut journal = vec![responder()];
    assert_eq!(put(&mut journal, Input::Judged { signs: true }), [Effect::Decide(())]);
    assert_eq!(put(&mut journal, Input::Accepted), [Effect::Sign(())]);
    let signed = Signatures { business: List::new([signature()]).unwrap(), ..none(2) };
    let effects = put(&mut journal, Input::Signed(Box::new(signed)));
    assert_eq!(effects, [Effect::Answer(SIGNER), Effect::Await(())]);
    let reject = Reject::new(RejectCode::Declined, "never mind");
    assert_eq!(put(&mut journal, Input::Reject(SIGNER, reject)), []);
    assert_eq!(phase(&journal), Phase::Waiting, "only the ledger frees the inputs");
}

fn signature() -> stateset_ledger_types::keys::BusinessSignature {
    stateset_ledger_types::keys::BusinessSignature {
        purpose: stateset_ledger_types::keys::Purpose::LedgerSigning,
        key: stateset_ledger_types::keys::PublicKey::ed25519([1; 32]),
        signature: stateset_ledger_types::keys::Signature([0; 64]),
    }
}

#[test]
fn a_wrong_signature_ends_the_flow_and_names_who_sent_it() {
    let mut journal = vec![builder(&[SIGNER])];
    let wrong = Signatures { business: List::new([signature()]).unwrap(), ..none(1) };
    put(&mut journal, Input::Signatures(SIGNER, Box::new(wrong)));
    let flow = Flow::replay(&journal).unwrap();
    let ended = flow.ended().unwrap();
    assert_eq!((flow.phase, ended.code), (Phase::Ended, Code::BadSignature));
    assert!(ended.text.contains(&SIGNER.to_string()));
}

#[test]
fn a_proposal_is_rejected_by_its_builder_only_and_its_refusal_is_sent() {
    let mut journal = vec![responder()];
    let reject = Reject::new(RejectCode::Invalid, "CONFLICT: consumed");
    put(&mut journal, Input::Reject(STRANGER, reject.clone()));
    assert_eq!(phase(&journal), Phase::Judging);
    let mut refused = journal.clone();
    assert_eq!(put(&mut refused, Input::Refused(conflict())), [Effect::Reject(SIGNER)]);
    assert_eq!(put(&mut journal, Input::Reject(SIGNER, reject)), [], "who gave up is not told so");
    assert_eq!(Flow::replay(&journal).unwrap().ended().unwrap().code, Code::Conflict, "by its name");
}

#[test]
fn sessions_are_of_flows_and_never_the_connection() {
    assert_eq!(session_of(&FlowId([0; 16])), SessionId(1));
    assert_ne!(session_of(&FlowId([1; 16])), session_of(&FlowId([2; 16])));
}
