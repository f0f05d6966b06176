//! SQLite's errors as facts a caller can act on.

use rusqlite::ErrorCode;

use crate::error::LogError;

pub(super) fn failed(doing: &str, error: rusqlite::Error) -> LogError {
    let doing = doing.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LogError::Full { doing },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            LogError::corrupt("the database", error.to_string())
        }
        _ => match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => {
                LogError::corrupt("a row of the database", error.to_string())
            }
            other => LogError::Io { doing, problem: other.to_string() },
        },
    }
}

/// Adds what was being done to an error.
pub(super) trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, LogError>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, what: &str) -> Result<T, LogError> {
        self.map_err(|error| failed(what, error))
    }
}
