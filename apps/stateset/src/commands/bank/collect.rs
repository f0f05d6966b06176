//! Mandates, and what merchants collect under them: all charges of a batch, or none.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use stateset_ledger_types::bank::{BankCommand, BatchCreate, BatchSettle, Charge, Mandate, SignedMandate};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::ids::SettlementId;
use statesetd_app::{Member, moment};

use super::super::invoice::OrgArgs;
use super::{MoneyArgs, acting, carried_out};
use crate::commands::invoice::nodes::entity;
use crate::context::Context;
use crate::error::CliError;
use crate::files;
use crate::ledger::money::{Currency, Money};
use crate::ledger::nodes;

#[derive(Debug, Args)]
pub struct MandateArgs {
    #[command(flatten)]
    pub money: MoneyArgs,
    #[command(flatten)]
    pub org: OrgArgs,
    /// Who may collect: a company of this machine or of the address book, or the id of any member
    #[arg(long, value_name = "ORG")]
    pub merchant: String,
    /// When it ends, as 2026-12-31 (UTC) or 2026-12-31T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: u64,
    /// Where the signed mandate goes
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct CollectArgs {
    #[command(flatten)]
    pub org: OrgArgs,
    /// A payer's mandate and how much is collected under it, as acme.json=12.50; may be given again
    #[arg(long = "charge", value_name = "FILE=AMOUNT", required_unless_present = "batch", value_parser = charge)]
    pub charges: Vec<(PathBuf, String)>,
    /// Collect a batch that was refused before, by its id
    #[arg(long, value_name = "ID", conflicts_with = "charges")]
    pub batch: Option<SettlementId>,
}

fn charge(text: &str) -> Result<(PathBuf, String), String> {
    let parsed = text.rsplit_once('=').filter(|(file, amount)| !file.is_empty() && !amount.is_empty());
    parsed
        .map(|(file, amount)| (PathBuf::from(file), amount.to_owned()))
        .ok_or_else(|| "it is FILE=AMOUNT, such as acme.json=12.50".to_owned())
}

pub fn mandate(context: &Context, args: &MandateArgs) -> Result<(), CliError> {
    let (member, cap) = (acting(context, &args.org)?, args.money.money(context)?);
    let merchant = entity(context, "--merchant", &args.merchant)?;
    let mandate = Mandate { payer: member.entity, merchant, cap: cap.amount.clone(), expires_at: args.until };
    let signature = member.sign(&mandate.message(&member.chain_id))?;
    let signed = SignedMandate { mandate, key: member.public_key(), signature };
    let json = serde_json::to_string_pretty(&signed).unwrap_or_default() + "\n";
    files::replace(&args.output, json.as_bytes())
        .map_err(|error| CliError::io("write", &args.output, &error))?;
    context.out.result(
        &json!({"merchant": merchant, "cap": cap.view(), "expires_at": args.until, "file": args.output}),
        &format!("{} may collect up to {cap}; give it {}", args.merchant, args.output.display()),
    );
    Ok(())
}

/// Mandates with the amounts that are collected under them.
fn charges(context: &Context, args: &CollectArgs) -> Result<Vec<(Charge, Money)>, CliError> {
    let api = nodes::of(&context.data)?;
    let read = |(file, amount): &(PathBuf, String)| {
        let mandate: SignedMandate = serde_json::from_str(&files::read_text(file)?)
            .map_err(|error| CliError::input("BAD_FILE", format!("{}: {error}", file.display())))?;
        let currency = Currency::of(&api, mandate.mandate.cap.denom.as_str())?;
        let money = currency.read_positive("--charge", amount)?;
        Ok((Charge { mandate, units: money.amount.units, reference: None }, money))
    };
    args.charges.iter().map(read).collect()
}

/// Two transactions: the batch has its id from the first, and is settled as a whole by the second.
pub fn collect(context: &Context, args: &CollectArgs) -> Result<(), CliError> {
    let member = acting(context, &args.org)?;
    if let Some(batch) = args.batch {
        return settle(context, &member, batch, &[]);
    }
    let (charges, collected): (Vec<_>, Vec<_>) = charges(context, args)?.into_iter().unzip();
    let charges =
        List::new(charges).map_err(|problem| CliError::input("TOO_MANY", format!("--charge: {problem}")))?;
    let create = BatchCreate { merchant: member.entity, charges };
    let batch = carried_out(&member, &[BankCommand::BatchCreate(create)])?.id();
    settle(context, &member, batch, &collected).map_err(|error| {
        let again = format!("nothing is collected; again with `stateset bank collect --batch {batch}`");
        CliError { hint: None, ..error }.hint(again)
    })
}

fn settle(
    context: &Context,
    member: &Member,
    batch: SettlementId,
    collected: &[Money],
) -> Result<(), CliError> {
    let settle = BatchSettle { merchant: member.entity, batch };
    let done = carried_out(member, &[BankCommand::BatchSettle(settle)])?;
    let views: Vec<_> = collected.iter().map(Money::view).collect();
    let lines: String = collected.iter().map(|money| format!("  {money}\n")).collect();
    let text = format!("Batch {batch} is collected.\n{lines}");
    context.out.result(&done.view(json!({"batch": batch, "collected": views})), &text);
    Ok(())
}
