//! Settings from a file in TOML: the names of the environment in lower case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use set_anchor::settings::TABLE;
use toml::Value;

/// Settings that the table names beside another.
const MORE: [&str; 2] = ["L2_CHAIN_ID", "SEQUENCER_PRIVATE_KEY_FILE"];
/// A file of settings is read by more people than a key should be.
const SECRET: &str = "SEQUENCER_PRIVATE_KEY";

/// Why a file gives no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path} can't be read: {problem}")]
    Io { path: PathBuf, problem: std::io::Error },
    /// Without the line itself, which may hold what should not be shown.
    #[error("{path} is no TOML, line {line}: {problem}")]
    Toml { path: PathBuf, line: usize, problem: String },
    #[error("{path}: there is no setting {name}; `set-anchor --help` lists them, here in lower case")]
    Unknown { path: PathBuf, name: String },
    #[error("{path}: {name} is a text, a number, true or false")]
    Shape { path: PathBuf, name: String },
    #[error("{0}: a key does not belong here; name a file of its own by sequencer_private_key_file")]
    Key(PathBuf),
}

/// By the names of the environment.
///
/// # Errors
/// [`ConfigError`].
pub fn read(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let own = || path.to_path_buf();
    let text = std::fs::read_to_string(path).map_err(|problem| ConfigError::Io { path: own(), problem })?;
    let table: toml::Table = toml::from_str(&text).map_err(|problem| {
        let before = problem.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::Toml { path: own(), line, problem: problem.message().to_owned() }
    })?;
    let mut settings = BTreeMap::new();
    for (key, value) in table {
        let name = key.to_ascii_uppercase();
        let is_known = TABLE.iter().any(|(known, ..)| *known == name) || MORE.contains(&&*name);
        if !is_known || key != key.to_ascii_lowercase() {
            return Err(ConfigError::Unknown { path: own(), name: key });
        }
        if name == SECRET {
            return Err(ConfigError::Key(own()));
        }
        let text = match value {
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(is_so) => is_so.to_string(),
            _ => return Err(ConfigError::Shape { path: own(), name: key }),
        };
        settings.insert(name, text);
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<BTreeMap<String, String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_file_gives_settings_by_their_names() {
        let read = of("anchor_aggregate = true\nanchor_from_block = 7\nl2_chain_id = \"8453\"\n").unwrap();
        let expected = [("ANCHOR_AGGREGATE", "true"), ("ANCHOR_FROM_BLOCK", "7"), ("L2_CHAIN_ID", "8453")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named_and_a_key_in_it_is_not_shown() {
        for (text, words) in [
            ("anchor_aggregates = true", "no setting anchor_aggregates"),
            ("ANCHOR_AGGREGATE = true", "in lower case"),
            ("health_port = [1]", "health_port is a text, a number"),
            ("health_port = 1\nsequencer_private_key = 0x5ec4e7zz", "is no TOML, line 2"),
            ("sequencer_private_key = \"0x5ec4e7\"", "sequencer_private_key_file"),
        ] {
            let problem = of(text).unwrap_err();
            assert!(problem.contains(words) && !problem.contains("5ec4e7"), "{problem}");
        }
        assert!(read(Path::new("/nowhere/set-anchor.toml")).unwrap_err().to_string().contains("/nowhere"));
    }
}
