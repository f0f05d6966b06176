//! Where each stream stands by the headers that were anchored: what a reader of aggregated roots has to work out, since the
//! contract does not.
//!
//! Of two headers for the same numbers the one that stands earlier in the chain counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ves::Digest;
use ves::aggregate::BatchHeader;

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

/// What a header is to the history before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first of its stream.
    Begins,
    Continues,
    /// Its numbers are anchored already, by the same header or by another: the earlier one counts.
    Repeats,
    /// A gap, an overlap or another history: it does not count.
    Breaks,
}

/// By stream id (VES section 14.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamHeads(BTreeMap<Digest, StreamHead>);

impl StreamHeads {
    pub fn get(&self, stream_id: &Digest) -> Option<&StreamHead> {
        self.0.get(stream_id)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in the next header of the chain.
    pub fn apply(&mut self, header: &BatchHeader) -> Step {
        let (start, end) = (header.sequence_start.get(), header.sequence_end.get());
        let Some(next_sequence) = end.checked_add(1).filter(|next| *next > start) else {
            return Step::Breaks;
        };
        let Some(head) = self.0.get_mut(&header.stream_id) else {
            let from_checkpoint = start > 1 || header.prev_state_root != Digest::ZERO;
            let head = StreamHead {
                state_root: header.new_state_root,
                next_sequence,
                batch_count: 1,
                from_checkpoint,
            };
            self.0.insert(header.stream_id, head);
            return Step::Begins;
        };
        if end < head.next_sequence {
            return Step::Repeats;
        }
        if start != head.next_sequence || header.prev_state_root != head.state_root {
            return Step::Breaks;
        }
        head.state_root = header.new_state_root;
        head.next_sequence = next_sequence;
        head.batch_count = head.batch_count.saturating_add(1);
        Step::Continues
    }
}

#[cfg(test)]
mod tests {
    use ves::SequenceNumber;

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
        assert_eq!(heads.apply(&header(1, 3)), Step::Breaks, "a gap");
        let fork = BatchHeader { prev_state_root: Digest([9; 32]), ..header(1, 2) };
        assert_eq!(heads.apply(&fork), Step::Breaks, "another history");
        let overlap = BatchHeader { sequence_start: SequenceNumber(20), ..header(1, 2) };
        assert_eq!(heads.apply(&overlap), Step::Breaks);
        let head = *heads.get(&Digest([1; 32])).unwrap();
        assert_eq!((head.next_sequence, head.batch_count, head.from_checkpoint), (21, 2, false));
        assert!(heads.get(&Digest([2; 32])).unwrap().from_checkpoint);
        assert_eq!(heads.get(&Digest([3; 32])), None);
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
        let text = serde_json::to_string(&heads).unwrap();
        assert_eq!(serde_json::from_str::<StreamHeads>(&text).unwrap(), heads);
    }
}
