//! One stream below aggregated roots, walked from the first root to the newest: the continuity that the contract leaves to
//! readers.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use ves::Digest;
use ves::aggregate::BatchHeader;

use crate::heads::{Step, StreamHead, StreamHeads};
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
    /// Headers that do not continue what stands before them, or say something else of numbers that are anchored: whoever
    /// anchored them has two histories, or left a gap.
    pub wrong: Vec<(BatchHeader, CommitPlace)>,
    /// Roots that were walked over, of all streams.
    pub roots: u64,
    /// Transactions whose roots publish no headers: what they hold nobody can see.
    pub unread: Vec<B256>,
}

impl StreamHistory {
    /// Takes in the next header of the stream.
    fn take(
        &mut self,
        heads: &mut StreamHeads,
        known: &mut BTreeMap<u64, BatchHeader>,
        header: &BatchHeader,
        place: CommitPlace,
    ) {
        let start = header.sequence_start.get();
        match heads.apply(header) {
            Step::Begins | Step::Continues => {
                known.insert(start, *header);
                self.last = Some(place);
            }
            // The same again says nothing new.
            Step::Repeats if known.get(&start) == Some(header) => {}
            Step::Repeats | Step::Breaks if self.wrong.len() < WRONG_MAX => self.wrong.push((*header, place)),
            Step::Repeats | Step::Breaks => {}
        }
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
        let (mut history, mut heads, mut known) =
            (StreamHistory::default(), StreamHeads::default(), BTreeMap::new());
        let mut from = 0;
        while from <= newest {
            let to = from.saturating_add(LOG_BLOCKS - 1).min(newest);
            for log in self.logs(anchorer, from, to)? {
                history.roots += 1;
                match self.published(&log)? {
                    Ok(published) => {
                        let of_stream =
                            published.headers().iter().filter(|header| header.stream_id == *stream_id);
                        of_stream.for_each(|header| {
                            history.take(&mut heads, &mut known, header, log.place);
                        });
                    }
                    Err(_) if history.unread.len() < WRONG_MAX => history.unread.push(log.place.transaction),
                    Err(_) => {}
                }
            }
            from = to + 1;
        }
        history.head = heads.get(stream_id).copied();
        Ok(history)
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

    #[test]
    fn a_second_history_is_wrong_and_a_repetition_is_not() {
        let place = |n| CommitPlace { transaction: B256::ZERO, block_number: n, block_hash: B256::ZERO };
        let (mut history, mut heads, mut known) =
            (StreamHistory::default(), StreamHeads::default(), BTreeMap::new());
        let other = BatchHeader { events_root: Digest([8; 32]), ..header(1) };
        let walked = [header(0), header(1), header(0), other, header(2), header(4)];
        for (n, header) in walked.iter().enumerate() {
            history.take(&mut heads, &mut known, header, place(n as u64));
        }
        assert_eq!(history.wrong, [(other, place(3)), (header(4), place(5))]);
        assert_eq!(history.last, Some(place(4)));
        assert_eq!(heads.get(&Digest([1; 32])).unwrap().next_sequence, 31);
    }
}
