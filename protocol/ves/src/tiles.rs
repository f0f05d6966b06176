//! Storage form of a binary hash tree: tiles of five rows, so that a proof reads one tile for five of its hashes
//! and computes none.
//!
//! Tile (level `L`, index `i`) is over the nodes of height `5L` numbered `32i..32i+32`. It holds **every** node of
//! that complete subtree except its root, bottom row first: 32 + 16 + 8 + 4 + 2 = 62 digests. The root stands in the
//! bottom row of the tile above. At the top of a batch tree whose depth is no multiple of five, the tile is
//! lower by the missing rows.

use crate::hash::Digest;
use crate::merkle::{self, InclusionProof};

/// Rows of a whole tile.
pub const TILE_HEIGHT: usize = 5;
/// Nodes in the bottom row of a whole tile.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;
/// Digests in a whole tile.
pub const TILE_NODES: usize = tile_nodes(TILE_HEIGHT);

/// Place of a tile in its tree. Level 0 is over the leaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TileId {
    pub level: u8,
    pub index: u64,
}

/// A stored tile; `nodes` is bottom row first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tile {
    pub id: TileId,
    pub nodes: Vec<Digest>,
}

/// Where tiles are read from; `None` when there is no such tile.
pub trait TileSource {
    type Error;
    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, Self::Error>;
}

impl<S: TileSource> TileSource for &S {
    type Error = S::Error;
    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, Self::Error> {
        (*self).tile(id)
    }
}

/// No tiles at all: enough for a tree of less than 32 leaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTiles;

impl TileSource for NoTiles {
    type Error = std::convert::Infallible;
    fn tile(&self, _: TileId) -> Result<Option<Vec<Digest>>, Self::Error> {
        Ok(None)
    }
}

/// Tiles in memory, for tests and small trees.
#[derive(Debug, Clone, Default)]
pub struct TileMap(std::collections::BTreeMap<TileId, Vec<Digest>>);

impl TileMap {
    pub fn insert(&mut self, tile: Tile) {
        self.0.insert(tile.id, tile.nodes);
    }
}

impl Extend<Tile> for TileMap {
    fn extend<T: IntoIterator<Item = Tile>>(&mut self, tiles: T) {
        tiles.into_iter().for_each(|tile| self.insert(tile));
    }
}
impl FromIterator<Tile> for TileMap {
    fn from_iter<T: IntoIterator<Item = Tile>>(tiles: T) -> Self {
        Self(tiles.into_iter().map(|tile| (tile.id, tile.nodes)).collect())
    }
}

impl TileSource for TileMap {
    type Error = std::convert::Infallible;
    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, Self::Error> {
        Ok(self.0.get(&id).cloned())
    }
}

/// Why a proof could not be read from tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E> {
    #[error("{asked} lies outside a tree of {size} leaves")]
    OutOfRange { asked: u64, size: u64 },
    #[error("tile {} of level {} is missing", .0.index, .0.level)]
    Missing(TileId),
    #[error("tile {} of level {} has {found} digests", .id.index, .id.level)]
    Malformed { id: TileId, found: usize },
    #[error("the tiles could not be read")]
    Source(#[source] E),
}

/// Digests in a tile of `height` rows: all nodes but the root.
pub const fn tile_nodes(height: usize) -> usize {
    (2 << height) - 2
}

/// Place, in a tile of `height` rows, of node `index` of `row`; only the index within the tile counts.
pub(crate) fn place(height: usize, row: usize, index: u64) -> usize {
    let width = 1 << (height - row);
    tile_nodes(height) + 2 - 2 * width + (index as usize & (width - 1))
}

/// Root and tiles of the padded tree of a batch (13.2). Tiles made only of padding are left out.
///
/// One leaf makes no tile, being the root itself; no leaves make the zero root.
pub fn batch_tiles(leaves: &[Digest]) -> (Digest, Vec<Tile>) {
    if leaves.is_empty() {
        return (Digest::ZERO, Vec::new());
    }
    let depth = merkle::depth(leaves.len() as u64) as usize;
    let mut tiles = Vec::with_capacity(leaves.len() / (TILE_WIDTH - 1) + 1);
    let mut bottom = leaves.to_vec();
    for level in 0..depth.div_ceil(TILE_HEIGHT) {
        let height = TILE_HEIGHT.min(depth - level * TILE_HEIGHT);
        let mut tops = Vec::with_capacity(bottom.len().div_ceil(1 << height));
        for (index, row) in bottom.chunks(1 << height).enumerate() {
            let id = TileId { level: level as u8, index: index as u64 };
            let (nodes, top) = tile_over(row, height, level * TILE_HEIGHT);
            tiles.push(Tile { id, nodes });
            tops.push(top);
        }
        bottom = tops;
    }
    (bottom[0], tiles)
}

/// Nodes and root of one tile of a padded tree; `bottom` stands at `base` above the leaves and may be short.
fn tile_over(bottom: &[Digest], height: usize, base: usize) -> (Vec<Digest>, Digest) {
    let mut nodes = Vec::with_capacity(tile_nodes(height));
    let mut row = bottom.to_vec();
    for r in 0..height {
        let above = merkle::parents(&row, base + r);
        row.resize(1 << (height - r), merkle::pad_subtree(base + r));
        nodes.append(&mut row);
        row = above;
    }
    (nodes, row[0])
}

/// Inclusion path of leaf `index` (from 0) in the padded tree of `leaf_count` leaves.
///
/// Hashes nothing and reads one tile for each five levels.
///
/// # Errors
/// [`TileError`] when the index is outside the tree, or a tile is missing or damaged.
pub fn batch_inclusion<S: TileSource>(
    leaf_count: u64,
    index: u64,
    source: &S,
) -> Result<InclusionProof, TileError<S::Error>> {
    if index >= leaf_count {
        return Err(TileError::OutOfRange { asked: index, size: leaf_count });
    }
    let depth = merkle::depth(leaf_count) as usize;
    let mut path = Vec::with_capacity(depth);
    for level in 0..depth.div_ceil(TILE_HEIGHT) {
        let base = level * TILE_HEIGHT;
        let height = TILE_HEIGHT.min(depth - base);
        let at = index >> base;
        let id = TileId { level: level as u8, index: at >> height };
        let nodes = source.tile(id).map_err(TileError::Source)?.ok_or(TileError::Missing(id))?;
        if nodes.len() != tile_nodes(height) {
            return Err(TileError::Malformed { id, found: nodes.len() });
        }
        path.extend((0..height).map(|row| nodes[place(height, row, (at >> row) ^ 1)]));
    }
    Ok(InclusionProof { leaf_index: index, path })
}
