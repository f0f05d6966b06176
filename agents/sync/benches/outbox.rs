//! What an append costs beside the disk, and what a pull costs beside its parts: `cargo xtask bench outbox`.
//!
//! - single: appends of one signed event, one after the other, beside a bare write of as many bytes as an append adds to
//!   the write-ahead log, and its sync;
//! - batches: signed events a second in transactions of 100;
//! - pull: a page's text to rows of the replica, beside its parts alone: reading the JSON, the hashes, both signatures by
//!   tables, and plain inserts of rows as large.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use stateset_bench_report::beside::{self, Options};
use stateset_bench_report::report::{Goal, Row};
use stateset_client::{ClientError, Identity};
use stateset_fixtures::{Agent, NOW, order_payload, plain_event, sequencer_key, stream};
use stateset_keystore::Ed25519Signer;
use stateset_sync::{Audience, Author, NewEvent, RawPage, Store, Transport};
use ves::checkpoint::Checkpoint;
use ves::directory::{DirectoryHead, DirectoryKey, KeyDirectory};
use ves::ed25519::{Check, CheckKey, KeyTable, PublicKey, verify_many};
use ves::envelope::decode_text;
use ves::hex::Format;
use ves::log::LogTree;
use ves::merkle::leaf_hash;
use ves::receipt::{Receipt, receipt_hash};
use ves::{AgentId, Digest, Envelope, SequenceNumber, SequencerId, StreamKey, TenantId};
use ves_wire::events::{EventsPage, EventsPageWriter, write_event};
use ves_wire::ingest::IngestAnswer;
use ves_wire::policies::GroupWithKeys;

const SEQUENCER: SequencerId = SequencerId::from_bytes([7; 16]);
const SINGLE_ROUNDS: usize = 15;
const SINGLE_APPENDS: usize = 100;
const BATCHES: usize = 100;
const PULLED: u64 = 20_000;
const PAGE: u64 = 500;
/// A write-ahead log starts again from its beginning at about this size.
const WAL_BYTES: u64 = 16 << 20;

fn main() -> ExitCode {
    beside::main(|options, _| {
        let folder = tempfile::tempdir_in(&options.data)?;
        Ok(vec![
            singles(folder.path(), options),
            batches(folder.path(), options),
            pulls(folder.path(), options),
        ])
    })
}

/// Signs as the programs do that append: by a key of the keystore, unlocked.
fn author(agent: &Agent) -> Author {
    let name = "bench".parse().expect("a name");
    let signer = Ed25519Signer::from_seed(&agent.secret_seed(), &name).expect("a key");
    Author { agent_id: agent.agent_id, key_id: agent.key_id, signer: Arc::new(signer) }
}

fn order(n: u64) -> NewEvent {
    NewEvent {
        entity_type: "order".to_owned(),
        entity_id: format!("ORD-{n:08}"),
        event_type: "order.created".to_owned(),
        payload: serde_json::value::RawValue::from_string(order_payload(n)).expect("JSON"),
        event_id: None,
        created_at: None,
        command_id: None,
        base_version: None,
    }
}

