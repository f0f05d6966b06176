//! Value in Public mode: commands of the contract `native:bank` and what they write (section 10).

use ves::Digest;

use crate::codec::{List, choice, codes, record};
use crate::hash::{Domain, hash, length};
use crate::ids::{AccountId, Amount, ChainId, Denom, EntityId, SettlementId, Units};
use crate::keys::{PublicKey, Signature};

/// The contract that these commands name.
pub const BANK: &str = "native:bank";

/// Most charges of a batch under any setting of `max_batch`.
pub const BATCH_MAX: usize = 1000;

record! {
    /// Payer to payee, at once.
    pub struct Transfer {
        pub payer: EntityId,
        pub payee: AccountId,
        pub amount: Amount,
        /// What it pays for, hidden (10.3).
        pub reference: Option<Digest>,
    }
    pub struct EscrowCreate {
        pub payer: EntityId,
        pub payee: AccountId,
        pub amount: Amount,
        pub arbiter: Option<EntityId>,
        /// Unix milliseconds.
        pub expires_at: u64,
        pub reference: Option<Digest>,
    }
    /// Everything that is still locked, to the payee.
    pub struct EscrowRelease {
        pub escrow: SettlementId,
        /// The payer or the arbiter.
        pub by: EntityId,
    }
    /// Part or all of what is locked, back to the payer.
    pub struct EscrowRefund {
        pub escrow: SettlementId,
        /// The payee or the arbiter.
        pub by: EntityId,
        pub units: Units,
    }
    /// A payer's leave to a merchant to collect up to `cap` in all.
    pub struct Mandate {
        pub payer: EntityId,
        pub merchant: EntityId,
        pub cap: Amount,
        /// Unix milliseconds.
        pub expires_at: u64,
    }
    pub struct SignedMandate {
        pub mandate: Mandate,
        /// A ledger key of the payer.
        pub key: PublicKey,
        pub signature: Signature,
    }
    pub struct Charge {
        pub mandate: SignedMandate,
        pub units: Units,
        pub reference: Option<Digest>,
    }
    pub struct BatchCreate {
        pub merchant: EntityId,
        pub charges: List<Charge, BATCH_MAX>,
    }
    /// All charges of a batch, or none.
    pub struct BatchSettle {
        pub merchant: EntityId,
        pub batch: SettlementId,
    }
    pub struct ChannelOpen {
        pub payer: EntityId,
        pub payee: EntityId,
        pub deposit: Amount,
        /// Unix milliseconds: from then on the payer may close alone.
        pub expires_at: u64,
    }
    /// What the payer promises of a channel so far.
    pub struct Claim {
        pub channel: SettlementId,
        pub cumulative: Units,
        pub nonce: u64,
    }
    pub struct ChannelClaim {
        pub claim: Claim,
        /// A ledger key of the payer.
        pub key: PublicKey,
        pub signature: Signature,
    }
    pub struct ChannelClose {
        pub channel: SettlementId,
        pub by: EntityId,
    }
    pub struct Mint {
        pub issuer: EntityId,
        pub to: AccountId,
        pub amount: Amount,
    }
    /// From the issuer's own account.
    pub struct Burn {
        pub issuer: EntityId,
        pub amount: Amount,
    }
}

choice! {
    /// Arguments of a command of [`BANK`]; the tag is the command's.
    pub enum BankCommand {
        Transfer(Transfer) = 1,
        EscrowCreate(EscrowCreate) = 2,
        EscrowRelease(EscrowRelease) = 3,
        EscrowRefund(EscrowRefund) = 4,
        BatchCreate(BatchCreate) = 5,
        BatchSettle(BatchSettle) = 6,
        ChannelOpen(ChannelOpen) = 7,
        ChannelClaim(ChannelClaim) = 8,
        ChannelClose(ChannelClose) = 9,
        Mint(Mint) = 10,
        Burn(Burn) = 11,
    }
}

codes! {
    pub enum SettlementKind: u8 {
        Instant = 1,
        Escrow = 2,
        Batch = 3,
        Channel = 4,
    }
    pub enum SettlementStatus: u8 {
        Pending = 1,
        Completed = 2,
        Refunded = 3,
        Cancelled = 4,
    }
}

record! {
    /// `settle/s/<id>`: a payment.
    pub struct Settlement {
        pub kind: SettlementKind,
        pub payer: EntityId,
        pub payee: AccountId,
        pub amount: Amount,
        /// Part of the amount that went to the collector.
        pub fee: Units,
        pub status: SettlementStatus,
        pub reference: Option<Digest>,
        pub height: u64,
    }

    /// `settle/escrow/<id>`; the settlement of the same id tells its status.
    pub struct Escrow {
        pub payer: EntityId,
        pub payee: AccountId,
        pub denom: Denom,
        /// Still locked.
        pub locked: Units,
        pub arbiter: Option<EntityId>,
        pub expires_at: u64,
    }

    /// `settle/batch/<id>`.
    pub struct Batch {
        pub merchant: EntityId,
        pub charges: List<Charge, BATCH_MAX>,
        pub settled: bool,
    }

    /// `settle/chan/<id>`.
    pub struct Channel {
        pub payer: EntityId,
        pub payee: EntityId,
        pub denom: Denom,
        pub deposit: Units,
        /// Paid out so far.
        pub claimed: Units,
        /// Of the last claim.
        pub nonce: u64,
        pub expires_at: u64,
    }

    /// `settle/agent/<key>/<denom>`: what an agent's key moved on its last day, counted from 1970.
    pub struct AgentDay {
        pub day: u64,
        pub units: Units,
    }

    /// `bank/denom/<denom>`. Who may mint is in the members' records.
    pub struct DenomRecord {
        pub denom: Denom,
        /// Decimal places of its main unit.
        pub exponent: u8,
    }
}

impl DenomRecord {
    /// Most places of a denomination: its smallest unit is one of 128 bits, and whole ones have to fit, too.
    pub const EXPONENT_MAX: u8 = 18;
}

impl Mandate {
    /// What the payer signs.
    pub fn message(&self, chain_id: &ChainId) -> Digest {
        signed(Domain::Mandate, chain_id, &crate::codec::Encode::to_sce(self))
    }
}

impl Claim {
    /// What the payer signs.
    pub fn message(&self, chain_id: &ChainId) -> Digest {
        signed(Domain::Claim, chain_id, &crate::codec::Encode::to_sce(self))
    }
}

fn signed(domain: Domain, chain_id: &ChainId, sce: &[u8]) -> Digest {
    let chain = chain_id.as_str().as_bytes();
    hash(domain, &[&length(chain), chain, sce])
}

/// `ref_hash` of a payment (10.3): one step of one state, hidden by `blind`.
pub fn payment_reference(linear_id: &crate::ids::LinearId, version: u64, blind: &Digest) -> Digest {
    hash(Domain::PaymentReference, &[&linear_id.0, &version.to_be_bytes(), &blind.0])
}
