//! From options and the data directory to an agent that can write and read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Deserialize;
use stateset_client::{Client, Identity};
use stateset_keystore::{Algorithm, KeyName, KeysIn, Keystore, Passphrase};
use stateset_mcp::{Invoices, Limits, Money};
use stateset_sync::{Author, Held};
use ves::ed25519::PublicKey;
use ves::seal::DecryptionKey;
use ves::{AgentId, KeyId, RecipientKeyId, SequencerId, StoreId, StreamKey, TenantId};
use ves_wire::Hex;

use crate::invoices::Desk;
use crate::ledger;
use crate::problem::Problem;

/// The variable that may hold the passphrase of the keys.
const PASSPHRASE: &str = "STATESET_PASSPHRASE";
/// The variable that may hold the API key.
const API_KEY: &str = "STATESET_API_KEY";

/// What every command takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Where keys and profile lie, as `stateset up` makes them
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "STATESET_DATA",
        hide_env_values = true,
        default_value = "./stateset-data"
    )]
    pub data: PathBuf,
    /// The server to synchronise with [default: the one of the profile]
    #[arg(long, global = true, value_name = "URL", env = "STATESET_URL", hide_env_values = true)]
    pub server: Option<String>,
    /// Name of the agent's signing key
    #[arg(long, global = true, value_name = "KEY", default_value = "agent")]
    pub key: KeyName,
    /// The company on the shared ledger whose invoices the tools are for [default: the only one of the data directory]
    #[arg(long, global = true, value_name = "ORG", env = "STATESET_ORG", hide_env_values = true)]
    pub org: Option<KeyName>,
    /// File whose first line opens the keys; STATESET_PASSPHRASE and DIR/keys/passphrase come after it
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Write one JSON document to stdout, and errors as JSON to stderr
    #[arg(long, global = true)]
    pub json: bool,
}

/// The part of `profile.json` that is needed here; it holds no secrets.
#[derive(Deserialize)]
struct Profile {
    url: String,
    tenant_id: TenantId,
    store_id: StoreId,
    sequencer_id: SequencerId,
    sequencer_public_key: Hex<32>,
    sequencer_key_version: u32,
}

/// An agent with everything it needs.
pub struct Agent {
    pub stream: StreamKey,
    pub author: Author,
    pub identity: Identity,
    pub url: String,
    /// Keys that open what is sealed for the agent.
    pub held: Arc<Vec<Held>>,
    api_key: Option<String>,
    /// A company's node on the shared ledger, where there is one.
    pub invoices: Option<Arc<dyn Invoices>>,
    /// Where its outbox and its journal lie.
    pub folder: PathBuf,
}

impl Agent {
    /// Opens the agent of the options; its folder is made where it is missing.
    ///
    /// # Errors
    /// [`Problem`], with what to do about it.
    pub fn open(options: &Options) -> Result<Self, Problem> {
        let profile = profile(&options.data)?;
        let keys = keystore(options)?;
        let info = keys.info(&options.key)?;
        let label = |label: &str| info.labels.get(label).map(String::as_str);
        let agent_id: Option<AgentId> = label("Agent").and_then(|text| text.parse().ok());
        let key_id: Option<u32> = label("Key-Id").and_then(|text| text.parse().ok());
        let (agent_id, key_id) = agent_id.zip(key_id).ok_or_else(|| {
            Problem::input("NO_AGENT", format!("the key {} belongs to no agent", options.key))
                .hint("make one with `stateset key generate NAME`")
        })?;
        let signer = keys.signer(&options.key)?;
        let public_key = PublicKey::from_bytes(&profile.sequencer_public_key.0)
            .map_err(|problem| Problem::failure("BAD_PROFILE", format!("the sequencer's key {problem}")))?;
        let version = profile.sequencer_key_version;
        let folder = options.data.join("agents").join(agent_id.to_string());
        private_folder(&folder)
            .map_err(|error| Problem::failure("IO", format!("{}: {error}", folder.display())))?;
        Ok(Self {
            stream: StreamKey { tenant_id: profile.tenant_id, store_id: profile.store_id },
            author: Author { agent_id, key_id: KeyId(key_id), signer },
            identity: Identity {
                sequencer_id: profile.sequencer_id,
                key_version: version,
                keys: [(version, public_key)].into(),
            },
            held: Arc::new(held(keys.as_ref(), &agent_id)?),
            api_key: api_key(options, &profile.url)?,
            url: options.server.clone().unwrap_or(profile.url),
            invoices: ledger::company(&options.data, options.org.as_ref())?
                .map(|node| Arc::new(Desk::of(node)) as Arc<dyn Invoices>),
            folder,
        })
    }

    /// An agent whose parts come from elsewhere; its server asks for no API key.
    ///
    /// - `folder`: where its outbox and its journal lie; it has to be there.
    pub fn new(stream: StreamKey, author: Author, identity: Identity, url: String, folder: PathBuf) -> Self {
        Self { stream, author, identity, url, held: Arc::default(), api_key: None, invoices: None, folder }
    }

    /// The same agent with keys that open what is sealed for it.
    pub fn holding(self, held: Vec<Held>) -> Self {
        Self { held: Arc::new(held), ..self }
    }

    /// A client that believes the sequencer of the profile alone. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Problem`] for an address that is none.
    pub fn client(&self) -> Result<Client, Problem> {
        Client::pinned(&self.url, self.api_key.clone(), self.identity.clone())
            .map_err(|error| Problem::input("BAD_ADDRESS", error))
    }
}

