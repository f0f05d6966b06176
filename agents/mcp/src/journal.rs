//! What has to be remembered of calls: first answers by idempotency key, spending, approvals. One SQLite file, mode 0600.
//!
//! Several processes may open it: the server, and the command of a person who approves.

mod approvals;
mod open;

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ves::{EventId, TimestampMs};

use crate::limits::Limits;
use crate::money::Money;
pub(crate) use approvals::NewApproval;
pub use approvals::{APPROVALS_PENDING_MAX, Approval, ApprovalState};
pub(crate) use open::LOCK;

/// First answers are kept so long.
pub const CALL_KEPT_MS: i64 = 30 * 86_400_000;
const DAY_MS: i64 = 86_400_000;

/// Why the journal could not answer.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{doing} {path}: {problem}")]
    File { doing: &'static str, path: PathBuf, problem: String },
    #[error("{path} has the schema {found}, this program knows {known}: use a newer one")]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    #[error("there is no approval {id:?}")]
    NoApproval { id: String },
    #[error("the approval {id} is {state} already")]
    Decided { id: String, state: &'static str },
    #[error("{APPROVALS_PENDING_MAX} calls wait for a person already: decide about some first")]
    TooManyApprovals,
}

impl JournalError {
    /// Stable and in lower case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::NewerSchema { .. } => "journal_failed",
            Self::NoApproval { .. } => "approval_not_found",
            Self::Decided { .. } => "approval_decided",
            Self::TooManyApprovals => "too_many_approvals",
        }
    }
}

/// What is chosen before a call is tried, so that a second try does the same and not the same again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub event_id: EventId,
    pub created_at_ms: i64,
    /// The id of the entity, where the caller left the choice.
    pub entity_id: Option<String>,
}

impl Plan {
    pub fn created_at(&self) -> TimestampMs {
        TimestampMs(self.created_at_ms)
    }
}

/// A call as it is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub tool: String,
    pub arguments_hash: [u8; 32],
    pub plan: Plan,
    pub answer: Option<Value>,
}

/// A call that begins.
pub struct NewCall<'a> {
    pub key: &'a str,
    pub tool: &'a str,
    pub arguments_hash: [u8; 32],
    pub plan: &'a Plan,
    pub at: TimestampMs,
}

/// What became of the wish to begin.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    Goes,
    /// It waits for a person, for this reason.
    Asks(String),
}

/// The journal of one agent.
pub struct Journal {
    connection: Connection,
    path: PathBuf,
}

impl Journal {
    /// A file beside the journal whose lock one process at a time holds while it does something.
    ///
    /// - `name`: what it is called after the journal's own name.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub(crate) fn turns(&self, name: &str) -> Result<File, JournalError> {
        open::beside(&self.path, name).map_err(|error| self.failed("opening the lock of", &error))
    }

    /// Opens `path`, made with mode 0600 where it is missing; its folder must exist. Forgets calls older than
    /// [`CALL_KEPT_MS`].
    ///
    /// # Errors
    /// [`JournalError::File`], [`JournalError::NewerSchema`].
    pub fn open(path: &Path, now: TimestampMs) -> Result<Self, JournalError> {
        let journal = Self { connection: open::open(path)?, path: path.to_owned() };
        journal
            .connection
            .execute("DELETE FROM calls WHERE at_ms < ?", [now.0.saturating_sub(CALL_KEPT_MS)])
            .map_err(|error| journal.failed("pruning", &error))?;
        Ok(journal)
    }

    pub fn call(&self, key: &str) -> Result<Option<Call>, JournalError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT tool, arguments_hash, plan, answer FROM calls WHERE key = ?")
            .map_err(|error| self.failed("reading", &error))?;
        let row = query
            .query_row([key], |row| {
                let (tool, hash): (String, [u8; 32]) = (row.get(0)?, row.get(1)?);
                let (plan, answer): (String, Option<String>) = (row.get(2)?, row.get(3)?);
                Ok((tool, hash, plan, answer))
            })
            .optional()
            .map_err(|error| self.failed("reading", &error))?;
        let Some((tool, arguments_hash, plan, answer)) = row else { return Ok(None) };
        let plan = serde_json::from_str(&plan).map_err(|error| self.failed("reading", &error))?;
        let answer = answer.map(|text| serde_json::from_str(&text)).transpose();
        let answer = answer.map_err(|error| self.failed("reading", &error))?;
        Ok(Some(Call { tool, arguments_hash, plan, answer }))
    }

    /// Notes a call before it is carried out, unless it is worth more than the agent may spend by itself. The judgement and
    /// the note are one transaction, so that calls at the same time do not spend a limit twice. Durable when it returns.
    ///
    /// - `worth`: `None` where it is worth nothing, or a person approved it.
    pub fn begin(
        &mut self,
        call: &NewCall<'_>,
        worth: Option<&Money>,
        limits: &Limits,
    ) -> Result<Begun, JournalError> {
        let path = self.path.clone();
        let failed = |error: rusqlite::Error| file_error("writing", &path, &error);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if let Some(worth) = worth {
            let since = call.at.0.saturating_sub(DAY_MS);
            let spent = spent(&transaction, &worth.currency, since).map_err(failed)?;
            if let Some(reason) = limits.asks(worth, spent) {
                return Ok(Begun::Asks(reason));
            }
        }
        insert(&transaction, call, worth, None).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Begun::Goes)
    }

    /// Notes the first answer of a call that was begun. Not synced by itself: where it is lost, the call is known as begun,
    /// and its repetition does the same again, which the outbox answers with the first event.
    pub fn finish(&self, key: &str, answer: &Value) -> Result<(), JournalError> {
        let lazily = |connection: &Connection| -> rusqlite::Result<()> {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            let done = connection
                .prepare_cached("UPDATE calls SET answer = ? WHERE key = ?")?
                .execute((answer.to_string(), key));
            connection.pragma_update(None, "synchronous", "FULL")?;
            done.map(|_| ())
        };
        lazily(&self.connection).map_err(|error| self.failed("writing", &error))
    }

    /// Forgets a call that certainly did nothing.
    pub fn forget(&self, key: &str) -> Result<(), JournalError> {
        self.connection
            .execute("DELETE FROM calls WHERE key = ? AND answer IS NULL", [key])
            .map(|_| ())
            .map_err(|error| self.failed("writing", &error))
    }

    fn failed(&self, doing: &'static str, error: &dyn std::fmt::Display) -> JournalError {
        file_error(doing, &self.path, error)
    }
}

