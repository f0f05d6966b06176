//! Genesis (section 6.6): JSON for people, its canonical encoding for the hash.

use serde::{Deserialize, Serialize};
use ves::Digest;
use ves::hash::Hasher;

use crate::bank::DenomRecord;
use crate::codec::{Blob, Decode, DecodeError, Encode, List, Reader, Text, record};
use crate::entity::Entity;
use crate::governance::{AttesterPolicy, ContractVersion};
use crate::ids::{AccountId, Amount, ChainId, EntityId};
use crate::params::Params;

record! {
    /// A validator of the first set.
    #[derive(Copy)]
    pub struct GenesisValidator {
        pub entity: EntityId,
        /// Ed25519.
        pub key: Digest,
        pub power: u32,
    }
    pub struct GenesisBalance {
        pub account: AccountId,
        pub amount: Amount,
    }
    pub struct GenesisAttesters {
        pub id: u32,
        pub policy: AttesterPolicy,
    }
}

record! {
    /// `gov/chain`: what never changes but by an upgrade.
    pub struct ChainRecord {
        pub chain_id: ChainId,
        pub initial_height: u64,
        /// Version of the rules (12.3).
        pub app_version: u64,
        /// Name of the last upgrade; empty before the first.
        pub upgrade: Text<64>,
    }
}

/// The first state and the rules of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    pub chain_id: ChainId,
    /// Unix milliseconds.
    pub genesis_time: u64,
    pub initial_height: u64,
    /// Root certificates, DER in hex.
    #[serde(default)]
    pub roots: List<Blob<8192>, 16>,
    pub entities: List<Entity, 16384>,
    pub validators: List<GenesisValidator, 256>,
    #[serde(default)]
    pub params: Params,
    #[serde(default)]
    pub attester_policies: List<GenesisAttesters, 256>,
    #[serde(default)]
    pub denoms: List<DenomRecord, 1024>,
    /// Declared supply of each denomination: has to equal the sum of its balances.
    #[serde(default)]
    pub supply: List<Amount, 1024>,
    #[serde(default)]
    pub balances: List<GenesisBalance, 16384>,
    /// Where fees go.
    #[serde(default)]
    pub fee_collector: Option<AccountId>,
    #[serde(default)]
    pub contracts: List<ContractVersion, 1024>,
}

/// Versions of the genesis encoding.
const FORMAT: u16 = 1;

impl Genesis {
    /// Reads the JSON form; unknown members are refused.
    ///
    /// # Errors
    /// The member that is wrong, by line and column.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("genesis: {error}"))
    }

    /// The JSON form.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a genesis is texts and numbers") + "\n"
    }

    /// SHA-256 of the canonical form, logged at start.
    pub fn hash(&self) -> Digest {
        Hasher::bare().bytes(&self.to_sce()).finish()
    }
}

impl Encode for Genesis {
    fn encode(&self, out: &mut Vec<u8>) {
        FORMAT.encode(out);
        self.chain_id.encode(out);
        self.genesis_time.encode(out);
        self.initial_height.encode(out);
        self.roots.encode(out);
        self.entities.encode(out);
        self.validators.encode(out);
        self.params.encode(out);
        self.attester_policies.encode(out);
        self.denoms.encode(out);
        self.supply.encode(out);
        self.balances.encode(out);
        self.fee_collector.encode(out);
        self.contracts.encode(out);
    }
}
impl Decode for Genesis {
    const BYTES_MIN: usize = 2;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let format = u16::decode(reader)?;
        if format != FORMAT {
            let problem = crate::codec::Problem::UnknownTag { of: "Genesis", tag: format.into() };
            return Err(DecodeError { at, problem });
        }
        Ok(Self {
            chain_id: Decode::decode(reader)?,
            genesis_time: Decode::decode(reader)?,
            initial_height: Decode::decode(reader)?,
            roots: Decode::decode(reader)?,
            entities: Decode::decode(reader)?,
            validators: Decode::decode(reader)?,
            params: Decode::decode(reader)?,
            attester_policies: Decode::decode(reader)?,
            denoms: Decode::decode(reader)?,
            supply: Decode::decode(reader)?,
            balances: Decode::decode(reader)?,
            fee_collector: Decode::decode(reader)?,
            contracts: Decode::decode(reader)?,
        })
    }
}
