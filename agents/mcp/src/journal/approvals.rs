//! Calls that wait for a person.

use rusqlite::{OptionalExtension as _, Row, TransactionBehavior};
use serde_json::{Value, json};
use ves::TimestampMs;

use super::{Journal, JournalError, NewCall, file_error, insert};
use crate::money::Money;

/// Calls that may wait at once; more are refused.
pub const APPROVALS_PENDING_MAX: u64 = 1000;
/// A call waits so long; after that it has to be made again.
const APPROVAL_LIVES_MS: i64 = 7 * 86_400_000;

/// What became of a call that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalState {
    Pending,
    /// A person said yes. It has an answer once it was carried out.
    Approved,
    Rejected,
    /// Nobody said anything in time.
    Expired,
    /// A person said yes, and the call was refused then.
    Failed,
}

impl ApprovalState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    fn read(text: &str) -> Self {
        match text {
            "approved" => Self::Approved,
            "rejected" => Self::Rejected,
            "failed" => Self::Failed,
            _ => Self::Pending,
        }
    }
}

/// A call that waits, or waited, for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Ascends with time.
    pub number: i64,
    pub id: String,
    pub tool: String,
    pub arguments: Value,
    pub reason: String,
    /// Decimal text and currency.
    pub worth: Option<(String, String)>,
    pub state: ApprovalState,
    pub created_at: TimestampMs,
    pub expires_at: TimestampMs,
    pub decided_at: Option<TimestampMs>,
    /// Of the call, once it was carried out.
    pub answer: Option<Value>,
}

impl Approval {
    /// As tools and the command line show it.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "approval_id": self.id,
            "state": self.state.name(),
            "tool": self.tool,
            "arguments": self.arguments,
            "reason": self.reason,
            "created_at": self.created_at.to_string(),
            "expires_at": self.expires_at.to_string(),
        });
        if let Some((amount, currency)) = &self.worth {
            body["amount"] = amount.clone().into();
            body["currency"] = currency.clone().into();
        }
        if let Some(at) = self.decided_at {
            body["decided_at"] = at.to_string().into();
        }
        if let Some(answer) = &self.answer {
            body["answer"] = answer.clone();
        }
        body
    }
}

/// A call that begins to wait.
pub(crate) struct NewApproval<'a> {
    pub id: &'a str,
    pub arguments: &'a Value,
    pub reason: &'a str,
    pub worth: Option<&'a Money>,
}

const COLUMNS: &str = "number, id, tool, arguments, reason, currency, amount, state, created_ms, expires_ms, decided_ms, answer";

impl Journal {
    /// Keeps a call until a person decides about it, and what the caller is told as the first answer of its key.
    pub(crate) fn ask(
        &mut self,
        call: &NewCall<'_>,
        new: &NewApproval<'_>,
        answer: impl FnOnce(&Approval) -> Value,
    ) -> Result<Value, JournalError> {
        let path = self.path.clone();
        let failed = |error: rusqlite::Error| file_error("writing", &path, &error);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let waiting: u64 = transaction
            .query_row(
                "SELECT count(*) FROM approvals WHERE state = 'pending' AND expires_ms > ?",
                [call.at.0],
                |row| row.get(0),
            )
            .map_err(failed)?;
        if waiting >= APPROVALS_PENDING_MAX {
            return Err(JournalError::TooManyApprovals);
        }
        let mut approval = Approval {
            number: 0,
            id: new.id.to_owned(),
            tool: call.tool.to_owned(),
            arguments: new.arguments.clone(),
            reason: new.reason.to_owned(),
            worth: new.worth.map(|worth| (worth.text(), worth.currency.clone())),
            state: ApprovalState::Pending,
            created_at: call.at,
            expires_at: TimestampMs(call.at.0.saturating_add(APPROVAL_LIVES_MS)),
            decided_at: None,
            answer: None,
        };
        let (amount, currency) = approval.worth.clone().unzip();
        transaction
            .execute(
                "INSERT INTO approvals (id, tool, arguments, reason, currency, amount, state, created_ms, expires_ms)
                 VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?)",
                rusqlite::params![
                    approval.id,
                    approval.tool,
                    approval.arguments.to_string(),
                    approval.reason,
                    currency,
                    amount,
                    approval.created_at.0,
                    approval.expires_at.0,
                ],
            )
            .map_err(failed)?;
        approval.number = transaction.last_insert_rowid();
        let answer = answer(&approval);
        insert(&transaction, call, None, Some(&answer)).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(answer)
    }

    /// - `now`: what waited too long is expired by then.
    ///
    /// # Errors
    /// [`JournalError::NoApproval`].
    pub fn approval(&self, id: &str, now: TimestampMs) -> Result<Approval, JournalError> {
        let sql = format!("SELECT {COLUMNS} FROM approvals WHERE id = ?");
        let found = self.connection.query_row(&sql, [id], |row| read(row, now)).optional();
        let found = found.map_err(|error| self.failed("reading", &error))?;
        found.ok_or_else(|| JournalError::NoApproval { id: id.chars().take(64).collect() })
    }

    /// Newest first, those with a number below `before`.
    pub fn approvals(
        &self,
        before: Option<i64>,
        limit: usize,
        now: TimestampMs,
    ) -> Result<Vec<Approval>, JournalError> {
        let sql = format!("SELECT {COLUMNS} FROM approvals WHERE number < ? ORDER BY number DESC LIMIT ?");
        let run = || -> rusqlite::Result<Vec<Approval>> {
            let mut query = self.connection.prepare_cached(&sql)?;
            let rows = query.query_map((before.unwrap_or(i64::MAX), limit as i64), |row| read(row, now))?;
            rows.collect()
        };
        run().map_err(|error| self.failed("reading", &error))
    }

    /// Notes what a person decided. An approval again is no error, so that one that was interrupted can go on.
    ///
    /// # Errors
    /// [`JournalError::NoApproval`]; [`JournalError::Decided`] where it was rejected, failed, expired or is approved.
    pub fn decide(&mut self, id: &str, approve: bool, now: TimestampMs) -> Result<Approval, JournalError> {
        let wanted = if approve { ApprovalState::Approved } else { ApprovalState::Rejected };
        let changed = self
            .connection
            .execute(
                "UPDATE approvals SET state = ?, decided_ms = ? WHERE id = ? AND state = 'pending' AND expires_ms > ?",
                (wanted.name(), now.0, id, now.0),
            )
            .map_err(|error| self.failed("writing", &error))?;
        let approval = self.approval(id, now)?;
        match approval.state {
            _ if changed == 1 => Ok(approval),
            ApprovalState::Approved if approve && approval.answer.is_none() => Ok(approval),
            state => Err(JournalError::Decided { id: approval.id, state: state.name() }),
        }
    }

    /// Notes what came of a call that a person approved.
    pub fn settle(&self, id: &str, has_failed: bool, answer: &Value) -> Result<(), JournalError> {
        let state = if has_failed { ApprovalState::Failed } else { ApprovalState::Approved };
        self.connection
            .execute(
                "UPDATE approvals SET state = ?, answer = ? WHERE id = ? AND state = 'approved'",
                (state.name(), answer.to_string(), id),
            )
            .map(|_| ())
            .map_err(|error| self.failed("writing", &error))
    }
}

