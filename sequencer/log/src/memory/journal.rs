//! The journal of a [`crate::MemoryLog`]: one frame per call, each with its length, its place and a CRC.
//!
//! ```text
//! magic 4 · payload length 4 · offset of this frame 8 · CRC-32 of length, offset and payload 4 · payload
//! ```
//!
//! A call writes one frame and syncs before the next begins, so only the last frame can be torn. A bad frame with a
//! good one behind it is therefore damage, not a crash. A frame names its own offset so that payload bytes that
//! look like a frame are not taken for one.

use super::disk::Disk;
use crate::error::LogError;

const MAGIC: [u8; 4] = *b"SLJ1";
const HEADER_BYTES: usize = 20;

/// A journal that was read to its end and is ready for the next frame.
pub(super) struct Journal {
    disk: Box<dyn Disk>,
    /// Bytes known to be good and synced.
    length: u64,
    /// Set when the outcome of a write is unknown.
    broken: Option<String>,
}

impl Journal {
    /// Gives each frame's payload to `apply`, drops a torn tail, and fails on damage before the tail.
    pub fn open(
        mut disk: Box<dyn Disk>,
        mut apply: impl FnMut(&[u8]) -> Result<(), LogError>,
    ) -> Result<Self, LogError> {
        let bytes = disk.read_all().map_err(|e| LogError::system("reading the journal", &e))?;
        let mut at = 0;
        while at < bytes.len() {
            let Some(payload) = frame_at(&bytes, at) else { break };
            apply(payload)?;
            at += HEADER_BYTES + payload.len();
        }
        if at < bytes.len() {
            if let Some(later) = (at + 1..bytes.len()).find(|later| frame_at(&bytes, *later).is_some()) {
                let problem = format!("the frame at byte {at} is bad, the one at byte {later} is good");
                return Err(LogError::corrupt("the journal", problem));
            }
            disk.truncate(at as u64).map_err(|e| LogError::system("cutting a torn tail", &e))?;
        }
        // Also where nothing was cut: bytes read may still lie in a cache that a crash would lose.
        disk.sync().map_err(|e| LogError::system("syncing the journal", &e))?;
        Ok(Self { disk, length: at as u64, broken: None })
    }

    /// Appends one frame and syncs it.
    ///
    /// # Errors
    /// [`LogError::Full`] when the frame was taken back whole; otherwise the journal refuses everything that follows.
    pub fn write(&mut self, doing: &str, payload: &[u8]) -> Result<(), LogError> {
        self.check(doing)?;
        let frame = frame(payload, self.length);
        if let Err(error) = self.disk.append(&frame) {
            let error = LogError::system(doing, &error);
            return Err(match self.disk.truncate(self.length).and_then(|()| self.disk.sync()) {
                Ok(()) if error.changed_nothing() => error,
                Ok(()) => self.break_off(error),
                Err(undo) => self.break_off(LogError::system(doing, &undo)),
            });
        }
        if let Err(error) = self.disk.sync() {
            let error = LogError::Io { doing: doing.to_owned(), problem: error.to_string() };
            return Err(self.break_off(error));
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    /// Fails when an earlier write left an unknown outcome.
    pub fn check(&self, doing: &str) -> Result<(), LogError> {
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(LogError::Io {
                doing: doing.to_owned(),
                problem: format!("an earlier write failed ({why}); open the log again"),
            }),
        }
    }

    fn break_off(&mut self, error: LogError) -> LogError {
        self.broken = Some(error.to_string());
        match error {
            // Taking the frame back failed: its outcome is no longer "nothing changed".
            LogError::Full { doing } => LogError::Io { doing, problem: "the disk is full".to_owned() },
            other => other,
        }
    }
}

fn frame(payload: &[u8], offset: u64) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("one turn is smaller than 4 GiB");
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&offset.to_le_bytes());
    frame.extend_from_slice(&checksum(length, offset, payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The payload of a whole, good frame that begins at `at` and says so.
fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?.strip_prefix(&MAGIC)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (length, offset) = (u32::from_le_bytes(*length), u64::from_le_bytes(*offset));
    let payload = rest.get(..length as usize)?;
    (offset == at as u64 && u32::from_le_bytes(*crc) == checksum(length, offset, payload)).then_some(payload)
}

fn checksum(length: u32, offset: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
