//! `stateset-sync keys:…`

use std::collections::BTreeMap;

use serde::Serialize;
use stateset_client::{ClientError, KeyRegistration};
use stateset_keystore::{Algorithm, KeyInfo};
use ves::directory::DirectoryKey;
use ves::{AgentId, KeyId};
use ves_wire::keys::RevokeKeyRequest;

use crate::args::RevokeArgs;
use crate::failure::Failure;
use crate::home::{self, AGENT_LABEL, Config, Home, KEY_ID_LABEL, generation, key_id};

#[derive(Serialize)]
struct KeyBody {
    name: String,
    algorithm: String,
    /// `file`, `in-hsm` or `wrapped`.
    place: String,
    key_id: u32,
    public_key: String,
}

impl KeyBody {
    fn new(info: &KeyInfo) -> Result<Self, Failure> {
        Ok(Self {
            name: info.name.to_string(),
            algorithm: info.algorithm.to_string(),
            place: info.place.to_string(),
            key_id: key_id(info)?,
            public_key: ves::hex::encode(&info.public_key),
        })
    }
}

/// What a change of keys did.
#[derive(Serialize)]
struct Changed {
    keys: Vec<KeyBody>,
    /// False: nobody knows the keys yet.
    registered: bool,
    /// Events that waited and are signed by the new key now.
    signed_anew: u64,
    /// Sealed events that could not be, and stay under the old one.
    left: u64,
}

pub fn generate(home: &Home, offline: bool) -> Result<(), Failure> {
    let config = home.config()?;
    if !home.key_infos(&config)?.is_empty() {
        return Err(Failure::input("KEY_EXISTS", "the agent has keys already")
            .hint("`stateset-sync keys:rotate` makes new ones and keeps these"));
    }
    make(home, &config, 1, offline)
}

pub fn rotate(home: &Home, offline: bool) -> Result<(), Failure> {
    let config = home.config()?;
    let newest = home.key_infos(&config)?.iter().map(generation).max();
    let newest = newest.ok_or_else(|| {
        Failure::input("NO_KEYS", "the agent has no keys yet")
            .hint("`stateset-sync keys:generate` makes them")
    })?;
    make(home, &config, newest + 1, offline)
}

fn make(home: &Home, config: &Config, generation: u32, offline: bool) -> Result<(), Failure> {
    let keystore = home.keystore_for_new()?;
    let names = home.key_names(config)?;
    let mut made = Vec::new();
    for algorithm in [Algorithm::Ed25519, Algorithm::X25519] {
        // A kid is unique in its tenant, and nobody is asked: 31 random bits.
        let number = match algorithm {
            Algorithm::X25519 => (u32::from_be_bytes(home::random()?) >> 1).max(1),
            _ => generation,
        };
        let labels = BTreeMap::from([
            (AGENT_LABEL.to_owned(), config.agent_id.to_string()),
            (KEY_ID_LABEL.to_owned(), number.to_string()),
        ]);
        made.push(keystore.generate(&names.name(algorithm, generation)?, algorithm, &labels)?);
    }
    let registered = !offline && try_register(home, config, &made)?;
    let author = home.author(config)?;
    let anew = home.store(config)?.sign_anew(&author, &home.held(config)?)?;
    let keys = made.iter().map(KeyBody::new).collect::<Result<Vec<_>, _>>()?;
    let mut text: String = keys
        .iter()
        .map(|key| {
            format!("{:<12} {:<8} number {:<10} {}\n", key.name, key.algorithm, key.key_id, key.public_key)
        })
        .collect();
    text += match registered {
        true => "The server knows them.",
        false => "The server does not know them yet: `stateset-sync keys:register`, with an admin API key.",
    };
    if anew.signed > 0 {
        text += &format!("\n{} waiting events are signed by the new key.", anew.signed);
    }
    if anew.left > 0 {
        text += &format!(
            "\n{} sealed events that wait stay under the old key: fetch the keys of whom they are for with \
             `stateset-sync recipients`, and rotate again before you revoke it.",
            anew.left
        );
    }
    let (signed_anew, left) = (anew.signed, anew.left);
    home.out.result(&Changed { keys, registered, signed_anew, left }, &text);
    Ok(())
}

