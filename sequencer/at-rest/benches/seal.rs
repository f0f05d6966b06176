//! What sealing adds to an event of 1 KiB: on its way into a log in memory, and out of it.
//!
//! `cargo bench -p stateset-at-rest`
#![allow(clippy::print_stdout)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use stateset_at_rest::{AtRest, Key, Keys, Mode, SealedStore};
use stateset_event_log::{EventStore, LogError, MemoryLog, NewEvent, Opening, StreamAppend, encode_body};
use stateset_fixtures::{Agent, plain_event, stream};
use ves::{Payload, SequenceNumber, TimestampMs};

const EVENTS: u64 = 100_000;

struct Fresh;

impl EventStore for Fresh {
    fn open(&self) -> Result<Opening, LogError> {
        Ok(Opening::Writer(Box::new(MemoryLog::new())))
    }
    fn name(&self) -> String {
        "memory".to_owned()
    }
}

fn turn(first: u64, count: u64) -> StreamAppend {
    let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
    let mut event = plain_event(&agent, &stream, 1);
    event.payload = Payload::Plain(Cow::Owned(format!("{{\"text\":\"{}\"}}", "x".repeat(1011))));
    let body = encode_body(&event, &event.signing_hash());
    let event = |n| NewEvent {
        sequence_number: SequenceNumber(n),
        sequenced_at: TimestampMs(1),
        receipt_signature: Some([3; 64]),
        key_version: 1,
        body: body.clone().into(),
    };
    StreamAppend { stream, events: (first..first + count).map(event).collect(), log_tiles: Vec::new() }
}

/// Microseconds an event, in and out.
fn measure(at_rest: &AtRest, per_turn: u64) -> (f64, f64) {
    let store = SealedStore::new(Arc::new(Fresh), at_rest.clone());
    let Ok(Opening::Writer(mut log)) = store.open() else { panic!("a fresh log opens") };
    let turns: Vec<_> = (0..EVENTS / per_turn).map(|n| [turn(n * per_turn + 1, per_turn)]).collect();
    let started = Instant::now();
    for turn in &turns {
        log.append(turn).expect("append");
    }
    let written = started.elapsed();
    let reader = log.reader();
    let started = Instant::now();
    for n in 0..EVENTS / 1000 {
        let read = reader.read(&stream(1), SequenceNumber(n * 1000 + 1), 1000, usize::MAX).expect("read");
        assert_eq!(read.len(), 1000);
    }
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / EVENTS as f64;
    (each(written), each(started.elapsed()))
}

fn main() {
    let keys = Keys::new(Mode::Required, &[Key::new([1; 32])], &BTreeMap::new(), BTreeSet::new());
    let sealed = AtRest::new(keys.expect("one key"));
    for per_turn in [1, 100, 1000] {
        let (clear_in, clear_out) = measure(&AtRest::default(), per_turn);
        let (sealed_in, sealed_out) = measure(&sealed, per_turn);
        println!(
            "turns of {per_turn:>4}: {:.2} us more to write an event of 1 KiB, {:.2} us more to read it",
            sealed_in - clear_in,
            sealed_out - clear_out
        );
    }
}
