//! Proposals, votes and what they carry out (section 12.1).

use ves::Digest;

use crate::bank::DenomRecord;
use crate::codec::{Blob, List, Set, Text, choice, codes, record};
use crate::entity::Entity;
use crate::envelope::{ATTESTATIONS_MAX, Kind};
use crate::ids::{ContractId, EntityId};
use crate::params::ParamName;

/// Most actions of a proposal.
pub const ACTIONS_MAX: usize = 16;

record! {
    pub struct TextAction {
        pub hash: Digest,
    }
    pub struct ParamChange {
        pub name: ParamName,
        pub value: u64,
    }
    pub struct ParamChanges {
        pub changes: List<ParamChange, 64>,
    }
    /// A record with the certificates that it rests on, the leaf first; only their hash is kept.
    pub struct EntityRecord {
        pub record: Entity,
        pub certificates: List<Blob<8192>, 8>,
    }
    pub struct EntitySuspend {
        pub entity: EntityId,
        pub reason: Text<512>,
        /// Unix milliseconds; without it the suspension stands until a record without it.
        pub until: Option<u64>,
    }
    pub struct EntityRevoke {
        pub entity: EntityId,
        pub reason: Text<512>,
    }
    /// Root certificates of the network, by number.
    pub struct RootChange {
        pub number: u32,
        /// DER; empty removes the root.
        pub certificate: Blob<8192>,
    }
    /// Power 0 removes the validator.
    pub struct ValidatorChange {
        pub entity: EntityId,
        /// Ed25519, one of the entity's keys with purpose VALIDATOR_CONSENSUS.
        pub key: Digest,
        pub power: u32,
    }
    pub struct ContractVersion {
        pub contract_id: ContractId,
        pub version: u32,
        pub code_hash: Digest,
    }
    pub struct SoftwareUpgrade {
        pub name: Text<64>,
        pub height: u64,
        pub binary_hash: Digest,
        pub info: Text<1024>,
    }
    pub struct CircuitBreak {
        pub kinds: Set<Kind, 8>,
        /// Unix milliseconds.
        pub until: u64,
    }
    pub struct CircuitReset {
        pub kinds: Set<Kind, 8>,
    }
    pub struct ClientRecover {
        pub subject: Text<64>,
        pub substitute: Text<64>,
    }
    pub struct IbcUpgrade {
        pub height: u64,
        pub client_state: Blob<65536>,
    }
    pub struct ChannelAllow {
        pub connection: Text<64>,
        pub port: Text<128>,
    }
    /// Who sponsors upgrades: the whole new set.
    pub struct CommitterChange {
        pub entities: Set<EntityId, 256>,
    }
    /// Who attests under a policy from now on; `None` removes it (5.4).
    pub struct AttestersChange {
        pub id: u32,
        pub policy: Option<AttesterPolicy>,
    }
    /// A merchant's own fee rate, in ten-thousandths; `None` takes the default again (10.2).
    pub struct MerchantRate {
        pub merchant: EntityId,
        pub bps: Option<u16>,
    }
}

choice! {
    /// What a proposal does when it is executed. Tags are ours.
    pub enum Action {
        Text(TextAction) = 1,
        ParamChange(ParamChanges) = 2,
        EntityAdmit(Box<EntityRecord>) = 3,
        EntityUpdate(Box<EntityRecord>) = 4,
        EntitySuspend(EntitySuspend) = 5,
        EntityRevoke(EntityRevoke) = 6,
        RootChange(RootChange) = 7,
        ValidatorChange(ValidatorChange) = 8,
        ContractRegister(ContractVersion) = 9,
        ContractActivate(ContractVersion) = 10,
        ContractDeprecate(ContractVersion) = 11,
        SoftwareUpgrade(SoftwareUpgrade) = 12,
        CircuitBreak(CircuitBreak) = 13,
        CircuitReset(CircuitReset) = 14,
        ClientRecover(ClientRecover) = 15,
        IbcUpgrade(IbcUpgrade) = 16,
        ChannelAllow(ChannelAllow) = 17,
        CommitterChange(CommitterChange) = 18,
        MerchantRate(MerchantRate) = 19,
        /// A new denomination, of which there is nothing yet; who may mint it is said in members' records.
        DenomAdd(DenomRecord) = 20,
        AttestersChange(AttestersChange) = 21,
    }

    /// A governance request.
    pub enum GovernanceMessage {
        Submit(Box<Submit>) = 1,
        Sponsor(Sponsor) = 2,
        Vote(Vote) = 3,
    }
}

/// How many votes an action needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Threshold {
    /// More than half of yes and no.
    Majority,
    /// At least two thirds of yes and no.
    TwoThirds,
}