/// False when there is no server, or it does not let this caller register keys.
fn try_register(home: &Home, config: &Config, keys: &[KeyInfo]) -> Result<bool, Failure> {
    for key in keys {
        match register_one(home, config, key) {
            Ok(()) => {}
            Err(ClientError::Unreachable { .. } | ClientError::Refused { status: 401 | 403, .. }) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

fn register_one(home: &Home, config: &Config, key: &KeyInfo) -> Result<(), ClientError> {
    let other =
        |failure: Failure| ClientError::Unreadable { path: "keys".to_owned(), problem: failure.message };
    let client = home.client(config).map_err(other)?;
    let number = key_id(key).map_err(other)?;
    let registered = match key.algorithm {
        Algorithm::X25519 => {
            client.register_encryption_key(config.tenant_id, config.agent_id, number, key.public_key)
        }
        _ => {
            let keystore = home.keystore().map_err(other)?;
            let signer = keystore.signer(&key.name).map_err(|error| other(error.into()))?;
            let to = KeyRegistration {
                tenant_id: config.tenant_id,
                agent_id: config.agent_id,
                key_id: KeyId(number),
            };
            client.register_signing_key(&to, signer.as_ref())
        }
    };
    match registered {
        Ok(_) => Ok(()),
        // Registered before; the directory says whether it is this key.
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Registers every key that the server does not have, and holds what it has then against the keys that are here.
pub fn register(home: &Home) -> Result<(), Failure> {
    let config = home.config()?;
    let keys = home.key_infos(&config)?;
    if keys.is_empty() {
        return Err(Failure::input("NO_KEYS", "the agent has no keys yet")
            .hint("`stateset-sync keys:generate` makes them"));
    }
    for key in &keys {
        register_one(home, &config, key)?;
    }
    let (mut store, mut client) = (home.store(&config)?, home.client(&config)?);
    let directory = store.refresh_keys(&mut client, &config.identity()?, &config.agent_id, home::now())?;
    for key in &keys {
        let number = key_id(key)?;
        let listed = match key.algorithm {
            Algorithm::X25519 => &directory.encryption_keys,
            _ => &directory.signing_keys,
        };
        let held = listed.iter().find(|listed| listed.key_id == number);
        if held
            .is_none_or(|held| held.public_key.trim_start_matches("0x") != ves::hex::encode(&key.public_key))
        {
            let message =
                format!("the number {number} belongs to another key at the server than {}", key.name);
            return Err(Failure::failed("OTHER_KEY", message)
                .hint("make keys of other numbers with `stateset-sync keys:rotate`"));
        }
    }
    home.out.result(
        &directory,
        &format!("The server knows the {} keys of agent {}.", keys.len(), config.agent_id),
    );
    Ok(())
}

/// The service's name for a key that it does not have.
const UNKNOWN_KEY: &str = "AGENT_KEY_NOT_FOUND";

pub fn revoke(home: &Home, args: &RevokeArgs) -> Result<(), Failure> {
    let config = home.config()?;
    let request = RevokeKeyRequest {
        tenant_id: config.tenant_id,
        agent_id: config.agent_id,
        key_id: args.key_id,
        key_type: Some(if args.encryption { "encryption" } else { "signing" }.to_owned()),
        key_algorithm: None,
    };
    let revoked = home.client(&config)?.revoke_key(&request).map_err(|error| {
        let failure = Failure::from(error);
        match (failure.code.as_str(), args.encryption) {
            (UNKNOWN_KEY, false) => failure
                .hint("a signing key was looked for; of a key that opens what is sealed say --encryption"),
            (UNKNOWN_KEY, true) => failure.hint(
                "a key that opens what is sealed was looked for; of a signing key leave out --encryption",
            ),
            _ => failure,
        }
    })?;
    let stays = match args.encryption {
        true => {
            "Nothing more is sealed for it, once others have fetched the directory anew; what was sealed for it still opens"
        }
        false => "What it signed stays signed",
    };
    let text = format!(
        "Key {} is {}. {stays}; `stateset-sync keys:rotate` makes another.",
        revoked.key_id, revoked.status
    );
    home.out.result(&revoked, &text);
    Ok(())
}

pub fn list(home: &Home, agent: Option<AgentId>) -> Result<(), Failure> {
    let config = home.config()?;
    let Some(agent) = agent else {
        let keys = home.key_infos(&config)?.iter().map(KeyBody::new).collect::<Result<Vec<_>, _>>()?;
        let lines = keys.iter().map(|key| {
            let KeyBody { name, algorithm, place, key_id, public_key } = key;
            format!("{name:<12} {algorithm:<8} {place:<8} number {key_id:<10} {public_key}\n")
        });
        home.out.result(&keys, &lines.collect::<String>());
        return Ok(());
    };
    let (mut store, mut client) = (home.store(&config)?, home.client(&config)?);
    let directory = store.refresh_keys(&mut client, &config.identity()?, &agent, home::now())?;
    let line = |what: &str, key: &DirectoryKey| {
        format!("{what:<10} number {:<10} {:<8} {}\n", key.key_id, key.status, key.public_key)
    };
    let mut text = format!("Keys of agent {agent}, signed by the sequencer as of {}.\n", directory.as_of);
    text.extend(directory.signing_keys.iter().map(|key| line("signs", key)));
    text.extend(directory.encryption_keys.iter().map(|key| line("opens", key)));
    home.out.result(&directory, &text);
    Ok(())
}
