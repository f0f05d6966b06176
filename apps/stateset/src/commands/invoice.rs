//! `stateset invoice`: invoices between companies of the shared ledger, through their nodes (network.md 11.12).

mod changes;
pub mod nodes;
mod proposals;
mod registry;
mod shown;
mod steps;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stateset_contracts::InvoiceCommand as Step;
use stateset_keystore::KeyName;
use stateset_node::Attested;

use crate::context::Context;
use crate::error::CliError;

#[derive(Debug, Subcommand)]
pub enum InvoiceCommand {
    /// Propose an invoice to who shall pay it; it is issued once that company approves
    Create(CreateArgs),
    /// List what other companies ask this one to sign
    Requests(proposals::FlowsArgs),
    /// List what this company proposes and others have not signed yet
    Proposals(proposals::FlowsArgs),
    /// Take back what this company proposes, until all have signed it
    Withdraw(proposals::WithdrawArgs),
    /// Sign what another company proposes: an invoice, a sale to a factor
    Approve(RequestArgs),
    /// Refuse what another company proposes
    Decline(DeclineArgs),
    /// Acknowledge the debt of an invoice; one that is only proposed is approved first
    Accept(InvoiceArgs),
    /// Pay the advance for an invoice that a factor is to buy, and keep the evidence for the seller
    Fund(FundArgs),
    /// Enter an invoice as financed by this company, before it signs the sale: no other factor enters a copy of it
    Register(registry::RegisterArgs),
    /// Sell an invoice to a factor that has paid the advance; the factor and the payer approve
    Factor(FactorArgs),
    /// Pay an invoice, in part or whole, to whoever holds it
    Pay(PayArgs),
    /// Call off an invoice that nothing was paid of; the payer approves
    Void(InvoiceArgs),
    /// Dispute an invoice; its holder approves
    Dispute(InvoiceArgs),
    /// Settle a dispute: what is owed instead, or nothing; the other company approves, and the factor where there is one
    SettleDispute(changes::SettleArgs),
    /// Hand a sold invoice on to another factor; that one and the payer approve
    Refactor(changes::RefactorArgs),
    /// Take an overdue invoice back that was sold with recourse: pays the factor, which approves
    Recourse(changes::RecourseArgs),
    /// Hand an invoice that is not sold to another seller; that one and the payer approve
    Transfer(changes::TransferArgs),
    /// Mark an invoice as overdue, after its due date
    Overdue(InvoiceArgs),
    /// Show an invoice and every step it took
    Show(InvoiceArgs),
    /// List a company's invoices
    List(ListArgs),
}

/// Whose node does it.
#[derive(Debug, Args)]
pub struct OrgArgs {
    /// The company that does this, by its name here
    #[arg(long, value_name = "ORG", env = "STATESET_ORG")]
    pub org: KeyName,
}

/// How long to wait for others.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Seconds to wait for the other companies and for the ledger
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub wait: u64,
}

/// Who checks a step besides the companies that take part.
#[derive(Debug, Clone, Copy, Args)]
pub struct ModeArgs {
    /// Whether attesters check it too [default: as the step before; an invoice begins private]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Which attesters: the number of their policy on the ledger, see `stateset org attesters` [default: 1]
    #[arg(long, value_name = "POLICY")]
    pub attesters: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    Private,
    Attested,
}

impl ModeArgs {
    fn attested(self) -> Result<Attested, CliError> {
        match (self.mode, self.attesters) {
            (Some(Mode::Attested), policy) => Ok(Attested::By(policy.unwrap_or(1))),
            (_, Some(_)) => {
                Err(CliError::input("BAD_MODE", "--attesters is for --mode attested").hint("give both"))
            }
            (Some(Mode::Private), None) => Ok(Attested::No),
            (None, None) => Ok(Attested::AsBefore),
        }
    }
}

