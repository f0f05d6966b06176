//! The folder of one agent: what lies where.
//!
//! ```text
//! DIR/            0700
//!   sync.json     server, stream, agent, whose receipts to believe; no secrets
//!   api-key       0600, what the server is shown
//!   keys/         0700, encrypted keys; keys/passphrase 0600 when none was given; with KEYSTORE=pkcs11 the keys that a
//!                 token wrapped, the others being in it
//!   sync.db       outbox and replica; beside it sync.db.lock, held while it synchronises, and sync.db.reserve, room for
//!                 a prune on a full disk
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stateset_client::{Client, GrpcClient, Identity};
use stateset_keystore::{Algorithm, KeyInfo, KeyName, KeysIn, Keystore, Passphrase, refuse_split};
use stateset_sync::{Author, Held, OverGrpc, Store, Transport};
use ves::ed25519::PublicKey;
use ves::seal::{DecryptionKey, Recipient};
use ves::{AgentId, KeyId, RecipientKeyId, SequencerId, StoreId, StreamKey, TenantId, TimestampMs};
use ves_wire::Hex;

use crate::args::{Global, TransportName};
use crate::failure::Failure;
use crate::output::Output;

/// Input larger than this is not read into memory.
const INPUT_BYTES_MAX: u64 = 256 << 20;
/// How a refusal of a split keystore calls what would lie elsewhere.
const AGENTS_KEY: &str = "the agent's key";
/// Labels of a key file.
pub const AGENT_LABEL: &str = "agent";
pub const KEY_ID_LABEL: &str = "key-id";

/// What `sync.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: String,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub agent_id: AgentId,
    pub sequencer_id: SequencerId,
    /// The version that signs now.
    pub sequencer_key_version: u32,
    /// Keys that sign receipts, by version. A receipt of any other is wrong.
    pub sequencer_keys: BTreeMap<u32, Hex<32>>,
    /// What to do about conflicts.
    pub strategy: String,
    /// How events are pushed and pulled.
    #[serde(default)]
    pub transport: TransportName,
    /// Where they are with `grpc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_server: Option<String>,
}

impl Config {
    pub fn stream(&self) -> StreamKey {
        StreamKey { tenant_id: self.tenant_id, store_id: self.store_id }
    }

    /// The server for a person, with the door that events take.
    pub fn reached_at(&self) -> String {
        match &self.grpc_server {
            Some(grpc) if self.transport == TransportName::Grpc => {
                format!("{}, events over {grpc}", self.server)
            }
            _ => self.server.clone(),
        }
    }

    pub fn identity(&self) -> Result<Identity, Failure> {
        let mut keys = BTreeMap::new();
        for (version, key) in &self.sequencer_keys {
            let key = PublicKey::from_bytes(&key.0).map_err(|problem| {
                Failure::input("BAD_CONFIG", format!("sync.json: sequencer_keys.{version}: {problem}"))
            })?;
            keys.insert(*version, key);
        }
        Ok(Identity { sequencer_id: self.sequencer_id, key_version: self.sequencer_key_version, keys })
    }
}

/// One agent's folder and how to talk about it.
pub struct Home {
    pub folder: PathBuf,
    pub out: Output,
    passphrase_file: Option<PathBuf>,
}

