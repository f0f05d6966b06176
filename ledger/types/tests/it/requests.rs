//! Requests: what section 4.1 lets pass, and that nothing of an envelope can be changed by another.

use proptest::prelude::*;
use stateset_ledger_types::codec::List;
use stateset_ledger_types::envelope::{Envelope, Request};
use stateset_ledger_types::ids::ChainId;
use stateset_ledger_types::stateless::{Rules, check};
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Code, Params};

use crate::build::{self, body, rules, sign};

fn code(bytes: &[u8]) -> Code {
    check(bytes, &rules()).expect_err("refused").code
}

/// Signs anew after `change`, as the submitter could.
fn changed(envelope: &Envelope, change: impl FnOnce(&mut Request)) -> Vec<u8> {
    let mut request = envelope.request().clone();
    change(&mut request);
    Envelope::signed(request, &build::chain(), |message| sign(5, message)).bytes().to_vec()
}

#[test]
fn good_requests_pass_with_their_ids() {
    let whole = body(3, 2);
    let checked = check(build::notarise(&whole, 3).bytes(), &rules()).unwrap();
    assert_eq!(*checked.tx_id(), whole.tx_id(Mode::Private));
    assert_eq!(checked.spent().len(), 3);
    let checked = check(build::public(&whole, 3).bytes(), &rules()).unwrap();
    assert_eq!(*checked.tx_id(), whole.tx_id(Mode::Public));
}

#[test]
fn a_request_reads_back_as_it_was_written() {
    for envelope in [build::notarise(&body(2, 3), 2), build::public(&body(2, 3), 2)] {
        assert_eq!(Envelope::from_bytes(envelope.bytes()), Ok(envelope));
    }
}

#[test]
fn limits_are_those_of_the_parameters() {
    let envelope = build::notarise(&body(3, 2), 3);
    let with = |name, value| {
        let mut params = Params::default();
        params.set(name, value).unwrap();
        check(envelope.bytes(), &Rules::new(build::chain(), &params)).map_err(|refusal| refusal.code).err()
    };
    assert_eq!(with("max_inputs", 3), None);
    assert_eq!(with("max_inputs", 2), Some(Code::TooLarge));
    assert_eq!(with("max_capsules", 1), Some(Code::TooLarge));
    assert_eq!(with("max_policy_keys", 2), Some(Code::TooLarge));
    let large = build::public(&body(3, 100), 3);
    assert!(large.bytes().len() > 20_000);
    assert_eq!(code(&[large.bytes(), &[0; 65_536]].concat()), Code::TooLarge);
}

#[test]
fn openings_have_to_reach_their_threshold() {
    let envelope = build::notarise(&body(1, 0), 1);
    let tx_id = *check(envelope.bytes(), &rules()).unwrap().tx_id();
    let opened = |openings| {
        code(&changed(&envelope, |request| {
            let Request::Notarise(request) = request else { panic!("is one") };
            request.openings = List::new(openings).unwrap();
        }))
    };
    assert_eq!(opened(Vec::new()), Code::PolicyNotMet);
    assert_eq!(opened(build::openings(1, &tx_id, |n| n == 1)), Code::PolicyNotMet);
    // C6: signatures for another transaction consume nothing here.
    assert_eq!(
        opened(build::openings(1, &stateset_ledger_types::ids::TxId([9; 32]), |_| true)),
        Code::BadSignature
    );
    let mut other = build::openings(1, &tx_id, |_| true);
    other[0].blind = build::blind_of(77);
    assert_eq!(opened(other), Code::PolicyNotMet);
    let good = changed(&envelope, |request| {
        let Request::Notarise(request) = request else { panic!("is one") };
        request.openings = List::new(build::openings(1, &tx_id, |n| n > 1)).unwrap();
    });
    // Other valid openings: the same transaction.
    assert_eq!(*check(&good, &rules()).unwrap().tx_id(), tx_id);
}

#[test]
fn a_transaction_of_another_chain_is_refused() {
    let envelope = build::notarise(&body(0, 1), 0);
    let other = Rules { chain_id: ChainId::new("ssn-test-2").unwrap(), ..rules() };
    assert_eq!(check(envelope.bytes(), &other).unwrap_err().code, Code::BadTxId);
}

#[test]
fn what_is_consumed_twice_or_also_referenced_is_refused() {
    let mut whole = body(2, 1);
    let own = whole.body.nullifiers[0].spent_key();
    whole.body.references = List::new([own]).unwrap();
    assert_eq!(code(build::notarise(&whole, 2).bytes()), Code::Malformed);

    let mut whole = body(2, 0);
    let first = whole.body.nullifiers[0];
    whole.body.nullifiers = List::new([first, first]).unwrap();
    let mut envelope = build::notarise(&whole, 2);
    if let Request::Notarise(request) = envelope.request() {
        let mut request = request.clone();
        request.openings = List::new(vec![request.openings[0].clone(); 2]).unwrap();
        envelope = Envelope::signed(Request::Notarise(request), &build::chain(), |m| sign(5, m));
    }
    assert_eq!(code(envelope.bytes()), Code::Malformed);
}

#[test]
fn every_key_that_a_command_lists_has_to_sign() {
    let envelope = build::public(&body(0, 2), 0);
    let unsigned = changed(&envelope, |request| {
        let Request::PublicTx(request) = request else { panic!("is one") };
        request.signatures = List::default();
    });
    assert_eq!(code(&unsigned), Code::NotAuthorised);
}

#[test]
fn lanes_that_are_not_open_are_refused_as_such() {
    assert_eq!(code(b"\x0a\x01\x02"), Code::Unsupported);
    assert_eq!(code(b"SSN1\x04\0\0\0\0"), Code::Unsupported);
    assert_eq!(code(b"SSN1\x09\0\0\0\0"), Code::Malformed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Section 3.5: nobody else can change anything of a request, inside or outside its id.
    #[test]
    fn a_changed_request_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, public: bool) {
        let envelope = if public { build::public(&body(1, 1), 1) } else { build::notarise(&body(1, 1), 1) };
        let mut bytes = envelope.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // The submitter's entity is covered by its signature, so the only way to pass would be a second signature.
        prop_assert!(check(&bytes, &rules()).is_err(), "byte {at}");
    }

    #[test]
    fn a_cut_or_longer_request_is_refused(cut in any::<prop::sample::Index>(), more in 1usize..9) {
        let bytes = build::notarise(&body(1, 1), 1).bytes().to_vec();
        prop_assert!(check(&bytes[..cut.index(bytes.len())], &rules()).is_err());
        prop_assert_eq!(code(&[bytes, vec![0; more]].concat()), Code::Malformed);
    }
}
