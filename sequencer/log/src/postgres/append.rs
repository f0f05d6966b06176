//! One turn as one statement: columns as arrays, whatever the number of events and streams.

use std::collections::HashMap;

use ves::{SequenceNumber, StreamKey};

use super::heads::{Heads, StreamState};
use super::rows::signed;
use super::session::Step;
use crate::event_log::StreamAppend;
use crate::tiles::tiles_by_event;

const INSERT_STREAMS: &str = "INSERT INTO ves_streams (stream, tenant_id, store_id) SELECT unnest($1::int4[]), unnest($2::uuid[]), unnest($3::uuid[])";

/// The arrays are walked side by side, row by row; in the FROM clause each would be laid out as a table first.
const INSERT_EVENTS: &str = "INSERT INTO ves_events (sequence_number, sequenced_at, key_version, stream, \
    receipt_signature, body, tiles) SELECT unnest($1::int8[]), unnest($2::int8[]), unnest($3::int8[]), \
    unnest($4::int4[]), unnest($5::bytea[]), unnest($6::bytea[]), unnest($7::bytea[])";

/// What a turn makes of the heads when it commits.
pub(super) type Touched = HashMap<StreamKey, StreamState>;

#[derive(Default)]
struct Columns<'a> {
    sequence_numbers: Vec<i64>,
    sequenced_at: Vec<i64>,
    key_versions: Vec<i64>,
    streams: Vec<i32>,
    receipt_signatures: Vec<Option<&'a [u8]>>,
    bodies: Vec<&'a [u8]>,
    tiles: Vec<Option<Vec<u8>>>,
}

#[derive(Default)]
struct NewStreams {
    numbers: Vec<i32>,
    tenants: Vec<uuid::Uuid>,
    stores: Vec<uuid::Uuid>,
}

/// The statements of a turn that was checked; none for a turn without events.
pub(super) fn steps<'a>(turn: &'a [StreamAppend], heads: &Heads) -> (Vec<Step<'a>>, Touched) {
    let mut columns = Columns::default();
    let mut new_streams = NewStreams::default();
    let mut touched = Touched::new();
    let known_streams = heads.count();
    for append in turn {
        let Some(last) = append.events.last() else { continue };
        let known = touched.get(&append.stream).copied().or_else(|| heads.get(&append.stream));
        let number = match known {
            Some(state) => state.number,
            None => new_streams.open(&append.stream, known_streams),
        };
        columns.push(number, append);
        touched.insert(append.stream, StreamState { number, head: last.sequence_number });
    }
    let mut steps = Vec::with_capacity(2);
    if !new_streams.numbers.is_empty() {
        let NewStreams { numbers, tenants, stores } = new_streams;
        steps.push(Step::new(INSERT_STREAMS, vec![Box::new(numbers), Box::new(tenants), Box::new(stores)]));
    }
    if !columns.bodies.is_empty() {
        steps.push(columns.into_step());
    }
    (steps, touched)
}

impl NewStreams {
    fn open(&mut self, stream: &StreamKey, known_streams: usize) -> i32 {
        let number = i32::try_from(known_streams + self.numbers.len() + 1).expect("fewer than 2^31 streams");
        self.numbers.push(number);
        self.tenants.push(stream.tenant_id.0);
        self.stores.push(stream.store_id.0);
        number
    }
}

impl<'a> Columns<'a> {
    fn push(&mut self, stream: i32, append: &'a StreamAppend) {
        let mut tiles = tiles_by_event(append);
        for event in &append.events {
            self.sequence_numbers.push(signed(event.sequence_number));
            self.sequenced_at.push(event.sequenced_at.0);
            self.key_versions.push(i64::from(event.key_version));
            self.streams.push(stream);
            self.receipt_signatures.push(event.receipt_signature.as_ref().map(<[u8; 64]>::as_slice));
            self.bodies.push(&event.body);
            self.tiles.push(take(&mut tiles, event.sequence_number));
        }
        assert!(tiles.is_empty(), "a tile of the log tree is stored with the event that completes it");
    }

    fn into_step(self) -> Step<'a> {
        Step::new(
            INSERT_EVENTS,
            vec![
                Box::new(self.sequence_numbers),
                Box::new(self.sequenced_at),
                Box::new(self.key_versions),
                Box::new(self.streams),
                Box::new(self.receipt_signatures),
                Box::new(self.bodies),
                Box::new(self.tiles),
            ],
        )
    }
}

fn take(
    tiles: &mut std::collections::BTreeMap<SequenceNumber, Vec<u8>>,
    number: SequenceNumber,
) -> Option<Vec<u8>> {
    if tiles.is_empty() { None } else { tiles.remove(&number) }
}
