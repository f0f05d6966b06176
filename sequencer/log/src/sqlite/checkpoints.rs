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
/// Length from which the writer finishes the copy between turns, so that the log can begin anew: 64 MiB.
const FINISH_PAGES: u32 = 64 << 20 >> 13;
/// What the writer copies itself at most, some two milliseconds' worth; while more is left the background goes on.
const FINISH_REST_PAGES: u32 = 1 << 20 >> 13;
/// Length at which the writer waits for the copy whatever is left: 256 MiB.
const FINISH_ALWAYS_PAGES: u32 = 4 * FINISH_PAGES;

/// How long the log is, and who copies it. Dropping this ends the background thread.
pub(super) struct Checkpoints {
    /// Pages in the log after the last commit.
    length: Arc<AtomicU32>,
    /// Pages of the log that the background had copied when it last stopped.
    copied: Arc<AtomicU32>,
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
        let copied = Arc::new(AtomicU32::new(0));
        let done = Arc::clone(&copied);
        let background = std::thread::Builder::new()
            .name("log-checkpoint".to_owned())
            .spawn(move || {
                while asked.recv().is_ok() {
                    // A failure is met again by the writer, which can report it.
                    if let Ok(pages) = checkpoint(&connection, "PASSIVE") {
                        done.store(pages, Ordering::Relaxed);
                    }
                }
            })
            .map_err(|e| LogError::system("starting the checkpoint thread", &e))?;
        Ok(Self { length, copied, asked_at: 0, ask: Some(ask), background: Some(background) })
    }

    /// After a commit: wakes the background when there is enough to copy.
    pub fn committed(&mut self) {
        let length = self.length.load(Ordering::Relaxed);
        if length < self.asked_at {
            // The log began anew.
            self.asked_at = 0;
            self.copied.store(0, Ordering::Relaxed);
        }
        if length >= self.asked_at + BACKGROUND_PAGES {
            self.asked_at = length;
            self.ask_background();
        }
    }

    fn ask_background(&self) {
        if let Some(ask) = &self.ask {
            let _ = ask.try_send(()); // Full: it is asked already.
        }
    }

    /// Between turns: finishes the copy when the log is long. It then begins anew, unless a reader still needs it.
    pub fn finish_when_long(&self, writer: &Connection) -> Result<(), LogError> {
        let length = self.length.load(Ordering::Relaxed);
        if length < FINISH_PAGES {
            return Ok(());
        }
        let rest = length.saturating_sub(self.copied.load(Ordering::Relaxed));
        if rest > FINISH_REST_PAGES && length < FINISH_ALWAYS_PAGES {
            self.ask_background();
            return Ok(());
        }
        let copied = checkpoint(writer, "PASSIVE")?;
        self.copied.store(copied, Ordering::Relaxed);
        Ok(())
    }

    /// Copies everything and empties the log, so that the next start finds nothing to do.
    pub fn close(&mut self, writer: &Connection) -> Result<(), LogError> {
        self.stop();
        checkpoint(writer, "TRUNCATE").map(|_| ())
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

/// Returns how many pages of the log are copied now; 0 while another checkpoint is running.
fn checkpoint(connection: &Connection, mode: &str) -> Result<u32, LogError> {
    let copied = |row: &rusqlite::Row<'_>| row.get::<_, i64>(2);
    match connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], copied) {
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(0),
        other => other.map(|pages| u32::try_from(pages).unwrap_or(0)).doing("copying the write-ahead log"),
    }
}
