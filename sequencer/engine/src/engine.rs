//! Admission in the order of section 10, and turns that stand or fall as one.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use indexmap::IndexMap;
use ves::commitment::Commitment;
use ves::{CommandId, Digest, EventId, Rejection, SequenceNumber, StreamKey, TimestampMs};

use crate::candidate::{Candidate, ColdFacts, Decision, EntityKey, Passed};
use crate::commit::{CommitError, CommitPlan, CommitPolicy, Planned, RANGE_EVENTS_MAX};
use crate::stream::{RecentEntry, Stream};

/// A stream as the log has it at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamOpening {
    /// Last number in the log.
    pub head: SequenceNumber,
    /// The derived index answers for `1..=covered`; [`Engine::remember`] must bring back the rest, in order.
    pub covered: SequenceNumber,
    /// End of the last commitment, 0 when there is none.
    pub committed_end: SequenceNumber,
    /// Its `new_state_root`; zero when there is none.
    pub last_state_root: Digest,
    /// When the oldest uncommitted event was sequenced. `None` with uncommitted events: long ago.
    pub uncommitted_since: Option<TimestampMs>,
}

/// Why a whole request was not looked at. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    #[error("the request holds no event")]
    Empty,
    #[error("event {at} of the request belongs to another stream")]
    OtherStream { at: usize },
    /// Ask the index again: since it was asked, the engine has left more to it (or it was asked about the future).
    #[error("the facts reach to {through}, the engine needs them to {forgotten} and at most {durable}")]
    FactsOutOfStep { through: SequenceNumber, forgotten: SequenceNumber, durable: SequenceNumber },
    #[error("the stream awaits event {next} from its log before it takes new ones")]
    NotRefilled { next: SequenceNumber },
    #[error("the stream has no numbers left")]
    StreamFull,
}

/// Why an event of the log was not taken back into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefillError {
    #[error("the stream is not open")]
    NotOpen,
    #[error("{found} is not {expected}, the event awaited next, or repeats an id of a recent event")]
    NotNext { found: SequenceNumber, expected: SequenceNumber },
}

/// The state machine of one sequencer, over all its streams.
#[derive(Debug, Clone)]
pub struct Engine {
    policy: CommitPolicy,
    /// Streams never leave, so a place in here names a stream.
    streams: IndexMap<StreamKey, Stream>,
    /// Streams given numbers since the last [`Engine::seal_turn`].
    open_turn: BTreeSet<usize>,
    /// Sealed turns that the log has not answered for, oldest first: streams and the number each reached.
    sealed_turns: VecDeque<Vec<(usize, u64)>>,
    /// Streams with something to commit, by the time when it is due.
    deadlines: BTreeSet<(TimestampMs, usize)>,
}

impl Engine {
    pub fn new(policy: CommitPolicy) -> Self {
        assert!(policy.events_max > 0, "a batch holds at least one event");
        Self {
            policy,
            streams: IndexMap::new(),
            open_turn: BTreeSet::new(),
            sealed_turns: VecDeque::new(),
            deadlines: BTreeSet::new(),
        }
    }

    // Start.

    /// Opens a stream found in the log. Streams that are not opened start empty at their first accepted event.
    pub fn open_stream(&mut self, stream: StreamKey, opening: StreamOpening) {
        let StreamOpening { head, covered, committed_end, last_state_root, uncommitted_since } = opening;
        assert!(covered <= head && committed_end <= head, "{stream}: the log ends at {head}");
        let since = uncommitted_since.unwrap_or(TimestampMs(i64::MIN));
        let state = Stream::opened(head.0, covered.0, committed_end.0, last_state_root, since);
        let (at, before) = self.streams.insert_full(stream, state);
        assert!(before.is_none(), "{stream} is open already");
        self.queue(at);
    }

    /// Takes one event of the log's tail back into memory: those after `covered`, in order.
    pub fn remember(
        &mut self,
        stream: &StreamKey,
        sequence: SequenceNumber,
        event_id: EventId,
        command_id: Option<CommandId>,
        entity: EntityKey,
    ) -> Result<(), RefillError> {
        let state = self.streams.get_mut(stream).ok_or(RefillError::NotOpen)?;
        let expected = SequenceNumber(state.given() + 1);
        match state.remember(sequence.0, event_id, command_id, entity) {
            true => Ok(()),
            false => Err(RefillError::NotNext { found: sequence, expected }),
        }
    }

