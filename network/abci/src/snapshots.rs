//! Snapshots for nodes that join (network.md 6.5): made in the background, kept as files, restored whole.
//!
//! A snapshot is a folder named after its height, with `metadata` and the chunks `0`, `1`, …. It appears by a rename when it
//! is complete. A restore gathers all chunks first, tries them on a scratch store, and only then writes the real one: rows
//! that do not lead to the trusted app hash never reach it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};
use stateset_ledger_store::{RecordBatch, SNAPSHOT_FORMAT, SnapshotMetadata, Store, StoreError};
use tendermint::abci::response::ApplySnapshotChunkResult;
use tendermint::abci::types::Snapshot;
use tendermint::abci::{request, response};

use crate::convert::height;
use crate::{EngineError, Node};

/// Newest snapshots that are kept: one may be in use by a joining node while the next is made.
const KEPT: usize = 2;
const METADATA: &str = "metadata";
/// A snapshot that is being made, and one that is being restored.
const MAKING: &str = "making";
const RESTORING: &str = "restoring";

/// The folder, and what is under way in it.
pub(crate) struct Snapshots {
    folder: PathBuf,
    making: Mutex<Option<JoinHandle<()>>>,
    restoring: Mutex<Option<Restoring>>,
}

struct Restoring {
    metadata: SnapshotMetadata,
    next: usize,
}

impl Snapshots {
    /// Opens the folder, making it where it is missing, and drops what an earlier run left unfinished.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, EngineError> {
        fs::create_dir_all(&folder)?;
        for unfinished in [MAKING, RESTORING] {
            remove(&folder.join(unfinished))?;
        }
        Ok(Self { folder, making: Mutex::new(None), restoring: Mutex::new(None) })
    }

    /// Begins a snapshot of `height` in a thread; leaves it out while an earlier one is still being made.
    pub(crate) fn make(&self, store: &Arc<Store>, height: u64) {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if making.as_ref().is_some_and(|thread| !thread.is_finished()) {
            tracing::warn!(height, "no snapshot: the one before it is not done");
            return;
        }
        let (folder, store) = (self.folder.clone(), Arc::clone(store));
        *making = Some(std::thread::spawn(move || match write(&folder, &store, height) {
            Ok(()) => tracing::info!(height, "snapshot made"),
            Err(problem) => tracing::error!(height, %problem, "no snapshot"),
        }));
    }

    /// Complete snapshots, by height.
    fn heights(&self) -> Result<Vec<u64>, EngineError> {
        heights(&self.folder)
    }

    fn metadata(&self, height: u64) -> Result<SnapshotMetadata, EngineError> {
        let bytes = fs::read(self.folder.join(height.to_string()).join(METADATA))?;
        Ok(SnapshotMetadata::from_bytes(&bytes)?)
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        let making = self.making.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = making {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(problem),
        _ => Ok(()),
    }
}

