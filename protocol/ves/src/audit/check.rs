//! Reading a chain again: what was changed, taken out, moved or cut off.

use std::collections::BTreeMap;
use std::fmt;

use super::{AuditHead, AuditRecord, RECORD_KEY_BYTES};
use crate::hash::Digest;

/// Findings of one check that are kept; the others are counted.
const FINDINGS_MAX: usize = 100;

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditFinding {
    /// A row that is no record.
    Unreadable { seq: u64, problem: String },
    /// Records that are not there, the last included.
    Missing { from: u64, to: u64 },
    /// The row of one number holds the record of another.
    Misplaced { at: u64, found: u64 },
    /// A record that does not hash to its own hash, or is written otherwise than it was.
    Changed { seq: u64 },
    /// A record that does not follow the one before it.
    Unlinked { seq: u64 },
    /// The chain ends before a number that it is known to have reached.
    CutOff { last: u64, known: u64, by: &'static str },
    /// The record of a number is another than the one that is known.
    Replaced { seq: u64, by: &'static str },
    /// A signed statement that can't be believed.
    BadStatement { problem: String },
}

impl AuditFinding {
    /// Short and stable, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "audit_record_unreadable",
            Self::Missing { .. } => "audit_record_missing",
            Self::Misplaced { .. } => "audit_record_misplaced",
            Self::Changed { .. } => "audit_record_changed",
            Self::Unlinked { .. } => "audit_record_unlinked",
            Self::CutOff { .. } => "audit_log_cut_off",
            Self::Replaced { .. } => "audit_record_replaced",
            Self::BadStatement { .. } => "audit_statement_bad",
        }
    }
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { seq, problem } => write!(f, "record {seq} can't be read: {problem}"),
            Self::Missing { from, to } if from == to => write!(f, "record {from} is missing"),
            Self::Missing { from, to } => write!(f, "records {from} to {to} are missing"),
            Self::Misplaced { at, found } => write!(f, "the place of record {at} holds record {found}"),
            Self::Changed { seq } => write!(f, "record {seq} was changed: it does not hash to its hash"),
            Self::Unlinked { seq } => write!(f, "record {seq} does not follow the record before it"),
            Self::CutOff { last, known, by } => {
                write!(f, "the log ends at record {last}, but {by} says that it reached {known}")
            }
            Self::Replaced { seq, by } => write!(f, "record {seq} is another than the one that {by} names"),
            Self::BadStatement { problem } => write!(f, "the signed statement is not believed: {problem}"),
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// Records that were read.
    pub records: u64,
    pub head: AuditHead,
    /// In order, at most a hundred.
    pub findings: Vec<AuditFinding>,
    pub findings_count: u64,
}

impl AuditReport {
    pub fn holds(&self) -> bool {
        self.findings_count == 0
    }
}

/// Takes the rows of a chain in the order of their keys.
#[derive(Debug)]
pub struct AuditCheck {
    head: AuditHead,
    /// What the next record has to name; `None` after a gap, where it can't be known.
    prev: Option<Digest>,
    records: u64,
    findings: Vec<AuditFinding>,
    findings_count: u64,
    /// What is known of single records, and by whom.
    known: BTreeMap<u64, Vec<(Digest, &'static str)>>,
}

impl Default for AuditCheck {
    fn default() -> Self {
        Self {
            head: AuditHead::EMPTY,
            prev: Some(Digest::ZERO),
            records: 0,
            findings: Vec::new(),
            findings_count: 0,
            known: BTreeMap::new(),
        }
    }
}

impl AuditCheck {
    /// The chain reached `head` once, as `by` says. To be told before the rows.
    pub fn expect(&mut self, head: AuditHead, by: &'static str) {
        if head.seq > 0 {
            self.known.entry(head.seq).or_default().push((head.hash, by));
        }
    }

