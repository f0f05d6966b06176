//! The runner: reads what follows the checkpoint, applies it, commits it. It waits for nothing but its ports.

use std::collections::HashMap;
use std::time::Duration;

use ves::StreamKey;

use crate::cache::Cache;
use crate::history::HISTORY_SNAPSHOT_EVENTS;
use crate::machines::machine;
use crate::pass::{Fact, Outcome, Turn, pass};
use crate::ports::{
    Batch, Checkpoint, EventFeed, Letter, PortError, ProjectionStore, Refused, Resolution, StoredFact as _,
};
use crate::record::{EntityName, Record};

/// Bounds of a runner.
#[derive(Debug, Clone, Copy)]
pub struct RunnerConfig {
    /// Events of one pass, which is one commit.
    pub batch_events: usize,
    /// Records in memory.
    pub cache_records: usize,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self { batch_events: 1_000, cache_records: 65_536 }
    }
}

/// Retries of one stream that are made again in one pass.
const RESOLUTIONS_PER_PASS: usize = 100;

/// Streams in which a port fails before a round of retries is given up: it then is not about one stream.
const FAILING_STREAMS_MAX: usize = 3;

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Events and retries passed.
    pub passed: u64,
    /// The stream's place now.
    pub checkpoint: Checkpoint,
}

/// Carries streams forward. The only one that changes their states.
pub struct Runner<F, S> {
    feed: F,
    store: S,
    config: RunnerConfig,
    cache: Cache,
    checkpoints: HashMap<StreamKey, Checkpoint>,
}

impl<F: EventFeed + Sync, S: ProjectionStore + Sync> Runner<F, S> {
    pub fn new(feed: F, store: S, config: RunnerConfig) -> Self {
        Self { feed, store, config, cache: Cache::new(config.cache_records), checkpoints: HashMap::new() }
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    /// The place of a stream, as the store has it.
    pub async fn checkpoint(&mut self, stream: &StreamKey) -> Result<Checkpoint, PortError> {
        if let Some(known) = self.checkpoints.get(stream) {
            return Ok(*known);
        }
        let checkpoint = self.store.checkpoint(stream).await?;
        self.checkpoints.insert(*stream, checkpoint);
        Ok(checkpoint)
    }

    /// Passes the next events of a stream, at most a batch, and commits them.
    ///
    /// # Errors
    /// What a port says. Nothing of the pass is kept in memory then: the store's truth is read again.
    pub async fn pass(&mut self, stream: &StreamKey) -> Result<Progress, PortError> {
        let passed = self.try_pass(stream).await;
        if passed.is_err() {
            self.forget();
        }
        passed
    }

    /// Begins to build the states of a stream from nothing: the next passes go through its events again.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn rebuild(&mut self, stream: &StreamKey) -> Result<(), PortError> {
        let before = self.checkpoint(stream).await?;
        self.forget();
        self.store.begin_anew(stream, &before).await
    }

    /// Tries refused events again that are due, at most `limit`, each in a commit of its own. One that can't be read is
    /// put back for later, and one stream that fails holds up no other.
    ///
    /// # Errors
    /// The first that a port says, after the letters of the other streams were tried.
    pub async fn retry(&mut self, limit: usize) -> Result<u64, PortError> {
        let (mut retried, mut failed, mut failing) = (0, None, Vec::new());
        for letter in self.store.due(limit).await? {
            if failing.contains(&letter.stream) {
                continue;
            }
            match self.try_again_or_later(&letter).await {
                Ok(more) => retried += u64::from(more),
                Err(error) => {
                    self.forget();
                    failed.get_or_insert(error);
                    failing.push(letter.stream);
                    if failing.len() == FAILING_STREAMS_MAX {
                        break;
                    }
                }
            }
        }
        failed.map_or(Ok(retried), Err)
    }

    /// A letter whose event can't be had is planned anew: it must not stand before those of everybody else for ever.
    async fn try_again_or_later(&mut self, letter: &Letter) -> Result<bool, PortError> {
        match self.try_again(letter).await {
            Err(error) if error.is_lasting => {
                self.forget();
                let before = self.checkpoint(&letter.stream).await?;
                let mut work = Work::new(letter.stream, before);
                work.passed = 1;
                work.batch.unread.push((letter.sequence, error.problem));
                self.commit(work).await.map(|_| true)
            }
            tried => tried,
        }
    }

    fn forget(&mut self) {
        self.cache.clear();
        self.checkpoints.clear();
    }

