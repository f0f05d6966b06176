//! The home of a node: `statesetd.toml`, `genesis.json`, the state, and CometBFT's own files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use stateset_abci::Options;
use stateset_abci::comet::{self, Config, Peer, PublicKeys, Timing};
use stateset_ledger_store::{Store, StoreError};
use stateset_ledger_types::Genesis;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::PublicKey;
use zeroize::Zeroizing;

use crate::args::{Engine, InitArgs};
use crate::certificates::{NODE_CERTIFICATES, NODE_SEED, ROOT_SEED, certificates_of, certify};
use crate::genesis::{Founder, begun, founded, now};
use crate::output::{Failure, Output};
use crate::participant::NotarySeat;

/// File of the seed of the key that signs the member's requests.
pub const MEMBER_SEED: &str = "member.seed";

/// `statesetd.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub engine: Engine,
    pub chain_id: String,
    pub rpc: SocketAddr,
    pub p2p: SocketAddr,
    /// Where companies' nodes reach the capsule store, over mutual TLS; without it, none runs here.
    pub capsules: Option<SocketAddr>,
    /// Newest states that stay readable and provable; without it, all.
    pub keep_states: Option<u64>,
    /// Newest blocks that the engine keeps; without it, all.
    pub keep_blocks: Option<u64>,
    /// A snapshot for nodes that join at each multiple of this height; without it, none.
    pub snapshot_interval: Option<u64>,
}

/// A folder with a node in it.
#[derive(Debug, Clone)]
pub struct Home {
    pub comet: comet::Home,
}

impl Home {
    /// An absolute path, since CometBFT's configuration needs one.
    pub fn at(folder: &Path) -> Result<Self, Failure> {
        let folder = std::path::absolute(folder).map_err(|error| Failure::io("find", folder, &error))?;
        Ok(Self { comet: comet::Home::at(folder) })
    }

