//! What the service must be told before it starts.

use std::sync::Arc;
use std::time::Duration;

use stateset_event_log::Breakers;
pub use stateset_sequencer_engine::CommitPolicy;
use ves::SequencerId;
use ves::ed25519::Signer;
use ves::keys::SecurityProfile;

use crate::anchor::AnchorTarget;
use crate::caches::CacheSizes;
use crate::payment::PaymentConfig;
use crate::proof_registry::ComplianceVerifier;
use crate::trace::Tracer;

/// Says why something that this process runs beside the log does not do its work. May block.
pub type ReadyCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Configuration of one sequencer.
#[derive(Clone)]
pub struct Config {
    /// Named in every receipt and as the key name of every checkpoint.
    pub sequencer_id: SequencerId,
    /// Signs receipts and checkpoints.
    pub signer: Arc<dyn Signer>,
    /// Version of the signer's key; rises by one when it is rotated. [`Config::VERSION_OF_LOG`] leaves it to the log.
    pub key_version: u32,
    /// Which signature schemes of agents are admitted, whatever their keys.
    pub security_profile: SecurityProfile,
    /// When a batch closes by itself.
    pub commit: CommitPolicy,
    /// `false` leaves every commitment to callers.
    pub auto_commit: bool,
    /// Events waiting for the turn loop before callers wait.
    pub queue_events_max: usize,
    /// Time a caller waits for room in the queue before it is told that the service is busy.
    pub room_time_max: Duration,
    /// Time a caller waits for the writer before it is told that the outcome is unknown.
    pub answer_time_max: Duration,
    /// Threads that sign receipts; 1 signs on the turn loop's own thread.
    pub signing_threads: usize,
    /// Checks the bytes of proofs; without it none is ever called valid.
    pub verifier: Option<Arc<dyn ComplianceVerifier>>,
    /// Whether a proof is verified before it is stored; a STARK proof is refused where that is not possible.
    pub verify_on_submit: bool,
    /// Proofs verified at once.
    pub verify_concurrency: usize,
    /// Longest time a caller waits until one of them is done.
    pub verify_slot_wait_max: Duration,
    /// Longest time a caller waits for its proof.
    pub verify_time_max: Duration,
    /// Where commitments are anchored; `None` leaves that to an outside anchor service.
    pub anchor: Option<Arc<dyn AnchorTarget>>,
    /// Asked besides whether the service is ready: a local chain that has ended is no small matter to who develops on it.
    pub also_ready: Option<ReadyCheck>,
    /// Dead letters of one tenant; the next ones are left out, and stand in the log of rejections alone.
    pub dead_letters_max: u64,
    pub payments: PaymentConfig,
    /// Around what lies outside this process; all parts of it share them.
    pub breakers: Breakers,
    /// Whether acts of administrators are recorded (section 9 of the sequencer API).
    pub audit: bool,
    pub caches: CacheSizes,
    /// Which requests are traced, and where their spans go.
    pub tracer: Tracer,
    /// How payloads are checked against schemas.
    #[cfg(feature = "schema-validation")]
    pub schemas: crate::schema::SchemaSettings,
}

impl Config {
    /// The version under which the log knows the key of this sequencer, else the next one.
    pub const VERSION_OF_LOG: u32 = 0;

    /// Events of one turn: bounds the time between a submission and its answer.
    pub const TURN_EVENTS_MAX: usize = 8_192;

    /// The defaults: batches of 1,024 events or 60 s, a queue of 65,536 events, 5 s for room in it and 15 s for the answer.
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
            room_time_max: Duration::from_secs(5),
            answer_time_max: Duration::from_secs(15),
            signing_threads: cores,
            verifier: None,
            verify_on_submit: true,
            verify_concurrency: cores.min(4),
            verify_slot_wait_max: Duration::from_secs(5),
            verify_time_max: Duration::from_secs(15),
            anchor: None,
            also_ready: None,
            dead_letters_max: crate::dead_letters::DEAD_LETTERS_MAX,
            payments: PaymentConfig::default(),
            breakers: Breakers::default(),
            audit: true,
            caches: CacheSizes::default(),
            tracer: Tracer::default(),
            #[cfg(feature = "schema-validation")]
            schemas: crate::schema::SchemaSettings::default(),
        }
    }
}
