//! What a command works with, built from the global options and the data directory on demand.

use std::path::Path;

use stateset_client::{Client, Identity};
use stateset_keystore::{FileKeystore, Keystore, Passphrase, Pkcs11Keystore};
use stateset_sequencer_app::config::{KeysIn, keys_in};
use ves::StreamKey;
use ves::ed25519::PublicKey;
use ves_stark_client::ComplianceClient;

use crate::args::{Global, KeystoreName};
use crate::data_dir::{DataDir, Profile};
use crate::error::CliError;
use crate::output::Output;
use crate::passphrase;

pub struct Context {
    pub out: Output,
    pub global: Global,
    pub data: DataDir,
}

impl Context {
    pub fn new(global: Global) -> Self {
        Self { out: Output::new(global.json, global.quiet), data: DataDir::new(&global.data), global }
    }

    /// A client of the server named by `--server`, else of the one started on the data directory. The latter's key is
    /// known from the data directory and is not asked from the server.
    pub fn client(&self) -> Result<Client, CliError> {
        self.client_of(self.global.server.as_deref())
    }

    /// Compliance proofs at the server of [`Context::client`].
    pub fn compliance(&self) -> Result<ComplianceClient, CliError> {
        let profile = self.data.profile()?;
        let url = match (&self.global.server, &profile) {
            (Some(url), _) => url.clone(),
            (None, Some(profile)) => profile.url.clone(),
            (None, None) => return Err(self.no_profile()),
        };
        let is_ours = profile.is_some_and(|profile| profile.url == url.trim_end_matches('/'));
        let api_key = match self.global.api_key.clone() {
            None if is_ours => self.data.api_key()?,
            given => given,
        };
        Ok(ComplianceClient::new(&url, api_key, Some(self.stream()?))?)
    }

    /// The same for `url`, where one is given.
    pub fn client_of(&self, url: Option<&str>) -> Result<Client, CliError> {
        let profile = self.data.profile()?;
        let is_ours =
            |url: &str| profile.as_ref().is_some_and(|profile| profile.url == url.trim_end_matches('/'));
        let given = self.global.api_key.clone();
        if let Some(url) = url
            && !is_ours(url)
        {
            return Ok(Client::new(url, given)?);
        }
        let profile = profile.ok_or_else(|| self.no_profile())?;
        let key = match given {
            Some(key) => Some(key),
            None => self.data.api_key()?,
        };
        Ok(Client::pinned(&profile.url, key, identity(&profile)?)?)
    }

    /// The stream that commands are about.
    pub fn stream(&self) -> Result<StreamKey, CliError> {
        if let (Some(tenant_id), Some(store_id)) = (self.global.tenant, self.global.store) {
            return Ok(StreamKey { tenant_id, store_id });
        }
        let stream = self.data.profile()?.ok_or_else(|| self.no_profile())?.stream();
        Ok(StreamKey {
            tenant_id: self.global.tenant.unwrap_or(stream.tenant_id),
            store_id: self.global.store.unwrap_or(stream.store_id),
        })
    }

    /// Where the keys live: what --keystore or KEYSTORE says.
    pub fn keys_in(&self) -> Result<KeysIn, CliError> {
        let word = self.global.keystore.map(KeystoreName::word);
        keys_in(std::env::vars_os(), word).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            CliError::input("CONFIGURATION", lines.join("\n  "))
        })
    }

    /// The keys, unlocked by the passphrase or the PIN.
    pub fn keystore(&self) -> Result<Box<dyn Keystore>, CliError> {
        self.keystore_by(passphrase::find)
    }

    /// The same for keys that are made: a person is asked twice for the first passphrase.
    pub fn keystore_for_new(&self) -> Result<Box<dyn Keystore>, CliError> {
        self.keystore_by(passphrase::find_for_new)
    }

    fn keystore_by(
        &self,
        find: impl FnOnce(Option<&Path>, &DataDir) -> Result<Passphrase, CliError>,
    ) -> Result<Box<dyn Keystore>, CliError> {
        let folder = self.data.keys();
        match self.keys_in()? {
            KeysIn::Files => {
                let passphrase = find(self.global.passphrase_file.as_deref(), &self.data)?;
                Ok(Box::new(FileKeystore::open(&folder, passphrase)?))
            }
            KeysIn::Token(token) => Ok(Box::new(Pkcs11Keystore::open(token.config(Some(folder))?)?)),
        }
    }

    /// The public parts of the keys.
    pub fn public_keystore(&self) -> Result<Box<dyn Keystore>, CliError> {
        let folder = self.data.keys();
        if let KeysIn::Token(token) = self.keys_in()? {
            return Ok(Box::new(Pkcs11Keystore::open(token.public_config(Some(folder)))?));
        }
        if !folder.is_dir() {
            return Err(CliError::input("NO_KEYS", format!("there are no keys in {}", folder.display()))
                .hint("`stateset up` makes the first ones, `stateset key generate` more"));
        }
        Ok(Box::new(FileKeystore::open_public(&folder)?))
    }

    fn no_profile(&self) -> CliError {
        let given = [
            ("--server", self.global.server.is_some()),
            ("--tenant", self.global.tenant.is_some()),
            ("--store", self.global.store.is_some()),
        ];
        let missing: Vec<&str> =
            given.into_iter().filter(|(_, is_given)| !is_given).map(|(name, _)| name).collect();
        CliError::input("NO_PROFILE", format!("no server was started on {}", self.data.path().display()))
            .hint(match &missing[..] {
                [] => "run `stateset up` there".to_owned(),
                [one] => format!("run `stateset up` there, or give {one}"),
                [several @ .., last] => {
                    format!("run `stateset up` there, or give {} and {last}", several.join(", "))
                }
            })
    }
}

/// The sequencer as the profile knows it.
pub fn identity(profile: &Profile) -> Result<Identity, CliError> {
    let key = PublicKey::from_bytes(&profile.sequencer_public_key.0).map_err(|problem| {
        CliError::failure("BAD_PROFILE", format!("the sequencer's key in the profile {problem}"))
    })?;
    let version = profile.sequencer_key_version;
    Ok(Identity { sequencer_id: profile.sequencer_id, key_version: version, keys: [(version, key)].into() })
}
