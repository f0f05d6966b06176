//! What a business type says of itself beside its table (section 11.0).

use stateset_ledger_types::body::TimeWindow;
use stateset_ledger_types::codec::{Decode, Encode, Text, record};
use stateset_ledger_types::ids::{Amount, EntityId, LinearId};

use crate::evidence::PaymentEvidence;
use crate::facts::Facts;
use crate::table::{Holders, Role, Table};

record! {
    /// How every content begins.
    pub struct Head {
        /// Unique per issuer by convention.
        pub number: Text<64>,
        /// Code of the type's status.
        pub status: u16,
        /// From 1, one more with each command.
        pub version: u64,
        /// Unix milliseconds, inside the window of the transaction that created the state.
        pub created_at: u64,
        /// Unix milliseconds, inside the window of the last transaction.
        pub updated_at: u64,
    }
}

/// What a command, its conditions and its effect are told.
pub struct Ask<'a, C: StateType> {
    pub linear_id: LinearId,
    /// `None` where the command creates.
    pub before: Option<&'a C>,
    pub command: &'a C::Command,
    /// The new `updated_at`.
    pub at_ms: u64,
    pub window: &'a TimeWindow,
    pub facts: &'a Facts,
}

/// A type of state with a transition table.
///
/// The next state is computed, not described: [`Row::effect`](crate::table::Row::effect) makes it of the state before and
/// the command, and a transaction's output has to be that, byte for byte. So whatever a command does not name is unchanged.
pub trait StateType: Clone + PartialEq + Encode + Decode + serde::Serialize + Sized + 'static {
    /// Arguments by tag: a `choice!`, whose tags are those of the table's rows.
    type Command: Encode + Decode + Clone + PartialEq + std::fmt::Debug;

    fn table() -> &'static Table<Self>;
    /// Tag of a command's row.
    fn tag(command: &Self::Command) -> u16;

    fn head(&self) -> &Head;
    fn head_mut(&mut self) -> &mut Head;
    /// `active`: whether the status is not terminal.
    fn set_active(&mut self, active: bool);

    /// Who has the role.
    fn role(&self, role: Role) -> Option<EntityId>;
    /// By whom the state is held.
    fn holders(&self) -> Holders;
    /// Every entity that takes part.
    fn participants(&self) -> Vec<EntityId>;

    /// The state that a creating command begins with; head and effect are filled in by the rules. `None` for a command that
    /// does not create.
    fn created(command: &Self::Command) -> Option<Self>;
    /// What an agent's key would commit its entity to, at most.
    fn stake(command: &Self::Command, before: Option<&Self>) -> Option<Amount>;
    /// Payments that the command rests on.
    fn evidence(command: &Self::Command) -> Vec<&PaymentEvidence>;
}
