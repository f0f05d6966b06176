//! Amounts locked between payer and payee until release, refund or expiry (section 10.2).

use stateset_ledger_types::bank::{
    Escrow, EscrowCreate, EscrowRefund, EscrowRelease, Settlement, SettlementKind, SettlementStatus,
};
use stateset_ledger_types::entity::Role;
use stateset_ledger_types::ids::{Amount, EntityId, SettlementId, Units};
use stateset_ledger_types::{Code, Refusal, StateKey, Substore};

use super::{Call, accounts};
use crate::application::Fault;
use crate::context::Context;
use crate::members::{self, DAY_MS, require};
use crate::overlay::{Overlay, Stop};

pub(super) fn create(call: &mut Call<'_, '_>, command: &EscrowCreate) -> Result<(), Stop> {
    let payer = call.signed_by(&command.payer, Some(&command.amount))?;
    accounts::compliant(call.context, &payer)?;
    accounts::payee(call.overlay, call.context, &command.payee)?;
    let (now, days) = (call.context.time_ms, call.context.params.escrow_days_max);
    if command.expires_at <= now || command.expires_at > now.saturating_add(days * DAY_MS) {
        let said = format!("expires_at {} is not within {days} days after {now}", command.expires_at);
        return Err(Refusal::new(Code::Invariant, said).into());
    }
    if let Some(arbiter) = &command.arbiter {
        // Who could never decide is no arbiter: the parties would find out when they need one.
        require(&members::active(call.overlay, call.context, arbiter)?, Role::Arbiter)?;
    }
    accounts::debit(call.overlay, &command.payer.account(), &command.amount)?;
    let escrow = Escrow {
        payer: command.payer,
        payee: command.payee,
        denom: command.amount.denom.clone(),
        locked: command.amount.units,
        arbiter: command.arbiter,
        expires_at: command.expires_at,
    };
    call.overlay.put(StateKey::escrow(&call.id), &escrow);
    call.overlay.put(StateKey::escrow_due(escrow.expires_at, &call.id), &true);
    let (id, height) = (call.id, call.context.height);
    let settlement = Settlement {
        kind: SettlementKind::Escrow,
        payer: command.payer,
        payee: command.payee,
        amount: command.amount.clone(),
        fee: Units(0),
        status: SettlementStatus::Pending,
        reference: command.reference,
        height,
    };
    call.settled(&id, &settlement)
}

pub(super) fn release(call: &mut Call<'_, '_>, command: &EscrowRelease) -> Result<(), Stop> {
    let escrow = open(call.overlay, &command.escrow)?;
    decide(call, &command.by, escrow.payer, &escrow, escrow.locked)?;
    // Whose money it is may be sanctioned since, and whoever decides: then it goes back, at the latest when it expires.
    accounts::compliant(call.context, &call.overlay.expect(&StateKey::entity(&escrow.payer))?)?;
    accounts::payee(call.overlay, call.context, &escrow.payee)?;
    let amount = Amount { denom: escrow.denom.clone(), units: escrow.locked };
    let fee = accounts::pay(call.overlay, call.context, &escrow.payee, &amount)?;
    close(call.overlay, &command.escrow, escrow, SettlementStatus::Completed, fee)?;
    // What was refunded before was not paid: the settlement is evidence of what was (10.3).
    let key = StateKey::settlement(&command.escrow);
    let settlement: Settlement = call.overlay.expect(&key)?;
    call.overlay.put(key, &Settlement { amount, ..settlement });
    Ok(())
}

