//! Clients that behave as clients should: they send a request until it is answered, wherever that is, and remember
//! what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use stateset_fixtures::{Agent, Seed, stream};
use ves::StreamKey;

use crate::Rest;
use crate::events::{Acknowledged, orders, receipts, register, stored};

const INGEST: &str = "/api/v1/ves/events/ingest";
/// Longest time for one answer, of whatever kind: nobody hangs.
const ANSWER_MAX: Duration = Duration::from_secs(28);
/// Longest time until a request is taken.
const TAKEN_MAX: Duration = Duration::from_secs(90);

/// What all clients see of the world.
#[derive(Clone, Default)]
struct Floor {
    /// Where to send; the tests change it as instances come and go.
    places: Arc<RwLock<Vec<Rest>>>,
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

/// Several clients on several streams.
pub struct Shop {
    floor: Floor,
    clients: Vec<Client>,
}

struct Client {
    agent: Agent,
    stream: StreamKey,
    next: u64,
    seed: Seed,
    /// Each request that was taken, with its first answer.
    answered: Vec<(String, Vec<Acknowledged>)>,
    floor: Floor,
}

/// What the clients lived through.
#[derive(Debug, Clone, Copy)]
pub struct Day {
    /// Events acknowledged.
    pub events: u64,
    /// Answers that asked for another try.
    pub refused: u64,
    /// Longest time from the first try of a request to its receipt.
    pub longest_wait: Duration,
}

impl Shop {
    /// Two clients on each of `streams` streams, registered through `place`.
    ///
    /// # Panics
    /// When they can't be.
    pub fn open(place: Rest, streams: u64) -> Self {
        let floor = Floor::default();
        let clients: Vec<Client> = (1..=streams)
            .flat_map(|s| (1..=2).map(move |n| (s, n)))
            .map(|(s, n)| Client {
                agent: Agent::new(&stream(s), n),
                stream: stream(s),
                next: n * 1_000_000,
                seed: Seed::new("shop", s * 100 + n),
                answered: Vec::new(),
                floor: floor.clone(),
            })
            .collect();
        for client in &clients {
            register(&place, &client.agent).expect("a client is registered");
        }
        let shop = Self { floor, clients };
        shop.send_to(vec![place]);
        shop
    }

    /// From now on clients send to these places, in turn.
    pub fn send_to(&self, places: Vec<Rest>) {
        *self.floor.places.write().expect("no client panics while it looks") = places;
    }

    /// Clients send while `faults` goes on; each then sees its last request through. `faults` is given the shop's door,
    /// to wait for and to change.
    ///
    /// # Panics
    /// When a client hangs, is answered anything but success or 503 with `Retry-After`, or is not served in the end.
    pub fn day(&mut self, faults: impl FnOnce(&Door)) -> Day {
        self.floor.stop.store(false, Ordering::SeqCst);
        let (taken, refused) = self.floor.counts();
        let door = Door(self.floor.clone());
        let longest = std::thread::scope(|scope| {
            let clients: Vec<_> =
                self.clients.iter_mut().map(|client| scope.spawn(|| client.work())).collect();
            // Also when the faults panic: else the clients would be waited for without end.
            let stop = StopAtEnd(&self.floor.stop);
            faults(&door);
            drop(stop);
            clients.into_iter().map(|client| client.join().expect("a client is served")).max()
        });
        let (taken_now, refused_now) = self.floor.counts();
        let longest_wait = longest.unwrap_or_default();
        Day { events: taken_now - taken, refused: refused_now - refused, longest_wait }
    }

