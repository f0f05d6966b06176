//! Published lists as files: from the entries that somebody publishes to the root in a policy, and to the evidence that a
//! number is on the list, or is not.
//!
//! ```json
//! {"version":"2025","validFrom":1735689600,"validUntil":1767225599,"entries":[756,840,978]}
//! ```
//!
//! `entries` are numbers (a list) or pairs of key and value (a table for `lookup`), in any order: they are sorted here, so
//! that a list has one root. With `"absence": true` a list answers `non_member`: 0 and 2^64 - 1 stand at its ends. They are
//! leaves like others, so a policy that also asks such a list for a `member` must rule both out by a `range`; without
//! `absence` neither is there.

mod read;

use super::evaluate::Evidence;
use super::tree::{BUILT_DEPTH_MAX, Root, Tree, leaf};
use super::{Clause, ClausePolicy};

use read::{Entry, File};

/// Most leaves, the two ends of a list with `absence` included.
pub const LEAVES_MAX: usize = 1 << BUILT_DEPTH_MAX;
/// Longest file: the most pairs of the longest numbers, with room for blanks.
pub const LIST_BYTES_MAX: usize = 64 << 20;
/// The ends of a list with `absence`; no list has them as entries.
const ENDS: [u64; 2] = [0, u64::MAX];

/// Why a list is refused. Members are named as in the file, entries by their place from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("the list has more than {LIST_BYTES_MAX} bytes")]
    TooLarge,
    /// It is no JSON, or a member or entry is missing, unknown, doubled, or of another type.
    #[error("the list: {0}")]
    Shape(String),
    #[error("entries[{place}]: {problem}")]
    Entry { place: usize, problem: EntryProblem },
    #[error("entries: more than {LEAVES_MAX}, with the two ends of a list with absence")]
    TooMany,
    #[error("absence is for lists; this is a table of pairs")]
    AbsenceOfTable,
    #[error("depth must be 1 to {BUILT_DEPTH_MAX}, and {leaves} leaves need at least {least}")]
    Depth { leaves: usize, least: u8 },
    /// Of `version`, `validFrom` or `validUntil`.
    #[error("{0}")]
    Root(&'static str),
}

/// What is wrong with one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    #[error("{number} stands twice, first as entries[{first}]")]
    Doubled { number: u64, first: usize },
    #[error("0 and 2^64 - 1 are the ends of lists, and no entries")]
    End,
    #[error("numbers and pairs do not stand in one list")]
    Mixed,
}

/// A published list or table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    root: Root,
    kind: Kind,
    /// Key and value (0 in a list) of each leaf, by rising keys.
    leaves: Vec<(u64, u64)>,
    tree: Tree,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    /// With its ends.
    Absence,
    Table,
}

impl List {
    /// Reads a list file.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn parse(text: &str) -> Result<Self, ListError> {
        if text.len() > LIST_BYTES_MAX {
            return Err(ListError::TooLarge);
        }
        let File { version, valid_from, valid_until, depth, absence, entries } =
            serde_json::from_str(text).map_err(|error| ListError::Shape(error.to_string()))?;
        let kind = kind(&entries.0, absence)?;
        let leaves = sorted(&entries.0, kind)?;
        let least = depth_for(leaves.len());
        let depth = depth.unwrap_or(least);
        let is_possible = (least..=BUILT_DEPTH_MAX).contains(&depth);
        let nodes = leaves.iter().map(|&(key, value)| leaf(key, value)).collect();
        let tree = is_possible.then(|| Tree::new(nodes, depth)).flatten();
        let tree = tree.ok_or(ListError::Depth { leaves: leaves.len(), least })?;
        let root = Root::new(&tree.top(), depth, &version, valid_from, valid_until);
        match root.problem() {
            Some(problem) => Err(ListError::Root(problem)),
            None => Ok(Self { root, kind, leaves, tree }),
        }
    }

    /// As a policy names it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Whether a clause `non_member` can be shown.
    pub fn shows_absence(&self) -> bool {
        self.kind == Kind::Absence
    }

    /// Where `key` stands, if it is an entry; in a table, if `value` stands beside it. A list's entries have the value 0.
    pub fn at(&self, key: u64, value: u64) -> Option<Evidence> {
        let is_entry = self.kind == Kind::Table || !ENDS.contains(&key);
        let place = is_entry.then(|| self.leaves.binary_search(&(key, value)).ok()).flatten()?;
        Some(Evidence::At(self.tree.path(u32::try_from(place).ok()?)?))
    }

    /// The neighbours between which `x` is missing, in a list with `absence`.
    pub fn between(&self, x: u64) -> Option<Evidence> {
        if !self.shows_absence() {
            return None;
        }
        let high = self.leaves.binary_search(&(x, 0)).err()?;
        let neighbour =
            |place: usize| Some((self.leaves.get(place)?.0, self.tree.path(u32::try_from(place).ok()?)?));
        Some(Evidence::Between { left: neighbour(high.checked_sub(1)?)?, right: neighbour(high)? })
    }
}

