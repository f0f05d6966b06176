//! The disk under a [`crate::MemoryLog`]: one file that grows. A simulator implements it with faults.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One append-only file.
///
/// Bytes are sure to survive a crash once `sync` returned `Ok`; until then any part of them may be lost. An error
/// whose kind is [`io::ErrorKind::StorageFull`] is told to callers as a full disk.
pub trait Disk: Send + 'static {
    /// Writes at the end. On an error any part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written so far durable. After an error nothing is known about what was not.
    fn sync(&mut self) -> io::Result<()>;
    /// The whole file.
    fn read_all(&mut self) -> io::Result<Vec<u8>>;
    /// Cuts the file to its first `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A disk that never fails. Clones share their bytes, so a log can be opened again.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Vec<u8>>>);

impl MemoryDisk {
    /// The bytes, to look at or to damage.
    pub fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes().extend_from_slice(bytes);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.bytes().clone())
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.bytes().truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }
}
