//! What an event costs in the log: `cargo bench -p stateset-event-log [-- ROWS]`.
//!
//! CPU is that of the whole process, checkpoints included, as a mean; a median would hide them. Synchronised writes
//! dominate the wall clock of small turns.
#![allow(clippy::print_stdout)]

mod events;

use std::time::{Duration, Instant};

use events::{event, id, process_cpu, stream};
use stateset_event_log::{
    EventLog, IdIndex, IndexEntry, IndexKey, IndexKind, RunBuilder, RunStep, SqliteLog, StreamAppend,
};
use ves::log::LogTree;
use ves::{Digest, SequenceNumber};

const STREAMS: usize = 16;
const FLUSH_EVENTS: usize = 100_000;

fn main() {
    let rows: u64 = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(1_000_000);
    // TMPDIR names the disk.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("events.db");
    let mut store = Store::open(&path);

    println!("{:44} {:>12} {:>12} {:>12}", "append", "cpu us/event", "wall us", "turn ms max");
    store.measure("1 stream x 100, empty store", 100, 1, 40_000);
    while store.total < rows {
        store.turn(100, 8);
    }
    let label = |what: &str| format!("{what}, {} rows", store_rows(rows));
    store.measure(&label("16 streams in turn x 100"), 100, 1, 200_000);
    store.measure(&label("8 streams a turn x 100"), 100, 8, 200_000);
    store.measure(&label("1 stream alone x 100"), 100, 0, 100_000);
    store.measure(&label("16 streams a turn x 4"), 4, 16, 100_000);
    store.measure(&label("16 streams in turn x 1"), 1, 1, 5_000);

    let index = store.fill_index();
    lookups(&index, &store);
    proofs(&store);
    println!("{:44} {:>12} MiB", "resident memory", resident_mib());
    println!("{:44} {:>12} MiB", "database file", std::fs::metadata(&path).map_or(0, |f| f.len() >> 20));
    let total = store.total;
    Box::new(store.log).close().expect("close");
    let started = Instant::now();
    let log = SqliteLog::open(&path).expect("open");
    IdIndex::open(log.reader()).expect("index");
    println!("{:44} {:>12.1} ms ({total} events)", "start after a clean stop", ms(started.elapsed()));
}

fn store_rows(rows: u64) -> String {
    format!("10^{:.1}", (rows as f64).log10())
}

struct Store {
    log: SqliteLog,
    heads: [u64; STREAMS],
    trees: [LogTree; STREAMS],
    turns: usize,
    total: u64,
}

impl Store {
    fn open(path: &std::path::Path) -> Self {
        let log = SqliteLog::open(path).expect("open");
        let trees = std::array::from_fn(|_| LogTree::new());
        Self { log, heads: [0; STREAMS], trees, turns: 0, total: 0 }
    }

    fn parts(&mut self, per_stream: usize, streams: usize) -> Vec<StreamAppend> {
        let part = |k: usize| {
            let s = if streams == 0 { 0 } else { (self.turns * streams + k) % STREAMS };
            let mut append = StreamAppend { stream: stream(s), events: Vec::new(), log_tiles: Vec::new() };
            for _ in 0..per_stream {
                self.heads[s] += 1;
                append.events.push(event(s, self.heads[s]));
                append.log_tiles.extend(self.trees[s].push(&Digest([s as u8; 32])));
            }
            append
        };
        let parts = (0..streams.max(1)).map(part).collect();
        self.turns += 1;
        self.total += (per_stream * streams.max(1)) as u64;
        parts
    }

    fn turn(&mut self, per_stream: usize, streams: usize) {
        let parts = self.parts(per_stream, streams);
        self.log.append(&parts).expect("append");
        self.log.maintenance().expect("maintenance");
    }

