//! Batches that a merchant collects under its customers' mandates: all charges, or none (section 10.2).

use stateset_ledger_types::bank::{
    Batch, BatchCreate, BatchSettle, Charge, Settlement, SettlementKind, SettlementStatus,
};
use stateset_ledger_types::ids::{Amount, EntityId, SettlementId, TxId, Units};
use stateset_ledger_types::keys::Purpose;
use stateset_ledger_types::{Code, Refusal, StateKey};

use super::{Call, accounts};
use crate::members;
use crate::overlay::Stop;

pub(super) fn create(call: &mut Call<'_, '_>, command: BatchCreate) -> Result<(), Stop> {
    call.signed_by(&command.merchant, None)?;
    if command.charges.is_empty() || command.charges.len() as u64 > call.context.params.max_batch {
        let said = format!("a batch has 1 to {} charges", call.context.params.max_batch);
        return Err(Refusal::new(Code::TooLarge, said).into());
    }
    for charge in command.charges.iter() {
        holds(call, &command.merchant, charge)?;
        is_signed(call, charge)?;
    }
    let batch = Batch { merchant: command.merchant, charges: command.charges, settled: false };
    call.overlay.put(StateKey::batch(&call.id), &batch);
    Ok(())
}

pub(super) fn settle(call: &mut Call<'_, '_>, command: &BatchSettle) -> Result<(), Stop> {
    call.signed_by(&command.merchant, None)?;
    let key = StateKey::batch(&command.batch);
    let batch: Option<Batch> = call.overlay.get(&key)?;
    let batch = batch.filter(|batch| batch.merchant == command.merchant);
    let mut batch = batch
        .ok_or_else(|| Refusal::new(Code::NotFound, format!("{} is no batch of yours", command.batch)))?;
    if batch.settled {
        let said = format!("batch {} is settled", command.batch);
        return Err(Refusal::new(Code::BadTransition, said).into());
    }
    accounts::payee(call.overlay, call.context, &batch.merchant.account())?;
    for (n, charge) in (0..).zip(batch.charges.iter()) {
        collect(call, &batch.merchant, n, charge)?;
    }
    batch.settled = true;
    call.overlay.put(key, &batch);
    Ok(())
}

/// The mandate is this merchant's and has not run out, and the key that it names is its payer's now.
fn holds(call: &Call<'_, '_>, merchant: &EntityId, charge: &Charge) -> Result<(), Stop> {
    let signed = &charge.mandate;
    let (mandate, refused) = (&signed.mandate, |said: &str| {
        Stop::from(Refusal::new(Code::NotAuthorised, format!("mandate: {said}")))
    });
    if mandate.merchant != *merchant {
        return Err(refused("it is another merchant's"));
    }
    if mandate.expires_at <= call.context.time_ms {
        return Err(refused("it has expired"));
    }
    let payer = members::active(call.overlay, call.context, &mandate.payer)?;
    accounts::compliant(call.context, &payer)?;
    if !payer.signs_with(&signed.key, Purpose::LedgerSigning, call.context.time_ms) {
        return Err(refused("the payer's key is not a live ledger key"));
    }
    Ok(())
}

/// The payer signed the mandate. Checked where a batch is made: what stands in the state is not checked again.
fn is_signed(call: &Call<'_, '_>, charge: &Charge) -> Result<(), Refusal> {
    let signed = &charge.mandate;
    if !signed.key.verify(&signed.mandate.message(&call.context.chain_id).0, &signed.signature) {
        return Err(Refusal::new(Code::BadSignature, "the signature of a mandate is wrong"));
    }
    Ok(())
}

fn collect(call: &mut Call<'_, '_>, merchant: &EntityId, n: u32, charge: &Charge) -> Result<(), Stop> {
    holds(call, merchant, charge)?;
    let mandate = &charge.mandate.mandate;
    let used_key = StateKey::mandate_used(&mandate.message(&call.context.chain_id));
    let used: Units = call.overlay.get(&used_key)?.unwrap_or_default();
    let total = used.0.checked_add(charge.units.0).filter(|total| *total <= mandate.cap.units.0);
    let Some(total) = total else {
        let said = format!("the mandate of {} allows {} in all", mandate.payer, mandate.cap.units);
        return Err(Refusal::new(Code::NotAuthorised, said).into());
    };
    call.overlay.put(used_key, &Units(total));
    let amount = Amount { denom: mandate.cap.denom.clone(), units: charge.units };
    accounts::debit(call.overlay, &mandate.payer.account(), &amount)?;
    let fee = accounts::pay(call.overlay, call.context, &merchant.account(), &amount)?;
    let settlement = Settlement {
        kind: SettlementKind::Batch,
        payer: mandate.payer,
        payee: merchant.account(),
        amount,
        fee,
        status: SettlementStatus::Completed,
        reference: charge.reference,
        height: call.context.height,
    };
    let id = charge_id(&call.id, n);
    call.settled(&id, &settlement)
}

/// Charge `n` of the batch that command `id` settled: the highest bit of the place set, twelve bits for `n`.
fn charge_id(id: &SettlementId, n: u32) -> SettlementId {
    let (tx, place) = id.0.split_at(32);
    let place = u32::from_be_bytes(place.try_into().expect("4 bytes"));
    let tx: [u8; 32] = tx.try_into().expect("32 bytes");
    SettlementId::of(&TxId(tx), 1 << 31 | place << 12 | n)
}
