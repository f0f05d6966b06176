//! Writing a run: from new entries, or by merging runs. In steps, each a small piece of work.

use std::sync::Arc;

use ves::{SequenceNumber, StreamKey};

use super::Shared;
use super::filter::Filter;
use super::key::SearchKey;
use super::page::{ENTRIES_PER_PAGE, FENCES_PER_PAGE, FILTER_BLOCKS_PER_PAGE, seal, write_entry};
use super::run::{Cursor, Run};
use crate::error::LogError;
use crate::event_log::{EventLog, LogReader, RunInfo};

/// Pages of one step. A step of a merge takes under a millisecond, most of it in the log.
const PAGES_PER_STEP: usize = 16;

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStep {
    More,
    /// The run is published; the builder is finished.
    Done,
}

/// A run being written. Made by `plan_flush` and `plan_merge`; call [`RunBuilder::step`] between turns until it is done.
///
/// To spend less of the writer's time, [`RunBuilder::prepare`] makes the next pages on any other thread.
pub struct RunBuilder {
    shared: Arc<Shared>,
    job: Job,
    source: Source,
    info: RunInfo,
    covered: Vec<(StreamKey, SequenceNumber, u32)>,
    replaces: Vec<u64>,
    fences: Vec<SearchKey>,
    filter: Filter,
    phase: Phase,
    /// Pages made and not yet written, and the number of the first.
    prepared: Vec<Vec<u8>>,
    first_page: u32,
}

/// Only one of each runs at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Job {
    Flush,
    Merge,
}

pub(super) enum Source {
    /// Sorted, each key once.
    Entries(std::vec::IntoIter<(SearchKey, u64)>),
    Runs(Merge),
}

enum Phase {
    Data,
    /// Fences from this one on.
    Fences(usize),
    /// Filter blocks from this one on.
    Filter(usize),
    Publish,
    Done,
}

impl RunBuilder {
    pub(super) fn flush(
        shared: Arc<Shared>,
        run: u64,
        entries: Vec<(SearchKey, u64)>,
        covered: Vec<(StreamKey, SequenceNumber, u32)>,
    ) -> Self {
        let keys = entries.iter().filter(|(key, _)| key.is_asked_for()).count() as u64;
        let source = Source::Entries(entries.into_iter());
        Self::new(shared, Job::Flush, run, 0, source, keys, covered, Vec::new())
    }

    pub(super) fn merge(shared: Arc<Shared>, run: u64, runs: &[Arc<Run>]) -> Self {
        let tier = runs.iter().map(|run| run.info.tier).max().unwrap_or(0) + 1;
        let keys = runs.iter().map(|run| run.filter.keys_max()).sum();
        let replaces = runs.iter().map(|run| run.info.run).collect();
        let source = Source::Runs(Merge::new(runs));
        Self::new(shared, Job::Merge, run, tier, source, keys, Vec::new(), replaces)
    }

    #[expect(clippy::too_many_arguments, reason = "private; the two callers name what they pass")]
    fn new(
        shared: Arc<Shared>,
        job: Job,
        run: u64,
        tier: u32,
        source: Source,
        keys_max: u64,
        covered: Vec<(StreamKey, SequenceNumber, u32)>,
        replaces: Vec<u64>,
    ) -> Self {
        let info = RunInfo { run, tier, entries: 0, data_pages: 0, fence_pages: 0, filter_pages: 0 };
        Self {
            shared,
            job,
            source,
            info,
            covered,
            replaces,
            fences: Vec::new(),
            filter: Filter::for_keys(keys_max),
            phase: Phase::Data,
            prepared: Vec::new(),
            first_page: 0,
        }
    }

    /// Number of the run being written.
    pub fn run(&self) -> u64 {
        self.info.run
    }

    /// Makes the pages of the next step, if they are not made yet. Reads runs, writes nothing.
    pub fn prepare(&mut self) -> Result<(), LogError> {
        while self.prepared.len() < PAGES_PER_STEP {
            match self.phase {
                Phase::Data => match self.data_page()? {
                    Some(page) => self.prepared.push(page),
                    None => self.phase = Phase::Fences(0),
                },
                Phase::Fences(from) if from < self.fences.len() => {
                    let end = (from + FENCES_PER_PAGE).min(self.fences.len());
                    let content = self.fences[from..end].iter().flat_map(|fence| fence.to_bytes()).collect();
                    self.prepared.push(seal(content));
                    self.info.fence_pages += 1;
                    self.phase = Phase::Fences(end);
                }
                Phase::Fences(_) => self.phase = Phase::Filter(0),
                Phase::Filter(from) if from * super::filter::BLOCK_BYTES < self.filter.len_bytes() => {
                    self.prepared.push(seal(self.filter.bytes(from, FILTER_BLOCKS_PER_PAGE)));
                    self.info.filter_pages += 1;
                    self.phase = Phase::Filter(from + FILTER_BLOCKS_PER_PAGE);
                }
                Phase::Filter(_) => self.phase = Phase::Publish,
                Phase::Publish | Phase::Done => break,
            }
        }
        Ok(())
    }

