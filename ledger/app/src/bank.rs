//! Value in Public mode (sections 10.1 and 10.2). Every operation keeps, for each denomination: balances + locked in
//! escrow + left in payment channels = supply.

mod accounts;
mod audit;
mod channel;
mod collect;
mod escrow;

use stateset_ledger_types::bank::{
    BANK, BankCommand, Burn, Mint, Settlement, SettlementKind, SettlementStatus, Transfer,
};
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::ids::{Amount, EntityId, SettlementId};
use stateset_ledger_types::{Code, Decode, Refusal, StateKey};

use crate::context::Context;
use crate::members::{self, Signers, Use};
use crate::overlay::{Overlay, Stop};

pub use accounts::{balance, supply};
pub use audit::{Holding, audit};
pub use escrow::expire_due;

/// A command under execution.
pub struct Call<'a, 'b> {
    pub overlay: &'a mut Overlay<'b>,
    pub context: &'a Context,
    pub signers: Signers<'a>,
    /// Name of what the command makes.
    pub id: SettlementId,
    /// The command's tag.
    pub tag: u16,
}

/// Executes one command; the id of what it made is the result's data.
///
/// # Errors
/// The codes of section 15 that the rule in question names.
pub fn execute(call: &mut Call<'_, '_>, args: &[u8]) -> Result<Vec<u8>, Stop> {
    let encoded = [&call.tag.to_be_bytes(), args].concat();
    let command = BankCommand::from_sce(&encoded).map_err(Refusal::from)?;
    match command {
        BankCommand::Transfer(command) => transfer(call, &command)?,
        BankCommand::EscrowCreate(command) => escrow::create(call, &command)?,
        BankCommand::EscrowRelease(command) => escrow::release(call, &command)?,
        BankCommand::EscrowRefund(command) => escrow::refund(call, &command)?,
        BankCommand::BatchCreate(command) => collect::create(call, command)?,
        BankCommand::BatchSettle(command) => collect::settle(call, &command)?,
        BankCommand::ChannelOpen(command) => channel::open(call, &command)?,
        BankCommand::ChannelClaim(command) => channel::claim(call, &command)?,
        BankCommand::ChannelClose(command) => channel::close(call, &command)?,
        BankCommand::Mint(command) => mint(call, &command)?,
        BankCommand::Burn(command) => burn(call, &command)?,
    }
    Ok(call.id.0.to_vec())
}

impl Call<'_, '_> {
    /// The record of `id`, which is active and signed this.
    fn signed_by(&mut self, id: &EntityId, amount: Option<&Amount>) -> Result<Entity, Stop> {
        let entity = members::active(self.overlay, self.context, id)?;
        let use_ = Use { contract: BANK, command: self.tag, amount };
        self.signers.speak_for(self.overlay, self.context, &entity, use_)?;
        Ok(entity)
    }

    /// Writes a settlement. A payer uses a reference once: what stands behind it is paid once, whoever asks again, and
    /// whatever it remembers.
    ///
    /// # Errors
    /// CONFLICT, with the id of the settlement that has the reference as data.
    fn settled(&mut self, id: &SettlementId, settlement: &Settlement) -> Result<(), Stop> {
        if let Some(reference) = &settlement.reference {
            let key = StateKey::payment(&settlement.payer, reference);
            if let Some(first) = self.overlay.get::<SettlementId>(&key)? {
                let said = format!("the payer has used this reference for settlement {first}");
                return Err(Refusal::new(Code::Conflict, said).with_data(first.0.to_vec()).into());
            }
            self.overlay.put(key, id);
        }
        self.overlay.put(StateKey::settlement(id), settlement);
        Ok(())
    }
}

fn transfer(call: &mut Call<'_, '_>, command: &Transfer) -> Result<(), Stop> {
    let payer = call.signed_by(&command.payer, Some(&command.amount))?;
    accounts::compliant(call.context, &payer)?;
    accounts::payee(call.overlay, call.context, &command.payee)?;
    accounts::debit(call.overlay, &command.payer.account(), &command.amount)?;
    let fee = accounts::pay(call.overlay, call.context, &command.payee, &command.amount)?;
    let (id, height) = (call.id, call.context.height);
    let settlement = Settlement {
        kind: SettlementKind::Instant,
        payer: command.payer,
        payee: command.payee,
        amount: command.amount.clone(),
        fee,
        status: SettlementStatus::Completed,
        reference: command.reference,
        height,
    };
    call.settled(&id, &settlement)
}

fn issuer(call: &mut Call<'_, '_>, id: &EntityId, amount: &Amount) -> Result<(), Stop> {
    let entity = call.signed_by(id, Some(amount))?;
    if !entity.issuer_of.contains(&amount.denom) {
        let said = format!("entity {id} is no issuer of {}", amount.denom);
        return Err(Refusal::new(Code::NotAuthorised, said).into());
    }
    Ok(())
}

fn mint(call: &mut Call<'_, '_>, command: &Mint) -> Result<(), Stop> {
    issuer(call, &command.issuer, &command.amount)?;
    accounts::payee(call.overlay, call.context, &command.to)?;
    accounts::grow(call.overlay, &command.amount)?;
    accounts::credit(call.overlay, &command.to, &command.amount)
}

fn burn(call: &mut Call<'_, '_>, command: &Burn) -> Result<(), Stop> {
    issuer(call, &command.issuer, &command.amount)?;
    accounts::debit(call.overlay, &command.issuer.account(), &command.amount)?;
    accounts::shrink(call.overlay, &command.amount)
}