    // Admission.

    /// Decides over one request, in request order (section 10: steps 1 and 2, the verdict on 3 to 10, 11, 12).
    ///
    /// Numbers given are provisional until [`Engine::turn_durable`]. The answer has one decision for each candidate.
    ///
    /// # Errors
    /// See [`AdmitError`]; the request is refused whole and nothing has changed.
    pub fn admit(
        &mut self,
        stream: &StreamKey,
        request: &[Candidate],
        cold: &ColdFacts,
        now: TimestampMs,
    ) -> Result<Vec<Decision>, AdmitError> {
        check_request(stream, request)?;
        let known = self.streams.get_index_of(stream);
        let at = known.unwrap_or_else(|| self.streams.insert_full(*stream, Stream::default()).0);
        let state = &mut self.streams[at];
        let checked = check_state(state, request.len() as u64, cold);
        let before = state.given();
        let decisions = checked.map(|()| decide(state, request, cold));
        if state.given() > before {
            state.note_age(before + 1, now, (self.policy.age_ms_max / 64) as i64);
            self.open_turn.insert(at);
        } else if known.is_none() {
            // A request that leaves nothing behind must not leave a stream behind either.
            self.streams.pop();
        }
        decisions
    }

    // Turns.

    /// Closes the turn: what is admitted from here on belongs to the next one, which fills while this one syncs.
    pub fn seal_turn(&mut self) {
        let touched = std::mem::take(&mut self.open_turn);
        self.sealed_turns.push_back(touched.into_iter().map(|at| (at, self.streams[at].given())).collect());
    }

    /// The oldest sealed turn is durable; where none is sealed, the open one is (it is sealed first).
    pub fn turn_durable(&mut self) {
        if self.sealed_turns.is_empty() {
            self.seal_turn();
        }
        for (at, reached) in self.sealed_turns.pop_front().unwrap_or_default() {
            self.streams[at].settle(reached);
            self.queue(at);
        }
    }

    /// The log refused a turn: every provisional number, id, command and version is taken back, those of later
    /// turns included, for they were numbered on top of it. Nothing of them may be answered.
    pub fn turn_failed(&mut self) {
        let sealed = std::mem::take(&mut self.sealed_turns);
        let touched =
            sealed.into_iter().flatten().map(|(at, _)| at).chain(std::mem::take(&mut self.open_turn));
        for at in touched {
            self.streams[at].take_back();
        }
    }

    // Reading.

    /// Last durable number of the stream; 0 when it is empty or unknown.
    pub fn head(&self, stream: &StreamKey) -> SequenceNumber {
        SequenceNumber(self.streams.get(stream).map_or(0, Stream::durable))
    }

    /// Last number given, provisional ones included.
    pub fn given(&self, stream: &StreamKey) -> SequenceNumber {
        SequenceNumber(self.streams.get(stream).map_or(0, Stream::given))
    }

    /// End of the last commitment, 0 when there is none, and its state root.
    pub fn committed_end(&self, stream: &StreamKey) -> (SequenceNumber, Digest) {
        self.streams
            .get(stream)
            .map_or_else(Default::default, |s| (SequenceNumber(s.committed_end), s.last_state_root))
    }

    /// Streams known, in the order in which they were opened.
    pub fn streams(&self) -> impl Iterator<Item = &StreamKey> {
        self.streams.keys()
    }

    // The recent ids.

    /// Where a recent, durable event stands.
    pub fn find(&self, stream: &StreamKey, event_id: &EventId) -> Option<SequenceNumber> {
        let state = self.streams.get(stream)?;
        state.place_of(event_id, &ColdFacts::default()).filter(|place| place.0 <= state.durable())
    }

    /// Numbers of the recent, durable events of an entity, ascending: those that the index may lack.
    pub fn events_of(&self, stream: &StreamKey, entity: &EntityKey) -> Vec<SequenceNumber> {
        self.streams.get(stream).map_or_else(Vec::new, |state| state.events_of(entity))
    }

    /// Entries in memory over all streams; bounded by the owner, who flushes and forgets.
    pub fn recent_len(&self) -> usize {
        self.streams.values().map(Stream::recent_len).sum()
    }

