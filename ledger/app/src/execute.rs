//! One block: transactions in order, then governance, then expiries (section 6.3).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use stateset_ledger_types::envelope::{GovernanceTx, Notarise, PublicTx, Request};
use stateset_ledger_types::genesis::GenesisValidator;
use stateset_ledger_types::ids::SettlementId;
use stateset_ledger_types::stateless::Checked;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Code, Encode, Refusal, StateKey};
use ves::{Digest, TimestampMs};

use crate::application::{Attribute, Block, Event, Fault, Outcome, TxResult, ValidatorUpdate};
use crate::context::Context;
use crate::gas::gas;
use crate::governance::{self, Effects};
use crate::notary::{self, Commit};
use crate::overlay::{Overlay, Stop};
use crate::state::StateReader;
use crate::upgrade::{Step, Upgrades};
use crate::{bank, public};

/// How a block gets the stateless check of a transaction: anew, or as remembered. The answer is the same.
pub type Check<'a> = &'a dyn Fn(&[u8], &Context) -> Result<Arc<Checked>, Refusal>;

/// Executes `block` on the state of the height before.
///
/// # Errors
/// [`Fault`]: the node stops, nothing was changed.
pub fn finalize(
    state: &dyn StateReader,
    block: &Block<'_>,
    upgrades: &Upgrades,
    check: Check<'_>,
) -> Result<Outcome, Fault> {
    let mut overlay = Overlay::new(state);
    let step = upgrades.begin(&mut overlay, block.height)?;
    let mut context = Context::load(&overlay, block.height, block.time_ms)?;
    let mut effects = Effects::default();
    let mut outcome = Outcome::default();
    if let Some(step) = step {
        upgraded(&mut outcome, &step, &context);
    }
    for (index, bytes) in block.transactions.iter().enumerate() {
        let before = effects.clone();
        let executed = catch_unwind(AssertUnwindSafe(|| {
            execute(&mut overlay, &mut context, &mut effects, check, index as u32, bytes)
        }));
        let result = executed.unwrap_or_else(|_| {
            overlay.discard();
            outcome.panicked.push(index);
            Ok(refused(&Refusal::new(Code::Internal, "the node failed on this transaction"), 0))
        })?;
        // What failed, or panicked half-way, asks nothing of the engine.
        if result.code != 0 {
            effects = before;
        }
        outcome.results.push(result);
    }
    governance::run_queue(&mut overlay, &context, &mut effects)?;
    overlay.keep();
    for id in expire(&mut overlay, &context)? {
        outcome.events.push(event("escrow_expired", &[("escrow", id.to_string())]));
    }
    overlay.keep();
    if cfg!(debug_assertions) {
        for (denom, holding) in bank::audit(&overlay)? {
            assert!(holding.is_conserved(), "{denom} is not conserved (10.1): {holding:?}");
        }
    }
    for (id, status) in &effects.moved {
        let attributes = [("proposal", id.to_string()), ("status", format!("{status:?}"))];
        outcome.events.push(event("proposal", &attributes));
    }
    outcome.validators = changes_of_validators(state, effects.validators)?;
    outcome.bounds = effects.bounds.or(outcome.bounds);
    outcome.writes = overlay.into_writes()?;
    Ok(outcome)
}

fn expire(overlay: &mut Overlay<'_>, context: &Context) -> Result<Vec<SettlementId>, Fault> {
    bank::expire_due(overlay, context).map_err(|stop| match stop {
        Stop::Fault(fault) => fault,
        Stop::Refused(refusal) => {
            Fault::Corrupt { place: "settle/due".to_owned(), problem: refusal.to_string() }
        }
    })
}

/// What an upgrade of this block means for the engine, its events and its log.
fn upgraded(outcome: &mut Outcome, step: &Step, context: &Context) {
    match step {
        Step::Done { name, app_version } => {
            outcome.app_version = Some(*app_version);
            outcome.bounds = Some(governance::bounds(&context.params));
            let attributes = [("name", name.clone()), ("app_version", app_version.to_string())];
            outcome.events.push(event("upgrade", &attributes));
            outcome
                .notes
                .push(format!("upgrade {name:?}: the rules are of version {app_version} from here on"));
        }
        Step::Skipped { name } => {
            outcome.events.push(event("upgrade_skipped", &[("name", name.clone())]));
            outcome
                .notes
                .push(format!("upgrade {name:?} skipped, as the operator said: the old rules go on"));
        }
    }
}

/// The last word on each validator, by key, where it changes the set of the block before: engines end on the removal of a
/// validator that they do not have.
fn changes_of_validators(
    state: &dyn StateReader,
    updates: Vec<ValidatorUpdate>,
) -> Result<Vec<ValidatorUpdate>, Fault> {
    let before = Overlay::new(state);
    let last: BTreeMap<_, _> = updates.into_iter().map(|update| (update.public_key, update)).collect();
    let mut changes = Vec::new();
    for (key, update) in last {
        let had: Option<GenesisValidator> = before.get(&StateKey::validator(&Digest(key)))?;
        if update.power != had.map_or(0, |had| had.power.into()) {
            changes.push(update);
        }
    }
    Ok(changes)
}