fn read(row: &Row<'_>, now: TimestampMs) -> rusqlite::Result<Approval> {
    let json = |at: usize, text: String| {
        serde_json::from_str(&text).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
        })
    };
    let (currency, amount): (Option<String>, Option<String>) = (row.get(5)?, row.get(6)?);
    let (state, expires_at) = (ApprovalState::read(&row.get::<_, String>(7)?), TimestampMs(row.get(9)?));
    let answer: Option<String> = row.get(11)?;
    Ok(Approval {
        number: row.get(0)?,
        id: row.get(1)?,
        tool: row.get(2)?,
        arguments: json(3, row.get(3)?)?,
        reason: row.get(4)?,
        worth: amount.zip(currency),
        state: match state {
            ApprovalState::Pending if expires_at <= now => ApprovalState::Expired,
            state => state,
        },
        created_at: TimestampMs(row.get(8)?),
        expires_at,
        decided_at: row.get::<_, Option<i64>>(10)?.map(TimestampMs),
        answer: answer.map(|text| json(11, text)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Plan;

    const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

    fn journal(folder: &tempfile::TempDir) -> Journal {
        Journal::open(&folder.path().join("mcp.db"), NOW).unwrap()
    }

    fn ask(journal: &mut Journal, id: &str) -> Result<Value, JournalError> {
        let plan =
            Plan { event_id: ves::EventId::from_bytes([1; 16]), created_at_ms: NOW.0, entity_id: None };
        let call = NewCall { key: id, tool: "order_create", arguments_hash: [0; 32], plan: &plan, at: NOW };
        let new = NewApproval { id, arguments: &json!({"a": 1}), reason: "much", worth: None };
        journal.ask(&call, &new, Approval::body)
    }

    #[test]
    fn a_person_decides_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(&folder);
        ask(&mut journal, "a").unwrap();
        ask(&mut journal, "b").unwrap();
        assert_eq!(journal.decide("a", false, NOW).unwrap().state, ApprovalState::Rejected);
        for approve in [true, false] {
            let again = journal.decide("a", approve, NOW);
            assert!(matches!(again, Err(JournalError::Decided { state: "rejected", .. })), "{again:?}");
        }
        assert_eq!(journal.decide("b", true, NOW).unwrap().state, ApprovalState::Approved);
        // Interrupted before it was carried out: it goes on.
        assert_eq!(journal.decide("b", true, NOW).unwrap().state, ApprovalState::Approved);
        assert!(matches!(journal.decide("b", false, NOW), Err(JournalError::Decided { .. })));
        journal.settle("b", false, &json!({"status": "pending"})).unwrap();
        assert!(matches!(journal.decide("b", true, NOW), Err(JournalError::Decided { .. })));
        assert!(matches!(journal.decide("c", true, NOW), Err(JournalError::NoApproval { .. })));
        let ids: Vec<String> =
            journal.approvals(None, 10, NOW).unwrap().into_iter().map(|approval| approval.id).collect();
        assert_eq!(ids, ["b", "a"], "newest first");
    }

    #[test]
    fn what_waits_too_long_is_expired_and_not_carried_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(&folder);
        ask(&mut journal, "a").unwrap();
        let later = TimestampMs(NOW.0 + APPROVAL_LIVES_MS);
        assert_eq!(journal.approval("a", later).unwrap().state, ApprovalState::Expired);
        assert!(matches!(
            journal.decide("a", true, later),
            Err(JournalError::Decided { state: "expired", .. })
        ));
    }

    #[test]
    fn more_than_the_bound_do_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = journal(&folder);
        journal.connection.pragma_update(None, "synchronous", "OFF").unwrap();
        for n in 0..APPROVALS_PENDING_MAX {
            ask(&mut journal, &n.to_string()).unwrap();
        }
        assert!(matches!(ask(&mut journal, "more"), Err(JournalError::TooManyApprovals)));
        assert!(journal.call("more").unwrap().is_none());
    }
}
