//! What must outlive the process: each transaction of ours, written before it is sent.
//!
//! A folder with one file for each nonce, written whole under another name, synced and renamed; and a file that says whose
//! transactions they are. One process at a time holds the folder.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use set_registry::Address;

use crate::flight::{Flight, Owed};
use crate::history::Snapshot;

const OWNER: &str = "owner.json";
/// What was anchored, as far as it is final: read from the chain, and kept to spare the reading.
const HISTORY: &str = "history.json";
/// Batches that the sequencer holds for anchored, and that no transaction in the journal holds.
const OWED: &str = "owed.json";
const LOCK: &str = "lock";
/// Of a file that is not whole yet.
const UNFINISHED: &str = "new";

/// Whose transactions a journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub chain_id: u64,
    pub registry: Address,
    pub account: Address,
}

/// Why the journal can't be used. Nothing may be sent then.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {path} can't be used: {problem}")]
    Io { path: PathBuf, problem: std::io::Error },
    #[error(
        "another process holds the journal {0}: only one may send from an account; stop it, or give this one a folder \
         and a key of its own"
    )]
    Held(PathBuf),
    #[error(
        "the journal {path} is of chain {}, registry {}, account {}, and the settings name chain {}, registry {}, account \
         {}: set ANCHOR_DATA_DIR to a new folder, or put the settings back",
        .found.chain_id, .found.registry, .found.account, .expected.chain_id, .expected.registry, .expected.account
    )]
    OfAnother { path: PathBuf, found: Box<Owner>, expected: Box<Owner> },
    #[error(
        "{path} of the journal can't be read: {problem}; a disk fault? restore it, or wait until transaction count of the account shows that nothing of ours is waiting, and use a new folder"
    )]
    Damaged { path: PathBuf, problem: String },
}

/// The folder, held.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    /// Locked while it is open, and by nobody after a crash.
    _lock: File,
}

impl Journal {
    /// Opens or makes the journal, and reads the transactions in it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(folder: &Path, owner: &Owner) -> Result<(Self, Vec<Flight>), JournalError> {
        let io = |problem| JournalError::Io { path: folder.to_path_buf(), problem };
        fs::create_dir_all(folder).map_err(io)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join(LOCK)).map_err(io)?;
        match set_registry::lock::lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Held(folder.to_path_buf())),
            Err(TryLockError::Error(problem)) => return Err(io(problem)),
        }
        let journal = Self { folder: folder.to_path_buf(), _lock: lock };
        journal.check_owner(owner)?;
        let flights = journal.read()?;
        Ok((journal, flights))
    }

    fn check_owner(&self, expected: &Owner) -> Result<(), JournalError> {
        let path = self.folder.join(OWNER);
        if !path.exists() {
            return self.write(OWNER, expected);
        }
        let found: Owner = self.load(&path)?;
        if found == *expected {
            return Ok(());
        }
        // Whose it is says nothing yet: settings that were wrong at the first start are put right.
        if self.is_blank()? {
            return self.write(OWNER, expected);
        }
        Err(JournalError::OfAnother { path, found: Box::new(found), expected: Box::new(*expected) })
    }

    /// Whether nothing is in it that would be of somebody.
    fn is_blank(&self) -> Result<bool, JournalError> {
        Ok(!self.folder.join(HISTORY).exists() && self.owed()?.is_empty() && self.read()?.is_empty())
    }

    fn read(&self) -> Result<Vec<Flight>, JournalError> {
        let mut flights = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|problem| self.io(problem))? {
            let path = entry.map_err(|problem| self.io(problem))?.path();
            let nonce = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            match path.extension().and_then(|extension| extension.to_str()) {
                // Never renamed, so it was never sent.
                Some(UNFINISHED) => fs::remove_file(&path).map_err(|problem| self.io(problem))?,
                Some("json") if nonce.is_some() => flights.push(self.load(&path)?),
                _ => {}
            }
        }
        flights.sort_by_key(|flight: &Flight| flight.nonce);
        Ok(flights)
    }

    /// Writes a transaction down, or anew. On disk when it returns.
    ///
    /// # Errors
    /// [`JournalError::Io`]: it must not be sent.
    pub fn put(&self, flight: &Flight) -> Result<(), JournalError> {
        self.write(&file_of(flight.nonce), flight)
    }

    /// Writes down what is owed, whole. On disk when it returns.
    ///
    /// # Errors
    /// [`JournalError::Io`]: the transactions that held it must not be struck out.
    pub fn put_owed<'a>(&self, owed: impl IntoIterator<Item = &'a Owed>) -> Result<(), JournalError> {
        self.write(OWED, &owed.into_iter().collect::<Vec<_>>())
    }

    /// What is owed.
    ///
    /// # Errors
    /// [`JournalError`]: nobody else knows, so a damaged file is not passed over.
    pub fn owed(&self) -> Result<Vec<Owed>, JournalError> {
        let path = self.folder.join(OWED);
        if path.exists() { self.load(&path) } else { Ok(Vec::new()) }
    }

    /// Keeps what was read of the chain.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn put_history(&self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.write(HISTORY, snapshot)
    }

    /// What was read of the chain before: nothing where the file is missing, or damaged, since the chain has it.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn history(&self) -> Result<Snapshot, JournalError> {
        let path = self.folder.join(HISTORY);
        if !path.exists() {
            return Ok(Snapshot::default());
        }
        match self.load(&path) {
            Err(damaged @ JournalError::Damaged { .. }) => {
                tracing::warn!(problem = %damaged, "what was anchored is read from the chain anew");
                Ok(Snapshot::default())
            }
            other => other,
        }
    }

    /// Strikes a transaction out.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn remove(&self, nonce: u64) -> Result<(), JournalError> {
        match fs::remove_file(self.folder.join(file_of(nonce))) {
            Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => Err(self.io(problem)),
            _ => Ok(()),
        }
    }

    /// Whether a transaction could be written down now, with the largest batches.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn probe(&self) -> Result<(), JournalError> {
        let path = self.folder.join(PROBE);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&[0; PROBE_BYTES])?;
            file.sync_all()?;
            fs::remove_file(&path)
        };
        let written = write();
        if written.is_err() {
            // What it took is given back.
            let _ = fs::remove_file(&path);
        }
        written.map_err(|problem| JournalError::Io { path: path.clone(), problem })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), JournalError> {
        let (path, unfinished) = (self.folder.join(name), self.folder.join(format!("{name}.{UNFINISHED}")));
        let text = serde_json::to_vec(value).expect("what the journal holds is JSON");
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            // The name is on disk only when its folder is.
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|problem| JournalError::Io { path: path.clone(), problem })
    }

    fn load<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<T, JournalError> {
        let bytes =
            fs::read(path).map_err(|problem| JournalError::Io { path: path.to_path_buf(), problem })?;
        serde_json::from_slice(&bytes).map_err(|problem| JournalError::Damaged {
            path: path.to_path_buf(),
            problem: problem.to_string(),
        })
    }

    fn io(&self, problem: std::io::Error) -> JournalError {
        JournalError::Io { path: self.folder.clone(), problem }
    }
}

