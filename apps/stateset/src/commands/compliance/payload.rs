//! The payload of an event in clear, from wherever its reader may have it.

use std::path::Path;

use stateset_client::PulledEvent;
use ves::seal::OpenedPayload;
use ves::{Payload, PayloadSalt};
use ves_stark_client::PlainPayload;
use zeroize::Zeroizing;

use super::ProveArgs;
use crate::commands::event::open;
use crate::context::Context;
use crate::error::CliError;
use crate::files;

/// Secret where the event is sealed; wiped when dropped.
pub struct ClearPayload {
    /// As it was written where it was found, so that no digit of an amount is lost.
    pub text: Zeroizing<String>,
    canonical: Zeroizing<String>,
    /// Of a sealed event, where it is known.
    salt: Option<PayloadSalt>,
}

impl ClearPayload {
    /// What the event hashes, for level `circuit`.
    ///
    /// # Errors
    /// Where the event is sealed and the salt is not known.
    pub fn hashed(&self, event: &PulledEvent) -> Result<PlainPayload<'_>, CliError> {
        match (&event.envelope.payload, &self.salt) {
            (Payload::Encrypted(_), None) => Err(CliError::input(
                "NO_SALT",
                "a sealed payload is hashed with its salt, which the payload's file does not hold",
            )
            .hint("give it with --payload-salt FILE; --open KEY finds it inside the event")),
            (_, salt) => Ok(PlainPayload { canonical: &self.canonical, salt: salt.as_ref() }),
        }
    }
}

/// The payload in clear, of which the event holds the hash.
pub fn clear_payload(
    context: &Context,
    args: &ProveArgs,
    event: &PulledEvent,
) -> Result<ClearPayload, CliError> {
    if let Some(file) = &args.payload {
        return in_file(file, args.payload_salt.as_deref(), event);
    }
    match (&event.envelope.payload, &args.open) {
        (Payload::Plain(text), _) => {
            let text = Zeroizing::new(text.to_string());
            Ok(ClearPayload { canonical: text.clone(), text, salt: None })
        }
        (Payload::Encrypted(_), Some(name)) => {
            let OpenedPayload { canonical, salt } = open(context, name, event)?;
            Ok(ClearPayload { text: canonical.clone(), canonical, salt: Some(salt) })
        }
        (Payload::Encrypted(_), None) => Err(CliError::input("SEALED", "the payload is sealed")
            .hint("open it with --open KEY, or give --opening FILE or --payload FILE")),
    }
}

fn in_file(file: &Path, salt: Option<&Path>, event: &PulledEvent) -> Result<ClearPayload, CliError> {
    let text = Zeroizing::new(files::read_text(file)?);
    let canonical =
        ves::json::canonicalize(&text).map_err(|error| CliError::input("BAD_PAYLOAD", error.to_string()))?;
    let canonical = Zeroizing::new(canonical.into_owned());
    let salt = salt.map(read_salt).transpose()?;
    let hash = match (&event.envelope.payload, &salt) {
        (Payload::Plain(_), None) => Some(ves::event::plain_hash(&canonical)),
        (Payload::Plain(_), Some(_)) => {
            return Err(CliError::input("USAGE", "the event is not sealed: its payload has no salt"));
        }
        (Payload::Encrypted(_), Some(salt)) => Some(salt.plain_hash(&canonical)),
        // The hash of a sealed payload is salted: without the salt nothing can be compared.
        (Payload::Encrypted(_), None) => None,
    };
    if hash.is_some_and(|hash| hash != event.envelope.payload_plain_hash) {
        return Err(CliError::input("OTHER_PAYLOAD", "the file is not the payload of this event"));
    }
    Ok(ClearPayload { text, canonical, salt })
}

fn read_salt(file: &Path) -> Result<PayloadSalt, CliError> {
    let text = Zeroizing::new(files::read_text(file)?);
    PayloadSalt::from_hex(text.trim()).map_err(|error| {
        CliError::input("BAD_SALT", format!("{}: {error}", file.display()))
            .hint("32 hex digits, as `event sign --keep-salt` and `event show --keep-salt` write them")
    })
}

/// Keeps a salt in a new file that its owner alone can read.
///
/// # Errors
/// Where a file of that name is there, which stays as it is.
pub fn keep_salt(file: &Path, salt: &PayloadSalt) -> Result<(), CliError> {
    let text = Zeroizing::new(format!("{}\n", *salt.to_hex()));
    files::create(file, text.as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => salt_exists(file),
        _ => CliError::io("write", file, &error),
    })
}

/// Asked before any work: a sealed event whose salt is replaced cannot be proved about at level `circuit` by whoever
/// has no key to open it.
pub fn check_new_salt(file: Option<&Path>) -> Result<(), CliError> {
    match file {
        Some(file) if file == Path::new("-") => Err(no_stdout("--keep-salt")),
        Some(file) if file.symlink_metadata().is_ok() => Err(salt_exists(file)),
        _ => Ok(()),
    }
}

/// Of a secret that `option` keeps.
pub fn no_stdout(option: &str) -> CliError {
    let message =
        format!("{option} takes a file and not -: what it keeps is secret, and stdout is for the result");
    CliError::input("USAGE", message).hint("name a file that is not there yet")
}

/// Asked before any work: the result would be written over the secret that it was made with.
pub fn check_apart(option: &str, kept: Option<&Path>, out: Option<&Path>) -> Result<(), CliError> {
    match (kept, out) {
        (Some(kept), Some(out)) if files::is_same(kept, out) => {
            let message = format!("{option} and --out both name {}", out.display());
            Err(CliError::input("USAGE", message).hint("what is kept is secret: name two files"))
        }
        _ => Ok(()),
    }
}

fn salt_exists(file: &Path) -> CliError {
    let message =
        format!("{} is there already, and may be the only salt of a sealed payload", file.display());
    CliError::input("EXISTS", message).hint("name another file with --keep-salt, or move this one away")
}