    /// Writes the pages of one step, or publishes the run when all are written. Bounded work.
    ///
    /// # Errors
    /// After [`LogError::Full`] the same step may be tried again.
    pub fn step(&mut self, log: &mut dyn EventLog) -> Result<RunStep, LogError> {
        self.prepare()?;
        if !self.prepared.is_empty() {
            log.put_run_pages(self.info.run, self.first_page, &self.prepared)?;
            self.first_page += self.prepared.len() as u32;
            self.prepared.clear();
            return Ok(RunStep::More);
        }
        if let Phase::Publish = self.phase {
            self.publish(log)?;
            self.phase = Phase::Done;
        }
        Ok(RunStep::Done)
    }

    /// Gives up: what was written is removed.
    pub fn abandon(self, log: &mut dyn EventLog) -> Result<(), LogError> {
        if let Phase::Done = self.phase { Ok(()) } else { log.drop_run(self.info.run) }
    }

    fn publish(&mut self, log: &mut dyn EventLog) -> Result<(), LogError> {
        let run = Arc::new(Run {
            info: self.info.clone(),
            fences: std::mem::take(&mut self.fences),
            filter: std::mem::replace(&mut self.filter, Filter::without_blocks()),
        });
        let covered: Vec<_> = self.covered.iter().map(|(stream, through, _)| (*stream, *through)).collect();
        match self.job {
            // Ids count as covered only when that is durable.
            Job::Flush => {
                let published = log.publish_run(&self.info, &self.replaces, &covered);
                match published {
                    Ok(()) => self.shared.install(run, &self.replaces, &self.covered),
                    Err(_) => self.take_back(run),
                }
                published
            }
            // The same ids, elsewhere: look-ups move over before the old pages may go.
            Job::Merge => {
                self.shared.install(Arc::clone(&run), &self.replaces, &[]);
                let published = log.publish_run(&self.info, &self.replaces, &covered);
                if published.is_err() {
                    self.take_back(run);
                }
                published
            }
        }
    }

    /// After a failed publication, so that it can be tried again.
    fn take_back(&mut self, run: Arc<Run>) {
        self.fences = run.fences.clone();
        self.filter = run.filter.clone();
    }

    fn data_page(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        let mut content = Vec::new();
        for place in 0..ENTRIES_PER_PAGE {
            let next = match &mut self.source {
                Source::Entries(entries) => entries.next(),
                Source::Runs(merge) => merge.next(&*self.shared.reader)?,
            };
            let Some((key, value)) = next else { break };
            if place == 0 {
                content.reserve_exact(super::page::PAGE_RESERVE);
                self.fences.push(key);
            }
            if key.is_asked_for() {
                self.filter.insert(&key);
            }
            self.info.entries += 1;
            write_entry(&mut content, &key, value);
        }
        if content.is_empty() {
            return Ok(None);
        }
        self.info.data_pages += 1;
        Ok(Some(seal(content)))
    }
}

impl Drop for RunBuilder {
    fn drop(&mut self) {
        self.shared.finished(self.job);
    }
}

/// Runs merged into one order, equal keys joined.
pub(super) struct Merge {
    cursors: Vec<Cursor>,
    /// The next entry of each cursor; `None` before the first read and after the last entry.
    heads: Vec<Option<(SearchKey, u64)>>,
    is_started: bool,
}

impl Merge {
    fn new(runs: &[Arc<Run>]) -> Self {
        let cursors: Vec<_> = runs.iter().map(|run| Cursor::new(&run.info)).collect();
        Self { heads: vec![None; cursors.len()], cursors, is_started: false }
    }

    fn next(&mut self, reader: &dyn LogReader) -> Result<Option<(SearchKey, u64)>, LogError> {
        if !self.is_started {
            for (head, cursor) in self.heads.iter_mut().zip(&mut self.cursors) {
                *head = cursor.next(reader)?;
            }
            self.is_started = true;
        }
        // At most eight runs: looking at each is quicker than a heap.
        let Some(least) = self.heads.iter().flatten().map(|(key, _)| *key).min() else { return Ok(None) };
        let mut joined = None;
        for (head, cursor) in self.heads.iter_mut().zip(&mut self.cursors) {
            if let Some((_, value)) = head.filter(|(key, _)| *key == least) {
                joined = Some(joined.map_or(value, |other| least.join(other, value)));
                *head = cursor.next(reader)?;
            }
        }
        Ok(joined.map(|value| (least, value)))
    }
}
