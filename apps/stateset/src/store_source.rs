//! A store on this machine as the source of an audit. It may be in use by a running server.

use std::path::Path;

use stateset_sequencer_admin::database::Target;

use crate::error::CliError;

pub use stateset_sequencer_admin::store_source::StoreSource;

/// The log in the file `file`.
pub fn open(file: &Path) -> Result<StoreSource, CliError> {
    if !file.is_file() {
        return Err(CliError::input("NO_STORE", format!("there is no event store at {}", file.display()))
            .hint("name a data directory, or the events.db file itself"));
    }
    of(&Target::file(file).map_err(unreadable)?)
}

/// The log in any database.
pub fn of(target: &Target) -> Result<StoreSource, CliError> {
    StoreSource::open(target).map_err(unreadable)
}

fn unreadable(failure: stateset_sequencer_app::failure::Failure) -> CliError {
    CliError::failure("STORE", format!("the event store cannot be read: {}", failure.message))
}