pub(super) fn refund(call: &mut Call<'_, '_>, command: &EscrowRefund) -> Result<(), Stop> {
    let mut escrow = open(call.overlay, &command.escrow)?;
    decide(call, &command.by, EntityId(escrow.payee.0), &escrow, command.units)?;
    accounts::above_zero(command.units)?;
    let Some(left) = escrow.locked.0.checked_sub(command.units.0) else {
        let said = format!("{} are locked, less than {}", escrow.locked, command.units);
        return Err(Refusal::new(Code::InsufficientFunds, said).into());
    };
    let amount = Amount { denom: escrow.denom.clone(), units: command.units };
    accounts::credit(call.overlay, &escrow.payer.account(), &amount)?;
    escrow.locked = Units(left);
    if left == 0 {
        close(call.overlay, &command.escrow, escrow, SettlementStatus::Refunded, Units(0))?;
    } else {
        call.overlay.put(StateKey::escrow(&command.escrow), &escrow);
    }
    Ok(())
}

/// The escrow, while something is locked.
fn open(overlay: &Overlay<'_>, id: &SettlementId) -> Result<Escrow, Stop> {
    let escrow: Option<Escrow> = overlay.get(&StateKey::escrow(id))?;
    let escrow = escrow.ok_or_else(|| Refusal::new(Code::NotFound, format!("{id} is no escrow")))?;
    if escrow.locked.0 == 0 {
        return Err(Refusal::new(Code::BadTransition, format!("escrow {id} is closed")).into());
    }
    Ok(escrow)
}

/// `by` signed, and is the party that gives so many units up, or the arbiter. An agent's limits hold for them as for what it
/// pays: another key of its entity may have locked more.
fn decide(
    call: &mut Call<'_, '_>,
    by: &EntityId,
    party: EntityId,
    escrow: &Escrow,
    units: Units,
) -> Result<(), Stop> {
    let amount = Amount { denom: escrow.denom.clone(), units };
    let entity = call.signed_by(by, Some(&amount))?;
    if *by == party {
        return Ok(());
    }
    if escrow.arbiter == Some(*by) {
        return Ok(require(&entity, Role::Arbiter)?);
    }
    let said = format!("only {party} or the arbiter decides this of the escrow");
    Err(Refusal::new(Code::NotAuthorised, said).into())
}

/// Nothing is locked any more.
fn close(
    overlay: &mut Overlay<'_>,
    id: &SettlementId,
    mut escrow: Escrow,
    status: SettlementStatus,
    fee: Units,
) -> Result<(), Fault> {
    escrow.locked = Units(0);
    overlay.delete(StateKey::escrow_due(escrow.expires_at, id));
    overlay.put(StateKey::escrow(id), &escrow);
    let key = StateKey::settlement(id);
    let settlement: Settlement = overlay.expect(&key)?;
    overlay.put(key, &Settlement { status, fee, ..settlement });
    Ok(())
}

/// Returns what is locked in escrows that expire at or before the block's time, in the order of time, then id (6.3).
///
/// # Errors
/// [`Fault`].
pub fn expire_due(overlay: &mut Overlay<'_>, context: &Context) -> Result<Vec<SettlementId>, Stop> {
    let from = StateKey { substore: Substore::Settle, path: b"due/".to_vec() };
    let to = StateKey::escrow_due(context.time_ms.saturating_add(1), &SettlementId([0; 36])).path;
    let limit = usize::try_from(context.params.max_expiries_per_block).unwrap_or(usize::MAX);
    let mut expired = Vec::new();
    for (key, _) in overlay.range(&from, &to, limit)? {
        let corrupt = || Fault::Corrupt { place: key.to_string(), problem: "not a due escrow".to_owned() };
        let hex = key.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let id = std::str::from_utf8(hex).ok().and_then(|hex| hex.parse::<SettlementId>().ok());
        let id = id.ok_or_else(corrupt)?;
        let escrow: Escrow = overlay.expect(&StateKey::escrow(&id))?;
        let amount = Amount { denom: escrow.denom.clone(), units: escrow.locked };
        accounts::credit(overlay, &escrow.payer.account(), &amount)?;
        close(overlay, &id, escrow, SettlementStatus::Cancelled, Units(0))?;
        expired.push(id);
    }
    Ok(expired)
}
