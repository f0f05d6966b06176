//! One tree and the changes of one block: a single pass down, in order of key hashes.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use stateset_ledger_types::Substore;

use crate::StoreError;
use crate::branch::{Branch, Child, Kind, Leaf, WIDTH};
use crate::rows::{TreeRoot, in_leaf, node_row_at};
use crate::update::{Rows, StaleTable};
use crate::verify::leaf_hash;
use crate::view::Tables;

/// What a block does to one key.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// SHA-256 of the key.
    pub(crate) key_hash: [u8; 32],
    pub(crate) key: &'a [u8],
    /// The value and its SHA-256; `None` deletes.
    pub(crate) value: Option<(&'a [u8], [u8; 32])>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The tree held no such key.
    New,
    /// It held the key with another value.
    Replaced,
    Deleted,
}

/// A place in the tree before the block.
enum Before {
    Nothing,
    Leaf { version: u64 },
    Branch { version: u64, held: Option<Arc<Branch>> },
}

/// The same place after it. Leaves are written by whoever holds them in the end: a branch, or the root.
enum After {
    Unchanged,
    Nothing,
    Leaf(Leaf),
    /// Written already.
    Branch(Child),
}

/// Changes below the root that are worth a second thread.
const SHARED_FROM: usize = 64;

/// The tree that is updated.
#[derive(Clone, Copy)]
pub(crate) struct Tree<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) number: u8,
    /// Absent for the root tree, whose values have no rows of their own.
    pub(crate) substore: Option<Substore>,
    /// Of the block.
    pub(crate) height: u64,
    /// Of the tree after the block.
    pub(crate) version: u64,
    /// Branches down to this depth stay in memory.
    pub(crate) held_depth: usize,
}

/// An update of a tree, or of a part of it, under way.
pub(crate) struct TreeUpdate<'a> {
    tree: Tree<'a>,
    /// What the block adds to the file.
    rows: Rows,
}

/// A tree after a block.
pub(crate) struct Updated {
    pub(crate) root: TreeRoot,
    /// Absent where the tree is one leaf.
    pub(crate) top: Option<Arc<Branch>>,
    pub(crate) rows: Rows,
}

impl<'a> TreeUpdate<'a> {
    pub(crate) fn new(tree: Tree<'a>) -> Self {
        Self { tree, rows: Rows::default() }
    }