    /// Everything acknowledged stands where its receipt says and with the same receipt; no number is missing or comes
    /// twice; the same request again gets the first answer.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check(&self, place: &Rest) {
        let streams: std::collections::BTreeSet<StreamKey> = self.clients.iter().map(|c| c.stream).collect();
        for key in streams {
            let events = stored(place, &key, 1).expect("a stream without gaps");
            let ids: std::collections::BTreeSet<&str> =
                events.iter().map(|event| event.event_id.as_str()).collect();
            assert_eq!(ids.len(), events.len(), "an event stands twice in {key}");
            for client in self.clients.iter().filter(|client| client.stream == key) {
                for event in client.answered.iter().flat_map(|(_, receipts)| receipts) {
                    let found = events.get(event.sequence_number as usize - 1);
                    assert_eq!(found, Some(event), "an acknowledged event of {key} is lost or changed");
                }
            }
        }
        for client in &self.clients {
            // The first, the last, and some between.
            let step = (client.answered.len() / 10).max(1);
            for (body, first) in client.answered.iter().step_by(step).chain(client.answered.last()) {
                let answer = place.send(INGEST, body).expect("an answer");
                let again = receipts(answer.status, &answer.text).expect("an answer of the promised form");
                assert_eq!(again.as_ref(), Some(first), "a replay gets the first answer");
            }
        }
    }
}

/// The tests' side of a day.
pub struct Door(Floor);

impl Door {
    /// Waits until so many more events were acknowledged.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait_for(&self, events: u64) {
        let (before, since) = (self.0.counts().0, Instant::now());
        while self.0.counts().0 < before + events {
            assert!(since.elapsed() < TAKEN_MAX, "the clients are not served");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until so many more answers asked for another try.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait_for_refusals(&self, answers: u64) {
        let (before, since) = (self.0.counts().1, Instant::now());
        while self.0.counts().1 < before + answers {
            assert!(since.elapsed() < TAKEN_MAX, "nobody is told to try again");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// See [`Shop::send_to`].
    pub fn send_to(&self, places: Vec<Rest>) {
        *self.0.places.write().expect("no client panics while it looks") = places;
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Floor {
    fn counts(&self) -> (u64, u64) {
        (self.taken.load(Ordering::SeqCst), self.refused.load(Ordering::SeqCst))
    }

    fn place(&self, n: usize) -> Rest {
        let places = self.places.read().expect("no test panics while it changes them");
        places[n % places.len()].clone()
    }
}

impl Client {
    /// Sends one request after the other until the day ends; the longest that one took.
    fn work(&mut self) -> Duration {
        let mut longest = Duration::ZERO;
        while !self.floor.stop.load(Ordering::SeqCst) {
            let count = 1 + self.seed.below(8);
            let body = orders(&self.agent, &self.stream, self.next, count);
            self.next += count;
            let since = Instant::now();
            let receipts = self.insist(&body);
            longest = longest.max(since.elapsed());
            self.floor.taken.fetch_add(receipts.len() as u64, Ordering::SeqCst);
            self.answered.push((body, receipts));
        }
        longest
    }

    /// Sends the request until it is taken.
    fn insist(&mut self, body: &str) -> Vec<Acknowledged> {
        let since = Instant::now();
        for n in self.seed.below(100) as usize.. {
            let asked = Instant::now();
            let answer = self.floor.place(n).send(INGEST, body);
            assert!(asked.elapsed() < ANSWER_MAX, "a client hung for {:?}: {answer:?}", asked.elapsed());
            match answer {
                Ok(answer) if answer.status == 503 => {
                    assert!(answer.retry_after.is_some(), "a 503 says when to try again: {}", answer.text);
                    self.floor.refused.fetch_add(1, Ordering::SeqCst);
                }
                Ok(answer) => {
                    assert_eq!(answer.status, 200, "{}", answer.text);
                    return receipts(answer.status, &answer.text)
                        .expect("an answer of the promised form")
                        .expect("status 200");
                }
                // Nobody listens there, or the connection broke: what became of the request is not known.
                Err(_) => {}
            }
            assert!(since.elapsed() < TAKEN_MAX, "a request is not taken");
            std::thread::sleep(Duration::from_millis(20));
        }
        unreachable!("the tries are bounded by time")
    }
}
