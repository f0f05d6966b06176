//! Records of payments: a file that only grows, one JSON line for each step of a payment, on disk before the step is taken.
//!
//! The last line of a payment is its state. A line that a crash cut short is the last of the file and says nothing yet,
//! since what it announces was not begun. A line that is broken elsewhere is no crash. A start writes the file anew, with the
//! states that still matter, beside the old one and then in its place.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authorization::Authorization;
use crate::payment_log::LogReceipt;
use crate::sender::Outgoing;

/// Transactions that are kept of one payment beside those that are followed: more than a node loses.
const EARLIER_MAX: usize = 32;
/// Ended payments are kept so long after their authorization has, in seconds; then no repeat of theirs can come.
const KEPT_S: u64 = 86_400;

/// What makes a payment one payment (x402 B.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaymentKey {
    pub chain_id: u64,
    pub token: Address,
    pub from: Address,
    pub nonce: B256,
}

/// How far a payment has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Verified, and nothing sent.
    Reserved,
    /// About to be sent, or sent.
    Sent {
        /// The last one.
        transaction: B256,
        sender: Address,
        account_nonce: u64,
        /// Every transaction of that number, oldest first: each replaces those before, and one may come to stand in a block.
        #[serde(default)]
        attempts: Vec<Outgoing>,
    },
    /// The token says that the money moved.
    Settled {
        transaction: B256,
        block_number: u64,
        /// Unknown of payments that settled before this was put down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        block_hash: Option<B256>,
    },
    /// It did not move, by this authorization and up to now.
    Failed { reason: String, detail: String },
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub key: PaymentKey,
    #[serde(flatten)]
    pub stage: Stage,
    pub authorization: Authorization,
    pub signature: Bytes,
    /// Name and version of the token's EIP-712 domain.
    pub token_name: String,
    pub token_version: String,
    /// Of the protocol.
    pub version: u8,
    /// What is bought: a payment pays for nothing else.
    pub resource: String,
    /// Newest block before the authorization was seen unused.
    pub from_block: u64,
    /// Unix seconds.
    pub reserved_at: u64,
    /// Its place in the history of payments.
    pub logged: Option<Logged>,
    /// What the history knows this sale by before it is settled; nil where it was put down before sales had one.
    #[serde(default)]
    pub sale: Uuid,
    #[serde(default)]
    pub hold: Hold,
    /// Transactions that are not followed any more, oldest first: the node had lost them, or their block was undone. One of them
    /// may come into a block all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Outgoing>,
    /// The transaction that had settled it, in a block that the chain has undone since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<B256>,
    /// Seen standing under as many blocks as chains never undo: it is not looked at any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_firm: bool,
}

/// Whether the history keeps the authorization for this sale, so that no intent and no other gate is paid by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// It may: it was asked, or is about to be.
    #[default]
    Asked,
    Held,
    /// It does not any more.
    Released,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Logged {
    At {
        intent_id: Uuid,
        sequence_number: u64,
    },
    /// There is no history.
    Nowhere,
}

impl Record {
    /// Whether nothing is left to be done about it.
    pub fn is_over(&self) -> bool {
        match self.stage {
            Stage::Settled { .. } => self.logged.is_some(),
            Stage::Failed { .. } => self.hold == Hold::Released,
            Stage::Reserved | Stage::Sent { .. } => false,
        }
    }

    /// In another stage. What was sent for it is kept.
    pub(crate) fn moved_to(self, stage: Stage) -> Self {
        let mut earlier = self.earlier;
        if let (Stage::Sent { attempts, .. }, false) = (&self.stage, matches!(stage, Stage::Sent { .. })) {
            earlier.extend(attempts);
            earlier.drain(..earlier.len().saturating_sub(EARLIER_MAX));
        }
        Self { stage, earlier, is_firm: false, ..self }
    }

    /// Whether a transaction of it that nobody follows may come into a block yet.
    pub(crate) fn was_sent(&self) -> bool {
        !self.earlier.is_empty() || self.undone.is_some()
    }

