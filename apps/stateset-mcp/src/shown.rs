//! Invoices and flows as the tools answer them: amounts as decimal text, companies by their ids.

use serde_json::{Value, json};
use stateset_contracts::Invoice;
use stateset_contracts::invoice::TABLE;
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::ids::{LinearId, Units};
use stateset_node_client::Flow;
use ves::TimestampMs;

/// `2030-01-31`.
fn day(ms: u64) -> String {
    let text = TimestampMs(i64::try_from(ms).unwrap_or(i64::MAX)).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// A version of an invoice.
pub fn invoice(invoice: &Invoice, id: Option<&LinearId>, denom: &DenomRecord) -> Value {
    let money = |units: Units| units.decimal(denom.exponent);
    let lines: Vec<Value> = invoice
        .lines
        .iter()
        .map(|line| {
            json!({
                "product_id": *line.sku, "description": *line.description, "quantity": line.quantity,
                "unit_price": money(line.unit_price), "total": money(line.total),
            })
        })
        .collect();
    let mut body = json!({
        "number": *invoice.head.number,
        "name": *invoice.name,
        "status": status(invoice.head.status),
        "version": invoice.head.version,
        "seller": invoice.party.to_string(),
        "payer": invoice.counterparty.to_string(),
        "payee": invoice.payee().to_string(),
        "currency": invoice.denom.as_str().to_ascii_uppercase(),
        "amount": money(invoice.subtotal),
        "tax": money(invoice.tax),
        "total": money(invoice.total),
        "amount_paid": money(invoice.amount_paid),
        "amount_remaining": money(invoice.amount_remaining),
        "due_date": day(invoice.due_date),
        "line_items": lines,
    });
    if let Some(id) = id {
        body["invoice_id"] = id.to_string().into();
    }
    if let Some(factor) = &invoice.factor {
        body["factor"] = factor.to_string().into();
    }
    body
}

/// `PARTIALLY_PAID`, as the contract's table writes a status.
fn status(code: u16) -> &'static str {
    let found = TABLE.statuses.iter().find(|(known, _, _)| *known == code);
    found.map_or("?", |(_, name, _)| name)
}

/// A step, with the invoice as it leaves it.
pub fn flow(flow: &Flow, invoice: Option<Value>) -> Value {
    let waits_for: Vec<String> = flow.waits_for.iter().map(ToString::to_string).collect();
    let mut body = json!({
        "flow_id": flow.flow_id,
        "step": flow.step(),
        "transaction_id": flow.tx_id.to_string(),
        "waits_for": waits_for,
    });
    if let Some(from) = &flow.from {
        body["from"] = from.to_string().into();
    }
    if let Some(invoice) = invoice {
        body["invoice"] = invoice;
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_the_name_of_the_contract_s_table() {
        use stateset_contracts::invoice::InvoiceStatus;
        assert_eq!(status(InvoiceStatus::PartiallyPaid.code()), "PARTIALLY_PAID");
        assert_eq!(status(0), "?");
    }
}
