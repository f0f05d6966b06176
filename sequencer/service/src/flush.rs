//! The derived index beside the writer: ids leave the engine's memory in sorted runs, a small step between turns.
//!
//! A worker thread sorts entries and makes pages; the turn loop writes them, one step at a time, and forgets what a
//! published run holds.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use stateset_event_log::{IdIndex, IndexEntry, IndexKey, LogReader, RunBuilder, RunStep};
use stateset_sequencer_engine::{Candidate, ColdFacts, Engine};
use ves::{CommandId, SequenceNumber, StreamKey};

use crate::error::{ServiceError, StartError};
use crate::queue::Queue;
use crate::turn::{Command, TurnLoop};

/// Events remembered since the last flush before the next one is planned.
const FLUSH_EVENTS: usize = 1 << 16;

/// Index work of one event: its id, its entity's count and history and, rarely, its command.
const ENTRIES_PER_EVENT: usize = 3;

type Covered = Vec<(StreamKey, SequenceNumber)>;

/// A run on its way into the log: pages prepared by the worker, one step to be written by the turn loop.
pub(crate) struct RunWrite {
    builder: RunBuilder,
    /// What the engine may forget once the run is published; empty for a merge.
    covered: Covered,
}

/// What the worker is asked for.
enum Work {
    Plan { entries: Vec<IndexEntry>, covered: Covered },
    Prepare(Box<RunWrite>),
    Merge,
}

pub(crate) struct Flush {
    index: IdIndex,
    work: Option<mpsc::Sender<Work>>,
    worker: Option<JoinHandle<()>>,
    is_flushing: bool,
    /// Events accepted since the last flush was planned.
    events_since: usize,
}

impl Flush {
    pub fn open(reader: Arc<dyn LogReader>, queue: Arc<Queue<Command>>) -> Result<Self, StartError> {
        let index = IdIndex::open(reader)?;
        let (work, inbox) = mpsc::channel();
        let planner = index.clone();
        let worker = std::thread::Builder::new().name("index".into()).spawn(move || {
            for work in inbox {
                if let Some(command) = prepare(&planner, work) {
                    // A closed queue drops it: pages of a run that is not published are removed at the next start.
                    drop(queue.put(command));
                }
            }
        })?;
        Ok(Self { index, work: Some(work), worker: Some(worker), is_flushing: false, events_since: 0 })
    }

    /// Events that the engine remembered when it was opened.
    pub fn with_waiting(self, events: usize) -> Self {
        Self { events_since: events, ..self }
    }

    /// For look-ups beside the writer.
    pub fn index(&self) -> IdIndex {
        self.index.clone()
    }

    /// Numbers up to here are answered by the index; the engine remembers the rest.
    pub fn covered(&self, stream: &StreamKey) -> SequenceNumber {
        self.index.covered(stream)
    }

    /// What the index knows of a request's ids: filter probes in memory, a page where an id may be old.
    pub fn cold_facts(
        &self,
        stream: &StreamKey,
        candidates: &[Candidate],
    ) -> Result<ColdFacts, ServiceError> {
        let index = self.index.snapshot();
        let mut facts = ColdFacts::none_through(index.covered(stream));
        if facts.through == SequenceNumber::ZERO {
            return Ok(facts);
        }
        for candidate in candidates {
            if let Some(id) = candidate.event_id()
                && let Some(at) = index.lookup(&IndexKey::event(*stream, &id))?
            {
                facts.events.insert(id, SequenceNumber(at));
            }
            if let Some(command) = candidate.command_id()
                && let Some(at) = index.lookup(&IndexKey::command(*stream, &command))?
            {
                facts.commands.insert(command, SequenceNumber(at));
            }
            if let Some(entity) = candidate.versioned_entity()
                && let Some(events) = index.lookup(&IndexKey::entity(*stream, entity.0))?
            {
                facts.versions.insert(entity, events);
            }
        }
        Ok(facts)
    }

    fn send(&self, work: Work) {
        if let Some(sender) = &self.work {
            // The worker ends only when this sender is dropped.
            let _ = sender.send(work);
        }
    }
}

