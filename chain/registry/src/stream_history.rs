//! One stream below aggregated roots, walked from the first root to the newest: the continuity that the contract leaves to
//! readers.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use ves::Digest;
use ves::aggregate::BatchHeader;

use crate::heads::{Seam, Step, StreamHead, StreamHeads};
use crate::registry::{CommitPlace, LOG_BLOCKS};
use crate::roots::Roots;
use crate::rpc::RpcError;

/// Of what is wrong, this much is kept.
const WRONG_MAX: usize = 1_000;

/// What the chain says of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamHistory {
    /// `None` where nothing of the stream is anchored.
    pub head: Option<StreamHead>,
    /// Where the last batch that counts was anchored.
    pub last: Option<CommitPlace>,
    /// Headers that do not continue what stands, or say something else of numbers that are anchored: whoever anchored them has
    /// two histories, or left a gap. One that stands in the chain before what it continues is none of them.
    pub wrong: Vec<(BatchHeader, CommitPlace)>,
    /// Roots that were walked over, of all streams.
    pub roots: u64,
    /// Transactions whose roots publish no headers: what they hold nobody can see.
    pub unread: Vec<B256>,
}

/// One stream while it is walked.
#[derive(Default)]
struct Walk {
    history: StreamHistory,
    heads: StreamHeads,
    /// Those that count, by their first number.
    known: BTreeMap<u64, (BatchHeader, CommitPlace)>,
    /// Those that left a gap when they came.
    early: Vec<(BatchHeader, CommitPlace)>,
}

impl Walk {
    /// Takes in the next header of the stream.
    fn take(&mut self, header: &BatchHeader, place: CommitPlace) {
        let start = header.sequence_start.get();
        match self.heads.apply(header) {
            Step::Begins | Step::Continues | Step::Precedes => {
                self.known.insert(start, (*header, place));
            }
            Step::Early => self.early.push((*header, place)),
            // The same again says nothing new.
            Step::Repeats if self.is_known(header) => {}
            Step::Repeats | Step::Breaks => self.wrong(*header, place),
        }
    }

    fn is_known(&self, header: &BatchHeader) -> bool {
        self.known.get(&header.sequence_start.get()).is_some_and(|(known, _)| known == header)
            || self.early.iter().any(|(early, _)| early == header)
    }

    fn wrong(&mut self, header: BatchHeader, place: CommitPlace) {
        if self.history.wrong.len() < WRONG_MAX {
            self.history.wrong.push((header, place));
        }
    }

    fn finish(mut self, stream_id: &Digest) -> StreamHistory {
        let counted = self.counted(stream_id);
        for (header, place) in std::mem::take(&mut self.early) {
            if counted.get(&Seam::before(&header)).is_none_or(|(counted, _)| *counted != header) {
                self.wrong(header, place);
            }
        }
        self.history.head = self.heads.get(stream_id).copied();
        self.history.last = counted.last_key_value().map(|(_, (_, place))| *place);
        self.history
    }

    /// The history from its beginning, one header after the other.
    fn counted(&self, stream_id: &Digest) -> BTreeMap<Seam, (BatchHeader, CommitPlace)> {
        let mut found = BTreeMap::new();
        for (header, place) in self.known.values().chain(&self.early) {
            found.entry(Seam::before(header)).or_insert((*header, *place));
        }
        let (mut counted, mut at) = (BTreeMap::new(), self.heads.begins(stream_id));
        while let Some(seam) = at {
            let next = found.remove(&seam);
            at = next.map(|(header, _)| Seam::after(&header));
            counted.extend(next.map(|found| (seam, found)));
        }
        counted
    }
}

impl Roots {
    /// Walks over every root up to block `newest`, of one account where it is named, and follows one stream. Each root
    /// costs a question.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn stream_history(
        &self,
        stream_id: &Digest,
        anchorer: Option<Address>,
        newest: u64,
    ) -> Result<StreamHistory, RpcError> {
        let mut walk = Walk::default();
        let mut from = 0;
        while from <= newest {
            let to = from.saturating_add(LOG_BLOCKS - 1).min(newest);
            for log in self.logs(anchorer, from, to)? {
                walk.history.roots += 1;
                match self.published(&log)? {
                    Ok(published) => {
                        let of_stream =
                            published.headers().iter().filter(|header| header.stream_id == *stream_id);
                        of_stream.for_each(|header| walk.take(header, log.place));
                    }
                    Err(_) if walk.history.unread.len() < WRONG_MAX => {
                        walk.history.unread.push(log.place.transaction);
                    }
                    Err(_) => {}
                }
            }
            from = to + 1;
        }
        Ok(walk.finish(stream_id))
    }
}

#[cfg(test)]
mod tests {
    use ves::SequenceNumber;

    use super::*;

    fn header(n: u8) -> BatchHeader {
        BatchHeader {
            stream_id: Digest([1; 32]),
            events_root: Digest([7; 32]),
            prev_state_root: Digest([n; 32]),
            new_state_root: Digest([n + 1; 32]),
            sequence_start: SequenceNumber(u64::from(n) * 10 + 1),
            sequence_end: SequenceNumber(u64::from(n) * 10 + 10),
        }
    }

    fn walked(headers: &[BatchHeader]) -> StreamHistory {
        let place = |n| CommitPlace { transaction: B256::ZERO, block_number: n, block_hash: B256::ZERO };
        let mut walk = Walk::default();
        headers.iter().zip(0..).for_each(|(header, n)| walk.take(header, place(n)));
        walk.finish(&Digest([1; 32]))
    }

    fn wrong(history: &StreamHistory) -> Vec<(BatchHeader, u64)> {
        history.wrong.iter().map(|(header, place)| (*header, place.block_number)).collect()
    }

    #[test]
    fn a_second_history_is_wrong_and_a_repetition_is_not() {
        let other = BatchHeader { events_root: Digest([8; 32]), ..header(1) };
        let history = walked(&[header(0), header(1), header(0), other, header(2), header(4)]);
        assert_eq!(wrong(&history), [(other, 3), (header(4), 5)]);
        assert_eq!(history.last.map(|place| place.block_number), Some(4));
        assert_eq!(history.head.unwrap().next_sequence, 31);
    }

    /// After a reorganisation the later of two roots came to stand first.
    #[test]
    fn a_header_that_stands_before_what_it_continues_is_not_wrong() {
        let fork = BatchHeader { events_root: Digest([8; 32]), ..header(2) };
        let history = walked(&[header(0), header(2), fork, header(2), header(1)]);
        assert_eq!(wrong(&history), [(fork, 2)], "of two for the same place the earlier counts");
        assert_eq!(history.last.map(|place| place.block_number), Some(1), "that of the last batch");
        assert_eq!(history.head.unwrap().next_sequence, 31);
    }
}
