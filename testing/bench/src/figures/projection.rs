//! 100 events a request, 16 clients on 16 streams, one server with projections beside it and one without, in turn: what
//! of the rate is lost, and how late the states are when the load ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::events::{Plan, STREAMS, get};
use crate::figures::batch::{cpu_us_per_event, middle};
use crate::load::Round;
use crate::machine::median;
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{Server, Serves};

const CLIENTS: u64 = 16;
const EVENTS: u64 = 100;
/// Longest time for the states to catch up.
const LATE_MAX: Duration = Duration::from_secs(60);

pub fn measure(bench: &mut Bench) -> Result<()> {
    progress("100 events a request, with projections and without");
    let without = Server::start(&Serves::Events(bench.folder.join("unprojected")))?;
    let with = Server::start(&Serves::Projected(bench.folder.join("projected")))?;
    let plan = |requests_per_client| Plan {
        clients: CLIENTS,
        first_stream: 1,
        streams: STREAMS,
        requests_per_client,
        events_per_request: EVENTS,
    };
    for server in [&without, &with] {
        bench.round(server, plan(4))?;
    }
    caught_up(with.address)?;
    let requests = bench.count(75, 4);
    let (mut plain, mut projected, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.count(5, 1) {
        plain.push(bench.round(&without, plan(requests))?);
        projected.push(bench.round(&with, plan(requests))?);
        late.push(caught_up(with.address)?.as_secs_f64() * 1e3);
    }
    without.stop()?;
    with.stop()?;
    let rate = |rounds: &[Round]| middle(rounds, |round| round.per_second() * EVENTS as f64);
    let cost = |rounds: &[Round]| middle(rounds, |round| cpu_us_per_event(round, EVENTS));
    bench.rows.extend([
        Row::new("100 a request, projections beside: throughput / without", rate(&projected), "events/s")
            .floor(rate(&plain))
            .goal(Goal::AtLeast(0.8)),
        Row::new("100 a request, projections beside: server CPU an event / without", cost(&projected), "us")
            .floor(cost(&plain)),
        Row::new("states behind the log when the load ends", median(&mut late), "ms"),
    ]);
    Ok(())
}

/// Waits until no stream is behind; how long it took.
fn caught_up(address: SocketAddr) -> Result<Duration> {
    let since = Instant::now();
    while since.elapsed() < LATE_MAX {
        let overview = ask(address, "/api/v1/admin/overview")?;
        if overview["maxProjectionLag"].as_u64().context("the server tells no lag")? == 0 {
            return Ok(since.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("the states did not catch up in {LATE_MAX:?}")
}

/// One `GET` on a connection of its own.
fn ask(address: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address).context("connecting to the server")?;
    let request = String::from_utf8(get(path).into_vec()).context("a request is text")?;
    stream.write_all(request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading the answer")?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    serde_json::from_str(body).with_context(|| format!("the answer is no JSON: {body}"))
}
