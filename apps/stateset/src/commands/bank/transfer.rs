//! Transfers: one, or all of a file at once.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use stateset_ledger_types::Params;
use stateset_ledger_types::bank::{BankCommand, Transfer};
use stateset_ledger_types::ids::SettlementId;
use ves::Digest;

use super::super::invoice::OrgArgs;
use super::super::invoice::nodes::entity;
use super::{MoneyArgs, ToArgs, acting, carried_out};
use crate::context::Context;
use crate::error::{CliError, printable};
use crate::files;
use crate::ledger::money::{Currency, Money};
use crate::ledger::nodes;

#[derive(Debug, Args)]
pub struct TransferArgs {
    #[command(flatten)]
    pub money: MoneyArgs,
    #[command(flatten)]
    pub org: OrgArgs,
    #[command(flatten)]
    pub to: ToArgs,
    /// What it pays for, as a hash: the ledger takes a payer's reference once, so the payment can't be made twice
    #[arg(long, value_name = "HASH")]
    pub reference: Option<Digest>,
}

#[derive(Debug, Args)]
pub struct BatchArgs {
    /// Lines TO,AMOUNT[,CURRENCY], or a JSON list of {"to", "amount", "currency", "reference"}; `-` is stdin
    pub file: PathBuf,
    #[command(flatten)]
    pub org: OrgArgs,
    /// Of lines that name none
    #[arg(long, default_value = "usd")]
    pub currency: String,
}

pub fn transfer(context: &Context, args: &TransferArgs) -> Result<(), CliError> {
    let (member, money) = (acting(context, &args.org)?, args.money.money(context)?);
    let payee = args.to.entity(context)?;
    let command = BankCommand::Transfer(Transfer {
        payer: member.entity,
        payee: payee.account(),
        amount: money.amount.clone(),
        reference: args.reference,
    });
    let done = carried_out(&member, &[command])?;
    let view = done.view(json!({"payment": done.id(), "paid": money.view(), "payee": payee}));
    context.out.result(&view, &format!("{money} is paid to {}.\n  payment  {}", args.to.to, done.id()));
    Ok(())
}

/// A transfer of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    to: String,
    amount: String,
    currency: Option<String>,
    reference: Option<Digest>,
}

fn bad(problem: impl std::fmt::Display) -> CliError {
    CliError::input("BAD_FILE", format!("{problem}"))
}

/// Every row with the place that errors name.
fn rows(text: &str) -> Result<Vec<(String, Row)>, CliError> {
    // Spreadsheets put a mark of the encoding before the first line.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('[') {
        let rows: Vec<Row> = serde_json::from_str(text).map_err(bad)?;
        return Ok((1..).zip(rows).map(|(n, row)| (format!("entry {n}"), row)).collect());
    }
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let is_head = |line: &str| line.to_lowercase().replace(' ', "").starts_with("to,amount");
    let row = |(n, line): (u32, &str)| {
        let place = format!("line {n}");
        let fields: Vec<String> = line.split(',').map(|field| field.trim().to_owned()).collect();
        match &fields[..] {
            [to, amount] => Ok((place, row_of(to, amount, None))),
            [to, amount, currency] => Ok((place, row_of(to, amount, Some(currency.clone())))),
            _ => Err(bad(format!("{place}: write it as TO,AMOUNT or TO,AMOUNT,CURRENCY"))),
        }
    };
    lines.filter(|(n, line)| *n > 1 || !is_head(line)).map(row).collect()
}

fn row_of(to: &str, amount: &str, currency: Option<String>) -> Row {
    Row { to: to.to_owned(), amount: amount.to_owned(), currency, reference: None }
}

/// One transaction: what is wrong with a row keeps all from being made.
pub fn batch(context: &Context, args: &BatchArgs) -> Result<(), CliError> {
    let member = acting(context, &args.org)?;
    let rows = rows(&files::read_text(&args.file)?)?;
    let params: Option<Params> = statesetd_app::read(&member.rpc, "/ssn/params")?;
    let most = params.unwrap_or_default().max_components;
    if rows.is_empty() || rows.len() as u64 > most {
        let said = format!("{} has {} transfers: give 1 to {most}", args.file.display(), rows.len());
        return Err(CliError::input("BAD_FILE", said).hint("write the rest into another file"));
    }
    let api = nodes::of(&context.data)?;
    let (mut commands, mut paid): (Vec<_>, Vec<(String, Money)>) = (Vec::new(), Vec::new());
    for (place, row) in rows {
        let currency = Currency::of(&api, row.currency.as_deref().unwrap_or(&args.currency));
        let money = currency.and_then(|currency| currency.read_positive("AMOUNT", &row.amount));
        let payee = entity(context, "TO", &row.to);
        let at = |error: CliError| CliError { message: format!("{place}: {}", error.message), ..error };
        let (money, payee) = (money.map_err(at)?, payee.map_err(at)?);
        commands.push(BankCommand::Transfer(Transfer {
            payer: member.entity,
            payee: payee.account(),
            amount: money.amount.clone(),
            reference: row.reference,
        }));
        paid.push((row.to, money));
    }
    let done = carried_out(&member, &commands)?;
    let ids = (0..).map(|n| SettlementId::of(&done.tx_id, n));
    let (mut views, mut lines) = (Vec::new(), String::new());
    for ((to, money), id) in paid.iter().zip(ids) {
        lines += &format!("{:<16} {money}\n", printable(to));
        views.push(json!({"to": to, "paid": money.view(), "payment": id}));
    }
    let text = format!("{lines}All are paid, in transaction {}.", done.tx_id);
    context.out.result(&done.view(json!({"transfers": views})), &text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_lines_or_entries_and_their_place_is_named() {
        let csv = rows("\u{feff}to,amount,currency\nacme, 1.00\n\nbank,2,eur\n").unwrap();
        let said: Vec<_> =
            csv.iter().map(|(place, row)| (place.as_str(), row.to.as_str(), row.amount.as_str())).collect();
        assert_eq!(said, [("line 2", "acme", "1.00"), ("line 4", "bank", "2")]);
        assert_eq!(csv[1].1.currency.as_deref(), Some("eur"));
        let json = rows(r#" [{"to": "acme", "amount": "1.00"}]"#).unwrap();
        assert_eq!((json[0].0.as_str(), json[0].1.to.as_str()), ("entry 1", "acme"));
        assert_eq!(rows("acme").unwrap_err().message, "line 1: write it as TO,AMOUNT or TO,AMOUNT,CURRENCY");
        assert_eq!(rows(r#"[{"to": "acme"}]"#).unwrap_err().code, "BAD_FILE");
    }
}
