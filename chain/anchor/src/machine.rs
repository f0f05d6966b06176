//! What is known of our transactions, and what follows from what the chain shows. Pure: no clock, no network.
//!
//! At most one transaction is waiting for a block at any time, so nonces have no gaps of our making, and a batch is never
//! sent ahead of the one before it. Those in blocks are watched until they are final.

use std::collections::{BTreeMap, BTreeSet};

use crate::flight::{Attempt, BatchKey, Flight, Inclusion, Owed, Stage};

mod owed;

/// Transactions that are not final: more are not sent. A chain that finalises nothing any more is a matter for people.
pub const FLIGHTS_MAX: usize = 1024;

/// When something is confirmed, stuck or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Blocks, counted from that of the transaction, that make it confirmed; at least 1.
    pub confirmations: u64,
    /// Blocks without the transaction before its fees are raised.
    pub stuck_after_blocks: u64,
    /// Milliseconds without it before its fees are raised.
    pub stuck_after_ms: i64,
}

/// What the chain shows of one of our transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    InBlock(Inclusion),
    /// The node holds it for a block to come.
    Waiting,
    /// The node does not know it.
    Missing,
}

/// What the chain shows, all of it after `next_nonce` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Milliseconds since 1970 (UTC).
    pub now_ms: i64,
    /// Number of the newest block.
    pub newest: u64,
    /// Newest block that counts for "confirmed" besides the depth, where the chain names one (`safe`).
    pub safe: Option<u64>,
    /// Newest block that is not undone any more.
    pub finalized: u64,
    /// Nonces below it are used by transactions in blocks.
    pub next_nonce: u64,
    /// Of each transaction that is not final.
    pub places: BTreeMap<u64, Place>,
}

/// What changed: each is written down, counted and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is in a block now, or in another than before.
    Included {
        nonce: u64,
        was_elsewhere: bool,
    },
    /// Its block is no longer in the chain, and it is in no other.
    Undone {
        nonce: u64,
        was_confirmed: bool,
    },
    Confirmed {
        nonce: u64,
    },
    Final {
        nonce: u64,
    },
    /// Another transaction of the account used its nonce, or nonces before it were lost. Its batches are pending again.
    Dropped {
        nonce: u64,
        why: DropReason,
    },
    /// It is in a block and anchored nothing. Its batches are pending again.
    Empty {
        nonce: u64,
        inclusion: Inclusion,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// Somebody else sends from this account.
    NonceTaken,
    /// The chain went back behind nonces that are not ours to send again.
    Stranded,
}

/// What has to be sent so that a transaction gets into a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The same bytes: the node has lost them, or never got them.
    SendAgain { nonce: u64 },
    /// The same nonce with higher fees; without its batches where [`Flight::is_void`].
    Replace { nonce: u64 },
}

/// Our transactions that are not final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    patience: Patience,
    flights: BTreeMap<u64, Flight>,
    /// Since when the lowest transaction waits for nonces that nobody sends.
    stranded_since_ms: Option<i64>,
    /// Nonces whose transaction the node finds too cheap.
    too_cheap: BTreeSet<u64>,
    /// Batches that the sequencer holds for anchored, and that none of our transactions holds.
    owed: BTreeMap<BatchKey, Owed>,
    /// Whether `owed` is other than the journal has it.
    is_owed_new: bool,
}

impl Machine {
    /// Goes on with what the journal holds.
    pub fn resume(
        patience: Patience,
        flights: impl IntoIterator<Item = Flight>,
        owed: impl IntoIterator<Item = Owed>,
    ) -> Self {
        let flights = flights.into_iter().map(|flight| (flight.nonce, flight)).collect();
        let mut machine = Self {
            patience,
            flights,
            stranded_since_ms: None,
            too_cheap: BTreeSet::new(),
            owed: BTreeMap::new(),
            is_owed_new: false,
        };
        machine.resume_owed(owed);
        machine
    }

