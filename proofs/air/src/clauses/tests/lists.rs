//! Published lists (section 11, item 18).

use std::collections::BTreeMap;

use ves_stark_primitives::clauses::tree::{self, Node, Path, build, leaf};

use super::*;

pub const ENTRIES: [u64; 6] = [0, 30, 40, 50, 1 << 40, u64::MAX];

/// A list of single entries with the path of each.
pub fn listed(entries: &[u64], depth: u8) -> (Root, Vec<Path>) {
    let pairs: Vec<(u64, u64)> = entries.iter().map(|&entry| (entry, 0)).collect();
    table(&pairs, depth)
}

/// A table of pairs with the path of each.
pub fn table(pairs: &[(u64, u64)], depth: u8) -> (Root, Vec<Path>) {
    let leaves: Vec<Node> = pairs.iter().map(|&(key, value)| leaf(key, value)).collect();
    let (top, paths) = build(&leaves, depth).unwrap();
    (Root::new(&top, depth, "2026-01", 500, 1_500), paths)
}

fn member(root: &Root, x: u64, path: &Path) -> Case {
    let clause = Clause::Member { x: 0, root: 0 };
    Case::with_lists(vec![clause], &[x], vec![root.clone()], vec![Some(Evidence::At(path.clone()))])
}

fn non_member(root: &Root, x: u64, left: (u64, &Path), right: (u64, &Path)) -> Case {
    let between = Evidence::Between { left: (left.0, left.1.clone()), right: (right.0, right.1.clone()) };
    Case::with_lists(vec![Clause::NonMember { x: 0, root: 0 }], &[x], vec![root.clone()], vec![Some(between)])
}

#[test]
fn a_member_is_a_leaf_of_the_tree() {
    for depth in [3, 4, 7] {
        let (root, paths) = listed(&ENTRIES, depth);
        for (entry, path) in ENTRIES.iter().zip(&paths) {
            assert!(member(&root, *entry, path).holds());
            assert!(!member(&root, entry ^ 1, path).holds());
        }
        assert!(!member(&root, 40, &paths[1]).holds(), "the path of another leaf");
        let (other, _) = listed(&ENTRIES[1..], depth);
        assert!(!member(&other, 40, &paths[2]).holds(), "another root");
        let mut path = paths[2].clone();
        path.siblings[1][3] ^= 1;
        assert!(!member(&root, 40, &path).holds(), "another sibling");
        let short = Path { siblings: paths[2].siblings[1..].to_vec(), place: paths[2].place >> 1 };
        assert!(!member(&root, 40, &short).holds(), "a leaf at another depth");
    }
    let (root, paths) = listed(&[40], 1);
    assert!(member(&root, 40, &paths[0]).holds() && !member(&root, 41, &paths[0]).holds());
}

/// A tree of the same root whose leaves are said to be one level higher: nodes do not pass for leaves.
#[test]
fn a_node_is_no_leaf() {
    let (root, paths) = listed(&ENTRIES, 3);
    let node = tree::node(&leaf(40, 0), &leaf(50, 0));
    assert_eq!(paths[0].siblings[1], node);
    let upper = Root::new(&root.node().unwrap(), 2, "2026-01", 500, 1_500);
    let path = Path { place: 1, siblings: paths[2].siblings[1..].to_vec() };
    let case = member(&upper, 40, &path);
    assert!(!case.holds());
    // The honest row puts the leaf's hash into the registers; whatever number it is, it is no node.
    for number in [0, 40, 50, u64::from(node[0]), u64::from(node[1]) << 32 | u64::from(node[0])] {
        let mut forge = |row: usize, choices: &mut Choices| {
            if row == 1 {
                choices.number = number;
            }
        };
        assert!(!case.is_forged(&mut forge));
    }
}

#[test]
fn a_non_member_lies_between_neighbours() {
    for depth in [3, 5] {
        let (root, paths) = listed(&ENTRIES, depth);
        let between = |x: u64, low: usize, high: usize| {
            non_member(&root, x, (ENTRIES[low], &paths[low]), (ENTRIES[high], &paths[high])).holds()
        };
        for low in 0..ENTRIES.len() - 1 {
            assert!(between(ENTRIES[low] + 1, low, low + 1) && between(ENTRIES[low + 1] - 1, low, low + 1));
            assert!(!between(ENTRIES[low], low, low + 1), "l >= x");
            assert!(!between(ENTRIES[low + 1], low, low + 1), "x >= r");
        }
        assert!(!between(45, 1, 2) && !between(10, 1, 2), "not between these");
        assert!(!between(35, 1, 3) && !between(40, 1, 3), "not neighbours");
        assert!(!between(35, 0, 2) && !between(35, 0, 5), "not neighbours");
        assert!(!between(35, 2, 1), "the wrong way round");
        assert!(!between(35, 1, 1) && !between(30, 1, 1), "one leaf twice");
    }
    let (empty, paths) = listed(&[0, u64::MAX], 1);
    let ends = |x| non_member(&empty, x, (0, &paths[0]), (u64::MAX, &paths[1])).holds();
    assert!(ends(1) && ends(35) && ends(u64::MAX - 1) && !ends(0) && !ends(u64::MAX));
}

