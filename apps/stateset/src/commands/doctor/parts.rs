//! The parts that `doctor` looks at, each with what it found.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use stateset_client::Client;
use stateset_client::audit::{Keys, audit_beginning};
use stateset_sequencer_app::config::KeysIn;

use super::State;
use crate::context::{Context, identity};
use crate::data_dir::Profile;
use crate::pin::{self, Log};
use crate::store_source;

/// Less free space than this is a problem soon.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Events checked for the quick look into each stream.
const QUICK_EVENTS: u64 = 1000;

/// What a part says of itself; `Err` is a problem.
pub type Says = Result<(State, String), String>;

pub fn data(context: &Context, profile: Option<&Profile>) -> Says {
    let path = context.data.path();
    if profile.is_none() {
        return Ok((State::Note, format!("{} holds nothing yet; `stateset up` begins it", path.display())));
    }
    private(path, 0o700)?;
    private(&context.data.api_key_file(), 0o600)?;
    let lock = context.data.lock();
    let used = if lock.is_ok() { "no server runs on it" } else { "a server runs on it" };
    Ok((State::Ok, format!("{}, closed to others; {used}", path.display())))
}

fn private(path: &Path, allowed: u32) -> Result<(), String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path)
            .map_err(|error| format!("{}: {error}", path.display()))?
            .permissions()
            .mode()
            & 0o7777;
        if mode & !allowed != 0 {
            return Err(format!(
                "{} can be used by others (mode {mode:04o}): chmod {allowed:o} {0}",
                path.display()
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, allowed);
    Ok(())
}

/// Free bytes where the data lies, as `df` reports them: the standard library has no call for it.
pub fn space(path: &Path) -> Says {
    let place = path.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("."));
    let output = Command::new("df").args(["-Pk", "--"]).arg(place).output();
    let text = output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let kibibytes =
        text.as_deref().and_then(|text| text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok());
    match kibibytes.map(|n| n * 1024) {
        Some(free) if free < FREE_BYTES_MIN => Err(format!("only {} MiB are free", free >> 20)),
        Some(free) => Ok((State::Ok, format!("{:.1} GiB are free", free as f64 / f64::from(1u32 << 30)))),
        None => Ok((State::Note, "the system does not say how much is free".to_owned())),
    }
}

/// Receipts carry this clock's time, and keys are valid by it.
pub fn clock() -> Says {
    let now = SystemTime::now();
    let built_after = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600); // 1 January 2025
    if now < built_after {
        return Err("the clock is years behind; receipts would carry wrong times".to_owned());
    }
    let ms =
        now.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_millis() as i64).unwrap_or_default();
    Ok((State::Ok, format!("the machine's clock, {}", ves::TimestampMs(ms))))
}

pub fn keys(context: &Context, profile: Option<&Profile>) -> Says {
    let keys_in = context.keys_in().map_err(|error| error.message)?;
    let in_files = matches!(keys_in, KeysIn::Files);
    if in_files && !context.data.keys().is_dir() {
        return Ok((State::Note, "there are none yet".to_owned()));
    }
    let store = context.public_keystore().map_err(|error| error.message)?;
    let keys = store.list().map_err(|error| error.to_string())?;
    let sequencer = keys.iter().find(|key| key.name.as_str() == crate::installation::SEQUENCER_KEY);
    if profile
        .is_some_and(|profile| sequencer.is_none_or(|key| key.public_key != profile.sequencer_public_key.0))
    {
        return Err(format!(
            "{}: the key sequencer is missing or is not the one in profile.json",
            store.backing()
        ));
    }
    if !in_files {
        // Whether it can sign is known only after it did.
        let opened = context.keystore().map_err(|error| error.message)?;
        if let Some(key) = sequencer {
            opened.signer(&key.name).map_err(|error| error.to_string())?;
        }
        return Ok((State::Ok, format!("{} keys, {}; it signs", keys.len(), store.backing())));
    }
    let beside = context.data.passphrase_file().exists();
    let opened =
        if beside { "; the passphrase lies beside them" } else { "; the passphrase is not kept here" };
    Ok((
        if beside { State::Note } else { State::Ok },
        format!("{} keys, {}{opened}", keys.len(), store.backing()),
    ))
}

/// The first events of every stream, checked like `log verify` does.
pub fn store(context: &Context, profile: Option<&Profile>) -> Says {
    let file = context.data.store_file();
    let none = || Ok((State::Note, "there is none yet".to_owned()));
    let Some(profile) = profile else { return none() };
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let (source, place) = match pin::to_read(&context.data) {
        Ok(Log::Other(target)) => {
            let source = store_source::of(&target).map_err(|error| error.message)?;
            (source, target.database.to_string())
        }
        Ok(Log::Own) if !file.is_file() => return none(),
        Ok(Log::Own) => {
            let bytes = std::fs::metadata(&file).map_or(0, |found| found.len());
            let source = store_source::open(&file).map_err(|error| error.message)?;
            (source, format!("SQLite file {}, {} KiB", file.display(), bytes >> 10))
        }
        // Nothing is broken: only the password is elsewhere.
        Err(error) if error.code == "DATABASE_NOT_GIVEN" => {
            let hint = error.hint.unwrap_or_default();
            return Ok((State::Note, format!("{}; not looked at: {hint}", error.message)));
        }
        Err(error) => return Err(error.message),
    };
    let identity = identity(profile).map_err(|error| error.message)?;
    let streams = source.reader.streams().map_err(|error| said(&error))?;
    let mut events = 0;
    for summary in &streams {
        let agents = source.signing_keys(&summary.stream).map_err(|error| error.message)?;
        let keys = Keys { agents: &agents, sequencer: &identity };
        let report = audit_beginning(&source, &summary.stream, QUICK_EVENTS, &keys)?;
        if let Some(problem) = report.problems.first() {
            return Err(format!("{}: {problem}; run `stateset log verify`", summary.stream));
        }
        events += summary.head.get();
    }
    let says = format!(
        "{place}, {} streams, {events} events; up to {QUICK_EVENTS} of each were checked and hold",
        streams.len()
    );
    Ok((State::Ok, says))
}

pub fn server(context: &Context, profile: Option<&Profile>) -> Says {
    let url = context.global.server.as_deref().or(profile.map(|profile| profile.url.as_str()));
    let Some(url) = url else { return Ok((State::Note, "none is known".to_owned())) };
    let client = Client::new(url, None).map_err(|error| error.to_string())?;
    match client.health() {
        Ok(health) => Ok((
            State::Ok,
            format!("{} {} answers at {url}: {}", health.service, health.version, health.status),
        )),
        Err(error) => Ok((State::Note, format!("{error}; start it with `stateset up`"))),
    }
}
