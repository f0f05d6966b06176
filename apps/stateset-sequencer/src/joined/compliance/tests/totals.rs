//! Which totals a statement continues, before any proof.

use ves::hash::Hasher;
use ves_stark_primitives::ClausePolicy;
use ves_stark_primitives::clauses::{Clause, Number};

use super::super::totals::steps;
use super::*;

fn inputs(policy: Policy) -> PublicInputs {
    let facts = EventFacts {
        event_id: ves::EventId::from_bytes([1; 16]),
        stream: stream(1),
        sequence_number: SequenceNumber(1),
        payload_kind: 0,
        payload_plain_hash: ves::Digest([1; 32]),
        payload_cipher_hash: ves::Digest([2; 32]),
        event_signing_hash: ves::Digest([3; 32]),
    };
    let named = |n: u32| {
        let field = FieldDescription::new(&format!("x{n}"), "", "amount", "EUR", 2).unwrap();
        CommittedField { commitment: opening(u64::from(n), n).commit(&field), field }
    };
    PublicInputs {
        event: EventInputs { facts, policy, bindings: Default::default(), witness_commitment: None },
        suite: SuiteId::Standard,
        commitments: (0..4).map(named).collect(),
        binding_level: BindingLevel::Signed,
        chain_context: "test".to_owned(),
        valid_until: None,
    }
}

fn of(clauses: Vec<Clause>) -> Vec<(usize, usize)> {
    let inputs = inputs(ClausePolicy::new(4, clauses, Vec::new()).unwrap().policy());
    let place = |total| {
        let hash = |committed: &CommittedField| {
            Hasher::bare().bytes(committed.commitment.as_bytes()).finish() == total
        };
        inputs.commitments.iter().position(hash).unwrap()
    };
    steps(&inputs).unwrap().into_iter().map(|step| (place(step.previous), place(step.new))).collect()
}

#[test]
fn a_clause_about_a_running_total_continues_the_total_that_it_names() {
    let limit = Some(Number(100));
    let total = |prev, new| Clause::PrevTotal { prev, x: 1, new, limit };
    let range = Clause::Range { x: 1, lo: None, hi: limit };
    assert_eq!(of(vec![range.clone()]), []);
    assert_eq!(of(vec![range, total(0, 2), total(2, 3)]), [(0, 2), (2, 3)]);
    assert_eq!(steps(&inputs(cap())), Ok(Vec::new()), "a policy about one amount names no earlier total");
}
