//! Batches of the event service on the ledger (network.md 10.4): the port of the one joined to the other.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use stateset_ledger_types::anchor::{ANCHOR, AnchorBatch as OnLedger, AnchorCommand, AnchorHead, AnchorOpen};
use stateset_ledger_types::codec::{Encode as _, Set};
use stateset_sequencer::{
    AnchorBatch, AnchorError, AnchorTarget, ChainPlace, ForgetError, Sequencer, TargetError,
};
use statesetd_app::{Failure, LocalHome, Member, read};
use tokio::runtime::Handle;
use ves::commitment::stream_id;
use ves::{SequenceNumber, StreamKey};

use super::Problem;
use crate::error::CliError;

/// How soon a closed batch is seen.
const INTERVAL: Duration = Duration::from_millis(200);
/// After the ledger did not take a batch.
const RETRY: Duration = Duration::from_secs(2);
/// Batches looked at in one go.
const PENDING_MAX: usize = 5_000;

/// The ledger, for the service's routes and for what anchors by itself.
pub struct LedgerTarget {
    member: Member,
    /// One request at a time: each names the sequence after the last.
    sending: Mutex<()>,
}

/// The number under which the service's records know a ledger: 31 bits of the hash of its name. Numbers of EVM chains are
/// given out by a registry; this one only tells records of one ledger from those of another chain.
pub fn chain_number(chain_id: &str) -> u32 {
    let hash = ves::hash::Hasher::bare().bytes(chain_id.as_bytes()).finish();
    let first = u32::from_be_bytes([hash.0[0], hash.0[1], hash.0[2], hash.0[3]]);
    (first >> 1).max(1)
}

fn target_error(failure: Failure) -> TargetError {
    match failure.code.as_str() {
        "NODE_UNREACHABLE" | "NODE_REFUSED" | "NODE_UNREADABLE" | "NOT_IN_A_BLOCK" => {
            TargetError::Unavailable(failure.message)
        }
        _ => TargetError::Refused(failure.message),
    }
}

/// The batch as it stands on the ledger, under its number there.
fn on_ledger(batch: &AnchorBatch, batch_no: u64) -> OnLedger {
    OnLedger {
        stream: stream_id(&batch.stream),
        batch_no,
        events_root: batch.events_root,
        prev_state_root: batch.prev_state_root,
        new_state_root: batch.new_state_root,
        sequence_start: batch.sequence_start.get(),
        sequence_end: batch.sequence_end.get(),
    }
}

impl LedgerTarget {
    pub fn of(home: &LocalHome) -> Result<Self, CliError> {
        Ok(Self { member: home.founder()?, sending: Mutex::new(()) })
    }

    fn chain(&self) -> u32 {
        chain_number(self.member.chain_id.as_str())
    }

    fn head(&self, stream: &StreamKey) -> Result<Option<AnchorHead>, Failure> {
        read(&self.member.rpc, &format!("/ssn/anchor/{}/head", stream_id(stream)))
    }

    fn batch(&self, stream: &StreamKey, batch_no: u64) -> Result<Option<OnLedger>, Failure> {
        read(&self.member.rpc, &format!("/ssn/anchor/{}/{batch_no}", stream_id(stream)))
    }

