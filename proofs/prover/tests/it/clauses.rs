//! Proofs about composed policies (section 11, items 3 to 8, 13 to 16, 18 and 19), each refusal beside an accepted twin.

mod forgeries;
mod lists;

use ves_stark_air::{Choices, ClausesWitness, felt_from_canonical};
use ves_stark_primitives::clauses::evaluate::{Evidence, Unsatisfied};
use ves_stark_primitives::clauses::tree::Root;
use ves_stark_primitives::clauses::{Clause, Number, Relation, Rounding, Unproved};
use ves_stark_primitives::{ClausePolicy, FieldDescription, Opening, ProofError, SuiteId};
use ves_stark_prover::hiding::Drawn;
use ves_stark_prover::{engine, prove_clauses};
use ves_stark_verifier::backend::{Claim, clauses_circuit, clauses_shape, profile};
use ves_stark_verifier::{
    ClausesStatement, Kind, clauses_security, decode, verify_batch, verify_clauses, verify_one_event,
};

use crate::support::{Seeded, batch, digest, opening, proved};

const NOW: u64 = 1_000;

/// A statement with what opens it.
#[derive(Clone)]
struct Case {
    statement: ClausesStatement,
    openings: Vec<Opening>,
    evidence: Vec<Option<Evidence>>,
}

impl Case {
    fn new(suite: SuiteId, clauses: Vec<Clause>, values: &[u64]) -> Self {
        Self::with_lists(suite, clauses, values, Vec::new(), Vec::new())
    }

    fn with_lists(
        suite: SuiteId,
        clauses: Vec<Clause>,
        values: &[u64],
        roots: Vec<Root>,
        evidence: Vec<Option<Evidence>>,
    ) -> Self {
        let openings: Vec<Opening> =
            values.iter().enumerate().map(|(i, &value)| opening(value, i as u64)).collect();
        let fields: Vec<FieldDescription> = (0..values.len()).map(field).collect();
        let statement = ClausesStatement {
            suite,
            digest: digest(b"clauses"),
            policy: ClausePolicy::new(values.len() as u8, clauses, roots).unwrap(),
            capacities: fields.iter().map(FieldDescription::capacity).collect(),
            commitments: openings.iter().zip(&fields).map(|(opening, field)| opening.commit(field)).collect(),
        };
        Self { statement, openings, evidence }
    }

    fn prove(&self) -> Result<Vec<u8>, Unproved> {
        self.prove_with(1)
    }

    fn prove_with(&self, seed: u64) -> Result<Vec<u8>, Unproved> {
        let evidence = |clause: usize| self.evidence.get(clause).cloned().flatten();
        prove_clauses(&self.statement, &self.openings, &evidence, NOW, &mut Seeded::new(seed))
    }

    /// What a cheating prover makes of these branches and choices, whether they satisfy the equations or not.
    fn forge(&self, branches: &[usize], change: &mut dyn FnMut(usize, &mut Choices)) -> Vec<u8> {
        let circuit = clauses_circuit(&self.statement).unwrap();
        let openings: Vec<_> = self
            .openings
            .iter()
            .map(|opening| {
                (opening.value(), opening.blinding().map(|word| felt_from_canonical(word).unwrap()))
            })
            .collect();
        let witness = ClausesWitness { openings: &openings, evidence: &self.evidence, branches };
        self.forge_table(circuit.trace_with(&witness, change))
    }

    fn forge_table(&self, table: Vec<ves_stark_air::Felt>) -> Vec<u8> {
        let circuit = clauses_circuit(&self.statement).unwrap();
        let claim = Claim { circuit: &circuit, statement_digest: &self.statement.digest.0 };
        let profile = profile(self.statement.suite).unwrap();
        let shape = clauses_shape(profile, ves_stark_air::Circuit::log_rows(&circuit), circuit.held());
        engine::forge(&claim, &shape, table, &mut Drawn::new(&mut Seeded::new(9), b"forged"))
    }

    fn accepts(&self, proof: &[u8]) -> bool {
        verify_clauses(&self.statement, NOW, proof).is_ok()
    }

    fn is_invalid(&self, proof: &[u8]) -> bool {
        matches!(verify_clauses(&self.statement, NOW, proof), Err(ProofError::Invalid { .. }))
    }
}

fn field(place: usize) -> FieldDescription {
    FieldDescription::new(&format!("input{place}"), "", "amount", "USD", 2).unwrap()
}

