//! What readers see of each stream: only what is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use ves::commitment::Commitment;
use ves::log::LogTree;
use ves::{Digest, SequenceNumber, StreamKey};

/// Head of a stream and its newest commitment.
#[derive(Debug, Clone)]
pub struct StreamHead {
    pub head_sequence: SequenceNumber,
    /// `new_state_root` of the newest commitment, zero before the first.
    pub state_root: Digest,
    pub latest_commitment: Option<Commitment>,
}

/// The durable state of one stream, replaced after each turn.
#[derive(Clone)]
pub(crate) struct Durable {
    pub tree: LogTree,
    pub latest_commitment: Option<Commitment>,
}

impl Durable {
    pub fn head(&self) -> SequenceNumber {
        SequenceNumber(self.tree.size())
    }
}

/// Durable states by stream. The turn loop writes, everyone reads.
#[derive(Default)]
pub(crate) struct Streams(RwLock<BTreeMap<StreamKey, Arc<Durable>>>);

impl Streams {
    pub fn get(&self, stream: &StreamKey) -> Option<Arc<Durable>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(stream).cloned()
    }
    pub fn set(&self, stream: StreamKey, durable: Durable) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(stream, Arc::new(durable));
    }
    pub fn head(&self, stream: &StreamKey) -> StreamHead {
        let durable = self.get(stream);
        let latest_commitment = durable.as_ref().and_then(|d| d.latest_commitment.clone());
        StreamHead {
            head_sequence: durable.map_or(SequenceNumber::ZERO, |d| d.head()),
            state_root: latest_commitment.as_ref().map_or(Digest::ZERO, |c| c.new_state_root),
            latest_commitment,
        }
    }
    pub fn keys(&self) -> Vec<StreamKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}
