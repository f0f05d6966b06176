//! A ledger that others order, as companies of this machine know it: where a node of it is, and its genesis.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stateset_abci::comet::Rpc;
use stateset_ledger_types::Genesis;
use stateset_light::Terms;

use crate::genesis::now;
use crate::output::Failure;
use crate::participant::Trusted;
use crate::trust::{Held, genesis_of};

/// `joined.json` in the folder of a ledger, beside its `genesis.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    pub chain_id: String,
    /// RPC of a node of the ledger; it is believed in nothing that a light client can check.
    pub rpc: String,
    /// Of other nodes, which are asked where that one can't be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

impl Joined {
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("joined.json")
    }

    pub fn genesis_file(folder: &Path) -> PathBuf {
        folder.join("genesis.json")
    }

    /// The newest block that the nodes have followed the chain to.
    pub fn trusted_file(folder: &Path) -> PathBuf {
        folder.join("trusted.json")
    }

    /// `None` where no ledger of others was joined.
    ///
    /// # Errors
    /// BAD_FILE for a file that says something else.
    pub fn of(folder: &Path) -> Result<Option<Self>, Failure> {
        let file = Self::file(folder);
        match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Failure::failed("BAD_FILE", format!("{}: {error}", file.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io("read", &file, &error)),
        }
    }

    /// A ledger by the RPCs of its nodes, in the order in which they are asked.
    ///
    /// # Errors
    /// BAD_ADDRESS for one that is no URL, or none.
    pub fn at(chain_id: &str, rpcs: &[String]) -> Result<Self, Failure> {
        let is_url = |rpc: &&String| rpc.starts_with("http://") || rpc.starts_with("https://");
        if let Some(wrong) = rpcs.iter().find(|rpc| !is_url(rpc)) {
            let said = format!("{wrong} is no address of a node: write it as http://192.0.2.1:26657");
            return Err(Failure::input("BAD_ADDRESS", said));
        }
        let mut rpcs = rpcs.iter().map(|rpc| rpc.trim_end_matches('/').to_owned());
        let first = rpcs.next().ok_or_else(|| Failure::input("BAD_ADDRESS", "name a node of the ledger"))?;
        Ok(Self { chain_id: chain_id.to_owned(), rpc: first, others: rpcs.collect() })
    }

    /// As its file has it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The RPCs, in the order in which they are asked.
    pub fn rpcs(&self) -> Vec<&str> {
        std::iter::once(&self.rpc).chain(&self.others).map(String::as_str).collect()
    }

    pub fn rpc(&self) -> Rpc {
        Rpc::of(&self.rpc, &self.others)
    }

    /// # Errors
    /// A genesis that can't be read.
    pub fn genesis(folder: &Path) -> Result<Genesis, Failure> {
        genesis_of(&Self::genesis_file(folder))
    }

    /// What the nodes of `folder` start from.
    ///
    /// # Errors
    /// Files that can't be read, or are of another chain.
    pub fn trusted(folder: &Path) -> Result<Trusted, Failure> {
        Trusted::elsewhere(&Self::genesis(folder)?, &Self::trusted_file(folder))
    }

    /// The same for answers that commands verify: from the genesis while it is young enough, since certificates of blocks before
    /// the one that was followed to are verified from there alone.
    ///
    /// # Errors
    /// As of [`trusted`](Self::trusted).
    pub fn held(folder: &Path) -> Result<Held, Failure> {
        let (genesis, kept) = (Self::genesis(folder)?, Self::trusted_file(folder));
        let age_ms = now().saturating_sub(genesis.genesis_time);
        let is_young = u128::from(age_ms) < Terms::default().trusting_period.as_millis();
        if is_young || !kept.exists() {
            return Held::genesis(&genesis, Self::genesis_file(folder).display().to_string());
        }
        Ok(Held::block(Self::trusted(folder)?.state, kept.display().to_string()))
    }
}
