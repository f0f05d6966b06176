//! Making the next state: what a command makes of a state, who has to sign, who takes part; and the body of a transaction.

use std::collections::BTreeSet;

use stateset_ledger_types::body::{Body, Command, Header, One, OutputState, Participant, TimeWindow};
use stateset_ledger_types::codec::{Blob, List, Set};
use stateset_ledger_types::ids::{ContractId, EntityId, LinearId};
use stateset_ledger_types::keys::PublicKey;
use stateset_ledger_types::policy::Policy;
use stateset_ledger_types::{Code, Refusal};

use crate::facts::Facts;
use crate::rules::{self, required, whole_window};
use crate::state_type::{Ask, StateType};
use crate::table::Holders;
use crate::validate::Resolved;

/// One command on one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move<'a, C: StateType> {
    /// 16 random bytes where the command creates.
    pub linear_id: LinearId,
    /// The state as it is; `None` where the command creates.
    pub before: Option<&'a C>,
    pub command: C::Command,
    /// Unix milliseconds, inside the window.
    pub at_ms: u64,
}

/// What a command makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft<C> {
    /// The content after; `None` where the command leaves no state.
    pub content: Option<C>,
    /// The same as an output of a transaction.
    pub output: Option<OutputState>,
    /// With the keys of `signers`.
    pub command: Command,
    /// Each of them signs the transaction.
    pub signers: BTreeSet<EntityId>,
    /// Everyone who takes part in the state before or after: they all receive the transaction (4.2, step 11).
    pub participants: BTreeSet<EntityId>,
}

/// Applies `step` by the rules of its table. `key_of` chooses the key by which an entity signs and holds states;
/// [`Facts::ledger_key`] is the usual choice.
///
/// # Errors
/// Those of the contract: BAD_TRANSITION, INVARIANT; NOT_AUTHORISED for an entity without a key.
pub fn draft<C: StateType>(
    step: &Move<'_, C>,
    window: &TimeWindow,
    facts: &Facts,
    key_of: &dyn Fn(&EntityId) -> Option<PublicKey>,
) -> Result<Draft<C>, Refusal> {
    let table = C::table();
    let row = table.row(C::tag(&step.command)).expect("a command has a row");
    let window = whole_window(Some(window))?;
    let (linear_id, at_ms) = (step.linear_id, step.at_ms);
    let ask = Ask { linear_id, before: step.before, command: &step.command, at_ms, window, facts };
    let content = rules::advance(&ask, row)?;
    let signers = required(row, step.before, content.as_ref())?;
    let key = |entity: &EntityId| {
        let missing = || Refusal::new(Code::NotAuthorised, format!("entity {entity} has no live ledger key"));
        key_of(entity).ok_or_else(missing)
    };
    let keys: Vec<PublicKey> = signers.iter().map(key).collect::<Result<_, _>>()?;
    let command = rules::command::<C>(&linear_id, &step.command, keys)?;
    let output = content.as_ref().map(|content| output(linear_id, content, &key)).transpose()?;
    let both = step.before.into_iter().chain(content.as_ref());
    let participants = both.flat_map(StateType::participants).collect();
    Ok(Draft { content, output, command, signers, participants })
}

fn output<C: StateType>(
    linear_id: LinearId,
    content: &C,
    key: &dyn Fn(&EntityId) -> Result<PublicKey, Refusal>,
) -> Result<OutputState, Refusal> {
    let table = C::table();
    let too_much = |error| Refusal::new(Code::TooLarge, error);
    let participants: BTreeSet<EntityId> = content.participants().into_iter().collect();
    Ok(OutputState {
        type_id: table.type_id,
        schema_version: table.schema_version,
        linear_id: Some(linear_id),
        contract_id: ContractId::new(table.contract).expect("a table names its contract well"),
        participants: Set::new(participants.into_iter().map(Participant::Entity)).map_err(too_much)?,
        policy: policy(&content.holders(), key)?,
        encumbrance: None,
        data_class: table.data_class,
        content: Blob::new(content.to_sce()).map_err(too_much)?,
    })
}

/// One key of each holder.
fn policy(
    holders: &Holders,
    key: &dyn Fn(&EntityId) -> Result<PublicKey, Refusal>,
) -> Result<Policy, Refusal> {
    let (all, threshold) = match holders {
        Holders::One(holder) => (std::slice::from_ref(holder), 1),
        Holders::Any(any) => (any.as_slice(), 1),
        Holders::All(all) => (all.as_slice(), all.len()),
    };
    let keys: Vec<PublicKey> = all.iter().map(key).collect::<Result<_, _>>()?;
    let wrong = |error| Refusal::new(Code::Invariant, error);
    let threshold = u8::try_from(threshold).map_err(wrong)?;
    Policy::new(threshold, keys).map_err(|error| Refusal::new(Code::Invariant, error))
}

/// A body of these commands, consuming `inputs`, without references, attachments, capsules and memo: put them in before the
/// id is computed.
///
/// # Errors
/// TOO_LARGE.
pub fn assemble(
    header: Header,
    window: TimeWindow,
    inputs: &[Resolved],
    commands: impl IntoIterator<Item = (Command, Option<OutputState>)>,
) -> Result<Body, Refusal> {
    fn list<T, const MAX: usize>(values: Vec<T>) -> Result<List<T, MAX>, Refusal> {
        List::new(values).map_err(|error| Refusal::new(Code::TooLarge, error))
    }
    let (commands, outputs): (Vec<Command>, Vec<Option<OutputState>>) = commands.into_iter().unzip();
    Ok(Body {
        nullifiers: list(inputs.iter().map(Resolved::nullifier).collect())?,
        outputs: list(outputs.into_iter().flatten().collect())?,
        commands: list(commands)?,
        references: List::default(),
        attachments: List::default(),
        time_window: list(vec![window])?,
        header: One(header),
        inputs: list(inputs.iter().map(|input| input.place).collect())?,
        capsules: List::default(),
        memo: List::default(),
    })
}
