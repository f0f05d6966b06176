//! The load generator: one thread, keep-alive connections, ready-made requests, answers read by their length.
//!
//! Each connection has one request in flight. The measured window closes when the first connection has nothing left
//! to send, so that it never contains a time in which fewer clients than planned were at work.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::machine;

/// Longest time one round may take.
const ROUND_SECONDS_MAX: u64 = 120;

/// What one round saw inside its window.
#[derive(Debug, Clone)]
pub struct Round {
    pub wall: Duration,
    pub answers: u64,
    /// Microseconds from the first byte sent to the last byte received.
    pub latencies_us: Vec<f64>,
    /// CPU time of the watched server process.
    pub server_cpu: Duration,
    /// CPU time of this process.
    pub load_cpu: Duration,
    /// CPU time of the whole machine, other programs included.
    pub machine_cpu: Duration,
}

impl Round {
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.wall.as_secs_f64()
    }
    /// Fraction of `cores` that server and generator kept busy.
    pub fn busy(&self, cores: usize) -> f64 {
        (self.server_cpu + self.load_cpu).as_secs_f64() / (self.wall.as_secs_f64() * cores as f64)
    }
    /// Fraction of `cores` that other programs took.
    pub fn others(&self, cores: usize) -> f64 {
        let others = self.machine_cpu.saturating_sub(self.server_cpu + self.load_cpu);
        others.as_secs_f64() / (self.wall.as_secs_f64() * cores as f64)
    }
}

/// Whether an answer is the one that was hoped for: its status and the beginning of its body.
pub type Check = fn(u16, &[u8]) -> bool;

/// Every event of the request was accepted.
pub fn all_accepted(status: u16, body: &[u8]) -> bool {
    let head = &body[..body.len().min(256)];
    status == 200
        && find(head, b"\"eventsRejected\":0").is_some()
        && find(head, b"\"eventsAccepted\":0").is_none()
}

/// Any success.
pub fn answered(status: u16, _: &[u8]) -> bool {
    status == 200
}

struct Window {
    open: Cell<bool>,
    closed: Cell<Option<Reading>>,
    answers: Cell<u64>,
    latencies_us: RefCell<Vec<f64>>,
    pid: u32,
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    server: Duration,
    load: Duration,
    machine: Duration,
}

impl Reading {
    fn now(pid: u32) -> Result<Self> {
        let (server, machine) = (machine::cpu_of(pid)?, machine::machine_busy()?);
        Ok(Self { at: Instant::now(), server, load: machine::process_cpu(), machine })
    }
}

/// Sends each client's requests one after the other, all clients at once, and watches process `pid`.
///
/// # Errors
/// A connection that fails, an answer that `check` refuses, or a round longer than two minutes.
pub fn run(address: SocketAddr, pid: u32, clients: Vec<Vec<Box<[u8]>>>, check: Check) -> Result<Round> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = Duration::from_secs(ROUND_SECONDS_MAX);
    let round = LocalSet::new();
    runtime.block_on(round.run_until(async {
        tokio::time::timeout(limit, drive(address, pid, clients, check))
            .await
            .context("a round took too long")?
    }))
}

/// Sends `requests` in turn over so many connections, until it is told to stop; every answer counts.
///
/// # Errors
/// A connection that fails.
pub fn repeat(
    address: SocketAddr,
    connections: usize,
    requests: &[Box<[u8]>],
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let clients = (0..connections).map(|first| async move {
            let mut stream = TcpStream::connect(address).await.context("connecting to the server")?;
            let mut buffer = vec![0; 1 << 16];
            for request in requests.iter().cycle().skip(first % requests.len()) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                stream.write_all(request).await.context("sending a request")?;
                read_answer(&mut stream, &mut buffer).await?;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(clients).await.map(drop)
    })
}

