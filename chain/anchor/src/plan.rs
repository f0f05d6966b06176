//! Which batches go next: a pure rule over what waits and what the chain holds.

use std::collections::BTreeMap;

use set_registry::{BatchRecord, Head, Refusal, Seam};
use ves::{Digest, SequenceNumber, StreamKey};

use crate::flight::{BatchKey, PendingBatch, key_of};

/// Batches in one transaction to `SetRegistry`: about 8.5 million gas, half of what a transaction may take (EIP-7825).
pub const BATCHES_MAX: usize = 200;

/// The last number that a stream can have.
const SEQUENCE_MAX: u64 = i64::MAX as u64;

/// What the chain says of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamView {
    pub head: Head,
    /// Whether our account may write it.
    pub is_writer: bool,
    /// Below aggregated roots: where the history begins that is anchored, if what comes before may still be.
    pub begins: Option<Seam>,
    /// Below aggregated roots: headers that stand in the chain beyond a gap; where each goes on.
    pub early: BTreeMap<Seam, Seam>,
}

impl StreamView {
    /// Of a contract that keeps the order itself.
    pub fn in_order(head: Head, is_writer: bool) -> Self {
        Self { head, is_writer, begins: None, early: BTreeMap::new() }
    }

    /// Batches that end where the anchored history begins, one after the other: they were undone, and what continues them was
    /// not.
    fn before<'b>(&self, batches: &[&'b PendingBatch]) -> Vec<&'b PendingBatch> {
        let Some(mut begins) = self.begins else { return Vec::new() };
        let mut before = Vec::new();
        for batch in batches.iter().rev().filter(|batch| well_formed(&batch.record).is_ok()) {
            let (from, to) = seams(&batch.record);
            if to == begins {
                begins = from;
                before.push(*batch);
            }
        }
        before.reverse();
        before
    }

    /// The place after everything that stands in the chain beyond this one already.
    fn past_early(&self, mut at: Seam) -> Seam {
        while let Some(to) = self.early.get(&at).filter(|to| to.sequence > at.sequence) {
            at = *to;
        }
        at
    }
}

fn seams(record: &BatchRecord) -> (Seam, Seam) {
    let from = Seam { sequence: record.sequence_start.get(), state_root: record.prev_state_root };
    let sequence = record.sequence_end.get().saturating_add(1);
    (from, Seam { sequence, state_root: record.new_state_root })
}

/// When a batch is worth a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worth {
    /// Fewer events wait for more to come,
    pub events_min: u64,
    /// but not longer than this.
    pub age_ms_max: i64,
    /// At most [`BATCHES_MAX`], or [`set_registry::ROOT_BATCHES_MAX`] below one root.
    pub batches_max: usize,
}

/// Why nothing more of a stream is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    NotOpen(StreamKey),
    NotWriter(StreamKey),
    /// Chain and sequencer have different histories.
    Conflict(Box<BatchRecord>, Refusal),
    /// No chain takes it, for this reason.
    Malformed(Box<BatchRecord>, String),
}

/// What is to be done with what waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In one transaction, in this order; of each stream in its own.
    pub send: Vec<BatchRecord>,
    /// The chain is past them: they are there, or something else is.
    pub passed: Vec<BatchRecord>,
    pub hindrances: Vec<Hindrance>,
    /// Batches that wait for more events, or for the next transaction.
    pub waiting: usize,
}

/// Decides for batches that are not on their way. `pending` is in the order of the sequencer, of each stream in its own;
/// `views` has each of their streams as of the newest block; `held` are batches that a contract found malformed.
///
/// A batch goes only where it continues its stream's head, or a batch that goes before it in the same transaction.
pub fn plan(
    pending: &[PendingBatch],
    views: &BTreeMap<StreamKey, StreamView>,
    held: &BTreeMap<BatchKey, String>,
    worth: &Worth,
    now_ms: i64,
) -> Plan {
    let mut plan = Plan::default();
    let mut by_stream: BTreeMap<StreamKey, Vec<&PendingBatch>> = BTreeMap::new();
    for batch in pending {
        by_stream.entry(batch.record.stream).or_default().push(batch);
    }
    for (stream, mut batches) in by_stream {
        let Some(view) = views.get(&stream) else {
            plan.waiting += batches.len();
            continue;
        };
        batches.sort_by_key(|batch| batch.record.sequence_start);
        plan_stream(&stream, &batches, (view, held), worth, now_ms, &mut plan);
    }
    plan
}

