//! A store that is already long: events put in through the service itself, in process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use rayon::prelude::*;
use stateset_sequencer::EventResult;

use crate::events::{LONG_STREAM, writers};
use crate::server;

/// Events of one call: as many as one request may hold.
const CALL_EVENTS: u64 = 1_000;
/// Calls in flight: enough to keep every core at work while a turn is synced.
const CALLS: usize = 8;

/// Fills the long stream of the store in `folder` with events `from..from + count` and closes it cleanly.
pub fn fill(folder: &Path, from: u64, count: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let sequencer = server::open(folder).await?;
        let (stream, writers) = writers(LONG_STREAM, 1);
        let writers = Arc::new(writers);
        let next = Arc::new(AtomicU64::new(from));
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..CALLS {
            let (sequencer, writers, next) = (sequencer.clone(), writers.clone(), next.clone());
            calls.spawn(async move {
                loop {
                    let first = next.fetch_add(CALL_EVENTS, Ordering::Relaxed);
                    let end = (first + CALL_EVENTS).min(from + count);
                    if first >= end {
                        return anyhow::Ok(());
                    }
                    let events: Vec<_> = (first..end)
                        .into_par_iter()
                        .map(|n| Ok(writers[(n % writers.len() as u64) as usize].event(&stream, n)))
                        .collect();
                    let outcome = sequencer.ingest(stream, events).await?;
                    let accepted =
                        outcome.results.iter().all(|result| matches!(result, EventResult::Accepted(_)));
                    ensure!(accepted, "an event of the filling was refused");
                }
            });
        }
        while let Some(call) = calls.join_next().await {
            call.context("a filling task stopped")??;
        }
        let head = sequencer.head(&stream).head_sequence;
        sequencer.shutdown().await;
        ensure!(head.get() + 1 >= from + count, "the store holds {head} events after filling");
        Ok(())
    })
}
