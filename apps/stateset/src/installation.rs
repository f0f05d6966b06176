//! The first start: keys, admin key, identity. Later starts find them again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stateset_keystore::{
    Algorithm, BackEnd, FileKeystore, KeyInfo, KeyName, KeyPlace, Keystore, KeystoreError, Passphrase,
    Pkcs11Keystore, refuse_split,
};
use stateset_sequencer_api::mint_key_text;
use stateset_sequencer_app::config::KeysIn;
use ves::ed25519::Signer;
use ves::keys::{AgentKey, KeyAlgorithm, KeyStatus};
use ves::{AgentId, KeyId, SequencerId, StoreId, TenantId, TimestampMs};
use ves_wire::Hex;

use crate::data_dir::{DataDir, Profile};
use crate::error::CliError;
use crate::{files, passphrase};

/// Name of the key that signs receipts.
pub const SEQUENCER_KEY: &str = "sequencer";
/// Name of the first agent's signing key.
pub const AGENT_KEY: &str = "agent";
/// Version of the sequencer's key until it is rotated.
const KEY_VERSION: u32 = 1;

/// Labels of key files.
pub mod label {
    pub const AGENT: &str = "Agent";
    pub const KEY_ID: &str = "Key-Id";
    pub const SEQUENCER: &str = "Sequencer-Id";
    pub const KEY_VERSION: &str = "Key-Version";
}

/// An installation, ready to be started.
pub struct Installation {
    pub profile: Profile,
    pub signer: Arc<dyn Signer>,
    pub api_key: String,
    /// The first agent's key, to be registered: the operator made it, so no proof is asked of him.
    pub agent_key: AgentKey,
    /// What was made now, in sentences. Empty on a later start.
    pub made: Vec<String>,
}

impl Installation {
    /// Opens the installation in `data` whose keys live where `keys_in` says, making what is missing. The caller holds the
    /// directory's lock.
    pub fn open_in(
        data: &DataDir,
        keys_in: &KeysIn,
        passphrase_file: Option<&Path>,
        url: &str,
        now: TimestampMs,
    ) -> Result<Self, CliError> {
        let KeysIn::Token(token) = keys_in else { return Self::open(data, passphrase_file, url, now) };
        refuse_split(&data.keys(), SEQUENCER_KEY, BackEnd::Pkcs11)?;
        let keys = Pkcs11Keystore::open(token.config(Some(data.keys()))?)?;
        Self::with(data, &keys, url, now, Vec::new())
    }

    /// The same with keys in files.
    pub fn open(
        data: &DataDir,
        passphrase_file: Option<&Path>,
        url: &str,
        now: TimestampMs,
    ) -> Result<Self, CliError> {
        refuse_split(&data.keys(), SEQUENCER_KEY, BackEnd::File)?;
        refuse_elsewhere(data)?;
        let mut made = Vec::new();
        let passphrase = passphrase_or_new(data, passphrase_file, &mut made)?;
        let keys = FileKeystore::open(&data.keys(), passphrase)?;
        Self::with(data, &keys, url, now, made)
    }

    fn with(
        data: &DataDir,
        keys: &dyn Keystore,
        url: &str,
        now: TimestampMs,
        mut made: Vec<String>,
    ) -> Result<Self, CliError> {
        let profile = match data.profile()? {
            Some(profile) => Profile { url: url.to_owned(), ..profile },
            None => new_profile(keys, url, &mut made)?,
        };
        let signer = keys.signer(&name(SEQUENCER_KEY))?;
        if signer.public_key() != profile.sequencer_public_key.0 {
            return Err(CliError::failure("OTHER_KEY", "the sequencer's key is not the one in profile.json")
                .hint(format!(
                    "it is the one in {}; restore the key or the profile from a backup",
                    keys.backing()
                )));
        }
        let agent_key = agent_key(keys, &profile, now)?;
        let api_key = api_key_or_new(data, &mut made)?;
        data.write_profile(&profile)?;
        Ok(Self { profile, signer, api_key, agent_key, made })
    }
}

impl Installation {
    /// Notes the version under which the log knows the sequencer's key.
    pub fn recorded_as(&mut self, version: u32, data: &DataDir) -> Result<(), CliError> {
        if self.profile.sequencer_key_version != version {
            self.profile.sequencer_key_version = version;
            data.write_profile(&self.profile)?;
        }
        Ok(())
    }

    /// Notes where gRPC listens at this start, if it does.
    pub fn with_grpc(&mut self, url: Option<String>, data: &DataDir) -> Result<(), CliError> {
        if self.profile.grpc_url != url {
            self.profile.grpc_url = url;
            data.write_profile(&self.profile)?;
        }
        Ok(())
    }

    /// Notes the database whose log was opened: from now on it is the only one.
    pub fn pinned_to(&mut self, database: String, data: &DataDir) -> Result<(), CliError> {
        if self.profile.database.as_ref() != Some(&database) {
            self.profile.database = Some(database);
            data.write_profile(&self.profile)?;
        }
        Ok(())
    }
}

/// An installation whose sequencer's key is in no file has it in a token, of which the folder may hold no trace.
fn refuse_elsewhere(data: &DataDir) -> Result<(), CliError> {
    let file = data.keys().join(format!("{SEQUENCER_KEY}.pem"));
    if data.profile()?.is_none() || file.exists() {
        return Ok(());
    }
    let message = format!("{} has a profile.json, and {} is missing", data.path().display(), file.display());
    Err(CliError::failure("KEYS_ELSEWHERE", message)
        .hint("keys that were made in a token are there: set KEYSTORE=pkcs11 as at the first start; else restore the file from a backup"))
}

