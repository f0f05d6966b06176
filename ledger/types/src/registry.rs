//! What members and the role COMPLIANCE write in Public mode beside value and states: commands of the contract
//! `native:registry` and what they write (sections 1.3, 3.4, 11.12).

use ves::Digest;

use crate::body::OutputState;
use crate::codec::{choice, record};
use crate::entity::Compliance;
use crate::ids::EntityId;
use crate::tearoff::TearOff;
use crate::tree::Nonce;

/// The contract that these commands name.
pub const REGISTRY: &str = "native:registry";

record! {
    /// Says once for the network that an invoice is being financed, under whatever linear id copies of it may stand (11.12).
    #[derive(Copy)]
    pub struct RecordFingerprint {
        /// Signs.
        pub factor: EntityId,
        pub fingerprint: Digest,
    }

    /// Shows an output of a private transaction, so that this transaction consumes it in public (3.4).
    pub struct Promote {
        /// Shows output `index` with its nonce and path; its id is the notarised transaction's.
        pub tear_off: TearOff,
        pub index: u32,
    }

    /// Writes a member's compliance profile (1.1).
    #[derive(Copy)]
    pub struct SetCompliance {
        /// Has the role COMPLIANCE, and signs.
        pub by: EntityId,
        pub entity: EntityId,
        pub profile: Compliance,
    }
}

choice! {
    /// Arguments of a command of [`REGISTRY`]; the tag is the command's.
    pub enum RegistryCommand {
        RecordFingerprint(RecordFingerprint) = 1,
        Promote(Box<Promote>) = 2,
        SetCompliance(SetCompliance) = 3,
    }
}

record! {
    /// `settle/fingerprint/<hash>`: who is financing the invoice.
    #[derive(Copy)]
    pub struct FingerprintRecord {
        pub factor: EntityId,
        pub height: u64,
    }

    /// `utxo/<tx_id>/<index>`: an output of a Public transaction, with the nonce of its leaf.
    pub struct PublicOutput {
        pub nonce: Nonce,
        pub output: OutputState,
    }
}