fn open(folder: &Path, name: &str) -> (Store, Agent) {
    let agent = Agent::new(&stream(1), 1);
    (Store::open(&folder.join(name), stream(1), agent.agent_id).expect("opens"), agent)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn singles(folder: &Path, options: &Options) -> Row {
    let (mut store, agent) = open(folder, "single.db");
    let author = author(&agent);
    let mut next = 0;
    let mut append = |count: usize| {
        let drafts: Vec<NewEvent> = (next + 1..=next + count as u64).map(order).collect();
        next += count as u64;
        let each = |draft: &NewEvent| {
            let started = Instant::now();
            store.append(&author, draft, &Audience::default(), NOW).expect("appends");
            started.elapsed().as_secs_f64() * 1e6
        };
        drafts.iter().map(each).collect::<Vec<f64>>()
    };
    let wal = || std::fs::metadata(folder.join("single.db-wal")).expect("a log").len();
    append(10);
    let before = wal();
    append(50);
    let bytes = ((wal() - before) / 50) as usize;
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).open(folder.join("bare")).expect("a file");
    let (mut with, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..options.count(SINGLE_ROUNDS, 3) {
        // In turn, so that both see the same disk.
        with.extend(append(SINGLE_APPENDS));
        bare.extend(write_bare(&mut file, bytes, SINGLE_APPENDS));
    }
    // Of each append by itself: what others write to the disk makes a few of them many times as long.
    let (with, bare) = (median(with), median(bare));
    let figure = format!("single append, signed, beside a bare write and sync of {bytes} bytes");
    Row::new(figure, 1e6 / with, "events/s").floor(1e6 / bare).goal(Goal::AtLeast(0.7))
}

/// What each write took, in microseconds.
fn write_bare(file: &mut File, bytes: usize, count: usize) -> Vec<f64> {
    let block = vec![0x5a; bytes];
    let mut each = || {
        if file.stream_position().expect("a position") >= WAL_BYTES {
            file.rewind().expect("rewinds");
        }
        let started = Instant::now();
        file.write_all(&block).and_then(|()| file.sync_data()).expect("writes");
        started.elapsed().as_secs_f64() * 1e6
    };
    (0..count).map(|_| each()).collect()
}

fn batches(folder: &Path, options: &Options) -> Row {
    let (mut store, agent) = open(folder, "batches.db");
    let author = author(&agent);
    let drafts: Vec<NewEvent> = (0..100).map(order).collect();
    let started = Instant::now();
    let batches = options.count(BATCHES, 5);
    for _ in 0..batches {
        store.append_many(&author, &drafts, &Audience::default(), NOW).expect("appends");
    }
    let rate = (batches * 100) as f64 / started.elapsed().as_secs_f64();
    Row::new("appends in batches of 100, signed", rate, "events/s").goal(Goal::AtLeast(5_000.0))
}

/// Pages of a finished stream, as a server would send them.
struct Pages {
    agent: Agent,
    pages: Vec<String>,
    checkpoint: String,
    /// Events, all together.
    count: u64,
}

impl Pages {
    fn new(count: u64) -> Self {
        let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
        let (key, mut tree, mut pages) = (sequencer_key(1), LogTree::new(), Vec::new());
        for first in (1..=count).step_by(PAGE as usize) {
            let mut page = EventsPageWriter::new(PAGE as usize * 1500);
            for n in first..first + PAGE {
                let event = plain_event(&agent, &stream, n);
                let (hash, number) = (event.signing_hash(), SequenceNumber(n));
                let mut receipt = Receipt {
                    sequencer_id: SEQUENCER,
                    stream,
                    event_id: event.event_id,
                    sequence_number: number,
                    sequenced_at: NOW,
                    receipt_hash: receipt_hash(&stream, &event.event_id, number, &hash),
                    signature: None,
                    key_version: 1,
                };
                receipt.sign(&key).expect("signs");
                tree.push(&leaf_hash(&stream, number, &hash, &event.agent_signature));
                page.push(|out| write_event(out, &event, &receipt));
            }
            pages.push(page.finish(SequenceNumber(count), SequenceNumber(first + PAGE)));
        }
        let checkpoint = Checkpoint::for_stream(&stream, count, tree.root()).sign(&SEQUENCER, &key);
        Self { agent, pages, checkpoint: checkpoint.expect("signs"), count }
    }
}

impl Transport for Pages {
    fn push(&mut self, _: AgentId, _: &[Envelope<'_>]) -> Result<IngestAnswer, ClientError> {
        Err(ClientError::MixedEvents)
    }
    fn page(&mut self, stream: &StreamKey, from: SequenceNumber, _: usize) -> Result<RawPage, ClientError> {
        match self.pages.get(((from.get() - 1) / PAGE) as usize) {
            Some(page) => RawPage::from_json(page, stream),
            None => Ok(RawPage { events: Vec::new(), head: SequenceNumber(self.count) }),
        }
    }
    fn checkpoint(&mut self, _: &StreamKey) -> Result<Option<String>, ClientError> {
        Ok(Some(self.checkpoint.clone()))
    }
    fn consistency(&mut self, _: &StreamKey, _: u64, _: u64) -> Result<Vec<Digest>, ClientError> {
        Ok(Vec::new())
    }
    fn directory(&mut self, stream: &StreamKey, agent: &AgentId) -> Result<String, ClientError> {
        let directory = KeyDirectory {
            tenant_id: stream.tenant_id,
            agent_id: *agent,
            sequencer_id: SEQUENCER,
            sequencer_key_version: 1,
            as_of: NOW,
            stream: Some(DirectoryHead {
                store_id: stream.store_id,
                head_sequence: SequenceNumber(self.count),
                state_root: Digest::ZERO,
            }),
            signing_keys: vec![DirectoryKey::from(&self.agent.registered_key())],
            encryption_keys: Vec::new(),
        };
        Ok(serde_json::to_string(&directory.sign(&sequencer_key(1)).expect("signs")).expect("JSON"))
    }
    fn group(&mut self, _: &TenantId, _: &str) -> Result<Option<GroupWithKeys>, ClientError> {
        Ok(None)
    }
}

/// Time of the process on its processors, in seconds: waiting for the disk is not counted.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
    Duration::from_nanos(nanos.expect("the kernel counts the time of a thread")).as_secs_f64()
}

fn pulls(folder: &Path, options: &Options) -> Row {
    let count = options.count(PULLED, 2_000);
    let mut pages = Pages::new(count);
    let key = PublicKey::from_bytes(&sequencer_key(1).public_key()).expect("a good key");
    let identity = Identity { sequencer_id: SEQUENCER, key_version: 1, keys: [(1, key)].into() };
    let started = cpu();
    let agent = Agent::new(&stream(1), 2).agent_id;
    let mut store = Store::open(&folder.join("pull.db"), stream(1), agent).expect("opens");
    let done = store.pull(&mut pages, &identity, NOW, |_, _| {}).expect("pulls");
    let pulled = cpu() - started;
    assert_eq!(done.events, count);

    let started = cpu();
    bare_parts(&pages, &key, &folder.join("bare.db"));
    let bare = cpu() - started;
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    Row::new("pull and verify, beside its parts", each(pulled), "us of CPU")
        .floor(each(bare))
        .goal(Goal::AtMost(2.0))
}

fn bare_parts(pages: &Pages, sequencer: &PublicKey, path: &Path) {
    let agent = PublicKey::from_bytes(&pages.agent.public_key()).expect("a good key");
    let (agent, sequencer) = (KeyTable::new(&agent), KeyTable::new(sequencer));
    let connection = Connection::open(path).expect("opens");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE events (number INTEGER PRIMARY KEY, envelope TEXT NOT NULL, receipt TEXT NOT NULL) STRICT;",
        )
        .expect("a table");
    for text in &pages.pages {
        let page: EventsPage<'_> = serde_json::from_str(text).expect("a page");
        let mut hashes = Vec::new();
        let mut events = Vec::new();
        for entry in &page.events {
            let event = decode_text(entry.envelope.get(), Format::Lenient).expect("an event");
            event.check_payload_hash().expect("its hash");
            let receipt =
                entry.receipt.as_ref().expect("a receipt").to_receipt(stream(1)).expect("a receipt");
            let hash = event.signing_hash();
            receipt.check_hash(&hash).expect("of this event");
            black_box(leaf_hash(&stream(1), receipt.sequence_number, &hash, &event.agent_signature));
            hashes.push(hash);
            events.push((event, receipt));
        }
        let of_sequencer = events.iter().map(|(_, receipt)| Check {
            key: CheckKey::Table(&sequencer),
            message: receipt.receipt_hash.as_bytes(),
            signature: receipt.signature.as_ref().expect("signed"),
        });
        let of_agent = events.iter().zip(&hashes).map(|((event, _), hash)| Check {
            key: CheckKey::Table(&agent),
            message: hash.as_bytes(),
            signature: &event.agent_signature,
        });
        let checks: Vec<Check<'_>> = of_sequencer.chain(of_agent).collect();
        assert!(verify_many(&checks).into_iter().all(|good| good));
        let transaction = connection.unchecked_transaction().expect("begins");
        for (entry, (_, receipt)) in page.events.iter().zip(&events) {
            transaction
                .prepare_cached("INSERT INTO events VALUES (?, ?, ?)")
                .and_then(|mut insert| {
                    let number = receipt.sequence_number.get();
                    // A receipt is about as long as this.
                    insert.execute((number, entry.envelope.get(), &entry.envelope.get()[..400]))
                })
                .expect("inserts");
        }
        transaction.commit().expect("commits");
    }
}
