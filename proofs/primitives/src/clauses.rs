//! The policy language `ves.policy.v2` (section 2.3): clauses over committed inputs, all of which must hold.
//!
//! Here are the language, its one spelling, its bounds, and what it means for numbers in clear ([`evaluate`]). The circuit
//! that means the same is `Clauses` in `ves-stark-air`.

pub mod evaluate;
pub mod lists;
pub mod tree;
mod unproved;

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ves::compliance::Policy;
use ves::json::{self, JsonError};

use crate::policy::LIMIT_MAX;
use tree::Root;

pub use unproved::Unproved;

/// The language's `policyId`.
pub const POLICY_ID: &str = "ves.policy.v2";
/// Most clauses of a policy, those inside `one_of` included.
pub const CLAUSES_MAX: usize = 32;
/// Most committed inputs.
pub const INPUTS_MAX: usize = 64;
/// Most summands of one `sum`, so that a sum of 64-bit numbers stays below 2^80.
pub const SUMMANDS_MAX: usize = 64;
/// Most published roots of a policy.
pub const ROOTS_MAX: usize = 16;
/// Basis points that a rate may have: ten times the base.
pub const BASIS_POINTS_MAX: u32 = 100_000;
/// Longest parameters that are read at all.
pub const PARAMS_BYTES_MAX: usize = 32 << 10;

/// Why clauses are refused. Members are named as in `policyParams`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClauseError {
    #[error("policyParams have more than {PARAMS_BYTES_MAX} bytes")]
    TooLarge,
    #[error("policyParams: {0}")]
    Json(JsonError),
    #[error("policyParams: {0}")]
    Shape(String),
    #[error("inputs must be 1 to {INPUTS_MAX}")]
    InputCount,
    #[error("clauses must be 1 to {CLAUSES_MAX}, those inside one_of included")]
    ClauseCount,
    #[error("roots must be at most {ROOTS_MAX}")]
    RootCount,
    #[error("clause {clause}: {problem}")]
    Clause { clause: usize, problem: &'static str },
    #[error("roots[{root}]: {problem}")]
    Root { root: usize, problem: &'static str },
}

/// A policy: every clause must hold for the committed inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ClausePolicy {
    /// How many committed inputs there are; clauses name them by index from 0.
    inputs: u8,
    clauses: Vec<Clause>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roots: Vec<Root>,
}

/// A policy as it is spelt; [`ClausePolicy`] is what is left when it was checked.
#[derive(Deserialize)]
#[serde(rename = "ClausePolicy", deny_unknown_fields)]
struct Unchecked {
    inputs: u8,
    clauses: Vec<Clause>,
    #[serde(default)]
    roots: Vec<Root>,
}

impl TryFrom<Unchecked> for ClausePolicy {
    type Error = ClauseError;

    fn try_from(Unchecked { inputs, clauses, roots }: Unchecked) -> Result<Self, ClauseError> {
        Self::new(inputs, clauses, roots)
    }
}

/// Index of a committed input.
pub type Input = u8;

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clause", rename_all = "snake_case", deny_unknown_fields)]
pub enum Clause {
    /// lo <= x <= hi; one end may be missing.
    Range {
        x: Input,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lo: Option<Number>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hi: Option<Number>,
    },
    /// The sum of `xs` equals y, or is at most y. Nothing wraps.
    Sum { xs: Vec<Input>, relation: Relation, y: Input },
    /// q * p = y: quantity times unit price is the line's amount. Nothing wraps.
    MulLe { q: Input, p: Input, y: Input },
    /// tax = base * bps / 10000, rounded by `mode`; the rate is a constant or, for a looked-up one, an input.
    Rate {
        base: Input,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bps: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bps_input: Option<Input>,
        tax: Input,
        mode: Rounding,
    },
    /// x is on the published list.
    Member { x: Input, root: u8 },
    /// x is not on the published sorted list.
    NonMember { x: Input, root: u8 },
    /// (key, y) is in the published table.
    Lookup { key: Input, root: u8, y: Input },
    /// new = prev + x, and new <= limit where one is given. Whoever keeps the ledger sees that `prev` is consumed once, so it
    /// does not stand inside `one_of`: which branch holds is hidden, and with it whether `prev` was consumed.
    PrevTotal {
        prev: Input,
        x: Input,
        new: Input,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<Number>,
    },
    /// from <= t <= until, Unix seconds.
    TimeIn { t: Input, from: Number, until: Number },
    /// At least one holds; which, stays hidden. It does not nest.
    OneOf { clauses: Vec<Clause> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    Equal,
    AtMost,
}

/// How a tax becomes an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    Floor,
    HalfUp,
    HalfEven,
}