    /// By nonce.
    pub fn flights(&self) -> impl DoubleEndedIterator<Item = &Flight> {
        self.flights.values()
    }

    pub fn flight(&self, nonce: u64) -> Option<&Flight> {
        self.flights.get(&nonce)
    }

    /// Batches that are on their way: they are not sent again.
    pub fn carried(&self) -> BTreeSet<BatchKey> {
        self.flights.values().flat_map(Flight::carried).collect()
    }

    /// Takes in what the chain shows. A second call with the same sight changes nothing.
    pub fn observe(&mut self, sight: &Sight) -> Vec<Change> {
        let mut changes = Vec::new();
        for nonce in self.flights.keys().copied().collect::<Vec<_>>() {
            match sight.places.get(&nonce) {
                Some(Place::InBlock(inclusion)) => self.seen_in_block(nonce, inclusion, sight, &mut changes),
                Some(Place::Waiting | Place::Missing) => self.seen_in_no_block(nonce, sight, &mut changes),
                None => {}
            }
            self.ripen(nonce, sight, &mut changes);
        }
        self.drop_stranded(sight, &mut changes);
        changes
    }

    fn seen_in_block(&mut self, nonce: u64, inclusion: &Inclusion, sight: &Sight, changes: &mut Vec<Change>) {
        let Some(flight) = self.flights.get_mut(&nonce) else { return };
        let known = flight.stage.inclusion();
        if known.is_some_and(|known| known.block_hash == inclusion.block_hash) {
            return;
        }
        let was_elsewhere = known.is_some();
        if inclusion.anchored.is_empty() {
            self.give_up(nonce, sight.now_ms);
            changes.push(Change::Empty { nonce, inclusion: inclusion.clone() });
            return;
        }
        // The sequencer holds the transaction it was told of; another attempt in its place has to be told.
        flight.is_told &= known.is_some_and(|known| known.transaction == inclusion.transaction);
        flight.stage = Stage::Included(inclusion.clone());
        self.owe_what_is_not_held(nonce, sight.now_ms);
        changes.push(Change::Included { nonce, was_elsewhere });
    }

    fn seen_in_no_block(&mut self, nonce: u64, sight: &Sight, changes: &mut Vec<Change>) {
        let Some(flight) = self.flights.get_mut(&nonce) else { return };
        if flight.stage != Stage::Submitted {
            let was_confirmed = flight.stage.is_confirmed();
            flight.stage = Stage::Submitted;
            changes.push(Change::Undone { nonce, was_confirmed });
        }
        // None of ours is in a block though the nonce is used.
        if sight.next_nonce > nonce {
            self.give_up(nonce, sight.now_ms);
            changes.push(Change::Dropped { nonce, why: DropReason::NonceTaken });
        }
    }

    /// Included becomes confirmed, and confirmed final, as blocks come.
    fn ripen(&mut self, nonce: u64, sight: &Sight, changes: &mut Vec<Change>) {
        let confirmations = self.patience.confirmations.max(1);
        let Some(flight) = self.flights.get_mut(&nonce) else { return };
        if let Stage::Included(inclusion) = &flight.stage
            && inclusion.block_number + confirmations <= sight.newest + 1
            && sight.safe.is_none_or(|safe| inclusion.block_number <= safe)
        {
            flight.stage = Stage::Confirmed(inclusion.clone());
            changes.push(Change::Confirmed { nonce });
        }
        if let Stage::Confirmed(inclusion) = &flight.stage
            && inclusion.block_number <= sight.finalized
        {
            flight.stage = Stage::Final(inclusion.clone());
            changes.push(Change::Final { nonce });
        }
    }

