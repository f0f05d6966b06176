//! The nodes of companies that `up` runs, called by commands.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use statesetd_app::HostedAt;

use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::files;
use crate::rest::Rest;

/// The API of the nodes of a data directory.
pub struct Nodes(Rest);

fn unreadable(error: impl std::fmt::Display) -> CliError {
    CliError::failure("UNREADABLE_ANSWER", format!("the node's answer: {error}"))
}

impl Nodes {
    /// # Errors
    /// NO_LEDGER where `up` never ran a ledger there.
    pub fn of(data: &DataDir) -> Result<Self, CliError> {
        let file = HostedAt::file(&data.ledger());
        if !file.exists() {
            let said = format!("there is no ledger in {}", data.path().display());
            return Err(CliError::input("NO_LEDGER", said)
                .hint("run `stateset up` there, or `stateset org start`, and leave it running"));
        }
        let at: HostedAt = serde_json::from_str(&files::read_text(&file)?)
            .map_err(|error| CliError::failure("BAD_FILE", format!("{}: {error}", file.display())))?;
        Ok(Self(Rest::at(at.url, Some(("authorization", format!("Bearer {}", at.token))))))
    }

    /// # Errors
    /// Those of the node, by its names.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.get_by(path, &[])
    }

    /// # Errors
    /// As of [`get`](Self::get).
    pub fn get_by<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, CliError> {
        serde_json::from_value(self.0.get_by(path, query)?).map_err(unreadable)
    }

    /// # Errors
    /// As of [`get`](Self::get).
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        serde_json::from_value(self.0.post(path, &json!(body))?).map_err(unreadable)
    }
}
