//! Arrays: their elements by place, and how many there are.

use serde_json::{Map, Value};

use super::Comparison;
use super::known::{Known, count, elements};
use crate::schema::shape::Dialect;

impl<'a> Comparison<'a> {
    pub(super) fn array_holds(
        &mut self,
        wide: &'a Value,
        members: &'a Map<String, Value>,
        keyword: &str,
        value: &'a Value,
        known: &Known<'a>,
    ) -> bool {
        match keyword {
            "minItems" => self.least_holds(wide, keyword, value, known.at_least(keyword)),
            "maxItems" => self.most_holds(wide, keyword, value, known.at_most(keyword)),
            "uniqueItems" => {
                if *value == Value::Bool(false) || known.at_most("maxItems").is_some_and(|most| most <= 1) {
                    return true;
                }
                let what = format!("elements must differ, and {} does not ask for that", self.other());
                self.refuse(wide, keyword, &what)
            }
            "contains" => self.contained_holds(wide, members, value, known),
            // The three are read together, once.
            "items" => self.elements_hold(members, known),
            "prefixItems" if !members.contains_key("items") => self.elements_hold(members, known),
            _ => true,
        }
    }

    fn elements_hold(&mut self, members: &'a Map<String, Value>, known: &Known<'a>) -> bool {
        let (first, rest) = elements(members, known.dialect);
        let most = known.at_most("maxItems").unwrap_or(u64::MAX);
        let named = first.len().max(known.first_elements());
        let mut holds = true;
        for place in 0..named {
            if place as u64 >= most {
                return holds;
            }
            if let Some(asked) = first.get(place).or(rest) {
                holds &= self.contains(asked, &known.element(place));
            }
        }
        match rest {
            Some(asked) if most > named as u64 => self.contains(asked, &known.element(usize::MAX)) && holds,
            _ => holds,
        }
    }

    fn contained_holds(
        &mut self,
        wide: &'a Value,
        members: &'a Map<String, Value>,
        asked: &'a Value,
        known: &Known<'a>,
    ) -> bool {
        let dialect = known.dialect;
        let (least, most) = bounds(members, dialect);
        if least == 0 && most.is_none() {
            return true;
        }
        if most.is_none() {
            for (map, part) in known.parts() {
                let Some(held) = map.get("contains") else { continue };
                if bounds(map, dialect).0 >= least
                    && self.attempt(|this| this.contains(asked, &[part(held)])).is_ok()
                {
                    return true;
                }
            }
        }
        let what = format!("{} does not ask for the same elements", self.other());
        self.refuse(wide, "contains", &what)
    }
}

/// How many elements `contains` asks for.
fn bounds(map: &Map<String, Value>, dialect: Dialect) -> (u64, Option<u64>) {
    if dialect == Dialect::Draft7 {
        return (1, None);
    }
    let least = map.get("minContains").and_then(count).unwrap_or(1);
    (least, map.get("maxContains").and_then(count))
}
