//! The salted component tree (section 2.3): components to leaves, leaves to group hashes, group hashes to the
//! transaction's id. Components are bytes here; what they mean is said by [`crate::body`].

use std::sync::LazyLock;

use ves::Digest;

use crate::codec::{codes, fixed_bytes};
use crate::hash::{Domain, hash, length};
use crate::ids::{ChainId, TxId};

codes! {
    /// The component groups (3.1).
    pub enum Group: u8 {
        Nullifiers = 0,
        Outputs = 1,
        Commands = 2,
        References = 3,
        Attachments = 4,
        TimeWindow = 5,
        Header = 6,
        Inputs = 7,
        Capsules = 8,
        Memo = 9,
    }

    /// What the chain sees of a transaction (3.4).
    pub enum Mode: u8 {
        /// Groups 0, 3, 5, 6, 8.
        Private = 0,
        /// As private, with attestations.
        Attested = 1,
        /// Everything.
        Public = 2,
    }
}

/// Number of groups.
pub const GROUPS: usize = 10;

/// Version that enters every transaction's id.
const TX_VERSION: u16 = 1;

/// Levels of the deepest tree: a u16 of components is far more than any bound allows.
pub(crate) const LEVELS_MAX: usize = 16;
/// Most components of a group, whatever the parameters say.
pub const COMPONENTS_MAX: usize = 1 << LEVELS_MAX;

fixed_bytes! {
    /// 32 random bytes chosen by the builder; whoever knows them can compute every nonce.
    Salt[32],
    /// Keeps a component from being guessed from its leaf.
    Nonce[32],
}

impl Salt {
    /// `nonce(g, i)`.
    pub fn nonce(&self, group: Group, index: u32) -> Nonce {
        Nonce(hash(Domain::Nonce, &[&self.0, &place(group), &index.to_be_bytes()]).0)
    }
}

fn place(group: Group) -> [u8; 4] {
    u32::from(group.code()).to_be_bytes()
}

/// `leaf(g, i)` of a component's bytes.
pub fn leaf(group: Group, index: u32, nonce: &Nonce, component: &[u8]) -> Digest {
    hash(Domain::Leaf, &[&place(group), &index.to_be_bytes(), &nonce.0, &length(component), component])
}

/// `node(l, r)`.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    hash(Domain::Node, &[&left.0, &right.0])
}

/// The leaf that fills a tree up to a power of two.
pub fn pad() -> Digest {
    all_pads(0)
}

/// Root of the tree of `2^level` pads.
pub(crate) fn all_pads(level: usize) -> Digest {
    static PADS: LazyLock<[Digest; LEVELS_MAX + 1]> = LazyLock::new(|| {
        let mut pads = [hash(Domain::Pad, &[]); LEVELS_MAX + 1];
        for level in 1..pads.len() {
            pads[level] = node(&pads[level - 1], &pads[level - 1]);
        }
        pads
    });
    PADS[level]
}

/// `tree(ls)`: folds `leaves` in place. Of no leaves there is no tree.
fn fold(leaves: &mut Vec<Digest>) -> Option<Digest> {
    let mut level = 0;
    while leaves.len() > 1 {
        let odd = leaves.len() % 2 == 1;
        if odd {
            leaves.push(all_pads(level));
        }
        for i in 0..leaves.len() / 2 {
            leaves[i] = node(&leaves[2 * i], &leaves[2 * i + 1]);
        }
        leaves.truncate(leaves.len() / 2);
        level += 1;
    }
    leaves.first().copied()
}

/// `tree(ls)` of at least one leaf.
///
/// # Panics
/// Without leaves.
pub fn tree(leaves: &[Digest]) -> Digest {
    fold(&mut leaves.to_vec()).expect("a tree has a leaf")
}

/// `group(g)` of `count` leaves whose tree has this root; `None` for none.
pub(crate) fn group_of_root(group: Group, count: u32, root: Option<&Digest>) -> Digest {
    match root {
        None => hash(Domain::Empty, &[&place(group)]),
        Some(root) => hash(Domain::Group, &[&place(group), &count.to_be_bytes(), &root.0]),
    }
}

/// Computes group hashes; keeps its buffers between calls.
#[derive(Default)]
pub struct GroupHasher {
    leaves: Vec<Digest>,
    component: Vec<u8>,
}

impl GroupHasher {
    /// `group(g)` of components given as nonce and encoding.
    pub fn group<C>(
        &mut self,
        group: Group,
        components: impl IntoIterator<Item = (Nonce, C)>,
        write: impl Fn(C, &mut Vec<u8>),
    ) -> Digest {
        self.leaves.clear();
        for (index, (nonce, component)) in components.into_iter().enumerate() {
            self.component.clear();
            write(component, &mut self.component);
            self.leaves.push(leaf(group, index as u32, &nonce, &self.component));
        }
        let count = self.leaves.len() as u32;
        let root = fold(&mut self.leaves);
        group_of_root(group, count, root.as_ref())
    }
}

/// `group(g)` of these components under `salt`.
pub fn group_hash<C: AsRef<[u8]>>(group: Group, salt: &Salt, components: &[C]) -> Digest {
    let salted = (0..).map(|i| salt.nonce(group, i)).zip(components);
    GroupHasher::default().group(group, salted, |component, out| out.extend_from_slice(component.as_ref()))
}

/// `tx_id` of the ten group hashes.
pub fn tx_id(chain_id: &ChainId, mode: Mode, groups: &[Digest; GROUPS]) -> TxId {
    let chain = chain_id.as_str().as_bytes();
    let (version, count) = (TX_VERSION.to_be_bytes(), (GROUPS as u32).to_be_bytes());
    let head: [&[u8]; 5] = [&version, &length(chain), chain, &[mode.code()], &count];
    // Ten groups are above the gathered size; the incremental hasher takes them as they are.
    let hasher = head.iter().fold(crate::hash::hasher(Domain::Transaction), |h, piece| h.bytes(piece));
    groups.iter().fold(hasher, |h, group| h.digest(group)).finish().into()
}

/// `core_id`: the transaction without its capsules, which capsules are bound to (8.4).
pub fn core_id(groups: &[Digest; GROUPS]) -> Digest {
    let without = groups.iter().enumerate().filter(|(g, _)| *g != usize::from(Group::Capsules.code()));
    without.fold(crate::hash::hasher(Domain::Core), |h, (_, group)| h.digest(group)).finish()
}

/// Info of a capsule's encryption (8.4): tag, chain and `core_id`.
pub fn capsule_info(chain_id: &ChainId, core_id: &Digest) -> Vec<u8> {
    let mut info = Domain::Capsule.text().as_bytes().to_vec();
    crate::codec::put_str(&mut info, chain_id.as_str());
    info.extend_from_slice(&core_id.0);
    info
}

/// First byte of a capsule's lookup: lets a recipient skip foreign capsules (8.4).
pub fn view_tag(x25519_output: &[u8; 32]) -> u8 {
    hash(Domain::ViewTag, &[x25519_output]).0[0]
}