    async fn try_pass(&mut self, stream: &StreamKey) -> Result<Progress, PortError> {
        let before = self.checkpoint(stream).await?;
        let replays = match before.is_rebuilding() {
            true => self.store.resolutions(stream, before.resolutions, RESOLUTIONS_PER_PASS).await?,
            false => Vec::new(),
        };
        // A pass ends where the next retry has its place.
        let gap = replays.first().map_or(u64::MAX, |next| next.after.saturating_sub(before.sequence));
        let limit = self.config.batch_events.min(usize::try_from(gap).unwrap_or(usize::MAX));
        let events = match limit {
            0 => Vec::new(),
            limit => self.feed.read(stream, before.sequence + 1, limit).await?,
        };
        let facts = events.iter().map(|event| event.fact()).collect::<Result<Vec<_>, _>>()?;
        let mut work = Work::new(*stream, before);
        self.load(&mut work, &facts).await?;
        for fact in &facts {
            work.in_order(fact);
        }
        for replay in replays {
            // Where the feed gave less than was asked for, the place has not been reached.
            if replay.after > work.batch.checkpoint.sequence {
                break;
            }
            self.apply_again(&mut work, replay).await?;
        }
        self.commit(work).await
    }

    async fn try_again(&mut self, letter: &Letter) -> Result<bool, PortError> {
        let before = self.checkpoint(&letter.stream).await?;
        // Its turn comes when the states are built again: the place of a retry must not depend on that.
        if before.is_rebuilding() || letter.sequence > before.sequence {
            return Ok(false);
        }
        let events = self.feed.read(&letter.stream, letter.sequence, 1).await?;
        let Some(event) = events.first() else {
            let problem = format!("event {} of {} is missing", letter.sequence, letter.stream);
            return Err(PortError::lasting(problem));
        };
        let fact = event.fact()?;
        let mut work = Work::new(letter.stream, before);
        self.load(&mut work, std::slice::from_ref(&fact)).await?;
        work.again(&fact);
        self.commit(work).await.map(|_| true)
    }

    /// A retry of an earlier generation, at its place.
    async fn apply_again(&mut self, work: &mut Work, replay: Resolution) -> Result<(), PortError> {
        let events = self.feed.read(&work.batch.stream, replay.sequence, 1).await?;
        let fact = match events.first() {
            Some(event) => event.fact()?,
            None => return Err(PortError::lasting(format!("event {} is missing", replay.sequence))),
        };
        self.load(work, std::slice::from_ref(&fact)).await?;
        work.replayed(&fact, replay);
        Ok(())
    }

    /// Brings the records of these events' entities into `work`.
    async fn load(&mut self, work: &mut Work, facts: &[Fact<'_>]) -> Result<(), PortError> {
        let mut missing = Vec::new();
        for fact in facts.iter().filter(|fact| machine(&fact.entity_type).is_some()) {
            let Some(name) = EntityName::new(&fact.entity_type, &fact.entity_id) else { continue };
            if work.records.contains_key(&name) {
                continue;
            }
            let record = self.cache.take(&work.batch.stream, &name);
            if record.is_none() {
                missing.push(name.clone());
            }
            work.records.insert(name, record.unwrap_or_default());
        }
        if missing.is_empty() {
            return Ok(());
        }
        let loaded = self.store.load(&work.batch.stream, work.batch.checkpoint.generation, &missing).await?;
        for (name, record) in missing.into_iter().zip(loaded) {
            if let Some(record) = record {
                work.records.insert(name, record);
            }
        }
        Ok(())
    }

    async fn commit(&mut self, work: Work) -> Result<Progress, PortError> {
        let Work { mut batch, records, passed } = work;
        let (stream, checkpoint) = (batch.stream, batch.checkpoint);
        if passed == 0 {
            self.cache.put(stream, records);
            return Ok(Progress { passed, checkpoint });
        }
        batch.states = records.into_iter().collect();
        let kept = batch.states.clone();
        self.store.commit(batch).await?;
        self.cache.put(stream, kept);
        self.checkpoints.insert(stream, checkpoint);
        Ok(Progress { passed, checkpoint })
    }
}

/// One pass in the making.
struct Work {
    batch: Batch,
    records: HashMap<EntityName, Record>,
    passed: u64,
}

impl Work {
    fn new(stream: StreamKey, before: Checkpoint) -> Self {
        let batch = Batch {
            stream,
            before,
            checkpoint: before,
            states: Vec::new(),
            snapshots: Vec::new(),
            refused: Vec::new(),
            refused_before: Vec::new(),
            passed_before: Vec::new(),
            resolutions: Vec::new(),
            resolved: Vec::new(),
            refused_again: Vec::new(),
            unread: Vec::new(),
        };
        Self { batch, records: HashMap::new(), passed: 0 }
    }

