//! One node: the state machine over the real store, on a disk that may lose power.

use stateset_fixtures::FaultyDisk;
use stateset_ledger_app::application::{Application, Block, TxResult};
use stateset_ledger_app::bank;
use stateset_ledger_app::overlay::Overlay;
use stateset_ledger_app::{Ledger, StateReader, Writes};
use stateset_ledger_store::{RecordBatch, Store, Substore, View};

use super::{Broken, Sabotage};
use crate::Rng;

/// A block as ordered, and what every node must make of it.
#[derive(Debug, Clone, Default)]
pub struct Ordered {
    pub height: u64,
    pub time_ms: u64,
    pub transactions: Vec<Vec<u8>>,
}

impl Ordered {
    pub fn block(&self) -> Block<'_> {
        let transactions = self.transactions.iter().map(Vec::as_slice).collect();
        Block { height: self.height, time_ms: self.time_ms, transactions }
    }
}

/// What a node made of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub app_hash: [u8; 32],
    /// Without what is no part of consensus.
    pub results: Vec<TxResult>,
}

pub struct Replica {
    pub number: usize,
    pub ledger: Ledger,
    store: Option<Store>,
    disk: FaultyDisk,
    backup: Option<FaultyDisk>,
}

impl Replica {
    /// A node that holds the state of `genesis`, JSON.
    pub fn new(number: usize, genesis: &str) -> Self {
        let (ledger, disk) = (Ledger::new(), FaultyDisk::default());
        let initial = ledger.init_chain(genesis.as_bytes()).expect("a good genesis");
        let store = Store::with_backend(disk.clone()).expect("an empty disk");
        let prepared = store.prepare_genesis(0, &initial.writes).expect("good writes");
        store.commit(prepared, RecordBatch::default()).expect("the disk is whole");
        Self { number, ledger, store: Some(store), disk, backup: None }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("taken during a restart only")
    }

    pub fn view(&self) -> View {
        self.store().view().expect("a state from genesis on")
    }

    pub fn height(&self) -> u64 {
        self.view().height()
    }

    /// Executes and commits. Also whether the disk took it; if not, the node is down, and what it finds at its next start is
    /// the block, whole, or the one before.
    ///
    /// # Errors
    /// [`Broken`]: the node says something that no node may say.
    pub fn deliver(&self, ordered: &Ordered, sabotage: Option<Sabotage>) -> Result<(Made, bool), Broken> {
        let said = |what: &dyn std::fmt::Display| Broken(format!("node {}: {what}", self.number));
        let view = self.view();
        let outcome = self.ledger.finalize_block(&view, &ordered.block()).map_err(|fault| said(&fault))?;
        if !outcome.panicked.is_empty() {
            return Err(said(&format!("a panic on transactions {:?}", outcome.panicked)));
        }
        let writes = self.spoil(outcome.writes, sabotage);
        let prepared = self.store().prepare(ordered.height, &writes).map_err(|error| said(&error))?;
        let app_hash = prepared.app_hash();
        let is_committed = self.store().commit(prepared, RecordBatch::default()).is_ok();
        if is_committed {
            self.ledger.commit(ordered.height);
            self.conserves()?;
        }
        let results = outcome.results.into_iter();
        let results = results.map(|result| TxResult { log: String::new(), events: Vec::new(), ..result });
        Ok((Made { app_hash, results: results.collect() }, is_committed))
    }

    /// What exists is somewhere: recounted from the state that is on the disk.
    fn conserves(&self) -> Result<(), Broken> {
        let view = self.view();
        let said = |what: &dyn std::fmt::Display| Broken(format!("node {}: {what}", self.number));
        let found = bank::audit(&Overlay::new(&view)).map_err(|fault| said(&fault))?;
        match found.iter().find(|(_, holding)| !holding.is_conserved()) {
            Some((denom, holding)) => {
                Err(said(&format!("{denom} is not conserved at height {}: {holding:?}", view.height())))
            }
            None => Ok(()),
        }
    }

    fn spoil(&self, mut writes: Writes, sabotage: Option<Sabotage>) -> Writes {
        match sabotage {
            Some(Sabotage::ForgetsConsumption) => {
                writes.retain(|(substore, key), _| {
                    *substore != Substore::Notary || !key.starts_with(b"spent/")
                });
            }
            Some(Sabotage::OneNodeForgetsSequences) if self.number == 1 => {
                writes
                    .retain(|(substore, key), _| *substore != Substore::Notary || !key.starts_with(b"seq/"));
            }
            Some(Sabotage::MakesMoney) => {
                let balances = writes.iter_mut().filter(|((_, key), _)| key.starts_with(b"bal/"));
                for last in balances.filter_map(|(_, value)| value.as_mut()?.last_mut()) {
                    *last ^= 1;
                }
            }
            _ => {}
        }
        writes
    }

    /// The power goes after a few more operations on the disk.
    pub fn will_lose_power(&self, operations: u64) {
        self.disk.lose_power_after(operations);
    }

    pub fn keep_backup(&mut self) {
        self.backup = Some(self.disk.backup());
    }

    /// Puts an older copy of the disk in its place; false when none was kept. `times`: of the blocks, by height.
    ///
    /// # Errors
    /// [`Broken`] when the store does not open.
    pub fn restore_backup(&mut self, times: &[u64]) -> Result<bool, Broken> {
        let Some(backup) = self.backup.take() else { return Ok(false) };
        self.store = None;
        self.disk = backup;
        self.open(times)?;
        Ok(true)
    }

    /// A new process on what the disk holds after the power came back. `times`: of the blocks, by height.
    ///
    /// # Errors
    /// [`Broken`] when the store does not open.
    pub fn restart(&mut self, rng: &mut Rng, times: &[u64]) -> Result<(), Broken> {
        self.store = None;
        self.disk = self.disk.after_power_loss(|| rng.chance(50));
        self.open(times)
    }

    fn open(&mut self, times: &[u64]) -> Result<(), Broken> {
        let opened = Store::with_backend(self.disk.clone());
        let store = opened.map_err(|error| Broken(format!("node {} does not open: {error}", self.number)))?;
        self.store = Some(store);
        self.ledger = Ledger::new();
        let height = self.height();
        self.ledger.resume(height, times[height as usize]);
        Ok(())
    }

    /// Rows of `substore` with `from <= key < to`.
    pub fn rows(&self, substore: Substore, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        StateReader::range(&self.view(), substore, from, to, usize::MAX).expect("the disk can be read")
    }
}