fn passphrase_or_new(
    data: &DataDir,
    file: Option<&Path>,
    made: &mut Vec<String>,
) -> Result<Passphrase, CliError> {
    if let Some(passphrase) = passphrase::without_asking(file, data)? {
        return Ok(passphrase);
    }
    if data.keys().join(format!("{SEQUENCER_KEY}.pem")).exists() {
        return passphrase::find(file, data);
    }
    let (folder, path) = (data.keys(), data.passphrase_file());
    files::make_private_folder(&folder).map_err(|error| CliError::io("make", &folder, &error))?;
    let passphrase = Passphrase::random()?;
    passphrase.keep_in_file(&path)?;
    made.push(format!(
        "No passphrase was given, so a random one opens the keys. It lies beside them in {}: whoever reads that file \
         can use the keys. Give your own with {} or --passphrase-file on a first start.",
        path.display(),
        passphrase::VARIABLE
    ));
    Ok(passphrase)
}

/// Makes the keys that are missing and the ids of the default stream.
fn new_profile(keys: &dyn Keystore, url: &str, made: &mut Vec<String>) -> Result<Profile, CliError> {
    let sequencer = match keys.info(&name(SEQUENCER_KEY)) {
        Ok(info) => info,
        Err(KeystoreError::NotFound { .. }) => {
            let id = SequencerId::random(random()?);
            let labels = [(label::SEQUENCER, id.to_string()), (label::KEY_VERSION, KEY_VERSION.to_string())];
            let info = keys.generate(&name(SEQUENCER_KEY), Algorithm::Ed25519, &owned(labels))?;
            made.push(format!("Made the sequencer's signing key, {}.", place_of(&info)));
            info
        }
        Err(error) => return Err(error.into()),
    };
    if let Err(KeystoreError::NotFound { .. }) = keys.info(&name(AGENT_KEY)) {
        let labels =
            [(label::AGENT, AgentId::random(random()?).to_string()), (label::KEY_ID, "1".to_owned())];
        let info = keys.generate(&name(AGENT_KEY), Algorithm::Ed25519, &owned(labels))?;
        made.push(format!("Made a first agent's signing key, {}.", place_of(&info)));
    }
    let label = |label: &str| sequencer.labels.get(label).map(String::as_str);
    let bad_label =
        || CliError::failure("BAD_KEY_FILE", format!("{} lacks its labels", place_of(&sequencer)));
    Ok(Profile {
        url: url.to_owned(),
        grpc_url: None,
        tenant_id: TenantId::random(random()?),
        store_id: StoreId::random(random()?),
        sequencer_id: label(label::SEQUENCER).and_then(|text| text.parse().ok()).ok_or_else(bad_label)?,
        sequencer_public_key: Hex(sequencer.public_key),
        sequencer_key_version: label(label::KEY_VERSION)
            .and_then(|text| text.parse().ok())
            .ok_or_else(bad_label)?,
        database: None,
    })
}

/// Where a key lies, for a person.
fn place_of(info: &KeyInfo) -> String {
    match info.place {
        KeyPlace::File => format!("keys/{}.pem", info.name),
        KeyPlace::InHsm => format!("{} in the token", info.name),
        KeyPlace::Wrapped => format!("keys/{}.wrapped", info.name),
    }
}

fn agent_key(keys: &dyn Keystore, profile: &Profile, now: TimestampMs) -> Result<AgentKey, CliError> {
    let info = keys.info(&name(AGENT_KEY))?;
    let (agent_id, key_id) = agent_of(&info)?;
    Ok(AgentKey {
        tenant_id: profile.tenant_id,
        agent_id,
        key_id,
        public_key: info.public_key,
        algorithm: KeyAlgorithm::Ed25519,
        ml_dsa_65: None,
        status: KeyStatus::Active,
        valid_from: None,
        valid_to: None,
        revoked_at: None,
        created_at: now,
        metadata: None,
    })
}

/// The agent and key number that a key file names.
pub fn agent_of(info: &stateset_keystore::KeyInfo) -> Result<(AgentId, KeyId), CliError> {
    let label = |label: &str| info.labels.get(label).map(String::as_str);
    let agent = label(label::AGENT).and_then(|text| text.parse().ok());
    let key_id = label(label::KEY_ID).and_then(|text| text.parse().ok()).map(KeyId);
    agent.zip(key_id).ok_or_else(|| {
        CliError::input("NO_AGENT", format!("the key {} belongs to no agent", info.name))
            .hint("make one with `stateset key generate NAME`")
    })
}

fn api_key_or_new(data: &DataDir, made: &mut Vec<String>) -> Result<String, CliError> {
    let path = data.api_key_file();
    if let Some(key) = data.api_key()? {
        return Ok(key);
    }
    let minted = mint_key_text(&TenantId::from_bytes([0; 16]));
    let key = minted.map_err(|error| CliError::failure("NO_RANDOMNESS", error.to_string()))?;
    files::replace(&path, format!("{key}\n").as_bytes())
        .map_err(|error| CliError::io("write", &path, &error))?;
    made.push(format!("Made an admin API key; it lies in {} and is not shown.", path.display()));
    Ok(key)
}

pub fn name(text: &str) -> KeyName {
    text.parse().expect("the names above are key names")
}

pub fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| CliError::failure("NO_RANDOMNESS", error.to_string()))?;
    Ok(bytes)
}

fn owned<const N: usize>(labels: [(&str, String); N]) -> BTreeMap<String, String> {
    labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect()
}
