//! The machine against a small chain that does everything a chain may do: lose transactions, make empty blocks, go back, take
//! another sender's transaction at our nonce; while the process dies and comes back.

use proptest::collection::vec;
use proptest::prelude::*;
use set_registry::{B256, BatchRecord, U256};
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId};

use super::*;
use crate::flight::{Fees, key_of};

const CONFIRMATIONS: u64 = 3;
const FINAL_DEPTH: u64 = 8;
const STUCK_MS: i64 = 50;
const PATIENCE: Patience =
    Patience { confirmations: CONFIRMATIONS, stuck_after_blocks: 6, stuck_after_ms: STUCK_MS };

fn batch(n: u64) -> BatchRecord {
    BatchRecord {
        batch_id: BatchId::from_bytes([n as u8 + 1; 16]),
        stream: StreamKey {
            tenant_id: TenantId::from_bytes([1; 16]),
            store_id: StoreId::from_bytes([1; 16]),
        },
        events_root: Digest::ZERO,
        prev_state_root: Digest::ZERO,
        new_state_root: Digest::ZERO,
        sequence_start: SequenceNumber(n),
        sequence_end: SequenceNumber(n),
        event_count: 1,
    }
}

/// A transaction of ours: a name, a nonce and batches. One of somebody else has no batches.
#[derive(Debug, Clone)]
struct Tx {
    name: u64,
    nonce: u64,
    batches: Vec<u64>,
}

#[derive(Debug, Clone, Default)]
struct Block {
    hash: u64,
    txs: Vec<Tx>,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A block with what waits.
    Mine,
    MineEmpty,
    LosePool,
    /// The last blocks are undone; their transactions are lost, or wait again.
    Reorg {
        depth: u64,
        keeps: bool,
    },
    /// Another sender of our account is in the next block.
    Foreign,
    /// The process dies and starts with its journal.
    Crash,
    /// The service looks and acts; what it sends may not arrive.
    Step {
        arrives: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Mine),
        2 => Just(Event::MineEmpty),
        1 => Just(Event::LosePool),
        1 => (1..=FINAL_DEPTH - 1, any::<bool>()).prop_map(|(depth, keeps)| Event::Reorg { depth, keeps }),
        1 => Just(Event::Foreign),
        1 => Just(Event::Crash),
        8 => any::<bool>().prop_map(|arrives| Event::Step { arrives }),
    ]
}

struct World {
    blocks: Vec<Block>,
    pool: Vec<Tx>,
    machine: Machine,
    journal: BTreeMap<u64, Flight>,
    told: BTreeSet<u64>,
    total: u64,
    names: u64,
    now_ms: i64,
    /// No reorganisation goes below it: what the chain calls final is.
    floor: usize,
}

impl World {
    fn new(total: u64) -> Self {
        Self {
            blocks: vec![Block::default()],
            pool: Vec::new(),
            machine: Machine::resume(PATIENCE, []),
            journal: BTreeMap::new(),
            told: BTreeSet::new(),
            total,
            names: 0,
            now_ms: 0,
            floor: 0,
        }
    }

    fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    fn next_nonce(&self) -> u64 {
        self.blocks.iter().map(|block| block.txs.len() as u64).sum()
    }