    /// Applies `changes`, sorted by key hash and each of another key, to the tree `before`, whose top `held` is when it is in
    /// memory. `None` when they change nothing.
    pub(crate) fn run(
        mut self,
        before: Option<TreeRoot>,
        held: Option<Arc<Branch>>,
        changes: &[Change<'_>],
    ) -> Result<Option<Updated>, StoreError> {
        let start = match before {
            None => Before::Nothing,
            Some(root) => self.start(root, held)?,
        };
        let child = match self.place(start, &mut Vec::new(), changes)? {
            After::Unchanged => return Ok(None),
            // Every substore holds its first key for ever.
            After::Nothing => {
                return Err(StoreError::bad_node(self.tree.number, "a block would leave it empty"));
            }
            After::Leaf(leaf) => self.write_leaf(&leaf, &[]),
            After::Branch(child) => child,
        };
        let root = TreeRoot { version: self.tree.version, hash: child.hash };
        let top = match child.kind {
            Kind::Branch { held, .. } => held,
            Kind::Leaf => None,
        };
        Ok(Some(Updated { root, top, rows: self.rows }))
    }

    /// The root, which must be the one that was left: a missing one would be taken for an empty tree, and the whole state
    /// lost from the next app hash (decision 34).
    fn start(&self, root: TreeRoot, held: Option<Arc<Branch>>) -> Result<Before, StoreError> {
        if let Some(held) = held {
            return Ok(Before::Branch { version: root.version, held: Some(held) });
        }
        let lost = || {
            StoreError::Corrupt(format!(
                "tree {} has no root at version {}, or another one",
                self.tree.number, root.version
            ))
        };
        let row = self.row(root.version, &[])?.ok_or_else(lost)?;
        let (hash, before) = match (Branch::from_row(&row), Leaf::from_row(&row)) {
            (Some(branch), _) => {
                let hash = branch.hash();
                (hash, Before::Branch { version: root.version, held: Some(Arc::new(branch)) })
            }
            (None, Some(leaf)) => {
                (leaf_hash(leaf.key_hash, leaf.value_hash), Before::Leaf { version: root.version })
            }
            (None, None) => return Err(lost()),
        };
        if hash == root.hash { Ok(before) } else { Err(lost()) }
    }

    /// The part of `changes` that lies below `path`.
    fn place(
        &mut self,
        before: Before,
        path: &mut Vec<u8>,
        changes: &[Change<'_>],
    ) -> Result<After, StoreError> {
        match before {
            Before::Nothing => {
                let mut leaves = Vec::with_capacity(changes.len());
                for change in changes {
                    leaves.extend(self.new_leaf(change)?);
                }
                Ok(if leaves.is_empty() { After::Unchanged } else { self.build(path, &leaves) })
            }
            Before::Leaf { version } => self.at_leaf(version, path, changes),
            Before::Branch { version, held } => {
                let branch = match held {
                    Some(held) => held,
                    None => Arc::new(self.read_branch(version, path)?),
                };
                self.at_branch(version, &branch, path, changes)
            }
        }
    }

    fn new_leaf(&mut self, change: &Change<'_>) -> Result<Option<Leaf>, StoreError> {
        let Some((value, value_hash)) = change.value else { return Ok(None) };
        self.note(change, Effect::New)?;
        let (key, value) = (change.key.to_vec(), self.in_leaf(change.key, value));
        Ok(Some(Leaf { key_hash: change.key_hash, value_hash, key, value }))
    }

    /// The value, if the key's leaf holds it.
    fn in_leaf(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let substore = self.tree.substore?;
        in_leaf(substore, key, value).then(|| value.to_vec())
    }

    fn at_leaf(
        &mut self,
        version: u64,
        path: &mut Vec<u8>,
        changes: &[Change<'_>],
    ) -> Result<After, StoreError> {
        let old = self.read_leaf(version, path)?;
        let (mut leaves, mut kept, mut differs) = (Vec::with_capacity(changes.len() + 1), true, false);
        for change in changes {
            if change.key_hash != old.key_hash {
                leaves.extend(self.new_leaf(change)?);
                continue;
            }
            match change.value {
                Some((_, value_hash)) if value_hash == old.value_hash => continue,
                Some((value, value_hash)) => {
                    self.note(change, Effect::Replaced)?;
                    let value = self.in_leaf(change.key, value);
                    leaves.push(Leaf { value_hash, value, ..old.clone() });
                }
                None => self.note(change, Effect::Deleted)?,
            }
            (kept, differs) = (false, true);
        }
        if !differs && leaves.is_empty() {
            return Ok(After::Unchanged);
        }
        self.forget(version, path);
        if kept {
            let at = leaves.partition_point(|leaf| leaf.key_hash < old.key_hash);
            leaves.insert(at, old);
        }
        Ok(if leaves.is_empty() { After::Nothing } else { self.build(path, &leaves) })
    }

    fn at_branch(
        &mut self,
        version: u64,
        branch: &Branch,
        path: &mut Vec<u8>,
        changes: &[Change<'_>],
    ) -> Result<After, StoreError> {
        let depth = path.len();
        let by_child =
            |a: &Change<'_>, b: &Change<'_>| nibble(&a.key_hash, depth) == nibble(&b.key_hash, depth);
        let groups: Vec<_> = changes.chunk_by(by_child).collect();
        let afters = if depth == 0 && changes.len() >= SHARED_FROM {
            self.below_shared(branch, &groups)?
        } else {
            groups.iter().map(|group| self.below(branch, path, group)).collect::<Result<_, _>>()?
        };
        let mut children: Option<[Option<Child>; WIDTH]> = None;
        let mut new_leaves: [Option<Leaf>; WIDTH] = [const { None }; WIDTH];
        for (group, after) in groups.iter().zip(afters) {
            if matches!(after, After::Unchanged) {
                continue;
            }
            let at = usize::from(nibble(&group[0].key_hash, depth));
            let child = &mut children.get_or_insert_with(|| branch.children.clone())[at];
            *child = match after {
                After::Leaf(leaf) => {
                    new_leaves[at] = Some(leaf);
                    None
                }
                After::Branch(child) => Some(child),
                After::Nothing | After::Unchanged => None,
            };
        }
        let Some(children) = children else { return Ok(After::Unchanged) };
        self.forget(version, path);
        self.close(path, children, new_leaves)
    }

    /// `group`, which lies below one child of the branch at `path`.
    fn below(
        &mut self,
        branch: &Branch,
        path: &mut Vec<u8>,
        group: &[Change<'_>],
    ) -> Result<After, StoreError> {
        let at = nibble(&group[0].key_hash, path.len());
        let before = match &branch.children[usize::from(at)] {
            None => Before::Nothing,
            Some(Child { version, kind: Kind::Leaf, .. }) => Before::Leaf { version: *version },
            Some(Child { version, kind: Kind::Branch { held, .. }, .. }) => {
                Before::Branch { version: *version, held: held.clone() }
            }
        };
        path.push(at);
        let after = self.place(before, path, group);
        path.pop();
        after
    }

    /// The same for all groups below the root, by as many threads as there are cores: children share nothing. What comes out
    /// does not depend on how many there are.
    fn below_shared(&mut self, branch: &Branch, groups: &[&[Change<'_>]]) -> Result<Vec<After>, StoreError> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(groups.len());
        let (tree, next) = (self.tree, AtomicUsize::new(0));
        // Each takes the next group when it is done with one: a core that others use as well gets fewer.
        let take_next = || {
            let at = next.fetch_add(1, Relaxed);
            groups.get(at).map(|group| (at, *group))
        };
        let share = || {
            let mut parts = Vec::new();
            while let Some((at, group)) = take_next() {
                let mut part = TreeUpdate::new(tree);
                let after = part.below(branch, &mut Vec::new(), group)?;
                parts.push((at, after, part.rows));
            }
            Ok(parts)
        };
        let parts = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(share)).collect();
            let own = share();
            let others =
                others.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
            std::iter::once(own).chain(others).collect::<Result<Vec<Vec<_>>, StoreError>>()
        })?;
        let mut parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.sort_unstable_by_key(|(at, ..)| *at);
        let mut afters = Vec::with_capacity(groups.len());
        for (_, after, rows) in parts {
            afters.push(after);
            self.rows.extend(rows);
        }
        Ok(afters)
    }

    /// Told of every change that is one.
    fn note(&mut self, change: &Change<'_>, effect: Effect) -> Result<(), StoreError> {
        match self.tree.substore {
            Some(substore) => {
                let Tree { tables, height, .. } = self.tree;
                self.rows.value(tables, height, (substore, change, effect))
            }
            None => Ok(()),
        }
    }

    /// A branch of what is left: itself, or its only leaf, or nothing.
    fn close(
        &mut self,
        path: &mut Vec<u8>,
        mut children: [Option<Child>; WIDTH],
        mut new_leaves: [Option<Leaf>; WIDTH],
    ) -> Result<After, StoreError> {
        let count = children.iter().flatten().count() + new_leaves.iter().flatten().count();
        if count == 0 {
            return Ok(After::Nothing);
        }
        if count == 1 {
            if let Some(leaf) = new_leaves.iter_mut().find_map(Option::take) {
                return Ok(After::Leaf(leaf));
            }
            let only = children.iter().zip(0..).find_map(|(child, at)| child.as_ref().map(|c| (c, at)));
            if let Some((Child { version, kind: Kind::Leaf, .. }, at)) = only {
                path.push(at);
                let leaf = self.read_leaf(*version, path)?;
                self.forget(*version, path);
                path.pop();
                return Ok(After::Leaf(leaf));
            }
        }
        for (at, leaf) in (0..).zip(&new_leaves) {
            if let Some(leaf) = leaf {
                path.push(at);
                children[usize::from(at)] = Some(self.write_leaf(leaf, path));
                path.pop();
            }
        }
        Ok(After::Branch(self.write_branch(Branch { children }, path)))
    }

    /// The subtree of `leaves`, sorted and at least one.
    fn build(&mut self, path: &mut Vec<u8>, leaves: &[Leaf]) -> After {
        if let [only] = leaves {
            return After::Leaf(only.clone());
        }
        let depth = path.len();
        let mut children = [const { None }; WIDTH];
        for group in leaves.chunk_by(|a, b| nibble(&a.key_hash, depth) == nibble(&b.key_hash, depth)) {
            let at = nibble(&group[0].key_hash, depth);
            path.push(at);
            children[usize::from(at)] = match self.build(path, group) {
                After::Leaf(leaf) => Some(self.write_leaf(&leaf, path)),
                After::Branch(child) => Some(child),
                After::Nothing | After::Unchanged => None,
            };
            path.pop();
        }
        After::Branch(self.write_branch(Branch { children }, path))
    }

    fn write_leaf(&mut self, leaf: &Leaf, path: &[u8]) -> Child {
        self.rows.nodes.push((node_row_at(self.tree.number, self.tree.version, path), leaf.to_row()));
        let hash = leaf_hash(leaf.key_hash, leaf.value_hash);
        Child { hash, version: self.tree.version, kind: Kind::Leaf }
    }

    fn write_branch(&mut self, branch: Branch, path: &[u8]) -> Child {
        self.rows.nodes.push((node_row_at(self.tree.number, self.tree.version, path), branch.to_row()));
        let (hash, leaves) = (branch.hash(), branch.leaves());
        let held = (path.len() <= self.tree.held_depth).then(|| Arc::new(branch));
        Child { hash, version: self.tree.version, kind: Kind::Branch { leaves, held } }
    }

    fn forget(&mut self, version: u64, path: &[u8]) {
        self.rows.stale.push(StaleTable::Nodes, &node_row_at(self.tree.number, version, path));
    }

    fn row(&self, version: u64, path: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.tree.tables.node(&node_row_at(self.tree.number, version, path))
    }

    fn read_branch(&self, version: u64, path: &[u8]) -> Result<Branch, StoreError> {
        let row = self.row(version, path)?;
        row.and_then(|row| Branch::from_row(&row))
            .ok_or_else(|| StoreError::bad_node(self.tree.number, "an inner node is missing or malformed"))
    }

    fn read_leaf(&self, version: u64, path: &[u8]) -> Result<Leaf, StoreError> {
        let row = self.row(version, path)?;
        row.and_then(|row| Leaf::from_row(&row))
            .ok_or_else(|| StoreError::bad_node(self.tree.number, "a leaf is missing or malformed"))
    }
}

/// Nibble `depth` of a key hash, from its top.
pub(crate) fn nibble(hash: &[u8; 32], depth: usize) -> u8 {
    let byte = hash[depth / 2];
    if depth.is_multiple_of(2) { byte >> 4 } else { byte & 0xf }
}

#[cfg(test)]
mod tests;
