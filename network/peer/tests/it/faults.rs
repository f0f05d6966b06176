//! A wire that breaks at any byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stateset_peer::MemoryStore;
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
    // A message that was being handled when its process ended may come again, and nothing else.
    received.dedup();
    assert_eq!(received, (1..=sent).collect::<Vec<_>>());
}
