//! The power goes, again and again, while events come in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stateset_acceptance::events::{Acknowledged, orders, receipts, register, stored};
use stateset_acceptance::{Rest, Service};
use stateset_fixtures::{Agent, Seed, stream};
use ves::StreamKey;

const KILLS: u64 = 50;
const STREAMS: u64 = 2;
const WRITERS_PER_STREAM: u64 = 2;

/// One client: what it sent, what it was told, and what it does not know the fate of.
struct Writer {
    agent: Agent,
    stream: StreamKey,
    next: u64,
    seed: Seed,
    /// Sent, and the connection broke before the answer.
    in_doubt: Option<String>,
    /// Sent and answered, with the answer.
    last: Option<(String, Vec<Acknowledged>)>,
    acknowledged: Vec<Acknowledged>,
}

impl Writer {
    fn new(stream_number: u64, n: u64) -> Self {
        let stream = stream(stream_number);
        Self {
            agent: Agent::new(&stream, n),
            stream,
            // Writers of one stream must not send the same orders.
            next: n * 1_000_000,
            seed: Seed::new("crash writer", stream_number * 100 + n),
            in_doubt: None,
            last: None,
            acknowledged: Vec::new(),
        }
    }

    /// Sends until the service is gone.
    fn write(&mut self, rest: &Rest, stop: &AtomicBool) {
        if let Some((body, first_answer)) = self.last.take() {
            let Some(again) = self.send(rest, &body) else { return };
            assert_eq!(again, first_answer, "a replay gets the first answer");
        }
        while !stop.load(Ordering::Relaxed) {
            let body = self.in_doubt.take().unwrap_or_else(|| {
                let count = 1 + self.seed.below(8);
                self.next += count;
                orders(&self.agent, &self.stream, self.next - count, count)
            });
            match self.send(rest, &body) {
                Some(answer) => {
                    self.acknowledged.extend_from_slice(&answer);
                    self.last = Some((body, answer));
                }
                None => {
                    self.in_doubt = Some(body);
                    return;
                }
            }
        }
    }

    /// `None` when there was no answer, or one that promises nothing (the service is stopping).
    fn send(&self, rest: &Rest, body: &str) -> Option<Vec<Acknowledged>> {
        let (status, text) = rest.post("/api/v1/ves/events/ingest", body).ok()?;
        assert!(status == 200 || status == 503, "ingest answered {status}: {text}");
        receipts(status, &text).expect("an answer of the promised form")
    }
}

/// Everything acknowledged stands where the receipt says, with the same receipt; no number is missing or comes twice.
fn check(rest: &Rest, writers: &[Writer], from: u64) -> BTreeMap<u64, u64> {
    let mut heads = BTreeMap::new();
    for n in 1..=STREAMS {
        let key = stream(n);
        let events = stored(rest, &key, from).expect("a stream without gaps");
        for writer in writers.iter().filter(|writer| writer.stream == key) {
            for acknowledged in writer.acknowledged.iter().filter(|event| event.sequence_number >= from) {
                let at = (acknowledged.sequence_number - from) as usize;
                assert_eq!(events.get(at), Some(acknowledged), "an acknowledged event is lost or changed");
            }
        }
        heads.insert(n, from - 1 + events.len() as u64);
    }
    heads
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut writers: Vec<_> =
        (1..=STREAMS).flat_map(|s| (1..=WRITERS_PER_STREAM).map(move |n| Writer::new(s, n))).collect();
    let mut seed = Seed::new("crash", 1);
    let mut service = Service::start(folder.path());
    for writer in &writers {
        register(&service.rest(), &writer.agent).unwrap();
    }
    let mut checked_to = 0;
    for kill in 1..=KILLS {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let rest = service.rest();
            for writer in &mut writers {
                let (rest, stop) = (rest.clone(), &stop);
                scope.spawn(move || writer.write(&rest, stop));
            }
            std::thread::sleep(Duration::from_millis(20 + seed.below(180)));
            service.kill();
            stop.store(true, Ordering::Relaxed);
        });
        service = Service::start(folder.path());
        // Every tenth time the whole streams, else only what is new since the last time.
        let from = if kill % 10 == 0 { 1 } else { checked_to + 1 };
        let heads = check(&service.rest(), &writers, from);
        checked_to = *heads.values().min().expect("there are streams");
    }
    let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged.len()).sum();
    assert!(
        acknowledged as u64 > KILLS * 10,
        "only {acknowledged} events were acknowledged: that is no load"
    );
    assert!(service.stop().success());
}
