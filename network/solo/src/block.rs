//! Genuine Tendermint 0.38 blocks from plain values: header, part set, commit, signed vote. Pure.
//!
//! Built from the raw protobuf messages, since the domain types of the library drop the empty commit of the first block
//! and so give it another id. Where Go writes an empty sub-message, these messages hold `Some` of an empty one.
//!
//! # Source
//! CometBFT 0.38 `spec/core/data_structures.md` and `types/*.go`; checked against blocks recorded from a CometBFT node.

use prost::Message;
use sha2::{Digest, Sha256};
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::ExecTxResult;
use tendermint_proto::v0_38::crypto::{PublicKey, public_key};
use tendermint_proto::v0_38::types::{
    Block, BlockId, BlockIdFlag, CanonicalBlockId, CanonicalPartSetHeader, CanonicalVote, Commit, CommitSig,
    Data, EvidenceList, HashedParams, Header, PartSetHeader, SignedMsgType, SimpleValidator,
};
use tendermint_proto::v0_38::version::Consensus;

use crate::merkle;

/// Version of the block format in every header.
pub const BLOCK_PROTOCOL: u64 = 11;
/// A block travels in parts of this size.
pub const PART_BYTES: usize = 65_536;
/// Bound of CometBFT on chain ids.
pub const CHAIN_ID_BYTES_MAX: usize = 50;

/// Nanoseconds since 1970; good until the year 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    pub const MILLISECOND: i64 = 1_000_000;

    pub fn from_ms(ms: u64) -> Self {
        Self(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(Self::MILLISECOND))
    }

    /// Rounded down.
    pub fn as_ms(self) -> u64 {
        u64::try_from(self.0.div_euclid(Self::MILLISECOND)).unwrap_or(0)
    }

    pub fn plus(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    pub fn timestamp(self) -> Timestamp {
        Timestamp {
            seconds: self.0.div_euclid(1_000_000_000),
            nanos: self.0.rem_euclid(1_000_000_000) as i32,
        }
    }

    /// `None` when it is out of range, or the nanoseconds are.
    pub fn from_timestamp(time: &Timestamp) -> Option<Self> {
        if !(0..1_000_000_000).contains(&time.nanos) {
            return None;
        }
        time.seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(time.nanos)).map(Self)
    }
}

/// A validator of the set that signs a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validator {
    /// Ed25519.
    pub public_key: [u8; 32],
    pub power: u64,
}

impl Validator {
    pub fn address(&self) -> [u8; 20] {
        let hash = Sha256::digest(self.public_key);
        std::array::from_fn(|i| hash[i])
    }
}

/// The set that signs a height, by falling power, then by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators(Vec<Validator>);

impl Validators {
    pub fn new(mut validators: Vec<Validator>) -> Self {
        validators.sort_by_key(|validator| (std::cmp::Reverse(validator.power), validator.address()));
        Self(validators)
    }

    pub fn as_slice(&self) -> &[Validator] {
        &self.0
    }

    /// Header field `validators_hash`.
    pub fn hash(&self) -> [u8; 32] {
        merkle::root(self.0.iter().map(|validator| {
            let key = public_key::Sum::Ed25519(validator.public_key.to_vec());
            let voting_power = i64::try_from(validator.power).unwrap_or(i64::MAX);
            SimpleValidator { pub_key: Some(PublicKey { sum: Some(key) }), voting_power }.encode_to_vec()
        }))
    }
}

/// Limits of blocks that enter the consensus hash; -1 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub block_bytes_max: i64,
    pub block_gas_max: i64,
}

impl Limits {
    /// Header field `consensus_hash`: no other parameter enters, and no tree.
    pub fn hash(&self) -> [u8; 32] {
        let params =
            HashedParams { block_max_bytes: self.block_bytes_max, block_max_gas: self.block_gas_max };
        Sha256::digest(params.encode_to_vec()).into()
    }
}

/// What the header of height h takes from the chain before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tip {
    pub chain_id: String,
    pub app_version: u64,
    /// Height of the block to be built.
    pub height: u64,
    /// Genesis time, or the time of the vote for the block before.
    pub time: UnixNanos,
    /// Id of the block before; empty for the first.
    pub last_block_id: BlockId,
    /// Commit of the block before; empty for the first.
    pub last_commit: Commit,
    /// After the block before; from genesis for the first.
    pub app_hash: Vec<u8>,
    /// Of the block before; see [`results_hash`].
    pub last_results_hash: [u8; 32],
    pub validators: Validators,
    pub next_validators: Validators,
    pub limits: Limits,
    pub proposer: [u8; 20],
}

impl Tip {
    /// The block with these transactions.
    pub fn block(&self, transactions: Vec<Vec<u8>>) -> Block {
        let header = Header {
            version: Some(Consensus { block: BLOCK_PROTOCOL, app: self.app_version }),
            chain_id: self.chain_id.clone(),
            height: signed(self.height),
            time: Some(self.time.timestamp()),
            last_block_id: Some(self.last_block_id.clone()),
            last_commit_hash: commit_hash(&self.last_commit).to_vec(),
            data_hash: data_hash(&transactions).to_vec(),
            validators_hash: self.validators.hash().to_vec(),
            next_validators_hash: self.next_validators.hash().to_vec(),
            consensus_hash: self.limits.hash().to_vec(),
            app_hash: self.app_hash.clone(),
            last_results_hash: self.last_results_hash.to_vec(),
            evidence_hash: merkle::root::<[Vec<u8>; 0]>([]).to_vec(),
            proposer_address: self.proposer.to_vec(),
        };
        Block {
            header: Some(header),
            data: Some(Data { txs: transactions }),
            evidence: Some(EvidenceList::default()),
            last_commit: Some(self.last_commit.clone()),
        }
    }
}

