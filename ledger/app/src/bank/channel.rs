//! Payment channels: a deposit that the payer gives out by signed, rising claims (section 10.2).

use stateset_ledger_types::bank::{
    Channel, ChannelClaim, ChannelClose, ChannelOpen, Settlement, SettlementKind, SettlementStatus,
};
use stateset_ledger_types::ids::{Amount, SettlementId, Units};
use stateset_ledger_types::keys::Purpose;
use stateset_ledger_types::{Code, Refusal, StateKey};

use super::{Call, accounts};
use crate::members;
use crate::overlay::Stop;

pub(super) fn open(call: &mut Call<'_, '_>, command: &ChannelOpen) -> Result<(), Stop> {
    let payer = call.signed_by(&command.payer, Some(&command.deposit))?;
    accounts::compliant(call.context, &payer)?;
    accounts::payee(call.overlay, call.context, &command.payee.account())?;
    if command.expires_at <= call.context.time_ms {
        return Err(Refusal::new(Code::Invariant, "the channel would have expired already").into());
    }
    accounts::debit(call.overlay, &command.payer.account(), &command.deposit)?;
    let channel = Channel {
        payer: command.payer,
        payee: command.payee,
        denom: command.deposit.denom.clone(),
        deposit: command.deposit.units,
        claimed: Units(0),
        nonce: 0,
        expires_at: command.expires_at,
    };
    call.overlay.put(StateKey::channel(&call.id), &channel);
    let (id, height) = (call.id, call.context.height);
    let settlement = Settlement {
        kind: SettlementKind::Channel,
        payer: command.payer,
        payee: command.payee.account(),
        amount: command.deposit.clone(),
        fee: Units(0),
        status: SettlementStatus::Pending,
        reference: None,
        height,
    };
    call.settled(&id, &settlement)
}

pub(super) fn claim(call: &mut Call<'_, '_>, command: &ChannelClaim) -> Result<(), Stop> {
    let claim = &command.claim;
    let mut channel = find(call, &claim.channel)?;
    call.signed_by(&channel.payee, None)?;
    accounts::payee(call.overlay, call.context, &channel.payee.account())?;
    let payer = members::active(call.overlay, call.context, &channel.payer)?;
    accounts::compliant(call.context, &payer)?;
    if !payer.signs_with(&command.key, Purpose::LedgerSigning, call.context.time_ms) {
        return Err(Refusal::new(Code::NotAuthorised, "the claim's key is no live key of the payer").into());
    }
    if !command.key.verify(&claim.message(&call.context.chain_id).0, &command.signature) {
        return Err(Refusal::new(Code::BadSignature, "the signature of the claim is wrong").into());
    }
    if claim.nonce <= channel.nonce {
        let said = format!("claim {} is not after claim {}", claim.nonce, channel.nonce);
        return Err(Refusal::new(Code::BadSequence, said).into());
    }
    if claim.cumulative.0 > channel.deposit.0 {
        let said = format!("{} of a deposit of {}", claim.cumulative, channel.deposit);
        return Err(Refusal::new(Code::InsufficientFunds, said).into());
    }
    let Some(units) = claim.cumulative.0.checked_sub(channel.claimed.0).filter(|units| *units > 0) else {
        let said = format!("{} are claimed already", channel.claimed);
        return Err(Refusal::new(Code::Invariant, said).into());
    };
    let amount = Amount { denom: channel.denom.clone(), units: Units(units) };
    let fee = accounts::pay(call.overlay, call.context, &channel.payee.account(), &amount)?;
    channel.claimed = claim.cumulative;
    channel.nonce = claim.nonce;
    call.overlay.put(StateKey::channel(&claim.channel), &channel);
    let key = StateKey::settlement(&claim.channel);
    let settlement: Settlement = call.overlay.expect(&key)?;
    let fee = Units(settlement.fee.0.checked_add(fee.0).ok_or_else(accounts::too_much)?);
    call.overlay.put(key, &Settlement { fee, ..settlement });
    Ok(())
}

/// The payee may close at any time, the payer once the channel has expired. What is left goes back: the payee decides on that.
pub(super) fn close(call: &mut Call<'_, '_>, command: &ChannelClose) -> Result<(), Stop> {
    let channel = find(call, &command.channel)?;
    let left = channel.deposit.0.checked_sub(channel.claimed.0).expect("claims keep to the deposit");
    let amount = Amount { denom: channel.denom.clone(), units: Units(left) };
    call.signed_by(&command.by, Some(&amount).filter(|_| command.by == channel.payee))?;
    let may = command.by == channel.payee
        || command.by == channel.payer && channel.expires_at <= call.context.time_ms;
    if !may {
        let said = "the payee closes a channel, or the payer once it has expired";
        return Err(Refusal::new(Code::NotAuthorised, said).into());
    }
    accounts::credit(call.overlay, &channel.payer.account(), &amount)?;
    call.overlay.delete(StateKey::channel(&command.channel));
    let key = StateKey::settlement(&command.channel);
    let settlement: Settlement = call.overlay.expect(&key)?;
    let amount = Amount { units: channel.claimed, ..settlement.amount.clone() };
    call.overlay.put(key, &Settlement { status: SettlementStatus::Completed, amount, ..settlement });
    Ok(())
}

fn find(call: &Call<'_, '_>, id: &SettlementId) -> Result<Channel, Stop> {
    let channel: Option<Channel> = call.overlay.get(&StateKey::channel(id))?;
    Ok(channel.ok_or_else(|| Refusal::new(Code::NotFound, format!("{id} is no open channel")))?)
}
