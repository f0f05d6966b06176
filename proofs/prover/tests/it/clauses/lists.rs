//! Published lists (item 18).

use ves_stark_primitives::clauses::tree::{Node, Path, build, leaf};

use super::*;

const ENTRIES: [u64; 5] = [0, 30, 40, 50, u64::MAX];

/// A table of pairs, valid around `NOW`, with the path of each.
fn table(pairs: &[(u64, u64)], depth: u8) -> (Root, Vec<Path>) {
    let leaves: Vec<Node> = pairs.iter().map(|&(key, value)| leaf(key, value)).collect();
    let (top, paths) = build(&leaves, depth).unwrap();
    (Root::new(&top, depth, "2026-01", 500, 1_500), paths)
}

fn listed(entries: &[u64], depth: u8) -> (Root, Vec<Path>) {
    table(&entries.iter().map(|&entry| (entry, 0)).collect::<Vec<_>>(), depth)
}

fn at(clause: Clause, values: &[u64], root: &Root, path: &Path) -> Case {
    let evidence = vec![Some(Evidence::At(path.clone()))];
    Case::with_lists(SuiteId::Standard, vec![clause], values, vec![root.clone()], evidence)
}

fn between(x: u64, root: &Root, left: (u64, &Path), right: (u64, &Path)) -> Case {
    let evidence = Evidence::Between { left: (left.0, left.1.clone()), right: (right.0, right.1.clone()) };
    let clause = Clause::NonMember { x: 0, root: 0 };
    Case::with_lists(SuiteId::Standard, vec![clause], &[x], vec![root.clone()], vec![Some(evidence)])
}

/// That many clauses saying that 35 is on no list of depth 32.
pub fn absent_of_deep_list(clauses: usize) -> Case {
    let (root, paths) = listed(&[30, 40], 2);
    // The list's tree as the lowest corner of one of depth 32.
    let mut top = root.node().unwrap();
    let mut above = Vec::new();
    for height in 2..32 {
        let other = (0..height).fold(ves_stark_primitives::clauses::tree::padding(), |node, _| {
            ves_stark_primitives::clauses::tree::node(&node, &node)
        });
        top = ves_stark_primitives::clauses::tree::node(&top, &other);
        above.push(other);
    }
    let path =
        |n: usize| Path { place: paths[n].place, siblings: [&paths[n].siblings[..], &above[..]].concat() };
    let evidence = Evidence::Between { left: (30, path(0)), right: (40, path(1)) };
    Case::with_lists(
        SuiteId::Standard,
        vec![Clause::NonMember { x: 0, root: 0 }; clauses],
        &[35],
        vec![Root::new(&top, 32, "deep", 0, 2_000)],
        vec![Some(evidence); clauses],
    )
}

#[track_caller]
fn accepted(case: &Case) {
    assert!(case.accepts(&case.prove().unwrap()));
}

#[track_caller]
fn refused(case: &Case, what: &str) {
    let unsatisfied = Unproved::Unsatisfied(Unsatisfied::Clause { clause: 0 });
    assert_eq!(case.prove(), Err(unsatisfied), "{what}");
    assert!(case.is_invalid(&case.forge(&[], &mut |_, _| ())), "{what}");
}

#[test]
fn members() {
    let member = Clause::Member { x: 0, root: 0 };
    let (root, paths) = listed(&ENTRIES, 3);
    accepted(&at(member.clone(), &[40], &root, &paths[2]));
    refused(&at(member.clone(), &[41], &root, &paths[2]), "not on the list");
    refused(&at(member.clone(), &[40], &root, &paths[1]), "another path");
    let (other, _) = listed(&ENTRIES[1..], 3);
    refused(&at(member.clone(), &[40], &other, &paths[2]), "another list");
    let short = Path { siblings: paths[2].siblings[1..].to_vec(), place: 1 };
    refused(&at(member.clone(), &[40], &root, &short), "a leaf at another depth");
    let upper = Root::new(&root.node().unwrap(), 2, "2026-01", 500, 1_500);
    refused(&at(member, &[40], &upper, &short), "an inner node as a leaf");
}

