//! `stateset bank`: money in the bank of the shared ledger (network.md 10): who has what, and how it moves.

mod channel;
mod collect;
mod escrow;
mod supply;
mod transfer;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateset_keystore::KeyName;
use stateset_ledger_types::bank::{BankCommand, Settlement};
use stateset_ledger_types::ids::{AccountId, Amount, EntityId, SettlementId, TxId};
use statesetd_app::{Member, Rpc};

use self::channel::ChannelCommand;
use self::collect::{CollectArgs, MandateArgs};
use self::escrow::EscrowCommand;
use self::supply::{BurnArgs, MintArgs};
use self::transfer::{BatchArgs, TransferArgs};
use super::invoice::OrgArgs;
use super::invoice::nodes::entity;
use super::org;
use crate::context::Context;
use crate::error::{CliError, printable};
use crate::ledger;
use crate::ledger::acting::company;
use crate::ledger::money::{Currency, Money};
use crate::ledger::nodes;

#[derive(Debug, Subcommand)]
pub enum BankCommandLine {
    /// Say what companies have
    Balance(BalanceArgs),
    /// Pay another member, at once
    Transfer(TransferArgs),
    /// Pay many members at once: all of a file, or none
    Batch(BatchArgs),
    /// Money locked between payer and payee until it is released, refunded or expires
    #[command(subcommand)]
    Escrow(EscrowCommand),
    /// A deposit that the payer gives out by signed, rising promises
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// Allow a merchant to collect up to a sum; the signed file goes to the merchant
    Mandate(MandateArgs),
    /// Collect under mandates: all charges at once, or none
    Collect(CollectArgs),
    /// Make money of a denomination; for its issuers
    Mint(MintArgs),
    /// Destroy money of the issuer's own account; for issuers of its denomination
    Burn(BurnArgs),
    /// Show a payment by its id
    Show(ShowArgs),
    /// Count all money: what is held, in escrow and in channels is the supply
    Audit,
}

#[derive(Debug, Args)]
pub struct BalanceArgs {
    /// A company of this machine or of the address book, or the id of a member [default: every company of this machine]
    #[arg(value_name = "ORG")]
    pub orgs: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its id, as the command said that made it
    pub payment: SettlementId,
}

/// How much of which money.
#[derive(Debug, Args)]
pub struct MoneyArgs {
    /// How much, as 12.50
    pub amount: String,
    #[arg(long, default_value = "usd")]
    pub currency: String,
}

impl MoneyArgs {
    fn money(&self, context: &Context) -> Result<Money, CliError> {
        Currency::of(&nodes::of(&context.data)?, &self.currency)?.read_positive("AMOUNT", &self.amount)
    }
}

/// To whom.
#[derive(Debug, Args)]
pub struct ToArgs {
    /// Who gets it: a company of this machine or of the address book, or the id of any member
    #[arg(long, value_name = "ORG")]
    pub to: String,
}

impl ToArgs {
    fn entity(&self, context: &Context) -> Result<EntityId, CliError> {
        entity(context, "--to", &self.to)
    }
}

pub fn run(context: &Context, command: &BankCommandLine) -> Result<(), CliError> {
    match command {
        BankCommandLine::Balance(args) => balance(context, args),
        BankCommandLine::Transfer(args) => transfer::transfer(context, args),
        BankCommandLine::Batch(args) => transfer::batch(context, args),
        BankCommandLine::Escrow(command) => escrow::run(context, command),
        BankCommandLine::Channel(command) => channel::run(context, command),
        BankCommandLine::Mandate(args) => collect::mandate(context, args),
        BankCommandLine::Collect(args) => collect::collect(context, args),
        BankCommandLine::Mint(args) => supply::mint(context, args),
        BankCommandLine::Burn(args) => supply::burn(context, args),
        BankCommandLine::Show(args) => show(context, args),
        BankCommandLine::Audit => supply::audit(context),
    }
}

/// What the ledger did.
struct Done {
    tx_id: TxId,
    height: u64,
}

impl Done {
    /// What the first command made.
    fn id(&self) -> SettlementId {
        SettlementId::of(&self.tx_id, 0)
    }

    /// With what is said besides.
    fn view(&self, more: Value) -> Value {
        let mut view = json!({"tx_id": self.tx_id, "height": self.height});
        if let (Some(view), Value::Object(more)) = (view.as_object_mut(), more) {
            view.extend(more);
        }
        view
    }
}

/// All commands, or none.
fn carried_out(member: &Member, commands: &[BankCommand]) -> Result<Done, CliError> {
    let (tx_id, committed) = member.bank(commands).map_err(|failure| {
        let error = CliError::from(failure);
        match error.code.as_str() {
            "INSUFFICIENT_FUNDS" => {
                error.hint("amounts of the ledger are minor units; see `stateset bank balance`")
            }
            "UNKNOWN_ENTITY" => error.hint("only members of the ledger are paid"),
            _ => error,
        }
    })?;
    Ok(Done { tx_id, height: committed.height })
}

fn acting(context: &Context, org: &OrgArgs) -> Result<Member, CliError> {
    company(context, &org.org)
}

/// As people read it.
fn money_of(context: &Context, amount: &Amount) -> Result<Money, CliError> {
    Ok(Currency::of(&nodes::of(&context.data)?, amount.denom.as_str())?.of_units(amount.units))
}

fn balance(context: &Context, args: &BalanceArgs) -> Result<(), CliError> {
    let asked: Vec<(String, AccountId)> = if args.orgs.is_empty() {
        org::records(context)?.into_iter().map(|record| (record.org, record.entity_id.account())).collect()
    } else {
        let named = |name: &String| Ok((name.clone(), entity(context, "ORG", name)?.account()));
        args.orgs.iter().map(named).collect::<Result<_, CliError>>()?
    };
    let (mut views, mut lines) = (Vec::new(), String::new());
    for (name, account) in asked {
        let held = org::balances(context, &account)?;
        for money in &held {
            lines += &format!("{:<16} {money}\n", printable(&name));
        }
        if held.is_empty() {
            lines += &format!("{:<16} nothing\n", printable(&name));
        }
        let balances: Vec<_> = held.iter().map(Money::view).collect();
        views.push(json!({"org": name, "account": account, "balances": balances}));
    }
    context.out.result(&views, &lines);
    Ok(())
}

/// The record of a payment.
fn settlement(rpc: &Rpc, id: &SettlementId) -> Result<Settlement, CliError> {
    let missing = || CliError::input("NOT_FOUND", format!("the ledger has no payment {id}"));
    statesetd_app::read(rpc, &format!("/ssn/settle/{id}"))?.ok_or_else(missing)
}

fn show(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    let found = settlement(&ledger::rpc(&context.data)?, &args.payment)?;
    let (money, fee) =
        (money_of(context, &found.amount)?, Amount { units: found.fee, ..found.amount.clone() });
    let fee = money_of(context, &fee)?;
    let text = format!(
        "{:?} of {money}  {:?}\n  payer   {}\n  payee   {}\n  fee     {fee}\n  height  {}",
        found.kind, found.status, found.payer, found.payee, found.height
    );
    let mut view = json!(found);
    view["amount"] = json!(money.view());
    view["fee"] = json!(fee.view());
    context.out.result(&view, &text);
    Ok(())
}

/// The founder's own name is none of a company.
fn name_of(org: Option<&KeyName>) -> String {
    org.map_or_else(|| "the founder".to_owned(), ToString::to_string)
}
