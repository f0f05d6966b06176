//! Section 11.0: the rules that every table is run by.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use stateset_ledger_types::body::{Command, OutputState, TimeWindow};
use stateset_ledger_types::codec::{Decode, DecodeError, Encode, Problem, Reader};
use stateset_ledger_types::ids::{Amount, ContractId, EntityId, LinearId};
use stateset_ledger_types::policy::Policy;
use stateset_ledger_types::{Code, Refusal};
use ves::Digest;
use ves::hash::Hasher;

use crate::contract::{CommandView, Contract, TxView, Verdict};
use crate::evidence::PaymentEvidence;
use crate::facts::Facts;
use crate::state_type::{Ask, StateType};
use crate::table::{From, Holders, Row, Signer, Table, To};

/// The native contract of a type with a table.
pub struct TableContract<C>(PhantomData<fn() -> C>);

impl<C> TableContract<C> {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C: StateType> Contract for TableContract<C> {
    fn id(&self) -> ContractId {
        ContractId::new(C::table().contract).expect("a table names its contract well")
    }
    fn version(&self) -> u32 {
        C::table().version
    }
    fn code_hash(&self) -> Digest {
        Hasher::bare().bytes(&C::table().rules()).finish()
    }
    fn types(&self) -> &'static [u16] {
        std::slice::from_ref(&C::table().type_id)
    }
    fn may_be_promoted(&self) -> bool {
        C::table().may_be_promoted
    }
    fn is_public_only(&self) -> bool {
        false
    }
    fn verify(&self, view: &TxView<'_>) -> Verdict {
        verify::<C>(view)
    }
    fn evidence(&self, tag: u16, args: &[u8]) -> Result<Vec<PaymentEvidence>, Refusal> {
        let (_, command) = read_args::<C>(tag, args)?;
        Ok(C::evidence(&command).into_iter().cloned().collect())
    }
    fn stake(&self, tag: u16, args: &[u8], inputs: &[&OutputState]) -> Result<Option<Amount>, Refusal> {
        let (linear_id, command) = read_args::<C>(tag, args)?;
        let mut own = inputs.iter().filter(|state| state.type_id == C::table().type_id);
        let before = own.find(|state| state.linear_id == Some(linear_id));
        let before = before.map(|state| read_content::<C>(state)).transpose()?;
        Ok(C::stake(&command, before.as_ref()))
    }
}

fn broken(said: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::Invariant, said)
}

/// Arguments as they stand in a [`Command`]: the state that is moved, then the command's own.
pub fn args<C: StateType>(linear_id: &LinearId, command: &C::Command) -> Vec<u8> {
    let tagged = command.to_sce();
    [&linear_id.0, &tagged[2..]].concat()
}

/// Reads what [`args`] wrote.
///
/// # Errors
/// BAD_TRANSITION for a tag that the table does not list, MALFORMED, TOO_LARGE.
pub fn read_args<C: StateType>(tag: u16, args: &[u8]) -> Result<(LinearId, C::Command), Refusal> {
    if C::table().row(tag).is_none() {
        let said = format!("{} has no command {tag}", C::table().contract);
        return Err(Refusal::new(Code::BadTransition, said));
    }
    let mut reader = Reader::new(args);
    let linear_id = LinearId::decode(&mut reader)?;
    let tagged = [&tag.to_be_bytes(), &args[reader.position()..]].concat();
    Ok((linear_id, C::Command::from_sce(&tagged)?))
}

/// Reads a content; its status has to be one of the table.
///
/// # Errors
/// MALFORMED, TOO_LARGE.
pub fn read_content<C: StateType>(state: &OutputState) -> Result<C, Refusal> {
    let table = C::table();
    if state.schema_version != table.schema_version {
        let said = format!("{} has no schema version {}", table.name, state.schema_version);
        return Err(Refusal::new(Code::Unsupported, said));
    }
    let content = C::from_sce(&state.content)?;
    if table.status(content.head().status).is_none() {
        let problem = Problem::UnknownTag { of: table.name, tag: content.head().status.into() };
        return Err(DecodeError { at: 0, problem }.into());
    }
    Ok(content)
}