fn range(x: u8, lo: Option<u64>, hi: Option<u64>) -> Clause {
    Clause::Range { x, lo: lo.map(Number), hi: hi.map(Number) }
}

/// Lines of quantity, price and amount, their total, the tax on it, and the sum of both below a limit.
fn invoice(suite: SuiteId, lines: u8) -> Case {
    let mut clauses: Vec<Clause> =
        (0..lines).map(|line| Clause::MulLe { q: 3 * line, p: 3 * line + 1, y: 3 * line + 2 }).collect();
    let mut values: Vec<u64> =
        (0..u64::from(lines)).flat_map(|line| [line + 1, 1_999, (line + 1) * 1_999]).collect();
    let (total, tax, due) = (3 * lines, 3 * lines + 1, 3 * lines + 2);
    let sum: u64 = (0..u64::from(lines)).map(|line| (line + 1) * 1_999).sum();
    let of_sum = (sum * 1_900 + 5_000) / 10_000;
    values.extend([sum, of_sum, sum + of_sum]);
    let xs = (0..lines).map(|line| 3 * line + 2).collect();
    clauses.extend([
        Clause::Sum { xs, relation: Relation::Equal, y: total },
        Clause::Rate { base: total, bps: Some(1_900), bps_input: None, tax, mode: Rounding::HalfUp },
        Clause::Sum { xs: vec![total, tax], relation: Relation::Equal, y: due },
        range(due, None, Some(1_000_000)),
    ]);
    Case::new(suite, clauses, &values)
}

#[test]
fn policies_are_proved_in_both_suites() {
    for suite in [SuiteId::Standard, SuiteId::Proven] {
        for case in [Case::new(suite, vec![range(0, Some(1), Some(10))], &[5]), invoice(suite, 3)] {
            let proof = case.prove().unwrap();
            let security = verify_clauses(&case.statement, NOW, &proof).unwrap();
            assert_eq!(security, clauses_security(suite, &case.statement.policy).unwrap());
            assert!(security.conjectured_bits >= 100 && security.zk);
            let outline = decode(&proof).unwrap();
            assert_eq!((outline.kind, outline.suite, outline.bytes), (Kind::Clauses, suite, proof.len()));
            assert_eq!(outline.security, security);
        }
    }
}

/// Every size of table, by policies that need more and more rows.
#[test]
fn tables_of_every_size_are_proved() {
    let product = Clause::MulLe { q: 0, p: 1, y: 2 };
    for (clauses, rows) in [(1, 64), (10, 128), (20, 256), (32, 512)] {
        let case = Case::new(SuiteId::Standard, vec![product.clone(); clauses], &[3, 5, 15]);
        let proof = case.prove().unwrap();
        assert!(case.accepts(&proof));
        assert_eq!(decode(&proof).unwrap().rows, rows, "{clauses}");
    }
    for (clauses, rows) in [(6, 1_024), (12, 2_048), (31, 4_096)] {
        let case = lists::absent_of_deep_list(clauses);
        let proof = case.prove().unwrap();
        assert!(case.accepts(&proof));
        assert_eq!(decode(&proof).unwrap().rows, rows, "{clauses}");
    }
}

#[test]
fn the_most_clauses_and_inputs_are_proved() {
    let clauses: Vec<Clause> = (0..32).map(|x| range(x, Some(3), Some(7))).collect();
    let case = Case::new(SuiteId::Standard, clauses.clone(), &[5; 64]);
    assert!(case.accepts(&case.prove().unwrap()));
    let mut values = [5; 64];
    values[31] = 8;
    let false_one = Case::new(SuiteId::Standard, clauses, &values);
    assert_eq!(false_one.prove(), Err(Unproved::Unsatisfied(Unsatisfied::Clause { clause: 31 })));
    assert!(false_one.is_invalid(&false_one.forge(&[], &mut |_, _| ())));
    let branches: Vec<Clause> = (0..31).map(|x| range(x, Some(8), None)).collect();
    values[30] = 8;
    let case = Case::new(SuiteId::Standard, vec![Clause::OneOf { clauses: branches }], &values);
    assert!(case.accepts(&case.prove().unwrap()), "31 branches");
}

#[test]
fn a_policy_that_needs_too_many_rows_is_refused_before_anything_is_proved() {
    let case = lists::absent_of_deep_list(32);
    assert_eq!(case.prove(), Err(Unproved::TooManyRows { rows: 4_225, rows_max: 4_096 }));
    assert!(matches!(verify_clauses(&case.statement, NOW, &[]), Err(ProofError::Malformed { .. })));
    assert!(clauses_security(SuiteId::Standard, &case.statement.policy).is_err());
}