/// A 64-bit number with one spelling: a JSON integer up to 2^53 - 1, a decimal text above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 <= LIMIT_MAX {
            true => serializer.serialize_u64(self.0),
            false => serializer.collect_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneSpelling;
        impl Visitor<'_> for OneSpelling {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer up to 2^53 - 1, or a larger one of 64 bits as a decimal text")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                match number <= LIMIT_MAX {
                    true => Ok(Number(number)),
                    false => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let number = text.parse().ok().filter(|number: &u64| *number > LIMIT_MAX);
                let number = number.filter(|number| number.to_string() == text);
                number.map(Number).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(OneSpelling)
    }
}

impl ClausePolicy {
    /// Reads `policyParams`.
    ///
    /// # Errors
    /// [`ClauseError`].
    pub fn parse(params_json: &str) -> Result<Self, ClauseError> {
        if params_json.len() > PARAMS_BYTES_MAX {
            return Err(ClauseError::TooLarge);
        }
        json::canonicalize(params_json).map_err(ClauseError::Json)?;
        let policy: Unchecked =
            serde_json::from_str(params_json).map_err(|error| ClauseError::Shape(error.to_string()))?;
        policy.try_into()
    }

    /// # Errors
    /// [`ClauseError`], as [`Self::parse`].
    pub fn new(inputs: u8, clauses: Vec<Clause>, roots: Vec<Root>) -> Result<Self, ClauseError> {
        let policy = Self { inputs, clauses, roots };
        policy.check()?;
        Ok(policy)
    }

    pub fn inputs(&self) -> usize {
        usize::from(self.inputs)
    }
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// Id and canonical parameters.
    pub fn policy(&self) -> Policy {
        let params = json::to_canonical(self).expect("clauses have a canonical form");
        Policy::new(POLICY_ID, Some(&params)).expect("a known id and an object make a policy")
    }

    /// Permutations of the hash that a circuit would need, about: a bound before anything is proved.
    pub fn cost(&self) -> u64 {
        self.flat().map(|(clause, _)| clause.cost(&self.roots)).sum()
    }

    /// The first root that is not valid at `now` (Unix seconds), if there is one. A proof is refused then, whichever
    /// clause names the root.
    pub fn root_not_valid_at(&self, now: u64) -> Option<usize> {
        self.roots.iter().position(|root| !root.is_valid_at(now))
    }

    /// Clauses in reading order, those of `one_of` after it, with whether they stand inside one. Their place here is the
    /// number by which evidence and errors name them.
    pub fn flat(&self) -> impl Iterator<Item = (&Clause, bool)> {
        self.clauses.iter().flat_map(|clause| {
            let inner: &[Clause] = if let Clause::OneOf { clauses } = clause { clauses } else { &[] };
            std::iter::once((clause, false)).chain(inner.iter().map(|clause| (clause, true)))
        })
    }