fn plan_stream(
    stream: &StreamKey,
    batches: &[&PendingBatch],
    (view, held): (&StreamView, &BTreeMap<BatchKey, String>),
    worth: &Worth,
    now_ms: i64,
    plan: &mut Plan,
) {
    if !view.head.is_open {
        return plan.hindrances.push(Hindrance::NotOpen(*stream));
    }
    let mut at =
        view.past_early(Seam { sequence: view.head.next_sequence, state_root: view.head.state_root });
    let mut ready = view.before(batches);
    let before = ready.len();
    for batch in batches {
        let record = &batch.record;
        if ready[..before].iter().any(|ready| key_of(&ready.record) == key_of(record)) {
            continue;
        }
        let known = held.get(&key_of(record)).cloned();
        if let Some(why) = known.or_else(|| well_formed(record).err().map(|refusal| refusal.to_string())) {
            plan.hindrances.push(Hindrance::Malformed(Box::new(record.clone()), why));
            break;
        }
        let (from, to) = seams(record);
        if record.sequence_end < SequenceNumber(view.head.next_sequence) || view.early.get(&from) == Some(&to)
        {
            plan.passed.push(record.clone());
            continue;
        }
        if let Err(refusal) = continues(record, at.sequence, at.state_root) {
            plan.hindrances.push(Hindrance::Conflict(Box::new(record.clone()), refusal));
            break;
        }
        at = view.past_early(to);
        ready.push(*batch);
    }
    if ready.is_empty() {
        return;
    }
    if !view.is_writer {
        return plan.hindrances.push(Hindrance::NotWriter(*stream));
    }
    let room = worth.batches_max.saturating_sub(plan.send.len());
    let is_worth = is_worth(&ready, worth, now_ms);
    let taken = if is_worth { ready.len().min(room) } else { 0 };
    plan.send.extend(ready[..taken].iter().map(|batch| batch.record.clone()));
    plan.waiting += ready.len() - taken;
}

/// What `SetRegistry` asks of a batch whatever the stream, asked for aggregated roots too, whose contract can't look.
fn well_formed(batch: &BatchRecord) -> Result<(), Refusal> {
    let (start, end) = (batch.sequence_start.get(), batch.sequence_end.get());
    if start == 0 || end < start || end > SEQUENCE_MAX {
        return Err(Refusal::Malformed("its range of sequence numbers"));
    }
    let ids =
        [batch.batch_id.as_bytes(), batch.stream.tenant_id.as_bytes(), batch.stream.store_id.as_bytes()];
    if ids.contains(&&[0; 16]) {
        return Err(Refusal::Malformed("all of an id is zero"));
    }
    let expected = end - start + 1;
    if u64::from(batch.event_count) != expected {
        return Err(Refusal::EventCount { expected, provided: batch.event_count });
    }
    if batch.events_root == Digest::ZERO {
        return Err(Refusal::Malformed("its events root is zero"));
    }
    if batch.new_state_root == Digest::ZERO {
        return Err(Refusal::Malformed("its state root is zero"));
    }
    Ok(())
}

/// As `commitBatch` checks it, and in its order.
fn continues(batch: &BatchRecord, next: u64, root: ves::Digest) -> Result<(), Refusal> {
    if batch.prev_state_root != root {
        return Err(Refusal::StateRootMismatch { expected: root, provided: batch.prev_state_root });
    }
    if batch.sequence_start.get() != next {
        return Err(Refusal::SequenceGap { expected: next, provided: batch.sequence_start.get() });
    }
    Ok(())
}

fn is_worth(ready: &[&PendingBatch], worth: &Worth, now_ms: i64) -> bool {
    let events: u64 = ready.iter().map(|batch| u64::from(batch.record.event_count)).sum();
    let oldest = ready.iter().map(|batch| batch.closed_at_ms).min();
    events >= worth.events_min || oldest.is_some_and(|closed| now_ms - closed >= worth.age_ms_max)
}

#[cfg(test)]
mod tests {
    use ves::{BatchId, StoreId, TenantId};

    use super::*;

    fn stream(n: u8) -> StreamKey {
        StreamKey { tenant_id: TenantId::from_bytes([n; 16]), store_id: StoreId::from_bytes([9; 16]) }
    }

