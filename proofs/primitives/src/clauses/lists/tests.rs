use super::super::evaluate::Evidence;
use super::super::{Clause, Number};
use super::*;

const NOW: u64 = 1_000;

fn file(more: &str, entries: &str) -> String {
    format!(r#"{{"version":"2026-11","validFrom":500,"validUntil":1500,{more}"entries":{entries}}}"#)
}

fn list(more: &str, entries: &str) -> List {
    List::parse(&file(more, entries)).unwrap()
}

const ABSENCE: &str = r#""absence":true,"#;

/// Whether the clause holds with what the lists show.
fn holds(clause: Clause, inputs: &[u64], list: &List) -> bool {
    let policy = ClausePolicy::new(inputs.len() as u8, vec![clause], vec![list.root().clone()]).unwrap();
    let shown = policy.evidence(inputs, std::slice::from_ref(list)).unwrap();
    policy.evaluate(inputs, &|clause| shown[clause].clone(), NOW).is_ok()
}

#[test]
fn every_entry_is_shown_as_a_member_and_nothing_else_is() {
    let member = Clause::Member { x: 0, root: 0 };
    for more in ["", ABSENCE, r#""depth":5,"#] {
        let list = list(more, r#"[978,756,"18446744073709551614",840,1]"#);
        for entry in [978, 756, u64::MAX - 1, 840, 1] {
            assert!(holds(member.clone(), &[entry], &list), "{more} {entry}");
        }
        for other in [0, 2, 757, u64::MAX] {
            assert!(list.at(other, 0).is_none() && !holds(member.clone(), &[other], &list), "{more} {other}");
        }
        assert!(list.at(978, 1).is_none());
    }
}

#[test]
fn what_is_on_no_list_is_shown_between_its_neighbours() {
    let absent = Clause::NonMember { x: 0, root: 0 };
    let list = list(ABSENCE, "[40,30,50]");
    for (x, expected) in [
        (1, true),
        (29, true),
        (35, true),
        (51, true),
        (u64::MAX - 1, true),
        (30, false),
        (40, false),
        (50, false),
    ] {
        assert_eq!(holds(absent.clone(), &[x], &list), expected, "{x}");
    }
    assert!(list.between(0).is_none() && list.between(u64::MAX).is_none(), "the ends are on no list");
    let empty = self::list(ABSENCE, "[]");
    assert!(holds(absent, &[35], &empty), "nothing is on an empty list");
    let Some(Evidence::Between { left, right }) = &empty.between(35) else { panic!("no neighbours") };
    assert_eq!((left.0, right.0), (0, u64::MAX));
}

#[test]
fn a_table_shows_the_value_beside_its_key() {
    let table = list("", r#"[[2,1900],[1,725],["18446744073709551615",0],[0,5]]"#);
    let lookup = Clause::Lookup { key: 0, root: 0, y: 1 };
    for (key, value) in [(2, 1_900), (1, 725), (u64::MAX, 0), (0, 5)] {
        assert!(holds(lookup.clone(), &[key, value], &table), "{key}");
        assert!(!holds(lookup.clone(), &[key, value + 1], &table), "{key}");
    }
    assert!(!holds(lookup, &[3, 0], &table));
}

#[test]
fn a_list_has_one_root_in_any_order() {
    let one = list("", "[30,40,50]");
    assert_eq!(one.root(), list("", "[50,30,40]").root());
    for other in [list("", "[30,40,51]"), list(r#""depth":3,"#, "[30,40,50]"), list(ABSENCE, "[30,40,50]")] {
        assert_ne!(one.root(), other.root());
    }
    assert_eq!((one.root().depth(), list(ABSENCE, "[30,40,50]").root().depth()), (2, 3));
    assert_eq!((list("", "[7]").root().depth(), list("", "[]").root().depth()), (1, 1));
}

#[test]
fn a_list_of_another_shape_is_refused_by_member_and_entry() {
    let shape = |text: &str, named: &str| match List::parse(text) {
        Err(ListError::Shape(problem)) => assert!(problem.contains(named), "{text}: {problem}"),
        other => panic!("{text}: {other:?}"),
    };
    for (entries, named) in [
        ("[1,2.0]", "entries[1]"),
        ("[1,-2]", "entries[1]"),
        ("[9007199254740992]", "entries[0]"),
        (r#"["5"]"#, "entries[0]"),
        (r#"["018446744073709551615"]"#, "entries[0]"),
        ("[1,2,null]", "entries[2]"),
        ("[[1]]", "entries[0]"),
        ("[[1,2],[1,2,3]]", "entries[1]"),
        ("[[1,[2]]]", "entries[0]"),
        (r#"{"a":1}"#, "an array"),
        ("7", "an array"),
    ] {
        shape(&file("", entries), named);
    }
    shape(&file(r#""more":1,"#, "[1]"), "more");
    shape(&file(r#""version":"x","#, "[1]"), "version");
    shape(&file(r#""depth":300,"#, "[1]"), "300");
    shape(r#"{"version":"x","validFrom":1,"validUntil":2}"#, "entries");
    shape("nothing", "expected");

    let entry = |entries: &str| match List::parse(&file("", entries)) {
        Err(ListError::Entry { place, problem }) => (place, problem),
        other => panic!("{entries}: {other:?}"),
    };
    assert_eq!(entry("[5,9,5]"), (2, EntryProblem::Doubled { number: 5, first: 0 }));
    assert_eq!(entry("[[5,1],[5,2]]"), (1, EntryProblem::Doubled { number: 5, first: 0 }));
    assert_eq!(entry("[5,0]"), (1, EntryProblem::End));
    assert_eq!(entry(r#"["18446744073709551615"]"#), (0, EntryProblem::End));
    assert_eq!(entry("[1,[2,3]]"), (1, EntryProblem::Mixed));
}

#[test]
fn bounds_of_a_list_are_checked() {
    let of = |more: &str, entries: &str| List::parse(&file(more, entries)).unwrap_err();
    assert_eq!(of(r#""depth":1,"#, "[1,2,3]"), ListError::Depth { leaves: 3, least: 2 });
    assert_eq!(of(r#""depth":0,"#, "[1]"), ListError::Depth { leaves: 1, least: 1 });
    assert_eq!(of(r#""depth":21,"#, "[1]"), ListError::Depth { leaves: 1, least: 1 });
    assert_eq!(of(ABSENCE, "[[1,2]]"), ListError::AbsenceOfTable);
    let text = file("", "[1]");
    assert!(matches!(List::parse(&text.replace("2026-11", "")), Err(ListError::Root(_))));
    assert!(matches!(List::parse(&text.replace("1500", "499")), Err(ListError::Root(_))));
    let numbers = |count: usize| {
        let numbers: Vec<String> = (1..=count).map(|number| number.to_string()).collect();
        format!("[{}]", numbers.join(","))
    };
    assert_eq!(of(ABSENCE, &numbers(LEAVES_MAX - 1)), ListError::TooMany, "the ends count");
    assert!(
        matches!(of("", &numbers(LEAVES_MAX + 1)), ListError::Shape(problem) if problem.contains("more than"))
    );
    assert_eq!(List::parse(&" ".repeat(LIST_BYTES_MAX + 1)), Err(ListError::TooLarge));
}

#[test]
fn a_list_that_is_not_given_is_named() {
    let (given, other) = (list("", "[30,40]"), list(ABSENCE, "[30,41]"));
    let member = Clause::Member { x: 0, root: 0 };
    let of = |clause: Clause, root: &List| {
        let policy = ClausePolicy::new(1, vec![clause], vec![root.root().clone()]).unwrap();
        policy.evidence(&[30], std::slice::from_ref(&given))
    };
    let missing = NoEvidence::ListMissing { clause: 0, root: 0, version: "2026-11".to_owned() };
    assert_eq!(of(member.clone(), &other), Err(missing));
    assert_eq!(
        of(Clause::NonMember { x: 0, root: 0 }, &given),
        Err(NoEvidence::NoAbsence { clause: 0, root: 0 })
    );
    // In a disjunction another branch may hold.
    let range = Clause::Range { x: 0, lo: None, hi: Some(Number(50)) };
    assert_eq!(of(Clause::OneOf { clauses: vec![member, range] }, &other), Ok(vec![None; 3]));
}
