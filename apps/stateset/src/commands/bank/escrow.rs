//! Escrows: the payer releases, the payee refunds, the arbiter that both agreed on does either where they disagree.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateset_ledger_types::bank::{BankCommand, Escrow, EscrowCreate, EscrowRefund, EscrowRelease};
use stateset_ledger_types::ids::{Amount, SettlementId};
use statesetd_app::{Rpc, moment};

use super::super::invoice::OrgArgs;
use super::super::invoice::nodes::entity;
use super::{MoneyArgs, ToArgs, acting, carried_out, money_of, settlement};
use crate::context::Context;
use crate::error::CliError;
use crate::ledger;
use crate::ledger::money::Currency;
use crate::ledger::nodes;

#[derive(Debug, Subcommand)]
pub enum EscrowCommand {
    /// Lock money for a payee; what is left goes back when it expires
    Open(OpenArgs),
    /// Give everything that is locked to the payee, as the payer, or as the arbiter of a dispute
    Release(DecideArgs),
    /// Give it back to the payer, in part or whole, as the payee, or as the arbiter of a dispute
    Refund(RefundArgs),
    /// Show what is locked, for whom and until when
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct OpenArgs {
    #[command(flatten)]
    pub money: MoneyArgs,
    #[command(flatten)]
    pub org: OrgArgs,
    #[command(flatten)]
    pub to: ToArgs,
    /// When it expires, as 2026-12-31 (UTC) or 2026-12-31T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: u64,
    /// Who decides a dispute: a member with the role ARBITER, by its name here or its id
    #[arg(long, value_name = "ORG")]
    pub arbiter: Option<String>,
}

#[derive(Debug, Args)]
pub struct DecideArgs {
    /// Its id
    pub escrow: SettlementId,
    #[command(flatten)]
    pub org: OrgArgs,
}

#[derive(Debug, Args)]
pub struct RefundArgs {
    /// Its id
    pub escrow: SettlementId,
    #[command(flatten)]
    pub org: OrgArgs,
    /// How much, as 12.50 [default: all that is locked]
    #[arg(long)]
    pub amount: Option<String>,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its id
    pub escrow: SettlementId,
}

pub fn run(context: &Context, command: &EscrowCommand) -> Result<(), CliError> {
    match command {
        EscrowCommand::Open(args) => open(context, args),
        EscrowCommand::Release(args) => release(context, args),
        EscrowCommand::Refund(args) => refund(context, args),
        EscrowCommand::Show(args) => tell(context, &args.escrow, json!({})),
    }
}

fn open(context: &Context, args: &OpenArgs) -> Result<(), CliError> {
    let (member, money) = (acting(context, &args.org)?, args.money.money(context)?);
    let payee = args.to.entity(context)?.account();
    let arbiter = args.arbiter.as_deref().map(|name| entity(context, "--arbiter", name)).transpose()?;
    let (payer, amount, expires_at) = (member.entity, money.amount, args.until);
    let create = EscrowCreate { payer, payee, amount, arbiter, expires_at, reference: None };
    let done = carried_out(&member, &[BankCommand::EscrowCreate(create)])?;
    tell(context, &done.id(), done.view(json!({})))
}

fn release(context: &Context, args: &DecideArgs) -> Result<(), CliError> {
    let member = acting(context, &args.org)?;
    let release = EscrowRelease { escrow: args.escrow, by: member.entity };
    let done = carried_out(&member, &[BankCommand::EscrowRelease(release)])?;
    tell(context, &args.escrow, done.view(json!({})))
}

fn refund(context: &Context, args: &RefundArgs) -> Result<(), CliError> {
    let member = acting(context, &args.org)?;
    let held = escrow(&member.rpc, &args.escrow)?;
    let units = match &args.amount {
        Some(amount) => {
            let currency = Currency::of(&nodes::of(&context.data)?, held.denom.as_str())?;
            currency.read_positive("--amount", amount)?.amount.units
        }
        None => held.locked,
    };
    let refund = EscrowRefund { escrow: args.escrow, by: member.entity, units };
    let done = carried_out(&member, &[BankCommand::EscrowRefund(refund)])?;
    tell(context, &args.escrow, done.view(json!({})))
}

fn escrow(rpc: &Rpc, id: &SettlementId) -> Result<Escrow, CliError> {
    let missing = || CliError::input("NOT_FOUND", format!("the ledger has no escrow {id}"));
    statesetd_app::read(rpc, &format!("/ssn/escrow/{id}"))?.ok_or_else(missing)
}

/// The escrow as it is now.
fn tell(context: &Context, id: &SettlementId, mut view: Value) -> Result<(), CliError> {
    let rpc = ledger::rpc(&context.data)?;
    let (escrow, settlement) = (escrow(&rpc, id)?, settlement(&rpc, id)?);
    let locked = money_of(context, &Amount { denom: escrow.denom.clone(), units: escrow.locked })?;
    let amount = money_of(context, &settlement.amount)?;
    let until = ves::TimestampMs(i64::try_from(escrow.expires_at).unwrap_or(i64::MAX));
    let arbiter = escrow.arbiter.map_or_else(|| "nobody".to_owned(), |arbiter| arbiter.to_string());
    let text = format!(
        "Escrow {id}  {:?}\n  amount   {amount}\n  locked   {locked}\n  payer    {}\n  payee    {}\n  arbiter  {arbiter}\n  \
         expires  {until}",
        settlement.status, escrow.payer, escrow.payee
    );
    view["escrow"] = json!(id);
    view["status"] = json!(settlement.status);
    view["amount"] = json!(amount.view());
    view["locked"] = json!(locked.view());
    view["payer"] = json!(escrow.payer);
    view["payee"] = json!(escrow.payee);
    view["arbiter"] = json!(escrow.arbiter);
    view["expires_at"] = json!(escrow.expires_at);
    context.out.result(&view, &text);
    Ok(())
}