#[test]
fn what_does_not_fit_the_statement_is_refused_by_name() {
    let case =
        Case::new(SuiteId::Standard, vec![range(0, None, Some(10)), range(1, None, Some(10))], &[5, 6]);
    assert!(case.prove().is_ok());
    let with = |change: fn(&mut Case)| {
        let mut other = case.clone();
        change(&mut other);
        other.prove()
    };
    assert_eq!(with(|c| c.openings.swap(0, 1)), Err(Unproved::OtherCommitment { input: 0 }));
    assert_eq!(with(|c| c.openings[1] = opening(6, 7)), Err(Unproved::OtherCommitment { input: 1 }));
    assert_eq!(with(|c| c.openings.truncate(1)), Err(Unproved::InputCount { expected: 2 }));
    assert_eq!(with(|c| c.statement.commitments.truncate(1)), Err(Unproved::InputCount { expected: 2 }));
    assert_eq!(with(|c| c.statement.capacities[1][3] = u32::MAX), Err(Unproved::Capacity { input: 1 }));
    assert!(matches!(with(|c| c.statement.suite = SuiteId::Legacy), Err(Unproved::Unsupported { .. })));
}

/// Items 2, 3, 4 and 7.
#[test]
fn another_statement_is_not_proved() {
    let clauses = |limit| vec![range(0, None, Some(limit)), range(1, None, Some(limit))];
    let case = Case::new(SuiteId::Standard, clauses(10), &[5, 6]);
    let proof = case.prove().unwrap();
    assert!(case.accepts(&proof));
    let policy = |clauses| ClausePolicy::new(2, clauses, Vec::new()).unwrap();
    let mut others: Vec<(&str, ClausesStatement)> = Vec::new();
    let mut add = |what, change: &dyn Fn(&mut ClausesStatement)| {
        let mut other = case.statement.clone();
        change(&mut other);
        others.push((what, other));
    };
    add("a higher limit", &|s| s.policy = policy(clauses(11)));
    add("a lower limit", &|s| s.policy = policy(clauses(9)));
    add("clauses swapped", &|s| s.policy = policy(clauses(10).into_iter().rev().collect()));
    add("a clause less", &|s| s.policy = policy(clauses(10)[..1].to_vec()));
    add("the same limit as a time", &|s| {
        let time = |t| Clause::TimeIn { t, from: Number(0), until: Number(10) };
        s.policy = policy(vec![time(0), time(1)]);
    });
    add("commitments swapped", &|s| s.commitments.swap(0, 1));
    add("one commitment twice", &|s| s.commitments[1] = s.commitments[0]);
    add("capacities swapped", &|s| s.capacities.swap(0, 1));
    add("another unit", &|s| s.capacities[0][0] ^= 1);
    add("another digest", &|s| s.digest.0[31] ^= 1);
    for (what, other) in others {
        assert!(matches!(verify_clauses(&other, NOW, &proof), Err(ProofError::Invalid { .. })), "{what}");
    }
    let mut short = case.statement.clone();
    short.capacities.pop();
    assert!(matches!(verify_clauses(&short, NOW, &proof), Err(ProofError::Malformed { .. })));
    let proven = ClausesStatement { suite: SuiteId::Proven, ..case.statement.clone() };
    assert!(matches!(verify_clauses(&proven, NOW, &proof), Err(ProofError::Parameters { .. })));
}

#[test]
fn proofs_of_other_kinds_are_not_exchanged() {
    let case = Case::new(SuiteId::Standard, vec![range(0, None, Some(10_000))], &[5_000]);
    let proof = case.prove().unwrap();
    let (of_event, of_event_proof) = proved(SuiteId::Standard, 5_000, 10_000, 1);
    let (of_batch, _) = batch(SuiteId::Standard, &[5_000], 10_000);
    assert!(case.accepts(&proof));
    assert!(matches!(
        verify_clauses(&case.statement, NOW, &of_event_proof),
        Err(ProofError::Parameters { .. })
    ));
    for refused in [verify_one_event(&of_event, &proof), verify_batch(&of_batch, &proof)] {
        assert!(matches!(refused, Err(ProofError::Parameters { .. } | ProofError::TooLarge { .. })));
    }
}

