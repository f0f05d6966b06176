//! Verifying a whole store again (`stateset log verify`) against verifying the same number of signatures and nothing
//! else, both on all cores.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rayon::prelude::*;
use stateset_client::audit::{Entry, Keys, Source, audit};
use stateset_client::{Identity, SigningKeys};
use stateset_event_log::{EventLog as _, LogReader, SqliteLog};
use stateset_fixtures::stream;
use ves::commitment::Commitment;
use ves::ed25519::{Check, CheckKey, KeyTable, PublicKey, verify_many};
use ves::{SequenceNumber, StreamKey};

use crate::events::{LONG_STREAM, writers};
use crate::report::{Goal, Row, progress};
use crate::run::Bench;

/// Bytes of bodies read at once.
const READ_BYTES_MAX: usize = 16 << 20;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let (folder, filled) = bench.long_store()?;
    progress("verifying a whole store");
    // Once is enough: a whole store is long. Raw verification is measured on both sides of it.
    let time = Duration::from_secs(bench.count(3, 1));
    let before = raw_rate(time)?;
    let whole = audit_rate(&folder, filled)?;
    let raw = (before + raw_rate(time)?) / 2.0;
    let row = Row::new("log verify / raw verification, all cores", whole, "signatures/s");
    bench.rows.push(row.floor(raw).goal(Goal::AtLeast(0.6)));
    Ok(())
}

/// A store as the source of an audit.
struct Store(Arc<dyn LogReader>);

impl Source for Store {
    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, String> {
        self.0.head(stream).map_err(|e| e.to_string())
    }

    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: u64,
        each: &mut dyn FnMut(Entry<'_, '_>),
    ) -> Result<(), String> {
        let (mut next, end) = (from.get(), from.get() + limit);
        while next < end {
            let events = self
                .0
                .read(stream, SequenceNumber(next), (end - next) as usize, READ_BYTES_MAX)
                .map_err(|e| e.to_string())?;
            if events.is_empty() {
                break;
            }
            for event in &events {
                let (envelope, signing_hash) = event.envelope().map_err(|e| e.to_string())?;
                each(Entry {
                    sequence_number: event.sequence_number,
                    envelope: &envelope,
                    is_sealed: false,
                    signing_hash: Some(signing_hash),
                    receipt_signature: event.receipt_signature,
                    key_version: event.key_version,
                });
            }
            next += events.len() as u64;
        }
        Ok(())
    }

    fn commitments(&self, stream: &StreamKey) -> Result<Vec<Commitment>, String> {
        self.0.commitments(stream, SequenceNumber(1), usize::MAX >> 1).map_err(|e| e.to_string())
    }

    fn checkpoint(&self, stream: &StreamKey, size: u64) -> Result<Option<String>, String> {
        self.0.checkpoint(stream, Some(size)).map_err(|e| e.to_string())
    }
}

/// Signatures a second of a whole audit of the long stream, which has to hold.
fn audit_rate(folder: &Path, filled: u64) -> Result<f64> {
    let log = SqliteLog::open(folder.join("events.db")).context("opening the store")?;
    let reader = log.reader();
    let key = stream(LONG_STREAM);
    let mut agents = SigningKeys::default();
    for record in reader.agent_keys()?.iter().filter(|record| record.tenant_id == key.tenant_id) {
        agents.insert(record.agent_id, record.key_id, PublicKey::from_bytes(&record.public_key)?);
    }
    let records = reader.sequencer_keys()?;
    let newest =
        records.iter().max_by_key(|record| record.key_version).context("a store without sequencer key")?;
    let keys =
        records.iter().map(|record| Ok((record.key_version, PublicKey::from_bytes(&record.public_key)?)));
    let sequencer = Identity {
        sequencer_id: newest.sequencer_id,
        key_version: newest.key_version,
        keys: keys.collect::<Result<_>>()?,
    };
    let head = reader.head(&key)?;
    ensure!(head.get() >= filled, "the store holds {head} events");
    let started = Instant::now();
    let report = audit(&Store(reader), &key, &Keys { agents: &agents, sequencer: &sequencer }, &|_, _| ());
    let report = report.map_err(anyhow::Error::msg)?;
    let rate = report.signatures as f64 / started.elapsed().as_secs_f64();
    ensure!(report.holds(), "the audit found problems: {:?}", report.problems);
    Box::new(log).close()?;
    Ok(rate)
}

/// Signatures a second of verification by key tables alone, on all cores.
fn raw_rate(time: Duration) -> Result<f64> {
    let (key, writers) = writers(LONG_STREAM, 1);
    let batches: Vec<_> = writers
        .par_iter()
        .map(|writer| {
            let public = PublicKey::from_bytes(&writer.agent.public_key())?;
            let signed: Vec<_> = (1..=500)
                .map(|n| writer.event(&key, n))
                .map(|event| (event.signing_hash(), event.agent_signature))
                .collect();
            Ok((KeyTable::new(&public), signed))
        })
        .collect::<Result<_>>()?;
    let (started, mut verified) = (Instant::now(), 0);
    while started.elapsed() < time {
        let good = batches.par_iter().map(|(table, signed)| {
            let mut checks = Vec::with_capacity(signed.len());
            for (hash, signature) in signed {
                checks.push(Check { key: CheckKey::Table(table), message: hash.as_bytes(), signature });
            }
            verify_many(&checks).iter().filter(|good| **good).count()
        });
        let good: usize = good.sum();
        ensure!(good == batches.len() * 500, "our own signatures verify");
        verified += good;
    }
    Ok(verified as f64 / started.elapsed().as_secs_f64())
}
