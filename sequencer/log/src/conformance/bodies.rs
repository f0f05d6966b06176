//! Payloads kept in another form, at the places of their events.

use ves::SequenceNumber;

use super::{event, part, stream};
use crate::error::LogErrorKind;
use crate::event_log::{BodyChange, EventLog};
use crate::record::Record;

/// The stored record of an event of `stream(20)` or `stream(21)`, sealed in `blob`.
fn sealing(of: u8, n: u64, blob: &[u8]) -> BodyChange {
    let old = event(stream(of), n).body;
    let new = Record::read(&old).expect("a record").sealed(blob).into();
    BodyChange { sequence_number: SequenceNumber(n), old, new }
}

pub(super) fn a_body_is_replaced_at_its_place_and_by_the_same_event_alone(log: &mut dyn EventLog) {
    let (reader, mine, other) = (log.reader(), stream(20), stream(21));
    // Two streams in turn, so that neighbours in a stream are none in the table.
    for first in [1, 3, 5] {
        log.append(&[part(mine, first, 2), part(other, first, 2)]).expect("append");
    }
    let bodies = |of| -> Vec<Vec<u8>> {
        let events = reader.read(&of, SequenceNumber(1), 100, usize::MAX).expect("read");
        events.into_iter().map(|event| event.body).collect()
    };
    let before = bodies(mine);
    let untouched = bodies(other);
    let leaves = |of| -> Vec<_> {
        let events = reader.read(&of, SequenceNumber(1), 100, usize::MAX).expect("read");
        events.iter().map(|event| event.leaf_hash().expect("a leaf")).collect()
    };
    let leaves_before = leaves(mine);

    let changes = [sealing(20, 2, b"two"), sealing(20, 5, &[7; 3000])];
    log.replace_bodies(&mine, &changes).expect("the events are as the changes say");
    let mut expected = before.clone();
    expected[1] = changes[0].new.to_vec();
    expected[4] = changes[1].new.to_vec();
    assert_eq!(bodies(mine), expected);
    assert_eq!(leaves(mine), leaves_before, "no leaf depends on how a payload is kept");

    // All or none, and only what is stored now.
    let refused = |log: &mut dyn EventLog, changes: &[BodyChange]| {
        let error = log.replace_bodies(&mine, changes).expect_err("refused");
        assert_eq!(error.kind(), LogErrorKind::Changed, "{error}");
        assert!(error.changed_nothing());
        assert_eq!(bodies(mine), expected, "nothing was changed");
    };
    refused(log, &[sealing(20, 1, b"one"), sealing(20, 2, b"again")]);
    refused(log, &[sealing(20, 1, b"one"), sealing(20, 7, b"not there")]);
    let of_another = BodyChange { new: event(mine, 4).body, ..sealing(20, 3, b"three") };
    refused(log, &[of_another]);
    let nothing = BodyChange { new: Box::from(*b"no record"), ..sealing(20, 3, b"three") };
    refused(log, &[nothing]);

    let back = BodyChange {
        sequence_number: SequenceNumber(2),
        old: changes[0].new.clone(),
        new: changes[0].old.clone(),
    };
    log.replace_bodies(&mine, &[back]).expect("and back again");
    log.append(&[part(mine, 7, 1)]).expect("the stream goes on");
    assert_eq!(bodies(mine)[1], before[1]);
    assert_eq!(bodies(other), untouched);
    log.replace_bodies(&stream(22), &[]).expect("nothing to do");
}
