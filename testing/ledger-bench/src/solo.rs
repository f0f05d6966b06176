//! One process with the engine `solo`, as `stateset up` runs it, on a state of a million notarisations.
//!
//! Requests enter by `Handle::submit`, which is what the RPC's `broadcast_tx_sync` calls; blocks are signed and durable as
//! always. The node's configuration is the default one.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use stateset_abci::comet::Rpc;
use stateset_bench_report::machine::median;
use stateset_bench_report::report::{Goal, Row, progress};
use stateset_fixtures::ledger::{chain, key_of};
use stateset_ledger_app::Ledger;
use stateset_ledger_store::Store;
use stateset_ledger_types::{Genesis, ids::TxId};
use stateset_light::{Certificate, FetchError, Trust, fetch_transaction, validators_hash};
use stateset_solo::{
    Committed, Engine, EngineParts, Handle, LastSigned, MempoolError, Node, NodeConfig, SubmitError,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::Bench;
use crate::filled::Filled;
use crate::load::{Book, Pace, Round};
use crate::requests::{ENTITIES, Signed, genesis, lots, signed_lots};

const PER_SECOND_MIN: f64 = 5_000.0;
const P99_MS_MAX: f64 = 500.0;
const VERIFY_MS_MAX: f64 = 1.0;
/// A machine that takes so much of the goal at most is offered the goal at a steady pace; another one, so much of what it takes.
const TAKES: f64 = 1.05;
const OF_MOST: f64 = 0.8;
/// Threads that send; each has the requests of half of the entities.
const SENDERS: u8 = 2;
/// Three blocks' worth by the quota of the entities: one that is stored, one that is executed meanwhile, and one that fills.
const IN_FLIGHT: u64 = 9_600;
const PATIENCE: Duration = Duration::from_secs(30);
/// Seed of the validator's key.
const VALIDATOR: u8 = 101;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let behind = bench.count(1_000_000, 20_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = bench.folder.join("solo");
    std::fs::create_dir_all(&folder)?;
    let made = genesis(&[key_of(VALIDATOR).public_key()], now_ms());
    progress(&format!("filling a state with {behind} notarisations"));
    let begun = Instant::now();
    let engine = engine(&folder, &made, behind)?;
    progress(&format!("  filled in {:.0} s", begun.elapsed().as_secs_f64()));
    let store = engine.store();
    let inside = runtime.enter();
    let node = Node::spawn(engine, NodeConfig::default());
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let rpc = Rpc::new(&format!("http://{}", listener.local_addr()?));
    runtime.spawn(stateset_solo::rpc::serve(listener, node.handle(), stateset_solo::rpc::HEAD_TIME_MAX));
    drop(inside);

    let lots = lots(SENDERS);
    let (warm, count, seconds) = (bench.count(200, 20), bench.count(5_000, 200), bench.count(15, 1));
    let params = &made.params;
    let round = |first, count, pace| -> Result<(Round, TxId)> {
        progress(&format!("  signing {} notarisations", count * u32::from(ENTITIES)));
        let signed = signed_lots(params, &lots, first, count);
        let last = signed[0].last().context("no requests")?.tx_id;
        progress("  sending them");
        let round = send(&runtime, &node.handle(), &signed, pace)?;
        progress(&format!(
            "  {:.0} a second in {} blocks, {:.0} us of processors each",
            round.per_second(),
            round.blocks,
            round.cpu_us()
        ));
        Ok((round, last))
    };
    round(0, warm, Pace::InFlight(IN_FLIGHT))?;
    let before = store.sizes()?;
    let (fast, _) = round(warm, count, Pace::InFlight(IN_FLIGHT))?;
    let after = store.sizes()?;
    // On a machine that cannot take the goal, latency at the goal would be that of a growing queue.
    let (most, wanted) = (fast.per_second(), 1.02 * PER_SECOND_MIN);
    let offered = if most >= TAKES * PER_SECOND_MIN { wanted } else { wanted.min(OF_MOST * most) };
    let paced = (offered * f64::from(seconds) / f64::from(ENTITIES)) as u32;
    let (mut steady, last) = round(warm + count, paced, Pace::PerSecond(offered))?;
    let (bytes, verified) = certificate(&rpc, &made, &last)?;
    runtime.block_on(node.stop())?;
    let grown = |before: u64, after: u64| (after as f64 - before as f64) / fast.latencies.len() as f64;
    let (state, records) = (grown(before.state, after.state), grown(before.records, after.records));
    let latest = store.latest()?.context("no state")?;
    while store.prune(latest, 1_000)? > 0 {}
    let kept = store.sizes()?.state as f64 - before.state as f64;
    let kept = kept / (fast.latencies.len() + steady.latencies.len()) as f64;
    drop(runtime);
    let per_block = steady.latencies.len() as f64 / steady.blocks.max(1) as f64;
    bench.rows.extend([
        Row::new("solo: as many as it takes", fast.per_second(), "notarisations/s")
            .goal(Goal::AtLeast(PER_SECOND_MIN)),
        Row::new("solo: processor time of node and senders", fast.cpu_us(), "us/notarisation"),
        Row::new(
            "solo: processors that they got meanwhile",
            fast.cpu.as_secs_f64() / fast.took.as_secs_f64(),
            "",
        ),
        Row::new("solo: offered at a steady pace", offered, "notarisations/s"),
        Row::new("solo: sustained of it", steady.per_second(), "notarisations/s")
            .goal(Goal::AtLeast(PER_SECOND_MIN)),
        Row::new("solo: sent to stored at that pace, p50", steady.latency(0.5), "ms"),
        Row::new("solo: sent to stored at that pace, p99", steady.latency(0.99), "ms")
            .goal(Goal::AtMost(P99_MS_MAX)),
        Row::new("solo: notarisations a block at that pace", per_block, ""),
        Row::new("solo: growth of the state, all heights kept", state, "bytes/notarisation"),
        Row::new("solo: growth of the state, pruned", kept, "bytes/notarisation"),
        Row::new("solo: growth of blocks, results and indexes", records, "bytes/notarisation"),
        Row::new("solo: a certificate", bytes, "bytes"),
        Row::new("solo: verifying a certificate", verified, "ms").goal(Goal::AtMost(VERIFY_MS_MAX)),
    ]);
    bench.notes.push(format!(
        "solo: {ENTITIES} entities send into the node's pool in its process; the first state holds {behind} spent keys and as \
         many records; indexes of transactions began empty"
    ));
    Ok(())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn engine(folder: &Path, genesis: &Genesis, behind: u32) -> Result<Engine<Filled>> {
    let parts = EngineParts {
        application: Arc::new(Filled { ledger: Ledger::new(), notarisations: behind }),
        store: Arc::new(Store::open(&folder.join("state.redb"))?),
        keys: vec![Arc::new(key_of(VALIDATOR))],
        last_signed: LastSigned::open(folder)?,
        trust_stored_height: false,
    };
    Ok(Engine::start(parts, genesis.to_json().as_bytes())?.0)
}

/// Sends `signed` and waits until all stand in blocks, each with success.
fn send(runtime: &Runtime, node: &Handle<Filled>, signed: &[Vec<Signed>], pace: Pace) -> Result<Round> {
    let book = Book::new(signed);
    let mut blocks = node.blocks();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(runtime, &mut blocks, &book).inspect_err(|_| book.stop()));
        let round = book.run(signed, pace, PATIENCE, &|_, signed| {
            let result = loop {
                match node.submit(&signed.bytes) {
                    // The request stays due since it was: waiting for room is part of its latency.
                    Err(SubmitError::Pool(MempoolError::Full { .. })) => {
                        ensure!(!book.is_done(), "the node stopped with a full pool");
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    submitted => break submitted?.1,
                }
            };
            ensure!(result.code == 0, "a notarisation was refused: {}", result.log);
            Ok(())
        });
        reader.join().expect("reading does not panic")?;
        let round = round?;
        ensure!(round.missing == 0, "{} notarisations came into no block", round.missing);
        Ok(round)
    })
}

