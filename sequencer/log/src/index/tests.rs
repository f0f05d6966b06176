use std::collections::BTreeMap;

use proptest::prelude::*;

use super::filter::Filter;
use super::*;
use crate::error::LogErrorKind;
use crate::event_log::EventLog;
use crate::memory::{MemoryDisk, MemoryLog};
use crate::testing::{part, stream};

fn open(disk: &MemoryDisk) -> (MemoryLog, IdIndex) {
    let log = MemoryLog::open(Box::new(disk.clone())).expect("open");
    let index = IdIndex::open(log.reader()).expect("index");
    (log, index)
}

/// A log with events in streams 1 and 2, so that they have numbers.
fn two_streams() -> (MemoryDisk, MemoryLog, IdIndex) {
    let disk = MemoryDisk::default();
    let (mut log, index) = open(&disk);
    log.append(&[part(1, 1, 1), part(2, 1, 1)]).expect("append");
    (disk, log, index)
}

fn id(n: u64) -> [u8; 16] {
    // Spread, as random ids are.
    let n = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    n.to_be_bytes()
}

fn finish(builder: &mut RunBuilder, log: &mut dyn EventLog) {
    while builder.step(log).expect("step") == RunStep::More {}
}

fn flush(index: &IdIndex, log: &mut dyn EventLog, entries: &[IndexEntry], through: u64) {
    let covered = [(stream(1), SequenceNumber(through)), (stream(2), SequenceNumber(through))];
    finish(&mut index.plan_flush(entries, &covered).expect("plan").expect("no other flush"), log);
}

#[derive(Debug, Clone)]
enum Act {
    Flush(Vec<(bool, u8, u16)>),
    Merge,
    /// A flush or merge that is never finished, then a new start.
    Crash {
        steps: usize,
        is_merge: bool,
    },
    Reopen,
}

fn any_act() -> impl Strategy<Value = Act> {
    let entries = proptest::collection::vec((any::<bool>(), 0..3u8, 0..400u16), 0..120);
    prop_oneof![
        6 => entries.prop_map(Act::Flush),
        3 => Just(Act::Merge),
        1 => (0..3usize, any::<bool>()).prop_map(|(steps, is_merge)| Act::Crash { steps, is_merge }),
        1 => Just(Act::Reopen),
    ]
}

fn entry(first: bool, kind: u8, n: u16, value: u64) -> IndexEntry {
    let kind = [IndexKind::Event, IndexKind::Command, IndexKind::Entity][usize::from(kind)];
    let value = if kind == IndexKind::Entity { 1 } else { value };
    IndexEntry { key: IndexKey { stream: stream(if first { 1 } else { 2 }), kind, id: id(n.into()) }, value }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The index answers as a map would, whatever is flushed, merged, broken off and opened again.
    #[test]
    fn an_index_equals_a_map(acts in proptest::collection::vec(any_act(), 1..40)) {
        let (disk, mut log, mut index) = two_streams();
        let mut model: BTreeMap<IndexKey, u64> = BTreeMap::new();
        let mut through = 0;
        for act in acts {
            match act {
                Act::Flush(keys) => {
                    through += 1;
                    // An id is given to one event only; an entity has many.
                    let is_new = |e: &IndexEntry| e.key.kind == IndexKind::Entity || !model.contains_key(&e.key);
                    let entries = keys.iter().map(|(s, kind, n)| entry(*s, *kind, *n, through));
                    let entries: Vec<_> = entries.filter(is_new).collect();
                    flush(&index, &mut log, &entries, through);
                    for IndexEntry { key, value } in entries {
                        let join = |known: &mut u64| if key.kind == IndexKind::Entity { *known += value };
                        model.entry(key).and_modify(join).or_insert(value);
                    }
                }
                Act::Merge => {
                    while let Some(mut builder) = index.plan_merge() {
                        finish(&mut builder, &mut log);
                    }
                }
                Act::Crash { steps, is_merge } => {
                    let lost = [entry(true, 0, 9999, 1)];
                    let planned = if is_merge {
                        index.plan_merge()
                    } else {
                        index.plan_flush(&lost, &[(stream(1), SequenceNumber(through + 1))]).expect("plan")
                    };
                    if let Some(mut builder) = planned {
                        for _ in 0..steps.min(1) {
                            builder.step(&mut log).expect("step");
                        }
                    }
                    (log, index) = open(&disk);
                }
                Act::Reopen => (log, index) = open(&disk),
            }
            prop_assert_eq!(index.covered(&stream(1)).0, through);
        }
        for first in [true, false] {
            for kind in 0..3 {
                for n in (0..400).chain([9999]) {
                    let key = entry(first, kind, n, 0).key;
                    prop_assert_eq!(index.lookup(&key).expect("lookup"), model.get(&key).copied());
                }
            }
        }
    }
}