impl Action {
    pub const fn threshold(&self) -> Threshold {
        match self {
            Self::EntityRevoke(_)
            | Self::RootChange(_)
            | Self::ValidatorChange(_)
            | Self::SoftwareUpgrade(_)
            | Self::ClientRecover(_)
            | Self::IbcUpgrade(_)
            | Self::ChannelAllow(_)
            | Self::CommitterChange(_)
            | Self::AttestersChange(_) => Threshold::TwoThirds,
            _ => Threshold::Majority,
        }
    }

    /// Whether two thirds of the notaries may carry it out at once.
    pub const fn may_be_expedited(&self) -> bool {
        matches!(self, Self::EntitySuspend(_) | Self::CircuitBreak(_) | Self::CircuitReset(_))
    }

    /// Whether it is only ever carried out by the notaries.
    pub const fn is_only_expedited(&self) -> bool {
        matches!(self, Self::CircuitBreak(_) | Self::CircuitReset(_))
    }
}

codes! {
    pub enum VoteChoice: u8 {
        Yes = 1,
        No = 2,
        Abstain = 3,
        NoWithVeto = 4,
    }

    pub enum ContractStatus: u8 {
        Inactive = 1,
        Active = 2,
        Deprecated = 3,
    }

    /// Life of a proposal.
    pub enum ProposalStatus: u8 {
        /// Collects sponsors.
        Submitted = 1,
        Voting = 2,
        /// Waits for its height.
        Passed = 3,
        Executed = 4,
        Failed = 5,
        Rejected = 6,
        Vetoed = 7,
        Expired = 8,
    }
}

impl ProposalStatus {
    /// Whether it can still be carried out.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Submitted | Self::Voting | Self::Passed)
    }
}

record! {
    pub struct Submit {
        pub title: Text<256>,
        /// All are carried out, or none.
        pub actions: List<Action, ACTIONS_MAX>,
        /// By two thirds of the notaries, at once.
        pub expedited: bool,
    }
    pub struct Sponsor {
        pub proposal: u64,
    }
    pub struct Vote {
        pub proposal: u64,
        pub choice: VoteChoice,
    }

    /// `gov/proposal/<id>`.
    pub struct Proposal {
        pub id: u64,
        pub content: Submit,
        pub status: ProposalStatus,
        pub sponsors: Set<EntityId, 4096>,
        pub submitted_height: u64,
        /// Last height at which what the status waits for may come.
        pub deadline_height: u64,
        /// Why it failed.
        pub reason: Text<1024>,
    }

    /// `contracts/id/<contract_id>/<version>`, and one entry of `contracts/set`.
    pub struct ContractRecord {
        pub contract_id: ContractId,
        pub version: u32,
        pub code_hash: Digest,
        pub status: ContractStatus,
    }

    /// `contracts/set`: what `contract_set_hash` is of, by contract and version.
    pub struct ContractSet {
        pub contracts: List<ContractRecord, 4096>,
    }

    /// One who may vote, as fixed when voting began.
    pub struct Voter {
        pub entity: EntityId,
        pub power: u32,
        pub is_notary: bool,
    }

    /// `gov/voters/<id>`.
    pub struct Electorate {
        pub voters: List<Voter, 16384>,
    }

    /// A record as a proposal found it.
    pub struct RecordBase {
        pub entity: EntityId,
        /// SHA-256 of the record but for its compliance profile, which no proposal writes.
        pub hash: Digest,
    }

    /// `gov/bases/<id>`, while the proposal is open: the records that it replaces. What was decided on them meanwhile is not undone.
    pub struct RecordBases {
        pub records: List<RecordBase, ACTIONS_MAX>,
    }

    /// `gov/attester/<id>`: who has to attest (5.4).
    pub struct AttesterPolicy {
        pub threshold: u32,
        pub entities: Set<EntityId, 256>,
    }
}

/// Why a policy may not stand in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttesterPolicyError {
    #[error("the threshold is {threshold}: it is at least 1 and at most the {attesters} attesters")]
    Threshold { threshold: u32, attesters: usize },
    #[error("the threshold is {0}: a request has room for {ATTESTATIONS_MAX} attestations")]
    Room(u32),
}

impl AttesterPolicy {
    /// That some of its attesters are enough, and that a request can hold so many attestations.
    ///
    /// # Errors
    /// [`AttesterPolicyError`].
    pub fn check(&self) -> Result<(), AttesterPolicyError> {
        let (threshold, attesters) = (self.threshold, self.entities.len());
        if threshold == 0 || threshold as usize > attesters {
            return Err(AttesterPolicyError::Threshold { threshold, attesters });
        }
        if threshold as usize > ATTESTATIONS_MAX {
            return Err(AttesterPolicyError::Room(threshold));
        }
        Ok(())
    }
}

impl ContractSet {
    /// `contract_set_hash` (9.2).
    pub fn hash(&self) -> Digest {
        crate::hash::hash(crate::hash::Domain::ContractSet, &[&crate::codec::Encode::to_sce(self)])
    }
}
