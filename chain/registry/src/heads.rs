//! Where each stream stands by the headers that were anchored: what a reader of aggregated roots has to work out, since the
//! contract does not.
//!
//! Of two headers for the same numbers the one that stands earlier in the chain counts. A header counts once all between it and
//! the others does, in whichever order they came to stand in the chain: after a reorganisation a node may put a later root into
//! a block before the earlier one, and what is chained by state roots is the same history all the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ves::aggregate::BatchHeader;
use ves::{Digest, SequenceNumber};

/// Headers of one stream that are kept while what is between is missing. Who may anchor can publish any numbers.
const EARLY_MAX: usize = 1_024;

/// The end of a stream's anchored history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHead {
    pub state_root: Digest,
    /// Number that the next batch has to start with.
    pub next_sequence: u64,
    pub batch_count: u32,
    /// Whether the first header that is anchored has a history before it, which is anchored elsewhere or nowhere.
    pub from_checkpoint: bool,
}

/// A place between two batches: where the one before ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seam {
    /// Number that the next batch starts with.
    pub sequence: u64,
    /// Before it.
    pub state_root: Digest,
}

impl Seam {
    /// Where the batch begins.
    pub fn before(header: &BatchHeader) -> Self {
        Self { sequence: header.sequence_start.get(), state_root: header.prev_state_root }
    }

    /// Where the next one does.
    pub fn after(header: &BatchHeader) -> Self {
        Self { sequence: header.sequence_end.get().saturating_add(1), state_root: header.new_state_root }
    }
}

/// What a header is to the history before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first of its stream.
    Begins,
    Continues,
    /// It ends where the first one began, from a checkpoint: the history begins with it now.
    Precedes,
    /// It leaves a gap. It counts once that is filled.
    Early,
    /// Its numbers are anchored already, by the same header or by another: the earlier one counts.
    Repeats,
    /// An overlap or another history: it does not count.
    Breaks,
}

/// A header that waits for what is between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Early {
    from: Seam,
    to: Seam,
    events_root: Digest,
}

impl Early {
    fn of(header: &BatchHeader) -> Self {
        Self { from: Seam::before(header), to: Seam::after(header), events_root: header.events_root }
    }

