//! A disk that fails in all the ways the log must survive.
//!
//! The process sees `view`; a crash leaves what is on the `platter`. The bytes between the two are in `dirty`
//! sectors until a sync succeeds, and a loss of power keeps or loses each of those on its own: torn writes, lost
//! writes and writes out of order are all cases of this.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::rng::Rng;

/// How a simulated machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The process dies; what it wrote stays with the system, synced or not.
    Process,
    /// The power fails; unsynced sectors are kept or lost one by one.
    Power,
}

/// What the disk will do wrong next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Writes beyond this many bytes fail as "no space left", partly done.
    pub room_bytes: Option<usize>,
    /// The next sync fails; which of its sectors it reached is unknown.
    pub next_sync_fails: bool,
    /// The next write fails after a part of it.
    pub next_write_fails: bool,
    /// The machine stops inside the operation after this many more.
    pub stops_after: Option<u32>,
    /// A sync that does nothing and says it did: what a log that acknowledges too early amounts to.
    pub sync_is_a_lie: bool,
    /// The same for a sync that follows a read, with no write between: what a log that trusts what it finds at
    /// start amounts to.
    pub sync_after_read_is_a_lie: bool,
}

#[derive(Debug)]
struct Platter {
    durable: Vec<u8>,
    view: Vec<u8>,
    dirty: BTreeSet<usize>,
    sector_bytes: usize,
    faults: Faults,
    is_stopped: bool,
    is_just_read: bool,
    rng: Rng,
    /// Operations that failed on purpose.
    failures: u64,
}

/// A handle to one simulated disk; the log holds one, the world another.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<Platter>>);

