//! Tables of a false witness in which everything fits but for one kind of equation: each shows that this one is needed.

use ves_stark_primitives::clauses::tree::{self, Node, Path, leaf};

use super::*;
use crate::poseidon::WIDTH;

/// The rows at which an equation is broken.
fn rows_of_fault(
    circuit: &Clauses,
    witness: &ClausesWitness<'_>,
    change: &mut dyn FnMut(usize, &mut Choices),
) -> Vec<usize> {
    let mut rows: Vec<usize> =
        broken(circuit, &circuit.trace_with(witness, change)).into_iter().map(|(row, _)| row).collect();
    rows.dedup();
    rows
}

/// The same for the inputs of a case.
fn faults(case: &Case, change: &mut dyn FnMut(usize, &mut Choices)) -> Vec<usize> {
    let openings: Vec<_> = case.values.iter().enumerate().map(|(i, &value)| (value, randomness(i))).collect();
    let witness = ClausesWitness { openings: &openings, evidence: &case.evidence, branches: &[] };
    rows_of_fault(&case.circuit(), &witness, change)
}

fn state(first: &Node, second: [u32; 8]) -> [Felt; WIDTH] {
    std::array::from_fn(|k| Felt::from_u32(if k < 8 { first[k] } else { second[k - 8] }))
}

fn at(x: u64, root: &Root, path: &Path) -> Case {
    let clause = Clause::Member { x: 0, root: 0 };
    Case::with_lists(vec![clause], &[x], vec![root.clone()], vec![Some(Evidence::At(path.clone()))])
}

/// Section 11, item 8: the clauses see 5, the hash 11.
#[test]
fn the_number_that_is_hashed_is_that_of_the_clauses() {
    let circuit = Case::new(vec![range(0, None, Some(10))], &[11]).circuit();
    let honest =
        circuit.trace(&ClausesWitness { openings: &[(11, randomness(0))], evidence: &[], branches: &[] });
    let first = &honest[circuit.layout().state..][..WIDTH];
    let witness = ClausesWitness { openings: &[(5, randomness(0))], evidence: &[], branches: &[] };
    let mut hash_of_another = |row: usize, choices: &mut Choices| {
        if row == 0 {
            choices.state = first.try_into().ok();
        }
    };
    assert_eq!(rows_of_fault(&circuit, &witness, &mut hash_of_another), [0]);
    // The number that is hashed is 11, and something was kept before the first row.
    let mut kept_before = |row: usize, choices: &mut Choices| {
        if row == 0 {
            (choices.number, choices.kept) = (11, Some(5u64.wrapping_sub(11)));
        }
    };
    assert!(!rows_of_fault(&circuit, &witness, &mut kept_before).is_empty());
    let witness = ClausesWitness { openings: &[(16, randomness(0))], ..witness };
    let at_least = Case::new(vec![range(0, Some(16), None)], &[11]).circuit();
    let mut kept_before = |row: usize, choices: &mut Choices| {
        if row == 0 {
            (choices.number, choices.kept) = (11, Some(5));
        }
    };
    assert_eq!(rows_of_fault(&at_least, &witness, &mut kept_before), [0]);
}

/// Item 7: the commitment was made for another field or unit.
#[test]
fn a_commitment_is_opened_under_its_own_capacity() {
    let mut circuit = Case::new(vec![range(0, None, Some(10))], &[5]).circuit();
    let witness = ClausesWitness { openings: &[(5, randomness(0))], evidence: &[], branches: &[] };
    let honest = circuit.trace(&witness);
    assert!(broken(&circuit, &honest).is_empty());
    let first = &honest[circuit.layout().state..][..WIDTH];
    let policy = Case::new(vec![range(0, None, Some(10))], &[5]).policy;
    circuit.inputs[0].capacity[7] += Felt::ONE;
    let circuit = Clauses::new(&policy, circuit.inputs).unwrap();
    let mut other_capacity = |row: usize, choices: &mut Choices| {
        if row == 0 {
            choices.state = first.try_into().ok();
        }
    };
    assert_eq!(rows_of_fault(&circuit, &witness, &mut other_capacity), [0]);
}

