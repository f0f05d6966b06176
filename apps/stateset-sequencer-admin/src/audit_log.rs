//! The audit log of a database, checked from its first record to its last.

use std::collections::BTreeMap;

use stateset_event_log::{LogError, LogReader, Table};
use ves::audit::{
    AuditCheck, AuditFinding, AuditHead, AuditReport, HEAD_KEY, STATEMENT_KEY, SignedAuditStatement,
};
use ves::ed25519::PublicKey;

/// Rows read at once.
const PAGE: usize = 1_024;

/// The sequencer's public keys, by version.
pub type SequencerKeys = BTreeMap<u32, PublicKey>;

/// The keys that the log itself names: enough to check it against itself.
///
/// # Errors
/// [`LogError`] when the database can't be read.
pub fn published_keys(reader: &dyn LogReader) -> Result<SequencerKeys, LogError> {
    let keys = reader.sequencer_keys()?;
    let decoded =
        keys.iter().filter_map(|key| Some((key.key_version, PublicKey::from_bytes(&key.public_key).ok()?)));
    Ok(decoded.collect())
}

/// Checks the chain, its end and the signed statement; `known` is how far it reached when it was last checked.
///
/// # Errors
/// [`LogError`] when the database can't be read; what is wrong with the log itself is in the report.
pub fn check(
    reader: &dyn LogReader,
    keys: &SequencerKeys,
    known: Option<AuditHead>,
) -> Result<AuditReport, LogError> {
    let mut check = AuditCheck::default();
    if let Some(known) = known {
        check.expect(known, "an earlier verification");
    }
    // Read before the rows: a service may go on recording meanwhile.
    expect_head(reader, &mut check)?;
    expect_statement(reader, keys, &mut check)?;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = reader.documents(Table::AuditLog, &[], after.as_deref(), PAGE)?;
        page.iter().for_each(|row| check.row(&row.key, &row.text));
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(check.finish()),
        }
    }
}

fn expect_head(reader: &dyn LogReader, check: &mut AuditCheck) -> Result<(), LogError> {
    let head = reader.document(Table::AuditLog, HEAD_KEY)?;
    match head.as_ref().map(|document| serde_json::from_str::<AuditHead>(&document.text)) {
        Some(Ok(head)) => check.expect(head, "the log's own note of its end"),
        Some(Err(problem)) => check
            .find(AuditFinding::Unreadable { seq: 0, problem: format!("the note of its end: {problem}") }),
        // Without records there is none.
        None => {
            if !reader.documents(Table::AuditLog, &[], None, 1)?.is_empty() {
                check.find(AuditFinding::Unreadable {
                    seq: 0,
                    problem: "the note of its end is gone".to_owned(),
                });
            }
        }
    }
    Ok(())
}

fn expect_statement(
    reader: &dyn LogReader,
    keys: &SequencerKeys,
    check: &mut AuditCheck,
) -> Result<(), LogError> {
    let Some(document) = reader.document(Table::AuditLog, STATEMENT_KEY)? else { return Ok(()) };
    let mut bad = |problem: String| check.find(AuditFinding::BadStatement { problem });
    match serde_json::from_str::<SignedAuditStatement>(&document.text) {
        Err(problem) => bad(problem.to_string()),
        Ok(stated) => match keys.get(&stated.key_version) {
            None => {
                bad(format!("it is signed by a key of version {}, which is not known", stated.key_version))
            }
            Some(key) if !stated.is_by(key) => bad("its signature is not by the sequencer's key".to_owned()),
            Some(_) => {
                let head = AuditHead { seq: stated.head.seq, hash: stated.head.hash };
                check.expect(head, "the sequencer's signed statement");
            }
        },
    }
    Ok(())
}