    /// Durable entries of a stream in sequence order, from the first that is not forgotten: what the index lacks.
    pub fn recent(&self, stream: &StreamKey) -> impl Iterator<Item = RecentEntry> + '_ {
        self.streams.get(stream).into_iter().flat_map(Stream::durable_entries)
    }

    /// The index answers for `1..=through` from now on; facts of later requests must reach that far.
    ///
    /// Amortised O(1) for each entry forgotten. Provisional events are never forgotten.
    pub fn forget_through(&mut self, stream: &StreamKey, through: SequenceNumber) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.forget_through(through.0);
        }
    }

    /// How far the index answers for the stream.
    pub fn forgotten_through(&self, stream: &StreamKey) -> SequenceNumber {
        SequenceNumber(self.streams.get(stream).map_or(0, Stream::forgotten))
    }

    // Batches.

    /// Batches to be made now, at most one for each stream, oldest need first. A stream whose batch is begun is
    /// left out until [`Engine::committed`] or [`Engine::abandon_commit`]; ask again after that.
    pub fn commit_due(&self, now: TimestampMs) -> Vec<(StreamKey, RangeInclusive<SequenceNumber>)> {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        due.map(|&(_, at)| {
            let (key, state) = self.streams.get_index(at).expect("streams never leave");
            let end = state.durable().min(state.committed_end + u64::from(self.policy.events_max));
            (*key, SequenceNumber(state.committed_end + 1)..=SequenceNumber(end))
        })
        .collect()
    }

    /// Notes the time. Where events seem to have got their numbers later than now, the clock was set back: their age counts
    /// from now on, or their batch would wait until the clock has come there again.
    pub fn clock_at(&mut self, now: TimestampMs) {
        let age = i64::try_from(self.policy.age_ms_max).unwrap_or(i64::MAX);
        let latest = TimestampMs(now.0.saturating_add(age));
        while let Some(&(_, at)) = self.deadlines.last().filter(|(deadline, _)| *deadline > latest) {
            self.streams[at].age_from(now);
            self.queue(at);
        }
    }

    /// When [`Engine::commit_due`] next has something by age; in the past when it has something now.
    pub fn next_commit_deadline(&self) -> Option<TimestampMs> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// What a request for the batch `start..=end` comes to (14.3). Durable events only.
    pub fn plan_commit(
        &self,
        stream: &StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
    ) -> Result<Planned, CommitError> {
        let empty = Stream::default();
        let state = self.streams.get(stream).unwrap_or(&empty);
        let (expected, head) = (state.committed_end + 1, SequenceNumber(state.durable()));
        match (start.0, end.0) {
            (s, e) if e < s => Err(CommitError::Empty),
            (1.., _) if start.0 < expected => Ok(Planned::AlreadyCommitted),
            (s, _) if s != expected => Err(CommitError::NotNext { expected: SequenceNumber(expected) }),
            (_, e) if e > head.0 => Err(CommitError::BeyondHead { head }),
            (s, e) if e - s >= RANGE_EVENTS_MAX => Err(CommitError::TooLong),
            _ => match state.in_flight {
                Some(end) => Err(CommitError::InFlight { end: SequenceNumber(end) }),
                None => Ok(Planned::New(CommitPlan { start, end, prev_state_root: state.last_state_root })),
            },
        }
    }

    /// As [`Engine::plan_commit`], and a new batch is begun: no other of this stream is planned or due until it is
    /// committed or abandoned, so whoever asks first is served as asked.
    pub fn begin_commit(
        &mut self,
        stream: &StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
    ) -> Result<Planned, CommitError> {
        let planned = self.plan_commit(stream, start, end)?;
        if let (Planned::New(plan), Some(at)) = (planned, self.streams.get_index_of(stream)) {
            self.streams[at].in_flight = Some(plan.end.0);
            self.queue(at);
        }
        Ok(planned)
    }

    /// The batch begun could not be stored; its events wait for another.
    pub fn abandon_commit(&mut self, stream: &StreamKey) {
        if let Some(at) = self.streams.get_index_of(stream) {
            self.streams[at].in_flight = None;
            self.queue(at);
        }
    }

    /// The batch is stored. It must be the next one of its stream (14.2, 14.3): anything else is a broken
    /// invariant of the caller.
    pub fn committed(&mut self, batch: &Commitment) {
        let at = self.streams.get_index_of(&batch.stream).expect("a batch of a known stream");
        let state = &mut self.streams[at];
        assert_eq!(
            batch.sequence_start.0,
            state.committed_end + 1,
            "{}: batches lie end to end",
            batch.stream
        );
        assert_eq!(batch.prev_state_root, state.last_state_root, "{}: state roots chain", batch.stream);
        assert!(batch.sequence_end >= batch.sequence_start && batch.sequence_end.0 <= state.durable());
        state.committed(batch.sequence_end.0, batch.new_state_root);
        self.queue(at);
    }

    /// Puts the stream where its next batch belongs in the queue of deadlines.
    fn queue(&mut self, at: usize) {
        let state = &mut self.streams[at];
        if let Some(old) = state.queued_at.take() {
            self.deadlines.remove(&(old, at));
        }
        let since = state.uncommitted_since().filter(|_| state.in_flight.is_none());
        state.queued_at = since.map(|since| {
            let is_full = state.durable() - state.committed_end >= u64::from(self.policy.events_max);
            let age = i64::try_from(self.policy.age_ms_max).unwrap_or(i64::MAX);
            TimestampMs(if is_full { i64::MIN } else { since.0.saturating_add(age) })
        });
        if let Some(deadline) = state.queued_at {
            self.deadlines.insert((deadline, at));
        }
    }
}

