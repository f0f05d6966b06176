//! Whether one schema admits everything that another admits, decided by their structure.
//!
//! The answer "compatible" is sound: where it is given, no document is a counter-example. The other answer is not
//! complete: what can't be decided is told as a conflict, with its place, so that its author can write it in a form that
//! can be, or ask for no compatibility.
//!
//! For "wide admits all that narrow admits", each keyword of wide has to follow from what is known of narrow's documents.
//! A narrow side is a list of schemas that all hold. Alternatives of narrow are gone through one by one.

mod alternatives;
mod arrays;
mod disjoint;
mod known;
mod numbers;
mod objects;
mod scalars;
mod sides;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::Compatibility;
use known::Known;
use sides::{Doc, Part, Types};

/// Conflicts that are told.
const CONFLICTS_MAX: usize = 16;
/// Comparisons of two subschemas: bounds the time of a registration.
const COMPARISONS_MAX: u32 = 5_000;
/// Depth of comparisons inside each other.
const DEPTH_MAX: u32 = 64;

/// Which side had to admit the other's documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The new version, those of the old one.
    Backward,
    /// The old version, those of the new one.
    Forward,
}

impl Direction {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
        }
    }
}

/// One thing that stands between two versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub direction: Direction,
    /// The place in the schema that had to admit more: in the new one for `Backward`, in the old one for `Forward`.
    pub path: String,
    pub problem: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.direction {
            Direction::Backward => "of the new version",
            Direction::Forward => "of the version before",
        };
        write!(f, "{} {of}: {}", self.path, self.problem)
    }
}

/// What stands between two admitted schemas; empty where they are compatible.
pub(super) fn conflicts(old: &Value, new: &Value, asked: Compatibility) -> Vec<Conflict> {
    let mut found = Vec::new();
    if matches!(asked, Compatibility::Backward | Compatibility::Full) {
        found.extend(Comparison::run(new, old, Direction::Backward));
    }
    if matches!(asked, Compatibility::Forward | Compatibility::Full) {
        found.extend(Comparison::run(old, new, Direction::Forward));
    }
    found
}

/// A wide schema and the parts of a narrow side, by their addresses.
type Pair = (usize, Vec<usize>);

/// One comparison under way. Schemas are told apart by their addresses, so both documents are borrowed for it.
struct Comparison<'a> {
    direction: Direction,
    wide: Doc<'a>,
    narrow: Doc<'a>,
    conflicts: Vec<Conflict>,
    /// Pairs that are taken for granted while they are looked at: documents are finite, so a pair that comes up again
    /// comes up for a smaller part of the document.
    assumed: BTreeSet<Pair>,
    /// The same pairs in the order in which they were added.
    trail: Vec<Pair>,
    left: u32,
    depth: u32,
}

impl<'a> Comparison<'a> {
    fn run(wide: &'a Value, narrow: &'a Value, direction: Direction) -> Vec<Conflict> {
        let mut this = Self {
            direction,
            wide: Doc::new(wide),
            narrow: Doc::new(narrow),
            conflicts: Vec::new(),
            assumed: BTreeSet::new(),
            trail: Vec::new(),
            left: COMPARISONS_MAX,
            depth: 0,
        };
        if this.wide.dialect != this.narrow.dialect {
            this.conflict("#/$schema".to_owned(), "schemas of different drafts can't be compared");
        } else {
            this.contains(wide, &[Part::Narrow(narrow)]);
        }
        this.conflicts
    }

