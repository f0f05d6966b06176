//! What holds for a whole block: the chain, its rules, place and time.

use std::collections::BTreeMap;

use stateset_ledger_types::genesis::ChainRecord;
use stateset_ledger_types::ids::{ChainId, EntityId};
use stateset_ledger_types::stateless::Rules;
use stateset_ledger_types::{Params, StateKey, Substore};
use ves::Digest;

use crate::application::Fault;
use crate::overlay::{Overlay, decode};

/// Of a quota: how much an entity has used in this block, or may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    pub transactions: u64,
    pub bytes: u64,
    pub gas: u64,
}

impl Used {
    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            transactions: self.transactions.saturating_add(other.transactions),
            bytes: self.bytes.saturating_add(other.bytes),
            gas: self.gas.saturating_add(other.gas),
        }
    }

    /// Without a part of it.
    #[must_use]
    pub const fn less(self, part: Self) -> Self {
        Self {
            transactions: self.transactions.saturating_sub(part.transactions),
            bytes: self.bytes.saturating_sub(part.bytes),
            gas: self.gas.saturating_sub(part.gas),
        }
    }

    /// The same in each of several blocks.
    #[must_use]
    pub const fn times(self, blocks: u64) -> Self {
        Self {
            transactions: self.transactions.saturating_mul(blocks),
            bytes: self.bytes.saturating_mul(blocks),
            gas: self.gas.saturating_mul(blocks),
        }
    }

    /// The first that is above its limit: its name, how much it is, and the limit.
    pub fn over(self, limit: Self) -> Option<(&'static str, u64, u64)> {
        let all = [
            ("transactions", self.transactions, limit.transactions),
            ("bytes", self.bytes, limit.bytes),
            ("gas", self.gas, limit.gas),
        ];
        all.into_iter().find(|(_, used, limit)| used > limit)
    }
}

/// A block under execution. Parameters are those of the state before the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    pub chain_id: ChainId,
    /// Version of the rules of this block: what an upgrade changed asks for it (12.3).
    pub app_version: u64,
    pub height: u64,
    /// Unix milliseconds.
    pub time_ms: u64,
    pub params: Params,
    pub rules: Rules,
    /// Hashes of parameters that headers may name at this height (4.2, step 9).
    pub params_hashes: Vec<Digest>,
    /// Block-local, never in the tree (5.1, step 8).
    pub quota: BTreeMap<EntityId, Used>,
}

impl Context {
    /// # Errors
    /// [`Fault`] for a state without genesis.
    pub fn load(overlay: &Overlay<'_>, height: u64, time_ms: u64) -> Result<Self, Fault> {
        let chain: ChainRecord = overlay.expect(&StateKey::chain())?;
        let params: Params = overlay.expect(&StateKey::params())?;
        let rules = Rules::new(chain.chain_id.clone(), &params);
        let params_hashes = params_hashes(overlay, height, params.params_grace_blocks)?;
        Ok(Self {
            chain_id: chain.chain_id,
            app_version: chain.app_version,
            height,
            time_ms,
            params,
            rules,
            params_hashes,
            quota: BTreeMap::new(),
        })
    }
}

/// Values that held at some height from `height - grace` to `height`. A value written by block `w` holds from `w` on.
fn params_hashes(overlay: &Overlay<'_>, height: u64, grace: u64) -> Result<Vec<Digest>, Fault> {
    let mut written = Vec::new();
    for (key, bytes) in overlay.prefix(Substore::Gov, "params_hash/", usize::MAX)? {
        let text = key.path.strip_prefix(b"params_hash/").and_then(|digits| std::str::from_utf8(digits).ok());
        let at: u64 = text
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| Fault::Corrupt { place: key.to_string(), problem: "not a height".to_owned() })?;
        written.push((at, decode::<Digest>(&key, &bytes)?));
    }
    let oldest = height.saturating_sub(grace);
    let ends = written.iter().skip(1).map(|(next, _)| *next).chain([u64::MAX]);
    Ok(written.iter().zip(ends).filter(|(_, end)| *end > oldest).map(|((_, hash), _)| *hash).collect())
}