/// Notes each block, whose transactions must all have succeeded, until `book` is done.
fn read(runtime: &Runtime, blocks: &mut Receiver<Committed>, book: &Book) -> Result<()> {
    while !book.is_done() {
        let next =
            runtime.block_on(async { tokio::time::timeout(Duration::from_millis(100), blocks.recv()).await });
        // Time for another look.
        let Ok(next) = next else { continue };
        let committed = next.map_err(|error| match error {
            RecvError::Lagged(_) => anyhow!("blocks came faster than they were read"),
            RecvError::Closed => anyhow!("the node stopped"),
        })?;
        if let Some(failed) = committed.results.0.tx_results.iter().find(|result| result.code != 0) {
            return Err(anyhow!("a notarisation failed in its block: {}", failed.log));
        }
        let data = committed.block.data.as_ref();
        book.block(data.iter().flat_map(|data| data.txs.iter().map(Vec::as_slice)));
    }
    Ok(())
}

/// Bytes of the certificate of `tx_id`, and milliseconds to read and verify it offline.
fn certificate(rpc: &Rpc, genesis: &Genesis, tx_id: &TxId) -> Result<(f64, f64)> {
    let mut call = |method: &str, params: &Value| rpc.call(method, params);
    let begun = Instant::now();
    let certificate = loop {
        match fetch_transaction(&mut call, tx_id) {
            // The block with the new app hash follows at once.
            Err(FetchError::NotYet) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            fetched => break fetched.map_err(|error| anyhow!("{error}"))?,
        }
    };
    let bytes = certificate.to_bytes()?;
    ensure!(genesis.chain_id == chain(), "another chain");
    let trust = Trust::Validators {
        chain_id: &genesis.chain_id,
        hash: validators_hash(&certificate.block.validators),
        clock_drift: Duration::from_secs(10),
    };
    let mut times = Vec::new();
    for _ in 0..501 {
        let begun = Instant::now();
        let finality = Certificate::from_bytes(&bytes)?.verify(tx_id, &trust, now_ms())?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(finality.record.inputs == 1, "another record");
    }
    Ok((bytes.len() as f64, median(&mut times)))
}
