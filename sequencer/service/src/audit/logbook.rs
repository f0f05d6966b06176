//! The writer's side: an act and its record are one transaction.

use stateset_event_log::{DocumentChange, EventLog, KeyChange, LogReader, Table};
use ves::TimestampMs;
use ves::audit::{AuditHead, STATEMENT_KEY, SignedAuditStatement};

use super::chain::put;
use super::{Act, AuditChain, Work};
use crate::config::Config;
use crate::error::{ServiceError, StartError};
use crate::metrics::Metrics;
use crate::turn::TurnLoop;

/// The audit log as the writer holds it.
pub(crate) struct Logbook {
    chain: AuditChain,
    is_on: bool,
}

impl Logbook {
    /// Finds the end of the log. What was recorded while no service ran is covered by a statement now.
    pub fn open(
        log: &mut dyn EventLog,
        reader: &dyn LogReader,
        config: &Config,
        now: TimestampMs,
    ) -> Result<Self, StartError> {
        let chain = AuditChain::open(reader)?;
        let stated = reader.document(Table::AuditLog, STATEMENT_KEY)?;
        let stated = stated.and_then(|text| serde_json::from_str::<SignedAuditStatement>(&text.text).ok());
        if config.audit && stated.map_or(0, |stated| stated.head.seq) < chain.head().seq {
            match statement(chain.head(), config, now) {
                Ok(change) => log.put_documents(&[change])?,
                // The next record brings one.
                Err(error) => tracing::warn!(%error, "the audit log's end could not be stated"),
            }
        }
        Ok(Self { chain, is_on: config.audit })
    }

    pub fn head(&self) -> AuditHead {
        self.chain.head()
    }

    /// The rows that record these acts, and where the chain ends then.
    fn rows(
        &self,
        acts: &[Act],
        config: &Config,
        now: TimestampMs,
    ) -> Result<(Vec<DocumentChange>, AuditHead), ServiceError> {
        if !self.is_on || acts.is_empty() {
            return Ok((Vec::new(), self.chain.head()));
        }
        let (mut rows, head) = self.chain.records(acts, now)?;
        rows.push(statement(head, config, now)?);
        Ok((rows, head))
    }
}

fn statement(head: AuditHead, config: &Config, now: TimestampMs) -> Result<DocumentChange, ServiceError> {
    let stated = SignedAuditStatement::sign(
        head,
        config.sequencer_id,
        config.key_version,
        now,
        config.signer.as_ref(),
    );
    let stated = stated
        .map_err(|error| ServiceError::StoreRefused(format!("the audit log can't be signed: {error}")))?;
    let text = serde_json::to_string(&stated).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(put(STATEMENT_KEY.to_vec(), text))
}

impl TurnLoop {
    /// Carries out an act and records it, or does neither; `false` where what it was decided on no longer stands.
    pub(crate) fn carry_out(&mut self, acts: &[Act], work: Work) -> Result<bool, ServiceError> {
        let work = match work {
            Work::DocumentsIf(unchanged, changes) => {
                if self.reader.document(unchanged.table, &unchanged.key)? != unchanged.found {
                    return Ok(false);
                }
                Work::Documents(changes)
            }
            work => work,
        };
        let (rows, head) = self.logbook.rows(acts, &self.config, self.clock.now())?;
        let recorded = head.seq - self.logbook.head().seq;
        match work {
            Work::Key(key) => {
                self.write(|log| log.put_key(&key, &rows))?;
                // What callers read changes here, with the write: whoever asked may be gone before the answer.
                match key {
                    KeyChange::Agent(key) => self.shared.key_changed(key),
                    KeyChange::Encryption(key) => self.shared.registry.insert_encryption_key(key),
                    KeyChange::Api(key) => self.shared.registry.insert_api_key(key),
                }
            }
            Work::Documents(mut changes) | Work::DocumentsIf(_, mut changes) => {
                changes.extend(rows);
                self.put_documents(changes)?;
            }
        }
        self.logbook.chain.settle(head);
        self.shared.audit_head.send_replace(head);
        Metrics::add(&self.shared.metrics.audit_records, recorded);
        Ok(true)
    }
}