/// One state's way through a transaction.
struct Step<'a, 'b> {
    before: Option<&'a OutputState>,
    after: Option<&'a OutputState>,
    command: Option<&'b CommandView<'a>>,
}

/// Judges all states of the type in a transaction.
fn verify<C: StateType>(view: &TxView<'_>) -> Verdict {
    let window = whole_window(view.window)?;
    for (linear_id, step) in steps::<C>(view)? {
        let row = |command: &CommandView<'_>| C::table().row(command.tag).expect("arguments were read");
        match step.command {
            Some(command) => check::<C>(view, window, linear_id, &step, command, row(command)),
            None => Err(Refusal::new(Code::BadTransition, "no command moves it")),
        }
        .map_err(|refusal| Refusal {
            text: format!("{} {linear_id}: {}", C::table().name, refusal.text),
            ..refusal
        })?;
    }
    Ok(())
}

/// Every transaction on these types has a window with both ends (11.0).
///
/// # Errors
/// INVARIANT.
pub(crate) fn whole_window(window: Option<&TimeWindow>) -> Result<&TimeWindow, Refusal> {
    match window {
        Some(window) if window.from_ms.zip(window.until_ms).is_some_and(|(from, until)| from < until) => {
            Ok(window)
        }
        _ => Err(broken("the time window has two ends, the first below the second")),
    }
}

/// Of each state at most one input, one output and one command.
fn steps<'a, 'b, C: StateType>(view: &'b TxView<'a>) -> Result<BTreeMap<LinearId, Step<'a, 'b>>, Refusal> {
    let mut steps: BTreeMap<LinearId, Step<'a, 'b>> = BTreeMap::new();
    fn at<'s, 'a, 'b>(steps: &'s mut BTreeMap<LinearId, Step<'a, 'b>>, id: LinearId) -> &'s mut Step<'a, 'b> {
        steps.entry(id).or_insert(Step { before: None, after: None, command: None })
    }
    let linear = |state: &OutputState| {
        state.linear_id.ok_or_else(|| broken(format!("a state of type {} has a linear id", state.type_id)))
    };
    let twice = |what: &str, id: LinearId| broken(format!("{id} has more than one {what}"));
    for state in view.inputs.iter().filter_map(|seen| seen.own()) {
        let id = linear(state)?;
        if at(&mut steps, id).before.replace(state).is_some() {
            return Err(twice("input", id));
        }
    }
    for state in view.outputs.iter().filter_map(|seen| seen.own()) {
        let id = linear(state)?;
        if at(&mut steps, id).after.replace(state).is_some() {
            return Err(twice("output", id));
        }
    }
    for command in &view.commands {
        let (id, _) = read_args::<C>(command.tag, command.args)?;
        if at(&mut steps, id).command.replace(command).is_some() {
            return Err(twice("command", id));
        }
    }
    Ok(steps)
}

fn check<C: StateType>(
    view: &TxView<'_>,
    window: &TimeWindow,
    linear_id: LinearId,
    step: &Step<'_, '_>,
    command: &CommandView<'_>,
    row: &Row<C>,
) -> Verdict {
    let before = step.before.map(read_content::<C>).transpose()?;
    let after = step.after.map(read_content::<C>).transpose()?;
    let (_, arguments) = read_args::<C>(command.tag, command.args)?;
    let at_ms = after.as_ref().map_or(window.from_ms.unwrap_or_default(), |after| after.head().updated_at);
    let facts = view.facts;
    let ask = Ask { linear_id, before: before.as_ref(), command: &arguments, at_ms, window, facts };
    let expected = advance(&ask, row)?;
    match (&expected, &after) {
        (None, None) => {}
        (None, Some(_)) => {
            return Err(Refusal::new(Code::BadTransition, format!("{} leaves no state", row.command)));
        }
        (Some(_), None) => {
            return Err(Refusal::new(Code::BadTransition, format!("{} leaves a state", row.command)));
        }
        (Some(expected), Some(after)) if expected != after => {
            let field = first_difference(expected, after);
            return Err(broken(format!("{field} is not what {} makes it", row.command)));
        }
        (Some(_), Some(_)) => {}
    }
    if let (Some(state), Some(content)) = (step.after, &expected) {
        wrapped(state, content, facts)?;
    }
    for entity in required(row, before.as_ref(), expected.as_ref())? {
        let stake = C::stake(&arguments, before.as_ref());
        let contract = ContractId::new(C::table().contract).expect("a table names its contract well");
        let speaks = command.signers.iter().any(|signer| {
            signer.entity == entity && signer.speaks(&contract, row.tag, stake.as_ref(), facts.time_ms)
        });
        if !speaks {
            let said = format!("{} has to be signed by {entity}", row.command);
            return Err(Refusal::new(Code::NotAuthorised, said));
        }
    }
    Ok(())
}