    /// Batch `n` of a stream, from 1: ten events each.
    fn batch(of: u8, n: u8) -> PendingBatch {
        let root = |n: u8| if n == 0 { Digest::ZERO } else { Digest([n; 32]) };
        let record = BatchRecord {
            batch_id: BatchId::from_bytes([n; 16]),
            stream: stream(of),
            events_root: Digest([0xee; 32]),
            prev_state_root: root(n - 1),
            new_state_root: root(n),
            sequence_start: SequenceNumber(u64::from(n - 1) * 10 + 1),
            sequence_end: SequenceNumber(u64::from(n) * 10),
            event_count: 10,
        };
        PendingBatch { record, closed_at_ms: 1_000 }
    }

    fn view(next: u64, root: Digest) -> StreamView {
        let head = Head {
            state_root: root,
            next_sequence: next,
            batch_count: 0,
            anchored_at: 0,
            is_open: true,
            from_checkpoint: false,
        };
        StreamView::in_order(head, true)
    }

    const NOW: Worth = Worth { events_min: 1, age_ms_max: 1_000_000, batches_max: 100 };

    fn ids(batches: &[BatchRecord]) -> Vec<(u8, u8)> {
        let first = |bytes: &[u8; 16]| bytes[0];
        batches.iter().map(|b| (first(b.stream.tenant_id.as_bytes()), first(b.batch_id.as_bytes()))).collect()
    }

    #[test]
    fn batches_go_in_the_order_of_their_stream() {
        let pending = [batch(2, 2), batch(1, 1), batch(2, 1), batch(1, 2)];
        let views = [(stream(1), view(1, Digest::ZERO)), (stream(2), view(1, Digest::ZERO))].into();
        let plan = plan(&pending, &views, &BTreeMap::new(), &NOW, 2_000);
        assert_eq!(ids(&plan.send), [(1, 1), (1, 2), (2, 1), (2, 2)]);
        assert_eq!(plan.hindrances, []);
    }

    #[test]
    fn what_the_chain_has_passed_is_not_sent() {
        let views = [(stream(1), view(11, Digest([1; 32])))].into();
        let plan = plan(&[batch(1, 1), batch(1, 2)], &views, &BTreeMap::new(), &NOW, 2_000);
        assert_eq!((ids(&plan.passed), ids(&plan.send)), (vec![(1, 1)], vec![(1, 2)]));
    }

    #[test]
    fn a_gap_or_another_history_stops_the_stream_and_no_other() {
        let views = [(stream(1), view(1, Digest::ZERO)), (stream(2), view(11, Digest([7; 32])))].into();
        let pending = [batch(1, 2), batch(1, 3), batch(2, 2)];
        let plan = plan(&pending, &views, &BTreeMap::new(), &NOW, 2_000);
        assert!(plan.send.is_empty());
        let why = plan.hindrances.iter().map(|hindrance| match hindrance {
            Hindrance::Conflict(_, refusal) => refusal.clone(),
            other => panic!("{other:?}"),
        });
        let mismatch = |expected, provided| Refusal::StateRootMismatch { expected, provided };
        assert_eq!(
            why.collect::<Vec<_>>(),
            [mismatch(Digest::ZERO, Digest([1; 32])), mismatch(Digest([7; 32]), Digest([1; 32])),]
        );
    }

    /// The reference left a small batch for ever, and with it the rest of its stream.
    #[test]
    fn a_small_batch_waits_for_more_but_not_for_ever() {
        let views = [(stream(1), view(1, Digest::ZERO))].into();
        let worth = Worth { events_min: 15, age_ms_max: 5_000, batches_max: 100 };
        let of = |pending: &[PendingBatch], now| {
            ids(&plan(pending, &views, &BTreeMap::new(), &worth, now).send).len()
        };
        assert_eq!(of(&[batch(1, 1)], 2_000), 0);
        assert_eq!(of(&[batch(1, 1), batch(1, 2)], 2_000), 2, "together they are enough");
        assert_eq!(of(&[batch(1, 1)], 6_000), 1, "old enough");
    }

