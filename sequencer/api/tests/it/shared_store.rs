//! A database that several instances share: one writes at a time, under an epoch that fences the ones before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use stateset_event_log::{
    ApiKeyRecord, BodyChange, DocumentChange, EventLog, EventStore, Holder, KeyChange, LogError, LogReader,
    MemoryDisk, MemoryLog, Opening, RunInfo, SequencerKeyRecord, StreamAppend, Tenure,
};
use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::Tile;
use ves::{SequenceNumber, StreamKey};

/// The database. Clones share it.
#[derive(Clone, Default)]
pub struct Database(Arc<Shared>);

#[derive(Default)]
struct Shared {
    disk: MemoryDisk,
    lease: Mutex<Lease>,
    /// Nothing may be written.
    is_stalled: (Mutex<bool>, Condvar),
    fails: AtomicBool,
}

#[derive(Default)]
struct Lease {
    epoch: u64,
    holder: Option<Holder>,
    /// What whoever opens the log is told.
    refuses: Option<LogError>,
    /// Until when the next writers hold the log for sure.
    tenure: Option<Tenure>,
}

impl Database {
    /// The database as one process opens it.
    pub fn store(&self, holder: Holder) -> Arc<dyn EventStore> {
        Arc::new(SharedStore { database: self.clone(), holder })
    }

    /// The writer's lease is over, without its knowledge.
    pub fn evict(&self) {
        let mut lease = self.lease();
        lease.holder = None;
        lease.epoch += 1;
    }

    /// Another process holds the log for ever.
    pub fn hold(&self, holder: Holder) {
        self.lease().holder = Some(holder);
    }

    /// The next writes fail, with nobody knowing what became of them.
    pub fn fail(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::SeqCst);
    }

    /// The next writers hold the log for sure as long as this says.
    pub fn lend(&self, tenure: Tenure) {
        self.lease().tenure = Some(tenure);
    }

    /// No opening succeeds.
    pub fn refuse(&self, error: Option<LogError>) {
        self.lease().refuses = error;
    }

    /// Writes wait until this is taken back.
    pub fn stall(&self, stalled: bool) {
        *self.0.is_stalled.0.lock().unwrap() = stalled;
        self.0.is_stalled.1.notify_all();
    }

    pub fn has_writer(&self) -> bool {
        self.lease().holder.is_some()
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.0.lease.lock().unwrap()
    }
}

struct SharedStore {
    database: Database,
    holder: Holder,
}

impl EventStore for SharedStore {
    fn open(&self) -> Result<Opening, LogError> {
        let mut lease = self.database.lease();
        if let Some(error) = &lease.refuses {
            return Err(error.clone());
        }
        if let Some(holder) = &lease.holder {
            return Ok(Opening::Held(holder.clone()));
        }
        let log = MemoryLog::open(Box::new(self.database.0.disk.clone()))?;
        lease.epoch += 1;
        lease.holder = Some(self.holder.clone());
        Ok(Opening::Writer(Box::new(Fenced { log, epoch: lease.epoch, database: self.database.clone() })))
    }

    fn name(&self) -> String {
        "a shared database".to_owned()
    }

    fn me(&self) -> Option<&Holder> {
        Some(&self.holder)
    }
}

struct Fenced {
    log: MemoryLog,
    epoch: u64,
    database: Database,
}

impl Fenced {
    /// One write under the fence.
    fn write<T>(&mut self, work: impl FnOnce(&mut MemoryLog) -> Result<T, LogError>) -> Result<T, LogError> {
        let (is_stalled, changed) = &self.database.0.is_stalled;
        drop(changed.wait_while(is_stalled.lock().unwrap(), |stalled| *stalled).unwrap());
        let lease = self.database.0.lease.lock().unwrap();
        if lease.epoch != self.epoch {
            return Err(LogError::Fenced { doing: "writing".to_owned() });
        }
        let written = work(&mut self.log);
        match self.database.0.fails.load(Ordering::SeqCst) {
            // It was written, and the writer does not know it.
            true => Err(LogError::Io { doing: "writing".to_owned(), problem: "the line broke".to_owned() }),
            false => written,
        }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        let mut lease = self.database.lease();
        if lease.epoch == self.epoch {
            lease.holder = None;
        }
    }
}

macro_rules! under_the_fence {
    ($($name:ident($($argument:ident: $type:ty),*);)+) => {$(
        fn $name(&mut self, $($argument: $type),*) -> Result<(), LogError> {
            self.write(|log| log.$name($($argument),*))
        }
    )+};
}

impl EventLog for Fenced {
    under_the_fence! {
        append(turn: &[StreamAppend]);
        put_commitment(commitment: &Commitment, tiles: &[Tile], checkpoint: &str);
        put_agent_key(key: &AgentKey);
        put_encryption_key(key: &EncryptionKey);
        put_api_key(key: &ApiKeyRecord);
        put_key(key: &KeyChange, beside: &[DocumentChange]);
        put_sequencer_key(key: &SequencerKeyRecord);
        set_meta(name: &str, value: &[u8]);
        remove_meta(name: &str);
        replace_bodies(stream: &StreamKey, changes: &[BodyChange]);
        put_documents(changes: &[DocumentChange]);
        put_run_pages(run: u64, first_page: u32, pages: &[Vec<u8>]);
        publish_run(run: &RunInfo, replaces: &[u64], covered: &[(StreamKey, SequenceNumber)]);
        drop_run(run: u64);
    }

    fn maintenance(&mut self) -> Result<(), LogError> {
        if self.database.lease().epoch != self.epoch {
            return Err(LogError::Fenced { doing: "housekeeping".to_owned() });
        }
        self.log.maintenance()
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.log.reader()
    }

    fn tenure(&self) -> Option<Tenure> {
        self.database.lease().tenure.clone()
    }

    fn close(self: Box<Self>) -> Result<(), LogError> {
        Ok(())
    }
}
