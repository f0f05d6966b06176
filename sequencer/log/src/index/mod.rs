//! The index derived from the log: event ids, command ids, entity versions and histories, in sorted runs (decision 33).
//!
//! New ids are kept in memory by the engine and flushed here in large sorted runs; runs of one tier are merged into
//! one of the next. Both happen in small steps between turns, so that no event waits for them, and both are published
//! in one transaction. A filter and the first key of each page are in memory: an id that was never seen costs one
//! memory access a run, one that may be there costs one page.
//!
//! What is not covered by a published run is found by reading the log from [`IdIndex::covered`] on.

mod build;
mod filter;
mod history;
mod key;
mod page;
mod run;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use ves::{SequenceNumber, StreamKey};

use self::build::Job;
use self::key::SearchKey;
use self::run::{Found, Run};
use crate::error::LogError;
use crate::event_log::LogReader;

pub use build::{RunBuilder, RunStep};
pub use history::EntityEvents;
pub use key::{IndexEntry, IndexKey, IndexKind};

/// As many runs of one tier are merged into one of the next.
const RUNS_PER_MERGE: usize = 8;

/// The derived index of one log. Clones share it.
#[derive(Clone)]
pub struct IdIndex(Arc<Shared>);

pub(crate) struct Shared {
    reader: Arc<dyn LogReader>,
    view: ArcSwap<View>,
    /// Serialises changes of `view`.
    change: Mutex<()>,
    next_run: AtomicU64,
    is_flushing: AtomicBool,
    is_merging: AtomicBool,
}

/// One state of the index.
struct View {
    /// Counts flushes; a merge changes no answer.
    generation: u64,
    runs: Vec<Arc<Run>>,
    /// Number and coverage of each stream that has entries.
    streams: Arc<HashMap<StreamKey, (u32, SequenceNumber)>>,
}

/// One state of the index, for look-ups that must agree with one another.
pub struct IndexSnapshot {
    shared: Arc<Shared>,
    view: Arc<View>,
}

impl IdIndex {
    /// Reads the filters and fences of all published runs.
    pub fn open(reader: Arc<dyn LogReader>) -> Result<Self, LogError> {
        let runs = reader.runs()?.into_iter().map(|info| Run::open(&*reader, info).map(Arc::new));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        let numbers: HashMap<StreamKey, u32> =
            reader.streams()?.into_iter().map(|summary| (summary.stream, summary.number)).collect();
        let mut streams = HashMap::new();
        for (stream, through) in reader.covered()? {
            let unknown =
                || LogError::corrupt("the index", format!("it covers stream {stream}, which has no events"));
            streams.insert(stream, (*numbers.get(&stream).ok_or_else(unknown)?, through));
        }
        let next_run = AtomicU64::new(reader.next_run()?);
        let view = ArcSwap::from_pointee(View { generation: 0, runs, streams: Arc::new(streams) });
        Ok(Self(Arc::new(Shared {
            reader,
            view,
            change: Mutex::new(()),
            next_run,
            is_flushing: AtomicBool::new(false),
            is_merging: AtomicBool::new(false),
        })))
    }

    /// The value of a key: for an entity the sum over all runs.
    ///
    /// A key that was never seen costs a filter probe a run; one page is read from each run that may hold the key.
    pub fn lookup(&self, key: &IndexKey) -> Result<Option<u64>, LogError> {
        lookup(&self.0, &self.0.view.load(), key)
    }

    /// All ids of events up to here are in the runs; later ones are in memory, or to be read from the log.
    pub fn covered(&self, stream: &StreamKey) -> SequenceNumber {
        self.0.view.load().covered(stream)
    }

    /// How many flushes were published since the index was opened. Where facts looked up earlier meet a later
    /// generation, they miss what moved from memory into the runs in between.
    pub fn generation(&self) -> u64 {
        self.0.view.load().generation
    }

    /// This state, for several look-ups that must agree.
    pub fn snapshot(&self) -> IndexSnapshot {
        IndexSnapshot { shared: Arc::clone(&self.0), view: self.0.view.load_full() }
    }

    /// Number of published runs.
    pub fn runs(&self) -> usize {
        self.0.view.load().runs.len()
    }

    /// Prepares to write the ids of all events after [`IdIndex::covered`] up to `covered`, of every stream it names.
    /// Sorts `entries`: call it away from the writer's thread when they are many. The events must be durable.
    ///
    /// - Returns `None` while another flush is not finished.
    pub fn plan_flush(
        &self,
        entries: &[IndexEntry],
        covered: &[(StreamKey, SequenceNumber)],
    ) -> Result<Option<RunBuilder>, LogError> {
        if self.0.is_flushing.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        let planned = self.sorted(entries, covered);
        if planned.is_err() {
            self.0.finished(Job::Flush);
        }
        let (entries, covered) = planned?;
        Ok(Some(RunBuilder::flush(Arc::clone(&self.0), self.0.take_run(), entries, covered)))
    }

    /// Prepares to merge the oldest runs of the lowest tier that has enough of them.
    ///
    /// - Returns `None` where there are none, or while another merge is not finished.
    pub fn plan_merge(&self) -> Option<RunBuilder> {
        if self.0.is_merging.swap(true, Ordering::AcqRel) {
            return None;
        }
        let runs = self.0.view.load().mergeable();
        if runs.is_empty() {
            self.0.finished(Job::Merge);
            return None;
        }
        Some(RunBuilder::merge(Arc::clone(&self.0), self.0.take_run(), &runs))
    }

