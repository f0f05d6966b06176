use proptest::prelude::*;
use serde_json::json;

use super::*;

fn merchant() -> Merchant {
    Merchant { id: "m".to_owned(), name: "M".to_owned(), website: "https://m.example".to_owned() }
}

fn lines_of(lines: &[(&str, u64)]) -> Vec<(String, u64)> {
    lines.iter().map(|(id, quantity)| ((*id).to_owned(), *quantity)).collect()
}

/// Whether lines meet requirements `(quantity, acceptable ids)`.
fn fits(wanted: &[(u64, &[&str])], lines: &[(&str, u64)]) -> bool {
    let items: Vec<Value> = wanted
        .iter()
        .map(|(quantity, ids)| {
            let acceptable: Vec<Value> = ids.iter().map(|id| json!({"id": id, "title": id})).collect();
            json!({"id": "r", "acceptable_items": acceptable, "quantity": quantity})
        })
        .collect();
    line_items(&json!({"items": items}), &lines_of(lines)).is_ok()
}

#[test]
fn the_examples_of_the_protocol_come_out_as_it_says() {
    let wanted: [(u64, &[&str]); 2] = [(1, &["red", "blue"]), (1, &["socks"])];
    assert!(fits(&wanted, &[("red", 1), ("socks", 1)]));
    assert!(fits(&wanted, &[("blue", 1), ("socks", 1)]));
    for wrong in [&[("red", 1), ("blue", 1)][..], &[("red", 1)], &[("blue", 1)], &[("socks", 1)]] {
        assert!(!fits(&wanted, wrong), "{wrong:?}");
    }
}

#[test]
fn a_later_requirement_takes_what_an_earlier_one_can_do_without() {
    let wanted: [(u64, &[&str]); 2] = [(2, &["a", "b"]), (1, &["a"])];
    assert!(fits(&wanted, &[("a", 1), ("b", 2)]));
    assert!(fits(&wanted, &[("a", 2), ("b", 1)]));
    assert!(!fits(&wanted, &[("b", 3)]));
    assert!(!fits(&wanted, &[("a", 1), ("b", 3)]), "one more than was asked for");
    assert!(!fits(&[(u64::MAX, &["a"]), (2, &["a"])], &[("a", 1)]), "sums do not run over");
}

#[test]
fn a_merchant_is_named_by_more_than_a_name() {
    let merchant = merchant();
    assert!(is_merchant(&json!({"id": "m"}), &merchant));
    assert!(is_merchant(&json!({"website": "https://m.example", "name": "other"}), &merchant));
    assert!(!is_merchant(&json!({"name": "M"}), &merchant));
    assert!(!is_merchant(&json!({"id": "m", "website": "https://evil.example"}), &merchant));
    assert!(!is_merchant(&json!({"id": 1}), &merchant));
}

#[test]
fn amounts_are_whole_and_bounded_on_both_sides() {
    let merchant = merchant();
    let facts = |total| Facts {
        merchant: &merchant,
        lines: &[],
        total,
        currency: "USD",
        instrument: &Value::Null,
        execution: None,
        now: TimestampMs(0),
        open_checkouts: &[],
    };
    let within = |min: Value, max: Value, total| {
        let constraint = json!({"type": "payment.amount_range", "currency": "USD", "min": min, "max": max});
        check(&constraint, &facts(total)).is_ok()
    };
    assert!(within(json!(10), json!(20), 10) && within(json!(10), json!(20), 20));
    assert!(!within(json!(10), json!(20), 9) && !within(json!(10), json!(20), 21));
    assert!(!within(json!(10), json!(20.5), 15), "a part of a cent is none");
    assert!(!within(json!(10), json!("20"), 15));
}

proptest! {
    /// The flow is the truth: it agrees with trying every way to hand items out.
    #[test]
    fn the_flow_agrees_with_trying_all(
        wanted in prop::collection::vec((1u64..3, prop::collection::vec(0usize..3, 0..3)), 0..4),
        bought in prop::collection::vec(1u64..4, 0..3),
    ) {
        const IDS: [&str; 3] = ["a", "b", "c"];
        let ids: Vec<(u64, Vec<&str>)> =
            wanted.iter().map(|(n, of)| (*n, of.iter().map(|i| IDS[*i]).collect())).collect();
        let lines: Vec<(&str, u64)> = bought.iter().enumerate().map(|(i, n)| (IDS[i], *n)).collect();
        let asked: Vec<(u64, &[&str])> = ids.iter().map(|(n, of)| (*n, &of[..])).collect();
        let mut stock: Vec<u64> = lines.iter().map(|(_, n)| *n).collect();
        let mut places: Vec<&[&str]> = Vec::new();
        for (n, of) in &asked {
            places.extend(std::iter::repeat_n(*of, usize::try_from(*n).unwrap()));
        }
        let all = handed_out(&places, &lines, &mut stock);
        prop_assert_eq!(fits(&asked, &lines), all);
    }
}

/// Whether every place gets an item and no item is left over, by trying.
fn handed_out(places: &[&[&str]], lines: &[(&str, u64)], stock: &mut [u64]) -> bool {
    let Some((place, rest)) = places.split_first() else { return stock.iter().all(|left| *left == 0) };
    for (at, (id, _)) in lines.iter().enumerate() {
        if stock[at] > 0 && place.contains(id) {
            stock[at] -= 1;
            let fits = handed_out(rest, lines, stock);
            stock[at] += 1;
            if fits {
                return true;
            }
        }
    }
    false
}