    /// Something that was noticed beside the rows.
    pub fn find(&mut self, finding: AuditFinding) {
        self.findings_count += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// The next row. Rows whose keys are no numbers are none of the chain's.
    pub fn row(&mut self, key: &[u8], text: &str) {
        let Ok(key) = <[u8; RECORD_KEY_BYTES]>::try_from(key) else { return };
        let at = u64::from_be_bytes(key);
        self.records += 1;
        if at > self.head.seq + 1 {
            self.find(AuditFinding::Missing { from: self.head.seq + 1, to: at - 1 });
            self.prev = None;
        }
        let record = match AuditRecord::read(text) {
            Ok(record) => record,
            Err(problem) => {
                self.find(AuditFinding::Unreadable { seq: at, problem: problem.to_string() });
                self.head.seq = at;
                self.prev = None;
                return;
            }
        };
        if record.seq != at {
            self.find(AuditFinding::Misplaced { at, found: record.seq });
        }
        let is_as_written = record.text().is_ok_and(|written| written == text);
        if !is_as_written || record.computed_hash() != Ok(record.hash) {
            self.find(AuditFinding::Changed { seq: at });
        }
        if self.prev.is_some_and(|prev| prev != record.prev_hash) {
            self.find(AuditFinding::Unlinked { seq: at });
        }
        for (hash, by) in self.known.remove(&at).unwrap_or_default() {
            if hash != record.hash {
                self.find(AuditFinding::Replaced { seq: at, by });
            }
        }
        self.head = AuditHead { seq: at, hash: record.hash };
        self.prev = Some(record.hash);
    }

    /// All rows were given.
    pub fn finish(mut self) -> AuditReport {
        let last = self.head.seq;
        let beyond = self.known.split_off(&(last + 1));
        for (known, sources) in beyond {
            for (_, by) in sources {
                self.find(AuditFinding::CutOff { last, known, by });
            }
        }
        AuditReport {
            records: self.records,
            head: self.head,
            findings: self.findings,
            findings_count: self.findings_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::ActorType;
    use crate::time::TimestampMs;
    use uuid::Uuid;

    fn chain(count: u64) -> Vec<(Vec<u8>, String)> {
        let mut prev_hash = Digest::ZERO;
        let rows = (1..=count).map(|seq| {
            let record = AuditRecord {
                seq,
                id: Uuid::from_u128(seq.into()),
                timestamp: TimestampMs(1_000 * seq as i64),
                action: "api_key_created".to_owned(),
                actor: "0011223344556677".to_owned(),
                actor_type: ActorType::Bootstrap,
                tenant_id: None,
                resource_type: Some("api_key".to_owned()),
                resource_id: Some(seq.to_string()),
                request_id: None,
                ip_address: Some("192.0.2.1".to_owned()),
                user_agent: None,
                details: serde_json::json!({ "b": [1, 2.5], "a": "é" }),
                success: true,
                error_message: None,
                prev_hash,
                hash: Digest::ZERO,
            };
            let record = record.sealed().unwrap();
            prev_hash = record.hash;
            (seq.to_be_bytes().to_vec(), record.text().unwrap())
        });
        rows.collect()
    }

    fn head(rows: &[(Vec<u8>, String)]) -> AuditHead {
        let record = AuditRecord::read(&rows.last().unwrap().1).unwrap();
        AuditHead { seq: record.seq, hash: record.hash }
    }

    fn codes(rows: &[(Vec<u8>, String)], known: AuditHead) -> Vec<&'static str> {
        let mut check = AuditCheck::default();
        check.expect(known, "the test");
        rows.iter().for_each(|(key, text)| check.row(key, text));
        check.finish().findings.iter().map(AuditFinding::code).collect()
    }

    #[test]
    fn an_untouched_chain_holds() {
        let rows = chain(5);
        assert_eq!(codes(&rows, head(&rows)), [""; 0]);
        assert_eq!(codes(&[], AuditHead::EMPTY), [""; 0]);
    }

    #[test]
    fn a_changed_record_is_named() {
        let whole = chain(5);
        let known = head(&whole);
        for (from, to) in [("192.0.2.1", "192.0.2.9"), (",\"seq\"", ", \"seq\"")] {
            let mut rows = chain(5);
            rows[2].1 = rows[2].1.replace(from, to);
            assert_eq!(codes(&rows, known), ["audit_record_changed"], "{from}");
        }
        // Written anew with a hash of its own it breaks the chain behind it.
        let mut rows = chain(5);
        let mut record = AuditRecord::read(&rows[2].1).unwrap();
        record.actor = "another".to_owned();
        rows[2].1 = record.sealed().unwrap().text().unwrap();
        assert_eq!(codes(&rows, known), ["audit_record_unlinked"]);
        rows[2].1 = "no record".to_owned();
        assert_eq!(codes(&rows, known), ["audit_record_unreadable"]);
    }

    #[test]
    fn a_record_taken_out_or_moved_is_named() {
        let known = head(&chain(5));
        let mut rows = chain(5);
        rows.remove(1);
        assert_eq!(codes(&rows, known), ["audit_record_missing"]);
        let mut rows = chain(5);
        let (one, two) = (rows[1].1.clone(), rows[2].1.clone());
        (rows[1].1, rows[2].1) = (two, one);
        let found = codes(&rows, known);
        assert_eq!(found.iter().filter(|code| **code == "audit_record_misplaced").count(), 2, "{found:?}");
    }

    #[test]
    fn a_tail_that_was_cut_off_or_written_anew_is_noticed_by_whoever_knows_an_older_head() {
        let rows = chain(5);
        let known = head(&rows);
        assert_eq!(codes(&rows[..3], known), ["audit_log_cut_off"]);
        assert_eq!(codes(&[], known), ["audit_log_cut_off"]);
        let other = AuditHead { seq: 5, hash: Digest([7; 32]) };
        assert_eq!(codes(&rows, other), ["audit_record_replaced"]);
    }
}
