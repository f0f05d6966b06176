//! Calls about invoices of the shared ledger.
//!
//! ```text
//! key known and answered ─► the first answer
//! look at the ledger: what it is about, what it is worth
//! limits ─► pending approval
//! note the call with what it is taken on (durable) ─► the company's node signs and submits ─► note the answer
//! ```

use std::fs::File;

use serde_json::{Map, Value, json};

use super::read::place;
use super::write::{Found, Try};
use super::{Desk, lock_failed, page};
use crate::answer::{CallError, Refusal};
use crate::arguments::Given;
use crate::cursor;
use crate::invoices::{InvoiceLine, InvoicePage, InvoiceQuery, InvoiceStep, Invoices, NewInvoice};
use crate::money::Money;
use crate::table::{COMPANY, Step, Tool, Work};

/// Bytes of a line's article on the ledger.
const SKU_BYTES_MAX: usize = 64;

impl Desk {
    /// The ledger's port. Where there is none, no tool asks for it.
    fn invoices(&self) -> Result<&dyn Invoices, CallError> {
        let absent = || Refusal::new("NO_LEDGER", "this server has no company on a shared ledger").into();
        self.ports.invoices.as_deref().ok_or_else(absent)
    }

    pub(super) fn read_invoices(&self, work: Work, given: &Given) -> Result<Value, CallError> {
        let ledger = self.invoices()?;
        match work {
            Work::InvoiceGet => {
                Ok(json!({"invoice": ledger.get(given.text("invoice").unwrap_or_default())?}))
            }
            Work::InvoiceList => {
                let wanted = InvoiceQuery { status: given.text("status").map(str::to_owned) };
                let list = format!("invoices {}", wanted.status.as_deref().unwrap_or_default());
                paged("invoices", &list, given, |after, limit| ledger.list(&wanted, after, limit))
            }
            Work::InvoiceRequests => {
                paged("requests", "requests", given, |after, limit| ledger.requests(after, limit))
            }
            _ => unreachable!("the other tools have their own doors"),
        }
    }

    /// - `approval`: the id under which a person approved the call.
    pub(super) fn take_step(
        &self,
        tool: &'static Tool,
        step: Step,
        given: &Given,
        approval: Option<&str>,
    ) -> Result<Value, CallError> {
        let (ledger, step) = (self.invoices()?, step_of(step, given)?);
        let given = &of_company(ledger.company(), given)?;
        let _turn = self.turn_of_company(ledger.company())?;
        let mut attempt = match self.found(tool, given, approval)? {
            Found::Answer(answer) => return Ok(answer),
            Found::Go(attempt) => attempt,
        };
        if !attempt.is_begun {
            // A node may take its time: the other tools do not wait for it.
            let looked = ledger.look(&step)?;
            self.is_within(approval, looked.worth.as_ref())?;
            let _writing = self.turn()?;
            // Another tool may have taken the key meanwhile.
            attempt = match self.find(tool, given, approval)? {
                Found::Answer(answer) => return Ok(answer),
                Found::Go(attempt) => attempt,
            };
            (attempt.plan.entity_id, attempt.exact) = (Some(looked.on), looked.exact);
            if let Some(waits) = self.begin(&attempt, looked.worth)? {
                return Ok(waits);
            }
        }
        self.carry_out(ledger, &step, &attempt)
    }

    /// Held to a call's end, which waits for other companies: of two steps of one company the second has to see what the first
    /// did, and those of another company need not wait. Between threads and processes; it ends when it is dropped.
    fn turn_of_company(&self, company: &str) -> Result<File, CallError> {
        let turns = self.journal().turns(&format!(".{company}.lock")).map_err(|error| lock_failed(&error))?;
        turns.lock().map_err(|error| lock_failed(&error))?;
        Ok(turns)
    }

    /// As [`find`](Self::find), with a turn of its own.
    fn found<'a>(
        &self,
        tool: &'static Tool,
        given: &'a Given,
        approval: Option<&str>,
    ) -> Result<Found<'a>, CallError> {
        let _writing = self.turn()?;
        self.find(tool, given, approval)
    }

    fn carry_out(
        &self,
        ledger: &dyn Invoices,
        step: &InvoiceStep,
        attempt: &Try<'_>,
    ) -> Result<Value, CallError> {
        let on = attempt.plan.entity_id.as_deref().unwrap_or_default();
        match ledger.take(step, on, attempt.is_begun) {
            Ok(answer) => {
                self.done(attempt, &answer);
                Ok(answer)
            }
            Err(refusal) => Err(self.refused(attempt, refusal)?),
        }
    }

    /// A person approved a sum: the call is not carried out for more.
    fn is_within(&self, approval: Option<&str>, worth: Option<&Money>) -> Result<(), CallError> {
        let (Some(id), Some(worth)) = (approval, worth) else { return Ok(()) };
        let approved = self.approval(id)?.worth;
        let approved = approved.and_then(|(amount, currency)| Money::read(&amount, &currency).ok());
        match approved {
            Some(approved) if approved.currency == worth.currency && worth.minor <= approved.minor => Ok(()),
            _ => Err(Refusal::new(
                "approval_exceeded",
                format!("it is about {worth} now, which is not what was approved"),
            )
            .hint("make the call again, and have it approved anew")
            .into()),
        }
    }
}

