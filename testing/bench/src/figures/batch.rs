//! 100 events a request, 16 clients: what an event costs the server, and what one stream alone reaches.

use anyhow::Result;

use crate::events::{Plan, STREAMS};
use crate::load::Round;
use crate::machine::median;
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{Server, Serves};

const CLIENTS: u64 = 16;
const EVENTS: u64 = 100;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let floor = bench.floor()?.batched_us();
    progress("100 events a request, 16 clients");
    let server = Server::start(&Serves::Events(bench.folder.join("batch")))?;
    let plan = |streams, requests_per_client| Plan {
        clients: CLIENTS,
        first_stream: 1,
        streams,
        requests_per_client,
        events_per_request: EVENTS,
    };
    // Connections, key tables and files come into being in a round that does not count.
    for streams in [STREAMS, 1] {
        bench.round(&server, plan(streams, 4))?;
    }
    let requests = bench.count(75, 4);
    let (mut many, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..bench.count(5, 1) {
        many.push(bench.round(&server, plan(STREAMS, requests))?);
        alone.push(bench.round(&server, plan(1, requests))?);
    }
    server.stop()?;

    let cores = bench.cores;
    let events_per_second = |rounds: &[Round]| middle(rounds, |round| round.per_second() * EVENTS as f64);
    let cost = middle(&many, |round| cpu_us_per_event(round, EVENTS));
    let busy = middle(&many, |round| round.busy(cores));
    let (many_rate, alone_rate) = (events_per_second(&many), events_per_second(&alone));
    let name = "100 a request, 16 streams";
    bench.rows.extend([
        Row::new(format!("{name}: server CPU an event"), cost, "us").floor(floor).goal(Goal::AtMost(1.5)),
        Row::new(format!("{name}: cores busy (server and load)"), busy, "").goal(Goal::AtLeast(0.9)),
        Row::new(format!("{name}: throughput"), many_rate, "events/s"),
        Row::new("100 a request, one stream alone / 16 streams", alone_rate, "events/s")
            .floor(many_rate)
            .goal(Goal::AtLeast(0.8)),
    ]);
    Ok(())
}

/// The median over rounds.
pub fn middle(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    median(&mut rounds.iter().map(value).collect::<Vec<_>>())
}

/// Server CPU microseconds for each event.
pub fn cpu_us_per_event(round: &Round, events_per_request: u64) -> f64 {
    round.server_cpu.as_secs_f64() * 1e6 / (round.answers * events_per_request) as f64
}
