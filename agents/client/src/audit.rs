//! Checks a whole stream again, from the first event: every payload hash, agent signature, receipt, leaf, batch root,
//! link of the state chain, and checkpoint.
//!
//! Workers, one a core, take chunks of the stream, read and check them on their own, and hand back the leaf hashes.
//! One thread puts the leaves in order, grows the log and compares every root. What does not hold is reported with its
//! place; the audit goes on, so that one bad byte does not hide the next.

mod chunk;
mod server;
mod tree;

pub use server::ServerSource;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use ves::commitment::Commitment;
use ves::{Digest, Envelope, SequenceNumber, StreamKey};

use crate::client::verified_checkpoint;
use crate::{Identity, SigningKeys};

/// Events a worker takes at once.
const CHUNK_EVENTS: u64 = 1000;
/// Problems listed; more are only counted.
const PROBLEMS_LISTED_MAX: usize = 20;

/// Where a stream is read from: a store, or a server. Nothing it says is believed but the keys given to [`audit`].
pub trait Source: Sync {
    /// Calls `each` with the events `from..from + limit`, in order, as far as the stream goes.
    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: u64,
        each: &mut dyn FnMut(Entry<'_, '_>),
    ) -> Result<(), String>;
    /// The last number of the stream.
    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, String>;
    /// Every commitment of the stream, in order. Asked before the head: a stream may grow while it is audited.
    fn commitments(&self, stream: &StreamKey) -> Result<Vec<Commitment>, String>;
    /// The text of the checkpoint of this size, if there is one.
    fn checkpoint(&self, stream: &StreamKey, size: u64) -> Result<Option<String>, String>;
    /// The text of the newest checkpoint, for a source that can tell which it is. Asked before the head.
    fn newest_checkpoint(&self, _stream: &StreamKey) -> Result<Option<String>, String> {
        Ok(None)
    }
}

/// One event as the source has it.
pub struct Entry<'e, 'a> {
    pub sequence_number: SequenceNumber,
    pub envelope: &'e Envelope<'a>,
    /// The payload is sealed at rest and stands empty in the envelope: everything is checked but that it is the payload
    /// of its hash.
    pub is_sealed: bool,
    /// A signing hash kept beside the event, to be compared with the computed one.
    pub signing_hash: Option<Digest>,
    pub receipt_signature: Option<[u8; 64]>,
    pub key_version: u32,
}

/// What an audit of one stream found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub events: u64,
    /// Agent signatures and receipt signatures that were checked.
    pub signatures: u64,
    /// Receipts without signature: allowed by section 12, but a problem where the sequencer has a key.
    pub receipts_unsigned: u64,
    /// Events whose payload is sealed at rest and was not compared with its hash.
    pub payloads_sealed: u64,
    pub commitments: u64,
    pub checkpoints: u64,
    /// The last number that a commitment holds.
    pub committed_to: SequenceNumber,
    /// Root of the log of all events (section 13.4).
    pub log_root: Digest,
    /// State root after the last commitment.
    pub state_root: Digest,
    /// The first problems, with their places.
    pub problems: Vec<String>,
    pub problems_count: u64,
}

impl Report {
    pub fn holds(&self) -> bool {
        self.problems_count == 0
    }

    fn problem(&mut self, text: String) {
        self.problems_count += 1;
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(text);
        }
    }
}

/// How far a stream was verified before: its size and root then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub size: u64,
    pub root: Digest,
}

/// A root that the stream has to have at a size.
struct Anchor {
    size: u64,
    root: Digest,
    what: &'static str,
}

/// What a verifier brings along.
pub struct Keys<'a> {
    pub agents: &'a SigningKeys,
    pub sequencer: &'a Identity,
}

/// Audits the whole stream. `progress` hears how many more events were checked, and of how many.
///
/// # Errors
/// The source's own words when it cannot be read. What it says wrongly is in the report.
pub fn audit(
    source: &dyn Source,
    stream: &StreamKey,
    keys: &Keys<'_>,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, String> {
    audit_since(source, stream, keys, None, progress)
}

/// Audits the whole stream, and that it has grown from what was `verified` before: a stream that is shorter or that
/// has another root at that size is a problem.
///
/// # Errors
/// Those of [`audit`].
pub fn audit_since(
    source: &dyn Source,
    stream: &StreamKey,
    keys: &Keys<'_>,
    verified: Option<Verified>,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, String> {
    let commitments = source.commitments(stream)?;
    let (mut anchors, problem) = newest(source, stream, keys)?;
    if let Some(Verified { size, root }) = verified.filter(|verified| verified.size > 0) {
        anchors.push(Anchor { size, root, what: "the last verified checkpoint" });
    }
    let head = source.head(stream)?;
    let mut report = audit_range(source, stream, head, commitments, anchors, keys, progress)?;
    problem.into_iter().for_each(|problem| report.problem(problem));
    Ok(report)
}

/// The newest checkpoint as an anchor, or what is wrong with it.
fn newest(
    source: &dyn Source,
    stream: &StreamKey,
    keys: &Keys<'_>,
) -> Result<(Vec<Anchor>, Option<String>), String> {
    let Some(text) = source.newest_checkpoint(stream)? else { return Ok((Vec::new(), None)) };
    Ok(match verified_checkpoint(&text, stream, keys.sequencer) {
        Ok(says) => (vec![Anchor { size: says.size, root: says.root, what: "the newest checkpoint" }], None),
        Err(problem) => (Vec::new(), Some(format!("the newest checkpoint: {problem}"))),
    })
}

/// Audits the first `events_max` events, with the commitments that end among them.
///
/// # Errors
/// Those of [`audit`].
pub fn audit_beginning(
    source: &dyn Source,
    stream: &StreamKey,
    events_max: u64,
    keys: &Keys<'_>,
) -> Result<Report, String> {
    let mut commitments = source.commitments(stream)?;
    let end = SequenceNumber(source.head(stream)?.get().min(events_max));
    commitments.retain(|commitment| commitment.sequence_end <= end);
    audit_range(source, stream, end, commitments, Vec::new(), keys, &|_, _| ())
}

/// Audits the events `1..=head`.
fn audit_range(
    source: &dyn Source,
    stream: &StreamKey,
    head: SequenceNumber,
    commitments: Vec<Commitment>,
    anchors: Vec<Anchor>,
    keys: &Keys<'_>,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, String> {
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get());
    let checker = chunk::Checker::new(stream, keys);
    let mut growth = tree::Growth::new(stream, source, keys.sequencer, commitments, anchors);
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        // Bounded: a worker that is ahead waits here, so at most a few chunks of leaves are held.
        let (send, receive) = mpsc::sync_channel(2 * workers);
        for _ in 0..workers {
            let (send, checker, next) = (send.clone(), &checker, &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let from = at * CHUNK_EVENTS + 1;
                    if from > head.get() {
                        break;
                    }
                    let count = CHUNK_EVENTS.min(head.get() - from + 1);
                    let checked = checker.check(source, SequenceNumber(from), count);
                    if send.send((at, checked)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let (mut waiting, mut expected) = (BTreeMap::new(), 0);
        'chunks: for (at, checked) in receive {
            waiting.insert(at, checked?);
            while let Some(checked) = waiting.remove(&expected) {
                progress(checked.leaves.len() as u64, head.get());
                let short = checked.short;
                growth.take(checked)?;
                if short {
                    // A head that is announced and not there would be asked for without end. The workers stop when
                    // nobody receives.
                    break 'chunks;
                }
                expected += 1;
            }
        }
        growth.finish(head)
    })
}
