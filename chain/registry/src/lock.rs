//! Locks of files, between processes.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::Duration;

const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock of `file`, until it is closed. It tries for a second: a program that this process, or one that ended, is just
/// starting shares a file that was closed here, until it runs its own code.
///
/// # Errors
/// `WouldBlock` where another has it.
pub fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            other => return other,
        }
    }
    file.try_lock()
}
