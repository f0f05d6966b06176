use super::evaluate::{Evidence, Unsatisfied};
use super::tree::{Node, Path, build, leaf, node};
use super::*;
use crate::poseidon2;

const NOW: u64 = 1_000;

fn none(_: usize) -> Option<Evidence> {
    None
}

fn policy(inputs: u8, clause: Clause) -> ClausePolicy {
    ClausePolicy::new(inputs, vec![clause], Vec::new()).unwrap()
}

fn holds(clause: Clause, inputs: &[u64]) -> bool {
    policy(inputs.len() as u8, clause).evaluate(inputs, &none, NOW).is_ok()
}

#[test]
fn ranges_sums_and_products_do_not_wrap() {
    let range = |lo, hi| Clause::Range { x: 0, lo, hi };
    for (x, expected) in [(9, false), (10, true), (20, true), (21, false), (u64::MAX, false)] {
        assert_eq!(holds(range(Some(Number(10)), Some(Number(20))), &[x]), expected, "{x}");
    }
    assert!(holds(range(None, Some(Number(u64::MAX))), &[u64::MAX]));
    let sum = |relation| Clause::Sum { xs: vec![0, 1, 0], relation, y: 2 };
    assert!(holds(sum(Relation::Equal), &[2, 3, 7]) && holds(sum(Relation::AtMost), &[2, 3, 8]));
    assert!(!holds(sum(Relation::Equal), &[2, 3, 8]) && !holds(sum(Relation::AtMost), &[2, 3, 6]));
    assert!(!holds(sum(Relation::Equal), &[1 << 63, 5, 5]), "2^64 + 5 is not 5");
    let product = Clause::MulLe { q: 0, p: 1, y: 2 };
    assert!(holds(product.clone(), &[3, 1450, 4350]) && !holds(product.clone(), &[3, 1450, 4349]));
    assert!(!holds(product, &[1 << 32, 1 << 32, 0]), "2^64 is not 0");
    let total = |limit| Clause::PrevTotal { prev: 0, x: 1, new: 2, limit };
    assert!(holds(total(Some(Number(10))), &[4, 6, 10]) && !holds(total(Some(Number(9))), &[4, 6, 10]));
    assert!(!holds(total(None), &[u64::MAX, 1, 0]));
    let time = Clause::TimeIn { t: 0, from: Number(5), until: Number(6) };
    assert!(holds(time.clone(), &[5]) && holds(time.clone(), &[6]) && !holds(time, &[7]));
}

/// Section 11, item 19.
#[test]
fn each_rounding_is_exact_at_its_half() {
    let rate = |mode| Clause::Rate { base: 0, bps: Some(500), bps_input: None, tax: 1, mode };
    // 5 % of 10, 30 and 31: 0.5, 1.5 and 1.55.
    for (base, floor, half_up, half_even) in
        [(10u64, 0u64, 1u64, 0u64), (30, 1, 2, 2), (31, 1, 2, 2), (9, 0, 0, 0)]
    {
        for (mode, tax) in
            [(Rounding::Floor, floor), (Rounding::HalfUp, half_up), (Rounding::HalfEven, half_even)]
        {
            for wrong in [tax + 1, tax.wrapping_sub(1)] {
                assert!(!holds(rate(mode), &[base, wrong]), "{base} {mode:?} {wrong}");
            }
            assert!(holds(rate(mode), &[base, tax]), "{base} {mode:?}");
        }
    }
    let by_input = Clause::Rate { base: 0, bps: None, bps_input: Some(2), tax: 1, mode: Rounding::Floor };
    assert!(holds(by_input.clone(), &[10_000, 725, 725]));
    assert!(!holds(by_input, &[10_000, 100_001, 100_001]), "a committed rate has a bound too");
}

#[test]
fn one_branch_of_a_disjunction_is_enough_and_none_is_not() {
    let small = |x| Clause::Range { x, lo: None, hi: Some(Number(10)) };
    let either = policy(2, Clause::OneOf { clauses: vec![small(0), small(1)] });
    let of = |inputs: [u64; 2]| either.evaluate(&inputs, &none, NOW);
    assert_eq!((of([5, 50]), of([50, 5]), of([5, 5])), (Ok(()), Ok(()), Ok(())));
    assert_eq!(of([50, 50]), Err(Unsatisfied::Clause { clause: 0 }));
    assert_eq!(either.evaluate(&[5], &none, NOW), Err(Unsatisfied::InputCount { expected: 2 }));
}

