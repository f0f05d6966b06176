//! 64 connections send events signed by keys that nobody registered, as fast as they are answered. The other callers must
//! hardly feel it: their p99 stays within three times of what it is without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use rayon::prelude::*;

use crate::events::{FLOOD_KEY, Plan, STREAMS, Writer, post_as};
use crate::figures::batch::middle;
use crate::load::{self, Round};
use crate::machine::percentile;
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{Server, Serves};

/// Callers whose time is measured, one event a request.
const CLIENTS: u64 = 8;
/// Connections of the flood, and events of each of its requests.
const FLOOD_CONNECTIONS: usize = 64;
const FLOOD_EVENTS: u64 = 100;
/// Requests that each of them sends again and again: what is refused leaves no trace.
const FLOOD_REQUESTS: u64 = 4;

pub fn measure(bench: &mut Bench) -> Result<()> {
    progress("a flood of unknown keys");
    let server = Server::start(&Serves::Events(bench.folder.join("flood")))?;
    let requests_per_client = bench.count(1_000, 50);
    let plan = Plan {
        clients: CLIENTS,
        first_stream: 1,
        streams: STREAMS,
        requests_per_client,
        events_per_request: 1,
    };
    let flood = requests();
    bench.round(&server, plan)?;
    let (mut alone, mut flooded, mut refused) = (Vec::new(), Vec::new(), 0);
    for _ in 0..bench.count(5, 1) {
        alone.push(bench.round(&server, plan)?);
        let running = Flood::start(server.address, &flood)?;
        flooded.push(bench.round(&server, plan)?);
        refused += running.stop()?;
    }
    server.stop()?;
    ensure!(refused > 0, "the flood sent nothing");
    let p99 = |rounds: &[Round]| middle(rounds, |round| percentile(&mut round.latencies_us.clone(), 0.99));
    let (before, during) = (p99(&alone), p99(&flooded));
    bench.rows.extend([
        Row::new("8 clients, 1 a request: p99", before, "us"),
        Row::new("the same beside 64 connections with unknown keys: p99 / without", during, "us")
            .floor(before)
            .goal(Goal::AtMost(3.0)),
        Row::new("requests of the flood answered meanwhile", refused as f64, "requests"),
    ]);
    Ok(())
}

/// Well-formed requests by agents that no registry knows.
fn requests() -> Vec<Box<[u8]>> {
    let (key, _) = crate::events::writers(1, STREAMS);
    (0..FLOOD_REQUESTS)
        .into_par_iter()
        .map(|n| {
            let stranger = Writer::new(&key, 1_000_000 + n);
            let events: Vec<_> =
                (0..FLOOD_EVENTS).map(|i| stranger.event(&key, 900_000_000 + n * FLOOD_EVENTS + i)).collect();
            let body = stateset_fixtures::ingest_body(stranger.agent.agent_id, &events);
            post_as(FLOOD_KEY, "/api/v1/ves/events/ingest", body.as_bytes())
        })
        .collect()
}

/// Connections on a thread of their own, until they are stopped.
struct Flood {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Flood {
    /// Comes back once the server has answered some of it.
    fn start(address: SocketAddr, requests: &[Box<[u8]>]) -> Result<Self> {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = {
            let (stop, answered, requests) = (stop.clone(), answered.clone(), requests.to_vec());
            std::thread::spawn(move || load::repeat(address, FLOOD_CONNECTIONS, &requests, &stop, &answered))
        };
        while answered.load(Ordering::Relaxed) < FLOOD_CONNECTIONS as u64 && !thread.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(Self { stop, answered, thread })
    }

    /// How many requests were answered.
    fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the flood panicked")??;
        Ok(self.answered.load(Ordering::Relaxed))
    }
}
