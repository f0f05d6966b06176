//! What an event costs a PostgreSQL server: `cargo bench -p stateset-event-log --bench postgres [-- EVENTS]`.
//!
//! Beside each append stands a binary COPY of the same rows, in the same portions, into a table of the same form: what
//! the server needs in any case; and one COPY of all of them, which pays for one commit only. All go over the same socket, in turn, on a server that does nothing else; it does not
//! vacuum, whose time would fall to whichever is running. TMPDIR names the disk.
#![allow(clippy::print_stdout)]

mod events;

use std::pin::pin;
use std::time::{Duration, Instant};

use events::{event, process_cpu, stream};
use stateset_event_log::{
    EventLog, Holder, PostgresConfig, PostgresLog, PostgresOpening, PostgresStore, StreamAppend,
};
use stateset_postgres::{Server, Settings};
use tokio::runtime::Runtime;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, Statement};
use ves::Digest;
use ves::log::LogTree;

const STREAMS: usize = 16;
const ROUNDS: usize = 10;
const COPY: &str = "COPY copied (sequence_number, sequenced_at, key_version, stream, receipt_signature, body, tiles) \
    FROM STDIN BINARY";
const COLUMNS: [Type; 7] =
    [Type::INT8, Type::INT8, Type::INT8, Type::INT4, Type::BYTEA, Type::BYTEA, Type::BYTEA];

fn main() {
    let events: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(200_000);
    let settings = [("autovacuum", "off"), ("max_wal_size", "8GB"), ("shared_buffers", "256MB")];
    let extra = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = Server::start(Settings { fsync: true, extra, ..Settings::default() });
    let mut bench = Bench::open(server);
    println!(
        "{:26} {:>12} {:>10} {:>7} {:>13} {:>7} {:>11} {:>9} {:>13}",
        "append",
        "db us/event",
        "COPY us",
        "ratio",
        "one COPY us",
        "ratio",
        "client us",
        "wall us",
        "COPY wall us"
    );
    bench.measure("1 stream a turn x 100", 100, 1, events);
    bench.measure("1 stream alone x 100", 100, 0, events);
    bench.measure("8 streams a turn x 100", 100, 8, events);
    bench.measure("16 streams a turn x 100", 100, 16, events);
    bench.measure("16 streams a turn x 4", 4, 16, events);
    bench.measure("1 stream a turn x 10", 10, 1, events / 10);
    bench.measure("1 stream a turn x 1", 1, 1, events / 50);
}

struct Bench {
    log: PostgresLog,
    client: Client,
    copy: Statement,
    runtime: Runtime,
    heads: [u64; STREAMS],
    trees: [LogTree; STREAMS],
    turns: usize,
    server: Server,
}

#[derive(Default)]
struct Cost {
    database: Duration,
    client: Duration,
    wall: Duration,
}

