//! Sends and fetches beside the calls.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::port::{Outbox, PortError};

/// Pause after a failed round; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A thread that pushes when it is woken, and pushes and pulls every so often. It ends after this is dropped.
pub struct Syncer {
    /// One wish is enough however often it is made.
    wishes: SyncSender<()>,
}

impl Syncer {
    /// - `interval`: between two rounds that nobody asked for.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(outbox: Arc<dyn Outbox>, interval: Duration) -> std::io::Result<Self> {
        let (wishes, asked) = sync_channel(1);
        let run = move || run(outbox.as_ref(), &asked, interval);
        // Not waited for at the end: a round may wait for the network, and each of its steps is a transaction.
        std::thread::Builder::new().name("mcp-sync".to_owned()).spawn(run)?;
        Ok(Self { wishes })
    }

    /// Asks for a push soon.
    pub fn wake(&self) {
        // Full: a round is asked for already.
        let _ = self.wishes.try_send(());
    }
}

fn run(outbox: &dyn Outbox, asked: &Receiver<()>, interval: Duration) {
    let (mut pause, mut is_asked) = (PAUSE_FIRST, false);
    loop {
        let failed = round(outbox, is_asked)
            .inspect_err(|error| {
                tracing::warn!(code = error.code, "the outbox was not synchronised: {error}")
            })
            .is_err();
        let until = Instant::now() + if failed { pause } else { interval };
        pause = if failed { (pause * 2).min(PAUSE_MAX) } else { PAUSE_FIRST };
        is_asked = loop {
            match asked.recv_timeout(until.saturating_duration_since(Instant::now())) {
                // A server that was not there a moment ago is not asked again with every call.
                Ok(()) if failed => {}
                Ok(()) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        };
    }
}

fn round(outbox: &dyn Outbox, is_asked: bool) -> Result<(), PortError> {
    outbox.push()?;
    if !is_asked {
        outbox.pull()?;
    }
    Ok(())
}
