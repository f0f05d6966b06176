//! Published lists as trees of Poseidon2 hashes: cheap inside a circuit.
//!
//! A leaf is a pair of 64-bit numbers (a list's entry has 0 as its second), hashed under another capacity than a node,
//! so that no node passes for a leaf. Trees are full: unused places hold the padding leaf, which stands for no pair. A list
//! that answers `non_member` is sorted, begins with 0 and ends with 2^64 - 1, which are not entries.

use serde::{Deserialize, Serialize};
use ves::Digest;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::commitment::{FieldCommitment, FieldDescription};
use crate::poseidon2::{self, RATE, WIDTH};
use crate::statement::limbs;

/// Deepest tree: 2^32 entries.
pub const DEPTH_MAX: u8 = 32;
/// Longest name of a list's version, in bytes.
const VERSION_BYTES_MAX: usize = 64;

/// A node or leaf: eight canonical elements.
pub type Node = [u32; RATE];

/// A published list: which one, and when it may be used. All of it stands in the policy, and so in its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Root {
    /// The top node, each element as four little-endian bytes.
    root: Digest,
    depth: u8,
    version: String,
    /// Unix seconds, both ends included.
    valid_from: u64,
    valid_until: u64,
}

impl Root {
    /// The root of a tree of `depth`, usable from `valid_from` to `valid_until` (Unix seconds).
    pub fn new(root: &Node, depth: u8, version: &str, valid_from: u64, valid_until: u64) -> Self {
        let mut bytes = [0; 32];
        for (bytes, element) in bytes.chunks_exact_mut(4).zip(root) {
            bytes.copy_from_slice(&element.to_le_bytes());
        }
        Self { root: Digest(bytes), depth, version: version.to_owned(), valid_from, valid_until }
    }

    pub fn depth(&self) -> u8 {
        self.depth
    }
    pub fn version(&self) -> &str {
        &self.version
    }
    /// First and last second (Unix) at which it may be used.
    pub fn validity(&self) -> (u64, u64) {
        (self.valid_from, self.valid_until)
    }
    /// `None` where an element is not canonical, which [`Self::problem`] refuses.
    pub fn node(&self) -> Option<Node> {
        FieldCommitment::from_bytes(self.root.0).ok().map(|root| root.elements())
    }
    pub fn is_valid_at(&self, unix_seconds: u64) -> bool {
        (self.valid_from..=self.valid_until).contains(&unix_seconds)
    }

    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.node().is_none() {
            return Some("root holds an element that is not below the modulus");
        }
        if !(1..=DEPTH_MAX).contains(&self.depth) {
            return Some("depth must be 1 to 32");
        }
        if !(1..=VERSION_BYTES_MAX).contains(&self.version.len())
            || self.version.chars().any(char::is_control)
        {
            return Some("version must be 1 to 64 bytes without control characters");
        }
        [self.valid_from, self.valid_until]
            .iter()
            .any(|at| *at > crate::policy::LIMIT_MAX)
            .then_some("validity must be Unix seconds up to 2^53 - 1")
            .or((self.valid_from > self.valid_until).then_some("validFrom is after validUntil"))
    }
}

/// The other nodes on the way from a leaf to the root, lowest first. They tell which entry is meant, so they are erased when
/// dropped, though the list is public.
#[derive(Debug, Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Path {
    /// Place of the leaf, from 0.
    pub place: u32,
    pub siblings: Vec<Node>,
}

impl Path {
    /// Whether the leaf lies at this place of the tree under `root`. A path of another length than the tree's depth leads
    /// nowhere: it could end in a node. So does one with an element that is not below the modulus, which would be another
    /// spelling of the same path.
    pub fn leads_to(&self, root: &Root, leaf: &Node) -> bool {
        let has_depth =
            (1..=DEPTH_MAX).contains(&root.depth) && self.siblings.len() == usize::from(root.depth);
        let is_inside = has_depth && u64::from(self.place) < 1 << root.depth;
        if !is_inside || !self.siblings.iter().chain([leaf]).all(is_canonical) {
            return false;
        }
        let top = self.siblings.iter().enumerate().fold(*leaf, |below, (level, sibling)| {
            if self.place >> level & 1 == 0 { node(&below, sibling) } else { node(sibling, &below) }
        });
        root.node() == Some(top)
    }
}

