//! Zero knowledge of composed policies (section 11, tests a to c): neither the number, nor the branch that holds, nor a place on
//! a list can be told from what a proof opens. Lengths (e) are compared in `clauses`.

use std::collections::HashSet;

use ves_stark_air::Circuit as _;
use ves_stark_primitives::clauses::evaluate::Evidence;
use ves_stark_primitives::clauses::lists::List;
use ves_stark_primitives::clauses::{Clause, Number};
use ves_stark_primitives::{ClausePolicy, ClausesStatement, Opening, SuiteId};
use ves_stark_prover::hiding::Masks;
use ves_stark_prover::prove_clauses_with;
use ves_stark_verifier::backend::parameters::Profile;
use ves_stark_verifier::backend::{clauses_circuit, clauses_shape};

use crate::support::{amount_field, digest, opening};
use crate::zero_knowledge::{CHI_SQUARED_MAX, absent, drawn, opened, separation};

const NOW: u64 = 1_000;
/// A flag of a branch and the number's limbs are the same on every row, so without masks they separate every proof: the
/// statistic is twice this, in every run.
const PROOFS_PER_VALUE: u64 = 48;

/// A list that names both amounts that are compared, and one that names neither.
const LISTS: [&str; 2] = [
    r#"{"version":"1","validFrom":0,"validUntil":2000,"entries":[5,9,60000,70000]}"#,
    r#"{"version":"2","validFrom":0,"validUntil":2000,"entries":[30,61000],"absence":true}"#,
];

/// The number is on one list, not on the other, and either small or large. Branch, places and neighbours differ with it.
fn stated(amount: u64, seed: u64) -> (ClausesStatement, Vec<Opening>, Vec<Option<Evidence>>) {
    let lists = LISTS.map(|text| List::parse(text).unwrap());
    let range =
        |lo: Option<u64>, hi: Option<u64>| Clause::Range { x: 0, lo: lo.map(Number), hi: hi.map(Number) };
    let clauses = vec![
        Clause::OneOf { clauses: vec![range(None, Some(10)), range(Some(50_000), None)] },
        Clause::Member { x: 0, root: 0 },
        Clause::NonMember { x: 0, root: 1 },
    ];
    let policy =
        ClausePolicy::new(1, clauses, lists.iter().map(|list| list.root().clone()).collect()).unwrap();
    let evidence = policy.evidence(&[amount], &lists).unwrap();
    let opening = opening(amount, seed);
    let statement = ClausesStatement {
        suite: SuiteId::Standard,
        digest: digest(b"clauses"),
        policy,
        capacities: vec![amount_field().capacity()],
        commitments: vec![opening.commit(&amount_field())],
    };
    (statement, vec![opening], evidence)
}

/// Opened values of a proof about `amount`.
fn values(amount: u64, seed: u64, masks: &mut dyn Masks) -> Vec<u32> {
    let (statement, openings, evidence) = stated(amount, seed);
    let proof = prove_clauses_with(&statement, &openings, &evidence, NOW, masks).unwrap();
    let circuit = clauses_circuit(&statement).unwrap();
    opened(&clauses_shape(Profile::Standard, circuit.log_rows(), circuit.held()), &proof)
}

/// (a)
#[test]
fn two_proofs_of_one_policy_share_no_value() {
    let [one, other] = [1, 2].map(|seed| values(5, 1, &mut *drawn(seed)));
    let of_one: HashSet<u32> = one.into_iter().collect();
    assert_eq!(other.iter().filter(|value| of_one.contains(value)).count(), 0);
}

/// (b)
#[test]
fn no_opened_value_of_a_composed_proof_tells_numbers_branches_or_places_apart() {
    let found = separation(PROOFS_PER_VALUE, drawn, values);
    assert!(found < CHI_SQUARED_MAX, "chi-squared {found}");
}

/// (c)
#[test]
fn the_test_sees_a_leak_of_a_composed_proof_when_there_are_no_masks() {
    let found = separation(PROOFS_PER_VALUE, absent, values);
    assert!(found > 1.1 * CHI_SQUARED_MAX, "chi-squared {found}");
}
