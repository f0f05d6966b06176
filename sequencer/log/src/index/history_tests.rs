use std::collections::BTreeMap;

use proptest::prelude::*;
use ves::{SequenceNumber, StreamKey};

use super::page::ENTRIES_PER_PAGE;
use super::{EntityEvents, IdIndex, IndexEntry, IndexKey, RunBuilder, RunStep};
use crate::error::LogErrorKind;
use crate::event_log::EventLog;
use crate::memory::{MemoryDisk, MemoryLog};
use crate::testing::{part, stream};

/// A log in which streams 1 and 2 have numbers.
fn opened() -> (MemoryDisk, MemoryLog, IdIndex) {
    let disk = MemoryDisk::default();
    let mut log = MemoryLog::open(Box::new(disk.clone())).expect("open");
    log.append(&[part(1, 1, 1), part(2, 1, 1)]).expect("append");
    let index = IdIndex::open(log.reader()).expect("index");
    (disk, log, index)
}

fn finish(builder: &mut RunBuilder, log: &mut dyn EventLog) {
    while builder.step(log).expect("step") == RunStep::More {}
}

/// Entities 0, 1 and 2 share the first half of their keys; 3 is alone, at the end of the order.
fn entity(n: u8) -> [u8; 16] {
    let mut id = [if n == 3 { 0xff } else { 7 }; 16];
    id[15] = n;
    id
}

/// What the service flushes for these events, without their ids.
fn entries(stream: StreamKey, from: u64, entities: &[u8]) -> Vec<IndexEntry> {
    let mut entries = Vec::new();
    for (sequence, n) in (from..).zip(entities) {
        entries.push(IndexEntry { key: IndexKey::entity(stream, entity(*n)), value: 1 });
        entries.push(IndexEntry::entity_event(stream, entity(*n), SequenceNumber(sequence)));
    }
    entries
}

/// All events, and how many of them are in runs.
#[derive(Default)]
struct Model {
    events: BTreeMap<StreamKey, Vec<u8>>,
    covered: BTreeMap<StreamKey, usize>,
}

impl Model {
    fn plan(&self, index: &IdIndex) -> Option<(RunBuilder, BTreeMap<StreamKey, usize>)> {
        let mut found = Vec::new();
        let mut covered = BTreeMap::new();
        for (stream, events) in &self.events {
            let from = self.covered.get(stream).copied().unwrap_or(0);
            found.extend(entries(*stream, from as u64 + 1, &events[from..]));
            covered.insert(*stream, events.len());
        }
        let through: Vec<_> =
            covered.iter().map(|(stream, n)| (*stream, SequenceNumber(*n as u64))).collect();
        Some((index.plan_flush(&found, &through).expect("plan")?, covered))
    }

