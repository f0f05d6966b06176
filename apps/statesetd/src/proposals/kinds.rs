//! Kinds of proposals, as they are written on a command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stateset_ledger_types::entity::Role;
use stateset_ledger_types::ids::{ContractId, Denom};
use ves::Digest;

use crate::times::moment;

/// What is proposed. A company is admitted by `statesetd org admit` or `stateset org create`.
#[derive(Debug, Subcommand)]
pub enum ProposalKind {
    /// A text that members agree on; the ledger keeps its hash
    Text(TextArgs),
    /// Parameters of the ledger, inside their bounds
    Params(ParamsArgs),
    /// A member's roles, the money it may mint, its votes; or the end of its suspension
    Member(MemberArgs),
    /// Suspend a member
    Suspend(SuspendArgs),
    /// Put a member out for good
    Revoke(RevokeArgs),
    /// A root certificate of the network
    Root(RootArgs),
    /// Who orders the chain, with which weight
    Validator(ValidatorArgs),
    /// A version of a contract: register, activate, deprecate
    Contract(ContractArgs),
    /// A new version of the ledger's rules at a height; proposed by a COMMITTER
    Upgrade(UpgradeProposalArgs),
    /// Refuse kinds of requests until a time; the notaries decide at once
    CircuitBreak(CircuitBreakArgs),
    /// Take kinds of requests again; the notaries decide at once
    CircuitReset(CircuitResetArgs),
    /// Who may propose upgrades: the whole new set
    Committers(CommittersArgs),
    /// Whose attestations the ledger asks for under a policy
    Attesters(AttestersProposalArgs),
    /// A merchant's own fee rate
    MerchantRate(MerchantRateArgs),
    /// A new denomination of money; who may mint it is said by `member`
    Denom(DenomArgs),
}

#[derive(Debug, Args)]
pub struct TextArgs {
    /// The file with the text
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct ParamsArgs {
    /// A parameter and its value, such as voting_blocks=100
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = crate::args::param)]
    pub changes: Vec<(String, u64)>,
}

#[derive(Debug, Args)]
pub struct MemberArgs {
    /// The member
    pub member: String,
    /// A role it gets; may be given again
    #[arg(long = "role", value_name = "ROLE", value_enum)]
    pub roles: Vec<RoleWord>,
    /// A role it loses; may be given again
    #[arg(long = "no-role", value_name = "ROLE", value_enum)]
    pub no_roles: Vec<RoleWord>,
    /// A denomination that it may mint and burn; may be given again
    #[arg(long = "issuer-of", value_name = "DENOM")]
    pub issuer_of: Vec<Denom>,
    /// A denomination that it may mint no more; may be given again
    #[arg(long = "not-issuer-of", value_name = "DENOM")]
    pub not_issuer_of: Vec<Denom>,
    /// The weight of its votes
    #[arg(long, value_name = "WEIGHT")]
    pub voting_power: Option<u32>,
    /// End its suspension
    #[arg(long)]
    pub readmit: bool,
    /// DER of its certificate [default: that of a company of this machine]
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SuspendArgs {
    /// The member
    pub member: String,
    /// Why, for the members and the record
    #[arg(long)]
    pub reason: String,
    /// When it ends, as 2026-12-31 (UTC) or 2026-12-31T10:00:00Z [default: when members say so; 7 days if expedited]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<u64>,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The member
    pub member: String,
    /// Why, for the members and the record
    #[arg(long)]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct RootArgs {
    /// Number of the root
    pub number: u32,
    /// DER of its certificate
    #[arg(required_unless_present = "remove")]
    pub file: Option<PathBuf>,
    /// Take it away
    #[arg(long, conflicts_with = "file")]
    pub remove: bool,
}

#[derive(Debug, Args)]
pub struct ValidatorArgs {
    /// Whose validator it is: a member with the role NOTARY
    pub member: String,
    /// Its weight; 0 removes it
    #[arg(long)]
    pub power: u32,
    /// Its Ed25519 key in hexadecimal [default: the member's one key of this purpose]
    #[arg(long, value_name = "HEX")]
    pub key: Option<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContractStep {
    Register,
    Activate,
    Deprecate,
}

#[derive(Debug, Args)]
pub struct ContractArgs {
    #[arg(value_enum)]
    pub step: ContractStep,
    /// Such as native:invoice
    pub contract: ContractId,
    #[arg(value_name = "VERSION")]
    pub contract_version: u32,
    /// SHA-256 of its code, in hexadecimal
    pub code_hash: Digest,
}

#[derive(Debug, Args)]
pub struct UpgradeProposalArgs {
    /// Name of the upgrade, as the new program knows it
    pub name: String,
    /// The first block under the new rules
    pub height: u64,
    /// The new program, whose hash the members agree on
    #[arg(long, value_name = "FILE", required_unless_present = "binary_hash")]
    pub binary: Option<PathBuf>,
    /// SHA-256 of the new program, in hexadecimal
    #[arg(long, value_name = "HEX", conflicts_with = "binary")]
    pub binary_hash: Option<Digest>,
    /// What operators are told, such as where the program is found
    #[arg(long, default_value = "")]
    pub info: String,
}

/// A kind of request (network.md 3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindWord {
    Notarise,
    PublicTx,
    Governance,
    ContestOpen,
    ContestAnswer,
}

#[derive(Debug, Args)]
pub struct CircuitBreakArgs {
    #[arg(required = true, value_enum, value_name = "KIND")]
    pub kinds: Vec<KindWord>,
    /// When it ends, as 2026-12-31 (UTC) or 2026-12-31T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: u64,
}

#[derive(Debug, Args)]
pub struct CircuitResetArgs {
    #[arg(required = true, value_enum, value_name = "KIND")]
    pub kinds: Vec<KindWord>,
}

#[derive(Debug, Args)]
pub struct CommittersArgs {
    /// The members
    #[arg(required = true, value_name = "MEMBER")]
    pub members: Vec<String>,
}

#[derive(Debug, Args)]
pub struct AttestersProposalArgs {
    /// Number of the policy: transactions name it
    pub policy: u32,
    /// Members with the role ATTESTER
    #[arg(value_name = "MEMBER", required_unless_present = "remove")]
    pub members: Vec<String>,
    /// How many of them are enough [default: all]
    #[arg(long, value_name = "COUNT", requires = "members")]
    pub threshold: Option<u32>,
    /// Take the policy away
    #[arg(long, conflicts_with = "members")]
    pub remove: bool,
}

#[derive(Debug, Args)]
pub struct MerchantRateArgs {
    /// The merchant
    pub member: String,
    /// In ten-thousandths of what it is paid
    #[arg(required_unless_present = "default", value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub bps: Option<u16>,
    /// Take the default of the ledger again
    #[arg(long, conflicts_with = "bps")]
    pub default: bool,
}

#[derive(Debug, Args)]
pub struct DenomArgs {
    pub denom: Denom,
    /// Decimal places of its main unit
    #[arg(value_parser = clap::value_parser!(u8).range(0..=18))]
    pub places: u8,
}

/// A role (network.md 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    Notary,
    Attester,
    Factor,
    Lender,
    Financer,
    Compliance,
    Arbiter,
    Relayer,
}

impl RoleWord {
    pub const fn role(self) -> Role {
        match self {
            Self::Notary => Role::Notary,
            Self::Attester => Role::Attester,
            Self::Factor => Role::Factor,
            Self::Lender => Role::Lender,
            Self::Financer => Role::Financer,
            Self::Compliance => Role::Compliance,
            Self::Arbiter => Role::Arbiter,
            Self::Relayer => Role::Relayer,
        }
    }
}
