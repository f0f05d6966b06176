//! The nodes of companies that `up` runs, called by commands.

use stateset_node_client::files::HostedAt;
use stateset_node_client::{CallError, FileError, NodeApi};

use crate::data_dir::DataDir;
use crate::error::{CliError, printable};

/// The API of the nodes of a data directory.
///
/// # Errors
/// NO_LEDGER where `up` never ran a ledger there.
pub fn of(data: &DataDir) -> Result<NodeApi, CliError> {
    let folder = data.ledger();
    if !HostedAt::file(&folder).exists() {
        let said = format!("there is no ledger in {}", data.path().display());
        return Err(CliError::input("NO_LEDGER", said)
            .hint("run `stateset up` there, or `stateset org start`, and leave it running"));
    }
    // A call waits as long as it asks the node to.
    Ok(NodeApi::of(&folder, None))
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        // One line: what others wrote must not look like ours.
        let said = printable(&error.to_string());
        let is_of_rules = matches!(error.code(), "BAD_TRANSITION" | "NOT_AUTHORISED");
        let told = match error.is_input() && !is_of_rules {
            true => Self::input(error.code(), said),
            false => Self::failure(error.code(), said),
        };
        match error {
            CallError::Unreachable(_) => told.hint("`stateset up` runs it, or `stateset org start`"),
            CallError::Refused { .. } if told.message.contains("is signed away") => told.hint(
                "see `stateset invoice proposals`; `stateset invoice withdraw` takes one back until all have signed it",
            ),
            CallError::Ambiguous { ids, .. } => told.hint(format!("give one: {}", ids.join(", "))),
            CallError::File(error) => error.into(),
            CallError::Refused { .. } | CallError::Unreadable(_) => told,
        }
    }
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Io { doing, path, error } => Self::io(doing, path, error),
            FileError::Bad { .. } => Self::input(error.code(), error.to_string()),
        }
    }
}
