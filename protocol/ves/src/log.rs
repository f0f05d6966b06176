//! The log of a whole stream (section 13.4): an RFC 9162 tree over the leaf hashes of all its events.
//!
//! Entry `i`, counted from 0, is the leaf hash (13.1) of sequence number `i + 1`. The tree is kept as immutable
//! tiles ([`crate::tiles`]) and an open right edge ([`LogTree`]) of fewer than 32 nodes for each five levels.

use sha2::Digest as _;

use crate::hash::Digest;
use crate::merkle::PATH_LENGTH_MAX;
use crate::tiles::{TILE_HEIGHT, TILE_NODES, TILE_WIDTH, Tile, TileError, TileId, TileSource, place};

/// Leaf of the log: `SHA-256(0x00 ‖ entry)` (RFC 9162, section 2.1.1).
pub fn log_leaf(entry: &Digest) -> Digest {
    let mut preimage = [0; 33];
    preimage[1..].copy_from_slice(&entry.0);
    Digest(sha2::Sha256::digest(preimage).into())
}

/// Inner node of the log: `SHA-256(0x01 ‖ left ‖ right)` (RFC 9162, section 2.1.1).
pub fn log_node(left: &Digest, right: &Digest) -> Digest {
    let mut preimage = [1; 65];
    preimage[1..33].copy_from_slice(&left.0);
    preimage[33..].copy_from_slice(&right.0);
    Digest(sha2::Sha256::digest(preimage).into())
}

/// Root of the empty log: the hash of nothing (RFC 9162, section 2.1.1).
pub fn empty_root() -> Digest {
    Digest(sha2::Sha256::digest([]).into())
}

/// The open right edge of a log: what is not yet in whole tiles. Cheap to clone, so a turn can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogTree {
    size: u64,
    /// For each level, the newest `(size >> 5·level) % 32` nodes of height `5·level`.
    rows: Vec<Vec<Digest>>,
}

impl LogTree {
    /// The empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Restores the edge of a log of `size` entries.
    ///
    /// - `last_leaves`: the `size % 32` newest entries (13.1 leaf hashes), oldest first.
    /// - Reads fewer than 32 tiles for each five levels above the first.
    ///
    /// # Errors
    /// [`TileError`]; `OutOfRange` when `last_leaves` has another length.
    pub fn open<S: TileSource>(
        size: u64,
        last_leaves: &[Digest],
        source: &S,
    ) -> Result<Self, TileError<S::Error>> {
        if last_leaves.len() as u64 != size % TILE_WIDTH as u64 {
            return Err(TileError::OutOfRange { asked: last_leaves.len() as u64, size });
        }
        if size == 0 {
            return Ok(Self::new());
        }
        let mut rows = vec![last_leaves.iter().map(log_leaf).collect::<Vec<_>>()];
        let mut nodes = size >> TILE_HEIGHT;
        while nodes > 0 {
            let below = rows.len() as u8 - 1;
            let open = nodes & !(TILE_WIDTH as u64 - 1)..nodes;
            rows.push(
                open.map(|index| tile_top(TileId { level: below, index }, source))
                    .collect::<Result<_, _>>()?,
            );
            nodes >>= TILE_HEIGHT;
        }
        Ok(Self { size, rows })
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one entry (a 13.1 leaf hash). Returns the tiles that it completes, lowest first; mostly none.
    ///
    /// About two hashes an entry, amortised.
    pub fn push(&mut self, leaf: &Digest) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let mut node = log_leaf(leaf);
        self.size += 1;
        for level in 0.. {
            if level == self.rows.len() {
                self.rows.push(Vec::with_capacity(TILE_WIDTH));
            }
            self.rows[level].push(node);
            if self.rows[level].len() < TILE_WIDTH {
                break;
            }
            let (nodes, top) = whole_tile(&self.rows[level]);
            self.rows[level].clear();
            let index = (self.size >> (TILE_HEIGHT * (level + 1))) - 1;
            tiles.push(Tile { id: TileId { level: level as u8, index }, nodes });
            node = top;
        }
        tiles
    }

    /// Root over all entries.
    pub fn root(&self) -> Digest {
        let edge = self.rows.iter().fold(None, |right, row| fold_row(row, right));
        edge.unwrap_or_else(empty_root)
    }

    /// Node `index` of `height` when it lies above the open edge, `None` when it is in a whole tile.
    fn open_node(&self, height: usize, index: u64) -> Option<Digest> {
        let (level, row) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let first = self.size.checked_shr((TILE_HEIGHT * (level + 1)) as u32).unwrap_or(0) << TILE_HEIGHT;
        let from = (index << row).checked_sub(first)? as usize;
        Some(perfect_root(&self.rows[level][from..from + (1 << row)]))
    }
}