#[test]
fn what_is_kept_is_the_number_of_the_row() {
    let sum = Case::new(vec![Clause::Sum { xs: vec![0, 1], relation: Relation::Equal, y: 2 }], &[3, 4, 8]);
    assert!(!sum.holds());
    let mut kept = |row: usize, choices: &mut Choices| {
        if row == 4 {
            choices.kept = Some(4);
        }
    };
    assert_eq!(faults(&sum, &mut kept), [3]);
}

/// A pair of the table passes for an entry of a list, or for another pair.
#[test]
fn the_second_half_of_a_leaf_is_bound() {
    let (root, paths) = lists::table(&[(40, 7), (50, 0)], 1);
    let member = at(40, &root, &paths[0]);
    let lookup = Clause::Lookup { key: 0, root: 0, y: 1 };
    let evidence = vec![Some(Evidence::At(paths[0].clone()))];
    let lookup = Case::with_lists(vec![lookup], &[40, 8], vec![root], evidence);
    for (case, leaf_row) in [(member, 1), (lookup, 2)] {
        assert!(!case.holds());
        let pair = [0, 0, 0, 40, 0, 0, 0, 7];
        let mut other_second = |row: usize, choices: &mut Choices| {
            if row == leaf_row {
                choices.state = Some(state(&pair, tree::leaf_capacity()));
            }
        };
        assert_eq!(faults(&case, &mut other_second), [leaf_row]);
    }
}

/// 41 is on no list; its leaf is exchanged for that of an entry, on the left side of a node and on the right side.
#[test]
fn both_halves_of_a_node_are_bound() {
    let (root, paths) = lists::listed(&lists::ENTRIES, 3);
    let left = at(41, &root, &paths[2]);
    let mut other_left = |row: usize, choices: &mut Choices| {
        if row == 2 {
            choices.state = Some(state(&leaf(40, 0), tree::node_capacity()));
        }
    };
    assert!(!left.holds());
    assert_eq!(faults(&left, &mut other_left), [2]);
    let right = at(41, &root, &paths[3]);
    let first = poseidon::permute(state(&leaf(40, 0), tree::node_capacity()));
    let second = leaf(50, 0).map(Felt::from_u32);
    let mut other_right = |row: usize, choices: &mut Choices| {
        if row == 3 {
            choices.state =
                Some(std::array::from_fn(|k| first[k] + second.get(k).copied().unwrap_or_default()));
        }
    };
    assert!(!right.holds());
    assert_eq!(faults(&right, &mut other_right), [2]);
}

/// A root that follows where the sponge's capacity is forgotten between the halves, and one under no capacity at all.
#[test]
fn a_node_keeps_the_sponges_capacity() {
    let [left, right] = [leaf(40, 0), leaf(50, 0)];
    for forgets in [true, false] {
        let capacity = if forgets { tree::node_capacity() } else { [0; 8] };
        let first = state(&left, capacity);
        let permuted = poseidon::permute(first);
        let second: [Felt; WIDTH] = std::array::from_fn(|k| match k {
            0..8 => permuted[k] + Felt::from_u32(right[k]),
            _ if forgets => Felt::ZERO,
            _ => permuted[k],
        });
        let top = poseidon::permute(second);
        let top = std::array::from_fn(|k| u32::from_le_bytes(felt_bytes(top[k])));
        let root = Root::new(&top, 1, "forged", 0, 2_000);
        let case = at(40, &root, &Path { place: 0, siblings: vec![right] });
        assert!(!case.holds());
        let mut other_capacity = |row: usize, choices: &mut Choices| match row {
            2 => choices.state = Some(first),
            3 => choices.state = Some(second),
            _ => (),
        };
        assert_eq!(faults(&case, &mut other_capacity), [2]);
    }
}
