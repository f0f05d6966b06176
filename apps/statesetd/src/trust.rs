//! What is believed of a chain before anything is asked, and answers that are verified against it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use stateset_abci::comet::{Rpc, RpcError};
use stateset_ledger_types::ids::ChainId;
use stateset_ledger_types::{Genesis, StateKey, query};
use stateset_light::{
    Certificate, CertificateError, FetchError, FollowError, Proven, Terms, Trust, TrustedState, fetch, follow,
};
use ves::Digest;

use crate::genesis::now;
use crate::output::Failure;

/// How long a node may take for the block that proves its state.
const PROOF_TIME_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// What to verify against; one of them.
#[derive(Debug, Clone, Default, Args)]
pub struct TrustArgs {
    /// A trusted block, as `stateset ledger trust` writes it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["genesis", "validators"])]
    pub trust: Option<PathBuf>,
    /// Genesis of the chain: its validators, and those that they handed over to
    #[arg(long, value_name = "FILE", conflicts_with = "validators")]
    pub genesis: Option<PathBuf>,
    /// Hash of a set of validators to believe at any time, with --chain-id
    #[arg(long, value_name = "HASH", requires = "chain_id", value_parser = digest)]
    pub validators: Option<Digest>,
    /// Chain of --validators
    #[arg(long, value_name = "CHAIN", requires = "validators", value_parser = chain)]
    pub chain_id: Option<ChainId>,
}

fn digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|_| "a hash is 64 hexadecimal digits".to_owned())
}

fn chain(text: &str) -> Result<ChainId, String> {
    ChainId::new(text).map_err(str::to_owned)
}

/// What is believed, and where it comes from.
#[derive(Debug, Clone)]
pub struct Held {
    kind: Kind,
    from: String,
}

#[derive(Debug, Clone)]
enum Kind {
    Block(TrustedState),
    Validators { chain_id: ChainId, hash: Digest },
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::io("read", file, &error))
}

/// The genesis in a file.
pub fn genesis_of(file: &Path) -> Result<Genesis, Failure> {
    let wrong = |problem: String| Failure::input("GENESIS", format!("{}: {problem}", file.display()));
    Genesis::from_json(&read(file)?).map_err(wrong)
}

impl Held {
    /// What the arguments name; `None` where they name nothing.
    pub fn of(args: &TrustArgs) -> Result<Option<Self>, Failure> {
        Ok(Some(match (&args.trust, &args.genesis, &args.validators, &args.chain_id) {
            (Some(file), ..) => {
                let state = TrustedState::from_json(&read(file)?)
                    .map_err(|problem| Failure::input("TRUST", format!("{}: {problem}", file.display())))?;
                Self::block(state, file.display().to_string())
            }
            (_, Some(file), ..) => Self::genesis(&genesis_of(file)?, file.display().to_string())?,
            (_, _, Some(hash), Some(chain_id)) => {
                let kind = Kind::Validators { chain_id: chain_id.clone(), hash: *hash };
                Self { kind, from: "--validators".to_owned() }
            }
            _ => return Ok(None),
        }))
    }

    /// By the rules of light clients, from a block that is known.
    pub fn block(state: TrustedState, from: String) -> Self {
        Self { kind: Kind::Block(state), from }
    }

    /// By the rules of light clients, from the state before the first block.
    pub fn genesis(genesis: &Genesis, from: String) -> Result<Self, Failure> {
        let state =
            TrustedState::of_genesis(genesis).map_err(|problem| Failure::input("GENESIS", problem))?;
        Ok(Self::block(state, from))
    }

    /// The validators of a genesis, at any time: for a chain of this machine, whose only key lies beside it.
    pub fn validators_of(genesis: &Genesis, from: String) -> Result<Self, Failure> {
        let state =
            TrustedState::of_genesis(genesis).map_err(|problem| Failure::input("GENESIS", problem))?;
        let hash = stateset_light::validators_hash(&state.next_validators);
        Ok(Self { kind: Kind::Validators { chain_id: genesis.chain_id.clone(), hash }, from })
    }

