//! What the invoice tools need of the shared ledger. A step there is a transaction that a company's own node signs: no event
//! of the stream, and nothing of the outbox.

use serde_json::{Map, Value};

use crate::answer::Refusal;
use crate::money::Money;

/// An invoice that is to be issued. Amounts are minor units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvoice {
    /// Used once by its seller; at most 64 bytes.
    pub number: String,
    /// Who pays: the name of a company of this machine, or a member's id of 40 hex digits.
    pub counterparty: String,
    /// What it is for; at most 256 bytes, may be empty.
    pub name: String,
    pub currency: String,
    /// They add up to `subtotal_minor` where there are some.
    pub lines: Vec<InvoiceLine>,
    pub subtotal_minor: u64,
    pub tax_minor: u64,
    /// The last millisecond in which it may be paid, Unix milliseconds.
    pub due_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceLine {
    /// At most 64 bytes.
    pub sku: String,
    pub quantity: u64,
    pub unit_price_minor: u64,
}

/// A step that a company takes. Invoices and requests are named as [`Invoices::get`] takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvoiceStep {
    Create(NewInvoice),
    /// Signs an invoice that is proposed to this company, and acknowledges its debt.
    Accept {
        invoice: String,
    },
    /// Signs what another company proposes.
    Approve {
        request: String,
    },
    Decline {
        request: String,
        reason: String,
    },
    /// - `amount`: what remains, where it is `None`.
    Pay {
        invoice: String,
        amount: Option<Money>,
    },
}

/// What a step is about, found out before anything is done.
#[derive(Debug, Clone, PartialEq)]
pub struct InvoicePlan {
    /// What the step is taken on, in the words of the port: it is noted before the first try, and every try gets it.
    pub on: String,
    /// What the company is bound to by it; `None` where that is nothing.
    pub worth: Option<Money>,
    /// Arguments that say the same and can't come to mean another thing: what a person approves.
    pub exact: Map<String, Value>,
}

/// Which invoices are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvoiceQuery {
    /// Such as `ACCEPTED`.
    pub status: Option<String>,
}

/// A part of a list, and where the next one begins.
pub type InvoicePage = (Vec<Value>, Option<String>);

/// The invoices of one company. Refusals have the ledger's names, as `CONFLICT`; they are passing where nobody knows whether
/// the step was taken.
pub trait Invoices: Send + Sync {
    /// Name of the company.
    fn company(&self) -> &str;
    /// Finds out what a step is about; changes nothing.
    fn look(&self, step: &InvoiceStep) -> Result<InvoicePlan, Refusal>;
    /// Takes the step.
    ///
    /// - `on`: of the plan;
    /// - `is_again`: an earlier try may have taken it; then what it did is told, and nothing is done twice.
    fn take(&self, step: &InvoiceStep, on: &str, is_again: bool) -> Result<Value, Refusal>;
    /// The newest version of an invoice by its number or its id of 32 hex digits.
    fn get(&self, invoice: &str) -> Result<Value, Refusal>;
    /// Invoices in their newest version, oldest first.
    fn list(&self, wanted: &InvoiceQuery, after: Option<&str>, limit: usize) -> Result<InvoicePage, Refusal>;
    /// What waits for this company to approve or to decline.
    fn requests(&self, after: Option<&str>, limit: usize) -> Result<InvoicePage, Refusal>;
}
