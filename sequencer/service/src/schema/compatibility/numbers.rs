//! Bounds of numbers, compared exactly or not at all.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::Comparison;
use super::known::Known;
use super::sides::Types;

/// Whole numbers up to here are exact in a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// One end of a range.
#[derive(Debug, Clone, Copy)]
struct End<'a> {
    value: &'a Number,
    /// The value itself is not admitted.
    is_open: bool,
}

impl<'a> Comparison<'a> {
    pub(super) fn number_holds(
        &mut self,
        wide: &'a Value,
        keyword: &str,
        value: &Value,
        known: &Known<'a>,
    ) -> bool {
        let Value::Number(bound) = value else { return self.refuse(wide, keyword, "expected a number") };
        let is_whole = !known.types.has(Types::FRACTION);
        let holds = match keyword {
            "multipleOf" => is_multiple(bound, known, is_whole),
            "minimum" | "exclusiveMinimum" => {
                let asked = End { value: bound, is_open: keyword == "exclusiveMinimum" };
                ends(known, "minimum", "exclusiveMinimum").any(|end| lies_above(end, asked, is_whole))
            }
            _ => {
                let asked = End { value: bound, is_open: keyword == "exclusiveMaximum" };
                ends(known, "maximum", "exclusiveMaximum").any(|end| lies_below(end, asked, is_whole))
            }
        };
        if holds {
            return true;
        }
        let what = format!("{value} is asked for, and {} does not keep to it", self.other());
        self.refuse(wide, keyword, &what)
    }
}

/// The ends that are known on one side.
fn ends<'k>(known: &Known<'k>, closed: &'static str, open: &'static str) -> impl Iterator<Item = End<'k>> {
    known.maps().flat_map(move |map| {
        let end = |name, is_open| match map.get(name) {
            Some(Value::Number(value)) => Some(End { value, is_open }),
            _ => None,
        };
        [end(closed, false), end(open, true)].into_iter().flatten()
    })
}

/// Whether everything above `known` is above `asked`.
fn lies_above(known: End<'_>, asked: End<'_>, is_whole: bool) -> bool {
    if is_whole && let (Some(first), Some(asked_value)) = (floor(known.value), floor(asked.value)) {
        // The least whole number of each range.
        let least = |end: End<'_>, floor: i128| match end.is_open
            || compare(end.value, &from(floor)) != Some(Ordering::Equal)
        {
            true => floor + 1,
            false => floor,
        };
        return least(known, first) >= least(asked, asked_value);
    }
    match compare(known.value, asked.value) {
        Some(Ordering::Greater) => true,
        Some(Ordering::Equal) => known.is_open || !asked.is_open,
        _ => false,
    }
}

/// Whether everything below `known` is below `asked`.
fn lies_below(known: End<'_>, asked: End<'_>, is_whole: bool) -> bool {
    if is_whole && let (Some(last), Some(asked_value)) = (floor(known.value), floor(asked.value)) {
        // The greatest whole number of each range.
        let greatest = |end: End<'_>, floor: i128| match end.is_open
            && compare(end.value, &from(floor)) == Some(Ordering::Equal)
        {
            true => floor - 1,
            false => floor,
        };
        return greatest(known, last) <= greatest(asked, asked_value);
    }
    match compare(known.value, asked.value) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => known.is_open || !asked.is_open,
        _ => false,
    }
}

fn is_multiple(asked: &Number, known: &Known<'_>, is_whole: bool) -> bool {
    let Some(asked) = whole(asked).filter(|n| *n > 0) else { return false };
    if asked == 1 && is_whole {
        return true;
    }
    let held = known.maps().filter_map(|map| match map.get("multipleOf") {
        Some(Value::Number(number)) => whole(number),
        _ => None,
    });
    held.into_iter().any(|held| held % asked == 0)
}

/// `None` where the order can't be told exactly.
fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        return Some(a.cmp(&b));
    }
    let exact = |number: &Number| match integer(number) {
        Some(whole) => Some(whole as f64).filter(|n| n.abs() <= EXACT_MAX),
        None => number.as_f64(),
    };
    exact(a)?.partial_cmp(&exact(b)?)
}

/// A number that is written as a whole one.
fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// The value, where it is whole and exact.
fn whole(number: &Number) -> Option<i128> {
    let exact = |n: &f64| n.fract() == 0.0 && n.abs() <= EXACT_MAX;
    integer(number).or_else(|| number.as_f64().filter(exact).map(|n| n as i128))
}

/// The greatest whole number that is not above it, where that is exact.
fn floor(number: &Number) -> Option<i128> {
    integer(number)
        .or_else(|| number.as_f64().map(f64::floor).filter(|n| n.abs() <= EXACT_MAX).map(|n| n as i128))
}

/// Of a value of [`floor`].
fn from(whole: i128) -> Number {
    match i64::try_from(whole) {
        Ok(whole) => whole.into(),
        Err(_) => u64::try_from(whole).unwrap_or(u64::MAX).into(),
    }
}
