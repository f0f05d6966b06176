//! The floor of one event: what no design can avoid, each part alone, on one thread, by the fastest means we know.
//!
//! CPU microseconds per event. Parts in memory: median of rounds. The append: mean, since the means hold what the
//! store does now and then (checkpoints), and of the whole process, since it does so on a thread of its own.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use stateset_event_log::{EventLog, NewEvent, SqliteLog, StreamAppend, encode_body};
use ves::ed25519::{Check, CheckKey, KeyTable, PublicKey};
use ves::log::LogTree;
use ves::{Digest, Envelope, SequenceNumber, StreamKey, TimestampMs, hex, merkle, receipt};

use crate::events::{AGENTS, STREAMS, Writer, writers};
use crate::machine::{median, process_cpu, thread_cpu};

/// Events of one request and of one append.
const BATCH: usize = 100;

/// The floor, by part.
#[derive(Debug, Clone)]
pub struct Floor {
    /// Name and microseconds.
    pub parts: Vec<(&'static str, f64)>,
    /// The append with 32 events a sync, as it is when 32 clients send one event each.
    pub append_of_32: f64,
    /// Verification when neighbours have different keys, so that no table stays in the nearest cache.
    pub verify_mixed: f64,
}

const VERIFY: &str = "verify by key tables";
const APPEND: &str = "append and sync, 100 a batch";

impl Floor {
    /// One event, 100 a request.
    pub fn batched_us(&self) -> f64 {
        self.parts.iter().map(|(_, us)| us).sum()
    }
    /// One event, one a request, 32 in flight.
    pub fn single_us(&self) -> f64 {
        let others = self.parts.iter().filter(|(name, _)| *name != APPEND && *name != VERIFY);
        others.map(|(_, us)| us).sum::<f64>() + self.append_of_32 + self.verify_mixed
    }
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    pub round: Duration,
    pub appends: u64,
}

/// One request's worth of events of one writer.
struct Batch {
    stream: StreamKey,
    events: Vec<Envelope<'static>>,
    hashes: Vec<Digest>,
    body: String,
    table: KeyTable,
}

/// Measures every part. `folder` gets a store that is removed again.
pub fn measure(folder: &Path, effort: Effort) -> Result<Floor> {
    let batches = batches()?;
    let mut parts = vec![
        ("parse request body", per_event(&batches, effort, parse)),
        ("canonical scan", per_event(&batches, effort, scan)),
        ("hashes and tree", per_event(&batches, effort, hash)),
        (VERIFY, per_event(&batches, effort, verify)),
    ];
    let (_, signers) = writers(1, STREAMS);
    parts.push(("sign receipt", per_event(&batches, effort, |batch| sign(&signers[0], batch))));
    parts.push((APPEND, append(folder, &batches, BATCH, effort.appends)?));
    let mut turn = (0..BATCH).cycle();
    let verify_mixed = per_event(&batches, effort, |_| verify_mixed(&batches, turn.next().unwrap_or(0)));
    // One call checks an event of each batch, and is counted as a whole batch.
    let verify_mixed = verify_mixed * BATCH as f64 / batches.len() as f64;
    Ok(Floor { parts, append_of_32: append(folder, &batches, 32, effort.appends)?, verify_mixed })
}

/// One batch of each of the writers.
fn batches() -> Result<Vec<Batch>> {
    let mut batches = Vec::with_capacity(AGENTS as usize);
    for n in 1..=STREAMS {
        let (stream, writers) = writers(n, STREAMS);
        for (at, writer) in (0..).zip(&writers) {
            let first = 1 + at * BATCH as u64;
            let events: Vec<_> = (first..first + BATCH as u64).map(|n| writer.event(&stream, n)).collect();
            let hashes = events.iter().map(Envelope::signing_hash).collect();
            let body = stateset_fixtures::ingest_body(writer.agent.agent_id, &events);
            let table =
                KeyTable::new(&PublicKey::from_bytes(&writer.agent.public_key()).context("a writer's key")?);
            batches.push(Batch { stream, events, hashes, body, table });
        }
    }
    Ok(batches)
}

/// Median microseconds per event of `part`, which works through one batch, the batches taken in turn.
fn per_event(batches: &[Batch], effort: Effort, mut part: impl FnMut(&Batch)) -> f64 {
    batches.iter().for_each(&mut part);
    let mut turn = batches.iter().cycle();
    let round = |_| {
        let (mut done, started) = (0, thread_cpu());
        loop {
            for batch in turn.by_ref().take(4) {
                part(batch);
                done += batch.events.len();
            }
            let spent = thread_cpu() - started;
            if spent >= effort.round {
                return spent.as_secs_f64() * 1e6 / done as f64;
            }
        }
    };
    median(&mut (0..effort.rounds).map(round).collect::<Vec<_>>())
}

/// A request's members as a reader that keeps nothing would take them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    agent_id: &'a str,
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    event_id: &'a str,
    tenant_id: &'a str,
    store_id: &'a str,
    source_agent_id: &'a str,
    agent_key_id: u32,
    entity_type: &'a str,
    entity_id: &'a str,
    event_type: &'a str,
    created_at: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
    payload_plain_hash: &'a str,
    agent_signature: &'a str,
}

