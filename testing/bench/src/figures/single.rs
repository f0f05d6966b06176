//! One event a request: throughput with 64 in flight; with 32 clients, how near it comes to what the disk or the
//! CPU allow, and how long the slowest wait.

use anyhow::Result;

use crate::events::{Plan, STREAMS};
use crate::figures::batch::{cpu_us_per_event, middle};
use crate::load::{self, Round};
use crate::machine::percentile;
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{Server, Serves};
use crate::sync::SyncTimes;

const CLIENTS: u64 = 32;
const IN_FLIGHT: u64 = 64;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let floor_us = bench.floor()?.single_us();
    progress("1 event a request");
    let server = Server::start(&Serves::Events(bench.folder.join("single")))?;
    let empty = Server::start(&Serves::Nothing)?;
    let plan = |clients, requests_per_client| Plan {
        clients,
        first_stream: 1,
        streams: STREAMS,
        requests_per_client,
        events_per_request: 1,
    };
    bench.round(&server, plan(IN_FLIGHT, 40))?;
    let requests = bench.count(1_000, 20);
    let mut syncs = SyncTimes::default();
    let (mut wide, mut rounds, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    let folder = bench.folder.clone();
    for _ in 0..bench.count(5, 1) {
        wide.push(bench.round(&server, plan(IN_FLIGHT, requests))?);
        let of_clients = plan(CLIENTS, requests).build(&mut bench.next);
        syncs.measure(&folder, bench.count(400, 20) as usize)?;
        rounds.push(bench.send(&server, of_clients.clone(), load::all_accepted)?);
        syncs.measure(&folder, bench.count(400, 20) as usize)?;
        nothing.push(bench.send(&empty, of_clients, load::answered)?);
    }
    server.stop()?;
    empty.stop()?;

    let rate = middle(&rounds, Round::per_second);
    let (sync_p50, sync_p99) = (syncs.percentile_us(0.5), syncs.percentile_us(0.99));
    let by_sync = CLIENTS as f64 * 1e6 / sync_p50;
    // Every request takes its share of all cores: that of an empty answer, and then the floor of its event.
    let empty_rate = middle(&nothing, Round::per_second);
    let by_cpu = 1e6 / (1e6 / empty_rate + floor_us / bench.cores as f64);
    let p99 = middle(&rounds, |round| percentile(&mut round.latencies_us.clone(), 0.99));
    let p50 = middle(&rounds, |round| percentile(&mut round.latencies_us.clone(), 0.5));
    let turn = CLIENTS as f64 * middle(&rounds, |round| cpu_us_per_event(round, 1));
    let bound = if by_sync < by_cpu { "sync" } else { "CPU" };
    bench.rows.extend([
        Row::new("1 a request, 64 in flight: throughput", middle(&wide, Round::per_second), "events/s")
            .goal(Goal::AtLeast(25_000.0)),
        Row::new(
            "1 a request, 64 in flight: server CPU an event",
            middle(&wide, |round| cpu_us_per_event(round, 1)),
            "us",
        ),
        Row::new("sync of 40 KiB: median", sync_p50, "us"),
        Row::new("sync of 40 KiB: p99", sync_p99, "us"),
        Row::new("empty handler, 32 clients", empty_rate, "requests/s"),
        Row::new(format!("1 a request, 32 clients / {bound} bound"), rate, "events/s")
            .floor(by_sync.min(by_cpu))
            .goal(Goal::AtLeast(0.8)),
        Row::new("1 a request, 32 clients: median latency", p50, "us"),
        Row::new("1 a request, 32 clients: p99 / (3 syncs at p99 + CPU of a turn)", p99, "us")
            .floor(3.0 * sync_p99 + turn)
            .goal(Goal::AtMost(1.0)),
    ]);
    Ok(())
}
