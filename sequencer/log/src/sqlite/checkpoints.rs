//! Copying the write-ahead log into the database file, beside the writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::errors::Doing;
use super::open;
use crate::error::LogError;

/// New pages after which the background copies them: 16 MiB. Often rewritten pages are then copied once.
const BACKGROUND_PAGES: u32 = 16 << 20 >> 13;
/// Length at which the writer finishes the copy between turns, so that the log can begin anew: 64 MiB.
const FINISH_PAGES: u32 = 64 << 20 >> 13;

/// How long the log is, and who copies it. Dropping this ends the background thread.
pub(super) struct Checkpoints {
    /// Pages in the log after the last commit.
    length: Arc<AtomicU32>,
    /// Pages in the log when the background was last asked.
    asked_at: u32,
    ask: Option<SyncSender<()>>,
    background: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub fn start(writer: &mut Connection, path: &Path) -> Result<Self, LogError> {
        let length = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&length);
        writer
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
                seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }))
            .doing("opening the database")?;
        let connection = open::checkpointer(path)?;
        let (ask, asked) = sync_channel::<()>(1);
        let background = std::thread::Builder::new()
            .name("log-checkpoint".to_owned())
            .spawn(move || {
                while asked.recv().is_ok() {
                    // A failure is met again by the writer, which can report it.
                    let _ = checkpoint(&connection, "PASSIVE");
                }
            })
            .map_err(|e| LogError::system("starting the checkpoint thread", &e))?;
        Ok(Self { length, asked_at: 0, ask: Some(ask), background: Some(background) })
    }

    /// After a commit: wakes the background when there is enough to copy.
    pub fn committed(&mut self) {
        let length = self.length.load(Ordering::Relaxed);
        if length < self.asked_at {
            self.asked_at = 0; // The log began anew.
        }
        if length >= self.asked_at + BACKGROUND_PAGES {
            self.asked_at = length;
            if let Some(ask) = &self.ask {
                let _ = ask.try_send(()); // Full: it is asked already.
            }
        }
    }

    /// Between turns: finishes the copy when the log is long. It then begins anew, unless a reader still needs it.
    pub fn finish_when_long(&self, writer: &Connection) -> Result<(), LogError> {
        if self.length.load(Ordering::Relaxed) < FINISH_PAGES {
            return Ok(());
        }
        checkpoint(writer, "PASSIVE")
    }

    /// Copies everything and empties the log, so that the next start finds nothing to do.
    pub fn close(&mut self, writer: &Connection) -> Result<(), LogError> {
        self.stop();
        checkpoint(writer, "TRUNCATE")
    }

    fn stop(&mut self) {
        self.ask = None;
        if let Some(background) = self.background.take() {
            let _ = background.join();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> Result<(), LogError> {
    let result = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    match result {
        // Another checkpoint is running.
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(()),
        other => other.doing("copying the write-ahead log"),
    }
}
