//! The payment of an invoice: money moves once, and only where the contract counts it.

use serde_json::Value;
use stateset_contracts::invoice::Pay;
use stateset_contracts::{InvoiceCommand, PaymentEvidence};
use stateset_ledger_types::ids::Units;
use stateset_mcp::{Money, Refusal};
use stateset_node_client::{Flow, Held};

use super::{Desk, units};
use crate::ledger::Told as _;

/// Statuses in which something may be paid.
const OPEN: [&str; 4] = ["ISSUED", "ACCEPTED", "PARTIALLY_PAID", "OVERDUE"];

impl Desk {
    /// Nothing is paid that the contract would not count.
    pub(super) fn payable(&self, held: &Held, amount: Option<&Money>) -> Result<Money, Refusal> {
        let invoice = held.invoice().told()?;
        let remaining = self.money(&invoice.denom, invoice.amount_remaining)?;
        if !OPEN.contains(&held.status()) {
            let said = format!("the invoice is {}: nothing is to be paid", held.status());
            return Err(Refusal::new("BAD_TRANSITION", said));
        }
        // The contract counts nobody else's payment, and money does not come back.
        if self.node.entity().told()? != Some(invoice.counterparty) {
            let said =
                format!("{} does not owe this invoice: its payer is {}", self.node.org, invoice.counterparty);
            return Err(Refusal::new("NOT_AUTHORISED", said));
        }
        match amount {
            None => Ok(remaining),
            Some(amount) if amount.currency != remaining.currency => Err(Refusal::new(
                "BAD_CURRENCY",
                format!("the invoice is of {}, not of {}", remaining.currency, amount.currency),
            )),
            Some(amount) if amount.minor > remaining.minor => {
                Err(Refusal::new("BAD_AMOUNT", format!("{remaining} remains to be paid")))
            }
            Some(amount) => Ok(amount.clone()),
        }
    }

    /// - `on`: id, version and minor units. The version is what a payment is bound to, so that none is made twice.
    pub(super) fn pay(&self, on: &str, is_again: bool) -> Result<Value, Refusal> {
        let unreadable = || Refusal::new("INTERNAL", "what was noted of the payment cannot be read");
        let mut parts = on.split(' ');
        let (Some(id), Some(version), Some(minor)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(unreadable());
        };
        let version: u64 = version.parse().map_err(|_| unreadable())?;
        let minor: u64 = minor.parse().map_err(|_| unreadable())?;
        let held = self.held(id)?;
        let invoice = held.invoice().told()?;
        if is_again {
            let id = Some(held.linear_id);
            let is_ours = |flow: &Flow| {
                let next = flow.content.as_ref().map(|next| next.head.version);
                flow.from.is_none()
                    && flow.linear_id == id
                    && flow.step() == "Pay"
                    && next == version.checked_add(1)
            };
            let mut begun = self.node.all_flows(true, is_ours).told()?;
            if let Some(flow) = begun.pop() {
                return self.settled(flow);
            }
        }
        let amount = units(minor);
        if invoice.head.version != version {
            let paid = self.node.paid(invoice.payee(), held.linear_id, version).told()?;
            if let Some(evidence) = paid.filter(|_| is_again) {
                return self.counted(&held, version, amount, &evidence);
            }
            let said = format!("the invoice has version {} by now, not {version}", invoice.head.version);
            return Err(Refusal::new("CONFLICT", said).hint("look with invoice_get, and call again"));
        }
        let evidence =
            self.node.pay(invoice.payee(), &invoice.amount(amount), held.linear_id, version).told()?;
        let command = InvoiceCommand::Pay(Pay { amount, evidence });
        // From here on money has moved: whatever happens, the call is kept, and its repetition pays nothing anew.
        let told = self.start(Some(held.linear_id), &command, &[]).and_then(|flow| self.settled(flow));
        told.map_err(|refusal| Refusal { is_passing: true, ..refusal })
    }

    /// What became of a payment that was made for a version which is not the newest any more. It counts where the next version
    /// has it; where another step came between, it is spent on none.
    fn counted(
        &self,
        held: &Held,
        version: u64,
        amount: Units,
        evidence: &PaymentEvidence,
    ) -> Result<Value, Refusal> {
        let history = self.node.history(&held.linear_id).told()?;
        let paid = |version: u64| {
            let of_version = history.iter().find(|one| one.version == Some(version));
            of_version.and_then(|one| one.content.as_ref()).map(|invoice| invoice.amount_paid.0)
        };
        match (paid(version), paid(version + 1)) {
            (Some(before), Some(after)) if after.checked_sub(before) == Some(amount.0) => {
                self.taken(held, "Pay")
            }
            _ => {
                let said = format!(
                    "the money was moved by settlement {}, and another step has changed the invoice before that was counted",
                    evidence.settlement
                );
                let hint = "ask the payee to pay it back, or to count it; this call pays nothing more";
                Err(Refusal { is_passing: true, ..Refusal::new("PAYMENT_NOT_COUNTED", said) }.hint(hint))
            }
        }
    }
}