/// Root of the nodes of one level and of the ragged rest to their right.
fn fold_row(row: &[Digest], mut right: Option<Digest>) -> Option<Digest> {
    let mut end = row.len();
    while end > 0 {
        // The rightmost perfect subtree is as wide as the lowest bit of what is left.
        let start = end & (end - 1);
        let subtree = perfect_root(&row[start..end]);
        right = Some(right.map_or(subtree, |right| log_node(&subtree, &right)));
        end = start;
    }
    right
}

/// Root over a power of two of nodes.
fn perfect_root(nodes: &[Digest]) -> Digest {
    match nodes {
        [one] => *one,
        _ => {
            let (left, right) = nodes.split_at(nodes.len() / 2);
            log_node(&perfect_root(left), &perfect_root(right))
        }
    }
}

/// Nodes and root of the tile over 32 nodes.
fn whole_tile(bottom: &[Digest]) -> (Vec<Digest>, Digest) {
    let mut nodes = Vec::with_capacity(TILE_NODES);
    nodes.extend_from_slice(bottom);
    for child in (0..TILE_NODES - 2).step_by(2) {
        nodes.push(log_node(&nodes[child], &nodes[child + 1]));
    }
    let top = log_node(&nodes[TILE_NODES - 2], &nodes[TILE_NODES - 1]);
    (nodes, top)
}

fn read_tile<S: TileSource>(id: TileId, source: &S) -> Result<Vec<Digest>, TileError<S::Error>> {
    let nodes = source.tile(id).map_err(TileError::Source)?.ok_or(TileError::Missing(id))?;
    if nodes.len() == TILE_NODES { Ok(nodes) } else { Err(TileError::Malformed { id, found: nodes.len() }) }
}

/// Root of a stored tile, which the tile itself leaves out.
fn tile_top<S: TileSource>(id: TileId, source: &S) -> Result<Digest, TileError<S::Error>> {
    let nodes = read_tile(id, source)?;
    Ok(log_node(&nodes[TILE_NODES - 2], &nodes[TILE_NODES - 1]))
}

/// Root over the first `size` entries: `MTH(D[0:size])`.
///
/// # Errors
/// [`TileError::OutOfRange`] when the log is shorter, or the source's errors. Reads one tile for each five levels.
pub fn root_at<S: TileSource>(tree: &LogTree, size: u64, source: &S) -> Result<Digest, TileError<S::Error>> {
    match size {
        0 => Ok(empty_root()),
        _ => Nodes::new(tree, source).within(size)?.range_root(0, size),
    }
}

/// `PATH(index, D[0:size])` (RFC 9162, section 2.1.3.1): proves entry `index` (from 0) in the log of `size` entries.
///
/// # Errors
/// [`TileError::OutOfRange`] unless `index < size <= tree.size()`, or the source's errors.
pub fn inclusion_proof<S: TileSource>(
    tree: &LogTree,
    index: u64,
    size: u64,
    source: &S,
) -> Result<Vec<Digest>, TileError<S::Error>> {
    if index >= size {
        return Err(TileError::OutOfRange { asked: index, size });
    }
    let mut nodes = Nodes::new(tree, source).within(size)?;
    let (mut from, mut to, mut path) = (0, size, Vec::new());
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push((middle, to));
            to = middle;
        } else {
            path.push((from, middle));
            from = middle;
        }
    }
    path.into_iter().rev().map(|(from, to)| nodes.range_root(from, to)).collect()
}

/// `PROOF(from, D[0:to])` (RFC 9162, section 2.1.4.1): proves that the log of `to` entries extends the one of `from`.
///
/// At most `ceil(log2(to)) + 1` digests; empty when `from` is 0 (every log extends the empty one) or equals `to`.
///
/// # Errors
/// [`TileError::OutOfRange`] unless `from <= to <= tree.size()`, or the source's errors.
pub fn consistency_proof<S: TileSource>(
    tree: &LogTree,
    from: u64,
    to: u64,
    source: &S,
) -> Result<Vec<Digest>, TileError<S::Error>> {
    if from > to {
        return Err(TileError::OutOfRange { asked: from, size: to });
    }
    let mut nodes = Nodes::new(tree, source).within(to)?;
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let (mut low, mut high, mut path) = (0, to, Vec::new());
    // SUBPROOF: walk down to the subtree that ends at `from`, keeping the sibling of each step.
    while from != high {
        let middle = low + split(high - low);
        if from <= middle {
            path.push((middle, high));
            high = middle;
        } else {
            path.push((low, middle));
            low = middle;
        }
    }
    // The verifier knows the old root itself, so it is left out when that subtree is the whole old log.
    if low != 0 {
        path.push((low, high));
    }
    path.into_iter().rev().map(|(low, high)| nodes.range_root(low, high)).collect()
}

