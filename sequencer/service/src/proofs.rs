//! Proofs: read from stored tiles, at most log2(n) hashes each, beside the writer.

use std::cell::RefCell;
use std::time::Instant;

use stateset_event_log::{LogError, LogReader};
use ves::commitment::Commitment;
use ves::log::LogTree;
use ves::merkle::InclusionProof;
use ves::tiles::{TileId, TileSource};
use ves::{BatchId, Digest, SequenceNumber, StreamKey, log, tiles};

use crate::error::{ProofFailure, ServiceError};
use crate::sequencer::Sequencer;
use crate::trace;

/// That an event is in a committed batch.
#[derive(Debug, Clone)]
pub struct EventProof {
    pub commitment: Commitment,
    pub sequence_number: SequenceNumber,
    pub leaf_hash: Digest,
    pub proof: InclusionProof,
}

/// That the log of `to` events extends the log of `from` events (RFC 9162).
#[derive(Debug, Clone)]
pub struct ConsistencyProof {
    pub from: u64,
    pub to: u64,
    pub from_root: Digest,
    pub to_root: Digest,
    pub hashes: Vec<Digest>,
}

/// That an event is in the log of the first `size` events of its stream (RFC 9162).
#[derive(Debug, Clone)]
pub struct LogProof {
    pub sequence_number: SequenceNumber,
    pub size: u64,
    pub root: Digest,
    pub leaf_hash: Digest,
    pub hashes: Vec<Digest>,
}

/// Tiles of one batch's tree; remembers the bottom one, which also holds the leaf.
struct BatchTiles<'a> {
    reader: &'a dyn LogReader,
    batch: &'a BatchId,
    bottom: RefCell<Option<(TileId, Vec<Digest>)>>,
}

impl TileSource for BatchTiles<'_> {
    type Error = LogError;
    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        if let Some((held, nodes)) = &*self.bottom.borrow()
            && *held == id
        {
            return Ok(Some(nodes.clone()));
        }
        let nodes = self.reader.batch_tile(self.batch, id)?;
        if id.level == 0 {
            *self.bottom.borrow_mut() = nodes.clone().map(|nodes| (id, nodes));
        }
        Ok(nodes)
    }
}

impl BatchTiles<'_> {
    /// Leaf `index` of the batch: a bottom node of a bottom tile.
    fn leaf(&self, index: u64) -> Result<Digest, ProofFailure> {
        let width = tiles::TILE_WIDTH as u64;
        let id = TileId { level: 0, index: index / width };
        let nodes = self.tile(id).map_err(ServiceError::from)?.unwrap_or_default();
        let leaf = nodes.get((index % width) as usize).copied();
        leaf.ok_or_else(|| {
            ServiceError::Read(format!("tile {} of batch {} is missing", id.index, self.batch)).into()
        })
    }
}

/// Tiles of one stream's RFC 9162 tree.
pub(crate) struct LogTiles<'a> {
    pub reader: &'a dyn LogReader,
    pub stream: &'a StreamKey,
}

impl TileSource for LogTiles<'_> {
    type Error = LogError;
    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        self.reader.log_tile(self.stream, id)
    }
}

impl Sequencer {
    /// Proof that event `sequence_number` is in batch `batch` of `stream`.
    pub async fn inclusion_proof(
        &self,
        stream: &StreamKey,
        batch: &BatchId,
        sequence_number: SequenceNumber,
    ) -> Result<EventProof, ProofFailure> {
        let (started, _span) = (Instant::now(), trace::child("proof"));
        // To another tenant a batch does not exist.
        let commitment = self.commitment(Some(&stream.tenant_id), batch).await?;
        let commitment = commitment.ok_or(ProofFailure::UnknownBatch(*batch))?;
        let index = place_in_batch(&commitment, stream, sequence_number)?;
        let held = self.inner.caches.proofs.get(&(*batch, sequence_number));
        let (leaf_hash, proof) = match held {
            Some(held) => held,
            None => {
                let of = commitment.clone();
                let read = self.read(move |reader| prove_in_batch(reader, &of, index)).await?;
                self.inner.caches.proofs.put((*batch, sequence_number), read.clone());
                read
            }
        };
        self.timings().proved(proof.path.len(), started.elapsed());
        Ok(EventProof { commitment, sequence_number, leaf_hash, proof })
    }

