//! Disjunctions: one branch counts, and which one is free to choose.

use p3_field::Field;

use super::*;

fn either(values: [u64; 2]) -> Case {
    let small = |x| range(x, None, Some(10));
    Case::new(vec![Clause::OneOf { clauses: vec![small(0), small(1)] }], &values)
}

#[test]
fn one_branch_is_enough_and_none_is_not() {
    assert!(either([5, 50]).holds() && either([50, 5]).holds() && either([5, 5]).holds());
    assert!(!either([50, 50]).holds());
    for branch in [0, 1] {
        let (circuit, trace) = either([5, 5]).table(&[branch], &mut |_, _| ());
        assert!(broken(&circuit, &trace).is_empty(), "either of two that hold can be shown");
    }
    let (circuit, trace) = either([5, 50]).table(&[1], &mut |_, _| ());
    assert!(!broken(&circuit, &trace).is_empty(), "the branch that is shown must hold");
}

/// No flag, both, or something between: with the operands that would fit them.
#[test]
fn exactly_one_flag_is_one() {
    for values in [[50, 50], [5, 50], [5, 5]] {
        let (circuit, honest) = either(values).table(&[0], &mut |_, _| ());
        let layout = circuit.layout();
        let half = Felt::TWO.inverse();
        for flags in [[0, 0], [1, 1], [2, 0], [0, 2]]
            .map(|flags| flags.map(Felt::from_usize))
            .into_iter()
            .chain([[half, half], [Felt::TWO, Felt::NEG_ONE], [Felt::NEG_ONE, Felt::TWO]])
        {
            let mut trace = honest.clone();
            for row in trace.chunks_exact_mut(layout.columns) {
                row[8..10].copy_from_slice(&flags);
            }
            // Rows of the branches with what follows from the flags: on, x = on * (input - 10), and no number.
            for (place, (&flag, value)) in flags.iter().zip(values).enumerate() {
                let row = &mut trace[(2 + place) * layout.columns..][..layout.columns];
                row[layout.on] = flag;
                let limb = flag * (Felt::from_u64(value) - Felt::from_u32(10));
                row[layout.x..layout.x + 4].copy_from_slice(&[Felt::ZERO, Felt::ZERO, Felt::ZERO, limb]);
            }
            assert!(!broken(&circuit, &trace).is_empty(), "{flags:?}");
        }
    }
}

/// Without any flag no row of a branch counts, and nothing else is missing.
#[test]
fn no_flag_at_all_is_refused_for_that_alone() {
    let (circuit, trace) = either([50, 50]).table(&[2], &mut |_, _| ());
    let found = broken(&circuit, &trace);
    assert!(found.len() == 1 && found[0].0 == 0, "{found:?}");
}

/// Flags of which neither is a bit, chosen so that everything else fits two false branches: x - 10 is u and v, and
/// f u = -d and (1 - f) v = -e for numbers d and e of 16 bits. Only that flags are bits stands against it.
#[test]
fn flags_that_are_no_bits_are_refused_for_that_alone() {
    const P: u64 = 0x7f00_0001;
    let [u, v] = [50_001u64, 50_000];
    let target = 2 * P - u * v;
    let e = (0..1 << 16).find(|e| target.checked_sub(u * e).is_some_and(|rest| rest % v == 0)).unwrap();
    let d = (target - u * e) / v;
    assert!(d < 1 << 16);
    let case = either([10 + u, 10 + v]);
    assert!(!case.holds());
    let (circuit, mut trace) = case.table(&[0], &mut |row, choices| match row {
        2 => (choices.number, choices.carries) = (d, Some(0)),
        3 => (choices.number, choices.carries) = (e, Some(0)),
        _ => (),
    });
    let layout = circuit.layout();
    let flags = [(d, u), (e, v)].map(|(number, above)| -Felt::from_u64(number) / Felt::from_u64(above));
    assert_eq!(flags[0] + flags[1], Felt::ONE);
    for row in trace.chunks_exact_mut(layout.columns) {
        row[8..10].copy_from_slice(&flags);
    }
    for (place, (flag, number)) in flags.into_iter().zip([d, e]).enumerate() {
        let row = &mut trace[(2 + place) * layout.columns..][..layout.columns];
        row[layout.on] = flag;
        row[layout.x + 3] = -Felt::from_u64(number);
        row[layout.x..layout.x + 3].fill(Felt::ZERO);
    }
    let found = broken(&circuit, &trace);
    assert!(found.len() == 2 && found.iter().all(|(row, _)| *row == 0), "{found:?}");
}

/// A branch of any kind is empty where it is not shown, whatever its inputs are.
#[test]
fn a_branch_that_is_not_shown_says_nothing() {
    let (root, _) = lists::listed(&lists::ENTRIES, 3);
    for clause in [
        range(0, Some(u64::MAX), None),
        Clause::Sum { xs: vec![0, 0], relation: Relation::Equal, y: 1 },
        Clause::Sum { xs: vec![0, 0], relation: Relation::AtMost, y: 1 },
        Clause::MulLe { q: 0, p: 0, y: 1 },
        Clause::Rate { base: 0, bps: Some(725), bps_input: None, tax: 1, mode: Rounding::Floor },
        Clause::Rate { base: 0, bps: Some(725), bps_input: None, tax: 1, mode: Rounding::HalfUp },
        Clause::Rate { base: 0, bps: None, bps_input: Some(0), tax: 1, mode: Rounding::HalfEven },
        Clause::TimeIn { t: 0, from: Number(1), until: Number(2) },
        Clause::Member { x: 0, root: 0 },
        Clause::NonMember { x: 0, root: 0 },
        Clause::Lookup { key: 0, root: 0, y: 1 },
    ] {
        let of_lists =
            matches!(clause, Clause::Member { .. } | Clause::NonMember { .. } | Clause::Lookup { .. });
        let roots = if of_lists { vec![root.clone()] } else { Vec::new() };
        let clauses = vec![Clause::OneOf { clauses: vec![clause, range(1, None, Some(9))] }];
        let case = |values| Case::with_lists(clauses.clone(), values, roots.clone(), vec![None; 3]);
        assert!(case(&[123_456_789_012_345_678, 9]).holds(), "{clauses:?}");
        assert!(!case(&[123_456_789_012_345_678, 10]).holds(), "{clauses:?}");
    }
}

#[test]
fn several_disjunctions_choose_apart() {
    let small = |x| range(x, None, Some(10));
    let one_of = |a, b| Clause::OneOf { clauses: vec![small(a), small(b)] };
    let case = |values: &[u64]| Case::new(vec![one_of(0, 1), small(2), one_of(1, 3)], values).holds();
    assert!(case(&[5, 50, 5, 5]) && case(&[50, 5, 5, 50]));
    assert!(!case(&[5, 50, 5, 50]) && !case(&[50, 50, 5, 5]) && !case(&[5, 5, 50, 5]));
}

#[test]
fn the_largest_policies_have_a_table() {
    let clauses: Vec<Clause> = (0..32).map(|x| range(x, Some(3), Some(7))).collect();
    let mut values = [5; 64];
    assert!(Case::new(clauses.clone(), &values).holds(), "32 clauses, 64 inputs");
    values[31] = 8;
    assert!(!Case::new(clauses, &values).holds());
    let clauses: Vec<Clause> = (0..31).map(|x| range(x, Some(8), None)).collect();
    values[30] = 8;
    let case = Case::new(vec![Clause::OneOf { clauses }], &values);
    assert!(case.is_true() && case.is_satisfied(), "31 branches");
    values[30] = 7;
    assert!(!Case::new(case.policy.clauses().to_vec(), &values).holds());
}