/// With all digits, so that files lie in the order of their nonces.
fn file_of(nonce: u64) -> String {
    format!("{nonce:020}.json")
}

/// More than a transaction takes with all that goes into one.
const PROBE_BYTES: usize = 512 * 1024;
/// An unfinished file: what a crash leaves of it is removed at the next start.
const PROBE: &str = "probe.new";

#[cfg(test)]
mod tests {
    use set_registry::B256;

    use super::*;
    use crate::flight::{Attempt, Fees, Inclusion, Stage};

    fn owner() -> Owner {
        Owner { chain_id: 1, registry: Address::repeat_byte(1), account: Address::repeat_byte(2) }
    }

    fn flight(nonce: u64) -> Flight {
        let fees = Fees { max_fee: u128::MAX, priority_fee: 1 };
        let (hash, raw) = (B256::repeat_byte(3), vec![1, 2, 3].into());
        let attempt =
            Attempt { hash, raw, fees, gas_limit: 1, signed_at_ms: 5, signed_at_block: 6, is_empty: false };
        Flight::new(nonce, Vec::new(), attempt)
    }

    #[test]
    fn what_was_put_is_there_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, found) = Journal::open(folder.path(), &owner()).unwrap();
        assert_eq!(found, []);
        let mut second = flight(12);
        journal.put(&second).unwrap();
        journal.put(&flight(7)).unwrap();
        journal.put(&flight(8)).unwrap();
        journal.remove(8).unwrap();
        journal.remove(8).unwrap();
        second.stage = Stage::Included(Inclusion {
            transaction: B256::ZERO,
            block_number: 1,
            block_hash: B256::ZERO,
            gas_used: 1,
            fee_wei: u128::MAX,
            anchored: Vec::new(),
            refused: Vec::new(),
        });
        journal.put(&second).unwrap();
        drop(journal);
        let (_held, found) = Journal::open(folder.path(), &owner()).unwrap();
        assert_eq!(found, [flight(7), second]);
    }

    /// A file without its name was not on disk when the process died, so its transaction was not sent.
    #[test]
    fn an_unfinished_file_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(Journal::open(folder.path(), &owner()).unwrap());
        fs::write(folder.path().join("00000000000000000003.json.new"), "{").unwrap();
        let (_held, found) = Journal::open(folder.path(), &owner()).unwrap();
        assert_eq!(found, []);
        fs::write(folder.path().join("00000000000000000003.json"), "{").unwrap();
        drop(_held);
        assert!(matches!(Journal::open(folder.path(), &owner()), Err(JournalError::Damaged { .. })));
    }

    #[test]
    fn two_processes_do_not_share_a_journal() {
        let folder = tempfile::tempdir().unwrap();
        let held = Journal::open(folder.path(), &owner()).unwrap();
        assert!(matches!(Journal::open(folder.path(), &owner()), Err(JournalError::Held(_))));
        // Let go a moment later, as by a program that is just being started.
        let ending = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            drop(held);
        });
        assert!(Journal::open(folder.path(), &owner()).is_ok());
        ending.join().unwrap();
    }

    #[test]
    fn a_journal_of_another_chain_or_account_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path(), &owner()).unwrap();
        journal.put(&flight(7)).unwrap();
        drop(journal);
        let problem = Journal::open(folder.path(), &Owner { chain_id: 2, ..owner() }).unwrap_err();
        assert!(problem.to_string().contains("set ANCHOR_DATA_DIR to a new folder"), "{problem}");
        assert_eq!(Journal::open(folder.path(), &owner()).unwrap().1, [flight(7)]);
    }

    #[test]
    fn a_journal_that_nothing_was_put_into_takes_settings_that_were_put_right() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path(), &Owner { chain_id: 8_453, ..owner() }).unwrap();
        journal.put_owed([]).unwrap();
        drop(journal);
        drop(Journal::open(folder.path(), &owner()).unwrap());
        let (journal, _) = Journal::open(folder.path(), &owner()).unwrap();
        journal.put_history(&Snapshot::default()).unwrap();
        drop(journal);
        let other = Owner { account: Address::repeat_byte(9), ..owner() };
        assert!(matches!(Journal::open(folder.path(), &other), Err(JournalError::OfAnother { .. })));
    }
}
