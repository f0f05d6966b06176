//! What our account has anchored by aggregated roots, read from the chain: where each stream stands, and where a batch was
//! anchored.
//!
//! The contract refuses no batch that was anchored before and none that leaves a gap, so this is what keeps them from being
//! sent. It is read from the first block on, once; what is final is kept in a file, and a lost file is read anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use set_registry::{
    Address, B256, BatchRecord, Block, BlockAt, CommitPlace, LOG_BLOCKS, RootLog, Roots, RpcError, Seam,
    StreamHead, StreamHeads,
};
use ves::Digest;
use ves::aggregate::BatchHeader;

/// Ranges of [`LOG_BLOCKS`] blocks that are read in one go, so that a step of the service has an end.
const RANGES_MAX: usize = 100;
/// Roots whose transactions are asked for in one go.
const ROOTS_MAX: usize = 1_000;
/// Headers that are kept of a walk back; beyond it the walk is forgotten and begins anew.
const WALKED_MAX: usize = 200_000;
/// New final blocks after which the file is written.
const KEEP_BLOCKS: u64 = 256;

/// A block by which a chain is told from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    pub number: u64,
    pub hash: B256,
}

impl From<&Block> for BlockRef {
    fn from(block: &Block) -> Self {
        Self { number: block.number, hash: block.hash }
    }
}

/// The heads of all streams after a block that is final: what is kept in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `None` before the first block.
    pub block: Option<BlockRef>,
    pub heads: StreamHeads,
}

/// How far the chain was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Up to its newest block.
    Complete,
    /// There is more: come again.
    Partial,
}

/// Where a batch stands that the head of its stream is past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    At(CommitPlace),
    /// Another header has its numbers.
    OtherHeader,
    /// Not found yet: come again.
    NotYet,
}

/// A root in a block that is not final.
struct Recent {
    place: CommitPlace,
    headers: Vec<BatchHeader>,
}

/// By stream and first number.
type Walked = BTreeMap<(Digest, u64), (BatchHeader, CommitPlace)>;

/// See the [module](self).
pub struct History {
    roots: Roots,
    account: Address,
    /// The contract is not older.
    from_block: u64,
    settled: Snapshot,
    /// Since then, oldest first.
    recent: Vec<Recent>,
    /// `settled` and `recent` together.
    heads: StreamHeads,
    read_to: Option<BlockRef>,
    /// Headers of a walk back from `settled`, down to this block.
    walked: Walked,
    walked_to: Option<u64>,
    /// Number of the block up to which the file is written.
    kept_to: u64,
}

impl History {
    /// Goes on with what the file holds.
    pub fn resume(roots: Roots, account: Address, from_block: u64, kept: Snapshot) -> Self {
        Self {
            roots,
            account,
            from_block,
            recent: Vec::new(),
            heads: kept.heads.clone(),
            read_to: kept.block,
            walked: BTreeMap::new(),
            walked_to: None,
            kept_to: kept.block.map_or(0, |block| block.number),
            settled: kept,
        }
    }

    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// `None` where nothing of the stream is anchored.
    pub fn head(&self, stream_id: &Digest) -> Option<&StreamHead> {
        self.heads.get(stream_id)
    }

    /// Where the anchored history of the stream begins.
    pub fn begins(&self, stream_id: &Digest) -> Option<Seam> {
        self.heads.begins(stream_id)
    }

    /// What stands in the chain beyond a gap: where each begins and goes on. Of two from the same place the earlier counts.
    pub fn early(&self, stream_id: &Digest) -> BTreeMap<Seam, Seam> {
        let mut early = BTreeMap::new();
        for header in self.heads.early(stream_id) {
            early.entry(Seam::before(&header)).or_insert(Seam::after(&header));
        }
        early
    }

    /// The block up to which roots were read.
    pub fn read_to(&self) -> Option<BlockRef> {
        self.read_to
    }

    /// Reads what came since the last time; where blocks were undone, what stood in them is forgotten.
    ///
    /// # Errors
    /// [`RpcError`]: what was read until then stands.
    pub fn read(&mut self) -> Result<Reading, RpcError> {
        let Some(newest) = self.roots.node().block(BlockAt::Latest)? else { return Ok(Reading::Partial) };
        if !self.still_stands()? {
            self.roll_back()?;
        }
        let mut roots_read = 0;
        for _ in 0..RANGES_MAX {
            let from = self.read_to.map_or(self.from_block, |block| block.number + 1);
            if from > newest.number {
                return Ok(Reading::Complete);
            }
            let to = from.saturating_add(LOG_BLOCKS - 1).min(newest.number);
            roots_read += self.read_range(from, to, &newest)?;
            if to == newest.number {
                return Ok(Reading::Complete);
            }
            if roots_read > ROOTS_MAX {
                break;
            }
        }
        tracing::info!(
            block = self.read_to.map(|block| block.number),
            newest = newest.number,
            "reading what was anchored"
        );
        Ok(Reading::Partial)
    }

