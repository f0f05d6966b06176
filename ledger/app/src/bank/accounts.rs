//! Balances, supply and fees. Checked arithmetic throughout: nothing saturates.

use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::ids::{AccountId, Amount, Denom, EntityId, Units};
use stateset_ledger_types::{Code, Refusal, StateKey};

use crate::application::Fault;
use crate::context::Context;
use crate::members;
use crate::overlay::{Overlay, Stop};

/// What `account` has of `denom`.
///
/// # Errors
/// [`Fault`].
pub fn balance(overlay: &Overlay<'_>, account: &AccountId, denom: &Denom) -> Result<Units, Fault> {
    Ok(overlay.get(&StateKey::balance(account, denom))?.unwrap_or_default())
}

/// The supply of `denom`; `None` for one that does not exist.
///
/// # Errors
/// [`Fault`].
pub fn supply(overlay: &Overlay<'_>, denom: &Denom) -> Result<Option<Units>, Fault> {
    overlay.get(&StateKey::supply(denom))
}

fn set_balance(overlay: &mut Overlay<'_>, account: &AccountId, denom: &Denom, units: u128) {
    let key = StateKey::balance(account, denom);
    if units == 0 { overlay.delete(key) } else { overlay.put(key, &Units(units)) }
}

/// Takes an amount above zero.
pub(super) fn debit(overlay: &mut Overlay<'_>, account: &AccountId, amount: &Amount) -> Result<(), Stop> {
    above_zero(amount.units)?;
    let held = balance(overlay, account, &amount.denom)?.0;
    let Some(left) = held.checked_sub(amount.units.0) else {
        let said = format!("{account} has {held} {}, {} are needed", amount.denom, amount.units);
        return Err(Refusal::new(Code::InsufficientFunds, said).into());
    };
    set_balance(overlay, account, &amount.denom, left);
    Ok(())
}

/// Gives an amount, also zero.
pub(super) fn credit(overlay: &mut Overlay<'_>, account: &AccountId, amount: &Amount) -> Result<(), Stop> {
    let held = balance(overlay, account, &amount.denom)?.0;
    let sum = held.checked_add(amount.units.0).ok_or_else(too_much)?;
    set_balance(overlay, account, &amount.denom, sum);
    Ok(())
}

pub(super) fn too_much() -> Refusal {
    Refusal::new(Code::Invariant, "the amount is more than can be counted")
}

pub(super) fn above_zero(units: Units) -> Result<(), Refusal> {
    if units.0 == 0 { Err(Refusal::new(Code::Invariant, "the amount is zero")) } else { Ok(()) }
}

pub(super) fn grow(overlay: &mut Overlay<'_>, amount: &Amount) -> Result<(), Stop> {
    above_zero(amount.units)?;
    let unknown = || Refusal::new(Code::NotFound, format!("{} is no denomination", amount.denom));
    let supply = supply(overlay, &amount.denom)?.ok_or_else(unknown)?;
    let sum = supply.0.checked_add(amount.units.0).ok_or_else(too_much)?;
    overlay.put(StateKey::supply(&amount.denom), &Units(sum));
    Ok(())
}

pub(super) fn shrink(overlay: &mut Overlay<'_>, amount: &Amount) -> Result<(), Stop> {
    let supply = supply(overlay, &amount.denom)?.unwrap_or_default().0;
    let left = supply.checked_sub(amount.units.0);
    assert!(left.is_some(), "what was held is part of the supply");
    overlay.put(StateKey::supply(&amount.denom), &Units(left.unwrap_or_default()));
    Ok(())
}

/// Refuses an entity whose compliance profile is sanctioned or has run out.
pub(super) fn compliant(context: &Context, entity: &Entity) -> Result<(), Refusal> {
    if entity.is_compliant(context.time_ms) {
        return Ok(());
    }
    let said = format!("the compliance profile of {} is sanctioned or has run out", entity.entity_id);
    Err(Refusal::new(Code::ComplianceBlocked, said))
}

/// Whether `account` may be paid: it is an active, compliant entity's.
pub(super) fn payee(overlay: &Overlay<'_>, context: &Context, account: &AccountId) -> Result<(), Stop> {
    let entity = members::active(overlay, context, &EntityId(account.0))?;
    Ok(compliant(context, &entity)?)
}

/// Pays `amount`, which was taken from somewhere, to `payee` less the fee, which goes to the collector. Returns the fee.
///
/// The payee's own rate comes before the default; without a collector there is no fee.
pub(super) fn pay(
    overlay: &mut Overlay<'_>,
    context: &Context,
    payee: &AccountId,
    amount: &Amount,
) -> Result<Units, Stop> {
    let Some(collector): Option<AccountId> = overlay.get(&StateKey::collector())? else {
        credit(overlay, payee, amount)?;
        return Ok(Units(0));
    };
    let own: Option<u16> = overlay.get(&StateKey::merchant(&EntityId(payee.0)))?;
    let bps = own.map_or(context.params.default_fee_bps, u64::from);
    let fee = fee(amount.units, bps);
    let part = |units| Amount { denom: amount.denom.clone(), units: Units(units) };
    credit(overlay, payee, &part(amount.units.0 - fee.0))?;
    credit(overlay, &collector, &part(fee.0))?;
    Ok(fee)
}

/// floor(units × bps / 10 000), without overflow for any units.
fn fee(units: Units, bps: u64) -> Units {
    assert!(bps <= 10_000, "a rate is at most all of it");
    let bps = u128::from(bps);
    Units(units.0 / 10_000 * bps + units.0 % 10_000 * bps / 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_is_the_floor_of_its_part() {
        for (units, bps, expected) in [(0, 30, 0), (333, 30, 0), (334, 30, 1), (10_001, 1, 1), (7, 10_000, 7)]
        {
            assert_eq!(fee(Units(units), bps), Units(expected), "{units} at {bps}");
        }
        assert_eq!(fee(Units(u128::MAX), 10_000), Units(u128::MAX));
    }
}