fn kind(entries: &[Entry], absence: bool) -> Result<Kind, ListError> {
    let is_table = matches!(entries.first(), Some(Entry::Pair(..)));
    if let Some(place) = entries.iter().position(|entry| matches!(entry, Entry::Pair(..)) != is_table) {
        return Err(ListError::Entry { place, problem: EntryProblem::Mixed });
    }
    match (is_table, absence) {
        (true, true) => Err(ListError::AbsenceOfTable),
        (true, false) => Ok(Kind::Table),
        (false, true) => Ok(Kind::Absence),
        (false, false) => Ok(Kind::List),
    }
}

/// The leaves by rising keys, the ends of a list with `absence` among them.
fn sorted(entries: &[Entry], kind: Kind) -> Result<Vec<(u64, u64)>, ListError> {
    let mut places: Vec<((u64, u64), usize)> =
        entries.iter().enumerate().map(|(place, entry)| (entry.leaf(), place)).collect();
    if let Some(&(_, place)) = places.iter().find(|((key, _), _)| kind != Kind::Table && ENDS.contains(key)) {
        return Err(ListError::Entry { place, problem: EntryProblem::End });
    }
    // Stable, so that of two equal keys the first in the file comes first.
    places.sort_by_key(|((key, _), _)| *key);
    if let Some(pair) = places.windows(2).find(|pair| pair[0].0.0 == pair[1].0.0) {
        let problem = EntryProblem::Doubled { number: pair[0].0.0, first: pair[0].1 };
        return Err(ListError::Entry { place: pair[1].1, problem });
    }
    let own = places.into_iter().map(|(leaf, _)| leaf);
    let leaves: Vec<(u64, u64)> = match kind {
        Kind::Absence => std::iter::once((ENDS[0], 0)).chain(own).chain([(ENDS[1], 0)]).collect(),
        Kind::List | Kind::Table => own.collect(),
    };
    if leaves.len() > LEAVES_MAX { Err(ListError::TooMany) } else { Ok(leaves) }
}

/// The least depth, at least 1, whose tree has that many places.
fn depth_for(leaves: usize) -> u8 {
    (1..BUILT_DEPTH_MAX).find(|depth| leaves <= 1 << depth).unwrap_or(BUILT_DEPTH_MAX)
}

/// A policy's list is not among those that are given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEvidence {
    #[error(
        "clause {clause} needs the published list of roots[{root}], version {version:?}; none of the given lists has that root"
    )]
    ListMissing { clause: usize, root: usize, version: String },
    #[error(
        "clause {clause} asks whether a number is absent, which the list of roots[{root}] cannot show: it was published without \"absence\": true"
    )]
    NoAbsence { clause: usize, root: usize },
}

impl ClausePolicy {
    /// For each clause, in reading order with those of `one_of` after it, what shows it from `lists`: nothing for one that
    /// needs no list, or that does not hold. `inputs` are as many as the policy has; others count as 0.
    ///
    /// # Errors
    /// [`NoEvidence`]. The lists of branches need not all be there: another branch may hold.
    pub fn evidence(&self, inputs: &[u64], lists: &[List]) -> Result<Vec<Option<Evidence>>, NoEvidence> {
        // Not collected: neighbours would stay behind where the vector grows.
        let mut evidence = Vec::with_capacity(self.flat().count());
        for (place, (clause, is_inside)) in self.flat().enumerate() {
            evidence.push(self.shown(place, clause, is_inside, inputs, lists)?);
        }
        Ok(evidence)
    }

    fn shown(
        &self,
        place: usize,
        clause: &Clause,
        is_inside: bool,
        inputs: &[u64],
        lists: &[List],
    ) -> Result<Option<Evidence>, NoEvidence> {
        let Some(number) = clause.root() else { return Ok(None) };
        let root = &self.roots()[number];
        let Some(list) = lists.iter().find(|list| list.root() == root) else {
            let version = root.version().to_owned();
            let missing = NoEvidence::ListMissing { clause: place, root: number, version };
            return if is_inside { Ok(None) } else { Err(missing) };
        };
        let value = |input: &u8| inputs.get(usize::from(*input)).copied().unwrap_or(0);
        match clause {
            Clause::NonMember { .. } if !list.shows_absence() && !is_inside => {
                Err(NoEvidence::NoAbsence { clause: place, root: number })
            }
            Clause::NonMember { x, .. } => Ok(list.between(value(x))),
            Clause::Member { x, .. } => Ok(list.at(value(x), 0)),
            Clause::Lookup { key, y, .. } => Ok(list.at(value(key), value(y))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
