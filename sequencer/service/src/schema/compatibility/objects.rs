//! Objects: members by name, names that are not listed, and what the presence of one asks of others.

use serde_json::{Map, Value};

use super::Comparison;
use super::known::{Known, has_patterns};
use super::sides::{Part, Types};
use crate::schema::shape::{Dialect, join};

impl<'a> Comparison<'a> {
    pub(super) fn object_holds(
        &mut self,
        wide: &'a Value,
        members: &'a Map<String, Value>,
        keyword: &str,
        value: &'a Value,
        narrow: &[Part<'a>],
        known: &Known<'a>,
    ) -> bool {
        match keyword {
            "required" => self.required_holds(wide, value, known),
            "minProperties" => {
                let required = known.required().collect::<std::collections::BTreeSet<_>>().len() as u64;
                self.least_holds(wide, keyword, value, known.at_least(keyword).max(required))
            }
            "maxProperties" => {
                let listed =
                    known.maps().filter(|map| is_closed(map)).map(|map| properties(map).count() as u64);
                let most = known.at_most(keyword).into_iter().chain(listed).min();
                self.most_holds(wide, keyword, value, most)
            }
            "properties" => {
                let mut holds = true;
                for (name, asked) in value.as_object().into_iter().flatten() {
                    holds &= self.contains(asked, &known.member(name));
                }
                holds
            }
            "patternProperties" => self.patterns_hold(wide, value, known),
            "additionalProperties" => self.others_hold(wide, members, value, known),
            "propertyNames" => self.names_hold(wide, value, known),
            _ => self.dependents_hold(wide, keyword, value, narrow, known),
        }
    }

    fn required_holds(&mut self, wide: &'a Value, value: &Value, known: &Known<'a>) -> bool {
        let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        let more: Vec<String> =
            names.filter(|name| !known.requires(name)).map(|name| format!("{name:?}")).collect();
        if more.is_empty() {
            return true;
        }
        let what = format!("{} must be there, and {} does not ask for that", more.join(", "), self.other());
        self.refuse(wide, "required", &what)
    }

    /// A pattern takes names that nobody listed, so every member that narrow may have is taken for one of them.
    fn patterns_hold(&mut self, wide: &'a Value, value: &'a Value, known: &Known<'a>) -> bool {
        let mut holds = true;
        for (pattern, asked) in value.as_object().into_iter().flatten() {
            let same = known
                .parts()
                .filter_map(|(map, part)| Some(part(map.get("patternProperties")?.get(pattern)?)));
            let same: Vec<Part<'a>> = same.collect();
            let is_same = !same.is_empty() && self.attempt(|this| this.contains(asked, &same)).is_ok();
            if is_same || self.attempt(|this| this.contains(asked, &[])).is_ok() {
                continue;
            }
            let maps: Vec<_> = known.parts().collect();
            let fits = maps.into_iter().any(|(map, part)| {
                let every = self.attempt(|this| {
                    properties(map).all(|(name, _)| this.contains(asked, &known.member(name)))
                        && this.unlisted_fit(asked, map, part)
                });
                every.is_ok()
            });
            if !fits {
                let what = format!("members of such names are not bound to the same by {}", self.other());
                holds = self.refuse(wide, &format!("patternProperties/{}", escaped(pattern)), &what);
            }
        }
        holds
    }

    /// Members that wide does not list.
    fn others_hold(
        &mut self,
        wide: &'a Value,
        members: &'a Map<String, Value>,
        asked: &'a Value,
        known: &Known<'a>,
    ) -> bool {
        if self.attempt(|this| this.contains(asked, &[])).is_ok() {
            return true;
        }
        let listed = members.get("properties").and_then(Value::as_object);
        let is_listed = |name: &str| listed.is_some_and(|listed| listed.contains_key(name));
        let maps: Vec<_> = known.parts().collect();
        let fits = maps.iter().any(|(map, part)| {
            let every = self.attempt(|this| {
                properties(map)
                    .filter(|(name, _)| !is_listed(name))
                    .all(|(name, _)| this.contains(asked, &known.member(name)))
                    && this.patterns_fit(members, asked, map, *part)
                    && this.additional_fit(asked, map, *part)
            });
            every.is_ok()
        });
        if fits {
            return true;
        }
        let mut names = maps.iter().flat_map(|(map, _)| properties(map)).map(|(name, _)| name.as_str());
        let what = match names.find(|name| {
            !is_listed(name) && self.attempt(|this| this.contains(asked, &known.member(name))).is_err()
        }) {
            Some(name) => format!("{name:?} is not admitted as it stands in {}", self.other()),
            None => format!(
                "members of other names are restricted, and {} leaves them open (additionalProperties)",
                self.other()
            ),
        };
        self.refuse(wide, "additionalProperties", &what)
    }

    /// What narrow admits under names that it does not list.
    fn unlisted_fit(
        &mut self,
        asked: &'a Value,
        map: &'a Map<String, Value>,
        part: fn(&'a Value) -> Part<'a>,
    ) -> bool {
        let mut patterns = map.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        patterns.all(|(_, held)| self.contains(asked, &[part(held)])) && self.additional_fit(asked, map, part)
    }

    /// Patterns of narrow; those that wide has too are compared there.
    fn patterns_fit(
        &mut self,
        members: &'a Map<String, Value>,
        asked: &'a Value,
        map: &'a Map<String, Value>,
        part: fn(&'a Value) -> Part<'a>,
    ) -> bool {
        let wide = members.get("patternProperties");
        let mut patterns = map.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        patterns.all(|(pattern, held)| {
            wide.is_some_and(|wide| wide.get(pattern).is_some()) || self.contains(asked, &[part(held)])
        })
    }

    fn additional_fit(
        &mut self,
        asked: &'a Value,
        map: &'a Map<String, Value>,
        part: fn(&'a Value) -> Part<'a>,
    ) -> bool {
        let held: Vec<Part<'a>> = map.get("additionalProperties").map(part).into_iter().collect();
        self.contains(asked, &held)
    }

    fn names_hold(&mut self, wide: &'a Value, asked: &'a Value, known: &Known<'a>) -> bool {
        let names = Part::Types(Types::STRING);
        let mut held: Vec<Part<'a>> =
            known.parts().filter_map(|(map, part)| map.get("propertyNames").map(part)).collect();
        held.push(names);
        if self.attempt(|this| this.contains(asked, &held)).is_ok() {
            return true;
        }
        let is_admitted =
            |this: &Self, name: &str| this.wide.admits(asked, &Value::String(name.to_owned())) == Some(true);
        let fits = known
            .maps()
            .any(|map| is_closed(map) && properties(map).all(|(name, _)| is_admitted(self, name)));
        if fits {
            return true;
        }
        let what = format!("names of members are restricted, and {} admits others", self.other());
        self.refuse(wide, "propertyNames", &what)
    }

    /// `dependentRequired`, `dependentSchemas`, and `dependencies`, which is both.
    fn dependents_hold(
        &mut self,
        wide: &'a Value,
        keyword: &str,
        value: &'a Value,
        narrow: &[Part<'a>],
        known: &Known<'a>,
    ) -> bool {
        let mut holds = true;
        for (name, asked) in value.as_object().into_iter().flatten() {
            if self.known(&known.member(name)).is_impossible() {
                continue;
            }
            // Where the member is there, this holds too.
            let keywords: &[&str] = match known.dialect {
                Dialect::Draft7 => &["dependencies"],
                _ => &["dependentSchemas", "dependentRequired"],
            };
            let held: Vec<_> = known
                .parts()
                .flat_map(|(map, part)| keywords.iter().map(move |keyword| (map.get(*keyword), part)))
                .filter_map(|(dependents, part)| Some((dependents?.get(name)?, part)))
                .collect();
            holds &= match asked.as_array() {
                Some(names) => {
                    let lists = held.iter().filter_map(|(held, _)| held.as_array());
                    let also: Vec<&Value> = lists.flatten().collect();
                    let is_asked = |name: &Value| {
                        also.contains(&name) || name.as_str().is_some_and(|name| known.requires(name))
                    };
                    let what = format!("{} does not ask for the same beside {name:?}", self.other());
                    names.iter().all(is_asked)
                        || self.refuse(wide, &format!("{keyword}/{}", escaped(name)), &what)
                }
                None => {
                    let schemas =
                        held.iter().filter(|(held, _)| !held.is_array()).map(|(held, part)| part(held));
                    let parts: Vec<Part<'a>> = narrow.iter().copied().chain(schemas).collect();
                    self.contains(asked, &parts)
                }
            };
        }
        holds
    }
}

/// No member beyond those that are listed.
fn is_closed(map: &Map<String, Value>) -> bool {
    map.get("additionalProperties") == Some(&Value::Bool(false)) && !has_patterns(map)
}

fn properties(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// A name as one step of a path.
fn escaped(name: &str) -> String {
    join("", name).split_off(1)
}