/// Hash of a pair.
pub fn leaf(key: u64, value: u64) -> Node {
    let (key, value) = (limbs(key), limbs(value));
    let input = std::array::from_fn(|place| if place < 4 { key[place] } else { value[place - 4] });
    squeeze(&absorb(&input, leaf_capacity()))
}

/// Fills unused places.
pub fn padding() -> Node {
    squeeze(&absorb(&[0; RATE], capacity("padding")))
}

/// Whether every element is below the modulus.
fn is_canonical(node: &Node) -> bool {
    node.iter().all(|element| *element < poseidon2::P)
}

/// Hash of two nodes: a sponge that absorbs one after the other.
///
/// # Panics
/// When an element is not below the modulus. [`Path`] and [`Tree`] ask before.
pub fn node(left: &Node, right: &Node) -> Node {
    let mut state = absorb(left, node_capacity());
    for (element, right) in state.iter_mut().zip(right) {
        *element = ((u64::from(*element) + u64::from(*right)) % u64::from(poseidon2::P)) as u32;
    }
    poseidon2::permute(&mut state);
    squeeze(&state)
}

/// A full tree of up to 2^[`BUILT_DEPTH_MAX`] leaves, unused places padded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// From the leaves to the top.
    levels: Vec<Vec<Node>>,
}

/// Deepest tree that is built here; a circuit follows deeper ones.
pub const BUILT_DEPTH_MAX: u8 = 20;

impl Tree {
    /// The tree over `leaves`, padded to 2^depth; `None` where they do not fit, or where an element of one is not below
    /// the modulus.
    pub fn new(mut leaves: Vec<Node>, depth: u8) -> Option<Self> {
        let width = 1usize.checked_shl(depth.into())?;
        if leaves.len() > width || depth > BUILT_DEPTH_MAX || !leaves.iter().all(is_canonical) {
            return None;
        }
        leaves.resize(width, padding());
        let mut levels = vec![leaves];
        for height in 0..usize::from(depth) {
            levels.push(levels[height].chunks_exact(2).map(|pair| node(&pair[0], &pair[1])).collect());
        }
        Some(Self { levels })
    }

    pub fn top(&self) -> Node {
        self.levels[self.levels.len() - 1][0]
    }

    /// What leads from the leaf at `place` to the top; `None` outside the tree.
    pub fn path(&self, place: u32) -> Option<Path> {
        let below = &self.levels[..self.levels.len() - 1];
        ((place as usize) < self.levels[0].len()).then_some(())?;
        // With room for all from the start: what a vector grows out of stays behind.
        let mut path = Path { place, siblings: Vec::with_capacity(below.len()) };
        for (height, level) in below.iter().enumerate() {
            path.siblings.push(*level.get((place as usize >> height) ^ 1)?);
        }
        Some(path)
    }
}

/// The root and the paths of a list of leaves, padded to 2^depth; `None` as from [`Tree::new`].
pub fn build(leaves: &[Node], depth: u8) -> Option<(Node, Vec<Path>)> {
    let tree = Tree::new(leaves.to_vec(), depth)?;
    let paths = (0..leaves.len() as u32).map(|place| tree.path(place)).collect::<Option<_>>()?;
    Some((tree.top(), paths))
}

fn absorb(input: &[u32; RATE], capacity: [u32; WIDTH - RATE]) -> [u32; WIDTH] {
    let mut state =
        std::array::from_fn(|place| if place < RATE { input[place] } else { capacity[place - RATE] });
    poseidon2::permute(&mut state);
    state
}

fn squeeze(state: &[u32; WIDTH]) -> Node {
    std::array::from_fn(|place| state[place])
}

/// The last eight elements of a leaf's first state.
pub fn leaf_capacity() -> [u32; WIDTH - RATE] {
    capacity("leaf")
}

/// The last eight elements of a node's first state.
pub fn node_capacity() -> [u32; WIDTH - RATE] {
    capacity("node")
}

/// Domain of a kind of hash, made like that of a field's commitment and apart from all of them by its type.
fn capacity(kind: &str) -> [u32; WIDTH - RATE] {
    FieldDescription::of_the_system(kind, "ves.tree.v1").capacity()
}