#[derive(Debug, Args)]
pub struct InvoiceArgs {
    /// Its number, or its id of 32 hex digits
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct RequestArgs {
    /// The invoice that it is about, by number or id, or the request's own id
    pub request: String,
    #[command(flatten)]
    pub org: OrgArgs,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct DeclineArgs {
    #[command(flatten)]
    pub request: RequestArgs,
    /// What the other company is told
    #[arg(long, default_value = "declined")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub org: OrgArgs,
    /// Who shall pay: a company of this machine or of the address book, or the id of any member
    #[arg(long, value_name = "ORG")]
    pub to: String,
    /// The invoice's number, unique among the seller's
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub number: String,
    /// Sum before tax, as 1000.00 [default: that of the lines]
    #[arg(long, required_unless_present = "line")]
    pub amount: Option<String>,
    #[arg(long, default_value = "0")]
    pub tax: String,
    #[arg(long, default_value = "usd")]
    pub currency: String,
    /// Last day to pay, as 2026-12-31 (UTC)
    #[arg(long, value_name = "DATE", value_parser = statesetd_app::day_end)]
    pub due: u64,
    /// What it is for
    #[arg(long, default_value = "")]
    pub name: String,
    /// A line, as SKU:QUANTITY:UNIT-PRICE or SKU:QUANTITY:UNIT-PRICE:DESCRIPTION; may be given again
    #[arg(long, value_name = "LINE")]
    pub line: Vec<String>,
    #[command(flatten)]
    pub mode: ModeArgs,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct FundArgs {
    /// The invoice's number, or its id
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
    /// Who sells it: a company of this machine or of the address book, or the id of a member
    #[arg(long, value_name = "ORG")]
    pub seller: String,
    /// The advance, as 950.00
    #[arg(long)]
    pub amount: String,
    #[arg(long, default_value = "usd")]
    pub currency: String,
    /// Version of the invoice, where the seller's node is not of this machine: the seller says it
    #[arg(long, value_name = "VERSION")]
    pub invoice_version: Option<u64>,
    /// Where the evidence goes, for a seller whose node is not of this machine
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct FactorArgs {
    /// The invoice's number, or its id
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
    /// Who buys it: a company of this machine or of the address book, with the role of a factor, or the id of a member
    #[arg(long, value_name = "ORG")]
    pub factor: String,
    /// What the factor has paid for it, as 950.00; the rest of what is owed is its discount
    #[arg(long)]
    pub advance: String,
    /// The factor may give the invoice back once it is overdue
    #[arg(long)]
    pub recourse: bool,
    /// Evidence of the advance, as `stateset invoice fund -o` writes it [default: that of the factor's node on this machine]
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    #[command(flatten)]
    pub mode: ModeArgs,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct PayArgs {
    /// The invoice's number, or its id
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
    /// How much, as 250.00 [default: all that remains]
    #[arg(long)]
    pub amount: Option<String>,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub org: OrgArgs,
    /// Only those in this status, as ACCEPTED
    #[arg(long)]
    pub status: Option<String>,
    /// Where a list before went on
    #[arg(long)]
    pub cursor: Option<String>,
    /// Invoices of one page at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub limit: u16,
}

pub fn run(context: &Context, command: &InvoiceCommand) -> Result<(), CliError> {
    match command {
        InvoiceCommand::Create(args) => steps::create(context, args),
        InvoiceCommand::Requests(args) => proposals::requests(context, args),
        InvoiceCommand::Proposals(args) => proposals::list(context, args),
        InvoiceCommand::Withdraw(args) => proposals::withdraw(context, args),
        InvoiceCommand::SettleDispute(args) => changes::settle_dispute(context, args),
        InvoiceCommand::Refactor(args) => changes::refactor(context, args),
        InvoiceCommand::Recourse(args) => changes::recourse(context, args),
        InvoiceCommand::Transfer(args) => changes::transfer(context, args),
        InvoiceCommand::Approve(args) => steps::approve(context, args),
        InvoiceCommand::Decline(args) => steps::decline(context, args),
        InvoiceCommand::Accept(args) => steps::accept(context, args),
        InvoiceCommand::Fund(args) => steps::fund(context, args),
        InvoiceCommand::Register(args) => registry::register(context, args),
        InvoiceCommand::Factor(args) => steps::factor(context, args),
        InvoiceCommand::Pay(args) => steps::pay(context, args),
        InvoiceCommand::Void(args) => steps::plain(context, args, &Step::Void(())),
        InvoiceCommand::Dispute(args) => steps::plain(context, args, &Step::Dispute(())),
        InvoiceCommand::Overdue(args) => steps::plain(context, args, &Step::MarkOverdue(())),
        InvoiceCommand::Show(args) => shown::show(context, args),
        InvoiceCommand::List(args) => shown::list(context, args),
    }
}