/// Body to typed members: JSON, four ids, two texts of hex.
fn parse(batch: &Batch) {
    let text = std::str::from_utf8(black_box(batch.body.as_bytes())).expect("our own body");
    let body: Body<'_> = serde_json::from_str(text).expect("our own body");
    black_box(body.agent_id);
    for event in &body.events {
        for id in [event.event_id, event.tenant_id, event.store_id, event.source_agent_id] {
            black_box(uuid::Uuid::parse_str(id).expect("our own ids"));
        }
        black_box(hex::decode_lenient::<32>(event.payload_plain_hash).expect("our own hex"));
        black_box(hex::decode_lenient::<64>(event.agent_signature).expect("our own hex"));
        black_box((
            event.agent_key_id,
            event.entity_type,
            event.entity_id,
            event.event_type,
            event.created_at,
        ));
        black_box(event.payload.get());
    }
}

fn payload<'e>(event: &'e Envelope<'_>) -> &'e str {
    match &event.payload {
        ves::Payload::Plain(text) => text,
        ves::Payload::Encrypted(_) => "",
    }
}

fn scan(batch: &Batch) {
    for event in &batch.events {
        black_box(ves::json::canonicalize(black_box(payload(event))).expect("our own payload"));
    }
}

/// Payload, signing, receipt and leaf hash, and the leaf's share of the tree.
fn hash(batch: &Batch) {
    let mut tree = LogTree::new();
    for (event, n) in batch.events.iter().zip(1..) {
        black_box(ves::event::plain_hash(black_box(payload(event))));
        let signing_hash = event.signing_hash();
        black_box(receipt::receipt_hash(&batch.stream, &event.event_id, SequenceNumber(n), &signing_hash));
        let leaf = merkle::leaf_hash(&batch.stream, SequenceNumber(n), &signing_hash, &event.agent_signature);
        black_box(tree.push(&leaf));
    }
}

fn verify(batch: &Batch) {
    let mut checks = Vec::with_capacity(batch.events.len());
    for (event, hash) in batch.events.iter().zip(&batch.hashes) {
        let key = CheckKey::Table(&batch.table);
        checks.push(Check { key, message: &hash.0, signature: &event.agent_signature });
    }
    let verdicts = ves::ed25519::verify_many(black_box(&checks));
    assert!(verdicts.iter().all(|good| *good), "our own signatures verify");
}

/// Event `at` of every batch: as many keys as events.
fn verify_mixed(batches: &[Batch], at: usize) {
    let mut checks = Vec::with_capacity(batches.len());
    for batch in batches {
        let key = CheckKey::Table(&batch.table);
        checks.push(Check {
            key,
            message: &batch.hashes[at].0,
            signature: &batch.events[at].agent_signature,
        });
    }
    let verdicts = ves::ed25519::verify_many(black_box(&checks));
    assert!(verdicts.iter().all(|good| *good), "our own signatures verify");
}

fn sign(signer: &Writer, batch: &Batch) {
    for hash in &batch.hashes {
        black_box(signer.sign(black_box(&hash.0)));
    }
}

/// Mean microseconds per event of appending `size` events at a time, the streams in turn, from an empty store on.
fn append(folder: &Path, batches: &[Batch], size: usize, appends: u64) -> Result<f64> {
    let path = folder.join(format!("floor-{size}"));
    std::fs::create_dir_all(&path)?;
    let mut log = SqliteLog::open(path.join("events.db")).context("opening the floor's store")?;
    let signature = Some([7; 64]);
    // The records are made before: encoding them is not part of writing them.
    let bodies: Vec<Vec<Box<[u8]>>> = batches
        .iter()
        .map(|batch| {
            batch
                .events
                .iter()
                .zip(&batch.hashes)
                .take(size)
                .map(|(event, hash)| encode_body(event, hash).into())
                .collect()
        })
        .collect();
    let mut heads = vec![0; batches.len()];
    let mut turns = Vec::with_capacity(appends as usize);
    for turn in 0..appends as usize {
        // Two batches belong to each stream: those of its two writers.
        let at = turn % batches.len() / 2 * 2;
        let first = heads[at] + 1;
        heads[at] += size as u64;
        let events = bodies[at].iter().zip(first..).map(|(body, n)| NewEvent {
            sequence_number: SequenceNumber(n),
            sequenced_at: TimestampMs(1_766_253_070_243),
            receipt_signature: signature,
            key_version: 1,
            body: body.clone(),
        });
        turns.push(StreamAppend {
            stream: batches[at].stream,
            events: events.collect(),
            log_tiles: Vec::new(),
        });
    }
    let started = process_cpu();
    for turn in &turns {
        log.append(std::slice::from_ref(turn)).context("appending to the floor's store")?;
        log.maintenance()?;
    }
    let spent = process_cpu() - started;
    drop(turns);
    Box::new(log).close()?;
    std::fs::remove_dir_all(&path)?;
    Ok(spent.as_secs_f64() * 1e6 / (appends * size as u64) as f64)
}