/// The state after a command: `None` where the row leaves none. Signers are not asked.
///
/// # Errors
/// BAD_TRANSITION, INVARIANT.
pub(crate) fn advance<C: StateType>(ask: &Ask<'_, C>, row: &Row<C>) -> Result<Option<C>, Refusal> {
    let table = C::table();
    let status = ask.before.map(|before| before.head().status);
    let allowed = match (row.from, status) {
        (From::Nothing, None) => true,
        (From::OneOf(statuses), Some(status)) => statuses.contains(&status),
        _ => false,
    };
    if !allowed {
        let from = status.map_or("nothing", |status| table.status_name(status));
        return Err(Refusal::new(Code::BadTransition, format!("{} does not start from {from}", row.command)));
    }
    in_window(ask)?;
    for condition in row.conditions {
        (condition.holds)(ask)
            .map_err(|why| broken(format!("{} asks that {}: {why}", row.command, condition.text)))?;
    }
    let created = || C::created(ask.command).expect("a row from nothing creates");
    let mut next = ask.before.cloned().unwrap_or_else(created);
    set_head(&mut next, ask)?;
    (row.effect)(&mut next, ask).map_err(|why| broken(format!("{}: {why}", row.command)))?;
    settle_status(&mut next, row, status);
    let terminal = table.is_terminal(next.head().status);
    next.set_active(!terminal);
    if matches!(row.to, To::Nothing) {
        return Ok(None);
    }
    check_invariants(&next)?;
    Ok(Some(next))
}

/// The rules over one state.
///
/// # Errors
/// INVARIANT.
pub fn check_invariants<C: StateType>(content: &C) -> Result<(), Refusal> {
    let failed = C::table().invariants.iter().find(|invariant| !(invariant.holds)(content));
    failed.map_or(Ok(()), |invariant| Err(broken(format!("it does not hold that {}", invariant.text))))
}

fn in_window<C: StateType>(ask: &Ask<'_, C>) -> Result<(), Refusal> {
    let (from, until) = (ask.window.from_ms.unwrap_or(0), ask.window.until_ms.unwrap_or(u64::MAX));
    if (from..until).contains(&ask.at_ms) {
        return Ok(());
    }
    Err(broken(format!("updated_at {} is outside the time window {from} to {until}", ask.at_ms)))
}

fn set_head<C: StateType>(next: &mut C, ask: &Ask<'_, C>) -> Result<(), Refusal> {
    let head = next.head_mut();
    if ask.before.is_some() {
        head.version = head.version.checked_add(1).ok_or_else(|| broken("the version is the last one"))?;
    } else {
        (head.version, head.created_at) = (1, ask.at_ms);
    }
    head.updated_at = ask.at_ms;
    Ok(())
}

/// Sets the status that the row determines; one that the effect chose has to be of the row.
fn settle_status<C: StateType>(next: &mut C, row: &Row<C>, before: Option<u16>) {
    let status = match row.to {
        To::One(status) => status,
        To::Same => before.expect("a row that keeps the status starts from one"),
        To::OneOf(statuses) => {
            let chosen = next.head().status;
            assert!(statuses.contains(&chosen), "{} chose status {chosen}", row.command);
            chosen
        }
        To::Nothing => return,
    };
    next.head_mut().status = status;
}

