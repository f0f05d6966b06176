//! The version of the sequencer's key, where the log is to know it.

use std::path::Path;
use std::sync::Arc;

use stateset_event_log::SqliteLog;
use stateset_fixtures::sequencer_key;
use stateset_sequencer::{Config, Sequencer, SystemClock};
use ves::SequencerId;

async fn version(folder: &Path, key: u64, id: u8) -> u32 {
    let log = SqliteLog::open(folder.join("log.db")).expect("a temporary folder takes a log");
    let signer = Arc::new(sequencer_key(key));
    let config = Config::new(SequencerId::from_bytes([id; 16]), signer, Config::VERSION_OF_LOG);
    let sequencer = Sequencer::start(Box::new(log), config, Arc::new(SystemClock)).expect("it starts");
    let version = sequencer.key_version();
    sequencer.shutdown().await;
    version
}

#[tokio::test]
async fn a_key_keeps_its_version_and_another_gets_the_next() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    assert_eq!(version(at, 1, 1).await, 1);
    assert_eq!(version(at, 1, 1).await, 1, "found again");
    assert_eq!(version(at, 2, 1).await, 2, "another key");
    assert_eq!(version(at, 1, 2).await, 3, "the same key under another name");
    assert_eq!(version(at, 1, 1).await, 1, "and back");
}