    /// The batch that begins with this number, where one does: numbers rise with batches, so halving finds it.
    fn beginning_at(
        &self,
        stream: &StreamKey,
        head: &AnchorHead,
        start: u64,
    ) -> Result<Option<OnLedger>, Failure> {
        let (mut from, mut to) = (1, head.last_batch_no + 1);
        while from < to {
            let middle = from + (to - from) / 2;
            let found = self.batch(stream, middle)?.ok_or_else(|| {
                let said = format!("the ledger has no batch {middle} of {}", head.last_batch_no);
                Failure::failed("NODE_UNREADABLE", said)
            })?;
            match found.sequence_start.cmp(&start) {
                std::cmp::Ordering::Equal => return Ok(Some(found)),
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Ok(None)
    }

    /// What stands on the ledger of this batch.
    fn standing(&self, batch: &AnchorBatch, head: &AnchorHead) -> Result<Option<OnLedger>, Failure> {
        let start = batch.sequence_start.get();
        if start >= head.next_sequence {
            return Ok(None);
        }
        let found = self.beginning_at(&batch.stream, head, start)?;
        match found.filter(|found| *found == on_ledger(batch, found.batch_no)) {
            Some(found) => Ok(Some(found)),
            None => Err(Failure::failed(
                "INVARIANT",
                format!("the ledger holds other batches from event {start} of stream {}", batch.stream),
            )),
        }
    }

    /// Opens the stream with its first batch, where it is not open.
    fn opened(&self, batch: &AnchorBatch) -> Result<AnchorHead, Failure> {
        if let Some(head) = self.head(&batch.stream)? {
            return Ok(head);
        }
        let writers = Set::new([self.member.public_key()]).map_err(|error| Failure::failed("KEYS", error))?;
        let open = AnchorOpen {
            owner: self.member.entity,
            stream: stream_id(&batch.stream),
            first_sequence: batch.sequence_start.get(),
            writers,
        };
        self.send(&AnchorCommand::Open(open))?;
        let missing = || Failure::failed("NODE_UNREADABLE", "the stream was opened, and is not there");
        self.head(&batch.stream)?.ok_or_else(missing)
    }

    fn send(&self, command: &AnchorCommand) -> Result<statesetd_app::Committed, Failure> {
        let encoded = command.to_sce();
        // The tag stands in the command's own field.
        let args = encoded[2..].to_vec();
        self.member.public(ANCHOR, &[(command.tag(), args)]).map(|(_, committed)| committed)
    }

    fn anchor(&self, batch: &AnchorBatch) -> Result<ChainPlace, Failure> {
        let _one = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.opened(batch)?;
        let batch_no = match self.standing(batch, &head)? {
            // The same again writes nothing, and says where it was said.
            Some(standing) => standing.batch_no,
            None => head.last_batch_no + 1,
        };
        let committed = self.send(&AnchorCommand::Batch(on_ledger(batch, batch_no)))?;
        Ok(ChainPlace {
            chain_id: self.chain(),
            tx_hash: committed.hash,
            block_number: Some(committed.height),
            gas_used: None,
        })
    }
}

impl AnchorTarget for LedgerTarget {
    fn submit(&self, batch: &AnchorBatch) -> Result<ChainPlace, TargetError> {
        self.anchor(batch).map_err(target_error)
    }

    fn is_anchored(&self, batch: &AnchorBatch) -> Result<bool, TargetError> {
        let asked = || -> Result<bool, Failure> {
            match self.head(&batch.stream)? {
                Some(head) => Ok(self.standing(batch, &head)?.is_some()),
                None => Ok(false),
            }
        };
        match asked() {
            Ok(standing) => Ok(standing),
            Err(failure) if failure.code == "INVARIANT" => Ok(false),
            Err(failure) => Err(target_error(failure)),
        }
    }
}

/// Makes log and ledger agree: what the ledger has lost, because its folder was removed, is pending again. Returns how many
/// batches that are.
///
/// # Errors
/// Where the log's batches stand on another chain, or either can't be asked.
pub fn agree(target: &LedgerTarget, sequencer: &Sequencer, runtime: &Handle) -> Result<usize, CliError> {
    let recorded = runtime.block_on(sequencer.anchored_streams());
    let recorded = recorded.map_err(|error| CliError::failure("STORE", error.to_string()))?;
    let mut forgotten = 0;
    for (form, stream, through) in recorded {
        let held = target.head(&stream)?.map_or(0, |head| head.next_sequence.saturating_sub(1));
        if through.get() > held {
            let forgetting = sequencer.forget_anchors(form, stream, SequenceNumber(held), target.chain());
            forgotten += runtime.block_on(forgetting).map_err(not_forgotten)?;
        }
    }
    Ok(forgotten)
}

fn not_forgotten(error: ForgetError) -> CliError {
    match error {
        ForgetError::OtherChain { .. } => CliError::failure("ANCHORED_ELSEWHERE", error.to_string()).hint(
            "a batch stands on one chain: start without --anchor, with the chain of before, or on another data directory",
        ),
        ForgetError::Service(error) => CliError::failure("STORE", error.to_string()),
    }
}

/// Anchors what closes, in its order, on a thread of its own.
pub struct Anchorer {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Anchorer {
    pub fn start(sequencer: Sequencer, runtime: Handle, problem: Problem) -> Result<Self, CliError> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("anchor".to_owned()).spawn(move || {
            let mut wait = INTERVAL;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let said = runtime.block_on(anchor_pending(&sequencer)).err();
                wait = if said.is_some() { RETRY } else { INTERVAL };
                *problem.lock().unwrap_or_else(PoisonError::into_inner) = said;
            }
        });
        let thread = thread.map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
        Ok(Self { stop, thread })
    }

    /// Ends it after the batch at hand.
    pub fn stop(self) {
        // No receiver: it has ended.
        let _ = self.stop.send(());
        // A panic there was reported when it happened.
        let _ = self.thread.join();
    }
}

/// One round. A stream whose batch is refused stops there; others go on.
async fn anchor_pending(sequencer: &Sequencer) -> Result<(), String> {
    let pending = sequencer.pending_anchors(None, PENDING_MAX).await.map_err(|error| error.to_string())?;
    let mut said: Option<(StreamKey, String)> = None;
    for batch in pending {
        if said.as_ref().is_some_and(|(stream, _)| *stream == batch.stream) {
            continue;
        }
        let stream = batch.stream;
        match sequencer.anchor(batch).await {
            Ok(_) | Err(AnchorError::OtherTransaction(_)) => {}
            Err(error) => said = Some((stream, format!("stream {stream} is not anchored: {error}"))),
        }
    }
    said.map_or(Ok(()), |(_, said)| Err(said))
}
