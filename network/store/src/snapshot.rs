//! Snapshots, format 1 (network.md 6.5): the whole state at one height in chunks that any node makes alike.
//!
//! A chunk is the canonical encoding (2.1) of a list of {STR substore, BYTES key, BYTES value}, sorted by substore and key
//! hash. A chunk ends before the row that would make it larger than [`CHUNK_BYTES_MAX`].

use jmt::KeyHash;
use sha2::{Digest, Sha256};
use stateset_ledger_app::Writes;
use stateset_ledger_types::Substore;

use crate::branch::Tops;
use crate::rows::{KEPT_FROM, LATEST, NUMBERS, RESTORING, ROOTS, Roots};
use crate::store::write_rows;
use crate::update::{StaleRows, apply};
use crate::{RecordBatch, Store, StoreError, View};

pub const SNAPSHOT_FORMAT: u32 = 1;
pub const CHUNK_BYTES_MAX: usize = 8 << 20;

/// What a snapshot holds. `chunks` are SHA-256 of the chunks, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMetadata {
    pub height: u64,
    pub app_hash: [u8; 32],
    pub chunks: Vec<[u8; 32]>,
}

impl SnapshotMetadata {
    /// u32 format ‖ u64 height ‖ app hash ‖ u32 count ‖ hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = SNAPSHOT_FORMAT.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.height.to_be_bytes());
        bytes.extend_from_slice(&self.app_hash);
        bytes.extend_from_slice(&(self.chunks.len() as u32).to_be_bytes());
        bytes.extend(self.chunks.iter().flatten());
        bytes
    }

    /// # Errors
    /// [`StoreError::Snapshot`] when the bytes are not of this format or are cut.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader(bytes);
        if reader.u32() != Some(SNAPSHOT_FORMAT) {
            return Err(StoreError::Snapshot(format!("its metadata is not of format {SNAPSHOT_FORMAT}")));
        }
        let parse = |reader: &mut Reader<'_>| {
            let height = u64::from_be_bytes(reader.array()?);
            let app_hash = reader.array()?;
            let count = reader.u32()? as usize;
            (reader.0.len() == count.checked_mul(32)?).then_some(())?;
            let chunks = (0..count).map(|_| reader.array()).collect::<Option<_>>()?;
            Some(Self { height, app_hash, chunks })
        };
        parse(&mut reader)
            .ok_or_else(|| StoreError::Snapshot("its metadata has another length than it says".into()))
    }
}

/// Collects rows into chunks and hands each full one on.
pub struct SnapshotWriter<F> {
    chunk_bytes_max: usize,
    rows: Vec<u8>,
    count: u32,
    chunks: Vec<[u8; 32]>,
    give: F,
}

impl<F: FnMut(Vec<u8>) -> Result<(), StoreError>> SnapshotWriter<F> {
    fn push(&mut self, substore: Substore, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let parts = [substore.name().as_bytes(), key, value];
        let length: usize = parts.iter().map(|part| 4 + part.len()).sum();
        if self.count > 0 && 4 + self.rows.len() + length > self.chunk_bytes_max {
            self.finish_chunk()?;
        }
        for part in parts {
            self.rows.extend_from_slice(&(part.len() as u32).to_be_bytes());
            self.rows.extend_from_slice(part);
        }
        self.count += 1;
        Ok(())
    }

    fn finish_chunk(&mut self) -> Result<(), StoreError> {
        let chunk = [&self.count.to_be_bytes()[..], &self.rows].concat();
        self.rows.clear();
        self.count = 0;
        self.chunks.push(Sha256::digest(&chunk).into());
        (self.give)(chunk)
    }
}