    /// The next event of the stream.
    fn in_order(&mut self, fact: &Fact<'_>) {
        self.passed += 1;
        let is_new = fact.sequence > self.batch.checkpoint.reported;
        self.batch.checkpoint.sequence = fact.sequence;
        let outcome = self.step(fact, Turn::InOrder);
        let checkpoint = &mut self.batch.checkpoint;
        match &outcome {
            Outcome::Applied => checkpoint.applied += 1,
            Outcome::Skipped => checkpoint.skipped += 1,
            Outcome::Unreadable => checkpoint.unreadable += 1,
            Outcome::Foreign => checkpoint.foreign += 1,
            Outcome::Refused(_) => checkpoint.refused += 1,
            Outcome::Passed => {}
        }
        if is_new {
            checkpoint.reported = fact.sequence;
        }
        match (outcome, is_new) {
            (Outcome::Refused(refusal), true) => self.batch.refused.extend(refused(fact, refusal)),
            (Outcome::Refused(refusal), false) => self.batch.refused_before.extend(refused(fact, refusal)),
            (Outcome::Applied | Outcome::Skipped, false) if machine(&fact.entity_type).is_some() => {
                self.batch.passed_before.push(fact.sequence);
            }
            _ => {}
        }
        let name = EntityName::new(&fact.entity_type, &fact.entity_id);
        if let Some((name, record)) = name.and_then(|name| self.records.get_key_value(&name))
            && record.sequence == fact.sequence
            && record.version.is_multiple_of(HISTORY_SNAPSHOT_EVENTS)
        {
            self.batch.snapshots.push((name.clone(), record.clone()));
        }
    }

    /// An event that was refused before and is due.
    fn again(&mut self, fact: &Fact<'_>) {
        self.passed += 1;
        match self.step(fact, Turn::Again) {
            Outcome::Refused(refusal) => self.batch.refused_again.extend(refused(fact, refusal)),
            _ => {
                self.batch.resolved.push(fact.sequence);
                let Some(entity) = EntityName::new(&fact.entity_type, &fact.entity_id) else { return };
                let checkpoint = &mut self.batch.checkpoint;
                checkpoint.resolutions += 1;
                let (ordinal, after) = (checkpoint.resolutions, checkpoint.sequence);
                self.batch.resolutions.push(Resolution { ordinal, after, sequence: fact.sequence, entity });
            }
        }
    }

    /// A retry that succeeded in an earlier generation.
    fn replayed(&mut self, fact: &Fact<'_>, replay: Resolution) {
        self.passed += 1;
        let outcome = self.step(fact, Turn::Again);
        let name = EntityName::new(&fact.entity_type, &fact.entity_id);
        if let (Outcome::Refused(_), Some(name)) = (outcome, name)
            && let Some(record) = self.records.get_mut(&name)
        {
            // It was applied before: the event, or one before it, can be read no more.
            record.unreadable += 1;
        }
        self.batch.checkpoint.resolutions = replay.ordinal;
        self.batch.resolutions.push(replay);
    }

    fn step(&mut self, fact: &Fact<'_>, turn: Turn) -> Outcome {
        let name = EntityName::new(&fact.entity_type, &fact.entity_id);
        let record = name.and_then(|name| self.records.get_mut(&name));
        match (machine(&fact.entity_type), record) {
            (Some(machine), Some(record)) => pass(machine, record, fact, turn),
            _ => Outcome::Skipped,
        }
    }
}

fn refused(fact: &Fact<'_>, refusal: crate::refusal::Refusal) -> Option<Refused> {
    Some(Refused {
        sequence: fact.sequence,
        event_id: fact.event_id,
        entity: EntityName::new(&fact.entity_type, &fact.entity_id)?,
        event_type: fact.event_type.clone().into_owned(),
        refusal,
    })
}

/// How long to wait after failures of a port: three short tries (section 8), then longer and longer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff(u32);

impl Backoff {
    const SHORT: Duration = Duration::from_millis(100);
    const SHORT_TRIES: u32 = 3;
    const LONGEST: Duration = Duration::from_secs(30);

    /// After one more failure.
    pub fn failed(&mut self) -> Duration {
        self.0 = self.0.saturating_add(1);
        match self.0.checked_sub(Self::SHORT_TRIES) {
            None | Some(0) => Self::SHORT,
            Some(more) => (Self::SHORT * 2_u32.saturating_pow(more.min(16))).min(Self::LONGEST),
        }
    }

    pub fn succeeded(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tries_are_short_and_none_is_longer_than_the_longest() {
        let mut backoff = Backoff::default();
        for _ in 0..3 {
            assert_eq!(backoff.failed(), Backoff::SHORT);
        }
        assert_eq!(backoff.failed(), Backoff::SHORT * 2);
        for _ in 0..40 {
            assert!(backoff.failed() <= Backoff::LONGEST);
        }
        assert_eq!(backoff.failed(), Backoff::LONGEST);
        backoff.succeeded();
        assert_eq!(backoff.failed(), Backoff::SHORT);
    }
}
