//! Four validators under CometBFT on this machine, beside CometBFT's own application `kvstore` with transactions of the same
//! size at the same pace, sent and watched in the same way.
//!
//! Requests go to the nodes' RPC, a quarter to each; a request is final for its sender once the first node shows its block's
//! results.

mod network;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_abci::comet::{Program, Rpc, RpcError, Timing};
use stateset_bench_report::report::{Goal, Row, progress};
use stateset_fixtures::cometbft;

use crate::Bench;
use crate::load::{Book, Pace, Round};
use crate::requests::{ENTITIES, Signed, genesis, lots, signed_lots};
use network::{Kind, Network};

const PER_SECOND_MIN: f64 = 500.0;
/// A little above the goal.
const OFFERED: f64 = 600.0;
const OF_KVSTORE_MIN: f64 = 0.7;
const SENDERS: u8 = 8;
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// For validators that are near to each other.
const TUNED: Timing = Timing {
    propose: Duration::from_secs(1),
    vote: Duration::from_millis(300),
    commit: Duration::from_millis(100),
    empty_block_interval: Duration::from_secs(5),
};

/// Says at once, before anything is measured, what is missing.
pub fn check() -> Result<()> {
    program().map(drop)
}

fn program() -> Result<Program> {
    let installed = cometbft::program().context("CometBFT is missing: run `cargo xtask install`")?;
    Program::find(Some(&installed), |_| None).map_err(|missing| anyhow!("{missing}"))
}

pub fn measure(bench: &mut Bench) -> Result<()> {
    let program = program()?;
    let each = bench.count(12 * OFFERED as u32 / u32::from(ENTITIES), 60);
    progress("signing notarisations");
    let signed = signed_lots(&genesis(&[], 0).params, &lots(SENDERS), 0, each);
    let bytes = signed[0].first().context("no requests")?.bytes.len();
    let pairs: Vec<Vec<Signed>> = signed.iter().map(|lot| pairs(lot, bytes)).collect();
    for (name, timing) in [("default time-outs", Timing::default()), ("tuned time-outs", TUNED)] {
        progress(&format!("four validators of kvstore, {name}"));
        let mut theirs = round(bench, &program, Kind::KeyValue, timing, &pairs)?;
        progress(&format!("four validators of the ledger, {name}"));
        let mut ours = round(bench, &program, Kind::Ledger, timing, &signed)?;
        let (rate, their_rate) = (ours.per_second(), theirs.per_second());
        let figure = |what: &str| format!("4 validators, {name}: {what}");
        bench.rows.extend([
            Row::new(figure("offered 600 a second"), rate, "notarisations/s")
                .goal(Goal::AtLeast(PER_SECOND_MIN)),
            Row::new(figure("the same beside kvstore"), rate, "1/s")
                .floor(their_rate)
                .goal(Goal::AtLeast(OF_KVSTORE_MIN)),
            Row::new(figure("sent to final, p50, beside kvstore"), ours.latency(0.5), "ms")
                .floor(theirs.latency(0.5)),
            Row::new(figure("sent to final, p99, beside kvstore"), ours.latency(0.99), "ms")
                .floor(theirs.latency(0.99)),
        ]);
        if ours.missing + theirs.missing > 0 {
            bench.notes.push(format!(
                "comet, {name}: {} of the ledger and {} of kvstore came into no block",
                ours.missing, theirs.missing
            ));
        }
    }
    bench.notes.push(format!(
        "comet: requests of {bytes} bytes; kvstore keeps its state in memory and checks no signature, the ledger's state is durable"
    ));
    Ok(())
}

/// As many transactions of kvstore, `key=value`, of the same size.
fn pairs(lot: &[Signed], bytes: usize) -> Vec<Signed> {
    let pair = |signed: &Signed| {
        let mut text = format!("{}=", signed.tx_id);
        text.extend(std::iter::repeat_n('a', bytes.saturating_sub(text.len())));
        Signed { tx_id: signed.tx_id, bytes: text.into_bytes().into() }
    };
    lot.iter().map(pair).collect()
}

fn round(
    bench: &Bench,
    program: &Program,
    kind: Kind,
    timing: Timing,
    lots: &[Vec<Signed>],
) -> Result<Round> {
    let folder = bench.folder.join("comet");
    let network = Network::start(&folder, program, kind, timing)?;
    let book = Book::new(lots);
    let round = std::thread::scope(|scope| {
        let reader = scope.spawn(|| watch(&network.nodes[0], &book).inspect_err(|_| book.stop()));
        let round = book.run(lots, Pace::PerSecond(OFFERED), PATIENCE, &|at, signed| {
            let node = &network.nodes[at % network.nodes.len()];
            let answer =
                node.call("broadcast_tx_sync", &json!({"tx": Base64::encode_string(&signed.bytes)}))?;
            ensure!(answer["code"] == json!(0), "a transaction was refused: {}", answer["log"]);
            Ok(())
        });
        reader.join().expect("reading does not panic")?;
        round
    });
    drop(network);
    std::fs::remove_dir_all(&folder)?;
    round
}

/// Notes each new block of `node` once its results are there; its transactions must all have succeeded. Until `book` is done.
fn watch(node: &Rpc, book: &Book) -> Result<()> {
    let mut next = 1u64;
    while !book.is_done() {
        let begun = Instant::now();
        let height = json!({"height": next.to_string()});
        match node.call("block_results", &height) {
            Ok(mut results) => {
                let block = node.call("block", &height)?;
                let listed = block["block"]["data"]["txs"].as_array().cloned().unwrap_or_default();
                let read = |text: &Value| Base64::decode_vec(text.as_str().unwrap_or_default());
                let txs = listed.iter().map(read).collect::<Result<Vec<_>, _>>();
                let txs = txs.map_err(|error| anyhow!("{error}"))?;
                book.block(txs.iter().map(Vec::as_slice));
                let results = results["txs_results"].take();
                let results = results.as_array().map_or(&[][..], Vec::as_slice);
                let failed = results.iter().find(|result| result["code"] != json!(0));
                ensure!(failed.is_none(), "a transaction failed in block {next}: {failed:?}");
                ensure!(results.len() == txs.len(), "results are missing");
                next += 1;
            }
            // So it answers until the block is executed.
            Err(RpcError::Refused { .. }) => std::thread::sleep(LOOK.saturating_sub(begun.elapsed())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
