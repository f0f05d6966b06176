//! The report of an audit, for a person and for a program.

use std::time::Duration;

use serde::Serialize;
use stateset_client::audit::Report;
use ves::{Digest, StreamKey};

/// One audited stream.
#[derive(Debug, Serialize)]
pub struct StreamReport {
    pub stream: StreamKey,
    pub holds: bool,
    pub events: u64,
    pub signatures: u64,
    pub receipts_unsigned: u64,
    /// Sealed at rest, and not compared with their hashes for want of a key.
    pub payloads_sealed: u64,
    pub commitments: u64,
    pub checkpoints: u64,
    pub committed_to: u64,
    pub log_root: Digest,
    pub state_root: Digest,
    pub problems: Vec<String>,
    pub problems_count: u64,
}

/// All audited streams together.
#[derive(Debug, Serialize)]
pub struct AuditReport {
    pub holds: bool,
    pub source: String,
    pub events: u64,
    pub signatures: u64,
    pub seconds: f64,
    pub signatures_per_second: u64,
    /// `pinned`, or `from the source`: then the source is only checked against itself.
    pub sequencer_key: &'static str,
    /// Always `from the source`: agents' keys are pinned nowhere.
    pub agent_keys: &'static str,
    pub streams: Vec<StreamReport>,
    /// Of a store; a server shows its records to administrators alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_log: Option<AuditLogReport>,
}

/// The record of what administrators did.
#[derive(Debug, Serialize)]
pub struct AuditLogReport {
    pub holds: bool,
    pub records: u64,
    pub problems: Vec<String>,
    pub problems_count: u64,
}

impl AuditReport {
    pub fn new(
        source: String,
        pinned: bool,
        reports: Vec<(StreamKey, Report)>,
        audit_log: Option<ves::audit::AuditReport>,
        took: Duration,
    ) -> Self {
        let audit_log = audit_log.map(AuditLogReport::new);
        let streams: Vec<StreamReport> =
            reports.into_iter().map(|(stream, report)| StreamReport::new(stream, report)).collect();
        let signatures = streams.iter().map(|stream| stream.signatures).sum();
        Self {
            holds: streams.iter().all(|stream| stream.holds)
                && audit_log.as_ref().is_none_or(|log| log.holds),
            source,
            events: streams.iter().map(|stream| stream.events).sum(),
            signatures,
            seconds: took.as_secs_f64(),
            signatures_per_second: (signatures as f64 / took.as_secs_f64().max(1e-6)) as u64,
            sequencer_key: if pinned { "pinned" } else { "from the source" },
            agent_keys: "from the source",
            streams,
            audit_log,
        }
    }

    /// Several lines.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for stream in &self.streams {
            text += &stream.text();
        }
        if let Some(log) = &self.audit_log {
            text += &log.text();
        }
        text += &format!("sequencer key: {}; agent keys: {}\n", self.sequencer_key, self.agent_keys);
        text + &format!(
            "{}: {} events, {} signatures checked in {:.2} s ({} signatures/s) from {}\n",
            if self.holds { "EVERYTHING HOLDS" } else { "NOT EVERYTHING HOLDS" },
            self.events,
            self.signatures,
            self.seconds,
            self.signatures_per_second,
            self.source,
        )
    }
}

impl AuditLogReport {
    fn new(report: ves::audit::AuditReport) -> Self {
        let problems = report.findings.iter().map(|finding| format!("{}: {finding}", finding.code()));
        Self {
            holds: report.holds(),
            records: report.records,
            problems: problems.collect(),
            problems_count: report.findings_count,
        }
    }

    fn text(&self) -> String {
        let mut text = format!("audit log: {} records\n", self.records);
        for problem in &self.problems {
            text += &format!("  WRONG  {problem}\n");
        }
        text
    }
}

impl StreamReport {
    fn new(stream: StreamKey, report: Report) -> Self {
        Self {
            stream,
            holds: report.holds(),
            events: report.events,
            signatures: report.signatures,
            receipts_unsigned: report.receipts_unsigned,
            payloads_sealed: report.payloads_sealed,
            commitments: report.commitments,
            checkpoints: report.checkpoints,
            committed_to: report.committed_to.get(),
            log_root: report.log_root,
            state_root: report.state_root,
            problems: report.problems,
            problems_count: report.problems_count,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "stream {}\n  {} events, {} commitments up to {}, {} checkpoints\n  log root    {}\n  state root  {}\n",
            self.stream,
            self.events,
            self.commitments,
            self.committed_to,
            self.checkpoints,
            self.log_root,
            self.state_root
        );
        if self.payloads_sealed > 0 {
            text += &format!(
                "  {} payloads are sealed and were not checked: give the keys in PAYLOAD_ENCRYPTION_KEYS\n",
                self.payloads_sealed
            );
        }
        if self.receipts_unsigned > 0 {
            text += &format!("  {} receipts carry no signature\n", self.receipts_unsigned);
        }
        for problem in &self.problems {
            text += &format!("  WRONG  {problem}\n");
        }
        let unlisted = self.problems_count - self.problems.len() as u64;
        if unlisted > 0 {
            text += &format!("  and {unlisted} more\n");
        }
        text
    }
}