    /// Whether `wide` admits all that every part of `narrow` admits; if not, says why.
    fn contains(&mut self, wide: &'a Value, narrow: &[Part<'a>]) -> bool {
        if *wide == Value::Bool(true) || wide.as_object().is_some_and(Map::is_empty) {
            return true;
        }
        if self.left == 0 || self.depth >= DEPTH_MAX {
            return self.refuse(wide, "", "the schemas are too large to be compared from here on");
        }
        let pair = (std::ptr::from_ref(wide) as usize, narrow.iter().map(Part::address).collect::<Vec<_>>());
        if !self.assumed.insert(pair.clone()) {
            return true;
        }
        self.trail.push(pair);
        self.left -= 1;
        self.depth += 1;
        let answer = self.decide(wide, narrow);
        self.depth -= 1;
        answer
    }

    fn decide(&mut self, wide: &'a Value, narrow: &[Part<'a>]) -> bool {
        let known = self.known(narrow);
        if known.is_impossible() {
            return true;
        }
        if let Some(answer) = self.decide_by_values(wide, &known) {
            return answer;
        }
        let Some(members) = wide.as_object() else {
            let what = format!("nothing is admitted here, and {} admits something", self.other());
            return self.refuse(wide, "", &what);
        };
        match self.attempt(|this| this.keywords(wide, members, narrow, &known)) {
            Ok(()) => true,
            Err(conflicts) => {
                if self.each_alternative_fits(wide, members, narrow, &known) {
                    return true;
                }
                conflicts.into_iter().for_each(|conflict| self.note(conflict));
                false
            }
        }
    }

    /// Where narrow admits only certain values, each is tried.
    fn decide_by_values(&mut self, wide: &'a Value, known: &Known<'a>) -> Option<bool> {
        let values = known.values()?;
        let mut refused = None;
        for value in values {
            if known.objects.iter().any(|part| self.admits(*part, &value) == Some(false)) {
                continue;
            }
            if !self.wide.admits(wide, &value)? {
                refused = Some(value);
                break;
            }
        }
        let Some(value) = refused else { return Some(true) };
        let text: String = value.to_string().chars().take(60).collect();
        let what = format!("{text} is not admitted, and {} admits it", self.other());
        Some(self.refuse(wide, "", &what))
    }

    /// Every keyword of wide; a keyword that says nothing of the values that narrow admits holds.
    fn keywords(
        &mut self,
        wide: &'a Value,
        members: &'a Map<String, Value>,
        narrow: &[Part<'a>],
        known: &Known<'a>,
    ) -> bool {
        let mut holds = true;
        for (keyword, value) in members {
            if self.is_repeated(keyword, value, known) {
                continue;
            }
            holds &= match keyword.as_str() {
                "$ref" => match self.wide.target(value) {
                    Some(target) => self.contains(target, narrow),
                    None => self.refuse(wide, keyword, "it leads nowhere"),
                },
                "type" => self.types_hold(wide, value, known),
                "enum" | "const" => {
                    let what =
                        format!("only certain values are admitted, and {} admits others", self.other());
                    self.refuse(wide, keyword, &what)
                }
                "allOf" | "anyOf" | "oneOf" | "not" | "if" => {
                    self.combination_holds(wide, members, keyword, value, narrow)
                }
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                    !known.types.has(Types::NUMBER) || self.number_holds(wide, keyword, value, known)
                }
                "minLength" | "maxLength" | "pattern" | "format" => {
                    !known.types.has(Types::STRING) || self.text_holds(wide, keyword, value, known)
                }
                "minItems" | "maxItems" | "uniqueItems" | "items" | "prefixItems" | "additionalItems"
                | "contains" => {
                    !known.types.has(Types::ARRAY) || self.array_holds(wide, members, keyword, value, known)
                }
                "required"
                | "properties"
                | "patternProperties"
                | "additionalProperties"
                | "propertyNames"
                | "minProperties"
                | "maxProperties"
                | "dependentRequired"
                | "dependentSchemas"
                | "dependencies" => {
                    !known.types.has(Types::OBJECT)
                        || self.object_holds(wide, members, keyword, value, narrow, known)
                }
                // Annotations, definitions, and what is read with another keyword.
                _ => true,
            };
            if self.conflicts.len() >= CONFLICTS_MAX {
                break;
            }
        }
        holds
    }

    fn types_hold(&mut self, wide: &'a Value, value: &Value, known: &Known<'a>) -> bool {
        let more = known.types.without(Types::read(value));
        if more.is_empty() {
            return true;
        }
        let what = format!("{} is not admitted, and {} admits it", more.names(), self.other());
        self.refuse(wide, "type", &what)
    }

    /// The same keyword with the same value, which means the same on both sides.
    fn is_repeated(&self, keyword: &str, value: &Value, known: &Known<'a>) -> bool {
        let is_whole = matches!(
            keyword,
            "not"
                | "pattern"
                | "format"
                | "multipleOf"
                | "uniqueItems"
                | "enum"
                | "const"
                | "propertyNames"
                | "anyOf"
                | "oneOf"
                | "allOf"
                | "type"
                | "dependentSchemas"
                | "dependentRequired"
                | "dependencies"
                | "required"
        );
        is_whole && !sides::refers(value) && known.maps().any(|map| map.get(keyword) == Some(value))
    }

    /// Runs `work`; where it fails, nothing that it took for granted stays, and its conflicts are given back.
    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> bool) -> Result<(), Vec<Conflict>> {
        let (conflicts, before) = (std::mem::take(&mut self.conflicts), self.trail.len());
        let holds = work(self);
        let found = std::mem::replace(&mut self.conflicts, conflicts);
        if holds {
            return Ok(());
        }
        for pair in self.trail.drain(before..) {
            self.assumed.remove(&pair);
        }
        Err(found)
    }

    /// Notes a conflict at a keyword of a wide schema (at the schema itself where it is empty); always false.
    fn refuse(&mut self, wide: &Value, keyword: &str, problem: &str) -> bool {
        let path = self.wide.path(wide);
        let path = if keyword.is_empty() { path } else { super::shape::join(&path, keyword) };
        self.conflict(path, problem);
        false
    }

    fn conflict(&mut self, path: String, problem: &str) {
        let (direction, problem) = (self.direction, problem.to_owned());
        self.note(Conflict { direction, path, problem });
    }

    fn note(&mut self, conflict: Conflict) {
        if self.conflicts.len() < CONFLICTS_MAX && !self.conflicts.contains(&conflict) {
            self.conflicts.push(conflict);
        }
    }

    /// The narrow side, for people.
    fn other(&self) -> &'static str {
        match self.direction {
            Direction::Backward => "the version before",
            Direction::Forward => "the new version",
        }
    }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