    fn trust(&self) -> Trust<'_> {
        match &self.kind {
            Kind::Block(state) => Trust::Block(state, Terms::default()),
            Kind::Validators { chain_id, hash } => {
                let clock_drift = Terms::default().clock_drift;
                Trust::Validators { chain_id, hash: *hash, clock_drift }
            }
        }
    }

    /// For a program.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Block(state) => {
                json!({"from": self.from, "chain_id": state.chain_id, "height": state.height,
                "header_hash": state.header_hash, "time": state.time.to_rfc3339()})
            }
            Kind::Validators { chain_id, hash } => {
                json!({"from": self.from, "chain_id": chain_id, "validators_hash": hash})
            }
        }
    }
}

/// For a person.
impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::Block(state) => {
                write!(f, "block {} of {}, from {}", state.height, state.chain_id, self.from)
            }
            Kind::Validators { chain_id, hash } => {
                write!(f, "validators {hash} of {chain_id}, from {}", self.from)
            }
        }
    }
}

/// A certificate that proves nothing.
pub fn refused(error: &CertificateError) -> Failure {
    Failure::failed(error.name(), error)
}

fn not_fetched(error: FetchError<RpcError>) -> Failure {
    match error {
        FetchError::Call(error) => error.into(),
        FetchError::NotYet => Failure::failed("NO_PROOF_YET", error),
        FetchError::NoProof { .. } => Failure::failed("NO_PROOF", error),
        FetchError::Refused { code, ref log, .. } => crate::client::refused(code, log),
        FetchError::Unreadable { .. } => Failure::failed("NODE_UNREADABLE", error),
    }
}

/// A verified answer, with all that proves it.
pub struct Answer {
    pub certificate: Certificate,
    pub proven: Proven,
}

impl Held {
    /// Verifies a certificate without asking anybody.
    pub fn verify(&self, certificate: &Certificate, key: &StateKey) -> Result<Proven, Failure> {
        certificate.verify_at(key, &self.trust(), now()).map_err(|error| refused(&error))
    }

    /// What the node proves of `path`. Where validators changed since what is trusted, the node is asked for the blocks
    /// between, which are verified too.
    pub fn ask(&self, rpc: &Rpc, path: &str, height: Option<u64>) -> Result<Answer, Failure> {
        let key = query::key_of(path).ok_or_else(|| {
            let said =
                format!("{path} is answered from no single key of the state, so there is no proof of it");
            Failure::input("NO_PROOF", said)
        })?;
        let mut call = |method: &str, params: &Value| rpc.call(method, params);
        let begun = std::time::Instant::now();
        let certificate = loop {
            match fetch(&mut call, path, height) {
                Err(FetchError::NotYet) if begun.elapsed() < PROOF_TIME_MAX => std::thread::sleep(LOOK),
                other => break other.map_err(not_fetched)?,
            }
        };
        let proven = match certificate.verify_at(&key, &self.trust(), now()) {
            Err(CertificateError::TrustedTooFew { .. }) if matches!(self.kind, Kind::Block(_)) => {
                let followed = self.follow(rpc, Some(certificate.height + 1))?;
                certificate.verify_at(&key, &Trust::Block(&followed, Terms::default()), now())
            }
            other => other,
        };
        Ok(Answer { proven: proven.map_err(|error| refused(&error))?, certificate })
    }

    /// The trusted block of `height`, or of the newest: followed from what is trusted.
    pub fn follow(&self, rpc: &Rpc, height: Option<u64>) -> Result<TrustedState, Failure> {
        let mut call = |method: &str, params: &Value| rpc.call(method, params);
        let refusal = |error| match error {
            FollowError::Fetch(error) => not_fetched(error),
            FollowError::Refused { height, problem } => {
                Failure::failed(problem.name(), format!("block {height}: {problem}"))
            }
        };
        match &self.kind {
            Kind::Block(state) => follow(&mut call, state, Terms::default(), height, now()).map_err(refusal),
            Kind::Validators { .. } => {
                stateset_light::trusted_block(&mut call, &self.trust(), height, now()).map_err(refusal)
            }
        }
    }
}
