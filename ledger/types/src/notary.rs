//! What the notary writes, and the certificate made of it (section 5).

use ves::Digest;

use crate::codec::{Blob, List, Text, record};
use crate::ids::TxId;
use crate::tree::Mode;

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

    /// Finality of a transaction, for anyone offline (5.2): the record, two ICS-23 commitment proofs that lead to an app
    /// hash, and the Tendermint light block of the next height, which carries that app hash. Judged by the rules of
    /// 07-tendermint; nothing in it is a signature of its own.
    pub struct Certificate {
        pub chain_id: Text<50>,
        pub tx_id: TxId,
        pub record: NotaryRecord,
        /// Protobuf `ibc.core.commitment.v1.MerkleProof`: under the substore `notary`, then under the app hash.
        pub proof: Blob<65536>,
        /// Protobuf `tendermint.types.LightBlock` of height `record.height + 1` or above: header, commit, validators.
        pub light_block: Blob<1048576>,
    }

    /// Why a transaction was not committed, for a program: which nullifier, and who consumed it.
    #[derive(Copy)]
    pub struct ConflictData {
        pub index: u32,
        pub consumer: TxId,
    }

    /// A range of capsule entries as answered to a query.
    pub struct CapsulePage {
        pub entries: List<CapsuleEntry, 500>,
        /// Height to go on from; 0 at the end.
        pub next_height: u64,
    }
}