    fn scan(&self, stream: &StreamKey, n: u8, from_version: u64, limit: usize) -> EntityEvents {
        let covered = self.covered.get(stream).copied().unwrap_or(0);
        let events = self.events.get(stream).map_or(&[][..], |events| &events[..covered]);
        let all: Vec<_> =
            (1..).zip(events).filter(|(_, of)| **of == n).map(|(at, _)| SequenceNumber(at)).collect();
        let skip = from_version.max(1) as usize - 1;
        EntityEvents {
            covered: SequenceNumber(covered as u64),
            version: all.len() as u64,
            events: all.into_iter().skip(skip).take(limit).collect(),
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Events(bool, Vec<u8>),
    Flush,
    /// A merge; with `across`, a flush is planned before it and published after it.
    Merge {
        across: bool,
    },
    Reopen,
}

fn any_act() -> impl Strategy<Value = Act> {
    let events = proptest::collection::vec(0..4u8, 1..60);
    prop_oneof![
        4 => (any::<bool>(), events).prop_map(|(first, events)| Act::Events(first, events)),
        8 => Just(Act::Flush),
        3 => any::<bool>().prop_map(|across| Act::Merge { across }),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any page of any history is what a scan of all events finds, however the runs came about.
    #[test]
    fn a_history_equals_a_scan(
        acts in proptest::collection::vec(any_act(), 1..120),
        pages in proptest::collection::vec((any::<bool>(), 0..5u8, 0..200u64, 0..80usize), 24),
    ) {
        let (disk, mut log, mut index) = opened();
        let mut model = Model::default();
        for act in acts {
            match act {
                Act::Events(first, events) => {
                    model.events.entry(stream(if first { 1 } else { 2 })).or_default().extend(events);
                }
                Act::Flush => {
                    if let Some((mut builder, covered)) = model.plan(&index) {
                        finish(&mut builder, &mut log);
                        model.covered = covered;
                    }
                }
                Act::Merge { across } => {
                    let flush = if across { model.plan(&index) } else { None };
                    while let Some(mut builder) = index.plan_merge() {
                        finish(&mut builder, &mut log);
                    }
                    if let Some((mut builder, covered)) = flush {
                        finish(&mut builder, &mut log);
                        model.covered = covered;
                    }
                }
                Act::Reopen => {
                    drop(log);
                    log = MemoryLog::open(Box::new(disk.clone())).expect("open");
                    index = IdIndex::open(log.reader()).expect("index");
                }
            }
        }
        for (first, n, from, limit) in pages {
            let stream = stream(if first { 1 } else { 2 });
            let found = index.entity_events(&stream, entity(n), from, limit).expect("history");
            prop_assert_eq!(found, model.scan(&stream, n, from, limit));
        }
    }
}

#[test]
fn a_late_version_is_found_without_reading_the_history_before_it() {
    const EVENTS: u64 = 20_000;
    let (_disk, mut log, index) = opened();
    let found = entries(stream(1), 1, &vec![3; EVENTS as usize]);
    let covered = [(stream(1), SequenceNumber(EVENTS))];
    finish(&mut index.plan_flush(&found, &covered).expect("plan").expect("free"), &mut log);
    // One entry with the count comes first, so version v is entry v.
    let asked = 15_000u64;
    let page = (asked / ENTRIES_PER_PAGE as u64) as u32;
    let pages = (EVENTS + 1).div_ceil(ENTRIES_PER_PAGE as u64) as u32;
    for other in (0..pages).filter(|other| ![0, page, pages - 1].contains(other)) {
        log.put_run_pages(1, other, &[vec![0; 8]]).expect("pages");
    }
    let answer = index.entity_events(&stream(1), entity(3), asked, 5).expect("only sound pages are read");
    assert_eq!(answer.version, EVENTS);
    assert_eq!(answer.events, (asked..asked + 5).map(SequenceNumber).collect::<Vec<_>>());
    let past = index.entity_events(&stream(1), entity(3), EVENTS + 1, 5).expect("only the count is read");
    assert_eq!(past.events, []);
    let damaged = index.entity_events(&stream(1), entity(3), 5_000, 5).expect_err("a damaged page");
    assert_eq!(damaged.kind(), LogErrorKind::Corrupt);
}

#[test]
fn a_snapshot_gives_the_whole_history_while_its_runs_are_merged_away() {
    let (_disk, mut log, index) = opened();
    let mut model = Model::default();
    let mut snapshot = None;
    for round in 0..8 {
        model.events.entry(stream(1)).or_default().extend([0, 1, 3, 3]);
        let (mut builder, covered) = model.plan(&index).expect("free");
        finish(&mut builder, &mut log);
        model.covered = covered;
        if round == 7 {
            snapshot = Some(index.snapshot());
        }
    }
    finish(&mut index.plan_merge().expect("eight runs"), &mut log);
    let answer = snapshot.expect("taken").entity_events(&stream(1), entity(3), 1, 100).expect("history");
    assert_eq!(answer, model.scan(&stream(1), 3, 1, 100));
    assert_eq!(answer.version, 16);
}

#[test]
fn entries_without_their_count_are_damage() {
    let (_disk, mut log, index) = opened();
    let mut found = entries(stream(1), 1, &[3, 3, 3]);
    found.retain(|entry| entry.key != IndexEntry::entity_event(stream(1), entity(3), SequenceNumber(2)).key);
    let covered = [(stream(1), SequenceNumber(3))];
    finish(&mut index.plan_flush(&found, &covered).expect("plan").expect("free"), &mut log);
    let error = index.entity_events(&stream(1), entity(3), 1, 10).expect_err("two entries, three events");
    assert_eq!(error.kind(), LogErrorKind::Corrupt);
}