    fn check(&self) -> Result<(), ClauseError> {
        if !(1..=INPUTS_MAX).contains(&self.inputs()) {
            return Err(ClauseError::InputCount);
        }
        if !(1..=CLAUSES_MAX).contains(&self.flat().count()) {
            return Err(ClauseError::ClauseCount);
        }
        if self.roots.len() > ROOTS_MAX {
            return Err(ClauseError::RootCount);
        }
        for (place, (clause, is_inside)) in self.flat().enumerate() {
            let problem = match clause {
                Clause::OneOf { .. } if is_inside => Some("one_of does not nest"),
                Clause::PrevTotal { .. } if is_inside => Some(
                    "prev_total does not stand inside one_of, where nobody would see whether the total was continued: put it beside one_of",
                ),
                clause => clause.problem(self.inputs(), self.roots.len()),
            };
            if let Some(problem) = problem {
                return Err(ClauseError::Clause { clause: place, problem });
            }
        }
        for (place, root) in self.roots.iter().enumerate() {
            let is_used = self.flat().any(|(clause, _)| clause.root() == Some(place));
            let problem = root.problem().or((!is_used).then_some("no clause uses it"));
            if let Some(problem) = problem {
                return Err(ClauseError::Root { root: place, problem });
            }
        }
        Ok(())
    }
}

impl Clause {
    /// The inputs that it names.
    fn named(&self) -> Vec<Input> {
        match self {
            Self::Range { x, .. } | Self::Member { x, .. } | Self::NonMember { x, .. } => vec![*x],
            Self::Sum { xs, y, .. } => xs.iter().chain([y]).copied().collect(),
            Self::MulLe { q, p, y } => vec![*q, *p, *y],
            Self::Rate { base, tax, bps_input, .. } => [*base, *tax].into_iter().chain(*bps_input).collect(),
            Self::Lookup { key, y, .. } => vec![*key, *y],
            Self::PrevTotal { prev, x, new, .. } => vec![*prev, *x, *new],
            Self::TimeIn { t, .. } => vec![*t],
            Self::OneOf { .. } => Vec::new(),
        }
    }

    /// Index of the published root that it names.
    fn root(&self) -> Option<usize> {
        match self {
            Self::Member { root, .. } | Self::NonMember { root, .. } | Self::Lookup { root, .. } => {
                Some(usize::from(*root))
            }
            _ => None,
        }
    }

    fn problem(&self, inputs: usize, roots: usize) -> Option<&'static str> {
        if self.named().iter().any(|input| usize::from(*input) >= inputs) {
            return Some("it names an input that does not exist");
        }
        if self.root().is_some_and(|root| root >= roots) {
            return Some("it names a root that does not exist");
        }
        match self {
            Self::Range { lo: None, hi: None, .. } => Some("range needs lo or hi"),
            Self::Range { lo: Some(lo), hi: Some(hi), .. } if lo > hi => Some("lo is above hi"),
            Self::Sum { xs, .. } if !(1..=SUMMANDS_MAX).contains(&xs.len()) => {
                Some("sum needs 1 to 64 summands")
            }
            Self::Rate { bps, bps_input, .. } if bps.is_some() == bps_input.is_some() => {
                Some("rate needs exactly one of bps and bps_input")
            }
            Self::Rate { bps: Some(bps), .. } if *bps > BASIS_POINTS_MAX => Some("bps is above 100000"),
            Self::TimeIn { from, until, .. } if from > until => Some("from is after until"),
            Self::OneOf { clauses } if clauses.len() < 2 => Some("one_of needs at least two clauses"),
            _ => None,
        }
    }

    /// In permutations, from the table of section 2.3; a permutation is about 150 cells.
    fn cost(&self, roots: &[Root]) -> u64 {
        let depth = self.root().and_then(|root| roots.get(root)).map_or(0, |root| u64::from(root.depth()));
        match self {
            Self::Range { .. } | Self::TimeIn { .. } | Self::MulLe { .. } => 1,
            Self::Sum { xs, .. } => xs.len() as u64 + 1,
            Self::Rate { .. } => 2,
            // A node takes two permutations: see [`tree`].
            Self::Member { .. } | Self::Lookup { .. } => 2 * depth + 1,
            Self::NonMember { .. } => 4 * depth + 4,
            Self::PrevTotal { .. } => 3,
            Self::OneOf { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests;