impl Bench {
    fn open(server: Server) -> Self {
        let holder = Holder { instance: "bench".to_owned(), ..Holder::default() };
        let url = server.socket_url("postgres");
        let config = PostgresConfig { allow_insecure_local: true, ..PostgresConfig::new(&url, holder) };
        let store = PostgresStore::new(config).expect("configuration");
        let PostgresOpening::Writer(log) = store.open_log().expect("open") else { panic!("held by another") };
        server.sql("postgres", "CREATE TABLE copied (LIKE ves_events INCLUDING ALL)");
        let runtime = Runtime::new().expect("a runtime");
        let (client, copy) = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connect");
            tokio::spawn(connection);
            let copy = client.prepare(COPY).await.expect("prepare");
            (client, copy)
        });
        let trees = std::array::from_fn(|_| LogTree::new());
        Self { log: *log, client, copy, runtime, heads: [0; STREAMS], trees, turns: 0, server }
    }

    fn parts(&mut self, per_stream: usize, streams: usize) -> Vec<StreamAppend> {
        let part = |k: usize| {
            let s = if streams == 0 { 0 } else { (self.turns * streams + k) % STREAMS };
            let mut append = StreamAppend { stream: stream(s), events: Vec::new(), log_tiles: Vec::new() };
            for _ in 0..per_stream {
                self.heads[s] += 1;
                append.events.push(event(s, self.heads[s]));
                append.log_tiles.extend(self.trees[s].push(&Digest([s as u8; 32])));
            }
            append
        };
        let parts = (0..streams.max(1)).map(part).collect();
        self.turns += 1;
        parts
    }

    /// `streams`: how many a turn; 0 is always the same one.
    fn measure(&mut self, label: &str, per_stream: usize, streams: usize, events: usize) {
        let turns = events / (per_stream * streams.max(1)) / ROUNDS;
        let (mut append, mut copy, mut whole) = (Cost::default(), Cost::default(), Cost::default());
        for _ in 0..ROUNDS {
            let prepared: Vec<_> = (0..turns).map(|_| self.parts(per_stream, streams)).collect();
            self.time(&mut append, |bench| {
                for parts in &prepared {
                    bench.log.append(parts).expect("append");
                }
            });
            let rows: Vec<StreamAppend> = prepared.iter().flatten().cloned().collect();
            self.time(&mut copy, |bench| {
                for parts in &prepared {
                    bench.runtime.block_on(copy_rows(&bench.client, &bench.copy, parts));
                }
            });
            self.server.sql("postgres", "TRUNCATE copied");
            self.time(&mut whole, |bench| {
                bench.runtime.block_on(copy_rows(&bench.client, &bench.copy, &rows))
            });
            self.server.sql("postgres", "TRUNCATE copied");
        }
        let count = turns * ROUNDS * per_stream * streams.max(1);
        let us = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        println!(
            "{label:26} {:>12.2} {:>10.2} {:>7.2} {:>13.2} {:>7.2} {:>11.2} {:>9.2} {:>13.2}",
            us(append.database),
            us(copy.database),
            append.database.as_secs_f64() / copy.database.as_secs_f64(),
            us(whole.database),
            append.database.as_secs_f64() / whole.database.as_secs_f64(),
            us(append.client),
            us(append.wall),
            us(copy.wall),
        );
    }

    fn time(&mut self, cost: &mut Cost, work: impl FnOnce(&mut Self)) {
        let (database, client, started) = (self.server.cpu_times(), process_cpu(), Instant::now());
        work(self);
        cost.wall += started.elapsed();
        cost.client += process_cpu() - client;
        cost.database += self.server.cpu_times().since(&database);
    }
}

async fn copy_rows(client: &Client, copy: &Statement, parts: &[StreamAppend]) {
    let sink = client.copy_in(copy).await.expect("copy");
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &COLUMNS));
    for part in parts {
        let stream = i32::from(part.stream.tenant_id.as_bytes()[0]);
        let mut tiles = part.log_tiles.iter().peekable();
        for event in &part.events {
            let number = event.sequence_number.0;
            let mut bytes: Vec<u8> = Vec::new();
            // Tiles come in the order of the events that completed them: every 32nd, every 1024th, ….
            while bytes.len() < tiles_of(number) {
                let Some(tile) = tiles.next() else { break };
                bytes.extend(tile.nodes.iter().flat_map(|node| node.0));
            }
            let tiles = (!bytes.is_empty()).then_some(bytes);
            let signature = event.receipt_signature.as_ref().map(<[u8; 64]>::as_slice);
            writer
                .as_mut()
                .write(&[
                    &(number as i64),
                    &event.sequenced_at.0,
                    &i64::from(event.key_version),
                    &stream,
                    &signature,
                    &&event.body[..],
                    &tiles,
                ])
                .await
                .expect("row");
        }
    }
    writer.finish().await.expect("copied");
}

/// Bytes of the tiles that an event completes.
fn tiles_of(number: u64) -> usize {
    let levels = (1..).take_while(|level| number.is_multiple_of(1 << (5 * level))).count();
    levels * ves::tiles::TILE_NODES * 32
}
