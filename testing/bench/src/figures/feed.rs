//! Listeners to the live feed: what they cost while nothing happens, and how soon all of them have an event.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::events::{Writer, get, ingest_request, writers};
use crate::machine;
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{Server, Serves};

/// Goals are for so many.
const LISTENERS: u64 = 1_000;
const LONG: Duration = Duration::from_secs(30);
/// One event at a time to all of them.
const ROUNDS: u64 = 30;
/// What a server has at its start grows no more after so many requests.
const WARM_REQUESTS: u64 = 200;
const MIB: f64 = (1 << 20) as f64;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let (listeners, rounds) = (bench.count(LISTENERS, 50), bench.count(ROUNDS, 3));
    progress(&format!("{listeners} listeners to the live feed"));
    let server = Server::start(&Serves::Events(bench.folder.join("feed")))?;
    let first = bench.next;
    bench.next += WARM_REQUESTS + rounds;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (memory, mut times) = runtime.block_on(listen(&server, listeners, first, rounds))?;
    server.stop()?;
    let worst = times.iter().copied().fold(0.0, f64::max);
    bench.rows.extend([
        Row::new(format!("{listeners} idle listeners: memory of the server"), memory / MIB, "MiB")
            .goal(Goal::AtMost(100.0)),
        Row::new(
            format!("one event to {listeners} listeners: until the last has it, middle"),
            machine::median(&mut times),
            "ms",
        ),
        Row::new(format!("one event to {listeners} listeners: until the last has it, longest"), worst, "ms")
            .goal(Goal::AtMost(100.0)),
    ]);
    Ok(())
}

/// Bytes by which the listeners raise the server's memory, and milliseconds from sending an event to its last arrival.
async fn listen(server: &Server, listeners: u64, first: u64, rounds: u64) -> Result<(f64, Vec<f64>)> {
    let (stream, writers) = writers(1, 1);
    let writer = &writers[0];
    let mut sender = TcpStream::connect(server.address).await.context("connecting to the server")?;
    for n in first..first + WARM_REQUESTS {
        send(&mut sender, writer, &stream, n).await?;
    }
    let before = server.memory_peak()?;
    let path = format!("/api/v1/events/stream?tenant_id={}&store_id={}", stream.tenant_id, stream.store_id);
    let mut feeds = Vec::new();
    for _ in 0..listeners {
        feeds.push(open(server.address, &get(&path)).await?);
    }
    // Past the first looks at credentials.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let memory = server.memory_peak()? - before;
    let mut times = Vec::new();
    for round in 0..rounds {
        let mut waiting = JoinSet::new();
        for mut feed in feeds.drain(..) {
            waiting.spawn(async move {
                let at = until_event(&mut feed).await?;
                anyhow::Ok((feed, at))
            });
        }
        let began = Instant::now();
        send(&mut sender, writer, &stream, first + WARM_REQUESTS + round).await?;
        let mut last = began;
        while let Some(came) = waiting.join_next().await {
            let (feed, at) = came.context("a listener")??;
            last = last.max(at);
            feeds.push(feed);
        }
        times.push(last.duration_since(began).as_secs_f64() * 1e3);
    }
    Ok((memory as f64, times))
}

/// Asks for a feed, and reads until it has begun.
async fn open(address: SocketAddr, request: &[u8]) -> Result<TcpStream> {
    let mut feed = TcpStream::connect(address).await.context("connecting to the server")?;
    feed.write_all(request).await.context("asking for a feed")?;
    let mut text = Vec::new();
    while !contains(&text, b"retry: ") {
        read(&mut feed, &mut text).await?;
    }
    ensure!(text.starts_with(b"HTTP/1.1 200 "), "a feed was refused: {}", String::from_utf8_lossy(&text));
    Ok(feed)
}

/// Reads to the end of the next event.
async fn until_event(feed: &mut TcpStream) -> Result<Instant> {
    let mut text = Vec::new();
    loop {
        read(feed, &mut text).await?;
        let data = text.windows(6).position(|part| part == b"data: ");
        if data.is_some_and(|at| contains(&text[at..], b"\n\n")) {
            return Ok(Instant::now());
        }
    }
}

async fn read(feed: &mut TcpStream, text: &mut Vec<u8>) -> Result<()> {
    let read = timeout(LONG, feed.read_buf(text)).await.context("a feed says nothing")??;
    ensure!(read > 0, "a feed ended: {}", String::from_utf8_lossy(text));
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Sends one event, and reads the answer.
async fn send(sender: &mut TcpStream, writer: &Writer, stream: &ves::StreamKey, n: u64) -> Result<()> {
    sender
        .write_all(&ingest_request(writer, &[writer.event(stream, n)]))
        .await
        .context("sending an event")?;
    let mut text = Vec::new();
    while !contains(&text, b"\"receipts\"") || !text.ends_with(b"}") {
        read(sender, &mut text).await?;
    }
    ensure!(contains(&text, b"\"eventsAccepted\":1"), "{}", String::from_utf8_lossy(&text));
    Ok(())
}