    /// Whether what this number of the account holds is sent again where the chain loses it.
    fn follows_number(&self, account: Address, number: u64) -> bool {
        let attempts = match &self.stage {
            Stage::Sent { sender, account_nonce, attempts, .. } => {
                if (*sender, *account_nonce) == (account, number) {
                    return true;
                }
                attempts
            }
            Stage::Settled { .. } if !self.is_firm => &self.earlier,
            Stage::Reserved if self.undone.is_some() => &self.earlier,
            _ => return false,
        };
        attempts.iter().any(|sent| (sent.account, sent.account_nonce) == (account, number))
    }

    /// Number and hash of the block that settled it, where the chain may undo that yet.
    pub(crate) fn watched_block(&self) -> Option<(u64, B256)> {
        match self.stage {
            Stage::Settled { block_number, block_hash, .. } if !self.is_firm => {
                Some((block_number, block_hash?))
            }
            _ => None,
        }
    }

    /// Transactions of one number, of which at most one comes to stand in a block: the newest first.
    pub(crate) fn followed(&self) -> Vec<B256> {
        let Stage::Sent { transaction, attempts, .. } = &self.stage else { return Vec::new() };
        let replaced = attempts.iter().rev().map(|attempt| attempt.transaction);
        std::iter::once(*transaction).chain(replaced.filter(|hash| hash != transaction)).collect()
    }

    /// Transactions that nobody follows, the newest first.
    pub(crate) fn given_up(&self) -> Vec<B256> {
        let mut hashes: Vec<B256> = self.earlier.iter().rev().map(|sent| sent.transaction).collect();
        hashes.extend(self.undone.filter(|undone| !hashes.contains(undone)));
        hashes
    }
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{} is in use by another process; every facilitator needs a file of its own", path.display())]
    InUse { path: PathBuf },
    #[error(
        "{}: line {line} is broken ({problem}); restore the file, since without its records a payment may be sent twice",
        path.display()
    )]
    Broken { path: PathBuf, line: usize, problem: String },
}

struct Lines {
    file: File,
    /// The length up to which lines are whole.
    length: u64,
}

/// The records of one facilitator.
pub struct Records {
    path: PathBuf,
    lines: Mutex<Lines>,
    /// What is on disk. Whoever reads it waits for no write: the writer of a log asks, too.
    durable: RwLock<BTreeMap<PaymentKey, Record>>,
    /// Beside the file, since that is replaced: held as long as this lives.
    _lock: File,
}