/// Item 1, one bit of every 29th byte; `rejection` changes every byte of a proof of the same format.
#[test]
fn no_byte_can_be_changed() {
    let case = Case::new(SuiteId::Standard, vec![range(0, None, Some(10))], &[5]);
    let mut proof = case.prove().unwrap();
    assert!(case.accepts(&proof));
    for i in (0..proof.len()).step_by(29) {
        proof[i] ^= 1 << (i % 8);
        assert!(!case.accepts(&proof), "byte {i}");
        proof[i] ^= 1 << (i % 8);
    }
    proof.push(0);
    assert!(!case.accepts(&proof));
    proof.truncate(proof.len() - 2);
    assert!(!case.accepts(&proof));
}

/// Items 12 and 16: whatever table a header claims, the bytes are read or refused.
#[test]
fn a_header_of_any_table_is_read_or_refused() {
    let case = Case::new(SuiteId::Standard, vec![range(0, None, Some(10))], &[5]);
    let mut proof = case.prove().unwrap();
    let honest = proof.clone();
    assert!(decode(&proof).is_ok());
    for log_rows in [0, 5, 6, 7, 12, 13, 64, 255] {
        for columns in [0u16, 282, 283, 286, 287, 288, 291, 569, 570, 571, u16::MAX] {
            proof[7] = log_rows;
            proof[12..14].copy_from_slice(&columns.to_le_bytes());
            assert_eq!(decode(&proof).is_ok(), proof == honest, "{log_rows} {columns}");
            assert_eq!(case.accepts(&proof), proof == honest, "{log_rows} {columns}");
        }
    }
}

/// Both branches make a proof of the same statement, and nothing tells which it was: not the verdict, the length, or what
/// the proof says of itself.
#[test]
fn which_branch_holds_stays_hidden() {
    let either = vec![Clause::OneOf { clauses: vec![range(0, None, Some(10)), range(1, None, Some(10))] }];
    let case = Case::new(SuiteId::Standard, either.clone(), &[5, 6]);
    // Both hold: a prover that shows the second and one that shows the first.
    let [first, second] = [0, 1].map(|branch| case.forge(&[branch], &mut |_, _| ()));
    assert!(case.accepts(&first) && case.accepts(&second) && first != second);
    assert_eq!(decode(&first).unwrap().rows, decode(&second).unwrap().rows);
    // One holds: lengths differ by shared paths alone, as those of two proofs of one branch do.
    let lengths = |values: [u64; 2]| -> (usize, usize) {
        let case = Case::new(SuiteId::Standard, either.clone(), &values);
        let lengths: Vec<usize> = (0..12).map(|seed| case.prove_with(seed).unwrap().len()).collect();
        (*lengths.iter().min().unwrap(), *lengths.iter().max().unwrap())
    };
    let (of_first, of_second) = (lengths([5, 50]), lengths([50, 5]));
    assert!(of_first.0 <= of_second.1 && of_second.0 <= of_first.1, "{of_first:?} {of_second:?}");
    let none = Case::new(SuiteId::Standard, either, &[50, 50]);
    assert_eq!(none.prove(), Err(Unproved::Unsatisfied(Unsatisfied::Clause { clause: 0 })));
    for branch in [0, 1, 2] {
        assert!(none.is_invalid(&none.forge(&[branch], &mut |_, _| ())), "{branch}");
    }
}

/// BLAKE3 hashes of proofs made with a known generator; see `golden`.
#[test]
fn proofs_of_a_known_generator_keep_their_bytes() {
    const GOLDEN: [(SuiteId, usize, &str); 2] = [
        (SuiteId::Standard, 38_848, "430cc09aac67849b7c51fe5730e561ff0b177622f7d4167374a31fed8ca9ad5e"),
        (SuiteId::Proven, 72_112, "035a331af3c42db8c33e9a88774a280eccf867c988efe075cc9087635b620a34"),
    ];
    let found = GOLDEN.map(|(suite, _, _)| {
        let case =
            Case::new(suite, vec![range(0, Some(1), Some(10)), Clause::MulLe { q: 0, p: 0, y: 1 }], &[5, 25]);
        let proof = case.prove().unwrap();
        assert!(case.accepts(&proof));
        (suite, proof.len(), blake3::hash(&proof).to_hex().to_string())
    });
    assert_eq!(found, GOLDEN.map(|(suite, bytes, hash)| (suite, bytes, hash.to_owned())));
}
