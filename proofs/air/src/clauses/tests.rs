use p3_field::PrimeCharacteristicRing;
use ves_stark_primitives::clauses::evaluate::Evidence;
use ves_stark_primitives::clauses::tree::Root;
use ves_stark_primitives::clauses::{Clause, Number, Relation, Rounding};

use super::*;
use crate::broken::{broken, broken_at};
use crate::circuit::Circuit;
use crate::fingerprint;
use crate::poseidon;

mod agreement;
mod arithmetic;
mod branches;
mod forged;
mod lists;

const NOW: u64 = 1_000;

/// A policy with inputs in clear and evidence by clause.
#[derive(Clone)]
struct Case {
    policy: ClausePolicy,
    values: Vec<u64>,
    evidence: Vec<Option<Evidence>>,
}

impl Case {
    fn new(clauses: Vec<Clause>, values: &[u64]) -> Self {
        Self::with_lists(clauses, values, Vec::new(), Vec::new())
    }

    fn with_lists(
        clauses: Vec<Clause>,
        values: &[u64],
        roots: Vec<Root>,
        evidence: Vec<Option<Evidence>>,
    ) -> Self {
        let policy = ClausePolicy::new(values.len() as u8, clauses, roots).unwrap();
        Self { policy, values: values.to_vec(), evidence }
    }

    fn circuit(&self) -> Clauses {
        let commitments = self.values.iter().enumerate().map(|(i, &value)| {
            let capacity = std::array::from_fn(|k| Felt::from_usize(1_000 * (i + 1) + k));
            let limbs = program::limbs(value);
            let input = std::array::from_fn(|k| match k {
                0..4 => Felt::from_i64(limbs[k]),
                4..8 => randomness(i)[k - 4],
                _ => capacity[k - 8],
            });
            let state = poseidon::permute::<Felt>(input);
            CommittedInput { capacity, commitment: std::array::from_fn(|k| state[k]) }
        });
        Clauses::new(&self.policy, commitments.collect()).unwrap()
    }

    /// The honest table with these branches, but for what `change` makes of it.
    fn table(&self, branches: &[usize], change: &mut dyn FnMut(usize, &mut Choices)) -> (Clauses, Vec<Felt>) {
        let circuit = self.circuit();
        let openings: Vec<_> =
            self.values.iter().enumerate().map(|(i, &value)| (value, randomness(i))).collect();
        let witness = ClausesWitness { openings: &openings, evidence: &self.evidence, branches };
        let trace = circuit.trace_with(&witness, change);
        (circuit, trace)
    }

    /// Whether the honest table satisfies every equation, for some choice of branches.
    fn is_satisfied(&self) -> bool {
        self.choices_of_branches().iter().any(|branches| {
            let (circuit, trace) = self.table(branches, &mut |_, _| ());
            broken(&circuit, &trace).is_empty()
        })
    }

    fn choices_of_branches(&self) -> Vec<Vec<usize>> {
        self.policy.clauses().iter().fold(vec![Vec::new()], |choices, clause| match clause {
            Clause::OneOf { clauses } => choices
                .iter()
                .flat_map(|choice| (0..clauses.len()).map(move |n| [&choice[..], &[n]].concat()))
                .collect(),
            _ => choices,
        })
    }

    fn is_true(&self) -> bool {
        let evidence = |clause: usize| self.evidence.get(clause).cloned().flatten();
        self.policy.evaluate(&self.values, &evidence, NOW).is_ok()
    }

    /// Equations and meaning agree; the answer is what they say.
    #[track_caller]
    fn holds(&self) -> bool {
        let holds = self.is_true();
        assert_eq!(self.is_satisfied(), holds, "{:?} {:?}", self.policy.clauses(), self.values);
        holds
    }

    /// Whether a forged table with the first branches breaks no equation.
    fn is_forged(&self, change: &mut dyn FnMut(usize, &mut Choices)) -> bool {
        let branches = vec![0; self.choices_of_branches()[0].len()];
        let (circuit, trace) = self.table(&branches, change);
        broken(&circuit, &trace).is_empty()
    }
}

fn randomness(i: usize) -> [Felt; 4] {
    std::array::from_fn(|k| Felt::from_usize(7_000_000 + 4 * i + k))
}

fn range(x: u8, lo: Option<u64>, hi: Option<u64>) -> Clause {
    Clause::Range { x, lo: lo.map(Number), hi: hi.map(Number) }
}

/// A policy with every kind of row.
fn everything() -> Case {
    let (root, paths) = lists::listed(&lists::ENTRIES, 3);
    let (table, rows) = lists::table(&[(7, 725), (8, 1900)], 2);
    let between = |low: usize, high: usize| Evidence::Between {
        left: (lists::ENTRIES[low], paths[low].clone()),
        right: (lists::ENTRIES[high], paths[high].clone()),
    };
    let clauses = vec![
        range(0, Some(1), Some(u64::MAX)),
        Clause::MulLe { q: 0, p: 1, y: 2 },
        Clause::Sum { xs: vec![2, 2, 0], relation: Relation::AtMost, y: 3 },
        Clause::Rate { base: 2, bps: None, bps_input: Some(4), tax: 5, mode: Rounding::HalfEven },
        Clause::NonMember { x: 0, root: 0 },
        Clause::Lookup { key: 6, root: 1, y: 4 },
        Clause::OneOf {
            clauses: vec![range(0, None, Some(1)), Clause::Member { x: 0, root: 0 }, range(0, Some(2), None)],
        },
        Clause::PrevTotal { prev: 0, x: 1, new: 7, limit: Some(Number(2_000)) },
    ];
    let mut evidence = vec![None; 11];
    evidence[4] = Some(between(1, 2));
    evidence[5] = Some(Evidence::At(rows[0].clone()));
    Case::with_lists(clauses, &[31, 1_000, 31_000, 70_000, 725, 2_248, 7, 1_031], vec![root, table], evidence)
}

