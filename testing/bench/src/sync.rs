//! What one durable write costs on this disk: append, then fdatasync, one after the other.

use std::fs::OpenOptions;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::machine::percentile;

/// Bytes of one append: about what a turn of 32 events writes.
const APPEND_BYTES: usize = 40 << 10;
/// The file starts again from its beginning here, as a write-ahead log does.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Wall-clock times of single syncs, in microseconds.
#[derive(Debug, Clone, Default)]
pub struct SyncTimes(Vec<f64>);

impl SyncTimes {
    /// Measures `count` more syncs in a file of `folder`.
    pub fn measure(&mut self, folder: &Path, count: usize) -> Result<()> {
        let path = folder.join("sync-probe");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .context("opening the sync probe")?;
        let block = vec![0x5a; APPEND_BYTES];
        for _ in 0..count {
            if file.stream_position()? >= FILE_BYTES_MAX {
                file.rewind()?;
            }
            let started = Instant::now();
            file.write_all(&block)?;
            file.sync_data()?;
            self.0.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(())
    }

    pub fn percentile_us(&mut self, fraction: f64) -> f64 {
        percentile(&mut self.0, fraction)
    }
}
