//! What the service must be told before it starts.

use std::sync::Arc;

pub use stateset_sequencer_engine::CommitPolicy;
use ves::SequencerId;
use ves::ed25519::Signer;
use ves::keys::SecurityProfile;

/// Configuration of one sequencer.
#[derive(Clone)]
pub struct Config {
    /// Named in every receipt and as the key name of every checkpoint.
    pub sequencer_id: SequencerId,
    /// Signs receipts and checkpoints.
    pub signer: Arc<dyn Signer>,
    /// Version of the signer's key; rises by one when it is rotated.
    pub key_version: u32,
    /// Which signature schemes of agents are admitted, whatever their keys.
    pub security_profile: SecurityProfile,
    /// When a batch closes by itself.
    pub commit: CommitPolicy,
    /// `false` leaves every commitment to callers.
    pub auto_commit: bool,
    /// Events waiting for the turn loop before callers wait.
    pub queue_events_max: usize,
    /// Threads that sign receipts; 1 signs on the turn loop's own thread.
    pub signing_threads: usize,
}

impl Config {
    /// Events of one turn: bounds the time between a submission and its answer.
    pub const TURN_EVENTS_MAX: usize = 8_192;

    /// The defaults: batches of 1,024 events or 60 s, a queue of 65,536 events.
    pub fn new(sequencer_id: SequencerId, signer: Arc<dyn Signer>, key_version: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            sequencer_id,
            signer,
            key_version,
            security_profile: SecurityProfile::Legacy,
            commit: CommitPolicy::default(),
            auto_commit: true,
            queue_events_max: 65_536,
            signing_threads: cores,
        }
    }
}