impl Home {
    pub fn new(global: &Global) -> Self {
        Self {
            folder: global.dir.clone(),
            out: Output { json: global.json, quiet: global.quiet },
            passphrase_file: global.passphrase_file.clone(),
        }
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.join("sync.json")
    }
    pub fn api_key_file(&self) -> PathBuf {
        self.folder.join("api-key")
    }
    pub fn database(&self) -> PathBuf {
        self.folder.join("sync.db")
    }
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    pub fn config(&self) -> Result<Config, Failure> {
        let path = self.config_file();
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::input("NO_CONFIG", format!("there is no {}", path.display()))
                    .hint("run `stateset-sync init` first, or name the folder with --dir")
            }
            _ => Failure::io("read", &path, &error),
        })?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::input("BAD_CONFIG", format!("{}: {error}", path.display())))
    }

    pub fn store(&self, config: &Config) -> Result<Store, Failure> {
        Ok(Store::open(&self.database(), config.stream(), config.agent_id)?)
    }

    pub fn client(&self, config: &Config) -> Result<Client, Failure> {
        Ok(Client::pinned(&config.server, self.api_key()?, config.identity()?)?)
    }

    /// What events are pushed and pulled over.
    pub fn transport(&self, config: &Config) -> Result<Box<dyn Transport>, Failure> {
        let documents = self.client(config)?;
        Ok(match config.transport {
            TransportName::Rest => Box::new(documents),
            TransportName::Grpc => Box::new(OverGrpc { events: self.grpc(config)?, documents }),
        })
    }

    pub fn grpc(&self, config: &Config) -> Result<GrpcClient, Failure> {
        let url = config.grpc_server.as_ref().ok_or_else(|| {
            Failure::input("BAD_CONFIG", "sync.json: grpc_server is missing, and the transport is grpc")
                .hint("write the address of gRPC there, such as grpc://127.0.0.1:8081")
        })?;
        Ok(GrpcClient::new(url, self.api_key()?)?)
    }

    fn api_key(&self) -> Result<Option<String>, Failure> {
        let path = self.api_key_file();
        if !path.exists() {
            return Ok(None);
        }
        refuse_wide_mode(&path)?;
        let text = read_text(&path)?;
        Ok(Some(text.trim().to_owned()).filter(|key| !key.is_empty()))
    }

    fn passphrase(&self) -> Result<Option<Passphrase>, Failure> {
        if let Some(path) = &self.passphrase_file {
            return Ok(Some(Passphrase::from_file(path)?));
        }
        if let Ok(text) = std::env::var("STATESET_PASSPHRASE") {
            return Ok(Some(Passphrase::new(text)?));
        }
        let beside = self.keys().join("passphrase");
        if beside.exists() { Ok(Some(Passphrase::from_file(&beside)?)) } else { Ok(None) }
    }

    /// Where keys live, by `KEYSTORE` and `PKCS11_*` as for every program of a node.
    fn keys_in(&self) -> Result<KeysIn, Failure> {
        let text_of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let keys_in = KeysIn::read(text_of).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Failure::input("CONFIGURATION", lines.join("\n  "))
        })?;
        // Before anything is made: a folder of the other back end is left as it is.
        refuse_split(&self.keys(), AGENTS_KEY, keys_in.back_end())?;
        Ok(keys_in)
    }

    /// The keys, unlocked by the passphrase or the PIN.
    pub fn keystore(&self) -> Result<Box<dyn Keystore>, Failure> {
        self.keys_in()?.open(&self.keys(), AGENTS_KEY, || {
            self.passphrase()?.ok_or_else(|| {
                Failure::input("NO_PASSPHRASE", "no passphrase for the keys was given").hint(
                    "use --passphrase-file or STATESET_PASSPHRASE; `stateset-sync keys:generate` makes the keys",
                )
            })
        })
    }

    /// The same for keys that are about to be made: without a passphrase one is made and kept beside them.
    pub fn keystore_for_new(&self) -> Result<Box<dyn Keystore>, Failure> {
        if matches!(self.keys_in()?, KeysIn::Files) && self.passphrase()?.is_none() {
            make_private_folder(&self.keys())?;
            Passphrase::random()?.keep_in_file(&self.keys().join("passphrase"))?;
            self.out.note(&format!("made a passphrase, {}", self.keys().join("passphrase").display()));
        }
        self.keystore()
    }

    /// Names for the agent's keys. A token is one for all agents of a node, so there each name begins with the agent's id.
    pub fn key_names(&self, config: &Config) -> Result<KeyNames, Failure> {
        Ok(KeyNames(match self.keys_in()? {
            KeysIn::Files => String::new(),
            KeysIn::Token(_) => format!("{}-", config.agent_id.0.simple()),
        }))
    }

    /// Public parts of the agent's keys, the newest of each kind last; empty before the first was made.
    pub fn key_infos(&self, config: &Config) -> Result<Vec<KeyInfo>, Failure> {
        let keys_in = self.keys_in()?;
        if matches!(keys_in, KeysIn::Files) && !self.keys().is_dir() {
            return Ok(Vec::new());
        }
        let mut keys = keys_in.open_public(&self.keys())?.list()?;
        let agent = config.agent_id.to_string();
        keys.retain(|key| key.labels.get(AGENT_LABEL) == Some(&agent));
        keys.sort_by_key(|key| (key.algorithm, generation(key)));
        Ok(keys)
    }

    /// The key that signs now: the one with the highest number.
    pub fn author(&self, config: &Config) -> Result<Author, Failure> {
        let info = self.newest(config, Algorithm::Ed25519)?;
        let key_id = KeyId(key_id(&info)?);
        let signer = self.keystore()?.signer(&info.name)?;
        Ok(Author { agent_id: config.agent_id, key_id, signer: Arc::clone(&signer) })
    }

    pub fn newest(&self, config: &Config, algorithm: Algorithm) -> Result<KeyInfo, Failure> {
        let of_kind = self.key_infos(config)?.into_iter().rfind(|key| key.algorithm == algorithm);
        of_kind.ok_or_else(|| {
            let place = match self.keys_in() {
                Ok(KeysIn::Token(token)) => format!("the token {}", token.label),
                _ => self.keys().display().to_string(),
            };
            Failure::input("NO_KEYS", format!("there is no {algorithm} key of this agent in {place}"))
                .hint("make the agent's keys with `stateset-sync keys:generate`")
        })
    }

    /// Every key here that opens sealed payloads, old ones too.
    pub fn held(&self, config: &Config) -> Result<Vec<Held>, Failure> {
        let infos = self.key_infos(config)?;
        let opening: Vec<&KeyInfo> = infos.iter().filter(|key| key.algorithm == Algorithm::X25519).collect();
        if opening.is_empty() {
            return Ok(Vec::new());
        }
        let keystore = self.keystore()?;
        opening
            .into_iter()
            .rev()
            .map(|info| {
                let key = keystore.agreement_key(&info.name)?;
                let kid = RecipientKeyId(key_id(info)?);
                Ok(Held { kid, key: DecryptionKey::from_bytes(*key.secret()) })
            })
            .collect()
    }

    /// The agent's own newest key as a recipient.
    pub fn own_recipient(&self, config: &Config) -> Result<Recipient, Failure> {
        let info = self.newest(config, Algorithm::X25519)?;
        Ok(Recipient { kid: RecipientKeyId(key_id(&info)?), public_key: info.public_key })
    }
}

