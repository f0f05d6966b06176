//! Tear-offs (section 2.3): some components with their nonces, the rest as sibling hashes or group hashes. Every
//! tear-off of a transaction has the transaction's id.

use serde::{Deserialize, Serialize};
use ves::Digest;

use crate::body::SaltedBody;
use crate::codec::{Blob, Decode, DecodeError, Encode, List, Problem, Reader, choice, record};
use crate::ids::{ChainId, TxId};
use crate::tree::{
    COMPONENTS_MAX, GROUPS, Group, LEVELS_MAX, Mode, Nonce, all_pads, group_of_root, leaf, node, tx_id,
};

/// Most bytes of a shown component.
const COMPONENT_BYTES_MAX: usize = 1_100_000;

record! {
    /// A component that is shown.
    pub struct ShownComponent {
        /// Place in its group.
        pub index: u32,
        pub nonce: Nonce,
        /// The component's encoding.
        pub component: Blob<COMPONENT_BYTES_MAX>,
    }

    /// A group of which some components are shown, by rising index; the others stand as hashes of the largest
    /// subtrees without a shown component, from left to right. Subtrees of pads alone are left out.
    pub struct PartialGroup {
        /// Components in the whole group.
        pub count: u32,
        pub shown: List<ShownComponent, COMPONENTS_MAX>,
        pub siblings: List<Digest, COMPONENTS_MAX>,
    }
}

choice! {
    /// What a tear-off tells of a group.
    pub enum GroupView {
        /// The group hash alone.
        Hidden(Digest) = 0,
        Partial(PartialGroup) = 1,
    }
}

/// Part of a transaction. Decoding checks its shape: indexes rise and the siblings are exactly those needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TearOff {
    pub chain_id: ChainId,
    pub mode: Mode,
    /// By group number.
    pub groups: [GroupView; GROUPS],
}

/// Why a partly shown group is not part of any group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TearOffError {
    #[error("component {index} is not one of {count}")]
    Index { index: u32, count: u32 },
    #[error("the indexes of shown components do not rise")]
    Order,
    #[error("{found} sibling hashes are given, {needed} are needed")]
    Siblings { found: usize, needed: usize },
    #[error("a group has at most 65536 components")]
    Count,
}

impl TearOff {
    /// Shows the components for which `show` is true. A group of which none is shown is hidden, unless it is empty and
    /// `show_empty` holds for it.
    pub fn of(
        whole: &SaltedBody,
        mode: Mode,
        show: impl Fn(Group, u32) -> bool,
        show_empty: impl Fn(Group) -> bool,
    ) -> Self {
        let (hashes, components) = (whole.group_hashes(), whole.components());
        let groups = std::array::from_fn(|g| {
            let group = Group::ALL[g];
            let components = &components[g];
            let shown: Vec<bool> = (0..components.len() as u32).map(|i| show(group, i)).collect();
            let is_shown = if components.is_empty() { show_empty(group) } else { shown.contains(&true) };
            if !is_shown {
                return GroupView::Hidden(hashes[g]);
            }
            let nonces = (0..).map(|i| whole.salt.nonce(group, i));
            GroupView::Partial(PartialGroup::of(group, &nonces.zip(components).collect::<Vec<_>>(), &shown))
        });
        Self { chain_id: whole.body.header.0.chain_id.clone(), mode, groups }
    }

    /// The ten group hashes.
    ///
    /// # Errors
    /// [`TearOffError`] for the first group that cannot be part of one.
    pub fn group_hashes(&self) -> Result<[Digest; GROUPS], TearOffError> {
        let mut hashes = [Digest::ZERO; GROUPS];
        for ((group, view), hash) in Group::ALL.iter().zip(&self.groups).zip(&mut hashes) {
            *hash = match view {
                GroupView::Hidden(hash) => *hash,
                GroupView::Partial(partial) => partial.hash(*group)?,
            };
        }
        Ok(hashes)
    }

    /// The id of the transaction that this is part of.
    ///
    /// # Errors
    /// As of [`group_hashes`](Self::group_hashes).
    pub fn tx_id(&self) -> Result<TxId, TearOffError> {
        Ok(tx_id(&self.chain_id, self.mode, &self.group_hashes()?))
    }

    /// A component, if it is shown.
    pub fn component(&self, group: Group, index: u32) -> Option<&[u8]> {
        self.shown(group, index).map(|shown| &*shown.component)
    }

    /// A component with its nonce, if it is shown.
    pub fn shown(&self, group: Group, index: u32) -> Option<&ShownComponent> {
        match &self.groups[usize::from(group.code())] {
            GroupView::Hidden(_) => None,
            GroupView::Partial(partial) => partial.shown.iter().find(|shown| shown.index == index),
        }
    }
}

