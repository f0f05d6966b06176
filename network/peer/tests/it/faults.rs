//! A wire that breaks at any byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stateset_ledger_types::ids::EntityId;
use stateset_peer::message::{Reject, RejectCode};
use stateset_peer::store::{INBOX_MESSAGES_MAX, OUTBOX_MESSAGES_MAX, StoreError};
use stateset_peer::{Answer, Delivery, Handler, MemoryStore, Peers, Question, SendError, SessionStore as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Company, Ledger, config, number, padded, session, start, start_with};

/// Numbers from a seed (xorshift), so that a failing run can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Forwards to `target`, and cuts each connection after a random number of bytes, handshakes included.
async fn cutting_wire(target: String, seed: u64, bytes_max: u64, cuts: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut random = Random(seed);
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&target).await else { continue };
            let budget = 1 + random.below(bytes_max);
            let cuts = cuts.clone();
            tokio::spawn(async move {
                forward(near, far, budget).await;
                cuts.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    address
}

async fn forward(mut near: TcpStream, mut far: TcpStream, mut budget: u64) {
    let (mut up, mut down) = ([0; 1500], [0; 1500]);
    while budget > 0 {
        let (count, from_near) = tokio::select! {
            count = near.read(&mut up) => (count.unwrap_or(0), true),
            count = far.read(&mut down) => (count.unwrap_or(0), false),
        };
        if count == 0 {
            return;
        }
        let count = count.min(usize::try_from(budget).unwrap());
        budget -= count as u64;
        let written =
            if from_near { far.write_all(&up[..count]).await } else { near.write_all(&down[..count]).await };
        if written.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn connections_cut_at_any_byte_lose_and_double_nothing_and_keep_the_order() {
    const MESSAGES: u32 = 300;
    for seed in [1, 0xdead_beef, 0x5eed_5eed_5eed] {
        let (a, b) = (Company::new(1), Company::new(2));
        let ledger = Ledger::of(&[&a, &b]);
        let (mut left, mut right) = (start(&a, &ledger).await, start(&b, &ledger).await);
        let cuts = Arc::new(AtomicUsize::new(0));
        let wire = cutting_wire(right.address(), seed, 12_000, cuts.clone()).await;
        left.peers.know(b.id, vec![wire]);
        for n in 1..=MESSAGES {
            left.peers.send(b.id, session(u64::from(n % 2) + 1), &padded(n, 200)).await.unwrap();
            right.peers.send(a.id, session(7), &padded(n, 50)).await.unwrap();
        }
        let mut of_right = Vec::new();
        for n in 1..=MESSAGES {
            of_right.push(number(&right.next().await));
            assert_eq!(number(&left.next().await), n);
        }
        for session in 0..2 {
            let of_session: Vec<u32> = of_right.iter().copied().filter(|n| n % 2 == session).collect();
            let sent: Vec<u32> = (1..=MESSAGES).filter(|n| n % 2 == session).collect();
            assert_eq!(of_session, sent, "seed {seed}");
        }
        // What is still under way is known already.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(right.arrived.try_recv().is_err() && left.arrived.try_recv().is_err());
        assert!(cuts.load(Ordering::Relaxed) > 5, "the wire was cut");
        left.peers.close().await;
        right.peers.close().await;
    }
}

#[tokio::test]
async fn processes_that_restart_while_messages_are_under_way_lose_and_double_nothing() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let (of_a, of_b) = (Arc::new(MemoryStore::default()), Arc::new(MemoryStore::default()));
    let mut received = Vec::new();
    let mut sent = 0;
    for _ in 0..10 {
        let left = start_with(&a, &ledger, of_a.clone(), config(&a)).await.unwrap();
        let mut right = start_with(&b, &ledger, of_b.clone(), config(&b)).await.unwrap();
        left.knows(&right);
        for _ in 0..20 {
            sent += 1;
            left.peers.send(b.id, session(3), &padded(sent, 100)).await.unwrap();
        }
        received.push(number(&right.next().await));
        // In the middle of it, one side or the other.
        tokio::join!(left.peers.close(), right.peers.close());
        while let Ok(delivery) = right.arrived.try_recv() {
            received.push(number(&delivery));
        }
    }
    let left = start_with(&a, &ledger, of_a, config(&a)).await.unwrap();
    let mut right = start_with(&b, &ledger, of_b, config(&b)).await.unwrap();
    left.knows(&right);
    while received.last() != Some(&sent) {
        received.push(number(&right.next().await));
    }
    assert_eq!(received, (1..=sent).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_that_was_lost_or_is_an_old_copy_loses_nothing_that_is_sent_after() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let left = start(&a, &ledger).await;
    let mut right = start(&b, &ledger).await;
    left.knows(&right);
    for n in 1..=5 {
        left.peers.send(b.id, session(3), &padded(n, 10)).await.unwrap();
        assert_eq!(number(&right.next().await), n);
    }
    left.peers.close().await;
    // The same session from a store that knows nothing of it.
    let store = Arc::new(MemoryStore::default());
    let left = start_with(&a, &ledger, store.clone(), config(&a)).await.unwrap();
    left.knows(&right);
    for n in 6..=9 {
        left.peers.send(b.id, session(3), &padded(n, 10)).await.unwrap();
    }
    for n in 6..=9 {
        let delivery = right.next().await;
        assert_eq!((number(&delivery), delivery.session), (n, session(3)));
    }
    // And the other side, when it has lost its own.
    right.peers.close().await;
    let mut right = start(&b, &ledger).await;
    left.knows(&right);
    left.peers.send(b.id, session(3), &padded(10, 10)).await.unwrap();
    assert_eq!(number(&right.next().await), 10);
}

/// Holds every message until it may go on.
struct Slow {
    gate: Arc<tokio::sync::Semaphore>,
    arrived: tokio::sync::mpsc::UnboundedSender<u32>,
}

impl Handler for Slow {
    async fn deliver(&self, delivery: Delivery) -> Result<(), String> {
        self.gate.acquire().await.map_err(|error| error.to_string())?.forget();
        self.arrived.send(number(&delivery)).map_err(|error| error.to_string())
    }
    async fn answer(&self, _from: EntityId, _question: Question) -> Answer {
        Answer::Reject(Reject::new(RejectCode::Busy, "later"))
    }
}

#[tokio::test]
async fn a_node_that_does_not_keep_up_holds_its_peer_back_and_loses_nothing() {
    let count = u32::try_from(INBOX_MESSAGES_MAX).unwrap() + 300;
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let (of_left, of_right) = (Arc::new(MemoryStore::default()), Arc::new(MemoryStore::default()));
    let left = start_with(&a, &ledger, of_left.clone(), config(&a)).await.unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (arrived, mut numbers) = tokio::sync::mpsc::unbounded_channel();
    let handler = Arc::new(Slow { gate: gate.clone(), arrived });
    let right =
        Peers::start(config(&b), b.identity(), ledger.clone(), of_right.clone(), handler).await.unwrap();
    left.peers.know(b.id, vec![right.address().unwrap().to_string()]);
    for n in 1..=count {
        left.peers.send(b.id, session(1), &padded(n, 1)).await.unwrap();
    }
    while of_right.inbox(&a.id, usize::MAX).unwrap().len() < INBOX_MESSAGES_MAX {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(of_right.inbox(&a.id, usize::MAX).unwrap().len(), INBOX_MESSAGES_MAX, "and no more");
    assert!(!of_left.outbox(&b.id, 0, 1).unwrap().is_empty(), "the rest waits where it came from");
    gate.add_permits(count as usize);
    for n in 1..=count {
        let next = tokio::time::timeout(Duration::from_secs(20), numbers.recv());
        assert_eq!(next.await.expect("in time"), Some(n));
    }
}

#[tokio::test]
async fn what_waits_for_an_entity_that_is_never_there_has_a_bound() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let left = start(&a, &ledger).await;
    for n in 1..=u32::try_from(OUTBOX_MESSAGES_MAX).unwrap() {
        left.peers.send(b.id, session(1), &padded(n, 1)).await.unwrap();
    }
    let refused = left.peers.send(b.id, session(1), &padded(0, 1)).await;
    assert!(matches!(refused, Err(SendError::Store(StoreError::OutboxFull { .. }))), "{refused:?}");
}
