//! Steps that change what is owed, or to whom: a dispute is settled, a claim goes to another factor, back to its seller, or to
//! another seller (network.md 11.12).

use clap::Args;
use stateset_contracts::InvoiceCommand;
use stateset_contracts::invoice::{Adjustment, Recourse, Refactor, SettleDispute, Transfer};
use stateset_ledger_types::ids::Units;
use stateset_node_client::Held;

use super::nodes::{entity, invoice, start};
use super::steps::{billed, first_wait, take};
use super::{OrgArgs, WaitArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::ledger::money::Currency;

#[derive(Debug, Args)]
pub struct SettleArgs {
    /// The invoice's number, or its id
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
    /// Sum before tax that is owed instead, as 900.00 [default: that of the lines]
    #[arg(long, required_unless_present_any = ["line", "void"])]
    pub amount: Option<String>,
    /// Tax that is owed instead [default: as it was]
    #[arg(long, conflicts_with = "void")]
    pub tax: Option<String>,
    /// A line that is owed instead, as SKU:QUANTITY:UNIT-PRICE or SKU:QUANTITY:UNIT-PRICE:DESCRIPTION; may be given again
    #[arg(long, value_name = "LINE")]
    pub line: Vec<String>,
    /// Nothing is owed: the invoice is void, where nothing was paid of it
    #[arg(long, conflicts_with_all = ["amount", "line"])]
    pub void: bool,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct RefactorArgs {
    /// The invoice's number, or its id
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
    /// Who takes it over: a company of this machine or of the address book, with the role of a factor, or the id of a member
    #[arg(long, value_name = "ORG")]
    pub factor: String,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct RecourseArgs {
    /// The invoice's number, or its id
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
    /// What is agreed on top of what remains to be paid, as 10.00
    #[arg(long, default_value = "0")]
    pub fee: String,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct TransferArgs {
    /// The invoice's number, or its id
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
    /// Who becomes its seller: a company of this machine or of the address book, or the id of a member
    #[arg(long, value_name = "ORG")]
    pub to: String,
    #[command(flatten)]
    pub wait: WaitArgs,
}

pub fn settle_dispute(context: &Context, args: &SettleArgs) -> Result<(), CliError> {
    take(context, &args.org.org, &args.wait, "Settled", |node| {
        let held = invoice(node, &args.invoice)?;
        let invoice = held.invoice()?;
        let adjusted = if args.void {
            None
        } else {
            let currency = Currency::of(&node.api, invoice.denom.as_str())?;
            let (lines, subtotal) = billed(&currency, args.amount.as_deref(), &args.line)?;
            let tax = args.tax.as_deref().map(|tax| currency.read("--tax", tax)).transpose()?;
            let tax = tax.map_or(invoice.tax, |tax| tax.amount.units);
            Some(Adjustment { lines, subtotal, tax })
        };
        let command = InvoiceCommand::SettleDispute(SettleDispute { adjusted });
        start(node, Some(held.linear_id), &command, &[], first_wait(&args.wait))
    })
}

pub fn refactor(context: &Context, args: &RefactorArgs) -> Result<(), CliError> {
    take(context, &args.org.org, &args.wait, "Taken over", |node| {
        let held = invoice(node, &args.invoice)?;
        let factor = entity(context, "--factor", &args.factor)?;
        let command = InvoiceCommand::Refactor(Refactor { factor });
        start(node, Some(held.linear_id), &command, &[factor], first_wait(&args.wait))
    })
}

pub fn transfer(context: &Context, args: &TransferArgs) -> Result<(), CliError> {
    take(context, &args.org.org, &args.wait, "Transferred", |node| {
        let held = invoice(node, &args.invoice)?;
        let party = entity(context, "--to", &args.to)?;
        let command = InvoiceCommand::Transfer(Transfer { party });
        start(node, Some(held.linear_id), &command, &[party], first_wait(&args.wait))
    })
}

/// The seller pays what remains, with the fee, to the factor first; the same step asked for again is paid once.
pub fn recourse(context: &Context, args: &RecourseArgs) -> Result<(), CliError> {
    take(context, &args.org.org, &args.wait, "Taken back", |node| {
        let held = invoice(node, &args.invoice)?;
        let invoice = held.invoice()?;
        let factor = given_back_by(context, args, &held)?;
        let fee = Currency::of(&node.api, invoice.denom.as_str())?.read("--fee", &args.fee)?.amount.units;
        let too_much = || CliError::input("BAD_AMOUNT", "--fee is more than can be counted");
        let sum = invoice.amount_remaining.0.checked_add(fee.0).map(Units).ok_or_else(too_much)?;
        let evidence = node.pay(factor, &invoice.amount(sum), held.linear_id, invoice.head.version)?;
        let command = InvoiceCommand::Recourse(Recourse { fee, evidence });
        start(node, Some(held.linear_id), &command, &[], first_wait(&args.wait))
    })
}

/// The factor of an invoice that the contract would let it give back: nothing is paid for another.
fn given_back_by(
    context: &Context,
    args: &RecourseArgs,
    held: &Held,
) -> Result<stateset_ledger_types::ids::EntityId, CliError> {
    let (invoice, status) = (held.invoice()?, held.status.as_deref().unwrap_or_default());
    let refused = |said: String| Err(CliError::against_rules("BAD_TRANSITION", said));
    let me = entity(context, "--org", args.org.org.as_str())?;
    match (invoice.factor, invoice.finance) {
        _ if me != invoice.party => {
            refused(format!("{} is not the seller: the seller takes it back and pays", args.org.org))
        }
        (Some(_), Some(finance)) if !finance.recourse => {
            refused("it was sold without recourse: the factor keeps it".to_owned())
        }
        (Some(_), Some(_)) if status != "OVERDUE" => {
            refused(format!("the invoice is {status}: the factor may give it back once it is OVERDUE"))
        }
        (Some(factor), Some(_)) => Ok(factor),
        _ => refused("the invoice is not sold".to_owned()),
    }
}
