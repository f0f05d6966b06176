//! How long a tool call takes from its request to its answer: `cargo xtask bench mcp`.
//!
//! The whole way over stdio's protocol, one call after the other, with an outbox of many entities. Calls that write are
//! measured twice: on a file system in memory, where a sync costs nothing, which is the call besides the sync; and on the
//! disk, beside bare writes and syncs there.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use stateset_bench_report::beside::{self, Options};
use stateset_bench_report::machine::percentile;
use stateset_bench_report::report::{Goal, Row};
use stateset_client::Identity;
use stateset_fixtures::{Agent as Key, sequencer_key, stream};
use stateset_mcp::{Limits, Server};
use stateset_mcp_app::{Agent, desk};
use stateset_sync::Author;
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use ves::SequencerId;
use ves::ed25519::PublicKey;

const ENTITIES: u64 = 1_000;
const CALLS: u64 = 2_000;
/// Milliseconds (issue 7).
const GOAL_MS: f64 = 10.0;
/// Bytes of one bare write: what a call adds to a write-ahead log, about.
const WRITE_BYTES: usize = 8 << 10;
const IN_MEMORY: &str = "/dev/shm";

fn main() -> ExitCode {
    beside::main(|options, notes| {
        let disk = tempfile::tempdir_in(&options.data)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut rows = Vec::new();
        match Path::new(IN_MEMORY).is_dir() {
            true => {
                let memory = tempfile::tempdir_in(IN_MEMORY)?;
                runtime.block_on(measure(memory.path(), "besides the sync", true, options, &mut rows));
            }
            false => notes.push(format!("{IN_MEMORY} is not there: calls besides the sync are not measured")),
        }
        runtime.block_on(measure(disk.path(), "on the disk", false, options, &mut rows));
        let syncs = bare(disk.path());
        rows.extend(told(&format!("bare write and sync of {WRITE_BYTES} bytes on the disk"), syncs));
        Ok(rows)
    })
}

async fn measure(folder: &Path, what: &str, is_judged: bool, options: &Options, rows: &mut Vec<Row>) {
    let mut client = Client::start(folder);
    for n in 0..ENTITIES {
        client.call("inventory_initialize", json!({"product_id": format!("P-{n}"), "quantity": 5})).await;
    }
    let (mut reads, mut lists, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..options.count(CALLS, 100) {
        let id = format!("P-{}", n * 7919 % ENTITIES);
        reads.push(client.timed("inventory_get", json!({"product_id": id})).await);
        lists.push(client.timed("product_search", json!({"query": "nothing"})).await);
        let change = json!({"product_id": id, "adjustment": 1, "idempotency_key": format!("k{n}")});
        writes.push(client.timed("inventory_adjust", change).await);
    }
    for (name, times) in [("inventory_get", reads), ("product_search", lists), ("inventory_adjust", writes)] {
        let [p50, p99] = told(&format!("{name} {what}"), times);
        rows.push(p50);
        rows.push(if is_judged { p99.goal(Goal::AtMost(GOAL_MS)) } else { p99 });
    }
}

/// A client of the stateless revision, in this process.
struct Client {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    number: u64,
}

impl Client {
    fn start(folder: &Path) -> Self {
        let (stream, key) = (stream(1), Key::new(&stream(1), 1));
        let public = PublicKey::from_bytes(&sequencer_key(1).public_key()).expect("a good key");
        let identity = Identity {
            sequencer_id: SequencerId::from_bytes([7; 16]),
            key_version: 1,
            keys: [(1, public)].into(),
        };
        let author =
            Author { agent_id: key.agent_id, key_id: key.key_id, signer: Arc::new(key.signing_key()) };
        // Nobody is there, and nobody is asked: what is measured needs no server.
        let agent = Agent::new(stream, author, identity, "http://127.0.0.1:1".to_owned(), folder.to_owned());
        let desk = desk(&agent, Limits::default(), None).expect("a desk");
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (input, output) = tokio::io::split(theirs);
        tokio::spawn(Server::new(Arc::new(desk)).serve_io(input, output));
        let (output, input) = tokio::io::split(ours);
        Self { input, output: BufReader::new(output).lines(), number: 0 }
    }

    async fn call(&mut self, tool: &str, arguments: Value) {
        self.number += 1;
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        let request = json!({"jsonrpc": "2.0", "id": self.number, "method": "tools/call", "params": params});
        self.input.write_all(format!("{request}\n").as_bytes()).await.expect("it reads");
        let answer = self.output.next_line().await.expect("an answer").expect("a line");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer["result"]["structuredContent"].is_object(), "{tool}: {answer}");
        assert_ne!(answer["result"]["isError"], true, "{tool}: {answer}");
    }

    /// Milliseconds.
    async fn timed(&mut self, tool: &str, arguments: Value) -> f64 {
        let started = Instant::now();
        self.call(tool, arguments).await;
        started.elapsed().as_secs_f64() * 1e3
    }
}

fn bare(folder: &Path) -> Vec<f64> {
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).open(folder.join("bare")).expect("a file");
    let block = vec![0x5a; WRITE_BYTES];
    let mut one = |_| {
        let started = Instant::now();
        file.write_all(&block).and_then(|()| file.sync_data()).expect("writes");
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..500).map(&mut one).collect()
}

/// Half of the calls, and 99 of 100, took at most so many milliseconds.
fn told(what: &str, mut times: Vec<f64>) -> [Row; 2] {
    let mut row = |name: &str, part| Row::new(format!("{what}, {name}"), percentile(&mut times, part), "ms");
    [row("p50", 0.5), row("p99", 0.99)]
}
