//! Sending at a pace, and what became of what was sent.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use stateset_bench_report::machine::{percentile, process_cpu};
use ves::hash::Hasher;

use crate::requests::Signed;

/// How a lot of requests is sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many a second over all senders, whatever comes back. What is late counts from when it was due.
    PerSecond(f64),
    /// As fast as they are taken, with so many on their way at most.
    InFlight(u64),
}

/// What a round saw.
#[derive(Debug, Clone)]
pub struct Round {
    /// From the first request sent, or due, to the last block that holds one.
    pub took: Duration,
    /// From a request's due time to the block that holds it being stored, in milliseconds.
    pub latencies: Vec<f64>,
    /// Blocks that held requests.
    pub blocks: usize,
    /// Requests that came into no block: a number is refused for ever once a higher one of its member stands in a block.
    pub missing: u64,
    /// Time of processors that this process took, senders included.
    pub cpu: Duration,
}

impl Round {
    /// Microseconds of [`cpu`](Self::cpu) for each request.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latencies.len() as f64
    }

    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    pub fn latency(&mut self, fraction: f64) -> f64 {
        percentile(&mut self.latencies, fraction)
    }
}

/// When each request was due, and how many came back.
pub struct Book {
    begun: Instant,
    /// By SHA-256 of the bytes: when it was due, in nanoseconds since the beginning.
    due: HashMap<[u8; 32], AtomicU64>,
    came: AtomicU64,
    sent: AtomicU64,
    ended: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    latencies: Vec<f64>,
    blocks: usize,
    last: Option<Instant>,
}

pub fn hash(bytes: &[u8]) -> [u8; 32] {
    Hasher::bare().bytes(bytes).finish().0
}

impl Book {
    pub fn new(lots: &[Vec<Signed>]) -> Self {
        let due = lots.iter().flatten().map(|signed| (hash(&signed.bytes), AtomicU64::new(0))).collect();
        Self {
            begun: Instant::now(),
            due,
            came: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            seen: Mutex::default(),
        }
    }

    /// Notes a stored block.
    pub fn block<'a>(&self, transactions: impl Iterator<Item = &'a [u8]>) {
        let now = Instant::now();
        let since = (now - self.begun).as_nanos() as u64;
        let mut seen = self.seen.lock().expect("no panic holds it");
        let before = seen.latencies.len();
        for transaction in transactions {
            if let Some(due) = self.due.get(&hash(transaction)) {
                seen.latencies.push(since.saturating_sub(due.load(Relaxed)) as f64 / 1e6);
            }
        }
        let found = seen.latencies.len() - before;
        if found > 0 {
            seen.blocks += 1;
            seen.last = Some(now);
            self.came.fetch_add(found as u64, Relaxed);
        }
    }

    /// Ends sending and waiting, after a failure elsewhere.
    pub fn stop(&self) {
        self.ended.store(true, Relaxed);
    }

    /// Whether everything came back, or sending failed.
    pub fn is_done(&self) -> bool {
        self.ended.load(Relaxed) || self.came.load(Relaxed) == self.due.len() as u64
    }

    /// Sends each lot in its order on a thread of its own, and waits for all to come back through [`block`](Self::block), or until
    /// nothing does for `patience`.
    ///
    /// # Errors
    /// What `send` says.
    pub fn run(
        &self,
        lots: &[Vec<Signed>],
        pace: Pace,
        patience: Duration,
        send: &(dyn Fn(usize, &Signed) -> Result<()> + Sync),
    ) -> Result<Round> {
        let (begun, cpu) = (Instant::now(), process_cpu());
        let sent: Result<()> = thread::scope(|scope| {
            let senders: Vec<_> = lots
                .iter()
                .enumerate()
                .map(|(at, lot)| scope.spawn(move || self.send_lot(begun, (at, lots.len()), lot, pace, send)))
                .collect();
            senders.into_iter().try_for_each(|sender| sender.join().expect("a sender does not panic"))
        });
        sent.inspect_err(|_| self.stop())?;
        let (mut came, mut moved) = (0, Instant::now());
        while !self.is_done() && moved.elapsed() < patience {
            let now = self.came.load(Relaxed);
            if now != came {
                (came, moved) = (now, Instant::now());
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.stop();
        let seen = std::mem::take(&mut *self.seen.lock().expect("no panic holds it"));
        let took = seen.last.map_or(Duration::ZERO, |last| last - begun);
        let missing = self.due.len() as u64 - self.came.load(Relaxed);
        Ok(Round { took, latencies: seen.latencies, blocks: seen.blocks, missing, cpu: process_cpu() - cpu })
    }

    fn send_lot(
        &self,
        begun: Instant,
        (at, of): (usize, usize),
        lot: &[Signed],
        pace: Pace,
        send: &(dyn Fn(usize, &Signed) -> Result<()> + Sync),
    ) -> Result<()> {
        for (n, signed) in lot.iter().enumerate() {
            let due = match pace {
                Pace::PerSecond(rate) => begun + Duration::from_secs_f64((n * of + at) as f64 / rate),
                Pace::InFlight(most) => {
                    while self.sent.load(Relaxed) - self.came.load(Relaxed).min(self.sent.load(Relaxed))
                        >= most
                    {
                        ensure!(!self.ended.load(Relaxed), "stopped");
                        thread::sleep(Duration::from_micros(500));
                    }
                    Instant::now()
                }
            };
            let early = due.saturating_duration_since(Instant::now());
            // Shorter sleeps cost more than they wait.
            if early > Duration::from_millis(1) {
                thread::sleep(early);
            }
            let due = due.min(Instant::now());
            self.due[&hash(&signed.bytes)].store((due - self.begun).as_nanos() as u64, Relaxed);
            self.sent.fetch_add(1, Relaxed);
            send(at, signed)?;
        }
        Ok(())
    }
}