    /// `streams`: how many a turn; 0 is always the same one.
    fn measure(&mut self, label: &str, per_stream: usize, streams: usize, events: usize) {
        let turns = events / (per_stream * streams.max(1));
        let (mut cpu, mut wall, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut left = turns;
        while left > 0 {
            // Events are made ahead of the clock, some 10 000 at a time.
            let count = left.min(10_000_usize.div_ceil(per_stream * streams.max(1)));
            let prepared: Vec<_> = (0..count).map(|_| self.parts(per_stream, streams)).collect();
            left -= count;
            let (cpu_before, started) = (process_cpu(), Instant::now());
            for parts in &prepared {
                let at = Instant::now();
                self.log.append(parts).expect("append");
                self.log.maintenance().expect("maintenance");
                longest = longest.max(at.elapsed());
            }
            wall += started.elapsed();
            cpu += process_cpu() - cpu_before;
        }
        let us = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
        println!("{label:44} {:>12.2} {:>12.2} {:>12.1}", us(cpu), us(wall), ms(longest));
    }

    /// Event, command and entity of every event, flushed and merged as the service does it.
    fn fill_index(&mut self) -> IdIndex {
        let index = IdIndex::open(self.log.reader()).expect("index");
        let (cpu_before, started) = (process_cpu(), Instant::now());
        let mut times = [const { Vec::new() }; 4];
        let per_stream = (FLUSH_EVENTS / STREAMS) as u64;
        let highest = *self.heads.iter().max().expect("streams");
        for first in (1..=highest).step_by(per_stream as usize) {
            let mut entries = Vec::new();
            let mut covered = Vec::new();
            for s in 0..STREAMS {
                let last = (first + per_stream - 1).min(self.heads[s]);
                for n in first..=last {
                    let entry =
                        |kind, id, value| IndexEntry { key: IndexKey { stream: stream(s), kind, id }, value };
                    entries.push(entry(IndexKind::Event, id(s, n), n));
                    entries.push(entry(IndexKind::Command, id(s + 100, n), n));
                    entries.push(entry(IndexKind::Entity, id(s + 200, n % 50_000), 1));
                }
                if first <= last {
                    covered.push((stream(s), SequenceNumber(last)));
                }
            }
            let mut flush = index.plan_flush(&entries, &covered).expect("plan").expect("free");
            self.steps(&mut flush, &mut times);
            while let Some(mut merge) = index.plan_merge() {
                self.steps(&mut merge, &mut times);
            }
        }
        let cpu = process_cpu() - cpu_before;
        println!(
            "{:44} {:>12.2} {:>12.2} {:>12.1}",
            format!("index, 3 keys an event, {} runs", index.runs()),
            cpu.as_secs_f64() * 1e6 / self.total as f64,
            started.elapsed().as_secs_f64() * 1e6 / self.total as f64,
            ms(times[1..].iter().flatten().max().copied().unwrap_or_default())
        );
        for (what, times) in
            ["prepare, on any thread", "write pages", "publish", "maintenance"].iter().zip(&mut times)
        {
            times.sort_unstable();
            let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            println!(
                "  {what:42} {:>12.2} {:>12.2} ms, median and p99 of {}",
                ms(median),
                ms(p99),
                times.len()
            );
        }
        index
    }

    /// `times`: prepare, write, publish, maintenance.
    fn steps(&mut self, builder: &mut RunBuilder, times: &mut [Vec<Duration>; 4]) {
        loop {
            let started = Instant::now();
            builder.prepare().expect("prepare");
            let prepared = Instant::now();
            let step = builder.step(&mut self.log).expect("step");
            let written = Instant::now();
            self.log.maintenance().expect("maintenance");
            let is_done = step == RunStep::Done;
            times[0].push(prepared - started);
            times[1 + usize::from(is_done)].push(written - prepared);
            times[3].push(written.elapsed());
            if is_done {
                return;
            }
        }
    }
}

fn lookups(index: &IdIndex, store: &Store) {
    const LOOKUPS: u64 = 200_000;
    let time = |what: &str, known: bool| {
        let started = Instant::now();
        let mut found = 0;
        for i in 0..LOOKUPS {
            let s = i as usize % STREAMS;
            let n = if known { 1 + i * 7919 % store.heads[s] } else { 1 << 40 | i };
            let key = IndexKey { stream: stream(s), kind: IndexKind::Event, id: id(s, n) };
            found += u64::from(index.lookup(&key).expect("lookup").is_some());
        }
        println!(
            "{what:44} {:>12.2} us ({found} found)",
            started.elapsed().as_secs_f64() * 1e6 / LOOKUPS as f64
        );
    };
    time("look up an id never seen", false);
    time("look up a known id", true);
}

fn proofs(store: &Store) {
    let reader = store.log.reader();
    let started = Instant::now();
    const READS: u64 = 20_000;
    for i in 0..READS {
        let s = i as usize % STREAMS;
        let id = ves::tiles::TileId { level: 0, index: i * 7919 % (store.heads[s] / 32) };
        assert!(reader.log_tile(&stream(s), id).expect("tile").is_some());
    }
    println!(
        "{:44} {:>12.2} us",
        "read a tile of the log",
        started.elapsed().as_secs_f64() * 1e6 / READS as f64
    );
    let started = Instant::now();
    let mut read = 0;
    for first in (1..store.heads[3]).step_by(1000) {
        read += reader.read(&stream(3), SequenceNumber(first), 1000, usize::MAX).expect("read").len();
    }
    println!(
        "{:44} {:>12.2} us",
        "read an event, 1000 at a time",
        started.elapsed().as_secs_f64() * 1e6 / read as f64
    );
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|kib| kib.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) >> 10
}