    #[test]
    fn a_stream_that_nobody_opened_or_that_is_not_ours_hinders_only_itself() {
        let closed = StreamView::in_order(Head { is_open: false, ..view(0, Digest::ZERO).head }, false);
        let foreign = StreamView { is_writer: false, ..view(1, Digest::ZERO) };
        let views = [(stream(1), closed), (stream(2), foreign), (stream(3), view(1, Digest::ZERO))].into();
        let plan = plan(&[batch(1, 1), batch(2, 1), batch(3, 1)], &views, &BTreeMap::new(), &NOW, 2_000);
        assert_eq!(ids(&plan.send), [(3, 1)]);
        assert_eq!(plan.hindrances, [Hindrance::NotOpen(stream(1)), Hindrance::NotWriter(stream(2))]);
    }

    /// The contract of aggregated roots would take it, and that of single batches would refuse it for ever.
    #[test]
    fn what_no_registry_takes_is_named_and_stops_its_stream_only() {
        let bent: [fn(&mut BatchRecord); 7] = [
            |batch| batch.sequence_end = SequenceNumber(u64::MAX),
            |batch| batch.sequence_end = SequenceNumber(1 << 63),
            |batch| batch.sequence_start = SequenceNumber(0),
            |batch| batch.events_root = Digest::ZERO,
            |batch| batch.new_state_root = Digest::ZERO,
            |batch| batch.event_count = 1,
            |batch| batch.batch_id = BatchId::from_bytes([0; 16]),
        ];
        let views = [(stream(1), view(1, Digest::ZERO)), (stream(2), view(1, Digest::ZERO))].into();
        for bend in bent {
            let mut pending = [batch(1, 1), batch(1, 2), batch(2, 1)];
            bend(&mut pending[0].record);
            let plan = plan(&pending, &views, &BTreeMap::new(), &NOW, 2_000);
            assert_eq!(ids(&plan.send), [(2, 1)]);
            assert!(
                matches!(&plan.hindrances[..], [Hindrance::Malformed(..)]),
                "{:?} {:?}",
                pending[0].record,
                plan.hindrances
            );
        }
    }

    #[test]
    fn what_a_contract_found_malformed_is_not_sent_again() {
        let views = [(stream(1), view(1, Digest::ZERO)), (stream(2), view(1, Digest::ZERO))].into();
        let pending = [batch(1, 1), batch(1, 2), batch(2, 1)];
        let held = [(key_of(&pending[0].record), "its words".to_owned())].into();
        let plan = plan(&pending, &views, &held, &NOW, 2_000);
        assert_eq!(ids(&plan.send), [(2, 1)]);
        let malformed = Hindrance::Malformed(Box::new(pending[0].record.clone()), "its words".to_owned());
        assert_eq!(plan.hindrances, [malformed]);
    }

    /// A node put the later of two undone roots into a block before the earlier one.
    #[test]
    fn a_gap_before_what_is_anchored_is_filled_and_what_follows_goes_on() {
        let seam = |n: u8| seams(&batch(1, n).record);
        let gap = StreamView { early: [seam(2)].into(), ..view(1, Digest::ZERO) };
        let pending = [batch(1, 1), batch(1, 2), batch(1, 3)];
        let plan_of = |view| plan(&pending, &[(stream(1), view)].into(), &BTreeMap::new(), &NOW, 2_000);
        let planned = plan_of(gap);
        assert_eq!((ids(&planned.send), ids(&planned.passed)), (vec![(1, 1), (1, 3)], vec![(1, 2)]));
        // The same where the stream had nothing before them.
        let begun = StreamView { begins: Some(seam(3).0), ..view(31, Digest([3; 32])) };
        let planned = plan_of(begun);
        assert_eq!((ids(&planned.send), ids(&planned.passed)), (vec![(1, 1), (1, 2)], vec![(1, 3)]));
        assert_eq!(planned.hindrances, []);
    }

    #[test]
    fn a_transaction_takes_no_more_than_its_bound() {
        let views = [(stream(1), view(1, Digest::ZERO)), (stream(2), view(1, Digest::ZERO))].into();
        let worth = Worth { batches_max: 3, ..NOW };
        let pending = [batch(1, 1), batch(1, 2), batch(2, 1), batch(2, 2)];
        let plan = plan(&pending, &views, &BTreeMap::new(), &worth, 2_000);
        assert_eq!(ids(&plan.send), [(1, 1), (1, 2), (2, 1)]);
        assert_eq!(plan.waiting, 1);
    }
}
