//! What the notary writes, and the bytes of a certificate (section 5).

use ves::Digest;

use crate::codec::{Blob, List, Text, record};
use crate::ids::{ChainId, TxId};
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

    /// A range of capsule entries as answered to a query.
    pub struct CapsulePage {
        pub entries: List<CapsuleEntry, 500>,
        /// Height to go on from; 0 at the end.
        pub next_height: u64,
    }
}