/// The keys of the node: in files, or in the token that `KEYSTORE=pkcs11` and `PKCS11_*` name.
fn keystore(options: &Options) -> Result<Box<dyn Keystore>, Problem> {
    let text_of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let keys_in = KeysIn::read(text_of).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Problem::input("CONFIGURATION", lines.join("\n  "))
    })?;
    keys_in.open(&options.data.join("keys"), options.key.as_str(), || passphrase(options))
}

/// Every key of the agent that opens sealed payloads; those of before a rotation open what was sealed then.
fn held(keys: &dyn Keystore, agent: &AgentId) -> Result<Vec<Held>, Problem> {
    let agent = agent.to_string();
    let opening = keys
        .list()?
        .into_iter()
        .filter(|key| key.algorithm == Algorithm::X25519 && key.labels.get("Agent") == Some(&agent));
    opening
        .filter_map(|key| Some((key.labels.get("Key-Id")?.parse().ok()?, key.name)))
        .map(|(kid, name)| {
            let key = keys.agreement_key(&name)?;
            Ok(Held { kid: RecipientKeyId(kid), key: DecryptionKey::from_bytes(*key.secret()) })
        })
        .collect()
}

fn profile(data: &Path) -> Result<Profile, Problem> {
    let path = data.join("profile.json");
    let text = fs::read_to_string(&path).map_err(|error| {
        Problem::input("NO_PROFILE", format!("{} cannot be read: {error}", path.display()))
            .hint("run `stateset up` there once, or copy the profile.json of the server; it holds no secrets")
    })?;
    serde_json::from_str(&text).map_err(|error| {
        Problem::failure("BAD_PROFILE", format!("{} cannot be read: {error}", path.display()))
    })
}

fn passphrase(options: &Options) -> Result<Passphrase, Problem> {
    let wrong = |error: &dyn std::fmt::Display| Problem::input("BAD_PASSPHRASE", error);
    if let Some(path) = &options.passphrase_file {
        return Passphrase::from_file(path).map_err(|error| wrong(&error));
    }
    if let Ok(text) = std::env::var(PASSPHRASE) {
        return Passphrase::new(text).map_err(|error| wrong(&error));
    }
    let beside = options.data.join("keys").join("passphrase");
    match beside.exists() {
        true => Passphrase::from_file(&beside).map_err(|error| wrong(&error)),
        // Stdin belongs to the protocol: nobody is asked.
        false => Err(Problem::input("NO_PASSPHRASE", "no passphrase for the keys was given")
            .hint(format!("use --passphrase-file or {PASSPHRASE}"))),
    }
}

/// From the environment; else the key of the data directory, which is for its own server alone.
fn api_key(options: &Options, own_url: &str) -> Result<Option<String>, Problem> {
    if let Ok(key) = std::env::var(API_KEY) {
        return Ok(Some(key));
    }
    let is_own = options.server.as_deref().is_none_or(|url| url.trim_end_matches('/') == own_url);
    let path = options.data.join("admin-api-key");
    if !is_own || !path.exists() {
        return Ok(None);
    }
    // The same rules as for a passphrase: its owner alone may read it, and it is one line.
    private_line(&path).map(Some)
}

/// The first line of a file that only its owner may read.
///
/// # Errors
/// [`Problem`] where others may read it, or it can't be read.
pub fn private_line(path: &Path) -> Result<String, Problem> {
    let failed = |error: std::io::Error| Problem::failure("IO", format!("{}: {error}", path.display()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
        if mode & !0o600 != 0 {
            let message = format!("{} can be read by others (mode {mode:04o})", path.display());
            return Err(Problem::failure("MODE_TOO_WIDE", message)
                .hint(format!("allow its owner only: chmod 600 {}", path.display())));
        }
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// What the agent may spend by itself.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// The agent may spend so much in one call without asking, as USD=500.00; may be repeated. A currency without a limit
    /// always asks
    #[arg(long = "limit", value_name = "CURRENCY=AMOUNT", value_parser = money)]
    pub call: Vec<Money>,
    /// The same for all calls of 24 hours
    #[arg(long = "limit-day", value_name = "CURRENCY=AMOUNT", value_parser = money)]
    pub day: Vec<Money>,
}

impl LimitArgs {
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for day in &self.day {
            limits.set_day(day.clone());
        }
        for call in &self.call {
            limits.set_call(call.clone());
        }
        limits
    }
}

fn money(text: &str) -> Result<Money, String> {
    let (currency, amount) = text.split_once('=').ok_or("must be CURRENCY=AMOUNT, such as USD=500.00")?;
    if !stateset_mcp::is_currency(currency) {
        return Err("the currency must be 3 to 12 capital letters or digits, such as USD".to_owned());
    }
    Money::read(amount, currency).map_err(|problem| format!("the amount {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_exactly_or_not_at_all() {
        assert_eq!(money("USD=500").unwrap().to_string(), "500.00 USD");
        for bad in ["USD", "usd=1", "USD=1.005", "USD=-1", "=1", "USD=", "USD=1e9"] {
            assert!(money(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_of_a_day_does_not_widen_that_of_a_call() {
        let of = |text: &str| money(text).unwrap();
        let limits = LimitArgs { call: vec![of("USD=5")], day: vec![of("USD=100")] }.limits();
        assert!(limits.asks(&of("USD=6"), 0).is_some());
        assert!(limits.asks(&of("USD=5"), 0).is_none());
    }
}
