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
    owed: Vec<Owed>,
    /// What the sequencer was told of each batch: it lists the others as pending.
    told: BTreeMap<u64, B256>,
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
            machine: Machine::resume(PATIENCE, [], []),
            journal: BTreeMap::new(),
            owed: Vec::new(),
            told: BTreeMap::new(),
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
                        refused: Vec::new(),
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
            is_empty: false,
        }
    }

    fn hand_over(&mut self, nonce: u64, arrives: bool) {
        let Some(flight) = self.machine.flight(nonce).filter(|_| arrives) else { return };
        let name = U256::from_be_bytes(flight.latest().hash.0).to::<u64>();
        let batches = match flight.latest().is_empty {
            true => Vec::new(),
            false => flight.batches.iter().map(|batch| batch.sequence_start.get()).collect(),
        };
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
                    let is_empty = self.machine.flight(nonce).unwrap().is_void;
                    let attempt = Attempt { is_empty, ..self.attempt() };
                    self.machine.replace(nonce, attempt);
                    nonce
                }
            };
            self.write();
            self.hand_over(nonce, arrives);
        }
        for nonce in self.machine.untold() {
            self.tell(nonce);
        }
        self.machine.retire();
        self.send(arrives, sight.finalized);
        self.write();
    }

    /// As a sequencer takes it: another transaction than before only as a correction of that.
    fn tell(&mut self, nonce: u64) {
        let flight = self.machine.flight(nonce).unwrap();
        let transaction = flight.stage.inclusion().unwrap().transaction;
        let carried: Vec<_> = flight.carried().collect();
        for n in (0..self.total).filter(|n| carried.contains(&key_of(&batch(*n)))) {
            let known = self.told.insert(n, transaction);
            let is_taken = known
                .is_none_or(|known| known == transaction || flight.told(&key_of(&batch(n))) == Some(known));
            assert!(is_taken, "the sequencer would refuse it");
        }
        self.machine.tell(nonce);
    }

    /// The transaction that has the batch, by its name, and its block.
    fn place(&self, wanted: u64) -> (B256, u64) {
        let holds = |(.., committed): &&(u64, u64, Vec<u64>)| committed.contains(&wanted);
        let (block, name, _) = self.commits().iter().find(holds).cloned().unwrap();
        (B256::from(U256::from(name)), block)
    }

    /// What the chain is past without a transaction that is watched.
    fn recover(&mut self, n: u64, finalized: u64) {
        let ((transaction, block), key) = (self.place(n), key_of(&batch(n)));
        let before = self.machine.told_of(&key);
        assert!(!self.told.contains_key(&n) || self.told.get(&n) == before.as_ref());
        self.told.insert(n, transaction);
        match block <= finalized {
            true => self.machine.forget(&key),
            false => self.machine.watch(&batch(n), transaction, block, self.now_ms),
        }
    }

    fn send(&mut self, arrives: bool, finalized: u64) {
        for n in (0..self.total).filter(|n| !self.told.contains_key(n)) {
            self.machine.forget(&key_of(&batch(n)));
        }
        if !self.machine.is_clear() {
            return;
        }
        let (carried, head) = (self.machine.carried(), self.head());
        let due: BTreeSet<_> =
            self.machine.due(finalized).iter().map(|batch| batch.record.sequence_start.get()).collect();
        let open: Vec<u64> = (0..self.total)
            .filter(|n| !self.told.contains_key(n) || due.contains(n))
            .filter(|n| !carried.contains(&key_of(&batch(*n))))
            .collect();
        for n in open.iter().filter(|n| **n < head) {
            self.recover(*n, finalized);
        }
        // What does not continue is a conflict, and waits for a person.
        let next = open.iter().filter(|n| **n >= head).zip(head..).take_while(|(n, next)| **n == *next);
        let batches: Vec<_> = next.map(|(n, _)| batch(*n)).take(3).collect();
        if batches.is_empty() {
            return;
        }
        let nonce = self.machine.free_nonce(self.next_nonce());
        let attempt = self.attempt();
        let mut flight = Flight::new(nonce, batches, attempt);
        self.machine.claim(&mut flight);
        self.machine.submit(flight);
        self.write();
        self.hand_over(nonce, arrives);
    }

    fn write(&mut self) {
        self.journal = self.machine.flights().map(|flight| (flight.nonce, flight.clone())).collect();
        self.owed = self.machine.owed().cloned().collect();
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
            Event::Crash => {
                self.machine =
                    Machine::resume(PATIENCE, self.journal.values().cloned(), self.owed.iter().cloned());
            }
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
        let on_chain: BTreeMap<u64, B256> = (0..total).map(|n| (n, world.place(n).0)).collect();
        prop_assert_eq!(&world.told, &on_chain, "the sequencer names the transactions that are in the chain");
        prop_assert_eq!(world.machine.owed().count(), 0);
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
    assert!(world.told.contains_key(&0));
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
    let mut machine = Machine::resume(PATIENCE, [], []);
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

/// The sequencer lists it as pending no more, so nobody else would send it again.
#[test]
fn a_told_batch_that_is_undone_and_whose_nonce_is_taken_is_owed_until_it_is_sent() {
    let mut world = World::new(1);
    world.step(true);
    world.mine(true);
    for _ in 0..CONFIRMATIONS {
        world.mine(false);
    }
    world.step(true);
    let first = world.told[&0];
    world.happen(Event::Reorg { depth: 5, keeps: false });
    world.happen(Event::Foreign);
    let mut machine = world.machine.clone();
    machine.observe(&world.sight());
    assert_eq!(machine.flights().count(), 0);
    assert_eq!(machine.told_of(&key_of(&batch(0))), Some(first));
    assert_eq!(machine.due(0).len(), 1);
    world.calm_down();
    assert_eq!(world.head(), 1);
    assert_ne!(world.told[&0], first, "it was corrected");
}

/// A root's contract does not refuse a gap.
#[test]
fn what_continues_a_transaction_that_was_given_up_is_emptied_and_not_sent_as_it_is() {
    let mut machine = Machine::resume(PATIENCE, [], []);
    for nonce in [4, 5] {
        machine.submit(Flight::new(nonce, vec![batch(nonce)], World::new(1).attempt()));
    }
    let places = [(4, Place::Missing), (5, Place::Missing)].into();
    let sight = Sight { now_ms: 1, newest: 1, safe: None, finalized: 0, next_nonce: 5, places };
    assert_eq!(machine.observe(&sight), [Change::Dropped { nonce: 4, why: DropReason::NonceTaken }]);
    assert!(machine.flight(5).unwrap().is_void);
    assert_eq!(machine.wishes(&sight), [Wish::Replace { nonce: 5 }]);
    machine.replace(5, Attempt { is_empty: true, ..World::new(1).attempt() });
    assert_eq!(machine.wishes(&sight), [Wish::SendAgain { nonce: 5 }]);
}
