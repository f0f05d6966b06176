//! Payloads of events: sealed on their way into the log, opened on their way out.

use rayon::prelude::*;
use stateset_event_log::{LogError, NewEvent, Record, StoredEvent, StreamAppend, is_sealed};
use ves::at_rest::{self, AtRestError, payload_aad};
use ves::{Digest, SequenceNumber};

use crate::keys::{Keys, Mode, Ring};

/// Bytes of a nonce.
const NONCE: usize = 12;
/// Seals of a turn that are worth other cores: a payload of 1 KiB takes about a microsecond.
const POOL_SEALS_MIN: usize = 256;

/// Fresh random nonces for so many seals, with one question to the system.
pub(crate) fn nonces(count: usize) -> Result<Vec<[u8; NONCE]>, LogError> {
    let mut bytes = vec![0; NONCE * count];
    getrandom::fill(&mut bytes).map_err(|error| LogError::Unavailable {
        doing: "sealing at rest".to_owned(),
        problem: format!("the system gives no random bytes: {error}"),
    })?;
    Ok(bytes.as_chunks::<NONCE>().0.to_vec())
}

/// The turn as it is stored. What is sealed already stays as it is.
pub(crate) fn seal_turn(keys: &Keys, turn: &[StreamAppend]) -> Result<Vec<StreamAppend>, LogError> {
    let count = turn.iter().map(|append| append.events.len()).sum();
    let nonces = nonces(count)?;
    let mut rest = &nonces[..];
    let mut sealed = Vec::with_capacity(turn.len());
    for append in turn {
        let (own, others) = rest.split_at(append.events.len());
        rest = others;
        let StreamAppend { stream, log_tiles, .. } = append;
        let events = match keys.sealing(&stream.tenant_id) {
            Some(ring) => seal_events(ring, &append.events, own)?,
            None => append.events.clone(),
        };
        sealed.push(StreamAppend { stream: *stream, events, log_tiles: log_tiles.clone() });
    }
    Ok(sealed)
}

fn seal_events(ring: &Ring, events: &[NewEvent], nonces: &[[u8; NONCE]]) -> Result<Vec<NewEvent>, LogError> {
    let seal = |(event, nonce): (&NewEvent, &[u8; NONCE])| -> Result<NewEvent, LogError> {
        let body = match is_sealed(&event.body) {
            true => event.body.clone(),
            false => seal_body(ring, &event.body, event.sequence_number, *nonce)?.into(),
        };
        let NewEvent { sequence_number, sequenced_at, receipt_signature, key_version, .. } = *event;
        Ok(NewEvent { sequence_number, sequenced_at, receipt_signature, key_version, body })
    };
    let sealed = match events.len() >= POOL_SEALS_MIN {
        true => events.par_iter().zip(nonces).map(seal).collect::<Result<_, _>>(),
        false => events.iter().zip(nonces).map(seal).collect(),
    };
    ring.count(events.len() as u64);
    sealed
}

fn place(record: &Record<'_>, number: SequenceNumber) -> String {
    format!("the payload of event {number} of stream {}", record.head.stream)
}

fn aad(record: &Record<'_>, number: SequenceNumber) -> Digest {
    let head = &record.head;
    payload_aad(&head.stream, &head.event_id, number, &head.entity_type, &head.entity_id, &head.event_type)
}

fn read(body: &[u8], number: SequenceNumber) -> Result<Record<'_>, LogError> {
    Record::read(body).map_err(|error| LogError::corrupt(format!("event {number}"), error.to_string()))
}

/// A record in clear, sealed with the newest key.
fn seal_body(
    ring: &Ring,
    body: &[u8],
    number: SequenceNumber,
    nonce: [u8; NONCE],
) -> Result<Vec<u8>, LogError> {
    let record = read(body, number)?;
    let blob = at_rest::seal(&ring.keys, nonce, &aad(&record, number), record.payload());
    // Only what is longer than the cipher allows, which no record is.
    let blob = blob.map_err(|error| LogError::corrupt(place(&record, number), error.to_string()))?;
    Ok(record.sealed(&blob))
}

/// What became of a stored event.
pub(crate) enum Opened {
    Done,
    /// No key opens it: it stays sealed, and all but its payload can be read.
    NotByUs,
}

/// Opens an event in its place.
pub(crate) fn open_event(keys: &Keys, event: &mut StoredEvent) -> Result<Opened, LogError> {
    let number = event.sequence_number;
    if !is_sealed(&event.body) {
        if keys.mode() == Mode::Required {
            let place = read(&event.body, number).map(|record| place(&record, number))?;
            return Err(in_clear(&place));
        }
        return Ok(Opened::Done);
    }
    let record = read(&event.body, number)?;
    let Some(ring) = keys.ring(&record.head.stream.tenant_id) else { return Ok(Opened::NotByUs) };
    match at_rest::open_blob(&ring.keys, &aad(&record, number), record.payload()) {
        Ok((payload, _)) => {
            event.body = record.opened(&payload);
            Ok(Opened::Done)
        }
        Err(AtRestError::OpenFailed) => Ok(Opened::NotByUs),
        Err(error) => Err(LogError::corrupt(place(&record, number), error.to_string())),
    }
}

pub(crate) fn in_clear(place: &str) -> LogError {
    LogError::corrupt(place, "it lies in clear, although PAYLOAD_ENCRYPTION_MODE is required")
}

/// How a stored record has to be kept instead.
pub(crate) enum Rewrite {
    /// It is as it should be.
    Not,
    To(Vec<u8>),
    /// No key opens it.
    NotByUs,
}

/// The record in the form that is written now; `force` seals also what the newest key has sealed.
pub(crate) fn rewrite(keys: &Keys, event: &StoredEvent, force: bool) -> Result<Rewrite, LogError> {
    let number = event.sequence_number;
    let record = read(&event.body, number)?;
    let tenant = record.head.stream.tenant_id;
    let target = keys.sealing(&tenant);
    if !record.is_sealed() {
        return match target {
            Some(ring) => sealed_again(ring, &event.body, number),
            None => Ok(Rewrite::Not),
        };
    }
    let Some(ring) = keys.ring(&tenant) else { return Ok(Rewrite::NotByUs) };
    match at_rest::open_blob(&ring.keys, &aad(&record, number), record.payload()) {
        Ok((_, 0)) if target.is_some() && !force => Ok(Rewrite::Not),
        Ok((payload, _)) => {
            let clear = record.opened(&payload);
            match target {
                Some(ring) => sealed_again(ring, &clear, number),
                None => Ok(Rewrite::To(clear)),
            }
        }
        Err(AtRestError::OpenFailed) => Ok(Rewrite::NotByUs),
        Err(error) => Err(LogError::corrupt(place(&record, number), error.to_string())),
    }
}

fn sealed_again(ring: &Ring, clear: &[u8], number: SequenceNumber) -> Result<Rewrite, LogError> {
    let nonce = nonces(1)?[0];
    ring.count(1);
    seal_body(ring, clear, number, nonce).map(Rewrite::To)
}