fn file_error(doing: &'static str, path: &Path, error: &dyn std::fmt::Display) -> JournalError {
    JournalError::File { doing, path: path.to_owned(), problem: error.to_string() }
}

/// What the agent spent of a currency by itself since then; `u64::MAX` where no u64 holds it.
fn spent(connection: &Connection, currency: &str, since_ms: i64) -> rusqlite::Result<u64> {
    let mut query = connection.prepare_cached("SELECT minor FROM calls WHERE currency = ? AND at_ms > ?")?;
    let amounts = query.query_map((currency, since_ms), |row| row.get::<_, i64>(0))?;
    let mut sum = 0_u64;
    for minor in amounts {
        sum = sum.saturating_add(u64::try_from(minor?).unwrap_or(u64::MAX));
    }
    Ok(sum)
}

fn insert(
    connection: &Connection,
    call: &NewCall<'_>,
    worth: Option<&Money>,
    answer: Option<&Value>,
) -> rusqlite::Result<()> {
    let plan = serde_json::to_string(call.plan).expect("a plan is JSON");
    let worth = worth.filter(|worth| worth.minor > 0);
    connection
        .prepare_cached(
            "INSERT INTO calls (key, tool, arguments_hash, plan, at_ms, currency, minor, answer)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(rusqlite::params![
            call.key,
            call.tool,
            call.arguments_hash,
            plan,
            call.at.0,
            worth.map(|worth| worth.currency.as_str()),
            // An amount is at most 2^63 - 1.
            worth.map(|worth| i64::try_from(worth.minor).unwrap_or(i64::MAX)),
            answer.map(Value::to_string),
        ])
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

    fn plan() -> Plan {
        Plan { event_id: EventId::from_bytes([1; 16]), created_at_ms: NOW.0, entity_id: None }
    }

    fn call<'a>(key: &'a str, plan: &'a Plan, at: TimestampMs) -> NewCall<'a> {
        NewCall { key, tool: "order_create", arguments_hash: [7; 32], plan, at }
    }

    fn usd(minor: u64) -> Money {
        Money { minor, currency: "USD".to_owned() }
    }

    #[test]
    fn a_call_is_remembered_across_restarts_and_forgotten_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp.db");
        let (plan, limits) = (plan(), Limits::default());
        let mut journal = Journal::open(&path, NOW).unwrap();
        assert_eq!(journal.begin(&call("k", &plan, NOW), None, &limits).unwrap(), Begun::Goes);
        drop(journal);
        let journal = Journal::open(&path, NOW).unwrap();
        let begun = journal.call("k").unwrap().unwrap();
        assert_eq!((begun.tool.as_str(), &begun.plan, begun.answer), ("order_create", &plan, None));
        journal.finish("k", &json!({"status": "pending"})).unwrap();
        drop(journal);
        let journal = Journal::open(&path, NOW).unwrap();
        assert_eq!(journal.call("k").unwrap().unwrap().answer, Some(json!({"status": "pending"})));
        journal.forget("k").unwrap();
        assert!(journal.call("k").unwrap().is_some(), "what was answered is not forgotten");
        drop(journal);
        let later = TimestampMs(NOW.0 + CALL_KEPT_MS + 1);
        assert_eq!(Journal::open(&path, later).unwrap().call("k").unwrap(), None);
    }

    #[test]
    fn a_limit_of_a_day_counts_what_was_begun_and_not_what_a_person_approved() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("mcp.db"), NOW).unwrap();
        let (plan, mut limits) = (plan(), Limits::default());
        limits.set_day(usd(100));
        let mut go = |key: &str, minor: u64, at: i64| {
            let at = TimestampMs(NOW.0 + at);
            journal.begin(&call(key, &plan, at), Some(&usd(minor)), &limits).unwrap()
        };
        assert_eq!(go("a", 60, 0), Begun::Goes);
        assert!(matches!(go("b", 41, 1), Begun::Asks(_)));
        assert_eq!(go("c", 40, 2), Begun::Goes);
        assert!(matches!(go("d", 1, DAY_MS - 1), Begun::Asks(_)));
        assert_eq!(go("e", 60, DAY_MS), Begun::Goes, "the first one is a day old");
        assert_eq!(journal.begin(&call("f", &plan, NOW), None, &limits).unwrap(), Begun::Goes);
        assert!(journal.call("b").unwrap().is_none(), "what asks was not begun");
    }

    #[test]
    fn a_newer_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp.db");
        drop(Journal::open(&path, NOW).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Journal::open(&path, NOW), Err(JournalError::NewerSchema { found: 99, .. })));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp.db");
        drop(Journal::open(&path, NOW).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