impl SimDisk {
    pub fn new(mut rng: Rng) -> Self {
        // Small sectors tear records, large ones tear turns.
        let sector_bytes = *rng.pick(&[16, 64, 512]);
        Self(Arc::new(Mutex::new(Platter {
            durable: Vec::new(),
            view: Vec::new(),
            dirty: BTreeSet::new(),
            sector_bytes,
            faults: Faults::default(),
            is_stopped: false,
            is_just_read: false,
            rng,
            failures: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
    }
    /// Whether the machine stopped inside an operation.
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }
    pub fn len(&self) -> usize {
        self.lock().view.len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// Stops the machine, if it has not stopped by itself, and starts it again.
    pub fn restart(&self, stop: Stop) {
        let mut platter = self.lock();
        if stop == Stop::Power {
            platter.lose_power();
        }
        platter.is_stopped = false;
        platter.faults.stops_after = None;
        platter.faults.next_sync_fails = false;
        platter.faults.next_write_fails = false;
    }

    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.lock();
        platter.is_just_read = false;
        let cut = platter.cut(bytes.len());
        let room =
            platter.faults.room_bytes.map_or(usize::MAX, |room| room.saturating_sub(platter.view.len()));
        if platter.stops_here()? {
            platter.write(&bytes[..cut]);
            return Err(platter.stop());
        }
        if std::mem::take(&mut platter.faults.next_write_fails) {
            platter.write(&bytes[..cut]);
            return Err(platter.fail(io::ErrorKind::Other, "the device reports a write error"));
        }
        if bytes.len() > room {
            platter.write(&bytes[..room]);
            return Err(platter.fail(io::ErrorKind::StorageFull, "no space left on device"));
        }
        platter.write(bytes);
        Ok(())
    }

    pub fn sync(&self) -> io::Result<()> {
        let mut platter = self.lock();
        if platter.stops_here()? {
            return Err(platter.stop());
        }
        let follows_read = std::mem::take(&mut platter.is_just_read);
        if platter.faults.sync_is_a_lie || (follows_read && platter.faults.sync_after_read_is_a_lie) {
            return Ok(());
        }
        if std::mem::take(&mut platter.faults.next_sync_fails) {
            // The system gives the unwritten pages up: from here on it shows what the disk really holds.
            platter.lose_power();
            return Err(platter.fail(io::ErrorKind::Other, "the device reports a sync error"));
        }
        platter.write_back();
        Ok(())
    }

    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        let mut platter = self.lock();
        if platter.stops_here()? {
            return Err(platter.stop());
        }
        platter.is_just_read = true;
        Ok(platter.view.clone())
    }

    pub fn truncate(&self, len: usize) -> io::Result<()> {
        let mut platter = self.lock();
        if platter.stops_here()? {
            return Err(platter.stop());
        }
        let sectors = len / platter.sector_bytes..=platter.view.len() / platter.sector_bytes;
        platter.dirty.extend(sectors);
        platter.view.truncate(len);
        Ok(())
    }
}

impl Platter {
    /// Whether the machine stops inside this operation; an error when it stopped before.
    fn stops_here(&mut self) -> io::Result<bool> {
        if self.is_stopped {
            return Err(io::Error::other("the machine has stopped"));
        }
        match &mut self.faults.stops_after {
            Some(0) => Ok(true),
            Some(left) => {
                *left -= 1;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    fn stop(&mut self) -> io::Error {
        self.is_stopped = true;
        self.fail(io::ErrorKind::Other, "the machine stops")
    }

    fn fail(&mut self, kind: io::ErrorKind, problem: &'static str) -> io::Error {
        self.failures += 1;
        io::Error::new(kind, problem)
    }

    fn cut(&mut self, len: usize) -> usize {
        self.rng.below(len + 1)
    }

    fn write(&mut self, bytes: &[u8]) {
        let from = self.view.len();
        self.view.extend_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(from / self.sector_bytes..=(self.view.len() - 1) / self.sector_bytes);
        }
    }

    /// Everything reaches the platter; what lies before the first dirty sector is there already.
    fn write_back(&mut self) {
        let Some(first) = self.dirty.first() else { return };
        let from = (first * self.sector_bytes).min(self.view.len());
        self.durable.truncate(from);
        self.durable.extend_from_slice(&self.view[from..]);
        self.dirty.clear();
    }

    /// Each dirty sector reached the platter or not, and so did the length of the file.
    fn lose_power(&mut self) {
        if self.dirty.is_empty() {
            self.view = self.durable.clone();
            return;
        }
        let (short, long) =
            (self.durable.len().min(self.view.len()), self.durable.len().max(self.view.len()));
        let len = match self.rng.below(4) {
            0 => self.durable.len(),
            1 => short + self.rng.below(long - short + 1),
            _ => self.view.len(),
        };
        let kept_percent = *self.rng.pick(&[0, 50, 90, 100]);
        let mut left = self.durable.clone();
        left.resize(len, 0);
        for sector in std::mem::take(&mut self.dirty) {
            let from = (sector * self.sector_bytes).min(len);
            let to = (from + self.sector_bytes).min(len);
            if self.rng.chance(kept_percent) {
                let written = &self.view[from.min(self.view.len())..to.min(self.view.len())];
                left[from..to].fill(0);
                left[from..from + written.len()].copy_from_slice(written);
            }
        }
        self.durable = left;
        self.view = self.durable.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synced_bytes_survive_whatever_happens_to_later_ones() {
        for seed in 0..200 {
            let disk = SimDisk::new(Rng::new(seed));
            disk.append(&[1; 700]).expect("written");
            disk.sync().expect("synced");
            disk.append(&[2; 900]).expect("written");
            disk.restart(Stop::Power);
            assert_eq!(disk.read_all().expect("read")[..700], [1; 700]);
        }
    }

    #[test]
    fn unsynced_bytes_survive_a_killed_process_and_not_always_a_power_loss() {
        let survives = |seed, stop| {
            let disk = SimDisk::new(Rng::new(seed));
            disk.append(&[1; 700]).expect("written");
            disk.restart(stop);
            disk.read_all().expect("read") == [1; 700]
        };
        assert!((0..50).all(|seed| survives(seed, Stop::Process)));
        let kept = (0..50).filter(|seed| survives(*seed, Stop::Power)).count();
        assert!((1..50).contains(&kept), "{kept}");
    }

    #[test]
    fn a_full_disk_says_so_and_takes_what_fits() {
        let disk = SimDisk::new(Rng::new(0));
        disk.set_faults(|faults| faults.room_bytes = Some(10));
        assert_eq!(disk.append(&[1; 11]).map_err(|e| e.kind()), Err(io::ErrorKind::StorageFull));
        assert_eq!(disk.len(), 10);
    }
}
