//! Configuration: one table of settings, read from environment and file, checked once, as one typed value.

mod database;
mod encryption;
mod facilitator;
mod gather;
mod keys;
mod nearest;
mod observing;
mod payments;
mod rules;
mod setting;
mod settings;
mod show;
pub mod table;
mod value;

use std::ffi::OsString;
use std::path::Path;

pub use database::{Database, Pool, PostgresSettings};
pub use encryption::at_rest;
pub use facilitator::FacilitatorSettings;
pub use gather::{Gathered, Source};
pub use keys::keys_in;
pub use nearest::nearest;
pub use observing::Observing;
pub use setting::{Acts, Group, Kind, Setting};
pub use settings::{Auth, Commits, Identity, Listen, LogFormat, Settings};
pub use show::{documentation, shown, shown_text};
pub use stateset_keystore::{KeysIn, Pin, TokenSettings};
pub use value::bytes32;

/// Something to mend before a start. It names the setting and the cure, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl Problem {
    fn new(about: &str, what: &str) -> Self {
        Self(format!("{about}: {what}"))
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the texts of the settings: the environment, over the file, over the defaults.
///
/// # Errors
/// Every problem, not only the first.
pub fn gather(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    file: Option<&Path>,
) -> Result<Gathered, Vec<Problem>> {
    let Some(path) = file else { return Gathered::read(environment, None) };
    let text = std::fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| vec![Problem::new(&path.display().to_string(), &error.to_string())])?;
    Gathered::read(environment, Some((path, &text)))
}

/// Whether a variable is about the database alone, and the keys of what is sealed in it.
pub fn is_about_database(name: &str) -> bool {
    name.starts_with("PAYLOAD_ENCRYPTION_")
        || table::GROUPS[0].settings.iter().any(|setting| setting.name == name)
}
