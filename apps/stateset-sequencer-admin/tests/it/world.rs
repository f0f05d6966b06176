//! A log with one stream of signed, committed events.

use std::path::Path;
use std::sync::Arc;

use stateset_event_log::SqliteLog;
use stateset_fixtures::{Agent, plain_event, sequencer_key, stream};
use stateset_sequencer::{Config, Sequencer, SystemClock};
use ves::{SequenceNumber, SequencerId, StreamKey};

/// Makes `folder`/log.db with `events` events, committed in two batches.
pub fn make(folder: &Path, events: u64) -> (StreamKey, Agent) {
    let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sequencer = open(folder);
        sequencer.register_agent_key(agent.registered_key()).await.unwrap();
        let batch = (0..events).map(|n| Ok(plain_event(&agent, &stream, n))).collect();
        sequencer.ingest(stream, batch).await.unwrap();
        let half = SequenceNumber(events / 2);
        sequencer.commit(&stream, SequenceNumber(1), half).await.unwrap();
        sequencer.commit(&stream, SequenceNumber(half.get() + 1), SequenceNumber(events)).await.unwrap();
        sequencer.shutdown().await;
    });
    (stream, agent)
}

/// The service's core on `folder`/log.db, as a process that writes it.
pub fn open(folder: &Path) -> Sequencer {
    let log = SqliteLog::open(folder.join("log.db")).unwrap();
    let signer = Arc::new(sequencer_key(1));
    let mut config = Config::new(SequencerId::from_bytes([9; 16]), signer, Config::VERSION_OF_LOG);
    config.auto_commit = false;
    Sequencer::start(Box::new(log), config, Arc::new(SystemClock)).unwrap()
}
