//! PostgreSQL's errors as facts a caller can act on.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::session::Failed;
use crate::error::LogError;

/// Raised by the function `sequencer_fence`.
const FENCED: &str = "SS001";

/// A failed write. The server's ERROR aborts its transaction, so that nothing was changed; where there was none, where
/// the COMMIT itself failed, where the session ended meanwhile, or no answer came, nobody knows.
pub(super) fn write_failed(doing: &str, failed: &Failed) -> LogError {
    let Failed { error, is_undone } = failed;
    let doing = doing.to_owned();
    let Some(said) = error.as_db_error() else { return LogError::Io { doing, problem: text(error) } };
    if !is_undone || said.parsed_severity() != Some(Severity::Error) {
        return LogError::Io { doing, problem: text(error) };
    }
    if said.code().code() == FENCED {
        return LogError::Fenced { doing };
    }
    if *said.code() == SqlState::UNIQUE_VIOLATION {
        // Only this writer adds rows, and it knows what there is.
        return LogError::corrupt("the database", format!("{doing}: {}", text(error)));
    }
    if is_full(said) {
        return LogError::Full { doing };
    }
    if may_pass(said) {
        return LogError::Unavailable { doing, problem: text(error) };
    }
    LogError::Io { doing, problem: text(error) }
}

/// A failed read, or a failed start: it changed nothing.
pub(super) fn read_failed(doing: &str, error: &Error) -> LogError {
    let doing = doing.to_owned();
    match error.as_db_error() {
        Some(said) if is_damage(said) => LogError::corrupt("the database", text(error)),
        Some(said) if !may_pass(said) && said.parsed_severity() == Some(Severity::Error) => {
            LogError::Io { doing, problem: text(error) }
        }
        // A person has to mend it: waiting does not.
        Some(said) if is_refusal(said) => LogError::Io { doing, problem: text(error) },
        // The server is starting, stopping or gone.
        Some(_) => LogError::Unavailable { doing, problem: text(error) },
        None if is_conversion(error) => LogError::corrupt("a row of the database", text(error)),
        None => LogError::Unavailable { doing, problem: text(error) },
    }
}

pub(super) fn no_connection(doing: &str, error: &PoolError) -> LogError {
    match error {
        PoolError::Backend(error) => read_failed(doing, error),
        PoolError::Timeout(_) => LogError::Unavailable {
            doing: doing.to_owned(),
            problem: "no connection was free in time".to_owned(),
        },
        other => LogError::Unavailable { doing: doing.to_owned(), problem: other.to_string() },
    }
}

/// A read that was not answered in time.
pub(super) fn no_answer(doing: &str, seconds: f64) -> LogError {
    LogError::Unavailable { doing: doing.to_owned(), problem: format!("no answer within {seconds} seconds") }
}

/// A write that was not answered in time: nobody knows what became of it.
pub(super) fn timed_out(doing: &str, seconds: f64) -> LogError {
    LogError::Io {
        doing: doing.to_owned(),
        problem: format!("the database did not answer within {seconds} seconds"),
    }
}

fn is_full(said: &DbError) -> bool {
    *said.code() == SqlState::DISK_FULL
}

/// Classes 53 (resources), 57 (operator: cancelled, shutting down, starting), 08 (connection), 40 (rolled back to be
/// tried again), and a lock that was not had in time.
fn may_pass(said: &DbError) -> bool {
    let code = said.code().code();
    ["53", "57", "08", "40"].iter().any(|class| code.starts_with(class))
        || *said.code() == SqlState::LOCK_NOT_AVAILABLE
        || *said.code() == SqlState::READ_ONLY_SQL_TRANSACTION
        // What a server that is a replica by now says to a transaction that would write.
        || *said.code() == SqlState::FEATURE_NOT_SUPPORTED
}

/// No such user or password, or no such database.
fn is_refusal(said: &DbError) -> bool {
    said.code().code().starts_with("28") || *said.code() == SqlState::INVALID_CATALOG_NAME
}

fn is_damage(said: &DbError) -> bool {
    [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(said.code())
}

/// Whether a value was not of its column's kind. The library tells it by this text alone.
fn is_conversion(error: &Error) -> bool {
    error.to_string().starts_with("error deserializing column")
}

/// What went wrong, with its cause. The library's own text for a server's error is only "db error".
pub(super) fn text(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
