//! Pages of a run: content, then its CRC-32. A page fits into one page of the database file, row header included.

use super::key::{KEY_BYTES, SearchKey};
use crate::error::LogError;

/// Longest page. SQLite keeps up to 8157 bytes of a row in a page of 8192.
const PAGE_BYTES_MAX: usize = 8100;
const CRC_BYTES: usize = 4;
const ENTRY_BYTES: usize = KEY_BYTES + 8;
pub(super) const ENTRIES_PER_PAGE: usize = (PAGE_BYTES_MAX - CRC_BYTES) / ENTRY_BYTES;
pub(super) const FENCES_PER_PAGE: usize = (PAGE_BYTES_MAX - CRC_BYTES) / KEY_BYTES;
pub(super) const FILTER_BLOCKS_PER_PAGE: usize = (PAGE_BYTES_MAX - CRC_BYTES) / super::filter::BLOCK_BYTES;

/// Capacity of a full page.
pub(super) const PAGE_RESERVE: usize = ENTRIES_PER_PAGE * ENTRY_BYTES + CRC_BYTES;

pub(super) fn seal(mut content: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&content);
    content.extend_from_slice(&crc.to_le_bytes());
    content
}

/// The content of a stored page.
pub(super) fn open(run: u64, page: u32, bytes: &[u8]) -> Result<&[u8], LogError> {
    let good = bytes
        .split_last_chunk::<CRC_BYTES>()
        .filter(|(content, crc)| crc32fast::hash(content) == u32::from_le_bytes(**crc));
    good.map(|(content, _)| content).ok_or_else(|| damaged(run, page, "its checksum is wrong"))
}

pub(super) fn damaged(run: u64, page: u32, problem: &str) -> LogError {
    LogError::corrupt(format!("page {page} of index run {run}"), problem)
}

pub(super) fn write_entry(page: &mut Vec<u8>, key: &SearchKey, value: u64) {
    page.extend_from_slice(&key.to_bytes());
    page.extend_from_slice(&value.to_le_bytes());
}

/// The entries of a data page's content.
pub(super) struct Entries<'a>(&'a [[u8; ENTRY_BYTES]]);

impl<'a> Entries<'a> {
    pub fn of(content: &'a [u8]) -> Option<Self> {
        let (entries, rest) = content.as_chunks::<ENTRY_BYTES>();
        (rest.is_empty() && !entries.is_empty()).then_some(Self(entries))
    }
    pub fn get(&self, index: usize) -> Option<(SearchKey, u64)> {
        self.0.get(index).map(split)
    }
    /// How many entries are less than `key`.
    pub fn partition_below(&self, key: &SearchKey) -> usize {
        self.0.partition_point(|entry| split(entry).0 < *key)
    }
    pub fn find(&self, key: &SearchKey) -> Option<u64> {
        let at = self.0.binary_search_by(|entry| split(entry).0.cmp(key)).ok()?;
        self.get(at).map(|(_, value)| value)
    }
}

fn split(entry: &[u8; ENTRY_BYTES]) -> (SearchKey, u64) {
    let (key, value) = entry.split_first_chunk::<KEY_BYTES>().expect("an entry begins with its key");
    (SearchKey::from_bytes(key), u64::from_le_bytes(value.try_into().expect("eight bytes follow the key")))
}