/// Largest power of two below `n`, for `n > 1`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Reads nodes of one log for one proof; each tile once.
struct Nodes<'a, S> {
    tree: &'a LogTree,
    source: &'a S,
    read: Vec<(TileId, Vec<Digest>)>,
}

impl<'a, S: TileSource> Nodes<'a, S> {
    fn new(tree: &'a LogTree, source: &'a S) -> Self {
        Self { tree, source, read: Vec::new() }
    }

    fn within(self, size: u64) -> Result<Self, TileError<S::Error>> {
        let known = self.tree.size;
        if size <= known { Ok(self) } else { Err(TileError::OutOfRange { asked: size, size: known }) }
    }

    /// `MTH(D[from:to])`, where `from` is a multiple of the power of two at or above `to - from`.
    fn range_root(&mut self, from: u64, to: u64) -> Result<Digest, TileError<S::Error>> {
        let width = to - from;
        if width.is_power_of_two() {
            let height = width.trailing_zeros();
            return self.node(height as usize, from >> height);
        }
        let middle = from + split(width);
        let left = self.range_root(from, middle)?;
        Ok(log_node(&left, &self.range_root(middle, to)?))
    }

    /// Root of the perfect subtree number `index` among those of `height`; it ends within the log.
    fn node(&mut self, height: usize, index: u64) -> Result<Digest, TileError<S::Error>> {
        if let Some(node) = self.tree.open_node(height, index) {
            return Ok(node);
        }
        let (level, row) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let id = TileId { level: level as u8, index: index >> (TILE_HEIGHT - row) };
        let at = place(TILE_HEIGHT, row, index);
        if let Some((_, nodes)) = self.read.iter().find(|(read, _)| *read == id) {
            return Ok(nodes[at]);
        }
        let nodes = read_tile(id, self.source)?;
        let node = nodes[at];
        self.read.push((id, nodes));
        Ok(node)
    }
}

/// Why a proof over the log proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogProofError {
    #[error("{asked} lies outside a log of {size} entries")]
    OutOfRange { asked: u64, size: u64 },
    #[error("the proof has {found} hashes, which does not fit these sizes")]
    Length { found: usize },
    #[error("the proof does not lead to the root of the older log")]
    OldRoot,
    #[error("the proof does not lead to the root")]
    Root,
}

/// Whether `entry` (a 13.1 leaf hash) is entry `index` (from 0) of the log of `size` entries with this root.
///
/// # Errors
/// [`LogProofError`]. RFC 9162, section 2.1.3.2.
pub fn verify_log_inclusion(
    entry: &Digest,
    index: u64,
    size: u64,
    root: &Digest,
    proof: &[Digest],
) -> Result<(), LogProofError> {
    if index >= size {
        return Err(LogProofError::OutOfRange { asked: index, size });
    }
    let length = LogProofError::Length { found: proof.len() };
    if proof.len() > PATH_LENGTH_MAX {
        return Err(length);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, log_leaf(entry));
    for sibling in proof {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            hash = log_node(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = log_node(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(LogProofError::Root),
        _ => Err(length),
    }
}

/// Whether the log of `to` entries with `to_root` has the log of `from` entries with `from_root` as its beginning.
///
/// # Errors
/// [`LogProofError`]. RFC 9162, section 2.1.4.2; a proof from the empty log or to the same size is empty.
pub fn verify_consistency(
    from: u64,
    to: u64,
    from_root: &Digest,
    to_root: &Digest,
    proof: &[Digest],
) -> Result<(), LogProofError> {
    if from > to {
        return Err(LogProofError::OutOfRange { asked: from, size: to });
    }
    let length = LogProofError::Length { found: proof.len() };
    if from == to || from == 0 {
        let empty =
            if from == 0 && *from_root != empty_root() { Err(LogProofError::OldRoot) } else { Ok(()) };
        let same = if from == to && from_root != to_root { Err(LogProofError::Root) } else { Ok(()) };
        return if proof.is_empty() { empty.and(same) } else { Err(length) };
    }
    // A whole subtree is its own first hash, and the sender leaves it out.
    let (first, rest) = match (from.is_power_of_two(), proof.split_first()) {
        (true, _) => (*from_root, proof),
        (false, Some((first, rest))) => (*first, rest),
        (false, None) => return Err(length),
    };
    if rest.is_empty() || rest.len() > PATH_LENGTH_MAX {
        return Err(length);
    }
    let (mut node, mut last) = (from - 1, to - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut old, mut new) = (first, first);
    for hash in rest {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            (old, new) = (log_node(hash, &old), log_node(hash, &new));
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new = log_node(&new, hash);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match (last, old == *from_root, new == *to_root) {
        (0, true, true) => Ok(()),
        (0, false, _) => Err(LogProofError::OldRoot),
        (0, true, false) => Err(LogProofError::Root),
        _ => Err(length),
    }
}
