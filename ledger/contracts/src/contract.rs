//! The contract interface (section 9.1): one pure question over one transaction.

use stateset_ledger_types::Refusal;
use stateset_ledger_types::body::{Attachment, OutputState, TimeWindow};
use stateset_ledger_types::ids::{Amount, ContractId, EntityId, LinearId};
use stateset_ledger_types::keys::Scope;
use ves::Digest;

use crate::evidence::PaymentEvidence;
use crate::facts::Facts;

/// Accept, or reject with a code and a text.
pub type Verdict = Result<(), Refusal>;

/// A state as one contract sees it: its own whole, of others which state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    Own(&'a OutputState),
    Other { type_id: u16, linear_id: Option<LinearId> },
}

impl<'a> Seen<'a> {
    pub const fn own(self) -> Option<&'a OutputState> {
        match self {
            Self::Own(state) => Some(state),
            Self::Other { .. } => None,
        }
    }
}

/// An entity whose key a command lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignerView<'a> {
    pub entity: EntityId,
    /// Set for an agent's key: it speaks for the entity only inside this scope (1.2).
    pub scope: Option<&'a Scope>,
}

impl SignerView<'_> {
    /// Whether the signature counts for a command that moves `stake`, at `time_ms`. Amounts of a day are counted by who
    /// sees all of a day: the chain for Public transactions, counterparties for others.
    pub fn speaks(&self, contract: &ContractId, command: u16, stake: Option<&Amount>, time_ms: u64) -> bool {
        let Some(scope) = self.scope else { return true };
        let named = scope.contracts.contains(contract) && scope.commands.contains(&command);
        let live = scope.expires_at.is_none_or(|expires| time_ms < expires);
        let within = match (&scope.amount_per_tx_max, stake) {
            (Some(max), Some(stake)) => max.denom == stake.denom && stake.units <= max.units,
            _ => true,
        };
        named && live && within
    }
}

/// A command of the contract that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandView<'a> {
    pub tag: u16,
    pub args: &'a [u8],
    /// One for each key that the command lists; each of them signed.
    pub signers: Vec<SignerView<'a>>,
}

/// A transaction as one contract sees it.
#[derive(Debug, Clone)]
pub struct TxView<'a> {
    /// In the order of group 7.
    pub inputs: Vec<Seen<'a>>,
    pub outputs: Vec<Seen<'a>>,
    pub references: Vec<Seen<'a>>,
    /// Only those that name this contract.
    pub commands: Vec<CommandView<'a>>,
    pub attachments: &'a [Attachment],
    pub window: Option<&'a TimeWindow>,
    /// Parameters, members with their capabilities, payments: what was proven of the network.
    pub facts: &'a Facts,
}

/// A contract: compiled in (`native:<name>`), or code in a virtual machine.
pub trait Contract: Sync {
    fn id(&self) -> ContractId;
    fn version(&self) -> u32;
    /// Of its rules: two programs with other rules have another hash.
    fn code_hash(&self) -> Digest;
    /// The types of states that it owns.
    fn types(&self) -> &'static [u16];
    /// Whether a state of it that was made in private may be consumed in public (3.4). Contracts of fungible value say no: the
    /// chain cannot tell what was made out of nothing (10.1).
    fn may_be_promoted(&self) -> bool;
    /// Whether its states live in Public mode only (3.4).
    fn is_public_only(&self) -> bool;

    /// Whether the transaction keeps the contract's rules.
    ///
    /// # Errors
    /// NOT_AUTHORISED for a missing signer, BAD_TRANSITION for a pair of command and status that no row allows, INVARIANT
    /// for anything else that is broken, MALFORMED for what does not decode.
    fn verify(&self, view: &TxView<'_>) -> Verdict;

    /// The payments that a command rests on: the caller proves them and puts them into [`Facts`] before it asks.
    ///
    /// # Errors
    /// MALFORMED.
    fn evidence(&self, tag: u16, args: &[u8]) -> Result<Vec<PaymentEvidence>, Refusal>;

    /// The most that a command commits its signers to, of the contract's states among `inputs`: what limits of agents' keys
    /// are held against (1.2).
    ///
    /// # Errors
    /// MALFORMED.
    fn stake(&self, tag: u16, args: &[u8], inputs: &[&OutputState]) -> Result<Option<Amount>, Refusal>;
}