/// A sorted list with its sentinels, and the policy over it.
fn listed(entries: &[u64], clause: Clause) -> (ClausePolicy, Vec<Path>) {
    let leaves: Vec<Node> = entries.iter().map(|entry| leaf(*entry, 0)).collect();
    let (top, paths) = build(&leaves, 3).unwrap();
    let inputs = clause.named().into_iter().max().unwrap() + 1;
    (ClausePolicy::new(inputs, vec![clause], vec![Root::new(&top, 3, "2026-01", 500, 1_500)]).unwrap(), paths)
}

const ENTRIES: [u64; 5] = [0, 30, 40, 50, u64::MAX];

/// Section 11, item 18.
#[test]
fn membership_is_shown_by_a_whole_path_from_a_leaf() {
    let (policy, paths) = listed(&ENTRIES, Clause::Member { x: 0, root: 0 });
    let holds =
        |x: u64, path: &Path, now| policy.evaluate(&[x], &|_| Some(Evidence::At(path.clone())), now).is_ok();
    assert!(holds(40, &paths[2], NOW));
    assert!(!holds(41, &paths[2], NOW) && !holds(40, &paths[1], NOW));
    assert!(holds(40, &paths[2], 500) && holds(40, &paths[2], 1_500));
    assert!(!holds(40, &paths[2], 499) && !holds(40, &paths[2], 1_501), "the list has ended");
    let short = Path { siblings: paths[2].siblings[..2].to_vec(), place: paths[2].place };
    assert!(!holds(40, &short, NOW), "a leaf at another depth");
    let beyond = Path { place: paths[2].place + 8, siblings: paths[2].siblings.clone() };
    assert!(!holds(40, &beyond, NOW), "a place outside the tree");
    // A node is no leaf, whatever pair one would have to claim for it.
    assert_ne!(node(&leaf(1, 0), &leaf(2, 0)), leaf(1, 2));
    assert!(policy.evaluate(&[40], &none, NOW).is_err());
}

/// Elements that are not below the modulus are another spelling of a path that may well lead to the root. They are refused
/// like any wrong path, and nothing panics; nor does a root of a depth that no tree has.
#[test]
fn a_path_with_an_element_above_the_modulus_leads_nowhere() {
    let (policy, paths) = listed(&ENTRIES, Clause::Member { x: 0, root: 0 });
    let shown = |path: &Path| policy.evaluate(&[40], &|_| Some(Evidence::At(path.clone())), NOW);
    assert_eq!(shown(&paths[2]), Ok(()));
    for level in 0..3 {
        for element in 0..8 {
            let mut path = paths[2].clone();
            path.siblings[level][element] += poseidon2::P;
            assert_eq!(shown(&path), Err(Unsatisfied::Clause { clause: 0 }), "{level} {element}");
        }
    }
    let root = &policy.roots()[0];
    assert!(paths[2].leads_to(root, &leaf(40, 0)));
    let mut spelt = leaf(40, 0);
    spelt[0] += poseidon2::P;
    assert!(!paths[2].leads_to(root, &spelt));
    assert!(build(&[spelt], 1).is_none() && build(&[leaf(40, 0)], 1).is_some());

    let place = 1;
    for depth in [0, 33, 64, 255] {
        let deep = Root::new(&[0; 8], depth, "v", 0, 2_000);
        let path = Path { place, siblings: vec![[0; 8]; usize::from(depth)] };
        assert!(!path.leads_to(&deep, &[0; 8]), "{depth}");
    }
}

