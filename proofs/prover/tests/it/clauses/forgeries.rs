//! What a prover can try with a false witness: the honest prover refuses it by the clause's number, and the proof that a
//! cheating one makes is refused by the verifier.

use ves_stark_primitives::clauses::evaluate::Unsatisfied;

use super::*;

const TOP: u64 = u64::MAX;

/// The case is refused on both sides.
#[track_caller]
fn refused(clause: Clause, values: &[u64]) {
    let case = Case::new(SuiteId::Standard, vec![clause.clone()], values);
    let unsatisfied = Unproved::Unsatisfied(Unsatisfied::Clause { clause: 0 });
    assert_eq!(case.prove(), Err(unsatisfied), "{clause:?}");
    assert!(case.is_invalid(&case.forge(&[], &mut |_, _| ())), "{clause:?} {values:?}");
}

#[track_caller]
fn accepted(clause: Clause, values: &[u64]) {
    let case = Case::new(SuiteId::Standard, vec![clause.clone()], values);
    assert!(case.accepts(&case.prove().unwrap()), "{clause:?} {values:?}");
}

/// Items 4 and 5.
#[test]
fn ranges() {
    for x in [100, 200] {
        accepted(range(0, Some(100), Some(200)), &[x]);
    }
    for x in [99, 201, 0, TOP, 100 + 0x7f00_0001, 100 + (1 << 32)] {
        refused(range(0, Some(100), Some(200)), &[x]);
    }
    let time = |t| (Clause::TimeIn { t: 0, from: Number(100), until: Number(200) }, [t]);
    let (clause, values) = time(200);
    accepted(clause, &values);
    let (clause, values) = time(201);
    refused(clause, &values);
}

#[test]
fn sums() {
    let sum = |relation| Clause::Sum { xs: vec![0, 1], relation, y: 2 };
    accepted(sum(Relation::Equal), &[TOP - 1, 1, TOP]);
    accepted(sum(Relation::AtMost), &[3, 4, 8]);
    for values in [[3, 4, 6], [3, 4, 8], [TOP, 1, 0], [0x7f00_0001, 1, 1]] {
        refused(sum(Relation::Equal), &values);
    }
    for values in [[3, 4, 6], [TOP, 2, 1], [TOP, TOP, TOP]] {
        refused(sum(Relation::AtMost), &values);
    }
    let total = Clause::PrevTotal { prev: 0, x: 1, new: 2, limit: Some(Number(10)) };
    accepted(total.clone(), &[4, 6, 10]);
    for values in [[4, 7, 11], [4, 6, 9], [4, 6, 11], [TOP, 1, 0]] {
        refused(total.clone(), &values);
    }
}

#[test]
fn products() {
    let product = Clause::MulLe { q: 0, p: 1, y: 2 };
    accepted(product.clone(), &[0xffff_ffff, 0xffff_ffff, 0xffff_ffff * 0xffff_ffff]);
    for values in [[3, 5, 14], [3, 5, 16], [1 << 32, 1 << 32, 0], [TOP, TOP, 1], [1 << 31, 1 << 33, 0]] {
        refused(product.clone(), &values);
    }
}

/// Item 19.
#[test]
fn rates() {
    let rate = |mode| Clause::Rate { base: 0, bps: Some(500), bps_input: None, tax: 1, mode };
    for (mode, base, tax) in [
        (Rounding::Floor, 30, 1),
        (Rounding::HalfUp, 30, 2),
        (Rounding::HalfEven, 30, 2),
        (Rounding::HalfEven, 50, 2),
        (Rounding::HalfUp, 50, 3),
    ] {
        accepted(rate(mode), &[base, tax]);
        refused(rate(mode), &[base, tax + 1]);
        refused(rate(mode), &[base, tax - 1]);
    }
    let by_input = Clause::Rate { base: 0, bps: None, bps_input: Some(2), tax: 1, mode: Rounding::Floor };
    accepted(by_input.clone(), &[10_000, 100_000, 100_000]);
    refused(by_input, &[10_000, 100_001, 100_001]);
}

/// A remainder of 10,000 and more in place of a higher tax.
#[test]
fn a_remainder_above_its_bound() {
    let rate = Clause::Rate { base: 0, bps: Some(725), bps_input: None, tax: 1, mode: Rounding::Floor };
    let base: u64 = 123_450_789;
    let (part, tax) = (base % 10_000, base * 725 / 10_000);
    let (quotient, remainder) = (part * 725 / 10_000, part * 725 % 10_000);
    let forged = |tax: u64, quotient: u64, remainder: u64, rest: u64| {
        let case = Case::new(SuiteId::Standard, vec![rate.clone()], &[base, tax]);
        let proof = case.forge(&[], &mut |row, choices| {
            if row == 2 {
                choices.number = part << 50 | quotient << 33 | remainder << 19 | (rest & 0x3fff) << 5;
                let product = (remainder * (rest & 0x3fff)) as u32;
                choices.sibling[0] = felt_from_canonical(product).unwrap();
            }
        });
        case.accepts(&proof)
    };
    assert!(forged(tax, quotient, remainder, 9_999 - remainder));
    assert!(!forged(tax - 1, quotient - 1, remainder + 10_000, u64::wrapping_sub(9_999, remainder + 10_000)));
    assert!(!forged(tax - 1, quotient - 1, remainder + 10_000, 0));
}

/// No flag, two flags, or flags that are no bits.
#[test]
fn flags() {
    let either = Clause::OneOf { clauses: vec![range(0, None, Some(10)), range(1, None, Some(10))] };
    let case = Case::new(SuiteId::Standard, vec![either], &[5, 50]);
    let circuit = clauses_circuit(&case.statement).unwrap();
    let columns = ves_stark_air::Circuit::columns(&circuit);
    let openings: Vec<_> = case
        .openings
        .iter()
        .map(|opening| (opening.value(), opening.blinding().map(|word| felt_from_canonical(word).unwrap())))
        .collect();
    let witness = ClausesWitness { openings: &openings, evidence: &[], branches: &[0] };
    let honest = circuit.trace(&witness);
    let with_flags = |flags: [u32; 2]| {
        let mut table = honest.clone();
        for row in table.chunks_exact_mut(columns) {
            row[8..10].copy_from_slice(&flags.map(|flag| felt_from_canonical(flag).unwrap()));
        }
        case.forge_table(table)
    };
    assert!(case.accepts(&with_flags([1, 0])));
    for flags in [[1, 1], [0, 0], [0, 1], [2, 0], [2, 0x7f00_0000], [0x3f80_0001, 0x3f80_0001]] {
        assert!(case.is_invalid(&with_flags(flags)), "{flags:?}");
    }
    let mut other = honest.clone();
    other[8 + columns] += felt_from_canonical(1).unwrap();
    assert!(case.is_invalid(&case.forge_table(other)), "a flag that changes on the way");
}

/// Item 8: another number in the clauses than behind the commitment.
#[test]
fn another_number_than_the_committed_one() {
    let case = Case::new(SuiteId::Standard, vec![range(0, None, Some(10))], &[11]);
    let lower = Case::new(SuiteId::Standard, vec![range(0, None, Some(10))], &[10]);
    let proof = lower.prove().unwrap();
    assert!(lower.accepts(&proof) && case.is_invalid(&proof));
    let forged = Case { openings: lower.openings.clone(), ..case.clone() }.forge(&[], &mut |_, _| ());
    assert!(case.is_invalid(&forged), "the table of ten under the commitment to eleven");
    let hashed = case.forge(&[], &mut |row, choices| {
        if row == 1 {
            choices.number = 0;
        }
    });
    assert!(case.is_invalid(&hashed));
}
