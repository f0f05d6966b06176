//! What the notary writes, and the bytes of a certificate (section 5).

use ves::Digest;

use crate::codec::{Blob, List, Text, record};
use crate::ids::{ChainId, TxId};
use crate::tree::Mode;

/// Most capsules on a page.
pub const CAPSULES_MAX: usize = 500;

record! {
    /// `notary/tx/<tx_id>`.
    #[derive(Copy)]
    pub struct NotaryRecord {
        pub height: u64,
        /// Place in the block.
        pub index: u32,
        pub mode: Mode,
        pub inputs: u32,
    }

    /// `capsule/<height>/<index>/<n>`: what a recipient pages through (8.4).
    pub struct CapsuleEntry {
        pub tx_id: TxId,
        pub lookup: crate::body::CapsuleLookup,
        pub ciphertext_hash: Digest,
        pub size: u32,
    }

    /// What the state holds at a key, for anyone offline (5.2): two ICS-23 commitment proofs that lead to an app hash, and
    /// the Tendermint light block of the next height, which carries that app hash. Of `notary/tx/<tx_id>` it is the
    /// finality of a transaction. Nothing in it is a signature of its own.
    pub struct CertificateRecord {
        /// 1.
        pub version: u16,
        pub chain_id: ChainId,
        /// Height of the state; the light block is of the next.
        pub height: u64,
        pub substore: Text<16>,
        pub key: Blob<4096>,
        /// `None`: the key is absent.
        pub value: Option<Blob<1048576>>,
        /// Protobuf `cosmos.ics23.v1.CommitmentProof`: the key under its substore's root.
        pub key_proof: Blob<1048576>,
        /// The same: the substore's name and root under the app hash.
        pub substore_proof: Blob<65536>,
        /// Protobuf `tendermint.types.LightBlock`: header, commit, validators.
        pub light_block: Blob<1048576>,
    }

    /// Why a transaction was not committed, for a program: which nullifier, and who consumed it.
    #[derive(Copy)]
    pub struct ConflictData {
        pub index: u32,
        pub consumer: TxId,
    }

    /// Where a capsule stands on the chain.
    #[derive(Copy, PartialOrd, Ord)]
    pub struct CapsulePlace {
        pub height: u64,
        /// Of the transaction in the block.
        pub index: u32,
        /// Of the capsule in group 8.
        pub n: u32,
    }

    /// Capsule entries in the order of the chain, as answered to a query.
    pub struct CapsulePage {
        pub entries: List<CapsuleEntry, CAPSULES_MAX>,
        /// Where to go on; `None` at the end.
        pub next: Option<CapsulePlace>,
    }
}

impl std::fmt::Display for CapsulePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.height, self.index, self.n)
    }
}

impl std::str::FromStr for CapsulePlace {
    type Err = &'static str;
    /// `HEIGHT`, or `HEIGHT/INDEX/N`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a place of a capsule is HEIGHT or HEIGHT/INDEX/N";
        let mut parts = text.split('/');
        let height = parts.next().and_then(|height| height.parse().ok()).ok_or(wrong)?;
        let (index, n) = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => (0, 0),
            (Some(index), Some(n), None) => {
                (index.parse().map_err(|_| wrong)?, n.parse().map_err(|_| wrong)?)
            }
            _ => return Err(wrong),
        };
        Ok(Self { height, index, n })
    }
}