    pub fn folder(&self) -> &Path {
        self.comet.folder()
    }
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }
    pub fn exists(&self) -> bool {
        self.file("statesetd.toml").exists()
    }

    pub fn settings(&self) -> Result<Settings, Failure> {
        let file = self.file("statesetd.toml");
        let text = fs::read_to_string(&file).map_err(|error| {
            Failure::input(
                "NO_HOME",
                format!("{}: {error}; make a home with `statesetd init`", file.display()),
            )
        })?;
        toml::from_str(&text)
            .map_err(|error| Failure::input("SETTINGS", format!("{}: {error}", file.display())))
    }

    /// What the settings say of the past.
    pub fn options(&self, settings: &Settings) -> Options {
        Options {
            keep_states: settings.keep_states,
            keep_blocks: settings.keep_blocks,
            snapshots: Some(self.file("snapshots")),
            snapshot_interval: settings.snapshot_interval,
        }
    }

    pub fn keys(&self) -> Result<PublicKeys, Failure> {
        fs::create_dir_all(self.folder()).map_err(|error| Failure::io("make", self.folder(), &error))?;
        self.comet.keys().map_err(|error| Failure::failed("KEYS", error))
    }

    /// The state of its chain.
    ///
    /// # Errors
    /// HOME_IN_USE while another program has it; STATE.
    pub fn store(&self) -> Result<Store, Failure> {
        Store::open(&self.file("state.redb")).map_err(|error| match error {
            StoreError::InUse => {
                let said = format!("another program runs on {}; stop it first", self.folder().display());
                Failure::failed("HOME_IN_USE", said)
            }
            error => Failure::failed("STATE", error),
        })
    }

    /// The signing key whose seed lies in the file `name`, made where it is missing.
    pub fn seed(&self, name: &str) -> Result<ves::SigningKey, Failure> {
        fs::create_dir_all(self.folder()).map_err(|error| Failure::io("make", self.folder(), &error))?;
        let file = self.file(name);
        let failed = |error: std::io::Error| Failure::io("use", &file, &error);
        let seed = match fs::read_to_string(&file) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                let wrong =
                    || Failure::failed("KEYS", format!("{}: it is no seed in hexadecimal", file.display()));
                let bytes = Zeroizing::new(ves::hex::decode_vec(text.trim()).map_err(|_| wrong())?);
                <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| wrong())?
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            Err(_) => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|error| Failure::failed("RANDOM", error))?;
                let text = Zeroizing::new(ves::hex::encode(&seed));
                let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
                made.and_then(|mut made| made.write_all(text.as_bytes()).and_then(|()| made.sync_all()))
                    .map_err(failed)?;
                seed
            }
        };
        Ok(ves::SigningKey::from_seed(seed))
    }

    /// Public half of the key that signs blocks, made where it is missing.
    pub fn validator(&self, engine: Engine) -> Result<[u8; 32], Failure> {
        match engine {
            Engine::Comet => Ok(self.keys()?.validator),
            Engine::Solo => Ok(self.seed("validator.seed")?.public_key()),
        }
    }

    /// The member of the genesis whose key this home has; `None` where it has that of none.
    pub fn member(&self, genesis: &Genesis) -> Result<Option<EntityId>, Failure> {
        if !self.file(MEMBER_SEED).exists() {
            return Ok(None);
        }
        let own = PublicKey::ed25519(self.seed(MEMBER_SEED)?.public_key());
        let mut founders = genesis.entities.iter();
        let found = founders.find(|entity| entity.keys.iter().any(|record| record.key == own));
        Ok(found.map(|entity| entity.entity_id))
    }

    /// What the home's member, as a notary, stores capsules with; `None` where it has no certificate.
    pub fn seat(&self, genesis: &Genesis) -> Result<Option<NotarySeat>, Failure> {
        let file = self.file(NODE_CERTIFICATES);
        let Some(entity) = self.member(genesis)?.filter(|_| file.exists()) else { return Ok(None) };
        Ok(Some(NotarySeat {
            entity,
            certificates: certificates_of(&file)?,
            node: Arc::new(self.seed(NODE_SEED)?),
            ledger: Arc::new(self.seed(MEMBER_SEED)?),
        }))
    }

    /// What a founder's record needs.
    pub fn founder(&self, name: &str, engine: Engine) -> Result<Founder, Failure> {
        let (validator, ledger) = (self.validator(engine)?, self.seed(MEMBER_SEED)?.public_key());
        Ok(Founder { name: name.to_owned(), validator, ledger })
    }

    /// Writes genesis, CometBFT's files and, last, the settings that make the folder a home.
    pub fn write(
        &self,
        name: &str,
        settings: &Settings,
        genesis: &Genesis,
        peers: Vec<Peer>,
        timing: Timing,
    ) -> Result<(), Failure> {
        let text = genesis.to_json();
        let write = |name: &str, text: &str| {
            fs::write(self.file(name), text).map_err(|error| Failure::io("write", &self.file(name), &error))
        };
        write("genesis.json", &text)?;
        if settings.engine == Engine::Comet {
            self.write_comet(name, settings, genesis, &text, peers, timing)
                .map_err(|error| Failure::io("write", self.folder(), &error))?;
        }
        write(
            "statesetd.toml",
            &toml::to_string(settings).map_err(|error| Failure::failed("SETTINGS", error))?,
        )
    }

    fn write_comet(
        &self,
        name: &str,
        settings: &Settings,
        genesis: &Genesis,
        app_state: &str,
        peers: Vec<Peer>,
        timing: Timing,
    ) -> std::io::Result<()> {
        let moniker = name.to_owned();
        let (rpc, p2p) = (settings.rpc, settings.p2p);
        let empty_block_interval = Duration::from_millis(genesis.params.empty_block_interval_ms);
        let timing = Timing { empty_block_interval, ..timing };
        let config = Config { moniker, rpc, p2p, peers, timing, state_sync: None };
        let of_comet = comet::Genesis {
            chain_id: genesis.chain_id.as_str(),
            time_ms: genesis.genesis_time,
            initial_height: genesis.initial_height,
            app_state,
        };
        self.comet.write_config(&config)?;
        self.comet.write_genesis(&of_comet)
    }
}