/// The call with its company: companies of one agent share a journal, and no answer or approval is another's.
fn of_company(company: &str, given: &Given) -> Result<Given, CallError> {
    match given.text(COMPANY.name) {
        Some(named) if named != company => {
            let problem = format!("is {named}, and this server acts for {company}");
            Err(CallError::argument(COMPANY.name, problem))
        }
        _ => Ok(given.with(COMPANY.name, company)),
    }
}

/// A page of a list that goes on by the port's own places.
fn paged(
    name: &'static str,
    list: &str,
    given: &Given,
    read: impl FnOnce(Option<&str>, usize) -> Result<InvoicePage, Refusal>,
) -> Result<Value, CallError> {
    let after = place(list, given)?;
    let (items, next) = read(after.as_deref(), given.page_size())?;
    Ok(page(name, items, next.map(|next| cursor::write(list, &next))))
}

fn step_of(step: Step, given: &Given) -> Result<InvoiceStep, CallError> {
    let text = |name: &str| given.text(name).unwrap_or_default().to_owned();
    Ok(match step {
        Step::Create => InvoiceStep::Create(new_invoice(given)?),
        Step::Accept => InvoiceStep::Accept { invoice: text("invoice") },
        Step::Approve => InvoiceStep::Approve { request: text("request") },
        Step::Decline => InvoiceStep::Decline { request: text("request"), reason: text("reason") },
        Step::Pay => {
            let amount = given.money("amount");
            if amount.as_ref().is_some_and(|amount| amount.minor == 0) {
                return Err(CallError::argument("amount", "must be above 0"));
            }
            InvoiceStep::Pay { invoice: text("invoice"), amount }
        }
    })
}

fn new_invoice(given: &Given) -> Result<NewInvoice, CallError> {
    let text = |name: &str| given.text(name).unwrap_or_default().to_owned();
    let (currency, lines) = (text("currency"), lines(given)?);
    let sum = given.sum_of_lines()?.filter(|_| !lines.is_empty());
    let subtotal = match (given.money("amount"), sum) {
        (Some(amount), Some(sum)) if amount != sum => {
            return Err(CallError::argument("amount", format!("is {amount}, and the lines add up to {sum}")));
        }
        (Some(amount), _) => amount,
        (None, Some(sum)) => sum,
        (None, None) => {
            return Err(CallError::argument("amount", "is required where there are no line_items"));
        }
    };
    let tax = given.money("tax").unwrap_or_else(|| Money::zero(&currency));
    if i64::try_from(subtotal.minor.saturating_add(tax.minor)).is_err() {
        return Err(CallError::argument("tax", "makes the total more than an amount can say"));
    }
    let due_ms = given.day_end_ms("due_date").unwrap_or_default();
    Ok(NewInvoice {
        number: text("number"),
        counterparty: text("counterparty"),
        name: text("name"),
        currency,
        lines,
        subtotal_minor: subtotal.minor,
        tax_minor: tax.minor,
        due_ms,
    })
}

/// The lines, whose members were checked when they were read.
fn lines(given: &Given) -> Result<Vec<InvoiceLine>, CallError> {
    let currency = given.text("currency").unwrap_or_default();
    let items = given.members().get("line_items").and_then(Value::as_array);
    let text = |line: &Map<String, Value>, name: &str| {
        line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let line = |(at, item): (usize, &Value)| {
        let line = item.as_object().cloned().unwrap_or_default();
        let (sku, path) = (text(&line, "product_id"), format!("line_items[{at}]"));
        if sku.len() > SKU_BYTES_MAX {
            let problem = format!("must have at most {SKU_BYTES_MAX} bytes on an invoice");
            return Err(CallError::argument(format!("{path}.product_id"), problem));
        }
        let price = Money::read(&text(&line, "unit_price"), currency)
            .map_err(|problem| CallError::argument(format!("{path}.unit_price"), problem))?;
        let quantity = line.get("quantity").and_then(Value::as_u64).unwrap_or_default();
        Ok(InvoiceLine { sku, quantity, unit_price_minor: price.minor })
    };
    items.into_iter().flatten().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests;