impl PartialGroup {
    fn of(group: Group, components: &[(Nonce, &Vec<u8>)], shown: &[bool]) -> Self {
        let leaves: Vec<Digest> =
            (0..).zip(components).map(|(i, (nonce, bytes))| leaf(group, i, nonce, bytes)).collect();
        let mut siblings = Vec::new();
        if !leaves.is_empty() {
            collect_siblings(&leaves, shown, height(leaves.len()), 0, &mut siblings);
        }
        let shown = (0..).zip(components).zip(shown).filter(|(_, shown)| **shown);
        let shown: Vec<ShownComponent> = shown
            .map(|((index, (nonce, bytes)), _)| ShownComponent {
                index,
                nonce: *nonce,
                component: Blob::new(bytes.as_slice()).expect("a component of a body fits"),
            })
            .collect();
        Self {
            count: components.len() as u32,
            shown: List::new(shown).expect("as many as the body has"),
            siblings: List::new(siblings).expect("fewer than leaves"),
        }
    }

    fn hash(&self, group: Group) -> Result<Digest, TearOffError> {
        if self.count as usize > COMPONENTS_MAX {
            return Err(TearOffError::Count);
        }
        let mut last = None;
        for shown in self.shown.iter() {
            if shown.index >= self.count {
                return Err(TearOffError::Index { index: shown.index, count: self.count });
            }
            if last.is_some_and(|last| last >= shown.index) {
                return Err(TearOffError::Order);
            }
            last = Some(shown.index);
        }
        let mut walk = Walk {
            group,
            count: self.count as usize,
            shown: &self.shown,
            siblings: &self.siblings,
            siblings_needed: 0,
        };
        let root = (self.count > 0).then(|| walk.root(height(self.count as usize), 0));
        if walk.siblings_needed != self.siblings.len() {
            let (found, needed) = (self.siblings.len(), walk.siblings_needed);
            return Err(TearOffError::Siblings { found, needed });
        }
        Ok(group_of_root(group, self.count, root.as_ref()))
    }
}

/// Levels above the leaves of a tree of `count > 0` leaves, padded to a power of two.
fn height(count: usize) -> usize {
    let height = count.next_power_of_two().trailing_zeros() as usize;
    assert!(height <= LEVELS_MAX, "no group has so many components");
    height
}

/// Hashes of the largest subtrees that hold leaves, but no shown one, in order.
fn collect_siblings(leaves: &[Digest], shown: &[bool], level: usize, from: usize, out: &mut Vec<Digest>) {
    if from >= leaves.len() {
        return;
    }
    let to = (from + (1 << level)).min(leaves.len());
    if !shown[from..to].contains(&true) {
        out.push(subtree(leaves, level, from));
    } else if level > 0 {
        collect_siblings(leaves, shown, level - 1, from, out);
        collect_siblings(leaves, shown, level - 1, from + (1 << (level - 1)), out);
    }
}

fn subtree(leaves: &[Digest], level: usize, from: usize) -> Digest {
    match level {
        _ if from >= leaves.len() => all_pads(level),
        0 => leaves[from],
        _ => node(&subtree(leaves, level - 1, from), &subtree(leaves, level - 1, from + (1 << (level - 1)))),
    }
}

/// Computes a root from shown components and siblings, each taken once from the front.
struct Walk<'a> {
    group: Group,
    count: usize,
    shown: &'a [ShownComponent],
    siblings: &'a [Digest],
    siblings_needed: usize,
}

impl Walk<'_> {
    fn root(&mut self, level: usize, from: usize) -> Digest {
        if from >= self.count {
            return all_pads(level);
        }
        let next = self.shown.first().map(|shown| shown.index as usize);
        if next.is_none_or(|next| next >= from + (1 << level)) {
            let sibling = self.siblings.get(self.siblings_needed).copied();
            self.siblings_needed += 1;
            return sibling.unwrap_or(Digest::ZERO);
        }
        if level == 0 {
            let (shown, rest) = self.shown.split_first().expect("the next is here");
            self.shown = rest;
            return leaf(self.group, shown.index, &shown.nonce, &shown.component);
        }
        let left = self.root(level - 1, from);
        let right = self.root(level - 1, from + (1 << (level - 1)));
        node(&left, &right)
    }
}

impl Encode for TearOff {
    fn encode(&self, out: &mut Vec<u8>) {
        self.chain_id.encode(out);
        self.mode.encode(out);
        for view in &self.groups {
            view.encode(out);
        }
    }
}
impl Decode for TearOff {
    const BYTES_MIN: usize = 6;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let (chain_id, mode) = (ChainId::decode(reader)?, Mode::decode(reader)?);
        let mut groups = [const { GroupView::Hidden(Digest::ZERO) }; GROUPS];
        for view in &mut groups {
            *view = GroupView::decode(reader)?;
        }
        let tear_off = Self { chain_id, mode, groups };
        let wrong =
            |_| DecodeError { at, problem: Problem::Invalid("a group is not torn off as it should be") };
        tear_off.group_hashes().map_err(wrong)?;
        Ok(tear_off)
    }
}
