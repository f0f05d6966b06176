//! How much money there is: issuers make and destroy it, everybody counts it.

use clap::Args;
use serde_json::json;
use stateset_keystore::KeyName;
use stateset_ledger_types::bank::{BankCommand, Burn, Mint};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::ids::{Denom, Units};
use stateset_ledger_types::record;

use super::{MoneyArgs, ToArgs, carried_out, name_of};
use crate::context::Context;
use crate::error::CliError;
use crate::ledger;
use crate::ledger::acting::company_or_founder;
use crate::ledger::money::Currency;
use crate::ledger::nodes;

/// Most denominations of one answer of the ledger.
const DENOMS_MAX: usize = 10_000;

#[derive(Debug, Args)]
pub struct MintArgs {
    #[command(flatten)]
    pub money: MoneyArgs,
    #[command(flatten)]
    pub to: ToArgs,
    /// The issuer, by its name here [default: the founder of the ledger of this machine]
    #[arg(long, value_name = "ORG")]
    pub org: Option<KeyName>,
}

#[derive(Debug, Args)]
pub struct BurnArgs {
    #[command(flatten)]
    pub money: MoneyArgs,
    /// The issuer, by its name here [default: the founder of the ledger of this machine]
    #[arg(long, value_name = "ORG")]
    pub org: Option<KeyName>,
}

record! {
    /// Where the supply of a denomination is, as `/ssn/bank/audit` lists it.
    pub struct Held {
        pub denom: Denom,
        pub supply: Units,
        pub balances: Units,
        pub escrows: Units,
        pub channels: Units,
    }
}

/// Who may mint is decided by the members.
fn may_not(error: CliError) -> CliError {
    match error.code.as_str() {
        "NOT_AUTHORISED" => {
            error.hint("members name issuers: stateset ledger propose member ORG --issuer-of DENOM")
        }
        _ => error,
    }
}

pub fn mint(context: &Context, args: &MintArgs) -> Result<(), CliError> {
    let (issuer, money) = (company_or_founder(context, args.org.as_ref())?, args.money.money(context)?);
    let to = args.to.entity(context)?;
    let mint = Mint { issuer: issuer.entity, to: to.account(), amount: money.amount.clone() };
    let done = carried_out(&issuer, &[BankCommand::Mint(mint)]).map_err(may_not)?;
    let view = done.view(json!({"minted": money.view(), "to": to}));
    context.out.result(&view, &format!("{} has {money} more.", args.to.to));
    Ok(())
}

pub fn burn(context: &Context, args: &BurnArgs) -> Result<(), CliError> {
    let (issuer, money) = (company_or_founder(context, args.org.as_ref())?, args.money.money(context)?);
    let burn = Burn { issuer: issuer.entity, amount: money.amount.clone() };
    let done = carried_out(&issuer, &[BankCommand::Burn(burn)]).map_err(may_not)?;
    let view = done.view(json!({"burnt": money.view()}));
    context.out.result(&view, &format!("{} has {money} less.", name_of(args.org.as_ref())));
    Ok(())
}

/// # Errors
/// INVARIANT where the ledger finds that money came or went by itself.
pub fn audit(context: &Context) -> Result<(), CliError> {
    let rpc = ledger::rpc(&context.data)?;
    let found: Option<List<Held, DENOMS_MAX>> = statesetd_app::read(&rpc, "/ssn/bank/audit")?;
    let api = nodes::of(&context.data)?;
    let (mut views, mut lines) = (Vec::new(), String::new());
    for held in found.unwrap_or_default().iter() {
        let currency = Currency::of(&api, held.denom.as_str())?;
        let decimal = |units| currency.of_units(units).decimal();
        let [supply, balances, escrows, channels] =
            [held.supply, held.balances, held.escrows, held.channels].map(decimal);
        lines += &format!(
            "{}\n  supply    {supply}\n  held      {balances}\n  escrows   {escrows}\n  channels  {channels}\n",
            held.denom
        );
        views.push(json!({"currency": held.denom, "supply": supply, "held": balances, "escrows": escrows,
            "channels": channels}));
    }
    context.out.result(&views, &lines);
    Ok(())
}