/// `signing-3` and `opening-3` are of generation 3.
pub fn generation(key: &KeyInfo) -> u32 {
    key.name.as_str().rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// See [`Home::key_names`]: what each begins with.
pub struct KeyNames(String);

impl KeyNames {
    pub fn name(&self, algorithm: Algorithm, generation: u32) -> Result<KeyName, Failure> {
        let kind = if algorithm == Algorithm::Ed25519 { "signing" } else { "opening" };
        Ok(format!("{}{kind}-{generation}", self.0).parse()?)
    }
}

/// The number under which a key is registered.
pub fn key_id(key: &KeyInfo) -> Result<u32, Failure> {
    key.labels.get(KEY_ID_LABEL).and_then(|text| text.parse().ok()).ok_or_else(|| {
        Failure::failed("BAD_KEY_FILE", format!("the key {} does not say its number", key.name))
    })
}

/// The time, for what is signed and checked now.
pub fn now() -> TimestampMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Failure::failed("NO_RANDOMNESS", error.to_string()))?;
    Ok(bytes)
}

/// The text of a file, or of stdin for `-`.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::io("read", path, &error))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        let message = format!("{} is larger than {INPUT_BYTES_MAX} bytes", path.display());
        return Err(Failure::input("TOO_LARGE", message));
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::input("NOT_UTF8", format!("{} is not UTF-8 text", path.display())))
}

pub fn make_private_folder(folder: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| Failure::io("make", folder, &error))
}

/// Writes a file that only its owner may read, so that a crash leaves the old or the new one.
pub fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
    let written = builder.tempfile_in(folder).and_then(|mut draft| {
        draft.write_all(text.as_bytes())?;
        draft.as_file().sync_all()?;
        draft.persist(path)?;
        if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
    });
    written.map_err(|error| Failure::io("write", path, &error))
}

/// Refuses a secret that others may read.
pub fn refuse_wide_mode(path: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(path).map_err(|error| Failure::io("read", path, &error))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let message = format!("{} can be read by others (mode {mode:04o})", path.display());
            let hint = format!("allow its owner only: chmod go= {}", path.display());
            return Err(Failure::failed("MODE_TOO_WIDE", message).hint(hint));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