    fn header(&self, stream_id: &Digest) -> BatchHeader {
        BatchHeader {
            stream_id: *stream_id,
            events_root: self.events_root,
            prev_state_root: self.from.state_root,
            new_state_root: self.to.state_root,
            sequence_start: SequenceNumber(self.from.sequence),
            sequence_end: SequenceNumber(self.to.sequence - 1),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stream {
    #[serde(flatten)]
    head: StreamHead,
    /// Where the first header that counts begins; `None` where that was written down by an older program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begins: Option<Seam>,
    /// In the order of the chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    early: Vec<Early>,
}

/// By stream id (VES section 14.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamHeads(BTreeMap<Digest, Stream>);

impl StreamHeads {
    pub fn get(&self, stream_id: &Digest) -> Option<&StreamHead> {
        self.0.get(stream_id).map(|stream| &stream.head)
    }

    /// Where the first header of the stream that counts begins.
    pub fn begins(&self, stream_id: &Digest) -> Option<Seam> {
        self.0.get(stream_id)?.begins
    }

    /// Headers of the stream that leave a gap, in the order of the chain.
    pub fn early(&self, stream_id: &Digest) -> impl Iterator<Item = BatchHeader> {
        let stream_id = *stream_id;
        let early = self.0.get(&stream_id).map_or(&[][..], |stream| &stream.early);
        early.iter().map(move |early| early.header(&stream_id))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in the next header of the chain, and those before it that wait for it.
    pub fn apply(&mut self, header: &BatchHeader) -> Step {
        let (start, end) = (header.sequence_start.get(), header.sequence_end.get());
        if end < start || end == u64::MAX {
            return Step::Breaks;
        }
        let new = Early::of(header);
        match self.0.get_mut(&header.stream_id) {
            Some(stream) => stream.apply(new),
            None => {
                self.0.insert(header.stream_id, Stream::begin(new));
                Step::Begins
            }
        }
    }
}

impl Stream {
    fn begin(first: Early) -> Self {
        let head = StreamHead {
            state_root: first.to.state_root,
            next_sequence: first.to.sequence,
            batch_count: 1,
            from_checkpoint: is_checkpoint(&first.from),
        };
        Self { head, begins: Some(first.from), early: Vec::new() }
    }

    fn apply(&mut self, new: Early) -> Step {
        let step = self.join(&new);
        match step {
            Step::Early if self.early.contains(&new) => return Step::Repeats,
            Step::Early if self.early.len() >= EARLY_MAX => return Step::Breaks,
            Step::Early => self.early.push(new),
            Step::Continues | Step::Precedes => self.join_those_that_waited(),
            Step::Begins | Step::Repeats | Step::Breaks => {}
        }
        step
    }

    /// Puts a header to one end of the history, where it fits there.
    fn join(&mut self, new: &Early) -> Step {
        let end = Seam { sequence: self.head.next_sequence, state_root: self.head.state_root };
        let is_before = self.begins.is_some_and(|begins| new.to.sequence <= begins.sequence);
        if new.from == end {
            (self.head.next_sequence, self.head.state_root) = (new.to.sequence, new.to.state_root);
        } else if self.head.from_checkpoint && self.begins == Some(new.to) {
            self.begins = Some(new.from);
            self.head.from_checkpoint = is_checkpoint(&new.from);
        } else if new.from.sequence > end.sequence || is_before && self.head.from_checkpoint {
            return Step::Early;
        } else if new.to.sequence <= end.sequence {
            return Step::Repeats;
        } else {
            return Step::Breaks;
        }
        self.head.batch_count = self.head.batch_count.saturating_add(1);
        if new.from == end { Step::Continues } else { Step::Precedes }
    }

    fn join_those_that_waited(&mut self) {
        let mut waited = std::mem::take(&mut self.early);
        loop {
            let before = waited.len();
            // In the order of the chain: of two for the same place the earlier counts.
            waited.retain(|early| self.join(early) == Step::Early);
            if waited.is_empty() || waited.len() == before {
                break;
            }
        }
        self.early = waited;
    }
}

fn is_checkpoint(begins: &Seam) -> bool {
    begins.sequence > 1 || begins.state_root != Digest::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(of: u8, n: u8) -> BatchHeader {
        BatchHeader {
            stream_id: Digest([of; 32]),
            events_root: Digest([7; 32]),
            prev_state_root: Digest([n; 32]),
            new_state_root: Digest([n + 1; 32]),
            sequence_start: SequenceNumber(u64::from(n) * 10 + 1),
            sequence_end: SequenceNumber(u64::from(n) * 10 + 10),
        }
    }

    #[test]
    fn a_history_grows_only_by_what_continues_it() {
        let mut heads = StreamHeads::default();
        assert_eq!(heads.apply(&header(1, 0)), Step::Begins);
        assert_eq!(heads.apply(&header(2, 5)), Step::Begins, "another stream begins at a checkpoint");
        assert_eq!(heads.apply(&header(1, 1)), Step::Continues);
        assert_eq!(heads.apply(&header(1, 0)), Step::Repeats);
        assert_eq!(heads.apply(&header(1, 3)), Step::Early, "a gap");
        let fork = BatchHeader { prev_state_root: Digest([9; 32]), ..header(1, 2) };
        assert_eq!(heads.apply(&fork), Step::Breaks, "another history");
        let overlap = BatchHeader { sequence_start: SequenceNumber(20), ..header(1, 2) };
        assert_eq!(heads.apply(&overlap), Step::Breaks);
        let head = *heads.get(&Digest([1; 32])).unwrap();
        assert_eq!((head.next_sequence, head.batch_count, head.from_checkpoint), (21, 2, false));
        assert!(heads.get(&Digest([2; 32])).unwrap().from_checkpoint);
        assert_eq!(heads.get(&Digest([3; 32])), None);
    }

    /// A node put the later of two roots into a block first, after both were undone.
    #[test]
    fn what_came_too_early_counts_once_the_gap_is_filled() {
        let mut heads = StreamHeads::default();
        let steps = [0, 2, 3, 2, 1].map(|n| heads.apply(&header(1, n)));
        assert_eq!(steps, [Step::Begins, Step::Early, Step::Early, Step::Repeats, Step::Continues]);
        let head = *heads.get(&Digest([1; 32])).unwrap();
        assert_eq!((head.next_sequence, head.batch_count), (41, 4));
        assert_eq!((heads.early(&Digest([1; 32])).count(), heads.apply(&header(1, 3))), (0, Step::Repeats));
    }

    /// The same with the first root of a stream.
    #[test]
    fn a_history_that_began_too_late_grows_backwards() {
        let first = BatchHeader { prev_state_root: Digest::ZERO, ..header(1, 0) };
        let mut heads = StreamHeads::default();
        let steps = [header(1, 2), first, header(1, 3), header(1, 1)].map(|header| heads.apply(&header));
        assert_eq!(steps, [Step::Begins, Step::Early, Step::Continues, Step::Precedes]);
        let head = *heads.get(&Digest([1; 32])).unwrap();
        assert_eq!((head.next_sequence, head.batch_count, head.from_checkpoint), (41, 4, false));
        let other = BatchHeader { new_state_root: Digest([9; 32]), ..first };
        assert_eq!(heads.apply(&other), Step::Repeats, "before the first number there is nothing");
        assert_eq!(heads.begins(&Digest([1; 32])).unwrap().sequence, 1);
    }

    #[test]
    fn an_early_header_of_another_history_never_counts() {
        let mut heads = StreamHeads::default();
        let fork = BatchHeader { prev_state_root: Digest([9; 32]), ..header(1, 2) };
        let steps = [header(1, 0), fork, header(1, 1), header(1, 2)].map(|header| heads.apply(&header));
        assert_eq!(steps, [Step::Begins, Step::Early, Step::Continues, Step::Continues]);
        let head = *heads.get(&Digest([1; 32])).unwrap();
        assert_eq!((head.next_sequence, head.state_root), (31, Digest([3; 32])));
        assert_eq!(heads.early(&Digest([1; 32])).count(), 0);
    }

    /// Whoever may anchor may publish any numbers.
    #[test]
    fn numbers_without_a_successor_do_not_count() {
        let mut heads = StreamHeads::default();
        let last = BatchHeader { sequence_end: SequenceNumber(u64::MAX), ..header(1, 0) };
        let backwards = BatchHeader { sequence_end: SequenceNumber(0), ..header(1, 0) };
        assert_eq!([heads.apply(&last), heads.apply(&backwards)], [Step::Breaks; 2]);
        assert!(heads.is_empty());
    }

    #[test]
    fn heads_come_back_from_their_text() {
        let mut heads = StreamHeads::default();
        heads.apply(&header(1, 0));
        heads.apply(&header(1, 4));
        let text = serde_json::to_string(&heads).unwrap();
        assert_eq!(serde_json::from_str::<StreamHeads>(&text).unwrap(), heads);
        // As it was written before headers could come early.
        let (id, root) = (Digest([1; 32]), Digest([2; 32]));
        let older = serde_json::json!({id.to_string(): {
            "state_root": root, "next_sequence": 11, "batch_count": 1, "from_checkpoint": false,
        }});
        let older: StreamHeads = serde_json::from_value(older).unwrap();
        assert_eq!((older.get(&id).unwrap().next_sequence, older.begins(&id)), (11, None));
    }
}