impl View {
    /// Writes the state of this view as chunks of at most [`CHUNK_BYTES_MAX`] bytes, in order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; what `give` returns.
    pub fn snapshot(
        &self,
        give: impl FnMut(Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<SnapshotMetadata, StoreError> {
        self.snapshot_in(CHUNK_BYTES_MAX, give)
    }

    pub(crate) fn snapshot_in(
        &self,
        chunk_bytes_max: usize,
        give: impl FnMut(Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<SnapshotMetadata, StoreError> {
        let mut writer =
            SnapshotWriter { chunk_bytes_max, rows: Vec::new(), count: 0, chunks: Vec::new(), give };
        for &substore in Substore::ALL {
            self.walk(substore, &mut |_, key, value| writer.push(substore, key, &value))?;
        }
        writer.finish_chunk()?;
        Ok(SnapshotMetadata { height: self.height, app_hash: self.app_hash(), chunks: writer.chunks })
    }
}

/// A restore under way. Chunks come in order; each is one durable transaction. Until [`Restore::finish`] the store cannot
/// be opened for anything else.
pub struct Restore<'a> {
    store: &'a Store,
    metadata: SnapshotMetadata,
    given: usize,
    last: Option<(Substore, KeyHash)>,
    /// Of the trees so far.
    tops: Tops,
}

impl Store {
    /// Begins to restore a snapshot into this store, which must be empty.
    ///
    /// # Errors
    /// [`StoreError::GenesisExists`]; [`StoreError::HalfRestored`]; [`StoreError::File`].
    pub fn restore(&self, metadata: SnapshotMetadata) -> Result<Restore<'_>, StoreError> {
        if let Some(height) = self.latest()? {
            return Err(StoreError::GenesisExists { height });
        }
        let transaction = self.database.begin_write()?;
        {
            let mut numbers = transaction.open_table(NUMBERS)?;
            if numbers.insert(RESTORING, metadata.height)?.is_some() {
                return Err(StoreError::HalfRestored("the file".into()));
            }
        }
        transaction.commit()?;
        Ok(Restore { store: self, metadata, given: 0, last: None, tops: Tops::default() })
    }
}

impl Restore<'_> {
    /// How many chunks are still to come.
    pub fn chunks_left(&self) -> usize {
        self.metadata.chunks.len() - self.given
    }

    /// Adds the next chunk.
    ///
    /// # Errors
    /// [`StoreError::Snapshot`] when it is not the next chunk, or its rows are malformed or out of order; nothing of it is
    /// then kept, and the right chunk may follow.
    pub fn chunk(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        let refuse = |problem: String| StoreError::Snapshot(problem);
        let expected = self.metadata.chunks.get(self.given);
        let expected = expected.ok_or_else(|| refuse("it has no more chunks".into()))?;
        if Sha256::digest(chunk)[..] != expected[..] {
            return Err(refuse(format!("chunk {} has another hash than the metadata says", self.given)));
        }
        let (writes, last) = parse_chunk(chunk, self.last).ok_or_else(|| {
            refuse(format!("chunk {} is malformed, or its rows are out of order", self.given))
        })?;
        let tables = self.store.tables()?;
        let before = if self.given == 0 { None } else { Some(tables.roots_at(self.metadata.height)?) };
        // Rows of all chunks bear the snapshot's height; the trees count a version for each chunk.
        let applied = apply(&tables, &self.tops, before.as_ref(), self.metadata.height, &writes)?;
        let (roots, mut rows) = (applied.roots, applied.rows);
        let stale = std::mem::take(&mut rows.stale);
        let transaction = self.store.database.begin_write()?;
        transaction.open_table(ROOTS)?.insert(self.metadata.height, roots.to_bytes().as_slice())?;
        write_rows(&transaction, self.metadata.height, &rows)?;
        StaleRows::remove(&stale.0, &transaction)?;
        transaction.commit()?;
        self.tops.keep(applied.tops);
        self.given += 1;
        self.last = last;
        Ok(())
    }

    /// Checks the app hash, writes the engine's records and opens the store for use.
    ///
    /// # Errors
    /// [`StoreError::Snapshot`] when chunks are missing or the app hash is another one.
    pub fn finish(self, records: RecordBatch) -> Result<(), StoreError> {
        if self.chunks_left() > 0 {
            return Err(StoreError::Snapshot(format!("{} chunks are missing", self.chunks_left())));
        }
        let roots: Roots = self.store.tables()?.roots_at(self.metadata.height)?;
        if roots.app.hash != self.metadata.app_hash {
            return Err(StoreError::Snapshot("its rows have another app hash than its metadata".into()));
        }
        let transaction = self.store.database.begin_write()?;
        {
            let mut numbers = transaction.open_table(NUMBERS)?;
            numbers.remove(RESTORING)?;
            numbers.insert(LATEST, self.metadata.height)?;
            numbers.insert(KEPT_FROM, self.metadata.height)?;
        }
        records.write(&transaction)?;
        transaction.commit()?;
        Ok(())
    }
}

/// The rows of a chunk, if they are well formed and sort after `last`.
fn parse_chunk(
    chunk: &[u8],
    mut last: Option<(Substore, KeyHash)>,
) -> Option<(Writes, Option<(Substore, KeyHash)>)> {
    let mut reader = Reader(chunk);
    let mut writes = Writes::new();
    for _ in 0..reader.u32()? {
        let substore = Substore::from_name(std::str::from_utf8(reader.bytes()?).ok()?)?;
        let (key, value) = (reader.bytes()?, reader.bytes()?);
        let place = (substore, KeyHash(Sha256::digest(key).into()));
        let valid = !key.is_empty() && key.len() <= crate::rows::KEY_BYTES_MAX && !value.is_empty();
        if !valid || last.is_some_and(|last| last >= place) {
            return None;
        }
        last = Some(place);
        writes.insert((substore, key.to_vec()), Some(value.to_vec()));
    }
    reader.0.is_empty().then_some((writes, last))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}
