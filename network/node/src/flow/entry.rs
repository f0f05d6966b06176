//! Steps of a flow as the journal keeps them, and what follows from them.

use stateset_ledger_types::Code;
use stateset_ledger_types::codec::{Blob, List, Set, Text, choice, record};
use stateset_ledger_types::envelope::Attestation;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::notary::{CertificateRecord, NotaryRecord};
use stateset_peer::message::{FlowId, Signatures, Whole};
use ves::Digest;

use super::attesting::{Quorum, Unattested};

record! {
    /// What one capsule is sealed with; the ciphertext follows from it.
    #[derive(Copy)]
    pub struct Seal {
        /// X25519.
        pub view_key: Digest,
        pub ephemeral_secret: Digest,
    }

    /// Whose capsule.
    #[derive(Copy)]
    pub struct SealOf {
        pub recipient: EntityId,
        pub seal: Seal,
    }

    /// A transaction was built here.
    pub struct Built {
        pub flow_id: FlowId,
        pub whole: Whole,
        /// In the order of group 8.
        pub seals: List<SealOf, 64>,
        /// Others that have to sign.
        pub signers: Set<EntityId, 64>,
        /// Others that take part.
        pub informed: Set<EntityId, 64>,
        pub own: Signatures,
    }

    /// A proposal came.
    pub struct Received {
        pub flow_id: FlowId,
        pub from: EntityId,
        /// This node's role in it, in the contract's word.
        pub role: Text<64>,
        pub whole: Whole,
    }

    /// A proposal was resolved and holds.
    #[derive(Copy)]
    pub struct Judged {
        /// This node's signature is asked for.
        pub signs: bool,
    }

    /// A participant's signatures came.
    pub struct SignedBy {
        pub entity: EntityId,
        pub signatures: Signatures,
    }

    /// The request that is submitted.
    pub struct Assembled {
        pub request: Blob<1048576>,
    }

    /// The end without notarisation, or with one that the rules refuse.
    pub struct Ended {
        pub code: Code,
        pub text: Text<1024>,
        /// The other side said so.
        pub by_peer: bool,
    }

    /// The transaction is on the ledger, and the rules hold there.
    pub struct Notarised {
        pub record: NotaryRecord,
        /// Of the block, Unix milliseconds.
        pub time_ms: u64,
        pub certificate: CertificateRecord,
        /// All of them.
        pub signatures: Signatures,
        /// Entities of its inputs and outputs.
        pub members: Set<EntityId, 4096>,
    }
}

choice! {
    /// A step.
    pub enum Entry {
        Built(Box<Built>) = 1,
        Received(Box<Received>) = 2,
        Judged(Judged) = 3,
        /// A person has to decide.
        Asked(()) = 4,
        Accepted(()) = 5,
        /// This node's signatures, about to be sent.
        Signed(Box<Signatures>) = 6,
        SignedBy(Box<SignedBy>) = 7,
        Assembled(Assembled) = 8,
        Submitted(()) = 9,
        /// The ledger refused for now.
        Again(Ended) = 10,
        /// All signatures, from the builder.
        Told(Box<Signatures>) = 11,
        Notarised(Box<Notarised>) = 12,
        Ended(Ended) = 13,
        /// Whom the builder asks to attest.
        Quorum(Quorum) = 14,
        /// An attester has attested.
        AttestedBy(Attestation) = 15,
        Unattested(Unattested) = 16,
        /// This node's own attestation, about to be sent.
        Attested(Attestation) = 17,
    }

    /// What follows from a step. Each may be done more than once and means the same.
    pub enum Effect {
        Propose(EntityId) = 1,
        /// Stores capsules and sealed signatures, makes the request.
        Publish(()) = 2,
        Submit(()) = 3,
        /// Looks whether the ledger has it, or can't have it any more.
        Await(()) = 4,
        Finalise(EntityId) = 5,
        Reject(EntityId) = 6,
        /// Resolves and checks a proposal.
        Judge(()) = 7,
        Decide(()) = 8,
        Sign(()) = 9,
        /// Sends this node's signatures.
        Answer(EntityId) = 10,
        /// Finds out who may attest.
        Quorum(()) = 11,
        /// Shows an attester all that it judges by.
        Attest(EntityId) = 12,
    }
}

impl Ended {
    /// `text` is cut to what fits.
    pub fn new(code: Code, text: impl std::fmt::Display, by_peer: bool) -> Self {
        let said: String = text.to_string().chars().filter(|c| *c != '\0').take(256).collect();
        Self { code, text: Text::new(said).expect("256 characters have at most 1024 bytes"), by_peer }
    }
}

impl From<crate::capsule::Seal> for Seal {
    fn from(seal: crate::capsule::Seal) -> Self {
        Self { view_key: Digest(seal.view_key), ephemeral_secret: Digest(seal.ephemeral_secret) }
    }
}
impl From<Seal> for crate::capsule::Seal {
    fn from(seal: Seal) -> Self {
        Self { view_key: seal.view_key.0, ephemeral_secret: seal.ephemeral_secret.0 }
    }
}