#[test]
fn runs_stay_few_and_small_steps_merge_them() {
    let (_disk, mut log, index) = two_streams();
    let mut n = 0;
    for round in 1..=100 {
        let entries: Vec<_> = (0..700).map(|i| entry(true, 0, 0, n + i)).collect();
        let entries: Vec<_> = entries
            .into_iter()
            .map(|e| IndexEntry { key: IndexKey { id: id(e.value), ..e.key }, ..e })
            .collect();
        n += 700;
        flush(&index, &mut log, &entries, round);
        while let Some(mut builder) = index.plan_merge() {
            finish(&mut builder, &mut log);
        }
    }
    assert_eq!(index.runs(), 1 + 4 + 4, "100 is 144 to the base of eight");
    for i in 0..n {
        assert_eq!(
            index.lookup(&IndexKey { stream: stream(1), kind: IndexKind::Event, id: id(i) }).expect("lookup"),
            Some(i)
        );
    }
    let generation = index.generation();
    assert_eq!(generation, 100, "merges are no new generation");
}

#[test]
fn one_flush_and_one_merge_at_a_time() {
    let (_disk, mut log, index) = two_streams();
    for round in 1..=8 {
        flush(&index, &mut log, &[entry(true, 0, round, u64::from(round))], round.into());
    }
    let covered = [(stream(1), SequenceNumber(9))];
    let mut first = index.plan_flush(&[entry(true, 0, 9, 9)], &covered).expect("plan").expect("free");
    assert!(index.plan_flush(&[], &covered).expect("plan").is_none());
    let mut merge = index.plan_merge().expect("eight runs");
    assert!(index.plan_merge().is_none());
    // Both go on side by side.
    while merge.step(&mut log).expect("step") == RunStep::More {
        first.step(&mut log).expect("step");
    }
    finish(&mut first, &mut log);
    assert_eq!(index.runs(), 2);
    drop((first, merge));
    assert!(index.plan_flush(&[], &covered).expect("plan").is_some());
    for n in 1..=9 {
        assert_eq!(index.lookup(&entry(true, 0, n, 0).key).expect("lookup"), Some(n.into()));
    }
}

#[test]
fn a_snapshot_keeps_its_answers_while_runs_are_merged() {
    let (_disk, mut log, index) = two_streams();
    for round in 1..=8 {
        flush(
            &index,
            &mut log,
            &[entry(true, 2, 1, 1), entry(true, 0, round, u64::from(round))],
            round.into(),
        );
    }
    let snapshot = index.snapshot();
    finish(&mut index.plan_merge().expect("eight runs"), &mut log);
    assert_eq!(index.runs(), 1);
    assert_eq!(
        snapshot.lookup(&entry(true, 2, 1, 0).key).expect("lookup"),
        Some(8),
        "the old pages are gone"
    );
    assert_eq!(snapshot.lookup(&entry(true, 0, 3, 0).key).expect("lookup"), Some(3));
    assert_eq!(snapshot.generation(), index.generation());
}

#[test]
fn an_abandoned_run_leaves_nothing() {
    let (_disk, mut log, index) = two_streams();
    let mut builder = index
        .plan_flush(&[entry(true, 0, 1, 1)], &[(stream(1), SequenceNumber(1))])
        .expect("plan")
        .expect("free");
    let run = builder.run();
    builder.step(&mut log).expect("step");
    builder.abandon(&mut log).expect("abandon");
    assert_eq!(log.reader().run_page(run, 0).expect("page"), None);
    assert_eq!(index.covered(&stream(1)), SequenceNumber::ZERO);
    assert_eq!(index.lookup(&entry(true, 0, 1, 0).key).expect("lookup"), None);
}

#[test]
fn damaged_pages_are_found() {
    let (_disk, mut log, index) = two_streams();
    flush(&index, &mut log, &[entry(true, 0, 1, 1)], 1);
    let reader = log.reader();
    for page in 0..3 {
        let mut bytes = reader.run_page(1, page).expect("page").expect("a data, a fence and a filter page");
        bytes[3] ^= 1;
        log.put_run_pages(1, page, &[bytes.clone()]).expect("pages");
        let error = match page {
            0 => index.lookup(&entry(true, 0, 1, 0).key).expect_err("damage"),
            _ => IdIndex::open(log.reader()).err().expect("damage"),
        };
        assert_eq!(error.kind(), LogErrorKind::Corrupt);
        bytes[3] ^= 1;
        log.put_run_pages(1, page, &[bytes]).expect("pages");
    }
    assert_eq!(index.lookup(&entry(true, 0, 1, 0).key).expect("lookup"), Some(1));
}

#[test]
fn a_filter_holds_all_its_keys_and_few_others() {
    const KEYS: u64 = 100_000;
    let key = |n| SearchKey::new(1, IndexKind::Event, id(n));
    let mut filter = Filter::for_keys(KEYS);
    (0..KEYS).for_each(|n| filter.insert(&key(n)));
    assert!((0..KEYS).all(|n| filter.may_hold(&key(n))));
    let false_positives = (KEYS..3 * KEYS).filter(|n| filter.may_hold(&key(*n))).count();
    assert!(false_positives < 2000, "{false_positives} of 200 000 never-seen keys pass");
    let mut stored = Filter::without_blocks();
    stored.extend(&filter.bytes(0, 7)).expect("blocks");
    stored.extend(&filter.bytes(7, usize::MAX / 2)).expect("blocks");
    assert_eq!(stored, filter);
}