/// A path may come from a file: an element that is none of the field is an error that names the clause, in a debug build too.
#[test]
fn a_path_with_an_element_above_the_modulus_is_refused() {
    let (root, paths) = listed(&ENTRIES, 3);
    let member = at(Clause::Member { x: 0, root: 0 }, &[40], &root, &paths[2]);
    accepted(&member);
    let unsatisfied = Unproved::Unsatisfied(Unsatisfied::Clause { clause: 0 });
    for element in [0x7f00_0001, u32::MAX] {
        let mut path = paths[2].clone();
        path.siblings[1][3] = element;
        assert_eq!(at(Clause::Member { x: 0, root: 0 }, &[40], &root, &path).prove(), Err(unsatisfied));
        let absent = between(35, &root, (30, &paths[1]), (40, &path));
        assert_eq!(absent.prove(), Err(unsatisfied));
        // In a branch that is not shown it is not looked at.
        let mut hidden = member.clone();
        let either =
            Clause::OneOf { clauses: vec![range(0, None, Some(50)), Clause::Member { x: 0, root: 0 }] };
        hidden.statement.policy = ClausePolicy::new(1, vec![either], vec![root.clone()]).unwrap();
        hidden.evidence = vec![None, None, Some(Evidence::At(path))];
        accepted(&hidden);
    }
}

#[test]
fn lookups() {
    let (root, paths) = table(&[(1, 725), (2, 1_900)], 1);
    let lookup = Clause::Lookup { key: 0, root: 0, y: 1 };
    accepted(&at(lookup.clone(), &[2, 1_900], &root, &paths[1]));
    refused(&at(lookup.clone(), &[2, 725], &root, &paths[1]), "another value");
    refused(&at(lookup.clone(), &[2, 725], &root, &paths[0]), "another key's value");
    refused(&at(lookup, &[1_900, 2], &root, &paths[1]), "value and key exchanged");
}

#[test]
fn non_members() {
    let (root, paths) = listed(&ENTRIES, 3);
    let case = |x, low: usize, high: usize| {
        between(x, &root, (ENTRIES[low], &paths[low]), (ENTRIES[high], &paths[high]))
    };
    accepted(&case(35, 1, 2));
    accepted(&case(1, 0, 1));
    accepted(&case(u64::MAX - 1, 3, 4));
    refused(&case(30, 1, 2), "the left neighbour itself");
    refused(&case(40, 1, 2), "the right neighbour itself");
    refused(&case(45, 1, 2), "above both");
    refused(&case(20, 1, 2), "below both");
    refused(&case(40, 1, 3), "not neighbours");
    refused(&case(35, 2, 1), "the wrong way round");
    refused(&between(35, &root, (31, &paths[1]), (40, &paths[2])), "a left neighbour that is not listed");
    let (empty, paths) = listed(&[], 1);
    refused(
        &between(
            35,
            &empty,
            (0, &Path { place: 0, siblings: vec![leaf(0, 0)] }),
            (u64::MAX, &Path { place: 1, siblings: vec![leaf(0, 0)] }),
        ),
        "a tree of padding",
    );
    assert!(paths.is_empty());
    let (ends, paths) = listed(&[0, u64::MAX], 1);
    accepted(&between(35, &ends, (0, &paths[0]), (u64::MAX, &paths[1])));
}

/// Item 18: the list's interval, both ends included. A list in a branch that is not shown counts as well.
#[test]
fn a_list_out_of_its_interval_is_refused() {
    let (root, paths) = listed(&ENTRIES, 3);
    let member = Clause::Member { x: 0, root: 0 };
    let shown = at(member.clone(), &[40], &root, &paths[2]);
    let mut hidden = shown.clone();
    let either = vec![Clause::OneOf { clauses: vec![range(0, None, Some(50)), member] }];
    hidden.statement.policy = ClausePolicy::new(1, either, vec![root]).unwrap();
    hidden.evidence = Vec::new();
    for case in [shown, hidden] {
        let proof = case.prove().unwrap();
        for now in [500, 1_000, 1_500] {
            assert!(verify_clauses(&case.statement, now, &proof).is_ok(), "{now}");
        }
        for now in [0, 499, 1_501, u64::MAX] {
            assert!(matches!(verify_clauses(&case.statement, now, &proof), Err(ProofError::Invalid { .. })));
            let evidence = |clause: usize| case.evidence.get(clause).cloned().flatten();
            let refused = prove_clauses(&case.statement, &case.openings, &evidence, now, &mut Seeded::new(1));
            assert_eq!(refused, Err(Unproved::RootNotValid { root: 0 }));
        }
    }
}
