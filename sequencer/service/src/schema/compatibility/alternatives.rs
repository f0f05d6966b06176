//! Alternatives and combinations: `allOf`, `anyOf`, `oneOf`, `not`, `if`, on the side that must admit more, and the
//! alternatives of the other side gone through one by one.

use serde_json::{Map, Value};

use super::Comparison;
use super::known::Known;
use super::sides::{Part, address, refers};

impl<'a> Comparison<'a> {
    pub(super) fn combination_holds(
        &mut self,
        wide: &'a Value,
        members: &'a Map<String, Value>,
        keyword: &str,
        value: &'a Value,
        narrow: &[Part<'a>],
    ) -> bool {
        let branches = value.as_array().map(Vec::as_slice).unwrap_or_default();
        match keyword {
            // Each is looked at, so that every place is named.
            "allOf" => branches.iter().filter(|branch| !self.contains(branch, narrow)).count() == 0,
            "anyOf" => {
                if branches.iter().any(|branch| self.attempt(|this| this.contains(branch, narrow)).is_ok()) {
                    return true;
                }
                let what = format!("no alternative was found that admits what {} admits here", self.other());
                self.refuse(wide, keyword, &what)
            }
            "oneOf" => {
                for (n, branch) in branches.iter().enumerate() {
                    let mut others =
                        branches.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, other)| other);
                    if self.attempt(|this| this.contains(branch, narrow)).is_ok()
                        && others.all(|other| self.are_disjoint(&[Part::Wide(other)], narrow))
                    {
                        return true;
                    }
                }
                let what =
                    format!("not exactly one alternative was found for what {} admits here", self.other());
                self.refuse(wide, keyword, &what)
            }
            "not" => {
                if self.are_disjoint(&[Part::Wide(value)], narrow) {
                    return true;
                }
                let what = format!("{} may admit what is excluded here", self.other());
                self.refuse(wide, keyword, &what)
            }
            _ => self.condition_holds(wide, members, narrow),
        }
    }

    /// `if` with `then` and `else`: whichever applies, it has to hold; or the same condition stands in narrow.
    fn condition_holds(
        &mut self,
        wide: &'a Value,
        members: &'a Map<String, Value>,
        narrow: &[Part<'a>],
    ) -> bool {
        let three = ["if", "then", "else"].map(|keyword| members.get(keyword));
        let is_same =
            |map: &Map<String, Value>| ["if", "then", "else"].map(|keyword| map.get(keyword)) == three;
        if !three.iter().flatten().any(|schema| refers(schema)) && self.known(narrow).maps().any(is_same) {
            return true;
        }
        let applied = [three[1], three[2]];
        let both = self.attempt(|this| applied.iter().flatten().all(|schema| this.contains(schema, narrow)));
        if both.is_ok() {
            return true;
        }
        let what = format!("the condition can't be compared with what {} admits", self.other());
        self.refuse(wide, "if", &what)
    }

    /// Whether wide admits each alternative of narrow. Every document of narrow is in one of them.
    pub(super) fn each_alternative_fits(
        &mut self,
        wide: &'a Value,
        members: &'a Map<String, Value>,
        narrow: &[Part<'a>],
        known: &Known<'a>,
    ) -> bool {
        let lists = known.parts().flat_map(|(map, part)| {
            ["anyOf", "oneOf"].into_iter().filter_map(move |keyword| Some((map.get(keyword)?, part)))
        });
        let open: Vec<_> = lists.filter(|(list, _)| !known.chosen.contains(&address(list))).collect();
        if let Some((list, part)) = open.first() {
            let mut branches = list.as_array().into_iter().flatten();
            return branches.all(|branch| {
                let chosen = [part(branch), Part::Chosen(address(list))];
                let parts: Vec<Part<'a>> = narrow.iter().copied().chain(chosen).collect();
                self.attempt(|this| this.contains(wide, &parts)).is_ok()
            });
        }
        let mut types = known.types.each();
        let has_choice =
            ["anyOf", "oneOf", "enum", "const", "allOf", "$ref"].iter().any(|k| members.contains_key(*k));
        if !has_choice || types.by_ref().nth(1).is_none() {
            return false;
        }
        known.types.each().all(|one| {
            let parts: Vec<Part<'a>> = narrow.iter().copied().chain([Part::Types(one)]).collect();
            self.attempt(|this| this.contains(wide, &parts)).is_ok()
        })
    }
}
