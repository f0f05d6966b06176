use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use ves::SequenceNumber;

use super::*;
use crate::error::LogErrorKind;
use crate::testing::{part, stream};

fn open(disk: &MemoryDisk) -> Result<MemoryLog, LogError> {
    MemoryLog::open(Box::new(disk.clone()))
}

fn head(log: &MemoryLog) -> u64 {
    log.reader().head(&stream(1)).expect("head").0
}

#[test]
fn a_memory_log_is_an_event_log() {
    let disk = MemoryDisk::default();
    crate::check_event_log(|| Box::new(open(&disk).expect("open")));
}

/// Ends of frames 0..=4 and the whole journal.
fn four_turns() -> (Vec<usize>, Vec<u8>) {
    let disk = MemoryDisk::default();
    let mut log = open(&disk).expect("open");
    let mut ends = vec![0];
    for n in 1..=4 {
        log.append(&[part(1, n, 1)]).expect("append");
        ends.push(disk.bytes().len());
    }
    let bytes = disk.bytes().clone();
    (ends, bytes)
}

#[test]
fn a_torn_tail_is_dropped_wherever_it_is_torn() {
    let (ends, bytes) = four_turns();
    for cut in 0..=bytes.len() {
        let disk = MemoryDisk::default();
        disk.bytes().extend(&bytes[..cut]);
        let mut log = open(&disk).expect("a torn tail is no damage");
        let whole = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
        assert_eq!(head(&log), whole as u64);
        assert_eq!(disk.bytes().len(), ends[whole], "the tail is cut off");
        log.append(&[part(1, whole as u64 + 1, 1)]).expect("the log goes on");
    }
}

proptest! {
    #[test]
    fn damage_before_the_last_frame_is_found(at in any::<prop::sample::Index>(), bit in 0..8) {
        let (ends, mut bytes) = four_turns();
        bytes[at.index(ends[3])] ^= 1u8 << bit;
        let disk = MemoryDisk::default();
        disk.bytes().extend(&bytes);
        let error = open(&disk).err().expect("damage is found");
        prop_assert_eq!(error.kind(), LogErrorKind::Corrupt);
    }

    #[test]
    fn arbitrary_entries_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..12u8) {
        let _ = Entry::decode(&bytes);
        let mut with_kind = vec![kind];
        with_kind.extend(&bytes);
        let _ = Entry::decode(&with_kind);
    }
}

#[test]
fn a_payload_that_looks_like_a_frame_is_not_one() {
    let disk = MemoryDisk::default();
    let mut log = open(&disk).expect("open");
    log.set_meta("a", b"1").expect("meta");
    let frame = disk.bytes().clone();
    log.set_meta("b", &frame).expect("meta");
    let length = disk.bytes().len();
    disk.bytes().truncate(length - 1);
    let log = open(&disk).expect("the second frame is torn, nothing is damaged");
    assert_eq!(log.reader().meta("a").expect("meta"), Some(b"1".to_vec()));
    assert_eq!(log.reader().meta("b").expect("meta"), None);
}

#[derive(Default)]
struct Faults {
    append: Option<(io::ErrorKind, usize)>,
    sync: Option<io::ErrorKind>,
    truncate: Option<io::ErrorKind>,
}

/// Fails on request; a failed append leaves the first bytes behind.
#[derive(Clone, Default)]
struct FaultyDisk {
    disk: MemoryDisk,
    faults: Arc<Mutex<Faults>>,
}

impl Disk for FaultyDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.faults.lock().expect("faults").append {
            None => self.disk.append(bytes),
            Some((kind, written)) => {
                self.disk.append(&bytes[..written])?;
                Err(kind.into())
            }
        }
    }
    fn sync(&mut self) -> io::Result<()> {
        self.faults.lock().expect("faults").sync.map_or(Ok(()), |kind| Err(kind.into()))
    }
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        self.disk.read_all()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        match self.faults.lock().expect("faults").truncate {
            None => self.disk.truncate(len),
            Some(kind) => Err(kind.into()),
        }
    }
}

fn faulty() -> (FaultyDisk, MemoryLog) {
    let disk = FaultyDisk::default();
    let mut log = MemoryLog::open(Box::new(disk.clone())).expect("open");
    log.append(&[part(1, 1, 1)]).expect("append");
    (disk, log)
}

#[test]
fn a_full_disk_changes_nothing_and_the_log_goes_on() {
    let (disk, mut log) = faulty();
    disk.faults.lock().expect("faults").append = Some((io::ErrorKind::StorageFull, 30));
    let error = log.append(&[part(1, 2, 1)]).expect_err("full");
    assert_eq!(error.kind(), LogErrorKind::Full);
    assert_eq!(head(&log), 1);
    disk.faults.lock().expect("faults").append = None;
    log.append(&[part(1, 2, 1)]).expect("there is room again");
    assert_eq!(head(&MemoryLog::open(Box::new(disk)).expect("open")), 2);
}

#[test]
fn after_a_failed_sync_nothing_more_is_written() {
    let (disk, mut log) = faulty();
    disk.faults.lock().expect("faults").sync = Some(io::ErrorKind::Other);
    assert_eq!(log.append(&[part(1, 2, 1)]).expect_err("sync").kind(), LogErrorKind::Io);
    assert_eq!(head(&log), 1, "readers see what was acknowledged");
    disk.faults.lock().expect("faults").sync = None;
    let error = log.append(&[part(1, 2, 1)]).expect_err("the outcome of the first is unknown");
    assert_eq!(error.kind(), LogErrorKind::Io);
    assert!(error.to_string().contains("open the log again"), "{error}");
    // Here the frame survived; its number must not be given to another event.
    assert_eq!(head(&MemoryLog::open(Box::new(disk)).expect("open")), 2);
}

#[test]
fn a_frame_that_cannot_be_taken_back_stops_the_log() {
    let (disk, mut log) = faulty();
    {
        let mut faults = disk.faults.lock().expect("faults");
        faults.append = Some((io::ErrorKind::StorageFull, 30));
        faults.truncate = Some(io::ErrorKind::Other);
    }
    assert_eq!(log.append(&[part(1, 2, 1)]).expect_err("full").kind(), LogErrorKind::Io);
    *disk.faults.lock().expect("faults") = Faults::default();
    assert_eq!(log.maintenance().expect_err("stopped").kind(), LogErrorKind::Io);
    let log = MemoryLog::open(Box::new(disk)).expect("open");
    assert_eq!(log.reader().head(&stream(1)).expect("head"), SequenceNumber(1));
}