    /// Whether the block up to which was read is still in the chain.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn still_stands(&self) -> Result<bool, RpcError> {
        match self.read_to {
            Some(block) => self.stands(block),
            None => Ok(true),
        }
    }

    fn stands(&self, block: BlockRef) -> Result<bool, RpcError> {
        let found = self.roots.node().block(BlockAt::Number(block.number))?;
        Ok(found.is_some_and(|found| found.hash == block.hash))
    }

    fn roll_back(&mut self) -> Result<(), RpcError> {
        if let Some(block) = self.settled.block
            && !self.stands(block)?
        {
            tracing::warn!(
                block = block.number,
                "another chain than before: what was anchored is read from the start"
            );
            self.settled = Snapshot::default();
            self.kept_to = 0;
        }
        self.recent.clear();
        self.heads = self.settled.heads.clone();
        self.read_to = self.settled.block;
        self.forget_walk();
        Ok(())
    }

    /// How many roots the range has. Nothing is taken in before all of it was read.
    fn read_range(&mut self, from: u64, to: u64, newest: &Block) -> Result<usize, RpcError> {
        let mut found = Vec::new();
        for log in self.roots.logs(Some(self.account), from, to)? {
            found.push(Recent { place: log.place, headers: self.headers(&log)? });
        }
        let last = match to == newest.number {
            true => Some(newest.clone()),
            false => self.roots.node().block(BlockAt::Number(to))?,
        };
        // Undone meanwhile: read again.
        let Some(last) = last else { return Ok(0) };
        let count = found.len();
        for recent in found {
            for header in &recent.headers {
                self.heads.apply(header);
            }
            self.recent.push(recent);
        }
        self.read_to = Some(BlockRef::from(&last));
        Ok(count)
    }

    fn headers(&self, log: &RootLog) -> Result<Vec<BatchHeader>, RpcError> {
        match self.roots.published(log)? {
            Ok(published) => Ok(published.headers().to_vec()),
            Err(problem) => {
                // Not by this service: nobody can tell what it holds.
                tracing::warn!(transaction = %log.place.transaction, %problem, "a root without headers");
                Ok(Vec::new())
            }
        }
    }

    /// Takes what is final out of what may be undone. Says whether the file is to be written.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn settle(&mut self, finalized: u64) -> Result<bool, RpcError> {
        let read_to = self.read_to.map_or(0, |block| block.number);
        let finalized = finalized.min(read_to);
        if finalized < self.kept_to.saturating_add(KEEP_BLOCKS) {
            return Ok(false);
        }
        let Some(block) = self.roots.node().block(BlockAt::Number(finalized))? else { return Ok(false) };
        let settled = self.recent.partition_point(|recent| recent.place.block_number <= finalized);
        for recent in self.recent.drain(..settled) {
            for header in recent.headers {
                self.settled.heads.apply(&header);
                if self.walked_to.is_some() {
                    // The walk covers all that is settled. Of two headers for one place the earlier counts.
                    let key = (header.stream_id, header.sequence_start.get());
                    self.walked.entry(key).or_insert((header, recent.place));
                }
            }
        }
        self.settled.block = Some(BlockRef::from(&block));
        self.kept_to = finalized;
        Ok(true)
    }

    /// What belongs into the file.
    pub fn snapshot(&self) -> &Snapshot {
        &self.settled
    }

    fn forget_walk(&mut self) {
        self.walked.clear();
        self.walked_to = None;
    }

    /// Where a batch is that the head of its stream is past: among what is not final, else by walking back.
    ///
    /// # Errors
    /// [`RpcError`]: the walk goes on from there.
    pub fn place(&mut self, batch: &BatchRecord) -> Result<Placed, RpcError> {
        let header = batch.header();
        if let Some(recent) = self.recent.iter().find(|recent| recent.headers.contains(&header)) {
            return Ok(Placed::At(recent.place));
        }
        let key = (header.stream_id, header.sequence_start.get());
        let in_walk = |walked: &Walked| {
            walked.get(&key).filter(|found| found.0 == header).map(|found| Placed::At(found.1))
        };
        if let Some(placed) = in_walk(&self.walked) {
            return Ok(placed);
        }
        let is_at_start = self.walk(&key)?;
        Ok(in_walk(&self.walked).unwrap_or(if is_at_start { Placed::OtherHeader } else { Placed::NotYet }))
    }

    /// Walks further back from what is final, until it finds a header that begins there; says whether it is at the start.
    fn walk(&mut self, wanted: &(Digest, u64)) -> Result<bool, RpcError> {
        let Some(newest) = self.settled.block else { return Ok(true) };
        if self.walked.len() > WALKED_MAX {
            self.forget_walk();
        }
        let mut roots_read = 0;
        for _ in 0..RANGES_MAX {
            let to = match self.walked_to {
                Some(walked_to) if walked_to <= self.from_block => return Ok(true),
                Some(walked_to) => walked_to - 1,
                None => newest.number,
            };
            let from = to.saturating_sub(LOG_BLOCKS - 1).max(self.from_block);
            let mut found = Vec::new();
            for log in self.roots.logs(Some(self.account), from, to)? {
                found.push((log.place, self.headers(&log)?));
            }
            roots_read += found.len();
            for (place, headers) in found.into_iter().rev() {
                for header in headers {
                    self.walked.insert((header.stream_id, header.sequence_start.get()), (header, place));
                }
            }
            self.walked_to = Some(from);
            if roots_read > ROOTS_MAX || self.walked.contains_key(wanted) {
                break;
            }
        }
        Ok(self.walked_to == Some(self.from_block))
    }
}
