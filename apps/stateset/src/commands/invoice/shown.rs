//! What is told of invoices and of requests.

use serde_json::json;
use stateset_contracts::Invoice;
use stateset_ledger_types::ids::{EntityId, LinearId};
use stateset_node_client::files::PeersFile;
use stateset_node_client::{Company, Flow, Held};
use ves::TimestampMs;

use super::nodes::{company, invoice};
use super::{InvoiceArgs, ListArgs};
use crate::commands::org;
use crate::context::Context;
use crate::error::{CliError, printable};
use crate::ledger::money::Currency;

/// `2026-12-31`.
pub fn day(ms: u64) -> String {
    let text = TimestampMs(i64::try_from(ms).unwrap_or(i64::MAX)).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

fn second(ms: u64) -> String {
    let text = TimestampMs(i64::try_from(ms).unwrap_or(i64::MAX)).to_string();
    text.split('.').next().unwrap_or_default().replace('T', " ")
}

/// A company by its name here or in the address book, else by its id.
pub struct Names(Vec<(EntityId, String)>);

impl Names {
    pub fn of(context: &Context) -> Self {
        let records = org::records(context).unwrap_or_default();
        let peers = PeersFile::read(&context.data.ledger()).unwrap_or_default().peers;
        let own = records.into_iter().map(|record| (record.entity_id, record.org));
        Self(own.chain(peers.into_iter().map(|peer| (peer.entity_id, printable(&peer.name)))).collect())
    }

    pub fn name(&self, id: &EntityId) -> String {
        let found = self.0.iter().find(|(known, _)| known == id);
        found.map_or_else(|| id.to_string(), |(_, name)| name.clone())
    }
}

/// Sums and parties of an invoice, a line each.
pub fn describe(
    names: &Names,
    currency: &Currency,
    id: Option<&LinearId>,
    invoice: &Invoice,
    status: &str,
) -> String {
    let money = |units| currency.of_units(units);
    let mut text = format!("Invoice {}  {status}\n", printable(&invoice.head.number));
    if let Some(id) = id {
        text += &format!("  id         {id}\n");
    }
    text += &format!("  seller     {}\n", names.name(&invoice.party));
    text += &format!("  payer      {}\n", names.name(&invoice.counterparty));
    if let Some(factor) = &invoice.factor {
        text += &format!("  factor     {}\n", names.name(factor));
    }
    text += &format!("  total      {}\n", money(invoice.total));
    if invoice.amount_paid.0 > 0 {
        text += &format!("  paid       {}\n", money(invoice.amount_paid));
    }
    text += &format!("  remaining  {}\n", money(invoice.amount_remaining));
    if let Some(finance) = &invoice.finance {
        let recourse = if finance.recourse { ", with recourse" } else { "" };
        let (advance, discount) = (money(finance.advance), money(finance.discount));
        text += &format!("  sold for   {advance}, discount {discount}{recourse}\n");
    }
    text + &format!("  due        {}\n", day(invoice.due_date))
}

fn currency(node: &Company, invoice: &Invoice) -> Result<Currency, CliError> {
    Currency::of(&node.api, invoice.denom.as_str())
}

pub fn show(context: &Context, args: &InvoiceArgs) -> Result<(), CliError> {
    let node = company(context, &args.org.org)?;
    let (held, names) = (invoice(&node, &args.invoice)?, Names::of(context));
    let history = node.history(&held.linear_id)?;
    let invoice = held.invoice()?;
    let status = held.status.as_deref().unwrap_or("?");
    let mut text = describe(&names, &currency(&node, invoice)?, Some(&held.linear_id), invoice, status);
    text += "\n";
    for version in &history {
        text += &format!(
            "  v{:<3} {:<15} {}  block {:<6} tx {}\n",
            version.version.unwrap_or_default(),
            version.status.as_deref().unwrap_or("?"),
            second(version.time_ms),
            version.height,
            version.place.tx_id
        );
    }
    text += &format!("\nTo prove the last step: stateset ledger prove tx {}", held.place.tx_id);
    context.out.result(&json!({"invoice": held, "history": history}), &text);
    Ok(())
}

pub fn list(context: &Context, args: &ListArgs) -> Result<(), CliError> {
    let node = company(context, &args.org.org)?;
    let (names, limit) = (Names::of(context), args.limit.to_string());
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.status.as_deref().map(|status| ("status", status)));
    query.extend(args.cursor.as_deref().map(|cursor| ("cursor", cursor)));
    let page = node.invoices(&query)?;
    let mut text = String::new();
    for held in &page.items {
        text += &line(&node, &names, held)?;
    }
    if page.items.is_empty() {
        text += "No invoices.";
    }
    if let Some(next) = &page.next {
        text += &format!("More: --cursor {next}");
    }
    context.out.result(&page, &text);
    Ok(())
}

fn line(node: &Company, names: &Names, held: &Held) -> Result<String, CliError> {
    let invoice = held.invoice()?;
    let currency = currency(node, invoice)?;
    Ok(format!(
        "{:<16} {:<15} {:>14} of {:>14}  {} to {}  {}\n",
        printable(&invoice.head.number),
        held.status.as_deref().unwrap_or("?"),
        currency.of_units(invoice.amount_remaining).to_string(),
        currency.of_units(invoice.total).to_string(),
        names.name(&invoice.counterparty),
        names.name(&invoice.payee()),
        held.linear_id
    ))
}

/// The invoice as a flow would leave it.
pub fn proposed(node: &Company, names: &Names, flow: &Flow) -> Result<String, CliError> {
    let Some(invoice) = &flow.content else { return Ok(String::new()) };
    let status = if flow.is_final() { "as it was left" } else { "as it would be" };
    Ok(describe(names, &currency(node, invoice)?, flow.linear_id.as_ref(), invoice, status))
}