fn heights(folder: &Path) -> Result<Vec<u64>, EngineError> {
    let mut heights = Vec::new();
    for entry in fs::read_dir(folder)? {
        heights.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    heights.sort_unstable();
    Ok(heights)
}

fn write(folder: &Path, store: &Store, height: u64) -> Result<(), EngineError> {
    let making = folder.join(MAKING);
    remove(&making)?;
    fs::create_dir(&making)?;
    let mut count = 0;
    let metadata = store.view_at(height)?.snapshot(|chunk| {
        let written = fs::write(making.join(count.to_string()), chunk);
        count += 1;
        written.map_err(|problem| StoreError::Snapshot(format!("a chunk cannot be written: {problem}")))
    })?;
    fs::write(making.join(METADATA), metadata.to_bytes())?;
    let place = folder.join(height.to_string());
    remove(&place)?;
    fs::rename(&making, place)?;
    let made = heights(folder)?;
    for old in &made[..made.len().saturating_sub(KEPT)] {
        remove(&folder.join(old.to_string()))?;
    }
    Ok(())
}

impl Node {
    pub(crate) fn list_snapshots(&self) -> Result<response::ListSnapshots, EngineError> {
        let mut listed = Vec::new();
        if let Some(snapshots) = &self.snapshots {
            for made in snapshots.heights()? {
                let metadata = snapshots.metadata(made)?;
                let bytes = metadata.to_bytes();
                listed.push(Snapshot {
                    height: height(made)?,
                    format: SNAPSHOT_FORMAT,
                    chunks: u32::try_from(metadata.chunks.len()).unwrap_or(u32::MAX),
                    hash: Sha256::digest(&bytes).to_vec().into(),
                    metadata: bytes.into(),
                });
            }
        }
        Ok(response::ListSnapshots { snapshots: listed })
    }

    /// A chunk of a snapshot that was listed; empty when it is gone, which the asker sees by its hash.
    pub(crate) fn load_snapshot_chunk(
        &self,
        request: &request::LoadSnapshotChunk,
    ) -> Result<response::LoadSnapshotChunk, EngineError> {
        let Some(snapshots) = self.snapshots.as_ref().filter(|_| request.format == SNAPSHOT_FORMAT) else {
            return Ok(response::LoadSnapshotChunk::default());
        };
        let place = snapshots.folder.join(request.height.to_string()).join(request.chunk.to_string());
        match fs::read(place) {
            Ok(chunk) => Ok(response::LoadSnapshotChunk { chunk: chunk.into() }),
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
                Ok(response::LoadSnapshotChunk::default())
            }
            Err(problem) => Err(problem.into()),
        }
    }

    /// Takes a snapshot up when it is whole, of our format, and of the app hash that the light client trusts.
    pub(crate) fn offer_snapshot(
        &self,
        request: &request::OfferSnapshot,
    ) -> Result<response::OfferSnapshot, EngineError> {
        let Some(snapshots) = &self.snapshots else { return Ok(response::OfferSnapshot::Abort) };
        if self.store.latest()?.is_some() {
            return Ok(response::OfferSnapshot::Abort);
        }
        let offered = &request.snapshot;
        if offered.format != SNAPSHOT_FORMAT {
            return Ok(response::OfferSnapshot::RejectFormat);
        }
        let Ok(metadata) = SnapshotMetadata::from_bytes(&offered.metadata) else {
            return Ok(response::OfferSnapshot::Reject);
        };
        let fits = metadata.height == offered.height.value()
            && metadata.chunks.len() == offered.chunks as usize
            && Sha256::digest(&offered.metadata)[..] == offered.hash[..]
            && metadata.app_hash[..] == *request.app_hash.as_bytes();
        if !fits {
            return Ok(response::OfferSnapshot::Reject);
        }
        let spool = snapshots.folder.join(RESTORING);
        remove(&spool)?;
        fs::create_dir(&spool)?;
        *snapshots.restoring.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Restoring { metadata, next: 0 });
        Ok(response::OfferSnapshot::Accept)
    }

    pub(crate) fn apply_snapshot_chunk(
        &self,
        request: request::ApplySnapshotChunk,
    ) -> Result<response::ApplySnapshotChunk, EngineError> {
        let result = |result| response::ApplySnapshotChunk { result, ..Default::default() };
        let Some(snapshots) = &self.snapshots else { return Ok(result(ApplySnapshotChunkResult::Abort)) };
        let mut guard = snapshots.restoring.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(restoring) = guard.as_mut().filter(|restoring| restoring.next == request.index as usize)
        else {
            return Ok(result(ApplySnapshotChunkResult::RetrySnapshot));
        };
        let expected = restoring.metadata.chunks.get(restoring.next);
        if expected.is_none_or(|hash| Sha256::digest(&request.chunk)[..] != hash[..]) {
            return Ok(response::ApplySnapshotChunk {
                result: ApplySnapshotChunkResult::Retry,
                refetch_chunks: vec![request.index],
                reject_senders: vec![request.sender],
            });
        }
        let spool = snapshots.folder.join(RESTORING);
        fs::write(spool.join(request.index.to_string()), &request.chunk)?;
        restoring.next += 1;
        if restoring.next < restoring.metadata.chunks.len() {
            return Ok(result(ApplySnapshotChunkResult::Accept));
        }
        let metadata = restoring.metadata.clone();
        *guard = None;
        drop(guard);
        let scratch = Store::open(&spool.join("scratch"))?;
        if let Err(problem) = restore(&scratch, &metadata, &spool) {
            let StoreError::Snapshot(problem) = problem else { return Err(problem.into()) };
            tracing::warn!(problem, "snapshot refused");
            return Ok(result(ApplySnapshotChunkResult::RejectSnapshot));
        }
        drop(scratch);
        restore(&self.store, &metadata, &spool)?;
        remove(&spool)?;
        self.refresh()?;
        Ok(result(ApplySnapshotChunkResult::Accept))
    }
}

fn restore(store: &Store, metadata: &SnapshotMetadata, spool: &Path) -> Result<(), StoreError> {
    let mut restore = store.restore(metadata.clone())?;
    for index in 0..metadata.chunks.len() {
        let chunk = fs::read(spool.join(index.to_string()))
            .map_err(|problem| StoreError::Snapshot(format!("chunk {index} cannot be read: {problem}")))?;
        restore.chunk(&chunk)?;
    }
    restore.finish(RecordBatch::default())
}
