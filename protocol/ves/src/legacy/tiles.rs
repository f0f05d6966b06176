//! Storage form of the older tree, so that a proof reads a few tiles however large its batch is.
//!
//! Tile (level `L`, index `i`) holds the nodes of height `8L` numbered `256i..256i+256`, those that exist. A node
//! without sibling moves up unchanged, and only the last node of a row has none, so a tile says everything about the
//! eight rows above its nodes.

use super::{inclusion_path, root};
use crate::hash::Digest;
use crate::tiles::{Tile, TileError, TileId, TileSource};

/// Nodes of a whole tile.
pub const TILE_WIDTH: usize = 256;

/// Root of the tree over `leaves`, and its tiles, bottom row first.
pub fn tiles(leaves: &[Digest]) -> (Digest, Vec<Tile>) {
    let (mut tiles, mut row, mut level) = (Vec::new(), leaves.to_vec(), 0);
    loop {
        let whole = row.chunks(TILE_WIDTH).zip(0..);
        tiles.extend(whole.map(|(nodes, index)| Tile { id: TileId { level, index }, nodes: nodes.to_vec() }));
        row = row.chunks(TILE_WIDTH).map(root).collect();
        level += 1;
        if row.len() <= 1 {
            return (row.first().copied().unwrap_or(Digest::ZERO), tiles);
        }
    }
}

/// Leaf `index` of a tree of `leaf_count` leaves and its path, as [`inclusion_path`] gives it.
///
/// # Errors
/// [`TileError`]: an index beyond the tree, a tile that is missing or has another size, or the source's own.
pub fn inclusion<S: TileSource>(
    leaf_count: u64,
    index: u64,
    source: &S,
) -> Result<(Digest, Vec<Digest>), TileError<S::Error>> {
    if index >= leaf_count {
        return Err(TileError::OutOfRange { asked: index, size: leaf_count });
    }
    let width = TILE_WIDTH as u64;
    let (mut rows, mut at, mut leaf, mut path) = (leaf_count, index, None, Vec::new());
    for level in 0.. {
        let id = TileId { level, index: at / width };
        let nodes = source.tile(id).map_err(TileError::Source)?.ok_or(TileError::Missing(id))?;
        if nodes.len() as u64 != width.min(rows - id.index * width) {
            return Err(TileError::Malformed { id, found: nodes.len() });
        }
        let inside = (at % width) as usize;
        leaf.get_or_insert(nodes[inside]);
        path.extend(inclusion_path(&nodes, inside).expect("the node is in its tile"));
        (rows, at) = (rows.div_ceil(width), at / width);
        if rows == 1 {
            break;
        }
    }
    Ok((leaf.expect("there is a lowest tile"), path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hasher;
    use crate::tiles::TileMap;

    #[test]
    fn tiles_give_the_root_and_the_paths_of_the_whole_tree() {
        for count in [1, 2, 3, 255, 256, 257, 258, 511, 512, 513, 700, 65_535, 65_536, 65_537, 66_000] {
            let leaves: Vec<Digest> = (0..count).map(|n| Hasher::bare().u64(n).finish()).collect();
            let (top, tiles) = tiles(&leaves);
            assert_eq!(top, root(&leaves), "{count}");
            let source: TileMap = tiles.into_iter().collect();
            let step = if count > 1000 { 8_191 } else { 1 };
            for index in (0..count).step_by(step).chain([count - 1]) {
                let (leaf, path) = inclusion(count, index, &source).unwrap();
                assert_eq!(leaf, leaves[index as usize]);
                assert_eq!(Some(path), inclusion_path(&leaves, index as usize), "leaf {index} of {count}");
            }
            assert!(matches!(inclusion(count, count, &source), Err(TileError::OutOfRange { .. })));
            assert!(
                inclusion(count + 1, 0, &source).is_err() || count >= 256,
                "another count has another tile"
            );
        }
    }

    #[test]
    fn a_missing_tile_is_named() {
        let id = TileId { level: 0, index: 0 };
        assert_eq!(inclusion(3, 1, &TileMap::default()), Err(TileError::Missing(id)));
    }
}
