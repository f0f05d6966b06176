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

    pub fn rpc(&self) -> Rpc {
        Rpc::new(&self.rpc)
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