/// The worker's side: everything that needs no writer. The answer is what the turn loop does next.
fn prepare(index: &IdIndex, work: Work) -> Option<Command> {
    let mut write = match work {
        Work::Plan { entries, covered } => match index.plan_flush(&entries, &covered) {
            Ok(Some(builder)) => Box::new(RunWrite { builder, covered }),
            Ok(None) => return Some(Command::RunFailed { write: None, is_flush: true }),
            Err(error) => {
                tracing::error!(%error, "the index can't be planned; ids stay in memory");
                return Some(Command::RunFailed { write: None, is_flush: true });
            }
        },
        Work::Merge => Box::new(RunWrite { builder: index.plan_merge()?, covered: Vec::new() }),
        Work::Prepare(write) => write,
    };
    match write.builder.prepare() {
        Ok(()) => Some(Command::Run(write)),
        Err(error) => {
            tracing::error!(%error, "an index run can't be made; ids stay where they are");
            let is_flush = !write.covered.is_empty();
            Some(Command::RunFailed { write: Some(write), is_flush })
        }
    }
}

impl TurnLoop {
    /// Counts accepted events towards the next flush.
    pub fn note_accepted(&mut self, events: usize) {
        self.flush.events_since += events;
    }

    /// Hands what the engine remembers to the worker when it has become much.
    pub fn start_flush(&mut self) {
        if self.flush.is_flushing || self.flush.events_since < FLUSH_EVENTS || self.poisoned {
            return;
        }
        self.flush.events_since = 0;
        if !self.save_uses() {
            return;
        }
        self.flush.is_flushing = true;
        let (entries, covered) = unflushed(&self.engine);
        self.flush.send(Work::Plan { entries, covered });
    }

    /// One step of a run; the worker then prepares the next.
    pub fn write_run(&mut self, mut write: Box<RunWrite>) {
        match write.builder.step(self.log.as_mut()) {
            Ok(RunStep::More) => self.flush.send(Work::Prepare(write)),
            Ok(RunStep::Done) => {
                self.published(&write.covered);
                drop(write);
                self.flush.send(Work::Merge);
            }
            Err(error) => {
                tracing::warn!(%error, "an index run was given up; its ids stay in memory");
                self.note_failure(&error);
                let is_flush = !write.covered.is_empty();
                self.run_failed(Some(write), is_flush);
            }
        }
    }

    /// Removes what was written of a run; a later flush tries again with all that is remembered then.
    pub fn run_failed(&mut self, write: Option<Box<RunWrite>>, is_flush: bool) {
        self.flush.is_flushing &= !is_flush;
        if let Some(write) = write
            && let Err(error) = write.builder.abandon(self.log.as_mut())
        {
            tracing::warn!(%error, "pages of the run are removed at the next start");
        }
    }

    fn published(&mut self, covered: &Covered) {
        for (stream, through) in covered {
            self.engine.forget_through(stream, *through);
        }
        self.flush.is_flushing &= covered.is_empty();
    }

    /// Writes everything the engine remembers, so that the next start reads little.
    pub fn final_flush(&mut self) {
        self.flush.work = None;
        if let Some(worker) = self.flush.worker.take()
            && worker.join().is_err()
        {
            tracing::error!("the index worker panicked; the next start reads the log's tail instead");
        }
        if self.poisoned {
            return;
        }
        if !self.save_uses() {
            return;
        }
        let (entries, covered) = unflushed(&self.engine);
        if entries.is_empty() {
            return;
        }
        let written = self.flush.index.plan_flush(&entries, &covered).and_then(|builder| {
            let Some(mut builder) = builder else { return Ok(()) };
            while builder.step(self.log.as_mut())? == RunStep::More {}
            Ok(())
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the index was not written; the next start reads the log's tail instead");
        }
    }
}

/// Index entries of all durable events that the engine remembers, and how far they reach.
fn unflushed(engine: &Engine) -> (Vec<IndexEntry>, Covered) {
    let mut entries = Vec::with_capacity(engine.recent_len() * ENTRIES_PER_EVENT);
    let mut covered = BTreeMap::new();
    for stream in engine.streams() {
        for recent in engine.recent(stream) {
            entries.push(IndexEntry {
                key: IndexKey::event(*stream, &recent.event_id),
                value: recent.sequence.0,
            });
            entries.push(IndexEntry { key: IndexKey::entity(*stream, recent.entity.0), value: 1 });
            entries.push(IndexEntry::entity_event(*stream, recent.entity.0, recent.sequence));
            entries.extend(recent.command_id.map(|id: CommandId| IndexEntry {
                key: IndexKey::command(*stream, &id),
                value: recent.sequence.0,
            }));
            covered.insert(*stream, recent.sequence);
        }
    }
    (entries, covered.into_iter().collect())
}