    /// A chain that was set back behind transactions that are gone will never take ours: their nonces are too high.
    fn drop_stranded(&mut self, sight: &Sight, changes: &mut Vec<Change>) {
        let lowest = self.submitted().map(|flight| flight.nonce).next();
        let Some(_) = lowest.filter(|nonce| *nonce > sight.next_nonce) else {
            self.stranded_since_ms = None;
            return;
        };
        let since = *self.stranded_since_ms.get_or_insert(sight.now_ms);
        if sight.now_ms - since < self.patience.stuck_after_ms {
            return;
        }
        let stranded: Vec<u64> = self.submitted().map(|flight| flight.nonce).collect();
        for nonce in stranded {
            self.give_up(nonce, sight.now_ms);
            changes.push(Change::Dropped { nonce, why: DropReason::Stranded });
        }
        self.stranded_since_ms = None;
    }

    fn submitted(&self) -> impl Iterator<Item = &Flight> {
        self.flights.values().filter(|flight| flight.stage == Stage::Submitted)
    }

    /// What to send again, lowest nonce first: after a reorganisation several may wait, and fees are raised for the first
    /// only, since it holds up the rest.
    pub fn wishes(&self, sight: &Sight) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for (at, flight) in self.submitted().enumerate() {
            let nonce = flight.nonce;
            let is_to_be_emptied = flight.is_void && !flight.latest().is_empty;
            let is_too_slow = || self.is_stuck(flight, sight) || self.too_cheap.contains(&nonce);
            if is_to_be_emptied || (at == 0 && is_too_slow()) {
                wishes.push(Wish::Replace { nonce });
            } else if sight.places.get(&nonce) == Some(&Place::Missing) {
                wishes.push(Wish::SendAgain { nonce });
            }
        }
        wishes
    }

    fn is_stuck(&self, flight: &Flight, sight: &Sight) -> bool {
        let latest = flight.latest();
        sight.newest >= latest.signed_at_block.saturating_add(self.patience.stuck_after_blocks)
            || sight.now_ms - latest.signed_at_ms >= self.patience.stuck_after_ms
    }

    /// Whether a new transaction may be sent: nothing of ours waits for a block.
    pub fn is_clear(&self) -> bool {
        self.submitted().next().is_none() && self.flights.len() < FLIGHTS_MAX
    }

    /// The nonce of a new transaction, where `known` is what the node would give out.
    pub fn free_nonce(&self, known: u64) -> u64 {
        self.flights.keys().next_back().map_or(known, |highest| known.max(highest + 1))
    }

    /// A transaction is written down, and about to be sent.
    ///
    /// # Panics
    /// When the nonce is in use: the caller has asked [`Machine::free_nonce`].
    pub fn submit(&mut self, flight: Flight) {
        self.hand_on(&flight);
        let before = self.flights.insert(flight.nonce, flight);
        assert!(before.is_none(), "a nonce is given out once");
    }

    /// A transaction with higher fees is written down in place of the last.
    pub fn replace(&mut self, nonce: u64, attempt: Attempt) {
        self.too_cheap.remove(&nonce);
        if let Some(flight) = self.flights.get_mut(&nonce) {
            flight.attempts.push(attempt);
        }
    }

    /// The node finds the fees too low to hold the transaction.
    pub fn is_too_cheap(&mut self, nonce: u64) {
        self.too_cheap.insert(nonce);
    }

    /// Confirmed transactions that the sequencer was not told of.
    pub fn untold(&self) -> Vec<u64> {
        let untold = self.flights.values().filter(|flight| flight.stage.is_confirmed() && !flight.is_told);
        untold.map(|flight| flight.nonce).collect()
    }

    /// The sequencer knows of the transaction.
    pub fn tell(&mut self, nonce: u64) {
        if let Some(flight) = self.flights.get_mut(&nonce) {
            owed::note_told(flight);
            flight.is_told = true;
        }
    }

    /// Takes out what is final and told: nothing can happen to it any more.
    pub fn retire(&mut self) -> Vec<u64> {
        let done = |flight: &&Flight| matches!(flight.stage, Stage::Final(_)) && flight.is_told;
        let nonces: Vec<u64> = self.flights.values().filter(done).map(|flight| flight.nonce).collect();
        for nonce in &nonces {
            self.flights.remove(nonce);
        }
        nonces
    }
}

#[cfg(test)]
mod tests;