/// A height as protobuf has it.
pub fn signed(height: u64) -> i64 {
    i64::try_from(height).expect("a chain never reaches 2^63 blocks")
}

/// An id or part-set header that says nothing, as in the first block.
pub fn empty_block_id() -> BlockId {
    BlockId { hash: Vec::new(), part_set_header: Some(PartSetHeader::default()) }
}

/// The commit in the first block: no signatures, but an empty id.
pub fn empty_commit() -> Commit {
    Commit { height: 0, round: 0, block_id: Some(empty_block_id()), signatures: Vec::new() }
}

/// Merkle root over the fourteen fields, empty ones included.
pub fn header_hash(header: &Header) -> [u8; 32] {
    let version = header.version.unwrap_or_default();
    let time = header.time.unwrap_or(Timestamp { seconds: 0, nanos: 0 });
    let last = header.last_block_id.clone().unwrap_or_else(empty_block_id);
    merkle::root([
        version.encode_to_vec(),
        wrapped_bytes(header.chain_id.as_bytes()),
        wrapped_integer(header.height),
        time.encode_to_vec(),
        last.encode_to_vec(),
        wrapped_bytes(&header.last_commit_hash),
        wrapped_bytes(&header.data_hash),
        wrapped_bytes(&header.validators_hash),
        wrapped_bytes(&header.next_validators_hash),
        wrapped_bytes(&header.consensus_hash),
        wrapped_bytes(&header.app_hash),
        wrapped_bytes(&header.last_results_hash),
        wrapped_bytes(&header.evidence_hash),
        wrapped_bytes(&header.proposer_address),
    ])
}

/// protobuf wrapper with field 1; nothing when the value is empty.
fn wrapped_bytes(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec().encode_to_vec()
}

fn wrapped_integer(integer: i64) -> Vec<u8> {
    integer.encode_to_vec()
}

/// Header field `data_hash`: leaves are hashes of transactions, hashed again.
pub fn data_hash(transactions: &[Vec<u8>]) -> [u8; 32] {
    merkle::root(transactions.iter().map(Sha256::digest))
}

/// That a transaction stands under the `data_hash` of its block; `None` where there is none of this index.
pub fn data_proof(transactions: &[Vec<u8>], index: usize) -> Option<merkle::Proof> {
    merkle::prove(transactions.iter().map(Sha256::digest), index)
}

/// Header field `last_commit_hash`.
pub fn commit_hash(commit: &Commit) -> [u8; 32] {
    merkle::root(commit.signatures.iter().map(Message::encode_to_vec))
}

/// Header field `last_results_hash`: of each result only code, data, gas wanted and gas used.
pub fn results_hash(results: &[ExecTxResult]) -> [u8; 32] {
    merkle::root(results.iter().map(|result| {
        ExecTxResult {
            code: result.code,
            data: result.data.clone(),
            gas_wanted: result.gas_wanted,
            gas_used: result.gas_used,
            ..ExecTxResult::default()
        }
        .encode_to_vec()
    }))
}

/// Id of a block: the hash of its header, and the root over the parts of its bytes.
///
/// # Panics
/// When the block has no header.
pub fn block_id(block: &Block) -> BlockId {
    let bytes = block.encode_to_vec();
    let parts = bytes.chunks(PART_BYTES);
    let header = block.header.as_ref().expect("blocks are built with a header");
    BlockId {
        hash: header_hash(header).to_vec(),
        part_set_header: Some(PartSetHeader {
            total: parts.len() as u32,
            hash: merkle::root(parts).to_vec(),
        }),
    }
}

/// The bytes a validator signs for a block: its precommit of round 0, in canonical form, after their length.
pub fn vote_bytes(chain_id: &str, height: u64, id: &BlockId, time: UnixNanos) -> Vec<u8> {
    let parts = id.part_set_header.clone().unwrap_or_default();
    CanonicalVote {
        r#type: SignedMsgType::Precommit as i32,
        height: signed(height),
        round: 0,
        block_id: Some(CanonicalBlockId {
            hash: id.hash.clone(),
            part_set_header: Some(CanonicalPartSetHeader { total: parts.total, hash: parts.hash }),
        }),
        timestamp: Some(time.timestamp()),
        chain_id: chain_id.into(),
    }
    .encode_length_delimited_to_vec()
}

/// The commit with the one vote for a block.
pub fn commit(height: u64, id: BlockId, address: [u8; 20], time: UnixNanos, signature: [u8; 64]) -> Commit {
    let vote = CommitSig {
        block_id_flag: BlockIdFlag::Commit as i32,
        validator_address: address.to_vec(),
        timestamp: Some(time.timestamp()),
        signature: signature.to_vec(),
    };
    Commit { height: signed(height), round: 0, block_id: Some(id), signatures: vec![vote] }
}

/// Time of the vote for a block: the clock, but later than the block, since it becomes the next block's time.
pub fn vote_time(clock: UnixNanos, block: UnixNanos) -> UnixNanos {
    clock.max(block.plus(UnixNanos::MILLISECOND))
}

#[cfg(test)]
#[path = "block/recorded.rs"]
mod recorded;
