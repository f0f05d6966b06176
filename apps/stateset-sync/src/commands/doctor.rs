//! `stateset-sync doctor`: what is wrong with this installation, and what to do about it.

use serde::Serialize;
use stateset_keystore::Algorithm;
use stateset_sync::{RESERVE_BYTES, Store};

use ves::TimestampMs;
use ves::directory::DirectoryKey;

use crate::args::TransportName;
use crate::failure::Failure;
use crate::home::{self, Config, Home, key_id};

#[derive(Serialize)]
struct Finding {
    name: &'static str,
    ok: bool,
    detail: String,
}

pub fn run(home: &Home) -> Result<(), Failure> {
    let mut found = Vec::new();
    let mut look = |name: &'static str, result: Result<String, Failure>| {
        let ok = result.is_ok();
        let detail = match result {
            Ok(text) => text,
            Err(failure) => match failure.hint {
                Some(hint) => format!("{}; {hint}", failure.message),
                None => failure.message,
            },
        };
        found.push(Finding { name, ok, detail });
    };
    let config = home.config();
    look("configuration", home.config().map(|config| format!("agent {}", config.agent_id)));
    if let Ok(config) = config {
        look("folder", home::refuse_wide_mode(&home.folder).map(|()| home.folder.display().to_string()));
        look("keys", keys(home, &config));
        look("file", file(home, &config));
        look("room", room(home));
        look("faults", faults(home, &config));
        look("server", server(home, &config));
        if config.transport == TransportName::Grpc {
            look("grpc", grpc(home, &config));
        }
        look("registration", registration(home, &config));
    }
    let text: String = found
        .iter()
        .map(|one| format!("{} {:<14} {}\n", if one.ok { "ok  " } else { "BAD " }, one.name, one.detail))
        .collect();
    home.out.result(&found, &text);
    match found.iter().filter(|one| !one.ok).count() {
        0 => Ok(()),
        bad => Err(Failure::failed("UNWELL", format!("{bad} of {} checks failed", found.len()))),
    }
}

fn keys(home: &Home, config: &Config) -> Result<String, Failure> {
    let newest = |algorithm| home.newest(config, algorithm);
    let (signing, opening) = (newest(Algorithm::Ed25519)?, newest(Algorithm::X25519)?);
    let keystore = home.keystore()?;
    keystore.sign(&signing.name, b"stateset-sync doctor: a probe that is no message of any protocol")?;
    keystore.agreement_key(&opening.name)?;
    Ok(format!("{} signs and {} opens, in {}", signing.name, opening.name, keystore.backing()))
}

fn file(home: &Home, config: &Config) -> Result<String, Failure> {
    let store = home.store(config)?;
    store.check_file()?;
    let counts = store.counts()?;
    Ok(format!("SQLite, whole; {} events wait, the replica ends at {}", counts.open(), store.replica_head()?))
}

fn room(home: &Home) -> Result<String, Failure> {
    Store::check_room(&home.database())?;
    Ok(format!("there is some, and a reserve of {} KiB for a prune without", RESERVE_BYTES >> 10))
}

fn faults(home: &Home, config: &Config) -> Result<String, Failure> {
    let faults = home.store(config)?.faults()?;
    match faults.first() {
        None => Ok("no server was caught at anything".to_owned()),
        Some(newest) => Err(Failure::failed(
            "FAULTS",
            format!("{}, the newest {}: {}", faults.len(), newest.code, newest.message),
        )),
    }
}

fn server(home: &Home, config: &Config) -> Result<String, Failure> {
    let client = home.client(config)?;
    let said = client.unverified().sequencer()?;
    let pinned = config.sequencer_keys.get(&said.key_version);
    if said.sequencer_id != config.sequencer_id || pinned != Some(&said.public_key) {
        return Err(Failure::failed("OTHER_SEQUENCER", "it signs with another key than sync.json names")
            .hint("ask its operator; if the key was rotated, `stateset-sync trust HEX` takes the new one"));
    }
    let off = (client.health()?.timestamp.0.0 - home::now().0).abs();
    if off > ves::directory::CLOCK_SKEW_MS_MAX {
        return Err(Failure::failed("CLOCK", format!("the clocks differ by {} s", off / 1000))
            .hint("key directories are believed for a minute: set the clock"));
    }
    Ok(format!("{} signs with the key that is pinned", config.server))
}

fn grpc(home: &Home, config: &Config) -> Result<String, Failure> {
    let mut events = home.grpc(config)?;
    events.open()?;
    Ok(format!("{} answers on a SyncStream", events.url()))
}

fn registration(home: &Home, config: &Config) -> Result<String, Failure> {
    let key = home.newest(config, Algorithm::Ed25519)?;
    let (mut store, mut client) = (home.store(config)?, home.client(config)?);
    let now = home::now();
    let directory = store.refresh_keys(&mut client, &config.identity()?, &config.agent_id, now)?;
    let opening = home.newest(config, Algorithm::X25519)?;
    is_usable("signing", key_id(&key)?, &directory.signing_keys, now)?;
    is_usable("opening", key_id(&opening)?, &directory.encryption_keys, now)?;
    Ok(format!("signing key {} and opening key {} are registered", key_id(&key)?, key_id(&opening)?))
}

/// Whether a key that is used here is one that the server knows, and neither revoked nor ended.
fn is_usable(kind: &str, number: u32, listed: &[DirectoryKey], now: TimestampMs) -> Result<(), Failure> {
    match listed.iter().find(|listed| listed.key_id == number).map(|listed| listed.check_at(now)) {
        Some(Ok(())) => Ok(()),
        Some(Err(problem)) => Err(Failure::failed("KEY", format!("{kind} key {number} {problem}"))
            .hint("make another with `stateset-sync keys:rotate`")),
        None => Err(Failure::failed("KEY", format!("{kind} key {number} is not registered"))
            .hint("`stateset-sync keys:register`, with an admin API key")),
    }
}