    /// Entries in the order of runs, each key once; streams with their numbers.
    #[expect(clippy::type_complexity, reason = "the two lists a builder takes")]
    fn sorted(
        &self,
        entries: &[IndexEntry],
        covered: &[(StreamKey, SequenceNumber)],
    ) -> Result<(Vec<(SearchKey, u64)>, Vec<(StreamKey, SequenceNumber, u32)>), LogError> {
        let view = self.0.view.load();
        let mut numbers: HashMap<StreamKey, u32> = HashMap::with_capacity(covered.len());
        for (stream, _) in covered {
            if let Some((number, _)) = view.streams.get(stream) {
                numbers.insert(*stream, *number);
            }
        }
        if numbers.len() < covered.len() {
            numbers
                .extend(self.0.reader.streams()?.into_iter().map(|summary| (summary.stream, summary.number)));
        }
        let number_of = |stream: &StreamKey| {
            let unknown =
                || LogError::corrupt("a flush of the index", format!("stream {stream} has no events"));
            numbers.get(stream).copied().ok_or_else(unknown)
        };
        let mut sorted = Vec::with_capacity(entries.len());
        for IndexEntry { key, value } in entries {
            sorted.push((SearchKey::new(number_of(&key.stream)?, key.kind, key.id), *value));
        }
        sorted.sort_unstable_by_key(|(key, _)| *key);
        sorted.dedup_by(|later, first| {
            let is_same = later.0 == first.0;
            if is_same {
                first.1 = first.0.join(first.1, later.1);
            }
            is_same
        });
        let covered = covered.iter().map(|(stream, through)| Ok((*stream, *through, number_of(stream)?)));
        Ok((sorted, covered.collect::<Result<_, LogError>>()?))
    }
}

impl IndexSnapshot {
    /// As [`IdIndex::lookup`], in this state.
    pub fn lookup(&self, key: &IndexKey) -> Result<Option<u64>, LogError> {
        lookup(&self.shared, &self.view, key)
    }
    /// As [`IdIndex::covered`], in this state.
    pub fn covered(&self, stream: &StreamKey) -> SequenceNumber {
        self.view.covered(stream)
    }
    /// As [`IdIndex::generation`], in this state.
    pub fn generation(&self) -> u64 {
        self.view.generation
    }
}

fn lookup(shared: &Shared, view: &View, key: &IndexKey) -> Result<Option<u64>, LogError> {
    let Some((number, _)) = view.streams.get(&key.stream) else { return Ok(None) };
    let key = SearchKey::new(*number, key.kind, key.id);
    let mut newer;
    let mut runs = &view.runs;
    loop {
        match Asked::of(shared, runs, &key)? {
            Asked::Answer(value) => return Ok(value),
            // A merge took the page away while it was asked for: go on in the newer state. It gives the same answer,
            // unless a flush came in between, which callers see by the generation.
            Asked::Replaced(gone) => {
                newer = shared.view.load_full();
                runs = &newer.runs;
                if runs.iter().any(|run| run.info.run == gone) {
                    return Err(LogError::corrupt(format!("index run {gone}"), "a page is missing"));
                }
            }
        }
    }
}

enum Asked {
    Answer(Option<u64>),
    /// This run's page is gone.
    Replaced(u64),
}

impl Asked {
    /// Asks the runs, newest first. An id is in at most one of them, an entity may be in all.
    fn of(shared: &Shared, runs: &[Arc<Run>], key: &SearchKey) -> Result<Self, LogError> {
        let mut found: Option<u64> = None;
        for run in runs.iter().rev() {
            match run.find(&*shared.reader, key)? {
                Found::Nothing => {}
                Found::Value(value) => {
                    found = Some(found.map_or(value, |other| key.join(other, value)));
                    if !key.is_entity() {
                        break;
                    }
                }
                Found::Replaced => return Ok(Self::Replaced(run.info.run)),
            }
        }
        Ok(Self::Answer(found))
    }
}

impl View {
    fn covered(&self, stream: &StreamKey) -> SequenceNumber {
        self.streams.get(stream).map_or(SequenceNumber::ZERO, |(_, through)| *through)
    }

    fn mergeable(&self) -> Vec<Arc<Run>> {
        let mut tiers: Vec<u32> = self.runs.iter().map(|run| run.info.tier).collect();
        tiers.sort_unstable();
        tiers.dedup();
        for tier in tiers {
            let of_tier = || self.runs.iter().filter(|run| run.info.tier == tier);
            if of_tier().count() >= RUNS_PER_MERGE {
                return of_tier().take(RUNS_PER_MERGE).cloned().collect();
            }
        }
        Vec::new()
    }
}

impl Shared {
    fn take_run(&self) -> u64 {
        self.next_run.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a run part of the index, instead of those it replaces.
    fn install(&self, run: Arc<Run>, replaces: &[u64], covered: &[(StreamKey, SequenceNumber, u32)]) {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.view.load();
        let stays = |other: &&Arc<Run>| other.info.run != run.info.run && !replaces.contains(&other.info.run);
        let mut runs: Vec<_> = view.runs.iter().filter(stays).cloned().collect();
        runs.push(run);
        runs.sort_by_key(|run| run.info.run);
        let mut streams = Arc::clone(&view.streams);
        if !covered.is_empty() {
            let entry =
                |(stream, through, number): &(StreamKey, SequenceNumber, u32)| (*stream, (*number, *through));
            Arc::make_mut(&mut streams).extend(covered.iter().map(entry));
        }
        let generation = view.generation + u64::from(!covered.is_empty());
        self.view.store(Arc::new(View { generation, runs, streams }));
    }

    fn finished(&self, job: Job) {
        let flag = match job {
            Job::Flush => &self.is_flushing,
            Job::Merge => &self.is_merging,
        };
        flag.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod tests;