async fn drive(address: SocketAddr, pid: u32, clients: Vec<Vec<Box<[u8]>>>, check: Check) -> Result<Round> {
    let window = Rc::new(Window {
        open: Cell::new(true),
        closed: Cell::new(None),
        answers: Cell::new(0),
        latencies_us: RefCell::new(Vec::with_capacity(clients.iter().map(Vec::len).sum())),
        pid,
    });
    let mut connections = Vec::with_capacity(clients.len());
    for _ in &clients {
        let stream = TcpStream::connect(address).await.context("connecting to the server")?;
        stream.set_nodelay(true)?;
        connections.push(stream);
    }
    let started = Reading::now(pid)?;
    let mut tasks = JoinSet::new();
    for (stream, requests) in connections.into_iter().zip(clients) {
        tasks.spawn_local(client(stream, requests, window.clone(), check));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a client stopped")??;
    }
    let ended = window.closed.get().context("no client finished")?;
    Ok(Round {
        wall: ended.at - started.at,
        answers: window.answers.get(),
        latencies_us: window.latencies_us.take(),
        server_cpu: ended.server.saturating_sub(started.server),
        load_cpu: ended.load.saturating_sub(started.load),
        machine_cpu: ended.machine.saturating_sub(started.machine),
    })
}

async fn client(
    mut stream: TcpStream,
    requests: Vec<Box<[u8]>>,
    window: Rc<Window>,
    check: Check,
) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    for request in &requests {
        if !window.open.get() {
            break;
        }
        let sent = Instant::now();
        stream.write_all(request).await.context("sending a request")?;
        let (status, body) = read_answer(&mut stream, &mut buffer).await?;
        ensure!(
            check(status, body),
            "the server answered {status}: {}",
            String::from_utf8_lossy(&body[..body.len().min(600)])
        );
        if window.open.get() {
            window.answers.set(window.answers.get() + 1);
            window.latencies_us.borrow_mut().push(sent.elapsed().as_secs_f64() * 1e6);
        }
    }
    if window.open.replace(false) {
        window.closed.set(Some(Reading::now(window.pid)?));
    }
    Ok(())
}

/// Reads one answer; the body lies in `buffer`.
async fn read_answer<'b>(stream: &mut TcpStream, buffer: &'b mut Vec<u8>) -> Result<(u16, &'b [u8])> {
    let mut filled = 0;
    let (status, body_at, end) = loop {
        filled += read_some(stream, buffer, filled).await?;
        if let Some(at) = find(&buffer[..filled], b"\r\n\r\n") {
            let head = &buffer[..at + 2];
            break (status_of(head)?, at + 4, at + 4 + content_length(head)?);
        }
        ensure!(filled < buffer.len(), "the head of an answer does not fit {} bytes", buffer.len());
    };
    if buffer.len() < end {
        buffer.resize(end, 0);
    }
    while filled < end {
        filled += read_some(stream, buffer, filled).await?;
    }
    ensure!(filled == end, "the server sent more than its answer");
    Ok((status, &buffer[body_at..end]))
}

async fn read_some(stream: &mut TcpStream, buffer: &mut [u8], filled: usize) -> Result<usize> {
    match stream.read(&mut buffer[filled..]).await.context("reading an answer")? {
        0 => bail!("the server closed the connection"),
        n => Ok(n),
    }
}

fn status_of(head: &[u8]) -> Result<u16> {
    let digits = head.get(9..12).and_then(|text| std::str::from_utf8(text).ok());
    digits.and_then(|text| text.parse().ok()).context("an answer without a status")
}

fn content_length(head: &[u8]) -> Result<usize> {
    let name = b"\r\ncontent-length: ";
    let at = find(head, name).context("an answer without content-length")? + name.len();
    let digits = head[at..].iter().take_while(|b| b.is_ascii_digit());
    Ok(digits.fold(0, |n, b| n * 10 + usize::from(b - b'0')))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = what[0];
    let mut at = 0;
    while let Some(skip) = text[at..].iter().position(|b| *b == first) {
        at += skip;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_by_its_length() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\ncontent-length: 12\r\n";
        assert_eq!((status_of(head).unwrap(), content_length(head).unwrap()), (200, 12));
        assert!(content_length(b"HTTP/1.1 200 OK\r\n").is_err());
    }

    #[test]
    fn a_refused_event_is_noticed() {
        assert!(all_accepted(200, br#"{"batchId":"x","eventsAccepted":1,"eventsRejected":0}"#));
        assert!(!all_accepted(200, br#"{"batchId":"x","eventsAccepted":1,"eventsRejected":1}"#));
        assert!(!all_accepted(503, br#"{"eventsAccepted":1,"eventsRejected":0}"#));
    }
}
