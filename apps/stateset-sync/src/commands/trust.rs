//! `stateset-sync trust`: the cure for `SEQUENCER_KEY_UNKNOWN`.

use ves_wire::Hex;

use crate::failure::Failure;
use crate::home::{self, Home};

/// Believes `key` from now on, under the version that the server has it under. Keys of before stay good for what they signed.
pub fn run(home: &Home, key: &str) -> Result<(), Failure> {
    let mut config = home.config()?;
    let key: [u8; 32] = ves::hex::decode_lenient(key)
        .map_err(|problem| Failure::input("BAD_KEY", format!("the key: {problem}")))?;
    let said = home.client(&config)?.unverified().sequencer()?;
    if said.sequencer_id != config.sequencer_id {
        let message = format!("the server is sequencer {}, not {}", said.sequencer_id, config.sequencer_id);
        return Err(Failure::failed("OTHER_SEQUENCER", message)
            .hint("another sequencer has another log: make a new folder with `stateset-sync init`"));
    }
    let current = [(said.key_version, said.public_key)];
    let named = said.keys.iter().map(|key| (key.key_version, key.public_key)).chain(current);
    let version = named.clone().find(|(_, named)| named.0 == key).map(|(version, _)| version);
    let version = version.ok_or_else(|| {
        Failure::failed("OTHER_SEQUENCER", "the server names no such key")
            .hint("do not use this server, or ask its operator for the key again")
    })?;
    if let Some(held) = config.sequencer_keys.get(&version)
        && held.0 != key
    {
        let message = format!("version {version} is another key in sync.json: no version is given twice");
        return Err(Failure::failed("OTHER_SEQUENCER", message).hint("do not use this server"));
    }
    config.sequencer_keys.insert(version, Hex(key));
    if config.sequencer_keys.contains_key(&said.key_version) {
        config.sequencer_key_version = said.key_version;
    }
    config.identity()?;
    home.write_config(&config)?;
    // What was seen of the new key is explained.
    home.store(&config)?.forget_faults("sequencer_key_unknown")?;
    let text = format!("Receipts of key version {version} are believed from now on.");
    home.out
        .result(&serde_json::json!({"key_version": version, "public_key": ves::hex::encode(&key)}), &text);
    Ok(())
}

impl Home {
    /// Writes `sync.json`.
    pub fn write_config(&self, config: &home::Config) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(config).expect("the configuration serialises to JSON");
        home::replace(&self.config_file(), &format!("{text}\n"))
    }
}
