//! What clauses mean for numbers in clear. A prover asks here before it works; an auditor who was given the openings
//! asks here instead of believing a proof.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::tree::{self, Path};
use super::{Clause, ClausePolicy, Relation, Rounding};

/// What shows that an input is on a list, or is not. It tells the input or what it lies between; erased when dropped.
#[derive(Debug, Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub enum Evidence {
    /// For `member` and `lookup`.
    At(Path),
    /// For `non_member`: the neighbours on the sorted list, each with its path.
    Between { left: (u64, Path), right: (u64, Path) },
}

/// Which clause does not hold, in reading order with those of `one_of` after it. It names no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsatisfied {
    #[error("{expected} inputs are expected")]
    InputCount { expected: usize },
    #[error("clause {clause} does not hold")]
    Clause { clause: usize },
}

impl ClausePolicy {
    /// Whether every clause holds for `inputs` at `now` (Unix seconds).
    ///
    /// `evidence` answers for the clause of that number, in reading order with those of `one_of` after it.
    ///
    /// # Errors
    /// [`Unsatisfied`], the first clause that does not hold.
    pub fn evaluate(
        &self,
        inputs: &[u64],
        evidence: &dyn Fn(usize) -> Option<Evidence>,
        now: u64,
    ) -> Result<(), Unsatisfied> {
        self.branches(inputs, evidence, now).map(drop)
    }

    /// The same, telling for each `one_of` in reading order which of its clauses holds first. That is secret: a proof
    /// hides it.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn branches(
        &self,
        inputs: &[u64],
        evidence: &dyn Fn(usize) -> Option<Evidence>,
        now: u64,
    ) -> Result<Vec<usize>, Unsatisfied> {
        if inputs.len() != self.inputs() {
            return Err(Unsatisfied::InputCount { expected: self.inputs() });
        }
        // With room for all from the start, since what a vector grows out of stays behind; erased where a clause does not hold.
        let mut branches = Zeroizing::new(Vec::with_capacity(self.clauses().len()));
        let mut number = 0;
        for clause in self.clauses() {
            let own = number;
            number += 1;
            let holds = match clause {
                Clause::OneOf { clauses } => {
                    let first = number;
                    number += clauses.len();
                    let holds = |n: usize| self.holds(&clauses[n], inputs, evidence(first + n), now);
                    let branch = (0..clauses.len()).find(|&n| holds(n));
                    branches.extend(branch);
                    branch.is_some()
                }
                clause => self.holds(clause, inputs, evidence(own), now),
            };
            if !holds {
                return Err(Unsatisfied::Clause { clause: own });
            }
        }
        Ok(std::mem::take(&mut *branches))
    }

    fn holds(&self, clause: &Clause, inputs: &[u64], evidence: Option<Evidence>, now: u64) -> bool {
        let value = |input: &u8| inputs[usize::from(*input)];
        let wide = |input: &u8| u128::from(value(input));
        match clause {
            Clause::Range { x, lo, hi } => {
                lo.is_none_or(|lo| lo.0 <= value(x)) && hi.is_none_or(|hi| value(x) <= hi.0)
            }
            Clause::Sum { xs, relation, y } => {
                let sum: u128 = xs.iter().map(wide).sum();
                match relation {
                    Relation::Equal => sum == wide(y),
                    Relation::AtMost => sum <= wide(y),
                }
            }
            Clause::MulLe { q, p, y } => wide(q) * wide(p) == wide(y),
            Clause::Rate { base, bps, bps_input, tax, mode } => {
                let bps = bps.map(u128::from).or_else(|| bps_input.as_ref().map(wide)).unwrap_or_default();
                bps <= super::BASIS_POINTS_MAX.into() && rounded(wide(base) * bps, *mode) == wide(tax)
            }
            Clause::Member { x, root } => self.is_at(*root, value(x), 0, evidence, now),
            Clause::Lookup { key, root, y } => self.is_at(*root, value(key), value(y), evidence, now),
            Clause::NonMember { x, root } => self.is_between(*root, value(x), evidence, now),
            Clause::PrevTotal { prev, x, new, limit } => {
                wide(prev) + wide(x) == wide(new) && limit.is_none_or(|limit| value(new) <= limit.0)
            }
            Clause::TimeIn { t, from, until } => (from.0..=until.0).contains(&value(t)),
            // It does not nest: refused when the policy was read.
            Clause::OneOf { .. } => false,
        }
    }

    fn is_at(&self, root: u8, key: u64, other: u64, evidence: Option<Evidence>, now: u64) -> bool {
        let root = &self.roots()[usize::from(root)];
        match &evidence {
            Some(Evidence::At(path)) => root.is_valid_at(now) && path.leads_to(root, &tree::leaf(key, other)),
            _ => false,
        }
    }

    fn is_between(&self, root: u8, x: u64, evidence: Option<Evidence>, now: u64) -> bool {
        let root = &self.roots()[usize::from(root)];
        let Some(Evidence::Between { left: (low, left), right: (high, right) }) = &evidence else {
            return false;
        };
        let are_neighbours = left.place.checked_add(1) == Some(right.place);
        root.is_valid_at(now)
            && are_neighbours
            && *low < x
            && x < *high
            && left.leads_to(root, &tree::leaf(*low, 0))
            && right.leads_to(root, &tree::leaf(*high, 0))
    }
}

/// `product / 10000`, rounded.
fn rounded(product: u128, mode: Rounding) -> u128 {
    let (whole, rest) = (product / 10_000, product % 10_000);
    let is_up = match mode {
        Rounding::Floor => false,
        Rounding::HalfUp => rest >= 5_000,
        Rounding::HalfEven => rest > 5_000 || (rest == 5_000 && whole % 2 == 1),
    };
    whole + u128::from(is_up)
}
