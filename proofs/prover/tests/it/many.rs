//! Many proofs at once: every verdict is the one that the proof has alone.

use std::num::NonZeroUsize;

use ves::TimestampMs;
use ves_stark_primitives::{ProofError, Statement, SuiteId};
use ves_stark_prover::{Hashed, prove_batch, prove_payload};
use ves_stark_verifier::{
    PayloadStatement, StatedProof, Subject, verify_batch, verify_many, verify_one_event, verify_payload,
};

use crate::support::{Seeded, batch, opening, proved, statement};

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn every_verdict_of_a_mixed_list_is_the_single_one() {
    let (event, good) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    let (proven_event, proven) = proved(SuiteId::Proven, 1, 10_000, 2);
    let (events, openings) = batch(SuiteId::Standard, &[1, 2, 3], 10);
    let of_events = prove_batch(&events, &openings, &mut Seeded::new(3)).unwrap();
    let (text, opened) = (r#"{"total":7}"#, opening(7, 4));
    let payload = PayloadStatement {
        event: statement(SuiteId::Standard, 10, &opened),
        payload_hash: ves::hash::Hasher::bare()
            .bytes(b"VES_PAYLOAD_PLAIN_V1")
            .bytes(text.as_bytes())
            .finish(),
        is_salted: false,
        key: "total".to_owned(),
        log_slots: PayloadStatement::log_slots_for(text.len(), false).unwrap(),
    };
    let hashed = Hashed { salt: &[], payload: text.as_bytes() };
    let of_payload = prove_payload(&payload, &opened, &hashed, &mut Seeded::new(5)).unwrap();
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 1;

    let (event, proven_event, payload) =
        (Statement::Amount(event), Statement::Amount(proven_event), Statement::Payload(payload));
    let (one, many, whole) = (Subject::Event(&event), Subject::Batch(&events), Subject::Event(&payload));
    let list: Vec<(Subject<'_>, &[u8])> = vec![
        (one, &good),
        (many, &of_events),
        (one, &damaged),
        (whole, &of_payload),
        (one, &proven),
        (Subject::Event(&proven_event), &proven),
        (many, &good),
        (whole, &of_events),
        (one, &[]),
        (one, &good),
    ];
    let singly = |&(subject, proof): &(Subject<'_>, &[u8])| match subject {
        Subject::Event(Statement::Amount(statement)) => verify_one_event(statement, proof),
        Subject::Event(Statement::Payload(statement)) => verify_payload(statement, proof),
        Subject::Event(Statement::Clauses(_)) => unreachable!("none is in the list"),
        Subject::Batch(statement) => verify_batch(statement, proof),
    };
    let expected: Vec<_> = list.iter().map(singly).collect();
    let holds = [true, true, false, true, false, true, false, false, false, true];
    assert_eq!(expected.iter().map(Result::is_ok).collect::<Vec<_>>(), holds);
    assert!(matches!(expected[4], Err(ProofError::Parameters { .. } | ProofError::TooLarge { .. })));

    let proofs: Vec<StatedProof<'_>> =
        list.iter().map(|&(subject, proof)| StatedProof { subject, proof }).collect();
    for count in [1, 2, 3, 64] {
        assert_eq!(verify_many(&proofs, TimestampMs(0), threads(count)), expected, "{count} threads");
    }
    assert_eq!(verify_many(&[], TimestampMs(0), threads(2)), []);
}
