//! A stream of a million events: proofs, throughput against a short stream, start, memory.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use stateset_event_log::{SqliteReader, copy_log};
use stateset_fixtures::{Seed, stream};
use stateset_postgres::{Server as Cluster, Settings};
use ves::{BatchId, SequenceNumber, StreamKey};

use crate::events::{LONG_STREAM, Plan, get};
use crate::figures::batch::middle;
use crate::load::{self, Round};
use crate::machine::{median, percentile};
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{self, Server, Serves, Store};

/// An event and the batch that holds it.
type Place = (SequenceNumber, BatchId);

pub fn measure(bench: &mut Bench) -> Result<()> {
    let key = stream(LONG_STREAM);
    let (folder, events) = bench.long_store()?;
    progress("proofs");
    let samples = bench.count(4_000, 200);
    let (places, in_process) = proofs_in_process(&folder, &key, events, samples)?;
    let mut starts = Vec::new();
    for _ in 0..bench.count(3, 1) {
        let server = Server::start(&Serves::Events(folder.clone()))?;
        starts.push(server.start.as_secs_f64() * 1e3);
        server.stop()?;
    }
    let on_postgres = proofs_on_postgres(bench, &folder, &key, &places)?;
    let long = Server::start(&Serves::Events(folder))?;
    let over_http = proofs_over_http(bench, &long, &key, &places)?;
    let (long_rate, short_rate) = throughput(bench, &long)?;
    let memory = long.memory_peak()? as f64 / f64::from(1 << 20);
    long.stop()?;

    let label = format!("stream of {events} events");
    bench.rows.extend([
        Row::new(format!("{label}: inclusion proof in process, median"), in_process, "us")
            .goal(Goal::AtMost(50.0)),
        Row::new(format!("{label}: inclusion proof over HTTP, p99"), over_http, "us")
            .goal(Goal::AtMost(2_000.0)),
        Row::new(format!("{label} on PostgreSQL: inclusion proof over HTTP, p99"), on_postgres, "us")
            .goal(Goal::AtMost(2_000.0)),
        Row::new(format!("{label}: throughput / that of a short stream"), long_rate, "events/s")
            .floor(short_rate)
            .goal(Goal::AtLeast(0.95)),
        Row::new(format!("{label}: start after a clean stop"), median(&mut starts), "ms")
            .goal(Goal::AtMost(1_000.0)),
        Row::new(format!("{label}: most memory of the server"), memory, "MiB").goal(Goal::AtMost(256.0)),
    ]);
    Ok(())
}

/// Places all over the stream, and the median time of one proof, each for another place.
fn proofs_in_process(folder: &Path, key: &StreamKey, events: u64, samples: u64) -> Result<(Vec<Place>, f64)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let sequencer = server::open(folder).await?;
        let committed = sequencer.head(key).latest_commitment.context("nothing is committed")?.sequence_end;
        let mut seed = Seed::new("proofs", events);
        let mut places = Vec::with_capacity(samples as usize);
        for _ in 0..samples {
            let number = SequenceNumber(1 + seed.below(committed.get()));
            let batches = sequencer.commitments(key, number, 1).await?;
            places.push((number, batches.first().context("a committed event without a batch")?.batch_id));
        }
        let mut times = Vec::with_capacity(places.len());
        for (number, batch) in &places {
            let started = Instant::now();
            let proof = sequencer.inclusion_proof(key, batch, *number).await?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
            let leaf_count = u64::from(proof.commitment.leaf_count);
            ves::merkle::verify_inclusion(
                &proof.leaf_hash,
                &proof.commitment.merkle_root,
                Some(leaf_count),
                &proof.proof,
            )?;
        }
        sequencer.shutdown().await;
        Ok((places, median(&mut times)))
    })
}

/// The same proofs of the same log, copied to a PostgreSQL database.
fn proofs_on_postgres(bench: &mut Bench, folder: &Path, key: &StreamKey, places: &[Place]) -> Result<f64> {
    progress("a copy of the long stream on PostgreSQL, and its proofs");
    let cluster = Cluster::start(Settings { inside: Some(bench.folder.clone()), ..Settings::default() });
    let url = cluster.url(&cluster.database());
    let mut copy = Store::Database(url.clone()).open()?;
    let from = SqliteReader::open(folder.join("events.db")).context("opening the long store")?;
    copy_log(&from, copy.as_mut(), &mut |_| {}).context("copying the long stream")?;
    copy.close().context("closing the copy")?;
    let server = Server::start(&Serves::Database(url))?;
    let p99 = proofs_over_http(bench, &server, key, places)?;
    server.stop()?;
    Ok(p99)
}

fn proofs_over_http(bench: &mut Bench, server: &Server, key: &StreamKey, places: &[Place]) -> Result<f64> {
    let path = |(number, batch): &Place| {
        let StreamKey { tenant_id, store_id } = key;
        get(&format!(
            "/api/v1/ves/proofs/{number}?tenant_id={tenant_id}&store_id={store_id}&batch_id={batch}"
        ))
    };
    let clients =
        places.chunks(places.len().div_ceil(2)).map(|places| places.iter().map(path).collect()).collect();
    let mut round = bench.send(server, clients, load::answered)?;
    Ok(percentile(&mut round.latencies_us, 0.99))
}

/// Events a second on the long stream, and on streams of 10^4 events, round by round in turn.
fn throughput(bench: &mut Bench, long: &Server) -> Result<(f64, f64)> {
    progress("throughput on the long and on short streams");
    let plan = |requests_per_client| Plan {
        clients: 16,
        first_stream: LONG_STREAM,
        streams: 1,
        requests_per_client,
        events_per_request: 100,
    };
    let (warm_up, requests) = (plan(4), plan(bench.count(25, 2)));
    let (mut long_rounds, mut short_rounds) = (Vec::new(), Vec::new());
    for n in 0..bench.count(5, 1) {
        let folder = bench.folder.join(format!("short-{n}"));
        crate::fill::fill(&folder, 1, bench.count(10_000, 1_000))?;
        let short = Server::start(&Serves::Events(folder.clone()))?;
        for (server, rounds) in [(&short, &mut short_rounds), (long, &mut long_rounds)] {
            bench.round(server, warm_up)?;
            rounds.push(bench.round(server, requests)?);
        }
        short.stop()?;
        std::fs::remove_dir_all(folder)?;
    }
    let rate = |rounds: &[Round]| middle(rounds, |round| round.per_second() * 100.0);
    Ok((rate(&long_rounds), rate(&short_rounds)))
}
