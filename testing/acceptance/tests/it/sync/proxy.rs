//! A network that cuts connections at random places, by a seed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use stateset_fixtures::Seed;

/// Bytes that pass before a connection is cut, at most.
const BYTES_MAX: u64 = 900_000;
/// The same of those that live longer, so that everything gets through at last.
const LONG_BYTES: [u64; 2] = [4_000_000, 13_000_000];

/// The first connections are all cut soon.
const CUT_SURELY: usize = 12;

/// Listens on loopback and hands on what comes, until it cuts.
pub struct Proxy {
    url: String,
    cuts: Arc<AtomicU64>,
}

impl Proxy {
    /// In front of the service at `url`. Its threads end with the process.
    pub fn start(url: &str, seed: Seed) -> Self {
        let target = url.split_once("://").map_or(url, |(_, address)| address).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback listens");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (cuts, seed) = (Arc::new(AtomicU64::new(0)), Mutex::new(seed));
        let counted = Arc::clone(&cuts);
        std::thread::spawn(move || {
            for (number, inward) in listener.incoming().flatten().enumerate() {
                let budget = {
                    let mut seed = seed.lock().expect("no thread panics with it");
                    if number >= CUT_SURELY && seed.below(3) == 0 {
                        LONG_BYTES[0] + seed.below(LONG_BYTES[1] - LONG_BYTES[0])
                    } else {
                        200 + seed.below(BYTES_MAX)
                    }
                };
                let Ok(outward) = TcpStream::connect(&target) else { continue };
                join(
                    inward,
                    outward,
                    Budget { left: Arc::new(AtomicU64::new(budget)), cuts: Arc::clone(&counted) },
                );
            }
        });
        Self { url, cuts }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// What may still pass, in both directions together.
#[derive(Clone)]
struct Budget {
    left: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

fn join(inward: TcpStream, outward: TcpStream, budget: Budget) {
    let (Ok(inward_too), Ok(outward_too)) = (inward.try_clone(), outward.try_clone()) else { return };
    let other = budget.clone();
    std::thread::spawn(move || pass(inward, outward, &budget));
    std::thread::spawn(move || pass(outward_too, inward_too, &other));
}

fn pass(mut from: TcpStream, mut to: TcpStream, budget: &Budget) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let left = budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(count as u64))
        });
        let left = usize::try_from(left.unwrap_or(0)).unwrap_or(usize::MAX);
        // The last bytes pass: half a request, or half an answer.
        if to.write_all(&buffer[..count.min(left)]).is_err() {
            break;
        }
        if left <= count {
            budget.cuts.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    for side in [&from, &to] {
        // Already closed by the other thread.
        let _ = side.shutdown(Shutdown::Both);
    }
}