fn peer(text: &str) -> Result<Peer, Failure> {
    let parsed = text.split_once('@').and_then(|(id, address)| {
        let is_id = id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(Peer { node_id: id.to_ascii_lowercase(), address: address.parse().ok()? }).filter(|_| is_id)
    });
    parsed.ok_or_else(|| {
        Failure::input("PEER", format!("--peer {text}: it is NODE_ID@IP:PORT, with 40 hexadecimal digits"))
    })
}

/// `statesetd init`
pub fn init(args: &InitArgs, output: Output) -> Result<(), Failure> {
    let home = Home::at(&args.home)?;
    if home.exists() {
        let message = format!("{} is a home already; nothing was changed", home.folder().display());
        return Err(Failure::input("HOME_EXISTS", message));
    }
    if args.engine == Engine::Solo && (args.genesis.is_some() || !args.peers.is_empty()) {
        let message = "solo is one process with a chain of its own: it takes neither --genesis nor --peer";
        return Err(Failure::input("USAGE", message));
    }
    let begins = args.begin.fee_collector.is_some();
    if args.genesis.is_some() && (begins || !(args.begin.params.is_empty() && args.begin.denoms.is_empty())) {
        let message =
            "--param, --denom and --fee-collector are of a new chain, and --genesis names one that exists";
        return Err(Failure::input("USAGE", message));
    }
    let peers = args.peers.iter().map(|text| peer(text)).collect::<Result<_, _>>()?;
    let given = match &args.genesis {
        Some(file) => {
            let text = fs::read(file).map_err(|error| Failure::io("read", file, &error))?;
            let wrong = |problem| Failure::input("GENESIS", format!("{}: {problem}", file.display()));
            Some(Genesis::from_json(&text).map_err(wrong)?)
        }
        None => None,
    };
    if given.is_none() {
        // What is wrong with a new chain is said before there are keys for it.
        let founder = Founder { name: args.name.clone(), validator: [1; 32], ledger: [2; 32] };
        begun(&mut founded(&args.chain_id, now(), &[founder])?, args.engine, &args.begin)?;
    }
    let validator = ves::hex::encode(&home.validator(args.engine)?);
    let genesis = match given {
        Some(genesis) => genesis,
        None => {
            let mut genesis = founded(&args.chain_id, now(), &[home.founder(&args.name, args.engine)?])?;
            certify(&mut genesis, &home.seed(ROOT_SEED)?, &[&home])?;
            begun(&mut genesis, args.engine, &args.begin)?;
            genesis
        }
    };
    let settings = Settings {
        engine: args.engine,
        chain_id: genesis.chain_id.to_string(),
        rpc: args.rpc,
        p2p: args.p2p,
        // Of a chain that exists, this home has no certificate yet.
        capsules: args.genesis.is_none().then_some(args.capsules),
        keep_states: None,
        keep_blocks: None,
        snapshot_interval: None,
    };
    home.write(&args.name, &settings, &genesis, peers, Timing::default())?;
    let hash = genesis.hash();
    let mut said = format!(
        "{}: a node of {}\n  genesis        {hash}\n  validator key  {validator}",
        home.folder().display(),
        settings.chain_id
    );
    let mut made = json!({"home": home.folder(), "chain_id": settings.chain_id, "genesis_hash": hash.to_string(),
        "validator_key": validator});
    if args.engine == Engine::Comet {
        let id = home.keys()?.node_id;
        said.push_str(&format!("\n  node id        {id}"));
        made["node_id"] = id.into();
    }
    output.result(&made, &said);
    Ok(())
}