fn check_request(stream: &StreamKey, request: &[Candidate]) -> Result<(), AdmitError> {
    let is_foreign = |c: &Candidate| c.verdict.as_ref().is_ok_and(|passed| passed.stream != *stream);
    match request.iter().position(is_foreign) {
        Some(at) => Err(AdmitError::OtherStream { at }),
        None if request.is_empty() => Err(AdmitError::Empty),
        None => Ok(()),
    }
}

fn check_state(state: &Stream, events: u64, cold: &ColdFacts) -> Result<(), AdmitError> {
    let (forgotten, durable) = (SequenceNumber(state.forgotten()), SequenceNumber(state.durable()));
    if !state.is_refilled() {
        Err(AdmitError::NotRefilled { next: SequenceNumber(state.given() + 1) })
    } else if cold.through < forgotten || cold.through > durable {
        Err(AdmitError::FactsOutOfStep { through: cold.through, forgotten, durable })
    } else if state.given() > SequenceNumber::MAX.0 - events {
        Err(AdmitError::StreamFull)
    } else {
        Ok(())
    }
}

fn decide(state: &mut Stream, request: &[Candidate], cold: &ColdFacts) -> Vec<Decision> {
    let before = SequenceNumber(state.given());
    // Ids of this request that got no number; those that got one are known to the stream. Mostly empty.
    let mut without_number = BTreeSet::new();
    let mut decisions = Vec::with_capacity(request.len());
    for candidate in request {
        let place = candidate.event_id.and_then(|id| state.place_of(&id, cold));
        let is_repeated = candidate.event_id.is_some_and(|id| without_number.contains(&id));
        let decision = match (place, &candidate.verdict) {
            // 10.1
            (Some(n), _) if n > before => Decision::Rejected(Rejection::DuplicateEventId),
            _ if is_repeated => Decision::Rejected(Rejection::DuplicateEventId),
            // 10.2
            (Some(n), _) => Decision::Duplicate(n),
            // 10.3 to 10.10
            (None, Err(rejection)) => Decision::Rejected(rejection.clone()),
            (None, Ok(passed)) => {
                let id = candidate.event_id.expect("a verified event has an id");
                number(state, id, passed, cold)
            }
        };
        if let (Some(id), Decision::Rejected(_) | Decision::Duplicate(_)) = (candidate.event_id, &decision) {
            without_number.insert(id);
        }
        decisions.push(decision);
    }
    decisions
}

/// Steps 10.11 and 10.12, and the number. The command is taken with the number, so an event that fails 10.12 holds
/// no reservation (11.3).
fn number(state: &mut Stream, id: EventId, passed: &Passed, cold: &ColdFacts) -> Decision {
    if passed.command_id.is_some_and(|command| state.command_is_used(&command, cold)) {
        return Decision::Rejected(Rejection::DuplicateCommandId);
    }
    if let Some(expected) = passed.base_version {
        let actual = state.version_of(&passed.entity, cold);
        if actual != expected {
            return Decision::Rejected(Rejection::VersionConflict { expected, actual });
        }
    }
    Decision::Accepted(state.give(id, passed.command_id, passed.entity))
}