/// Whose signatures the row asks for.
///
/// # Errors
/// INVARIANT where a role that has to sign is empty.
pub(crate) fn required<C: StateType>(
    row: &Row<C>,
    before: Option<&C>,
    after: Option<&C>,
) -> Result<BTreeSet<EntityId>, Refusal> {
    let table = C::table();
    let mut found = BTreeSet::new();
    for signer in row.signers {
        let (role, state, optional) = match *signer {
            Signer::Has(role) => (role, before.or(after), false),
            Signer::IfAny(role) => (role, before.or(after), true),
            Signer::New(role) => (role, after, false),
        };
        match state.and_then(|state| state.role(role)) {
            Some(entity) => {
                found.insert(entity);
            }
            None if optional => {}
            None => return Err(broken(format!("{} needs a {}", row.command, table.roles[role]))),
        }
    }
    Ok(found)
}

/// What an output has to say around its content.
fn wrapped<C: StateType>(state: &OutputState, content: &C, facts: &Facts) -> Verdict {
    let table: &Table<C> = C::table();
    if state.data_class != table.data_class {
        return Err(broken(format!("data_class is {:?}", table.data_class)));
    }
    if state.encumbrance.is_some() {
        return Err(broken("no command of the table encumbers the state"));
    }
    let mut named = BTreeSet::new();
    for participant in state.participants.iter() {
        let entity = facts
            .participant(participant)
            .ok_or_else(|| broken("a participant's key is not bound to an entity"))?;
        if !named.insert(entity) {
            return Err(broken(format!("participant {entity} stands twice")));
        }
    }
    let due: BTreeSet<EntityId> = content.participants().into_iter().collect();
    if named != due {
        let other = named.symmetric_difference(&due).next().expect("the sets differ");
        let said = if due.contains(other) { "has to be" } else { "is not" };
        return Err(broken(format!("{other} {said} a participant")));
    }
    check_policy(&state.policy, &content.holders(), facts)
}

/// Whether the policy is held as the type's rule says: recomputed at each transition (11.0).
///
/// # Errors
/// INVARIANT.
pub(crate) fn check_policy(policy: &Policy, holders: &Holders, facts: &Facts) -> Verdict {
    let mut owners = Vec::new();
    for key in policy.keys() {
        let owner = facts.holder(key);
        owners.push(owner.ok_or_else(|| broken(format!("key {} of the policy is no entity's", key.id())))?);
    }
    let distinct: BTreeSet<EntityId> = owners.iter().copied().collect();
    let threshold = usize::from(policy.threshold());
    let good = match holders {
        Holders::One(holder) => distinct == [*holder].into(),
        Holders::Any(any) => threshold == 1 && distinct == any.iter().copied().collect(),
        Holders::All(all) => {
            threshold == owners.len()
                && owners.len() == distinct.len()
                && distinct == all.iter().copied().collect()
        }
    };
    if good { Ok(()) } else { Err(broken(format!("the policy is to be held by {holders:?}"))) }
}

/// Name of the first field that differs, for the text of a refusal.
fn first_difference<C: StateType>(expected: &C, found: &C) -> String {
    let fields = |content: &C| match serde_json::to_value(content) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (expected, found) = (fields(expected), fields(found));
    for (name, value) in &expected {
        let other = found.get(name);
        if other == Some(value) {
            continue;
        }
        let inner = value.as_object().zip(other.and_then(|other| other.as_object()));
        let deeper = inner.and_then(|(a, b)| a.iter().find(|(key, value)| b.get(*key) != Some(value)));
        return deeper.map_or_else(|| name.clone(), |(key, _)| key.clone());
    }
    "the content".to_owned()
}

/// The command as it stands in a transaction.
pub(crate) fn command<C: StateType>(
    linear_id: &LinearId,
    command: &C::Command,
    signers: impl IntoIterator<Item = stateset_ledger_types::keys::PublicKey>,
) -> Result<Command, Refusal> {
    use stateset_ledger_types::codec::{Blob, Set};
    let too_much = |error| Refusal::new(Code::TooLarge, error);
    Ok(Command {
        contract_id: ContractId::new(C::table().contract).expect("a table names its contract well"),
        tag: C::tag(command),
        args: Blob::new(args::<C>(linear_id, command)).map_err(too_much)?,
        signers: Set::new(signers).map_err(too_much)?,
    })
}
