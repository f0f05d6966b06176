//! `stateset key rotate|export-public|backup|restore|destroy`: keys that are there already.

use std::path::PathBuf;

use base64ct::{Base64, Encoding as _};
use clap::Args;
use serde::Serialize;
use stateset_keystore::{Algorithm, KeyInfo, KeyName, KeystoreError};

use super::{KeyBody, refuse_split_for, text};
use crate::context::Context;
use crate::error::CliError;
use crate::files;
use crate::installation::{SEQUENCER_KEY, agent_of, label};

#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The key's name here; the new key takes it, and the old one stays as NAME.NUMBER
    pub name: KeyName,
}

#[derive(Debug, Args)]
pub struct ExportPublicArgs {
    /// The key's name here
    pub name: KeyName,
    /// Where to write it [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// A new file
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A file that `stateset key backup` wrote
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// The key's name here
    pub name: KeyName,
    /// Says that it is meant: nothing brings the key back
    #[arg(long)]
    pub yes: bool,
}

#[derive(Serialize)]
struct RotatedBody<'a> {
    key: KeyBody<'a>,
    /// Name under which the key of before is kept.
    kept: String,
}

#[derive(Serialize)]
struct BackupBody {
    file: String,
    keys: Vec<String>,
    /// In a token, which they can't leave.
    left_out: Vec<String>,
}

/// The old key gets its number as a further name, then the new one is made: what was signed and sealed stays readable.
pub fn rotate(context: &Context, args: &RotateArgs) -> Result<(), CliError> {
    if args.name.as_str() == SEQUENCER_KEY {
        return Err(CliError::input(
            "NOT_ROTATED",
            format!(
                "{SEQUENCER_KEY} signs the receipts of this installation, and clients know its public key"
            ),
        )
        .hint("a key of `stateset key rotate` belongs to an agent"));
    }
    let keys = context.keystore()?;
    let info = keys.info(&args.name)?;
    let (_, number) = agent_of(&info)?;
    let kept: KeyName = format!("{}.{}", args.name, number.0).parse()?;
    let next =
        number.0.checked_add(1).ok_or_else(|| CliError::input("NOT_ROTATED", "its number is the last"))?;
    let mut labels = info.labels.clone();
    labels.insert(label::KEY_ID.to_owned(), next.to_string());
    // A name that was left half-way by an earlier rotation is told before anything changes.
    if keys.info(&kept).is_ok() {
        return Err(KeystoreError::Exists { name: kept }.into());
    }
    keys.rename(&args.name, &kept)?;
    let made = match keys.generate(&args.name, info.algorithm, &labels) {
        Ok(made) => made,
        Err(error) => {
            keys.rename(&kept, &args.name)?;
            return Err(error.into());
        }
    };
    let old = match info.algorithm {
        Algorithm::Ed25519 => "revoke the old one at the server when nothing uses it",
        Algorithm::X25519 => "keep the old one as long as payloads sealed to it are to be read",
    };
    let said = format!(
        "{}The key of before is kept as {kept}. Register the new one with `stateset key register {}`; {old}.",
        text(&made),
        made.name
    );
    context.out.result(&RotatedBody { key: KeyBody::from(&made), kept: kept.to_string() }, &said);
    Ok(())
}

/// SubjectPublicKeyInfo of RFC 8410, as other programs read it.
pub fn export_public(context: &Context, args: &ExportPublicArgs) -> Result<(), CliError> {
    let info = context.public_keystore()?.info(&args.name)?;
    let pem = public_pem(&info);
    match &args.out {
        Some(path) => {
            files::write_text(&context.out, Some(path), &pem)?;
            context
                .out
                .result(&KeyBody::from(&info), &format!("Wrote the public key to {}.", path.display()));
        }
        None if context.global.json => context.out.result(&KeyBody::from(&info), &pem),
        None => context.out.raw(&pem),
    }
    Ok(())
}

fn public_pem(info: &KeyInfo) -> String {
    let oid_end = match info.algorithm {
        Algorithm::Ed25519 => 0x70,
        Algorithm::X25519 => 0x6e,
    };
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, oid_end, 0x03, 0x21, 0x00];
    let der = [&head[..], &info.public_key].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", Base64::encode_string(&der))
}

pub fn backup(context: &Context, args: &BackupArgs) -> Result<(), CliError> {
    let keys = context.public_keystore()?;
    let backup = keys.backup()?;
    files::create(&args.file, backup.text.as_bytes())
        .map_err(|error| CliError::io("write", &args.file, &error))?;
    let names = |names: &[KeyName]| names.iter().map(KeyName::to_string).collect::<Vec<_>>();
    let body = BackupBody {
        file: args.file.display().to_string(),
        keys: names(&backup.held),
        left_out: names(&backup.left_out),
    };
    let mut said = format!("Wrote {} keys to {}.", body.keys.len(), body.file);
    match body.left_out.as_slice() {
        [] => said += " What opens them is not in it: keep the passphrase elsewhere.",
        names => {
            said += &format!(
                " Not in it, since they can't leave the token: {}. What is in it is opened by this token alone; the token \
                 itself is copied with its maker's tool.",
                names.join(", ")
            );
        }
    }
    context.out.result(&body, &said);
    Ok(())
}

pub fn restore(context: &Context, args: &RestoreArgs) -> Result<(), CliError> {
    let backup = zeroize::Zeroizing::new(files::read_text(&args.file)?);
    refuse_split_for(context, "what is in the backup")?;
    let restored = context.keystore_for_new()?.restore(&backup)?;
    let bodies: Vec<KeyBody<'_>> = restored.iter().map(KeyBody::from).collect();
    let said = match restored.as_slice() {
        [] => "Every key of the backup is here already.".to_owned(),
        keys => keys.iter().map(text).collect::<String>(),
    };
    context.out.result(&bodies, &said);
    Ok(())
}

pub fn destroy(context: &Context, args: &DestroyArgs) -> Result<(), CliError> {
    let is_in_use = context.data.profile()?.is_some() && args.name.as_str() == SEQUENCER_KEY;
    if is_in_use {
        return Err(CliError::input(
            "KEY_IN_USE",
            format!(
                "{SEQUENCER_KEY} signs the receipts of the installation in {}",
                context.data.path().display()
            ),
        )
        .hint("remove the installation, or keep the key"));
    }
    let keys = match args.yes {
        true => context.keystore()?,
        false => context.public_keystore()?,
    };
    let info = keys.info(&args.name)?;
    if !args.yes {
        return Err(CliError::input("NOT_CONFIRMED", format!("{} would be gone for good", args.name))
            .hint(format!("if that is meant: stateset key destroy {} --yes", args.name)));
    }
    keys.destroy(&args.name)?;
    context.out.result(&KeyBody::from(&info), &format!("Destroyed {} ({}).", args.name, info.place));
    Ok(())
}