#[test]
fn a_policy_with_every_clause_is_satisfied() {
    let case = everything();
    assert!(case.holds());
    for (input, value) in case.values.iter().enumerate() {
        for other in [value + 1, value - 1] {
            let mut case = case.clone();
            case.values[input] = other;
            // More than enough room was left for the third input's bound, and for nothing else.
            assert_eq!(case.holds(), input == 3, "input {input}");
        }
    }
}

/// Cells that nothing else determines must be bits; every other cell is determined.
#[test]
fn every_determined_cell_is_bound() {
    let (circuit, honest) = everything().table(&[2], &mut |_, _| ());
    assert!(broken(&circuit, &honest).is_empty());
    let (layout, rows) = (circuit.layout(), circuit.rows.len());
    for row in (0..rows).chain([rows, rows + 1, (1 << circuit.log_rows) - 1]) {
        for column in (0..layout.columns).step_by(1 + row % 3) {
            // The first row's registers and scratch are handed by nobody, and it does not read them.
            let is_unread = row == 0 && (layout.registers..layout.state).contains(&column);
            if is_unread && !(layout.sum..layout.scratch).contains(&column) {
                continue;
            }
            let cell = row * layout.columns + column;
            let is_bit = (layout.bits..layout.sibling).contains(&column);
            if (layout.sibling..layout.cubes).contains(&column) {
                continue;
            }
            let mut trace = honest.clone();
            trace[cell] = if is_bit { Felt::TWO } else { honest[cell] + Felt::ONE };
            let neighbours = [row.saturating_sub(1), row];
            let found = broken_at(&circuit, &trace, &neighbours);
            assert!(!found.is_empty(), "row {row}, column {column}");
        }
    }
}

#[test]
fn a_commitment_opens_to_its_own_number_only() {
    let case = Case::new(vec![range(0, None, Some(10))], &[5]);
    assert!(case.holds());
    let circuit = case.circuit();
    for (value, randomness) in [(6, randomness(0)), (5, randomness(1)), (5 + (1 << 16), randomness(0))] {
        let openings = [(value, randomness)];
        let trace = circuit.trace(&ClausesWitness { openings: &openings, evidence: &[], branches: &[] });
        assert!(!broken(&circuit, &trace).is_empty(), "{value}");
    }
    // Section 11, item 8: another number in the clauses than in the hash.
    let openings = [(5, self::randomness(0))];
    let witness = ClausesWitness { openings: &openings, evidence: &[], branches: &[] };
    let trace = circuit.trace_with(&witness, &mut |row, choices| {
        if row == 0 {
            choices.number = 6;
        }
    });
    assert!(!broken(&circuit, &trace).is_empty());
}

#[test]
fn a_policy_that_needs_too_many_rows_is_refused() {
    let root = Root::new(&[0; 8], 32, "v", 0, 2_000);
    let clauses = |count: usize| vec![Clause::NonMember { x: 0, root: 0 }; count];
    let new = |count| {
        let policy = ClausePolicy::new(1, clauses(count), vec![root.clone()]).unwrap();
        Clauses::new(&policy, vec![Clauses::template().inputs[0]])
    };
    assert_eq!(new(31).map(|circuit| circuit.log_rows).ok(), Some(12));
    assert_eq!(new(32).map(|circuit| circuit.rows.len()).err(), Some(TooManyRows { rows: 1 + 32 * 132 }));
}

#[test]
fn the_fingerprint_is_that_of_the_equations() {
    assert_eq!(
        fingerprint(&Clauses::template(), 0..Clauses::template().fixed_columns().len()),
        Clauses::FINGERPRINT
    );
}

#[test]
fn the_digest_changes_with_the_policy() {
    let digest = |clauses| Case::new(clauses, &[5, 6]).circuit().digest();
    let bounded = |hi| range(0, None, Some(hi));
    let one_of = |x| Clause::OneOf { clauses: vec![range(x, None, Some(9)), range(1, None, Some(9))] };
    let digests = [
        digest(vec![bounded(9)]),
        digest(vec![bounded(10)]),
        digest(vec![range(1, None, Some(9))]),
        digest(vec![range(0, Some(9), None)]),
        digest(vec![bounded(9), bounded(9)]),
        digest(vec![one_of(0)]),
        digest(vec![one_of(1)]),
    ];
    for (i, one) in digests.iter().enumerate() {
        assert!(!digests[..i].contains(one), "{i}");
    }
    let mut other = Case::new(vec![bounded(9)], &[5, 6]);
    other.values[0] = 7;
    assert_ne!(other.circuit().digest(), digests[0], "a commitment is in a row as well");
}