    /// Proof that event `sequence_number` is in the log of the first `size` events: what ties it to a signed checkpoint.
    pub async fn log_proof(
        &self,
        stream: &StreamKey,
        sequence_number: SequenceNumber,
        size: u64,
    ) -> Result<LogProof, ProofFailure> {
        let durable = self.shared().streams.get(stream);
        let head = durable.as_ref().map_or(0, |durable| durable.tree.size());
        let Some(durable) = durable.filter(|_| (1..=size).contains(&sequence_number.0) && size <= head)
        else {
            return Err(ProofFailure::OutsideLog { from: sequence_number.0, to: size, size: head });
        };
        let stream = *stream;
        self.read(move |reader| Ok(prove_in_log(reader, &stream, &durable.tree, sequence_number, size)?))
            .await
    }

    /// The newest signed checkpoint of a stream, or the one of that size.
    pub async fn checkpoint(
        &self,
        stream: &StreamKey,
        size: Option<u64>,
    ) -> Result<Option<String>, ServiceError> {
        let stream = *stream;
        self.read(move |reader| Ok(reader.checkpoint(&stream, size)?)).await
    }

    /// Proof that the log of size `to` extends the log of size `from`.
    pub async fn consistency(
        &self,
        stream: &StreamKey,
        from: u64,
        to: u64,
    ) -> Result<ConsistencyProof, ProofFailure> {
        let durable = self.shared().streams.get(stream);
        let size = durable.as_ref().map_or(0, |durable| durable.tree.size());
        let Some(durable) = durable.filter(|_| 0 < from && from <= to && to <= size) else {
            return Err(ProofFailure::OutsideLog { from, to, size });
        };
        let stream = *stream;
        let prove = move |reader: &dyn LogReader| {
            let source = LogTiles { reader, stream: &stream };
            let from_root = log::root_at(&durable.tree, from, &source)?;
            let to_root = log::root_at(&durable.tree, to, &source)?;
            let hashes = log::consistency_proof(&durable.tree, from, to, &source)?;
            Ok(ConsistencyProof { from, to, from_root, to_root, hashes })
        };
        self.read::<_, ServiceError>(prove).await.map_err(ProofFailure::from)
    }
}

/// Which leaf of the batch the event is.
fn place_in_batch(
    commitment: &Commitment,
    stream: &StreamKey,
    sequence_number: SequenceNumber,
) -> Result<u64, ProofFailure> {
    let batch = commitment.batch_id;
    if commitment.stream != *stream {
        return Err(ProofFailure::OtherStream { batch });
    }
    let (start, end) = (commitment.sequence_start, commitment.sequence_end);
    if !(start..=end).contains(&sequence_number) {
        return Err(ProofFailure::OutsideBatch { batch, sequence: sequence_number, start, end });
    }
    Ok(sequence_number.0 - start.0)
}

/// Leaf and path, from the batch's tiles.
fn prove_in_batch(
    reader: &dyn LogReader,
    commitment: &Commitment,
    index: u64,
) -> Result<(Digest, InclusionProof), ProofFailure> {
    let tiles = BatchTiles { reader, batch: &commitment.batch_id, bottom: RefCell::new(None) };
    let leaf_hash = match commitment.leaf_count {
        // A tree of one leaf has no node below its root.
        1 => commitment.merkle_root,
        _ => tiles.leaf(index)?,
    };
    let proof = tiles::batch_inclusion(u64::from(commitment.leaf_count), index, &tiles)
        .map_err(ServiceError::from)?;
    Ok((leaf_hash, proof))
}

fn prove_in_log(
    reader: &dyn LogReader,
    stream: &StreamKey,
    tree: &LogTree,
    sequence_number: SequenceNumber,
    size: u64,
) -> Result<LogProof, ServiceError> {
    let stored = reader.read(stream, sequence_number, 1, usize::MAX)?;
    let event = stored.first().filter(|event| event.sequence_number == sequence_number);
    let event = event.ok_or_else(|| ServiceError::Read(format!("event {sequence_number} is missing")))?;
    let leaf_hash = event.leaf_hash().map_err(|error| ServiceError::Read(error.to_string()))?;
    let source = LogTiles { reader, stream };
    let root = log::root_at(tree, size, &source)?;
    let hashes = log::inclusion_proof(tree, sequence_number.0 - 1, size, &source)?;
    Ok(LogProof { sequence_number, size, root, leaf_hash, hashes })
}