/// A tree of padding alone shows the absence of nothing.
#[test]
fn a_tree_without_entries_answers_nothing() {
    let (root, _) = listed(&[], 2);
    let path = |place| Path { place, siblings: vec![tree::padding(); 2] };
    assert!(!non_member(&root, 35, (0, &path(0)), (u64::MAX, &path(1))).holds());
    assert!(!member(&root, 0, &path(0)).holds());
}

/// Places are compared over all 32 bits: a tree so deep is known by the paths to two of its leaves.
#[test]
fn neighbours_are_found_across_the_middle_of_the_deepest_tree() {
    for left_place in [0x0000_ffffu32, 0x7fff_ffff, 0xffff_fffe, 0, 0xfffe, 0x0001_0000, 0xffff] {
        let right_place = left_place + 1;
        let (root, left, right) = deep(left_place, right_place);
        let case = |left: &Path, right: &Path| non_member(&root, 35, (30, left), (40, right));
        assert!(case(&left, &right).holds(), "{left_place}");
        assert!(!case(&right, &left).holds(), "{left_place}");
    }
    for (left_place, right_place) in [
        (0, 2),
        (1, 0),
        (0xffff, 0),
        (0, 0x1_0001),
        (0x1_0000, 1),
        (0, 0xffff_ffff),
        (0xffff_ffff, 0),
        (0, 0x1_0000),
        // 2 + 65536 * 32512 - 1 is the field's order.
        (0, 0x7f00_0002),
        (1 << 16, 0x7f01_0002),
        (0x8000_0000, 0x8001_0001),
    ] {
        let (root, left, right) = deep(left_place, right_place);
        assert!(!non_member(&root, 35, (30, &left), (40, &right)).holds(), "{left_place} {right_place}");
    }
}

/// A tree of depth 32 with 30 and 40 at these places and padding elsewhere.
fn deep(left: u32, right: u32) -> (Root, Path, Path) {
    let mut empty = tree::padding();
    let mut paths = [left, right].map(|place| Path { place, siblings: Vec::new() });
    let mut level = BTreeMap::from([(left, leaf(30, 0)), (right, leaf(40, 0))]);
    for height in 0..32 {
        let at = |place: u32| level.get(&place).copied().unwrap_or(empty);
        for path in &mut paths {
            path.siblings.push(at(path.place >> height ^ 1));
        }
        level = level.keys().map(|place| (place >> 1, tree::node(&at(place & !1), &at(place | 1)))).collect();
        empty = tree::node(&empty, &empty);
    }
    let [left, right] = paths;
    (Root::new(&level[&0], 32, "deep", 0, 2_000), left, right)
}

#[test]
fn a_lookup_ties_key_and_value() {
    let pairs = [(1, 725), (2, 1900), (u64::MAX, 1 << 63)];
    let (root, paths) = table(&pairs, 2);
    let at = |key: u64, value: u64, n: usize| {
        let clause = Clause::Lookup { key: 0, root: 0, y: 1 };
        let evidence = vec![Some(Evidence::At(paths[n].clone()))];
        Case::with_lists(vec![clause], &[key, value], vec![root.clone()], evidence).holds()
    };
    for (n, (key, value)) in pairs.into_iter().enumerate() {
        assert!(at(key, value, n));
        assert!(!at(key, value + 1, n) && !at(key - 1, value, n) && !at(value, key, n));
    }
    assert!(!at(1, 1900, 0) && !at(1, 1900, 1) && !at(2, 725, 0));
    let (list, paths) = listed(&ENTRIES, 3);
    let pair = Clause::Lookup { key: 0, root: 0, y: 1 };
    let case = |value| {
        let evidence = vec![Some(Evidence::At(paths[2].clone()))];
        Case::with_lists(vec![pair.clone()], &[40, value], vec![list.clone()], evidence).holds()
    };
    assert!(case(0) && !case(1), "an entry of a list is a pair with 0");
}

/// A turn is one of two, and both halves of a node are hashed.
#[test]
fn a_path_is_followed_cell_by_cell() {
    let (root, paths) = listed(&ENTRIES, 3);
    let case = member(&root, 40, &paths[2]);
    assert!(case.holds());
    for level in 0..3 {
        let mut other_turn = |row: usize, choices: &mut Choices| {
            if row == 2 + 2 * level {
                choices.number ^= 1 << 63;
            }
        };
        assert!(!case.is_forged(&mut other_turn), "{level}");
        for k in 0..8 {
            let mut other_sibling = |row: usize, choices: &mut Choices| {
                if row == 2 + 2 * level {
                    choices.sibling[k] += Felt::ONE;
                }
            };
            assert!(!case.is_forged(&mut other_sibling), "{level} {k}");
        }
    }
}