/// Section 11, item 18.
#[test]
fn absence_is_shown_by_neighbours_alone() {
    let (policy, paths) = listed(&ENTRIES, Clause::NonMember { x: 0, root: 0 });
    let holds = |x: u64, low: usize, high: usize| {
        let between = Evidence::Between {
            left: (ENTRIES[low], paths[low].clone()),
            right: (ENTRIES[high], paths[high].clone()),
        };
        policy.evaluate(&[x], &|_| Some(between.clone()), NOW).is_ok()
    };
    assert!(holds(35, 1, 2) && holds(1, 0, 1) && holds(u64::MAX - 1, 3, 4));
    assert!(!holds(40, 2, 3) && !holds(40, 1, 2), "an entry is not between");
    assert!(!holds(45, 1, 2), "not between these");
    assert!(!holds(35, 1, 3) && !holds(40, 1, 3), "not neighbours");
    assert!(!holds(35, 2, 1), "the wrong way round");
    let (empty, paths) = listed(&[0, u64::MAX], Clause::NonMember { x: 0, root: 0 });
    let all = Evidence::Between { left: (0, paths[0].clone()), right: (u64::MAX, paths[1].clone()) };
    assert!(empty.evaluate(&[35], &|_| Some(all.clone()), NOW).is_ok(), "an empty list has only its ends");
}

#[test]
fn a_lookup_ties_key_and_value() {
    let table: Vec<Node> = [(1, 725), (2, 1900)].iter().map(|(key, rate)| leaf(*key, *rate)).collect();
    let (top, paths) = build(&table, 2).unwrap();
    let root = Root::new(&top, 2, "rates", 0, 2_000);
    let policy = ClausePolicy::new(2, vec![Clause::Lookup { key: 0, root: 0, y: 1 }], vec![root]).unwrap();
    let at = |inputs: [u64; 2], n: usize| {
        policy.evaluate(&inputs, &|_| Some(Evidence::At(paths[n].clone())), NOW).is_ok()
    };
    assert!(at([1, 725], 0) && at([2, 1900], 1));
    assert!(!at([1, 1900], 0) && !at([1, 1900], 1) && !at([2, 725], 0));
}

