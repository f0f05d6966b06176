//! The last block signed, kept outside the store and outside backups.
//!
//! One key has no second opinion: two signatures for one height are misbehaviour and freeze every client of the chain. So
//! the block is written here, durably, before it is signed. A store that is older than this record is a restored backup,
//! and the engine refuses to sign. A store that is one block behind lost power between signing and storing: the same block
//! is then stored, with the same signature.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::block::UnixNanos;

/// What was, or is about to be, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRecord {
    pub height: u64,
    pub vote_time: UnixNanos,
    /// Protobuf bytes of the block.
    pub block: Vec<u8>,
}

/// Two files in turn: a write that is cut destroys the older record only, and the key has not yet signed by then.
#[derive(Debug)]
pub struct LastSigned {
    paths: [PathBuf; 2],
    newest: Option<SignedRecord>,
    /// Which of the two holds the newest record.
    newest_file: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    #[error("the record of the last signed block at {path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("height {height} was signed already; the last signed height is {last}")]
    AlreadySigned { height: u64, last: u64 },
}

const MAGIC: &[u8; 8] = b"SSNSIGN1";

impl LastSigned {
    /// Opens the record in `folder`, which must exist and must not be part of backups.
    ///
    /// # Errors
    /// [`SignedError::File`] when a file cannot be read. A file that is damaged counts as absent: see the type.
    pub fn open(folder: &Path) -> Result<Self, SignedError> {
        let paths = [folder.join("last-signed.0"), folder.join("last-signed.1")];
        let mut newest: Option<SignedRecord> = None;
        let mut newest_file = 0;
        for (file, path) in paths.iter().enumerate() {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(SignedError::File { path: path.clone(), error }),
            };
            let record = decode(&bytes);
            if record.as_ref().map(|record| record.height) > newest.as_ref().map(|record| record.height) {
                (newest, newest_file) = (record, file);
            }
        }
        Ok(Self { paths, newest, newest_file })
    }

    pub fn newest(&self) -> Option<&SignedRecord> {
        self.newest.as_ref()
    }

    /// Notes the block that is about to be signed. Durable when it returns.
    ///
    /// # Errors
    /// [`SignedError::AlreadySigned`] at or below the last signed height; [`SignedError::File`].
    pub fn note(&mut self, record: SignedRecord) -> Result<(), SignedError> {
        if let Some(last) = self.newest.as_ref().map(|newest| newest.height)
            && record.height <= last
        {
            return Err(SignedError::AlreadySigned { height: record.height, last });
        }
        // Never over the newest record: the other file, or either when there is none.
        let file = if self.newest.is_some() { 1 - self.newest_file } else { 0 };
        let path = &self.paths[file];
        write(path, &encode(&record)).map_err(|error| SignedError::File { path: path.clone(), error })?;
        self.newest = Some(record);
        self.newest_file = file;
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let made = !path.exists();
    let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_data()?;
    if made {
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// magic ‖ SHA-256 of the rest ‖ height ‖ vote time ‖ block.
fn encode(record: &SignedRecord) -> Vec<u8> {
    let mut rest = record.height.to_be_bytes().to_vec();
    rest.extend_from_slice(&record.vote_time.0.to_be_bytes());
    rest.extend_from_slice(&record.block);
    [&MAGIC[..], &Sha256::digest(&rest), &rest].concat()
}

fn decode(bytes: &[u8]) -> Option<SignedRecord> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    if Sha256::digest(rest)[..] != hash[..] {
        return None;
    }
    let (height, rest) = rest.split_first_chunk::<8>()?;
    let (time, block) = rest.split_first_chunk::<8>()?;
    let vote_time = UnixNanos(i64::from_be_bytes(*time));
    Some(SignedRecord { height: u64::from_be_bytes(*height), vote_time, block: block.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(height: u64) -> SignedRecord {
        SignedRecord {
            height,
            vote_time: UnixNanos(height as i64),
            block: vec![height as u8; 300 - height as usize],
        }
    }

    #[test]
    fn the_newest_record_is_found_again_and_heights_only_rise() {
        let folder = tempfile::tempdir().expect("a folder");
        for height in 4..9 {
            let mut last = LastSigned::open(folder.path()).expect("readable");
            assert_eq!(last.newest().map(|newest| newest.height), (height > 4).then(|| height - 1));
            last.note(record(height)).expect("higher");
            for again in [height, height - 1, 0] {
                assert!(matches!(last.note(record(again)), Err(SignedError::AlreadySigned { .. })));
            }
            assert_eq!(LastSigned::open(folder.path()).expect("readable").newest(), Some(&record(height)));
        }
    }

    /// A record that is cut anywhere leaves the one before.
    #[test]
    fn a_cut_record_leaves_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut last = LastSigned::open(folder.path()).expect("readable");
        last.note(record(1)).expect("the first");
        last.note(record(2)).expect("higher");
        let path = folder.path().join("last-signed.1");
        let whole = fs::read(&path).expect("the second file");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("a file");
            assert_eq!(
                LastSigned::open(folder.path()).expect("readable").newest(),
                Some(&record(1)),
                "{length}"
            );
        }
    }
}
