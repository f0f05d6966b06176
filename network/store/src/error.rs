use stateset_ledger_types::Substore;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the state file is open in another program; stop that program first")]
    InUse,
    #[error("the state file failed: {0}")]
    File(#[source] Box<redb::Error>),
    #[error("the state is damaged: {0}; restore it from a snapshot or a backup")]
    Corrupt(String),
    #[error("no state has been written yet; start the chain from its genesis first")]
    NoGenesis,
    #[error("the state has a genesis already, at height {height}")]
    GenesisExists { height: u64 },
    #[error("state of height {height} was pruned; {kept_from} is the oldest kept")]
    Pruned { height: u64, kept_from: u64 },
    #[error("height {height} is in the future; the newest state is of height {latest}")]
    Future { height: u64, latest: u64 },
    #[error("height {height} cannot be written: the next one is {expected}")]
    OutOfOrder { height: u64, expected: u64 },
    #[error("an empty key cannot be written in substore {substore}")]
    EmptyKey { substore: Substore },
    #[error("a key of {length} bytes is too long for substore {substore}; {max} are allowed")]
    KeyTooLong { substore: Substore, length: usize, max: usize },
    #[error("an empty value cannot be written at key {key} of substore {substore}; delete the key instead")]
    EmptyValue { substore: Substore, key: String },
    #[error("key _ of substore {substore} is fixed: it keeps the tree from being empty")]
    FixedKey { substore: Substore },
    #[error("snapshot refused: {0}")]
    Snapshot(String),
    #[error("a restore from a snapshot was begun and not finished; delete {0} and restore again")]
    HalfRestored(String),
}

/// All errors of the embedded file are one to callers: none can be acted on by kind.
macro_rules! from_file {
    ($($error:ty),+) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::File(Box::new(error.into()))
            }
        })+
    };
}

from_file!(
    redb::Error,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::CompactionError
);

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            error => Self::File(Box::new(error.into())),
        }
    }
}

/// Errors of the tree library carry text only; each of them means that rows are missing or wrong.
pub(crate) fn damaged(error: anyhow::Error) -> StoreError {
    StoreError::Corrupt(format!("{error:#}"))
}

/// A key as people read it: text where it is text, else hexadecimal.
pub(crate) fn readable(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