#[test]
fn a_policy_has_one_spelling_and_reads_back() {
    let text = r#"{"clauses":[{"clause":"range","hi":"18446744073709551615","lo":1,"x":0},{"clause":"sum","relation":"equal","xs":[0,1],"y":2}],"inputs":3}"#;
    let policy = ClausePolicy::parse(text).unwrap();
    assert_eq!(policy.policy().params(), text);
    assert_eq!(policy.policy().id(), POLICY_ID);
    assert_eq!(policy.cost(), 1 + 3);
    let refused = |from: &str, to: &str| ClausePolicy::parse(&text.replacen(from, to, 1)).unwrap_err();
    for (from, to) in [
        (r#""lo":1"#, r#""lo":"1""#),
        (r#""lo":1"#, r#""lo":1.0"#),
        (r#""lo":1"#, r#""lo":-1"#),
        (r#""lo":1"#, r#""lo":9007199254740992"#),
        (r#""18446744073709551615""#, r#""018446744073709551615""#),
        (r#""18446744073709551615""#, r#""18446744073709551616""#),
        (r#""x":0"#, r#""x":0,"z":1"#),
        (r#""inputs":3"#, r#""inputs":3,"more":1"#),
        (r#""range""#, r#""circle""#),
    ] {
        assert!(
            matches!(refused(from, to), ClauseError::Shape(_)),
            "{from} -> {to}: {:?}",
            refused(from, to)
        );
    }
    let twice = refused(r#""inputs":3"#, r#""inputs":3,"inputs":3"#);
    assert!(matches!(twice, ClauseError::Json(JsonError::Duplicate { .. })));
}

#[test]
fn bounds_and_references_are_checked_before_anything_is_proved() {
    let range = Clause::Range { x: 0, lo: None, hi: Some(Number(1)) };
    let new = |inputs, clauses| ClausePolicy::new(inputs, clauses, Vec::new());
    assert_eq!(new(0, vec![range.clone()]), Err(ClauseError::InputCount));
    assert_eq!(new(65, vec![range.clone()]), Err(ClauseError::InputCount));
    assert_eq!(new(1, Vec::new()), Err(ClauseError::ClauseCount));
    assert!(new(1, vec![range.clone(); 32]).is_ok());
    assert_eq!(new(1, vec![range.clone(); 33]), Err(ClauseError::ClauseCount));
    let one_of = |clauses| Clause::OneOf { clauses };
    assert_eq!(new(1, vec![one_of(vec![range.clone(); 32])]), Err(ClauseError::ClauseCount));
    let problem = |clause| match new(1, vec![clause]) {
        Err(ClauseError::Clause { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert!(problem(one_of(vec![range.clone()])).contains("two"));
    assert!(problem(one_of(vec![one_of(vec![range.clone(); 2]), range.clone()])).contains("nest"));
    assert!(problem(Clause::Range { x: 1, lo: None, hi: Some(Number(1)) }).contains("input"));
    assert!(problem(Clause::Range { x: 0, lo: None, hi: None }).contains("lo or hi"));
    assert!(problem(Clause::Range { x: 0, lo: Some(Number(2)), hi: Some(Number(1)) }).contains("above"));
    assert!(problem(Clause::Member { x: 0, root: 0 }).contains("root"));
    assert!(problem(Clause::Sum { xs: vec![0; 65], relation: Relation::Equal, y: 0 }).contains("64"));
    let both = Clause::Rate { base: 0, bps: Some(1), bps_input: Some(0), tax: 0, mode: Rounding::Floor };
    assert!(problem(both).contains("exactly one"));

    let unused = ClausePolicy::new(1, vec![range], vec![Root::new(&[0; 8], 1, "v", 0, 1)]);
    assert_eq!(unused, Err(ClauseError::Root { root: 0, problem: "no clause uses it" }));
    let member = |root| ClausePolicy::new(1, vec![Clause::Member { x: 0, root: 0 }], vec![root]);
    let node = [0; 8];
    for root in [
        Root::new(&[u32::MAX; 8], 1, "v", 0, 1),
        Root::new(&node, 0, "v", 0, 1),
        Root::new(&node, 33, "v", 0, 1),
        Root::new(&node, 1, "", 0, 1),
        Root::new(&node, 1, "v", 2, 1),
    ] {
        assert!(matches!(member(root), Err(ClauseError::Root { root: 0, .. })));
    }
    assert!(member(Root::new(&node, 1, "v", 0, 1)).is_ok());
}

/// A total that perhaps was continued and perhaps was not keeps no budget (section 2.3: it is consumed once).
#[test]
fn a_running_total_does_not_stand_inside_one_of() {
    let total = Clause::PrevTotal { prev: 0, x: 1, new: 2, limit: Some(Number(100)) };
    let small = Clause::Range { x: 1, lo: None, hi: Some(Number(10)) };
    let new = |clauses| ClausePolicy::new(3, clauses, Vec::new());
    let one_of = |clauses| Clause::OneOf { clauses };
    let refused = new(vec![small.clone(), one_of(vec![small.clone(), total.clone()])]).unwrap_err();
    assert!(matches!(refused, ClauseError::Clause { clause: 3, .. }), "{refused}");
    assert!(refused.to_string().contains("beside one_of"), "{refused}");
    assert!(new(vec![total, one_of(vec![small.clone(), small])]).is_ok());

    let inside = r#"{"clauses":[{"clause":"one_of","clauses":[{"clause":"prev_total","new":2,"prev":0,"x":1},{"clause":"range","hi":1,"x":1}]}],"inputs":3}"#;
    assert!(matches!(ClausePolicy::parse(inside), Err(ClauseError::Clause { clause: 1, .. })));
    assert!(serde_json::from_str::<ClausePolicy>(inside).is_err());
}

/// A policy that lies inside another text is checked as well: who holds one need not ask again.
#[test]
fn no_policy_is_read_unchecked() {
    let read = |text: &str| serde_json::from_str::<ClausePolicy>(text).map_err(|error| error.to_string());
    let text = r#"{"clauses":[{"clause":"range","hi":9,"lo":1,"x":0}],"inputs":1}"#;
    assert_eq!(read(text), Ok(ClausePolicy::parse(text).unwrap()));
    assert!(read(&text.replace(r#""x":0"#, r#""x":1"#)).unwrap_err().contains("input that does not exist"));
    assert!(read(&text.replace(r#""inputs":1"#, r#""inputs":0"#)).unwrap_err().contains("inputs"));
    assert!(ClausePolicy::parse(&text.replace(r#""hi":9"#, r#""hi":0"#)).is_err());
}