impl Records {
    /// Opens or makes the file, and keeps others out of it. `now_s` in Unix seconds: what ended long before is dropped.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, now_s: u64) -> Result<Self, OpenError> {
        let failed = |error| OpenError::File { path: path.to_owned(), error };
        let lock = open_beside(path, ".lock").map_err(failed)?;
        match set_registry::lock::lock(&lock) {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: path.to_owned() });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut records = BTreeMap::new();
        let lines = whole_lines(&content).split(|byte| *byte == b'\n').enumerate();
        for (at, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let record: Record = serde_json::from_slice(line).map_err(|error| OpenError::Broken {
                path: path.to_owned(),
                line: at + 1,
                problem: error.to_string(),
            })?;
            records.insert(record.key, record);
        }
        records.retain(|_, record| {
            let is_kept = record.authorization.valid_before_s().saturating_add(KEPT_S) >= now_s;
            is_kept || !record.is_over() || record.watched_block().is_some()
        });
        let lines = write_anew(path, &records).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            lines: Mutex::new(lines),
            durable: RwLock::new(records),
            _lock: lock,
        })
    }

    /// The state of a payment.
    pub fn get(&self, key: &PaymentKey) -> Option<Record> {
        self.durable().get(key).cloned()
    }

    /// Whether a payment with this key is being settled, or was: its authorization pays for nothing else.
    pub(crate) fn has_taken(&self, key: &PaymentKey) -> bool {
        self.durable().get(key).is_some_and(|record| !record.stage.is_failed())
    }

    /// Payments about which something is left to be done.
    pub fn open_ones(&self) -> Vec<Record> {
        self.durable().values().filter(|record| !record.is_over()).cloned().collect()
    }

    /// Settled payments that the history was told of, with their places there.
    pub(crate) fn told(&self) -> Vec<(PaymentKey, LogReceipt)> {
        let place = |record: &Record| match record.logged {
            Some(Logged::At { intent_id, sequence_number }) => {
                Some((record.key, LogReceipt { intent_id, sequence_number }))
            }
            Some(Logged::Nowhere) | None => None,
        };
        self.durable().values().filter_map(place).collect()
    }

    /// Whether a payment sends what this number of an account holds, also when the chain has lost it.
    pub(crate) fn follows_number(&self, chain: u64, account: Address, number: u64) -> bool {
        let durable = self.durable();
        durable.values().any(|record| record.key.chain_id == chain && record.follows_number(account, number))
    }

    /// What other payments of this payer in this token, sent and not ended, are to move yet: also those that the chain or the node
    /// has lost, which are sent again.
    pub(crate) fn sent_beside(&self, key: &PaymentKey) -> U256 {
        let of_payer = |nonce| PaymentKey { nonce, ..*key };
        let durable = self.durable();
        let of_payer = durable.range(of_payer(B256::ZERO)..=of_payer(B256::repeat_byte(0xff)));
        let beside = of_payer.map(|(_, record)| record).filter(|record| record.key != *key);
        let sent = beside.filter(|record| match record.stage {
            Stage::Sent { .. } => true,
            Stage::Reserved => record.was_sent(),
            Stage::Settled { .. } | Stage::Failed { .. } => false,
        });
        sent.fold(U256::ZERO, |sum, record| sum.saturating_add(record.authorization.value))
    }

    /// Settled payments of a chain whose block may be undone yet.
    pub fn watched(&self, chain: u64) -> Vec<Record> {
        let is_watched = |record: &&Record| record.key.chain_id == chain && record.watched_block().is_some();
        self.durable().values().filter(is_watched).cloned().collect()
    }

    /// Puts a state down; it is on disk when this returns. Blocks.
    ///
    /// # Errors
    /// What the file says. Then the state is the one of before.
    pub fn put(&self, record: Record) -> io::Result<()> {
        self.put_all(vec![record])
    }

    /// As [`Self::put`], of several at once: all of them, or none.
    ///
    /// # Errors
    /// As of [`Self::put`].
    pub fn put_all(&self, records: Vec<Record>) -> io::Result<()> {
        let mut line = Vec::new();
        for record in &records {
            line.extend(self::line(record)?);
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let written = lines.file.write_all(&line).and_then(|()| lines.file.sync_data());
        if let Err(error) = written {
            // Half a line must not stand before the next one.
            let length = lines.length;
            let cut = lines.file.set_len(length).and_then(|()| lines.file.seek(SeekFrom::Start(length)));
            return match cut {
                Ok(_) => Err(error),
                Err(second) => Err(io::Error::other(format!("{error}; then {second}"))),
            };
        }
        lines.length += line.len() as u64;
        // Before the next line: states are seen in the order in which they are on disk.
        let mut durable = self.durable.write().unwrap_or_else(PoisonError::into_inner);
        durable.extend(records.into_iter().map(|record| (record.key, record)));
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn durable(&self) -> RwLockReadGuard<'_, BTreeMap<PaymentKey, Record>> {
        self.durable.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(record: &Record) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

fn open_beside(path: &Path, end: &str) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(PathBuf::from(name))
}

/// The file with one line for each record, in the place of what was there.
fn write_anew(path: &Path, records: &BTreeMap<PaymentKey, Record>) -> io::Result<Lines> {
    let mut content = Vec::new();
    for record in records.values() {
        content.extend(line(record)?);
    }
    let mut file = open_beside(path, ".new")?;
    file.set_len(0)?;
    file.write_all(&content)?;
    file.sync_all()?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    fs::rename(PathBuf::from(name), path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(Lines { file, length: content.len() as u64 })
}

/// Up to the last line's end.
fn whole_lines(content: &[u8]) -> &[u8] {
    let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &content[..end]
}

#[cfg(test)]
mod tests;
