//! How tiles lie in a database: those of the log with the event that completed them, those of a batch by their place.

use std::collections::BTreeMap;

use ves::tiles::{TILE_HEIGHT, TILE_NODES, Tile, TileId};
use ves::{Digest, SequenceNumber};

use crate::error::LogError;
use crate::event_log::StreamAppend;

/// The tiles each event completed, lowest first.
pub(crate) fn tiles_by_event(append: &StreamAppend) -> BTreeMap<SequenceNumber, Vec<u8>> {
    let mut tiles: BTreeMap<SequenceNumber, Vec<u8>> = BTreeMap::new();
    let mut sorted: Vec<&Tile> = append.log_tiles.iter().collect();
    sorted.sort_unstable_by_key(|tile| tile.id);
    for tile in sorted {
        let number = tile_completed_by(tile.id).expect("a tile of a tree below 2^63 leaves");
        let bytes = tiles.entry(number).or_default();
        let is_next = bytes.len() == usize::from(tile.id.level) * TILE_NODES * 32;
        assert!(is_next && tile.nodes.len() == TILE_NODES, "an event completes whole tiles from level 0 up");
        bytes.extend(tile.nodes.iter().flat_map(|node| node.0));
    }
    tiles
}

/// Number of the event that completes a tile of the log tree.
pub(crate) fn tile_completed_by(id: TileId) -> Option<SequenceNumber> {
    let bits = TILE_HEIGHT as u32 * (u32::from(id.level) + 1);
    let number = id.index.checked_add(1)?.checked_mul(1u64.checked_shl(bits)?)?;
    (number <= SequenceNumber::MAX.0).then_some(SequenceNumber(number))
}

/// Place of a tile among those of its batch; `None` for a tile that no batch tree has.
pub(crate) fn batch_tile_place(id: TileId) -> Option<i64> {
    let fits = id.level < 16 && id.index < 1 << 28;
    fits.then_some(i64::from(id.level) << 28 | id.index as i64)
}

/// Node digests, one after the other.
pub(crate) fn digests(bytes: &[u8]) -> Option<Vec<Digest>> {
    let (nodes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| nodes.iter().map(|node| Digest(*node)).collect())
}

/// The same as bytes.
pub(crate) fn node_bytes(tile: &Tile) -> Vec<u8> {
    tile.nodes.iter().flat_map(|node| node.0).collect()
}

/// A tile cut out of the tiles of its event: whole, or not there.
pub(crate) fn log_tile_nodes(bytes: Option<&[u8]>) -> Result<Option<Vec<Digest>>, LogError> {
    match bytes.and_then(digests) {
        Some(nodes) if nodes.len() == TILE_NODES => Ok(Some(nodes)),
        Some(nodes) if !nodes.is_empty() => {
            Err(LogError::corrupt("a tile", format!("it has {} digests", nodes.len())))
        }
        _ => Ok(None),
    }
}