/// One transaction: refusals become results, and leave what step 2 wrote.
fn execute(
    overlay: &mut Overlay<'_>,
    context: &mut Context,
    effects: &mut Effects,
    check: Check<'_>,
    index: u32,
    bytes: &[u8],
) -> Result<TxResult, Fault> {
    let checked = match check(bytes, context) {
        Ok(checked) => checked,
        Err(refusal) => return Ok(refused(&refusal, 0)),
    };
    let gas = gas(&checked, &context.params);
    match admitted(overlay, context, effects, &checked, gas, index) {
        Ok(mut result) => {
            overlay.keep();
            result.gas_wanted = gas as i64;
            result.gas_used = gas as i64;
            Ok(result)
        }
        Err(Stop::Refused(refusal)) => {
            overlay.discard();
            Ok(refused(&refusal, gas))
        }
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

fn admitted(
    overlay: &mut Overlay<'_>,
    context: &mut Context,
    effects: &mut Effects,
    checked: &Checked,
    gas: u64,
    index: u32,
) -> Result<TxResult, Stop> {
    if !matches!(checked.request(), Request::Governance(_)) {
        notary::refuse_notarised(overlay, checked.tx_id())?;
    }
    let entity = notary::admit(overlay, context, checked)?;
    notary::charge(overlay, context, checked);
    // From here on a refusal leaves the sequence used up (5.1).
    overlay.keep();
    if gas > context.params.max_tx_gas {
        let said = format!("{gas} gas, at most {}", context.params.max_tx_gas);
        return Err(Refusal::new(Code::OutOfGas, said).into());
    }
    circuit(overlay, context, checked)?;
    match checked.request() {
        Request::Notarise(request) => notarise(overlay, context, checked, request, index),
        Request::PublicTx(request) => publish(overlay, context, checked, request, index),
        Request::Governance(request) => govern(overlay, context, effects, &entity, request),
    }
}

/// Whether the notaries broke this kind's circuit (12.1).
fn circuit(overlay: &Overlay<'_>, context: &Context, checked: &Checked) -> Result<(), Stop> {
    let kind = checked.request().kind();
    if matches!(checked.request(), Request::Governance(_)) {
        // Or nobody could ever close it again.
        return Ok(());
    }
    let until: Option<u64> = overlay.get(&StateKey::circuit(kind))?;
    match until {
        Some(until) if context.time_ms < until => {
            let until = i64::try_from(until)
                .map_or_else(|_| "further notice".to_owned(), |ms| TimestampMs(ms).to_string());
            let said = format!("requests of kind {kind:?} are stopped until {until}");
            Err(Refusal::new(Code::CircuitOpen, said).into())
        }
        _ => Ok(()),
    }
}

fn notarise(
    overlay: &mut Overlay<'_>,
    context: &Context,
    checked: &Checked,
    request: &Notarise,
    index: u32,
) -> Result<TxResult, Stop> {
    let commit = Commit::of_notarise(checked, request);
    commit.check(overlay, context)?;
    notary::check_endorsements(overlay, context, request)?;
    let record = commit.write(overlay, context, index);
    Ok(TxResult {
        data: record.to_sce(),
        events: vec![notarised(checked, record.mode)],
        ..TxResult::default()
    })
}

fn publish(
    overlay: &mut Overlay<'_>,
    context: &Context,
    checked: &Checked,
    request: &PublicTx,
    index: u32,
) -> Result<TxResult, Stop> {
    let body = &request.content.body;
    let commit = Commit {
        tx_id: checked.tx_id(),
        mode: Mode::Public,
        header: &body.header.0,
        window: body.time_window.first(),
        spent: checked.spent(),
        references: body.references.iter().collect(),
        capsules: body.capsules.iter().collect(),
    };
    commit.check(overlay, context)?;
    let data = public::execute(overlay, context, checked.tx_id(), request)?;
    let record = commit.write(overlay, context, index);
    let data = [record.to_sce(), data].concat();
    Ok(TxResult { data, events: vec![notarised(checked, record.mode)], ..TxResult::default() })
}

fn govern(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    entity: &stateset_ledger_types::entity::Entity,
    request: &GovernanceTx,
) -> Result<TxResult, Stop> {
    let data = governance::execute(overlay, context, effects, entity, &request.message)?;
    Ok(TxResult { data, ..TxResult::default() })
}

fn notarised(checked: &Checked, mode: Mode) -> Event {
    let submitter = checked.request().submission().entity;
    event(
        "notarised",
        &[
            ("tx_id", checked.tx_id().to_string()),
            ("mode", format!("{mode:?}")),
            ("submitter", submitter.to_string()),
        ],
    )
}

fn event(kind: &str, attributes: &[(&str, String)]) -> Event {
    let attribute = |(key, value): &(&str, String)| Attribute {
        key: (*key).to_owned(),
        value: value.clone(),
        index: true,
    };
    Event { kind: kind.to_owned(), attributes: attributes.iter().map(attribute).collect() }
}

/// The result of a refusal.
pub fn refused(refusal: &Refusal, gas: u64) -> TxResult {
    TxResult {
        code: refusal.code.code(),
        data: refusal.data.clone(),
        gas_wanted: gas as i64,
        gas_used: gas as i64,
        log: refusal.to_string(),
        events: Vec::new(),
    }
}
