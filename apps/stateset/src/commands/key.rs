//! `stateset key`

mod keep;

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use stateset_client::KeyRegistration;
use stateset_keystore::{Algorithm, BackEnd, KeyInfo, KeyName, refuse_split};
use stateset_sequencer::{Clock as _, SystemClock};
use stateset_sequencer_app::config::KeysIn;
use ves::directory::DirectoryKey;
use ves::{AgentId, KeyId, SequenceNumber};

use crate::context::Context;
use crate::error::{CliError, printable};
use crate::installation::{agent_of, label, random};

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and keep it encrypted
    Generate(GenerateArgs),
    /// List the public parts of all keys
    List(ListArgs),
    /// Show the public part of one key
    Show(NameArgs),
    /// Register a key with the server; a signing key proves that it is held
    Register(NameArgs),
    /// Make the next key of the same agent under this name, and keep the old one under another
    Rotate(keep::RotateArgs),
    /// Write the public key as PEM
    ExportPublic(keep::ExportPublicArgs),
    /// Write what may leave the keystore, encrypted as it is, to a new file
    Backup(keep::BackupArgs),
    /// Put back what a backup holds
    Restore(keep::RestoreArgs),
    /// Forget a key for good
    Destroy(keep::DestroyArgs),
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What to call it here
    pub name: KeyName,
    /// ed25519 signs events, x25519 opens payloads sealed to it
    #[arg(long, value_enum, default_value = "ed25519")]
    pub algorithm: AlgorithmName,
    /// The agent it belongs to [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub agent: Option<AgentId>,
    /// Its number: among the agent's signing keys, or, for x25519, unique in the tenant
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub key_id: u32,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Ask the server for its signed directory of this agent's keys instead
    #[arg(long, value_name = "UUID")]
    pub agent: Option<AgentId>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum AlgorithmName {
    Ed25519,
    X25519,
}

#[derive(Debug, Args)]
pub struct NameArgs {
    /// The key's name here
    pub name: KeyName,
}

#[derive(Serialize)]
struct KeyBody<'a> {
    name: &'a str,
    algorithm: String,
    public_key: String,
    /// `file`, `in-hsm` or `wrapped`.
    place: String,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a KeyInfo> for KeyBody<'a> {
    fn from(info: &'a KeyInfo) -> Self {
        Self {
            name: info.name.as_str(),
            algorithm: info.algorithm.to_string(),
            public_key: ves::hex::encode(&info.public_key),
            place: info.place.to_string(),
            labels: &info.labels,
        }
    }
}

pub fn run(context: &Context, command: &KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Generate(args) => generate(context, args),
        KeyCommand::List(ListArgs { agent: None }) => list(context),
        KeyCommand::List(ListArgs { agent: Some(agent) }) => directory(context, agent),
        KeyCommand::Show(args) => {
            let info = context.public_keystore()?.info(&args.name)?;
            context.out.result(&KeyBody::from(&info), &text(&info));
            Ok(())
        }
        KeyCommand::Register(args) => register(context, &args.name),
        KeyCommand::Rotate(args) => keep::rotate(context, args),
        KeyCommand::ExportPublic(args) => keep::export_public(context, args),
        KeyCommand::Backup(args) => keep::backup(context, args),
        KeyCommand::Restore(args) => keep::restore(context, args),
        KeyCommand::Destroy(args) => keep::destroy(context, args),
    }
}

fn generate(context: &Context, args: &GenerateArgs) -> Result<(), CliError> {
    let agent = match args.agent {
        Some(agent) => agent,
        None => AgentId::random(random()?),
    };
    let labels = BTreeMap::from([
        (label::AGENT.to_owned(), agent.to_string()),
        (label::KEY_ID.to_owned(), args.key_id.to_string()),
    ]);
    let algorithm = match args.algorithm {
        AlgorithmName::Ed25519 => Algorithm::Ed25519,
        AlgorithmName::X25519 => Algorithm::X25519,
    };
    refuse_split_for(context, args.name.as_str())?;
    let info = context.keystore_for_new()?.generate(&args.name, algorithm, &labels)?;
    let next = format!("{}Register it with `stateset key register {}`.", text(&info), info.name);
    context.out.result(&KeyBody::from(&info), &next);
    Ok(())
}

/// Refuses a key that would live elsewhere than those in the data directory.
fn refuse_split_for(context: &Context, name: &str) -> Result<(), CliError> {
    let chosen = match context.keys_in()? {
        KeysIn::Files => BackEnd::File,
        KeysIn::Token(_) => BackEnd::Pkcs11,
    };
    Ok(refuse_split(&context.data.keys(), name, chosen)?)
}

fn list(context: &Context) -> Result<(), CliError> {
    let keys = context.public_keystore()?.list()?;
    let bodies: Vec<KeyBody<'_>> = keys.iter().map(KeyBody::from).collect();
    let lines = keys.iter().map(|key| {
        let agent = key.labels.get(label::AGENT).map(String::as_str).unwrap_or("-");
        format!(
            "{:<16} {:<8} {:<8} {}  agent {agent}\n",
            key.name.as_str(),
            key.algorithm.to_string(),
            key.place.to_string(),
            ves::hex::encode(&key.public_key)
        )
    });
    context.out.result(&bodies, &lines.collect::<String>());
    Ok(())
}

/// The keys of an agent as the server signed them; an answer that is forged, old or behind is an error.
fn directory(context: &Context, agent: &AgentId) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let directory = client.key_directory(&stream, agent, SequenceNumber::ZERO, SystemClock.now())?;
    let line = |what: &str, key: &DirectoryKey| {
        let algorithm =
            key.algorithm().map_or_else(|| format!("{}", key.key_algorithm), |known| format!("{known:?}"));
        format!("{what:<10} {:<10} {algorithm:<16} {}\n", key.key_id, printable(&key.status))
    };
    let mut text = format!("Keys of agent {agent}, signed by the server as of {}.\n", directory.as_of);
    text.extend(directory.signing_keys.iter().map(|key| line("signing", key)));
    text.extend(directory.encryption_keys.iter().map(|key| line("encryption", key)));
    context.out.result(&directory, &text);
    Ok(())
}

fn register(context: &Context, name: &KeyName) -> Result<(), CliError> {
    let (client, tenant_id) = (context.client()?, context.stream()?.tenant_id);
    let info = context.public_keystore()?.info(name)?;
    let (agent_id, key_id) = agent_of(&info)?;
    let answer = match info.algorithm {
        Algorithm::Ed25519 => {
            let signer = context.keystore()?.signer(name)?;
            client.register_signing_key(&KeyRegistration { tenant_id, agent_id, key_id }, signer.as_ref())?
        }
        Algorithm::X25519 => {
            client.register_encryption_key(tenant_id, agent_id, key_id.0, info.public_key)?
        }
    };
    let KeyId(number) = key_id;
    context.out.result(
        &answer,
        &format!("Registered {name} as key {number} of agent {agent_id}: {}", printable(&answer.message)),
    );
    Ok(())
}

fn text(info: &KeyInfo) -> String {
    let mut text =
        format!("{}  {}\n  public key  {}\n", info.name, info.algorithm, ves::hex::encode(&info.public_key));
    text += &format!("  place       {}\n", info.place);
    for (label, value) in &info.labels {
        text += &format!("  {label:<11} {value}\n");
    }
    text
}