    /// Which batches each transaction of the chain committed, by the contract's rule: only the next of the stream.
    fn commits(&self) -> Vec<(u64, u64, Vec<u64>)> {
        let mut head = 0;
        let mut commits = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            for tx in &block.txs {
                let mut committed = Vec::new();
                for n in &tx.batches {
                    if *n == head {
                        committed.push(*n);
                        head += 1;
                    }
                }
                commits.push((number as u64, tx.name, committed));
            }
        }
        commits
    }

    fn head(&self) -> u64 {
        self.commits().iter().map(|(.., committed)| committed.len() as u64).sum()
    }

    fn sight(&self) -> Sight {
        let newest = self.blocks.len() as u64 - 1;
        let commits = self.commits();
        let place = |flight: &Flight| {
            for attempt in &flight.attempts {
                let name = U256::from_be_bytes(attempt.hash.0).to::<u64>();
                if let Some((number, _, committed)) = commits.iter().find(|(_, known, _)| *known == name) {
                    return Place::InBlock(Inclusion {
                        transaction: attempt.hash,
                        block_number: *number,
                        block_hash: B256::from(U256::from(self.blocks[*number as usize].hash)),
                        gas_used: 1,
                        fee_wei: 1,
                        anchored: committed.iter().map(|n| key_of(&batch(*n))).collect(),
                    });
                }
            }
            let latest = U256::from_be_bytes(flight.latest().hash.0).to::<u64>();
            if self.pool.iter().any(|tx| tx.name == latest) { Place::Waiting } else { Place::Missing }
        };
        Sight {
            now_ms: self.now_ms,
            newest,
            safe: None,
            finalized: newest.saturating_sub(FINAL_DEPTH),
            next_nonce: self.next_nonce(),
            places: self.machine.flights().map(|flight| (flight.nonce, place(flight))).collect(),
        }
    }

    fn attempt(&mut self) -> Attempt {
        let name = self.name();
        Attempt {
            hash: B256::from(U256::from(name)),
            raw: Vec::new().into(),
            fees: Fees { max_fee: 1, priority_fee: 1 },
            gas_limit: 1,
            signed_at_ms: self.now_ms,
            signed_at_block: self.blocks.len() as u64 - 1,
        }
    }

    fn hand_over(&mut self, nonce: u64, arrives: bool) {
        let Some(flight) = self.machine.flight(nonce).filter(|_| arrives) else { return };
        let name = U256::from_be_bytes(flight.latest().hash.0).to::<u64>();
        let batches = flight.batches.iter().map(|batch| batch.sequence_start.get()).collect();
        if nonce >= self.next_nonce() {
            self.pool.retain(|tx| tx.nonce != nonce);
            self.pool.push(Tx { name, nonce, batches });
        }
    }

    /// What the service does in one step, without its network.
    fn step(&mut self, arrives: bool) {
        self.now_ms += 10;
        let sight = self.sight();
        self.floor = self.floor.max(sight.finalized as usize);
        self.machine.observe(&sight);
        let mut again = self.machine.clone();
        assert_eq!(
            again.observe(&Sight { now_ms: sight.now_ms, ..self.sight() }),
            [],
            "the same sight changes nothing"
        );
        for wish in self.machine.wishes(&sight) {
            let nonce = match wish {
                Wish::SendAgain { nonce } => nonce,
                Wish::Replace { nonce } => {
                    let attempt = self.attempt();
                    self.machine.replace(nonce, attempt);
                    nonce
                }
            };
            self.write();
            self.hand_over(nonce, arrives);
        }
        for nonce in self.machine.untold() {
            let carried: Vec<_> = self.machine.flight(nonce).unwrap().carried().collect();
            let numbers = (0..self.total).filter(|n| carried.contains(&key_of(&batch(*n))));
            self.told.extend(numbers);
            self.machine.tell(nonce);
        }
        self.machine.retire();
        self.send(arrives);
        self.write();
    }

    fn send(&mut self, arrives: bool) {
        let carried = self.machine.carried();
        let head = self.head();
        // Those that the chain is past were anchored by a transaction that is forgotten: the sequencer is told.
        self.told.extend((0..head).filter(|n| !carried.contains(&key_of(&batch(*n)))));
        let batches: Vec<_> =
            (head..self.total).map(batch).filter(|batch| !carried.contains(&key_of(batch))).take(3).collect();
        if batches.is_empty() || !self.machine.is_clear() {
            return;
        }
        let nonce = self.machine.free_nonce(self.next_nonce());
        let attempt = self.attempt();
        self.machine.submit(Flight::new(nonce, batches, attempt));
        self.write();
        self.hand_over(nonce, arrives);
    }

    fn write(&mut self) {
        self.journal = self.machine.flights().map(|flight| (flight.nonce, flight.clone())).collect();
    }

    fn mine(&mut self, txs: bool) {
        let mut block = Block { hash: self.name(), txs: Vec::new() };
        while txs && self.blocks.len() < 10_000 {
            let next = self.next_nonce() + block.txs.len() as u64;
            let Some(at) = self.pool.iter().position(|tx| tx.nonce == next) else { break };
            block.txs.push(self.pool.remove(at));
        }
        self.blocks.push(block);
        let next = self.next_nonce();
        self.pool.retain(|tx| tx.nonce >= next);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Mine => self.mine(true),
            Event::MineEmpty => self.mine(false),
            Event::LosePool => self.pool.clear(),
            Event::Reorg { depth, keeps } => {
                let lowest = (self.floor + 1).max(self.blocks.len().saturating_sub(depth as usize));
                let undone = self.blocks.split_off(lowest.min(self.blocks.len()));
                if keeps {
                    self.pool.extend(undone.into_iter().flat_map(|block| block.txs));
                }
                self.mine(false);
            }
            Event::Foreign => {
                let (name, nonce) = (self.name(), self.next_nonce());
                let hash = self.name();
                self.blocks.push(Block { hash, txs: vec![Tx { name, nonce, batches: Vec::new() }] });
                self.pool.retain(|tx| tx.nonce > nonce);
            }
            Event::Crash => self.machine = Machine::resume(PATIENCE, self.journal.values().cloned()),
            Event::Step { arrives } => self.step(arrives),
        }
    }

    /// The faults are over: the service works, and blocks come.
    fn calm_down(&mut self) {
        for _ in 0..200 {
            self.step(true);
            self.mine(true);
        }
        self.step(true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happened, in the end the chain has each batch once, in order, and the sequencer knows.
    #[test]
    fn every_batch_is_anchored_exactly_once_and_in_order(events in vec(event(), 0..120), total in 1u64..12) {
        let mut world = World::new(total);
        for event in events {
            world.happen(event);
        }
        world.calm_down();
        let committed: Vec<u64> = world.commits().into_iter().flat_map(|(.., committed)| committed).collect();
        prop_assert_eq!(committed, (0..total).collect::<Vec<_>>());
        prop_assert_eq!(world.told, (0..total).collect::<BTreeSet<_>>());
        prop_assert_eq!(world.machine.flights().count(), 0, "all is final and told");
    }

    /// Two transactions of ours never wait at different nonces, so none leaves a gap before another.
    #[test]
    fn nothing_new_is_sent_while_something_waits(events in vec(event(), 0..120)) {
        let mut world = World::new(20);
        for event in events {
            let before: BTreeSet<u64> = world.machine.flights().map(|flight| flight.nonce).collect();
            let waited = world.machine.flights().any(|flight| flight.stage == Stage::Submitted);
            world.happen(event);
            let is_new = world.machine.flights().any(|flight| !before.contains(&flight.nonce));
            let waits = world.machine.flights().filter(|flight| flight.stage == Stage::Submitted).count();
            // A step that found the waiting one in a block, or lost, may send the next.
            prop_assert!(!is_new || waits <= 1 || !waited, "{} wait", waits);
        }
    }
}

#[test]
fn a_stuck_transaction_is_replaced_and_either_of_them_counts() {
    let mut world = World::new(1);
    world.step(true);
    let first = world.machine.flights().next().unwrap().latest().hash;
    for _ in 0..=STUCK_MS / 10 {
        world.step(true);
    }
    let flight = world.machine.flights().next().unwrap();
    assert_eq!((flight.attempts.len(), flight.nonce), (2, 0));
    // The node took the first after all.
    world.pool = vec![Tx { name: U256::from_be_bytes(first.0).to(), nonce: 0, batches: vec![0] }];
    world.mine(true);
    world.step(true);
    let inclusion = world.machine.flights().next().unwrap().stage.inclusion().cloned().unwrap();
    assert_eq!(inclusion.transaction, first);
    world.calm_down();
    assert_eq!(world.head(), 1);
}

#[test]
fn a_nonce_that_another_sender_took_frees_the_batches() {
    let mut world = World::new(2);
    world.step(true);
    world.happen(Event::Foreign);
    let sight = world.sight();
    let mut machine = world.machine.clone();
    assert_eq!(machine.observe(&sight), [Change::Dropped { nonce: 0, why: DropReason::NonceTaken }]);
    assert!(machine.is_clear() && machine.carried().is_empty());
}

#[test]
fn a_confirmed_batch_that_is_undone_is_sent_again() {
    let mut world = World::new(1);
    world.step(true);
    world.mine(true);
    for _ in 0..CONFIRMATIONS {
        world.mine(false);
    }
    world.step(true);
    assert_eq!(world.told, BTreeSet::from([0]));
    world.happen(Event::Reorg { depth: 5, keeps: false });
    assert_eq!(world.head(), 0);
    let sight = world.sight();
    let mut machine = world.machine.clone();
    assert_eq!(machine.observe(&sight), [Change::Undone { nonce: 0, was_confirmed: true }]);
    assert_eq!(machine.wishes(&sight), [Wish::SendAgain { nonce: 0 }]);
    world.calm_down();
    assert_eq!(world.head(), 1);
}

#[test]
fn fees_are_raised_for_the_first_in_line_only() {
    let mut machine = Machine::resume(PATIENCE, []);
    for nonce in [4, 5] {
        let mut world = World::new(1);
        machine.submit(Flight::new(nonce, vec![batch(nonce)], world.attempt()));
    }
    let places = [(4, Place::Waiting), (5, Place::Missing)].into();
    let sight = Sight { now_ms: STUCK_MS, newest: 1, safe: None, finalized: 0, next_nonce: 4, places };
    assert_eq!(machine.wishes(&sight), [Wish::Replace { nonce: 4 }, Wish::SendAgain { nonce: 5 }]);
}

#[test]
fn safe_has_to_be_past_a_block_where_the_chain_names_it() {
    let mut world = World::new(1);
    world.step(true);
    world.mine(true);
    for _ in 0..CONFIRMATIONS {
        world.mine(false);
    }
    let seen = |machine: &mut Machine, safe| machine.observe(&Sight { safe: Some(safe), ..world.sight() });
    let mut machine = world.machine.clone();
    assert_eq!(seen(&mut machine, 0), [Change::Included { nonce: 0, was_elsewhere: false }]);
    assert_eq!(seen(&mut machine, 1), [Change::Confirmed { nonce: 0 }]);
}
