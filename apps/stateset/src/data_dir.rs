//! The data directory: what lies where.
//!
//! ```text
//! DIR/                 0700
//!   profile.json       where the server is, which stream is the default, whose receipts to believe; no secrets
//!   admin-api-key      0600, the bootstrap key of the server
//!   keys/              0700, encrypted keys; keys/passphrase 0600 when none was given
//!   store/events.db    the event log
//!   ledger/            the shared ledger that this process orders: keys, genesis, state
//!   chain/             the local chain of `up --anchor anvil`, and what is on its way to it
//!   lock               held while a server runs on it
//! ```

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ves::{SequencerId, StoreId, StreamKey, TenantId};
use ves_wire::Hex;

use crate::error::CliError;
use crate::files;

#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// What commands need to know of a server that was started here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub url: String,
    /// Where gRPC is, as `grpc://HOST:PORT`; absent where it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_url: Option<String>,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub sequencer_id: SequencerId,
    pub sequencer_public_key: Hex<32>,
    pub sequencer_key_version: u32,
    /// The database that these keys and ids belong to, without user and password; see [`crate::pin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

impl Profile {
    pub fn stream(&self) -> StreamKey {
        StreamKey { tenant_id: self.tenant_id, store_id: self.store_id }
    }
}

impl DataDir {
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }
    pub fn passphrase_file(&self) -> PathBuf {
        self.keys().join("passphrase")
    }
    pub fn api_key_file(&self) -> PathBuf {
        self.0.join("admin-api-key")
    }
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }
    pub fn store_file(&self) -> PathBuf {
        self.store().join("events.db")
    }
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }
    fn profile_file(&self) -> PathBuf {
        self.0.join("profile.json")
    }

    /// Makes the directory where it is missing, closed to others.
    pub fn create(&self) -> Result<(), CliError> {
        for folder in [self.0.clone(), self.store()] {
            files::make_private_folder(&folder).map_err(|error| CliError::io("make", &folder, &error))?;
        }
        Ok(())
    }

    /// Takes the directory for this process until the file is dropped.
    pub fn lock(&self) -> Result<File, CliError> {
        let path = self.0.join("lock");
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| CliError::io("open", &path, &error))?;
        file.try_lock().map_err(|_| {
            CliError::failure("DATA_IN_USE", format!("another stateset is running on {}", self.0.display()))
                .hint("stop it, or give this one another directory with --data")
        })?;
        Ok(file)
    }

    /// `None` where no server was ever started.
    pub fn profile(&self) -> Result<Option<Profile>, CliError> {
        let path = self.profile_file();
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
                CliError::failure("BAD_PROFILE", format!("{} cannot be read: {error}", path.display()))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::io("read", &path, &error)),
        }
    }

    pub fn write_profile(&self, profile: &Profile) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(profile).expect("a profile serialises to JSON") + "\n";
        let path = self.profile_file();
        files::replace(&path, text.as_bytes()).map_err(|error| CliError::io("write", &path, &error))
    }

    /// The bootstrap key; `None` where there is no file for it. Refused when others may read it or it is empty.
    pub fn api_key(&self) -> Result<Option<String>, CliError> {
        let path = self.api_key_file();
        let read = |error: std::io::Error| CliError::io("read", &path, &error);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read(error)),
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = file.metadata().map_err(read)?.permissions().mode() & 0o7777;
            if mode & !0o600 != 0 {
                let message = format!("{} can be read by others (mode {mode:04o})", path.display());
                return Err(CliError::failure("MODE_TOO_WIDE", message)
                    .hint(format!("allow its owner only: chmod 600 {}", path.display())));
            }
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(read)?;
        match text.trim() {
            "" => Err(CliError::failure("BAD_API_KEY_FILE", format!("{} is empty", path.display()))
                .hint("restore it from a backup, or remove it and start the server again to make another")),
            key => Ok(Some(key.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_file_that_is_empty_open_to_others_or_unreadable_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        assert!(data.api_key().unwrap().is_none());
        files::replace(&data.api_key_file(), b"key\n").unwrap();
        assert_eq!(data.api_key().unwrap().as_deref(), Some("key"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(data.api_key_file(), fs::Permissions::from_mode(0o644)).unwrap();
            assert_eq!(data.api_key().unwrap_err().code, "MODE_TOO_WIDE");
        }
        files::replace(&data.api_key_file(), b"\n").unwrap();
        assert_eq!(data.api_key().unwrap_err().code, "BAD_API_KEY_FILE");
        files::replace(&data.api_key_file(), &[0xff]).unwrap();
        assert_eq!(data.api_key().unwrap_err().code, "IO");
    }
}
