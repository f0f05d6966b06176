//! Payment channels: the payer signs what it promises in all, off the ledger; the payee claims the last promise.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateset_ledger_types::StateKey;
use stateset_ledger_types::bank::{BankCommand, Channel, ChannelClaim, ChannelClose, ChannelOpen, Claim};
use stateset_ledger_types::ids::{Amount, SettlementId, Units};
use statesetd_app::{Rpc, moment};

use super::super::invoice::OrgArgs;
use super::{MoneyArgs, ToArgs, acting, carried_out, money_of, settlement};
use crate::context::Context;
use crate::error::CliError;
use crate::ledger::money::Currency;
use crate::ledger::nodes;
use crate::{files, ledger};

#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Deposit money for a payee
    Open(OpenArgs),
    /// Promise the payee so much of the deposit in all; the signed file goes to the payee, and nothing to the ledger
    Update(UpdateArgs),
    /// Take what a promise gives, as the payee
    Claim(ClaimArgs),
    /// End it: what is not claimed goes back; the payee at any time, the payer once it has expired
    Close(CloseArgs),
    /// Show what is deposited and claimed
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
    /// From when on the payer may close it alone, as 2026-12-31 (UTC) or 2026-12-31T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: u64,
}

#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// The channel's id
    pub channel: SettlementId,
    /// How much in all, promises before it included, as 12.50
    pub total: String,
    #[command(flatten)]
    pub org: OrgArgs,
    /// Where the promise goes
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct ClaimArgs {
    /// The promise, as `stateset bank channel update` wrote it; `-` is stdin
    pub file: PathBuf,
    #[command(flatten)]
    pub org: OrgArgs,
}

#[derive(Debug, Args)]
pub struct CloseArgs {
    /// The channel's id
    pub channel: SettlementId,
    #[command(flatten)]
    pub org: OrgArgs,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The channel's id
    pub channel: SettlementId,
}

pub fn run(context: &Context, command: &ChannelCommand) -> Result<(), CliError> {
    match command {
        ChannelCommand::Open(args) => open(context, args),
        ChannelCommand::Update(args) => update(context, args),
        ChannelCommand::Claim(args) => claim(context, args),
        ChannelCommand::Close(args) => close(context, args),
        ChannelCommand::Show(args) => tell(context, &args.channel, json!({})),
    }
}

fn open(context: &Context, args: &OpenArgs) -> Result<(), CliError> {
    let (member, money) = (acting(context, &args.org)?, args.money.money(context)?);
    let (payer, payee) = (member.entity, args.to.entity(context)?);
    let open = ChannelOpen { payer, payee, deposit: money.amount, expires_at: args.until };
    let done = carried_out(&member, &[BankCommand::ChannelOpen(open)])?;
    tell(context, &done.id(), done.view(json!({})))
}

/// The channel, while it is open.
fn channel(rpc: &Rpc, id: &SettlementId) -> Result<Option<Channel>, CliError> {
    Ok(statesetd_app::read_key(rpc, &StateKey::channel(id))?)
}

/// The promise's number is the time: it rises whatever was signed before, here or elsewhere.
fn update(context: &Context, args: &UpdateArgs) -> Result<(), CliError> {
    let member = acting(context, &args.org)?;
    let missing = || CliError::input("NOT_FOUND", format!("{} is no open channel", args.channel));
    let held = channel(&member.rpc, &args.channel)?.ok_or_else(missing)?;
    if held.payer != member.entity {
        let said = format!("{} is not the payer of this channel: only the payer promises", args.org.org);
        return Err(CliError::against_rules("NOT_AUTHORISED", said));
    }
    let currency = Currency::of(&nodes::of(&context.data)?, held.denom.as_str())?;
    let total = currency.read_positive("TOTAL", &args.total)?;
    let cumulative = total.amount.units;
    if cumulative > held.deposit || cumulative <= held.claimed {
        let (claimed, deposit) = (currency.of_units(held.claimed), currency.of_units(held.deposit));
        let said =
            format!("TOTAL {total}: give more than the {claimed} that are claimed, and at most {deposit}");
        return Err(CliError::input("BAD_AMOUNT", said));
    }
    let claim = Claim { channel: args.channel, cumulative, nonce: statesetd_app::now().max(held.nonce + 1) };
    let signature = member.sign(&claim.message(&member.chain_id))?;
    let promise = ChannelClaim { claim, key: member.public_key(), signature };
    let json = serde_json::to_string_pretty(&promise).unwrap_or_default() + "\n";
    files::replace(&args.output, json.as_bytes())
        .map_err(|error| CliError::io("write", &args.output, &error))?;
    context.out.result(
        &json!({"channel": args.channel, "promised": total.view(), "nonce": promise.claim.nonce, "file": args.output}),
        &format!("{total} is promised in all; give the payee {}", args.output.display()),
    );
    Ok(())
}

fn claim(context: &Context, args: &ClaimArgs) -> Result<(), CliError> {
    let member = acting(context, &args.org)?;
    let promise: ChannelClaim = serde_json::from_str(&files::read_text(&args.file)?)
        .map_err(|error| CliError::input("BAD_FILE", format!("{}: {error}", args.file.display())))?;
    let id = promise.claim.channel;
    let done = carried_out(&member, &[BankCommand::ChannelClaim(promise)])?;
    tell(context, &id, done.view(json!({})))
}

fn close(context: &Context, args: &CloseArgs) -> Result<(), CliError> {
    let member = acting(context, &args.org)?;
    let close = ChannelClose { channel: args.channel, by: member.entity };
    let done = carried_out(&member, &[BankCommand::ChannelClose(close)])?;
    tell(context, &args.channel, done.view(json!({})))
}

/// The channel as it is now; one that is closed by what is left of it.
fn tell(context: &Context, id: &SettlementId, mut view: Value) -> Result<(), CliError> {
    let rpc = ledger::rpc(&context.data)?;
    let (settlement, open) = (settlement(&rpc, id)?, channel(&rpc, id)?);
    let money = |units: Units| money_of(context, &Amount { denom: settlement.amount.denom.clone(), units });
    view["channel"] = json!(id);
    view["open"] = json!(open.is_some());
    view["payer"] = json!(settlement.payer);
    view["payee"] = json!(settlement.payee);
    let text = match &open {
        Some(open) => {
            let (deposit, claimed) = (money(open.deposit)?, money(open.claimed)?);
            view["deposit"] = json!(deposit.view());
            view["claimed"] = json!(claimed.view());
            view["expires_at"] = json!(open.expires_at);
            let until = ves::TimestampMs(i64::try_from(open.expires_at).unwrap_or(i64::MAX));
            format!("  deposit  {deposit}\n  claimed  {claimed}\n  expires  {until}")
        }
        None => {
            let claimed = money(settlement.amount.units)?;
            view["claimed"] = json!(claimed.view());
            format!("  claimed  {claimed}")
        }
    };
    let word = if open.is_some() { "open" } else { "closed" };
    let parties = format!("  payer    {}\n  payee    {}", settlement.payer, settlement.payee);
    context.out.result(&view, &format!("Channel {id}  {word}\n{parties}\n{text}"));
    Ok(())
}
